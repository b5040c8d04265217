"""Step 1, first half: the replicas that a pool's work asks for, and how sure that is."""

from __future__ import annotations

from math import isfinite
from typing import Final

from msgspec.structs import replace

from controller.model.decision import Code, Number, Reason
from controller.model.fleet import (
    QUEUE,
    AverageValueTarget,
    ContainerResourceMetric,
    ExternalMetric,
    Fallback,
    FallbackBehavior,
    Modifiers,
    ObjectMetric,
    ResourceMetric,
    Rule,
    ValueTarget,
)
from controller.model.memory import PoolMemory
from controller.model.observation import (
    Figure,
    MeasuredMetric,
    MetricValue,
    PodFigures,
    PodUsages,
    PoolObservation,
    Series,
)
from controller.model.readings import Absent, Fresh, Reading, Why
from controller.model.value import INT64_MAX, MILLI
from controller.notation.formula import Formula, FormulaError, composite_milli
from controller.planning.demand.hpa_metrics import (
    MetricFault,
    propose_all,
    reading_name,
    serving_pods,
)
from controller.planning.demand.learned import learn
from controller.planning.demand.queue import blindness, cap_redelivered, read_work
from controller.planning.demand.standby import demand_to_stand_by, left_to_standbys
from controller.planning.inputs import Moment, PoolInput, PoolTerms
from controller.planning.values import Demand


def demand_of(given: PoolInput, moment: Moment) -> Demand:
    """What the pool's queue, its past and its metrics ask for."""
    terms = given.terms
    if terms.pool.serves:
        return demand_to_stand_by(given, moment)
    demand = read_work(terms.pool, given.seen, given.memory, forced=given.override.forced)
    if terms.needs_past:
        demand = learn(given, demand, moment)
    demand = cap_redelivered(given, demand, moment.now)
    if not terms.has_metrics:
        return demand if terms.standby_share is None else left_to_standbys(given, demand, moment)
    measured = _Measured(terms, given.seen, demand, given.current)
    memory = demand.memory
    # the same object while the counts are the same, so that an unchanged memory is kept
    if measured.failures != memory.failures:
        memory = replace(memory, failures=measured.failures)
    demand = replace(
        demand,
        activator=measured.activator,
        memory=memory,
        reasons=(*demand.reasons, *measured.reasons),
    )
    by_metrics = _by_hpa if terms.pool.rule is Rule.HPA else _beside_the_queue
    return by_metrics(given, demand, measured, moment)


def blind_demand_of(terms: PoolTerms, seen: PoolObservation, memory: PoolMemory) -> Demand:
    """The demand, to be shown, if the Deployment is not known; no cooldown begins meanwhile."""
    demand = read_work(terms.pool, seen, memory)
    if not terms.has_metrics:
        return demand
    measured = _Measured(terms, seen, demand, None)
    return replace(
        demand,
        active=measured.active or (terms.pool.rule is Rule.NATIVE and demand.active),
        reasons=(*demand.reasons, *measured.reasons),
    )


def _beside_the_queue(
    given: PoolInput, demand: Demand, measured: _Measured, moment: Moment
) -> Demand:
    """Rule native: the largest of the queue's and the metrics' demand that there are."""
    active = demand.active or measured.active
    if not measured.metrics:
        return replace(demand, active=active)
    found = propose_all(given, measured.metrics, measured.unusable, moment)
    counted = demand.counted and found.unusable is None
    return replace(
        demand,
        counted=counted,
        replicas=_largest(demand.replicas, found.replicas),
        needed=_largest(demand.needed, found.needed) if counted else None,
        active=active,
        unusable=found.unusable if demand.counted else None,
        reasons=demand.reasons + found.reasons,
    )


def _by_hpa(given: PoolInput, demand: Demand, measured: _Measured, moment: Moment) -> Demand:
    """Rule hpa: the metrics alone, evaluated if pods run at a size within bounds."""
    active, replicas, needed = demand.forced or measured.active, demand.replicas, demand.needed
    bounds, current = given.override.bounds, given.current
    if not max(bounds.min, 1) <= current <= bounds.max or not measured.metrics:
        unusable = next(iter(measured.unusable.values()), None)
        counted = unusable is None
        if current == 0 and counted and not active and demand.active:
            replicas = needed = 0  # the queue is not one of its metrics, which ask for nothing
        return replace(
            demand,
            counted=counted,
            replicas=replicas,
            needed=needed if counted else None,
            active=active,
            unusable=unusable,
        )
    found = propose_all(given, measured.metrics, measured.unusable, moment)
    counted, proposal = found.unusable is None, found.replicas
    if not counted and (proposal is None or proposal < current):
        proposal = None  # HPA: no scale-down while a metric has no proposal
    return replace(
        demand,
        counted=counted,
        replicas=found.replicas,
        needed=found.needed if counted else None,
        active=active,
        proposal=proposal,
        unusable=found.unusable,
        reasons=demand.reasons + found.reasons,
    )


