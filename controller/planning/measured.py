"""A pool's metrics as the HPA is to see them: each reading checked, the ones that a formula names
replaced by its result, the ones that keep failing by their fallback; and whether any of them is
active, as KEDA has it.

Two things differ from KEDA: a fallback of no replicas stands in for nothing, for silence takes
nothing away; and a failure is counted once in each plan.
"""

from __future__ import annotations

from functools import lru_cache
from math import isfinite
from typing import Final, NamedTuple, TypeAlias

from controller.model.decision import Code, Number, Reason
from controller.model.fleet import Pool, Rule
from controller.model.metrics import (
    QUEUE,
    AverageValueTarget,
    ContainerResourceMetric,
    ExternalMetric,
    Figure,
    MeasuredMetric,
    MetricSpec,
    MetricValue,
    Modifiers,
    ObjectMetric,
    PodFigures,
    PodsMetric,
    PodUsages,
    ResourceMetric,
    Series,
    UnknownMetric,
    ValueTarget,
)
from controller.model.observation import PoolObservation
from controller.model.readings import Absent, Fresh, Reading, Why
from controller.notation.formula_syntax import FormulaError
from controller.planning.demand import Work, blindness
from controller.planning.fallback import Health, Situation, Supplied, supply
from controller.planning.fallback import Modifiers as FormulaTarget
from controller.planning.formula import Formula, compile_formula
from controller.planning.keda import is_active, object_is_active
from controller.planning.metrics import Fault
from controller.planning.modifiers import COMPOSITE, composite_milli
from controller.planning.pod_metrics import serving_pods

MILLI: Final = 1000
_QUANTITY_LIMIT: Final = 2**63 - 1
_FORMULAS_KEPT: Final = 4096

_Figures: TypeAlias = AverageValueTarget | ValueTarget


class Unknown(NamedTuple):
    """A metric that cannot be used, and the numbers that say why."""

    name: str
    numbers: dict[str, Number]


class Activator(NamedTuple):
    """What wakes the pool: a metric's value strictly above its activation, in thousandths."""

    name: str
    milli: int
    activation_milli: int


class Measured(NamedTuple):
    """The metrics of one pool at one tick.

    `active`: any of them, or a fallback, is; `activator` is the first that is. `unknown` are those
    that stand for queues and signals and could not be had. `failures` are to be remembered.
    """

    metrics: tuple[MeasuredMetric, ...]
    active: bool
    activator: Activator | None
    unknown: tuple[Unknown, ...]
    failures: dict[str, int]


def watches_metrics(pool: Pool) -> bool:
    """Whether the pool is sized by more than its own queue and rule `native`."""
    return bool(pool.metrics) or pool.rule is Rule.HPA or pool.modifiers is not None


def reading_name(spec: MetricSpec) -> str:
    """Under which name an observation holds the reading of a metric.

    The metric's own name; with a selector `name{selector}`, for an object `Kind/object/name`. CPU
    and memory are read once for all the containers, under the resource's name.
    """
    match spec:
        case ResourceMetric() | ContainerResourceMetric():
            return spec.resource
        case UnknownMetric():
            return spec.source
        case ObjectMetric(object_name=described) if described:
            return _selected(f"{spec.kind}/{described}/{spec.name}", spec.selector)
        case ExternalMetric() | ObjectMetric() | PodsMetric():
            return _selected(spec.name, spec.selector)


def measure(
    pool: Pool,
    seen: PoolObservation,
    work: Work,
    *,
    current: int | None,
    failures: dict[str, int],
    now: float,
    reasons: list[Reason],
) -> Measured:
    """What the pool's metrics came to; `current` is None where the Deployment is not known."""
    return _Measuring(
        pool, seen, work, current=current, failures=failures, now=now, reasons=reasons
    ).measured()


