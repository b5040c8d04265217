"""One pass of a HorizontalPodAutoscaler, v2: what was read of its target and its metrics in; the
size it wants, its conditions and what it remembers out.

Source: kubernetes pkg/controller/podautoscaler/horizontal.go (reconcileAutoscaler,
computeReplicasForMetrics, normalizeDesiredReplicas and normalizeDesiredReplicasWithBehaviors).
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import Final, NamedTuple

from msgspec.structs import replace

from controller.model.fleet import Behavior
from controller.model.memory import ScaleChange
from controller.model.metrics import MeasuredMetric, MeasuredPod
from controller.model.readings import Absent, Why
from controller.model.value import Value
from reference.behavior import (
    Limited,
    Log,
    clamp_without_behavior,
    entry,
    limit_change,
    logged,
    longest_period_s,
    longest_window_s,
    record_change,
    stabilize,
    stabilize_down,
)
from reference.metric_specs import (
    FAILED,
    MetricContext,
    MetricStatus,
    Proposed,
    ReadMetric,
    UnknownMetric,
    Unproposed,
    propose_each,
)
from reference.metrics import Fault, Tolerance
from reference.pod_metrics import Startup


class ConditionType(StrEnum):
    """What the HPA says about itself."""

    ABLE_TO_SCALE = "AbleToScale"
    SCALING_ACTIVE = "ScalingActive"
    SCALING_LIMITED = "ScalingLimited"


class Condition(NamedTuple):
    """A condition of the HPA's status, its reason as the HPA spells it."""

    type: ConditionType
    holds: bool
    reason: str


class Action(StrEnum):
    """What a pass did."""

    NONE = "none"
    SCALE_UP = "scale_up"
    SCALE_DOWN = "scale_down"


class Selector(StrEnum):
    """What became of the target's pod selector. AMBIGUOUS: another HPA claims some of the pods."""

    VALID = "valid"
    MISSING = "missing"
    UNPARSABLE = "unparsable"
    AMBIGUOUS = "ambiguous"


class Settings(Value):
    """The HPA controller's flags, as a cluster has them by default."""

    tolerance: Tolerance = Tolerance()
    startup: Startup = Startup()
    downscale_window_s: float = 300.0
    growth_factor: int = 2
    growth_minimum: int = 4
    pod_level_requests: bool = True


class Spec(Value):
    """An HPA's spec, defaults filled in. `behavior` is None where none is written: not the same as
    the default `behavior`.
    """

    min: int
    max: int
    metrics: tuple[MeasuredMetric | ReadMetric, ...]
    behavior: Behavior | None = None


class Scale(Value):
    """The target's scale subresource and its pods."""

    replicas: int
    status_replicas: int
    pods: tuple[MeasuredPod, ...] = ()
    selector: Selector = Selector.VALID


class HpaMemory(Value):
    """What an HPA remembers. `recommendations` has one entry for each pass, None where the HPA
    has just been started.
    """

    recommendations: Log | None = None
    scaled_up: tuple[ScaleChange, ...] = ()
    scaled_down: tuple[ScaleChange, ...] = ()


class Pass(NamedTuple):
    """What one pass found.

    - `desired`: None where the target could not be read; it is written where it is not `current`.
    - `why`: the HPA's wording of the change. `fault`: that of the first metric which proposes
      nothing, also where the other metrics suffice.
    - `proposals`: those of the metrics, in their order. `raw` is the largest, and `stable` what the
      windows make of it; None where the pass ended before.
    """

    current: int | None
    desired: int | None
    conditions: tuple[Condition, ...]
    memory: HpaMemory
    why: str = ""
    statuses: tuple[MetricStatus, ...] = ()
    failed: bool = False
    fault: Fault | None = None
    limited: Limited | None = None
    proposals: tuple[Proposed | Unproposed, ...] = ()
    raw: int | None = None
    stable: int | None = None

    @property
    def writes(self) -> bool:
        """Whether the target is to be changed."""
        return self.desired != self.current


class Outcome(NamedTuple):
    """What a pass came to once its write, if any, was answered."""

    desired: int | None
    action: Action
    conditions: tuple[Condition, ...]
    memory: HpaMemory
    event: tuple[str, str] | None
    failed: bool
    statuses: tuple[MetricStatus, ...]