def _largest(one: int | None, other: int | None) -> int | None:
    if one is None or other is None:
        return other if one is None else one
    return max(one, other)


COMPOSITE: Final = "composite-metric"


class _Measured:
    """The metrics of one pool at one plan; `current` is None where the Deployment is not known.

    - `metrics`: what was read or stands in for it. `active`: a metric or a fallback is active;
      `activator`: the numbers of the first metric that is.
    - `unusable`: by name, why a metric could not be read. `failures`: by name, how many plans in a
      row could not read it, to be remembered.
    """

    def __init__(
        self, terms: PoolTerms, seen: PoolObservation, demand: Demand, current: int | None
    ) -> None:
        self._pool, self._seen, self._demand, self._current = terms.pool, seen, demand, current
        self.metrics: list[MeasuredMetric] = []
        self.active = False
        self.activator: dict[str, Number] | None = None
        self.unusable: dict[str, dict[str, Number]] = {}
        self.failures: dict[str, int] = {}
        self.reasons: list[Reason] = []
        modifiers, formula = terms.pool.modifiers, terms.formula
        replaced: tuple[str, ...] = ()
        if modifiers is not None and formula is not None:
            spec = ExternalMetric(name=COMPOSITE, target=modifiers.target)
            if isinstance(formula, FormulaError):
                self.metrics.append(self._without_formula(spec, formula))
            else:
                self.metrics.append(self._computed(spec, modifiers, formula))
                replaced = formula.names
        unread_pods: dict[str, dict[str, Number]] = {}
        for each in terms.specs:
            if isinstance(each, ExternalMetric | ObjectMetric):
                if each.name not in replaced or isinstance(each, ObjectMetric):
                    self.metrics.append(self._metric(each))
                continue
            name = reading_name(each)
            reading = self._reading(name)
            # without replicas there are no pods to measure
            if current and not isinstance(reading, Fresh):
                unread_pods.setdefault(name, _named(name, reading))
            self.metrics.append(MeasuredMetric(spec=each, reading=reading))
        # KEDA: a pool with only CPU and memory metrics always counts as active
        only_resources = terms.pool.rule is Rule.HPA and all(
            isinstance(one.spec, ResourceMetric | ContainerResourceMetric) for one in self.metrics
        )
        self.active = self.active or (only_resources and not self.unusable)
        # metrics of pods do not count for KEDA's activity
        for name, why in unread_pods.items():
            self.unusable.setdefault(name, why)

    def _metric(self, spec: ExternalMetric | ObjectMetric) -> MeasuredMetric:
        name = reading_name(spec)
        reading = self._reading(name)
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
        self.unusable.setdefault(COMPOSITE, numbers)
        return MeasuredMetric(spec=spec, reading=Absent(why=Why.IMPLAUSIBLE, detail=str(error)))

    def _reading(self, name: str) -> Reading[MetricValue]:
        """The reading with this name; for the queue it is the pool's own."""
        if name == QUEUE:
            demand, queue = self._demand, self._seen.queue
            if demand.counted and demand.messages is not None:
                return Fresh(value=Series(values_milli=(MILLI * demand.messages,)), at=queue.at)
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
        """What replaces a missing metric, and whether a formula gets nil for it: nothing until its
        failures exceed the threshold. KEDA: modifiers need a whole target above 0.
        """
        fallback = self._pool.fallback
        units, rest = divmod(MILLI if modifiers is None else modifiers.target_milli, MILLI)
        if fallback is None or rest or not 0 < units <= INT64_MAX:
            return None, False
        failures = self._demand.memory.failures.get(name, 0) + 1
        self.failures[name] = min(failures, fallback.failure_threshold + 1)
        if failures <= fallback.failure_threshold:
            return None, False
        if fallback.behavior is FallbackBehavior.SCALING_MODIFIERS:
            return None, True
        return self._worth(_fallback_replicas(fallback, self._current), target), False

    def _worth(self, replicas: int | None, target: AverageValueTarget | ValueTarget) -> int | None:
        """The milli value for which the HPA proposes so many replicas; None if there is none."""
        if not replicas:
            return None
        if isinstance(target, AverageValueTarget):
            return target.milli * replicas or None
        ready = serving_pods(self._seen.measured_pods)
        return target.milli * replicas // ready or None if ready else None

    def _activate(self, name: str, milli: int, activation_milli: int) -> None:
        if milli > activation_milli and self.activator is None:
            measured, activation = milli / MILLI, activation_milli / MILLI
            self.active = True
            self.activator = {"metric": name, "measured": measured, "activation": activation}

    def _not_known(self, name: str, reading: Reading[MetricValue], hides: str = "") -> None:
        """Add a metric that cannot be used; `hides` is the composite metric that needs it."""
        self.unusable.setdefault(hides or name, _named(name, reading))
        messages = self._demand.messages
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
        self.active = True
        self.reasons.append(Reason(code=Code.FALLBACK, numbers=_named(name, reading)))
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