class _Measuring:
    """The pass over one pool's metrics."""

    def __init__(
        self,
        pool: Pool,
        seen: PoolObservation,
        work: Work,
        *,
        current: int | None,
        failures: dict[str, int],
        now: float,
        reasons: list[Reason],
    ) -> None:
        self._pool = pool
        self._seen = seen
        self._work = work
        self._current = current
        self._before = failures
        self._now = now
        self._reasons = reasons
        self._failures: dict[str, int] = {}
        self._unknown: list[Unknown] = []
        self._pods_unread: list[Unknown] = []  # KEDA does not look at these
        self._active: list[Activator] = []
        self._falls_back = False

    def measured(self) -> Measured:
        pool = self._pool
        specs = pool.metrics or (_default(pool) if pool.rule is Rule.HPA else ())
        composite, replaced = self._composite()
        metrics = tuple(
            self._metric(spec)
            for spec in specs
            if not (isinstance(spec, ExternalMetric) and spec.name in replaced)
        )
        if composite is not None:
            metrics = (composite, *metrics)
        active = object_is_active(
            [one.name for one in self._active],
            only_resources=pool.rule is Rule.HPA
            and all(isinstance(one.spec, _OF_PODS) for one in metrics),
            failed=bool(self._unknown),
            fallback=self._falls_back,
        )
        return Measured(
            metrics,
            active,
            self._active[0] if self._active else None,
            (*self._unknown, *self._pods_unread),
            self._failures,
        )

    def _metric(self, spec: MetricSpec) -> MeasuredMetric:
        name = reading_name(spec)
        reading = self._reading(name)
        if not isinstance(spec, ExternalMetric | ObjectMetric):
            # where nothing runs there are no pods to be measured
            if (
                self._current
                and not isinstance(spec, UnknownMetric)
                and not isinstance(reading, Fresh)
            ):
                numbers: dict[str, Number] = {"metric": name, **_why(reading, self._now)}
                self._pods_unread.append(Unknown(name, numbers))
            return MeasuredMetric(spec=spec, reading=reading)
        supplied = self._supplied(name, reading, spec.target)
        if supplied.value_milli is None:
            self._not_known(name, reading)
            return MeasuredMetric(spec=spec, reading=reading)
        if supplied.active:
            self._stands_in(name, reading)
            return MeasuredMetric(spec=spec, reading=self._fresh(spec, supplied.value_milli))
        activation = self._pool.activation * MILLI if name == QUEUE else 0
        self._activate(name, supplied.value_milli, activation)
        return MeasuredMetric(spec=spec, reading=reading)

    def _composite(self) -> tuple[MeasuredMetric | None, frozenset[str]]:
        """The formula's metric, and the names that it replaces."""
        modifiers = self._pool.modifiers
        if modifiers is None:
            return None, frozenset()
        target = modifiers.target
        spec = ExternalMetric(name=COMPOSITE, target=target)
        formula = _compiled(modifiers.formula)
        if isinstance(formula, FormulaError):
            return self._without_formula(spec, formula), frozenset()
        replaced = frozenset(formula.names)
        values: dict[str, int | None] = {}
        broken: tuple[str, Reading[MetricValue]] | None = None
        stand_in: tuple[str, Reading[MetricValue], int] | None = None
        for name in formula.names:
            reading = self._reading(name)
            supplied = self._supplied(name, reading, target, modifiers)
            if supplied.active and supplied.value_milli is not None:
                stand_in = stand_in or (name, reading, supplied.value_milli)
            elif supplied.value_milli is None and not supplied.is_nil:
                broken = broken or (name, reading)
            values[name] = supplied.value_milli
        if stand_in is not None:
            # KEDA: a fallback is the value of the whole, the formula is not asked
            name, reading, milli = stand_in
            self._stands_in(name, reading)
            return MeasuredMetric(spec=spec, reading=self._fresh(spec, milli)), replaced
        if broken is not None:
            name, reading = broken
            self._not_known(name, reading, hides=COMPOSITE)
            return MeasuredMetric(spec=spec, reading=_without_value(reading)), replaced
        try:
            milli = composite_milli(formula, values)
        except FormulaError as error:
            return self._without_formula(spec, error), replaced
        self._activate(COMPOSITE, milli, modifiers.activation_milli)
        return MeasuredMetric(spec=spec, reading=self._fresh(spec, milli)), replaced

    def _without_formula(self, spec: ExternalMetric, error: FormulaError) -> MeasuredMetric:
        numbers: dict[str, Number] = {"metric": COMPOSITE, "why": error.fault.value}
        self._unknown.append(Unknown(COMPOSITE, numbers))
        reading = Absent(why=Why.IMPLAUSIBLE, at=self._now, detail=str(error))
        return MeasuredMetric(spec=spec, reading=reading)

    def _reading(self, name: str) -> Reading[MetricValue]:
        """What was read under this name; the queue's is the pool's own."""
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

    def _supplied(
        self,
        name: str,
        reading: Reading[MetricValue],
        target: _Figures,
        modifiers: Modifiers | None = None,
    ) -> Supplied:
        """A metric's value, or what its fallback makes of its silence: by the formula's target
        where it is one of its inputs.
        """
        read, fallback = _amount(reading), self._pool.fallback
        whole = None
        if modifiers is not None:
            units, rest = divmod(modifiers.target_milli, MILLI)
            whole = FormulaTarget(
                target="" if rest else str(units),
                is_average=isinstance(modifiers.target, AverageValueTarget),
            )
        around = Situation(
            target=target,
            replicas=self._current,
            ready_pods=serving_pods(self._seen.measured_pods),
            modifiers=whole,
        )
        health = Health(failures=self._before.get(name, 0))
        supplied = supply(read, fallback, health, around)
        if fallback is not None and supplied.health is not None and supplied.health.failures:
            self._failures[name] = min(supplied.health.failures, fallback.failure_threshold + 1)
        if supplied.active and not supplied.value_milli:
            return Supplied(None, error=read if isinstance(read, str) else None)
        return supplied

    def _activate(self, name: str, milli: int, activation_milli: int) -> None:
        if is_active(milli, activation_milli):
            self._active.append(Activator(name, milli, activation_milli))

    def _not_known(self, name: str, reading: Reading[MetricValue], hides: str = "") -> None:
        """A metric that cannot be used; `hides` is the one that it is an input of."""
        numbers: dict[str, Number] = {"metric": name, **_why(reading, self._now)}
        self._unknown.append(Unknown(hides or name, numbers))
        messages = self._work.messages
        if name == QUEUE and messages is not None:
            # a wake-up proves a message before the queue can be counted
            self._activate(QUEUE, MILLI * messages, MILLI * self._pool.activation)

    def _stands_in(self, name: str, reading: Reading[MetricValue]) -> None:
        self._falls_back = True
        numbers: dict[str, Number] = {"metric": name, **_why(reading, self._now)}
        self._reasons.append(Reason(code=Code.FALLBACK, numbers=numbers))

    def _fresh(self, spec: ExternalMetric | ObjectMetric, milli: int) -> Fresh[MetricValue]:
        value: MetricValue = (
            Figure(value_milli=milli)
            if isinstance(spec, ObjectMetric)
            else Series(values_milli=(milli,))
        )
        return Fresh(value=value, at=self._now)