_NO_METRIC: Final = ReadMetric(UnknownMetric(source=""), Absent(why=Why.NEVER_READ))


class _Combined(NamedTuple):
    """The largest valid proposal; None where nothing may be done."""

    best: Proposed | None
    reason: str
    statuses: tuple[MetricStatus, ...]
    fault: Fault | None
    proposals: tuple[Proposed | Unproposed, ...] = ()


def reconcile(
    spec: Spec, scale: Scale | None, memory: HpaMemory, settings: Settings, now: float
) -> Pass:
    """One pass; `now` in Unix seconds. `scale` is None where it could not be read. Never raises."""
    if scale is None:
        able = Condition(ConditionType.ABLE_TO_SCALE, holds=False, reason="FailedGetScale")
        return Pass(None, None, (able,), memory, failed=True)
    current = scale.replicas
    memory = _seeded(memory, current, now)
    able = Condition(ConditionType.ABLE_TO_SCALE, holds=True, reason="SucceededGetScale")
    if current == 0 and spec.min != 0:
        off = Condition(ConditionType.SCALING_ACTIVE, holds=False, reason="ScalingDisabled")
        return Pass(current, current, (able, off), memory)
    # HPA: a size out of bounds is corrected at once: no metric, no window, no rate is asked
    if current > spec.max:
        why = "Current number of replicas above Spec.MaxReplicas"
        return Pass(current, spec.max, (able,), memory, why)
    if current < spec.min:
        why = "Current number of replicas below Spec.MinReplicas"
        return Pass(current, spec.min, (able,), memory, why)
    return _by_metrics(spec, scale, memory, settings, now)


def settle(done: Pass, spec: Spec, now: float, *, written: bool) -> Outcome:
    """What the pass came to. `written` says whether the write it asked for succeeded; without one
    it does not matter.
    """
    current, desired = done.current, done.desired
    if current is None or desired is None or current == desired:
        return Outcome(
            desired, Action.NONE, done.conditions, done.memory, None, done.failed, done.statuses
        )
    if not written:
        conditions = _able(done.conditions, holds=False, reason="FailedUpdateScale")
        event = ("FailedRescale", f"New size: {desired}; reason: {done.why}")
        return Outcome(
            current,
            Action.NONE,
            conditions,
            done.memory,
            event,
            failed=True,
            statuses=done.statuses,
        )
    return Outcome(
        desired,
        Action.SCALE_UP if desired > current else Action.SCALE_DOWN,
        _able(done.conditions, holds=True, reason="SucceededRescale"),
        _with_event(done.memory, spec.behavior, desired - current, now),
        ("SuccessfulRescale", f"New size: {desired}; reason: {done.why}"),
        done.failed,
        done.statuses,
    )


def _seeded(memory: HpaMemory, replicas: int, now: float) -> HpaMemory:
    """A fresh HPA starts from the current size: nothing is taken away for a whole window."""
    if memory.recommendations is not None:
        return memory
    return replace(memory, recommendations=(entry(replicas, now),))


def _by_metrics(
    spec: Spec, scale: Scale, memory: HpaMemory, settings: Settings, now: float
) -> Pass:
    current = scale.replicas
    combined = _combine(spec.metrics, scale, settings, now)
    able = Condition(ConditionType.ABLE_TO_SCALE, holds=True, reason="SucceededGetScale")
    active = Condition(
        ConditionType.SCALING_ACTIVE, holds=combined.best is not None, reason=combined.reason
    )
    if combined.best is None:
        return Pass(
            current,
            current,
            (able, active),
            memory,
            statuses=combined.statuses,
            failed=True,
            fault=combined.fault,
            proposals=combined.proposals,
        )
    raw = max(combined.best.replicas, 0)
    stable, limited, memory = _normalize(spec, current, raw, memory, settings, now=now)
    stabilized = Condition(
        ConditionType.ABLE_TO_SCALE, holds=True, reason=_stabilized(spec, current, raw, stable)
    )
    limitation = Condition(
        ConditionType.SCALING_LIMITED,
        holds=limited.replicas != stable,
        reason=limited.reason.value,
    )
    return Pass(
        current,
        limited.replicas,
        (stabilized, active, limitation),
        memory,
        _why(combined.best, raw, current),
        combined.statuses,
        failed=combined.fault is not None,
        fault=combined.fault,
        limited=limited,
        proposals=combined.proposals,
        raw=raw,
        stable=stable,
    )


