"""Prepares a pool's metrics for its rule: checks each reading, and replaces the metrics of a
formula by its result and metrics that keep failing by their fallback. Also determines whether a
metric is active, as in KEDA.

Two things differ from KEDA: a fallback of 0 replicas is not used, because missing metrics never
remove replicas; and a failure is counted once in each plan.
"""

from __future__ import annotations

from math import isfinite
from typing import Final, NamedTuple, TypeAlias

from controller.model.decision import Code, Number, Reason
from controller.model.fleet import Rule
from controller.model.limits import INT64_MAX, MILLI
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
from controller.notation.formula_syntax import FormulaError
from controller.planning.demand.formula import Formula, composite_milli
from controller.planning.demand.hpa_metrics import MetricFault, reading_name, serving_pods
from controller.planning.demand.queue import blindness
from controller.planning.inputs import PoolTerms
from controller.planning.values import Activator, UnusableMetric, Work


class FallbackValue(NamedTuple):
    """The value that replaces a metric that could not be read.

    `value_milli` is None if there is none. `is_nil`: a formula gets nil for it.
    """

    value_milli: int | None = None
    is_nil: bool = False


NO_FALLBACK_VALUE: FallbackValue = FallbackValue()


def is_usable(fallback: Fallback | None, modifiers: Modifiers | None) -> bool:
    """Whether there is a fallback that can be used. KEDA: with modifiers, their target must be a
    positive integer.
    """
    if fallback is None:
        return False
    if modifiers is None:
        return True
    units, rest = divmod(modifiers.target_milli, MILLI)
    return not rest and 0 < units <= INT64_MAX


def fallback_value(
    fallback: Fallback,
    failures: int,
    *,
    target: AverageValueTarget | ValueTarget,
    current: int | None,
    ready_pods: int | None,
) -> FallbackValue:
    """The value after so many failures in a row; none until they exceed the threshold. `current`
    and `ready_pods` are None where they are not known.

    Unlike in KEDA, a fallback of 0 replicas is no value: missing metrics never remove replicas.
    """
    if failures <= fallback.failure_threshold:
        return NO_FALLBACK_VALUE
    if fallback.behavior is FallbackBehavior.SCALING_MODIFIERS:
        return FallbackValue(is_nil=True)
    replicas = _fallback_replicas(fallback, current)
    return FallbackValue(worth_milli(replicas, target, ready_pods) or None)


def worth_milli(
    replicas: int | None, target: AverageValueTarget | ValueTarget, ready_pods: int | None
) -> int | None:
    """The value for which the HPA proposes so many replicas; None if there is none, which is so for
    a Value target without a ready pod.
    """
    if replicas is None:
        return None
    if isinstance(target, AverageValueTarget):
        return target.milli * replicas
    return target.milli * replicas // ready_pods if ready_pods else None


def _fallback_replicas(fallback: Fallback, current: int | None) -> int | None:
    """The replicas of the fallback; None if they depend on the present size and it is unknown."""
    if fallback.behavior is FallbackBehavior.STATIC:
        return fallback.replicas
    if current is None:
        return None
    match fallback.behavior:
        case FallbackBehavior.CURRENT_IF_HIGHER:
            return max(current, fallback.replicas)
        case FallbackBehavior.CURRENT_IF_LOWER:
            return min(current, fallback.replicas)
        case _:
            return current


COMPOSITE: Final = "composite-metric"
_OF_PODS: Final = (ResourceMetric, ContainerResourceMetric)
_ValueTargets: TypeAlias = AverageValueTarget | ValueTarget


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


def measure(
    terms: PoolTerms,
    seen: PoolObservation,
    work: Work,
    *,
    current: int | None,
    failures: dict[str, int],
    reasons: list[Reason],
) -> Measured:
    """What was read of the pool's metrics; `current` is None where the Deployment is not known."""
    measuring = _Measuring(terms, seen, work, current=current, failures=failures, reasons=reasons)
    return measuring.measured()


