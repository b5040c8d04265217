"""What a pool's metrics ask for, each with its reason; beside rule `native` the largest wishes win.

Source: kubernetes pkg/controller/podautoscaler/horizontal.go (computeReplicasForMetrics).
"""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil
from typing import Final

from msgspec.structs import replace

from controller.model.decision import Code, Number, Reason
from controller.model.fleet import ScalingRules
from controller.model.metrics import (
    AverageValueTarget,
    ExternalMetric,
    Figure,
    MeasuredMetric,
    ObjectMetric,
    Series,
    UnknownMetric,
    UtilizationTarget,
)
from controller.model.readings import Fresh
from controller.planning.demand import blindness
from controller.planning.draft import Draft
from controller.planning.measured import MILLI, Measured, Unknown, reading_name
from controller.planning.metric_specs import Proposed, Surroundings, Unproposed, propose_each
from controller.planning.metrics import Tolerance
from controller.planning.pod_metrics import Startup

_TOLERANCE: Final = Tolerance()
_NEAR: Final = 1e-9


def add_proposals(draft: Draft, measured: Measured) -> None:
    """Put the metrics beside the demand of rule `native`: the largest is the pool's demand, and it
    is the whole truth only if nothing is missing.
    """
    around = Surroundings(
        current=draft.current,
        status_replicas=status_replicas(draft),
        pods=draft.seen.measured_pods,
        tolerance=tolerance(draft),
        startup=Startup(),
        pod_level_requests=True,
        now=draft.now,
    )
    take(draft, measured.metrics, propose_each(measured.metrics, around))


def take(
    draft: Draft,
    metrics: Sequence[MeasuredMetric],
    proposals: Sequence[Proposed | Unproposed],
    *,
    queue_counts: bool = True,
) -> None:
    """Explain each proposal and let the largest be the demand, the queue's own among them if it
    counts. A metric without one takes nothing away.
    """
    if not proposals:
        return  # the size was out of bounds, or there is no metric: none was asked
    wishes = [draft.work.demand] if queue_counts and draft.work.demand is not None else []
    needs = list(wishes)
    first: Unknown | None = None
    for metric, proposal in zip(metrics, proposals, strict=False):
        if isinstance(proposal, Unproposed):
            unknown = _unknown(metric, proposal, draft)
            draft.reasons.append(Reason(code=Code.METRIC_UNKNOWN, numbers=unknown.numbers))
            first = first or unknown
        else:
            wishes.append(max(proposal.replicas, 0))
            needs.append(min(_explain(draft, metric, proposal), wishes[-1]))
    counted = first is None and (draft.work.counted or not queue_counts)
    if draft.work.counted or not queue_counts:
        draft.unknown = first
    draft.work = replace(draft.work, counted=counted, demand=max(wishes, default=None))
    if needs != wishes:
        draft.tolerated = max(wishes) - max(needs)


def tolerance(draft: Draft) -> Tolerance:
    """The pool's own tolerance in each direction, else the cluster's default."""
    behavior = draft.pool.behavior
    return Tolerance(
        down=_near(behavior.scale_down, _TOLERANCE.down),
        up=_near(behavior.scale_up, _TOLERANCE.up),
    )


def status_replicas(draft: Draft) -> int:
    """status.replicas of the Deployment."""
    workload = draft.seen.workload
    return max(workload.value.current, 0) if isinstance(workload, Fresh) else draft.current


def _near(rules: ScalingRules, default: float) -> float:
    return default if rules.tolerance is None else float(rules.tolerance)


def _unknown(metric: MeasuredMetric, error: Unproposed, draft: Draft) -> Unknown:
    name, reading = reading_name(metric.spec), metric.reading
    numbers: dict[str, Number] = {"metric": name}
    seen = draft.measured.unknown if draft.measured is not None else ()
    known = next((one for one in seen if one.name == name), None)
    if known is not None:
        numbers.update(known.numbers)
    elif isinstance(reading, Fresh) or isinstance(metric.spec, UnknownMetric):
        numbers["why"] = error.fault.value
    else:
        numbers.update(blindness(reading, draft.now))
    return Unknown(name, numbers)


def _explain(draft: Draft, metric: MeasuredMetric, proposal: Proposed) -> int:
    """Give the metric's reason; returns the replicas it needs, whatever tolerance keeps."""
    spec, status = metric.spec, proposal.status
    if isinstance(spec, UnknownMetric):
        return proposal.replicas
    measured: float
    if isinstance(spec.target, UtilizationTarget):
        measured, target, per = status.percent or 0, float(spec.target.percent), "% of requests"
    else:
        measured, target = _figure(metric, status.milli) / MILLI, spec.target.milli / MILLI
        averaged = isinstance(spec.target, AverageValueTarget)
        per = "per replica" if averaged else "in all"
    name = reading_name(spec)
    draft.reasons.append(
        Reason(
            code=Code.METRIC,
            value=proposal.replicas,
            numbers={"metric": name, "measured": measured, "target": target, "per": per},
        )
    )
    return _explain_tolerance(draft, metric, proposal, measured / target)


def _figure(metric: MeasuredMetric, average_milli: int) -> int:
    """What was measured in thousandths: a queue or an object as a whole, pods on average."""
    match metric.reading:
        case Fresh(value=Series(values_milli=values)):
            return sum(values)
        case Fresh(value=Figure(value_milli=milli)):
            return milli
        case _:
            return average_milli


def _explain_tolerance(
    draft: Draft, metric: MeasuredMetric, proposal: Proposed, ratio: float
) -> int:
    """Say that a metric keeps the size although it is not exactly at its target; the replicas that
    it needs without that.
    """
    kept = draft.current
    match metric.spec:
        case (
            ExternalMetric(target=AverageValueTarget()) | ObjectMetric(target=AverageValueTarget())
        ):
            kept = status_replicas(draft)
            ratio /= kept or 1
    if 0 < kept == proposal.replicas and ratio != 1.0 and tolerance(draft).holds(ratio):
        draft.because(Code.TOLERATED, kept, ratio=round(ratio, 3))
        return ceil(ratio * kept - _NEAR)
    return proposal.replicas