def _combine(
    metrics: Sequence[MeasuredMetric | ReadMetric], scale: Scale, settings: Settings, now: float
) -> _Combined:
    """The largest proposal; with a metric that proposes nothing, only if it takes nothing away."""
    if scale.selector is Selector.AMBIGUOUS:
        return _Combined(None, "AmbiguousSelector", (), Fault.UNREADABLE)
    if scale.selector is not Selector.VALID:
        return _Combined(None, "InvalidSelector", (), Fault.UNREADABLE)
    around = MetricContext(
        current=scale.replicas,
        status_replicas=scale.status_replicas,
        pods=scale.pods,
        tolerance=settings.tolerance,
        startup=settings.startup,
        pod_level_requests=settings.pod_level_requests,
        now=now,
    )
    best: Proposed | None = None
    statuses: list[MetricStatus] = []
    first: tuple[str, Fault] | None = None
    # HPA: the API fills an empty list in before any pass; without a metric nothing may be done
    watched = metrics or (_NO_METRIC,)
    proposals = propose_each(watched, around)
    for measured, proposed in zip(watched, proposals, strict=True):
        if isinstance(proposed, Unproposed):
            first = first or (FAILED[type(measured.spec)], proposed.fault)
            continue
        statuses.append(proposed.status)
        if best is None or proposed.replicas > best.replicas:
            best = proposed
    if first is None:
        return _Combined(best, "ValidMetricFound", tuple(statuses), None, proposals)
    reason, fault = first
    if best is None or best.replicas < scale.replicas:
        return _Combined(None, reason, tuple(statuses), fault, proposals)
    return _Combined(best, "ValidMetricFound", tuple(statuses), fault, proposals)


def _normalize(
    spec: Spec, current: int, raw: int, memory: HpaMemory, settings: Settings, *, now: float
) -> tuple[int, Limited, HpaMemory]:
    """The stabilised size, what limits leave of it, and the memory with the raw recommendation."""
    history = memory.recommendations or ()
    if spec.behavior is None:
        window_s = settings.downscale_window_s
        stable = stabilize_down(raw, history, window_s, now)
        limited = clamp_without_behavior(
            current,
            stable,
            spec.min,
            spec.max,
            factor=settings.growth_factor,
            minimum=settings.growth_minimum,
        )
    else:
        window_s = longest_window_s(spec.behavior)
        stable = stabilize(current, raw, history, spec.behavior, now)
        limited = limit_change(
            current,
            stable,
            low=spec.min,
            high=spec.max,
            behavior=spec.behavior,
            added=memory.scaled_up,
            removed=memory.scaled_down,
            now=now,
        )
    remembered = replace(memory, recommendations=logged(history, raw, now, window_s))
    return stable, limited, remembered


def _stabilized(spec: Spec, current: int, raw: int, stable: int) -> str:
    if stable == raw:
        return "ReadyForNewScale"
    if spec.behavior is not None and raw >= current:
        return "ScaleUpStabilized"
    return "ScaleDownStabilized"


def _why(best: Proposed, raw: int, current: int) -> str:
    if raw > current:
        return f"{best.name} above target"
    return "All metrics below target" if raw < current else ""


def _able(conditions: tuple[Condition, ...], *, holds: bool, reason: str) -> tuple[Condition, ...]:
    able = Condition(ConditionType.ABLE_TO_SCALE, holds, reason)
    return tuple(able if one.type is ConditionType.ABLE_TO_SCALE else one for one in conditions)


def _with_event(memory: HpaMemory, behavior: Behavior | None, change: int, now: float) -> HpaMemory:
    """The log of changes is kept only where policies could ask for it."""
    if behavior is None:
        return memory
    # an event nets against the policies of both directions, so the longest period of both keeps it
    keep_s = max(longest_period_s(behavior.scale_up), longest_period_s(behavior.scale_down))
    if change > 0:
        return replace(memory, scaled_up=record_change(memory.scaled_up, change, now, keep_s))
    return replace(memory, scaled_down=record_change(memory.scaled_down, -change, now, keep_s))
