"""Prepares a pool's metrics for its rule: checks each reading, and replaces the metrics of a
formula by its result and metrics that keep failing by their fallback. Also determines whether a
metric is active, as in KEDA.

Two things differ from KEDA: a fallback of 0 replicas is not used, because missing metrics never
remove replicas; and a failure is counted once in each plan.

Source: kedacore/keda pkg/fallback/fallback.go and pkg/scaling/modifiers/formula.go.
"""

from __future__ import annotations

from math import isfinite
from typing import Final, NamedTuple

from controller.model.decision import Code, Number, Reason
from controller.model.fleet import Rule
from controller.model.metrics import (
    QUEUE,
    AverageValueTarget,
    ContainerResourceMetric,
    ExternalMetric,
    Fallback,
    FallbackBehavior,
    Figure,
    MeasuredMetric,
    MetricSpec,
    MetricValue,
    Modifiers,
    ObjectMetric,
    PodFigures,
    PodUsages,
    ResourceMetric,
    Series,
    ValueTarget,
)
from controller.model.observation import PoolObservation
from controller.model.readings import Absent, Fresh, Reading, Why
from controller.model.value import INT64_MAX, MILLI
from controller.notation.formula_syntax import FormulaError
from controller.planning.demand.hpa_metrics import MetricFault, reading_name, serving_pods
from controller.planning.demand.queue import blindness
from controller.planning.formula import Formula, composite_milli
from controller.planning.inputs import PoolTerms
from controller.planning.values import Activator, UnusableMetric, Work

COMPOSITE: Final = "composite-metric"


class Measured(NamedTuple):
    """The metrics of one pool at one plan.

    `active`: a metric or a fallback is active; `activator` is the first metric that is. `unusable`
    are the metrics that could not be read. `failures` are to be remembered.
    """

    metrics: tuple[MeasuredMetric, ...]
    active: bool
    activator: Activator | None
    unusable: tuple[UnusableMetric, ...]
    failures: dict[str, int]
    reasons: tuple[Reason, ...]


def measure(
    terms: PoolTerms,
    seen: PoolObservation,
    work: Work,
    *,
    current: int | None,
    failures: dict[str, int],
) -> Measured:
    """What was read of the pool's metrics; `current` is None where the Deployment is not known.
    `failures` says by metric how many plans in a row could not read it.
    """
    return _Measuring(terms, seen, work, current, failures).measured()