_OF_PODS: Final = (ResourceMetric, ContainerResourceMetric)


@lru_cache(maxsize=_FORMULAS_KEPT)
def _compiled(text: str) -> Formula | FormulaError:
    """The formula, read once for as long as it stands in the fleet file."""
    try:
        return compile_formula(text)
    except FormulaError as error:
        return error


def _default(pool: Pool) -> tuple[MetricSpec, ...]:
    target = AverageValueTarget(milli=MILLI * max(pool.target, 1))
    return (ExternalMetric(name=QUEUE, target=target),)


def _selected(name: str, selector: str) -> str:
    return f"{name}{{{selector}}}" if selector else name


def _amount(reading: Reading[MetricValue]) -> int | str:
    """One number in thousandths, or why there is none."""
    match reading:
        case Fresh(value=Series(values_milli=values)) if values:
            return min(sum(values), _QUANTITY_LIMIT)
        case Fresh(value=Figure(value_milli=milli)):
            return milli
        case Fresh():
            return Fault.NO_SERIES.value
        case _:
            return reading.detail or reading.why.value


def _why(reading: Reading[MetricValue], now: float) -> dict[str, Number]:
    if isinstance(reading, Fresh):
        return {"why": Fault.NO_SERIES.value}
    return blindness(reading, now)


def _without_value(reading: Reading[MetricValue]) -> Reading[MetricValue]:
    """A reading that failed; one that has no number to it counts as such."""
    return Absent(why=Why.UNREADABLE, at=reading.at) if isinstance(reading, Fresh) else reading


def _is_plausible(value: MetricValue) -> bool:
    """Whether every number is one that a quantity or a time can be."""
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
    return isinstance(milli, int) and -_QUANTITY_LIMIT <= milli <= _QUANTITY_LIMIT