class _Measuring:
    """One pass over one pool's metrics."""

    def __init__(
        self,
        terms: PoolTerms,
        seen: PoolObservation,
        work: Work,
        *,
        current: int | None,
        failures: dict[str, int],
        reasons: list[Reason],
    ) -> None:
        self._terms, self._pool = terms, terms.pool
        self._seen, self._work, self._current = seen, work, current
        self._failures_before = failures
        self._reasons = reasons
        self._failures: dict[str, int] = {}
        self._unusable: list[UnusableMetric] = []
        self._unread_pods: list[UnusableMetric] = []
        self._active: list[Activator] = []
        self._falls_back = False

    def measured(self) -> Measured:
        composite, replaced = self._composite()
        metrics = tuple(
            self._metric(spec)
            for spec in self._terms.specs
            if not (isinstance(spec, ExternalMetric) and spec.name in replaced)
        )
        if composite is not None:
            metrics = (composite, *metrics)
        # KEDA: a pool with only CPU and memory metrics always counts as active
        only_resources = self._pool.rule is Rule.HPA and all(
            isinstance(one.spec, _OF_PODS) for one in metrics
        )
        active = bool(self._active) or self._falls_back or (only_resources and not self._unusable)
        return Measured(
            metrics,
            active,
            self._active[0] if self._active else None,
            # metrics of pods do not count for KEDA's activity
            (*self._unusable, *self._unread_pods),
            self._failures,
        )

    def _metric(self, spec: MetricSpec) -> MeasuredMetric:
        name = reading_name(spec)
        reading = self._reading(name)
        if not isinstance(spec, ExternalMetric | ObjectMetric):
            # without replicas there are no pods to measure
            if self._current and not isinstance(reading, Fresh):
                self._unread_pods.append(UnusableMetric(name, {"metric": name, **_why(reading)}))
            return MeasuredMetric(spec=spec, reading=reading)
        milli = _amount(reading)
        if milli is None:
            found = self._fallback_value(name, spec.target, None)
            if found.value_milli is not None:
                self._explain_fallback(name, reading)
                return MeasuredMetric(spec=spec, reading=self._fresh(spec, found.value_milli))
            self._not_known(name, reading)
            return MeasuredMetric(spec=spec, reading=reading)
        activation = self._pool.activation * MILLI if name == QUEUE else 0
        self._activate(name, milli, activation)
        return MeasuredMetric(spec=spec, reading=reading)

    def _composite(self) -> tuple[MeasuredMetric | None, frozenset[str]]:
        """The formula's metric, and the names that it replaces."""
        modifiers, formula = self._pool.modifiers, self._terms.formula
        if modifiers is None or formula is None:
            return None, frozenset()
        spec = ExternalMetric(name=COMPOSITE, target=modifiers.target)
        if isinstance(formula, FormulaError):
            return self._without_formula(spec, formula), frozenset()
        return self._computed(spec, modifiers, formula), frozenset(formula.names)

    def _computed(
        self, spec: ExternalMetric, modifiers: Modifiers, formula: Formula
    ) -> MeasuredMetric:
        values: dict[str, int | None] = {}
        found: dict[str, tuple[Reading[MetricValue], FallbackValue]] = {}
        for name in formula.names:
            reading = self._reading(name)
            values[name] = milli = _amount(reading)
            if milli is None:
                found[name] = reading, self._fallback_value(name, modifiers.target, modifiers)
        broken = nil = None
        for name, (reading, stands_in) in found.items():
            if stands_in.value_milli is not None:
                # KEDA: a fallback replaces the composite metric, and the formula is not computed
                self._explain_fallback(name, reading)
                return MeasuredMetric(spec=spec, reading=self._fresh(spec, stands_in.value_milli))
            if stands_in.is_nil:
                nil = nil or (name, reading)
            else:
                broken = broken or (name, reading)
        if broken is not None:
            name, reading = broken
            self._not_known(name, reading, hides=COMPOSITE)
            return MeasuredMetric(spec=spec, reading=_without_value(reading))
        try:
            milli = composite_milli(formula, values)
        except FormulaError as error:
            last = None if nil is None else self._last_resort(modifiers)
            if nil is None or last is None:
                return self._without_formula(spec, error)
            # KEDA: fallback.replicas if the formula has no value without its missing metrics
            self._explain_fallback(*nil)
            return MeasuredMetric(spec=spec, reading=self._fresh(spec, last))
        self._activate(COMPOSITE, milli, modifiers.activation_milli)
        return MeasuredMetric(spec=spec, reading=self._fresh(spec, milli))

    def _last_resort(self, modifiers: Modifiers) -> int | None:
        fallback = self._pool.fallback
        if fallback is None or fallback.behavior is not FallbackBehavior.SCALING_MODIFIERS:
            return None
        ready = serving_pods(self._seen.measured_pods)
        return worth_milli(fallback.replicas, modifiers.target, ready) or None

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

    def _fallback_value(
        self, name: str, target: _ValueTargets, modifiers: Modifiers | None
    ) -> FallbackValue:
        """The value that replaces a metric without one. Counts its failure."""
        fallback = self._pool.fallback
        if fallback is None or not is_usable(fallback, modifiers):
            return NO_FALLBACK_VALUE
        failures = self._failures_before.get(name, 0) + 1
        self._failures[name] = min(failures, fallback.failure_threshold + 1)
        return fallback_value(
            fallback,
            failures,
            target=target,
            current=self._current,
            ready_pods=serving_pods(self._seen.measured_pods),
        )

    def _activate(self, name: str, milli: int, activation_milli: int) -> None:
        if milli > activation_milli:
            self._active.append(Activator(name, milli, activation_milli))

    def _not_known(self, name: str, reading: Reading[MetricValue], hides: str = "") -> None:
        """Add a metric that cannot be used; `hides` is the composite metric that needs it."""
        self._unusable.append(UnusableMetric(hides or name, {"metric": name, **_why(reading)}))
        messages = self._work.messages
        if name == QUEUE and messages is not None:
            # a wake-up proves a message before the queue can be counted
            self._activate(QUEUE, MILLI * messages, MILLI * self._pool.activation)

    def _explain_fallback(self, name: str, reading: Reading[MetricValue]) -> None:
        self._falls_back = True
        self._reasons.append(Reason(code=Code.FALLBACK, numbers={"metric": name, **_why(reading)}))

    def _fresh(self, spec: ExternalMetric | ObjectMetric, milli: int) -> Fresh[MetricValue]:
        value: MetricValue = (
            Figure(value_milli=milli)
            if isinstance(spec, ObjectMetric)
            else Series(values_milli=(milli,))
        )
        return Fresh(value=value, at=0.0)