class _Measuring:
    """One pass over one pool's metrics."""

    def __init__(
        self,
        terms: PoolTerms,
        seen: PoolObservation,
        work: Work,
        current: int | None,
        failures: dict[str, int],
    ) -> None:
        self._terms, self._pool = terms, terms.pool
        self._seen, self._work, self._current = seen, work, current
        self._failures_before = failures
        self._failures: dict[str, int] = {}
        self._reasons: list[Reason] = []
        self._unusable: list[UnusableMetric] = []
        self._unread_pods: list[UnusableMetric] = []
        self._active: list[Activator] = []

    def measured(self) -> Measured:
        metrics: list[MeasuredMetric] = []
        modifiers, formula = self._pool.modifiers, self._terms.formula
        replaced: tuple[str, ...] = ()
        if modifiers is not None and formula is not None:
            spec = ExternalMetric(name=COMPOSITE, target=modifiers.target)
            if isinstance(formula, FormulaError):
                metrics.append(self._without_formula(spec, formula))
            else:
                metrics.append(self._computed(spec, modifiers, formula))
                replaced = formula.names
        metrics += [
            self._metric(each)
            for each in self._terms.specs
            if not (isinstance(each, ExternalMetric) and each.name in replaced)
        ]
        # KEDA: a pool with only CPU and memory metrics always counts as active
        only_resources = self._pool.rule is Rule.HPA and all(
            isinstance(one.spec, ResourceMetric | ContainerResourceMetric) for one in metrics
        )
        falls_back = bool(self._reasons)
        return Measured(
            metrics=tuple(metrics),
            active=bool(self._active) or falls_back or (only_resources and not self._unusable),
            activator=self._active[0] if self._active else None,
            # metrics of pods do not count for KEDA's activity
            unusable=(*self._unusable, *self._unread_pods),
            failures=self._failures,
            reasons=tuple(self._reasons),
        )

    def _metric(self, spec: MetricSpec) -> MeasuredMetric:
        name = reading_name(spec)
        reading = self._reading(name)
        if not isinstance(spec, ExternalMetric | ObjectMetric):
            # without replicas there are no pods to measure
            if self._current and not isinstance(reading, Fresh):
                self._unread_pods.append(UnusableMetric(name, _named(name, reading)))
            return MeasuredMetric(spec=spec, reading=reading)
        milli = _amount(reading)
        if milli is not None:
            self._activate(name, milli, self._pool.activation * MILLI if name == QUEUE else 0)
            return MeasuredMetric(spec=spec, reading=reading)
        value, _ = self._stands_in(name, spec.target, None)
        if value is not None:
            return self._fallen_back(spec, value, name, reading)
        self._not_known(name, reading)
        return MeasuredMetric(spec=spec, reading=reading)

    def _computed(
        self, spec: ExternalMetric, modifiers: Modifiers, formula: Formula
    ) -> MeasuredMetric:
        """The composite metric. KEDA: a fallback replaces it, and the formula is not computed; with
        fallback.replicas if the formula has no value without its missing metrics.
        """
        readings = {name: self._reading(name) for name in formula.names}
        values = {name: _amount(reading) for name, reading in readings.items()}
        missing = [name for name, milli in values.items() if milli is None]
        found = {name: self._stands_in(name, modifiers.target, modifiers) for name in missing}
        for name, (value, _) in found.items():
            if value is not None:
                return self._fallen_back(spec, value, name, readings[name])
        for name, (_, is_nil) in found.items():
            if not is_nil:
                reading = readings[name]
                self._not_known(name, reading, hides=COMPOSITE)
                if isinstance(reading, Fresh):  # without a number, so that it has failed too
                    reading = Absent(why=Why.UNREADABLE, at=reading.at)
                return MeasuredMetric(spec=spec, reading=reading)
        try:
            milli = composite_milli(formula, values)
        except FormulaError as error:
            fallback = self._pool.fallback
            if not missing or fallback is None:
                return self._without_formula(spec, error)
            last = self._worth(fallback.replicas, modifiers.target)
            if last is None:
                return self._without_formula(spec, error)
            return self._fallen_back(spec, last, missing[0], readings[missing[0]])
        self._activate(COMPOSITE, milli, modifiers.activation_milli)
        return MeasuredMetric(spec=spec, reading=_read(spec, milli))

    def _without_formula(self, spec: ExternalMetric, error: FormulaError) -> MeasuredMetric:
        numbers: dict[str, Number] = {"metric": COMPOSITE, "why": error.fault.value}
        self._unusable.append(UnusableMetric(COMPOSITE, numbers))
        return MeasuredMetric(spec=spec, reading=Absent(why=Why.IMPLAUSIBLE, detail=str(error)))

    def _reading(self, name: str) -> Reading[MetricValue]:
        """The reading with this name; for the queue it is the pool's own."""
        if name == QUEUE:
            work, queue = self._work, self._seen.queue
            if work.counted and work.messages is not None:
                return Fresh(value=Series(values_milli=(MILLI * work.messages,)), at=queue.at)
            if isinstance(queue, Fresh):
                return Absent(why=Why.IMPLAUSIBLE, at=queue.at)
            return Absent(why=queue.why, at=queue.at, detail=queue.detail)
        reading = self._seen.metrics.get(name)
        if reading is None:
            return Absent(why=Why.NEVER_READ)
        if isinstance(reading, Fresh) and not _is_plausible(reading.value):
            return Absent(why=Why.IMPLAUSIBLE, at=reading.at)
        return reading

    def _stands_in(
        self, name: str, target: AverageValueTarget | ValueTarget, modifiers: Modifiers | None
    ) -> tuple[int | None, bool]:
        """The value that replaces a metric without one, and whether a formula gets nil for it.
        Counts its failure: there is no value until the failures exceed the threshold. KEDA: with
        modifiers, their target must be a positive integer.
        """
        fallback = self._pool.fallback
        units, rest = divmod(MILLI if modifiers is None else modifiers.target_milli, MILLI)
        if fallback is None or rest or not 0 < units <= INT64_MAX:
            return None, False
        failures = self._failures_before.get(name, 0) + 1
        self._failures[name] = min(failures, fallback.failure_threshold + 1)
        if failures <= fallback.failure_threshold:
            return None, False
        if fallback.behavior is FallbackBehavior.SCALING_MODIFIERS:
            return None, True
        return self._worth(_fallback_replicas(fallback, self._current), target), False

    def _worth(self, replicas: int | None, target: AverageValueTarget | ValueTarget) -> int | None:
        """The value, in thousandths, for which the HPA proposes so many replicas; None if there is
        none, which is so for a Value target without a ready pod.
        """
        if not replicas:
            return None
        if isinstance(target, AverageValueTarget):
            return target.milli * replicas or None
        ready = serving_pods(self._seen.measured_pods)
        return target.milli * replicas // ready or None if ready else None

    def _activate(self, name: str, milli: int, activation_milli: int) -> None:
        if milli > activation_milli:
            self._active.append(Activator(name, milli, activation_milli))

    def _not_known(self, name: str, reading: Reading[MetricValue], hides: str = "") -> None:
        """Add a metric that cannot be used; `hides` is the composite metric that needs it."""
        self._unusable.append(UnusableMetric(hides or name, _named(name, reading)))
        messages = self._work.messages
        if name == QUEUE and messages is not None:
            # a wake-up proves a message before the queue can be counted
            self._activate(QUEUE, MILLI * messages, MILLI * self._pool.activation)

    def _fallen_back(
        self,
        spec: ExternalMetric | ObjectMetric,
        milli: int,
        name: str,
        reading: Reading[MetricValue],
    ) -> MeasuredMetric:
        self._reasons.append(Reason(code=Code.FALLBACK, numbers=_named(name, reading)))
        return MeasuredMetric(spec=spec, reading=_read(spec, milli))


def _fallback_replicas(fallback: Fallback, current: int | None) -> int | None:
    """The replicas of the fallback; None if they depend on the present size and it is unknown."""
    match fallback.behavior:
        case FallbackBehavior.STATIC:
            return fallback.replicas
        case FallbackBehavior.CURRENT_IF_HIGHER if current is not None:
            return max(current, fallback.replicas)
        case FallbackBehavior.CURRENT_IF_LOWER if current is not None:
            return min(current, fallback.replicas)
        case _:
            return current


def _read(spec: ExternalMetric | ObjectMetric, milli: int) -> Fresh[MetricValue]:
    if isinstance(spec, ObjectMetric):
        return Fresh(value=Figure(value_milli=milli), at=0.0)
    return Fresh(value=Series(values_milli=(milli,)), at=0.0)


def _amount(reading: Reading[MetricValue]) -> int | None:
    """One number in thousandths, None where there is none."""
    match reading:
        case Fresh(value=Series(values_milli=values)) if values:
            return min(sum(values), INT64_MAX)
        case Fresh(value=Figure(value_milli=milli)):
            return milli
        case _:
            return None


def _named(name: str, reading: Reading[MetricValue]) -> dict[str, Number]:
    """The metric's name, and why its reading cannot be used."""
    if isinstance(reading, Fresh):
        return {"metric": name, "why": MetricFault.NO_SERIES.value}
    return {"metric": name, **blindness(reading)}


def _is_plausible(value: MetricValue) -> bool:
    """Whether every number can be a quantity or a time."""
    numbers: list[int | None] = []
    times: list[float] = []
    match value:
        case Series():
            numbers += value.values_milli
        case Figure():
            numbers.append(value.value_milli)
        case PodFigures():
            numbers += [one.value_milli for one in value.items]
            times += [at for one in value.items for at in (one.at, one.window_s)]
        case PodUsages():
            uses = (use for one in value.items for use in one.containers.values())
            numbers += [use for use in uses if use is not None]
            times += [at for one in value.items for at in (one.at, one.window_s)]
    return all(map(isfinite, times)) and all(
        isinstance(each, int) and -INT64_MAX <= each <= INT64_MAX for each in numbers
    )