def _amount(reading: Reading[MetricValue]) -> int | None:
    """One number in thousandths, None where there is none."""
    match reading:
        case Fresh(value=Series(values_milli=values)) if values:
            return min(sum(values), INT64_MAX)
        case Fresh(value=Figure(value_milli=milli)):
            return milli
        case _:
            return None


def _why(reading: Reading[MetricValue]) -> dict[str, Number]:
    if isinstance(reading, Fresh):
        return {"why": MetricFault.NO_SERIES.value}
    return blindness(reading)


def _without_value(reading: Reading[MetricValue]) -> Reading[MetricValue]:
    """The failed reading; a fresh reading without a number counts as failed too."""
    return Absent(why=Why.UNREADABLE, at=reading.at) if isinstance(reading, Fresh) else reading


def _is_plausible(value: MetricValue) -> bool:
    """Whether every number can be a quantity or a time."""
    match value:
        case Series():
            return all(map(_is_quantity, value.values_milli))
        case Figure():
            return _is_quantity(value.value_milli)
        case PodFigures():
            return all(
                _is_quantity(one.value_milli) and isfinite(one.at) and isfinite(one.window_s)
                for one in value.items
            )
        case PodUsages():
            return all(
                isfinite(one.at)
                and isfinite(one.window_s)
                and all(use is None or _is_quantity(use) for use in one.containers.values())
                for one in value.items
            )


def _is_quantity(milli: object) -> bool:
    return isinstance(milli, int) and -INT64_MAX <= milli <= INT64_MAX
