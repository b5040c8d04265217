"""A tick as one line of JSON: all inputs of the planner at one moment, the ranges of their numbers,
and the names in them that the fleet does not have; and what is stored beyond the process.

TickError          all faults of one line
  InputFault       one fault: its path and a message (controller/model/decoding.py)

A number outside its range cannot come from a real cluster. Counts of messages and replicas, metric
values and times of readings have no range here, because the planner itself holds a pool with such a
number and gives the reason. The other numbers could scale a pool down instead. A name that the
fleet does not have is nearly always misspelt: a freeze of a pool that does not exist protects none.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from decimal import Decimal
from enum import StrEnum
from typing import Any, Final, Literal, NamedTuple

import msgspec
from msgspec.structs import replace

from controller.model.decoding import (
    InputFault,
    NotJsonError,
    faults,
    member,
    not_a_decimal,
    read_json_line,
)
from controller.model.fleet import Fleet, Pool
from controller.model.ids import PoolKey
from controller.model.intents import Intent, Intents, Scope, gathered
from controller.model.memory import (
    Memory,
    NativeMemory,
    PendingWrite,
    PoolMemory,
    RecommendationRun,
    Repeats,
    ScaleChange,
    SetBack,
)
from controller.model.metrics import QUEUE, MeasuredPod, MetricSpec, MetricValue, PodUsages
from controller.model.observation import Observation, PoolObservation, QueueDepth
from controller.model.readings import Reading, last_known
from controller.model.scarcity import Resources, TaskUsage
from controller.model.snapshot import History, TokenState
from controller.model.text import ECHO_LIMIT, clean, clean_name, nearest
from controller.model.value import CPU, INT32_MAX, INT64_MAX, MEMORY, MILLI, Value

MAX_NEAREST: Final = 3
"""The most similar names that a sentence suggests."""
_LISTED: Final = 10


class NameKind(StrEnum):
    """What a name stands for."""

    POOL = "pool"
    TENANT = "tenant"
    NODE_CLASS = "node class"
    METRIC = "metric"


class UnknownName(NamedTuple):
    """A name that the fleet does not have, with its path, such as `intents.freezes[0].scope`.

    `pool` is the key of a metric's pool, empty for other kinds of names.
    """

    path: str
    kind: NameKind
    name: str
    pool: str = ""


def unknown_names(
    fleet: Fleet,
    observation: Observation,
    intents: Intents,
    reading_name: Callable[[MetricSpec], str],
) -> Iterator[UnknownName]:
    """Every name in the observation and the intents that the fleet does not have.

    `reading_name` gives the name of a metric's reading in an observation. Names of the fleet that
    are missing there are allowed: an observation need not have all pools.
    """
    pools = {pool.key: pool for pool in fleet.pools}
    tenants = {tenant.name for tenant in fleet.tenants}
    yield from _of_pools(observation, pools, reading_name)
    for name in sorted(observation.tenants.keys() - tenants):
        yield UnknownName(member("observation.tenants", name), NameKind.TENANT, name)
    if (room := last_known(observation.capacity)) is not None:
        known = {one.name for one in fleet.capacity.node_classes}
        for name in sorted(room.classes.keys() - known):
            path = member("observation.capacity.value.classes", name)
            yield UnknownName(path, NameKind.NODE_CLASS, name)
    for path, key in _pools_of(intents):
        if key not in pools:
            yield UnknownName(path, NameKind.POOL, key)
    for index, budget in enumerate(intents.budgets):
        if budget.tenant not in tenants:
            yield UnknownName(f"intents.budgets[{index}].tenant", NameKind.TENANT, budget.tenant)
    for path, scope in scopes_of(intents):
        if scope.pool is not None and scope.pool not in pools:
            yield UnknownName(f"{path}.pool", NameKind.POOL, scope.pool)
        if scope.tenant is not None and scope.tenant not in tenants:
            yield UnknownName(f"{path}.tenant", NameKind.TENANT, scope.tenant)


def _of_pools(
    observation: Observation,
    pools: Mapping[PoolKey, Pool],
    reading_name: Callable[[MetricSpec], str],
) -> Iterator[UnknownName]:
    for key, seen in observation.pools.items():
        path = member("observation.pools", key)
        if key not in pools:
            yield UnknownName(path, NameKind.POOL, key)
        elif seen.metrics:
            known = metric_names(pools[key], reading_name)
            for name in sorted(seen.metrics.keys() - known):
                yield UnknownName(member(f"{path}.metrics", name), NameKind.METRIC, name, key)
    for key in sorted(observation.under_way.keys() - pools.keys()):
        yield UnknownName(member("observation.under_way", key), NameKind.POOL, key)


def _pools_of(intents: Intents) -> Iterator[tuple[str, str]]:
    """The pool of each intent that is always about one pool, with its path."""
    for index, pin in enumerate(intents.pins):
        yield f"intents.pins[{index}].pool", pin.pool
    for index, cap in enumerate(intents.caps):
        yield f"intents.caps[{index}].pool", cap.pool


def scopes_of(intents: Intents) -> Iterator[tuple[str, Scope]]:
    """The scope of each intent that may be about a pool, a tenant or the fleet, with its path."""
    for index, pause in enumerate(intents.pauses):
        yield f"intents.pauses[{index}].scope", pause.scope
    for index, freeze in enumerate(intents.freezes):
        yield f"intents.freezes[{index}].scope", freeze.scope
    for index, held in enumerate(intents.no_growths):
        yield f"intents.no_growths[{index}].scope", held.scope


def metric_names(pool: Pool, reading_name: Callable[[MetricSpec], str]) -> set[str]:
    """The allowed names of a pool's readings: its metrics, its signals and its queue."""
    return {
        QUEUE,
        *(signal.name for signal in pool.signals),
        *(reading_name(spec) for spec in pool.metrics),
    }


def sentence(
    unknown: UnknownName,
    fleet: Fleet,
    reading_name: Callable[[MetricSpec], str],
    *,
    advised: bool = True,
) -> str:
    """The unknown name as a sentence. If `advised`, it suggests similar names of the fleet, or
    lists the first names if none is similar.
    """
    name = clean_name(unknown.name)
    subject = f"the fleet has no {unknown.kind} {name}"
    if unknown.kind is NameKind.METRIC:
        subject = f"no metric or signal of {unknown.pool} is called {name}"
    if not advised:
        return subject
    match unknown.kind:
        case NameKind.POOL:
            return unknown_pool(unknown.name, fleet)
        case NameKind.TENANT:
            known = [tenant.name for tenant in fleet.tenants]
        case NameKind.NODE_CLASS:
            known = [one.name for one in fleet.capacity.node_classes]
        case NameKind.METRIC:
            pool = next(each for each in fleet.pools if each.key == unknown.pool)
            known = sorted(metric_names(pool, reading_name))
    return f"{subject}; {_advice(unknown.name, known)}"


def unknown_pool(name: str, fleet: Fleet) -> str:
    """`sentence` for an unknown pool: a pool with its name at another tenant is suggested too."""
    keys = [str(pool.key) for pool in fleet.pools]
    same_name = [pool.key for pool in fleet.pools if pool.name == name.rpartition("/")[2]]
    return f"the fleet has no pool {clean_name(name)}; {_advice(name, keys, same_name)}"


def listed(names: Iterable[str]) -> str:
    """The first ten names, and how many more there are."""
    given = list(names)
    told, more = ", ".join(given[:_LISTED]), len(given) - _LISTED
    return f"{told} and {more:,} more" if more > 0 else told


def _advice(name: str, known: Iterable[str], first: Iterable[str] = ()) -> str:
    names = list(known)
    near = list(dict.fromkeys([*first, *nearest(name, names, MAX_NEAREST)]))[:MAX_NEAREST]
    if near:
        return f"nearest: {', '.join(near)}"
    return f"it has {listed(names)}" if names else "it has none"


AnyNumber = int | float | Decimal

END_OF_TIME: Final = 32_503_680_000
"""The start of the year 3000 in Unix seconds. A later time is probably in milliseconds."""
MAX_CLOCK_ERROR_S: Final = 366 * 86_400
"""How far in the future a time may be, because of a wrong clock; a later one is an error."""


class NumberRange(NamedTuple):
    """The least and the largest allowed number, and its unit for messages."""

    low: AnyNumber
    high: AnyNumber
    unit: str

    def admits(self, number: AnyNumber) -> bool:
        """Whether the number is in the range. NaN never is."""
        if isinstance(number, Decimal) and not number.is_finite():
            return False  # a Decimal NaN raises when compared; a float NaN does not
        return self.low <= number <= self.high

    def __str__(self) -> str:
        return f"from {_spelled(self.low)} to {_spelled(self.high)} {self.unit}"


REPLICA_COUNT: Final = NumberRange(0, INT32_MAX, "replicas")
AMOUNT: Final = NumberRange(0, INT64_MAX, "units")
COUNTER: Final = NumberRange(0, INT64_MAX, "messages")
TASK_TOKENS: Final = NumberRange(0, 10**9, "tokens")
DAY_TOKENS: Final = NumberRange(0, 10**15, "tokens")
TASK_CALLS: Final = NumberRange(0, 10**6, "calls")
TASK_SECONDS: Final = NumberRange(Decimal("0.001"), Decimal(30 * 86_400), "seconds")
# more than any machine can give to one replica
REPLICA_CPU: Final = NumberRange(0, 10**9, "millicores")
REPLICA_MEMORY: Final = NumberRange(0, 2**46, "bytes")
REPLICA_MEMORY_MILLI: Final = NumberRange(0, 2**46 * MILLI, "thousandths of a byte")
FAILURES: Final = NumberRange(0, INT32_MAX + 1, "failures")
MOMENT: Final = NumberRange(0, END_OF_TIME, "Unix seconds, the years 1970 to 3000")


def observation_faults(seen: Observation, now: float) -> Iterator[InputFault]:
    """The numbers of an observation that are out of their range, each at its path."""
    path = "observation"
    yield from _fault(_clock_step(now), f"{path}.clock_step_s", seen.clock_step_s)
    for key, pool in seen.pools.items():
        yield from _of_pool(pool, member(f"{path}.pools", key))
    for name, tenant in seen.tenants.items():
        quota = last_known(tenant.quota)
        yield from _of_room(quota, f"{member(f'{path}.tenants', name)}.quota.value")
    room = last_known(seen.capacity)
    if room is not None:
        yield from _of_room(room.resources, f"{path}.capacity.value.resources")
        for name, resources in room.classes.items():
            yield from _of_room(resources, member(f"{path}.capacity.value.classes", name))
    yield from _faults(REPLICA_COUNT, f"{path}.under_way", seen.under_way)


def intents_faults(intents: Intents) -> Iterator[InputFault]:
    """The numbers of operators' intents that are out of their range, each at its path."""
    for index, pin in enumerate(intents.pins):
        path = f"intents.pins[{index}]"
        yield from _fault(REPLICA_COUNT, f"{path}.replicas", pin.replicas)
        yield from _fault(MOMENT, f"{path}.until", pin.until)
    for index, pause in enumerate(intents.pauses):
        path = f"intents.pauses[{index}]"
        yield from _fault(REPLICA_COUNT, f"{path}.keep", pause.keep)
        yield from _fault(MOMENT, f"{path}.until", pause.until)
    for index, freeze in enumerate(intents.freezes):
        yield from _fault(MOMENT, f"intents.freezes[{index}].until", freeze.until)
    for index, cap in enumerate(intents.caps):
        path = f"intents.caps[{index}]"
        yield from _fault(REPLICA_COUNT, f"{path}.replicas", cap.replicas)
        yield from _fault(MOMENT, f"{path}.until", cap.until)
    for index, held in enumerate(intents.no_growths):
        yield from _fault(MOMENT, f"intents.no_growths[{index}].until", held.until)
    for index, budget in enumerate(intents.budgets):
        path = f"intents.budgets[{index}]"
        yield from _fault(DAY_TOKENS, f"{path}.tokens", budget.tokens)
        yield from _fault(MOMENT, f"{path}.until", budget.until)


def memory_faults(memory: Memory, now: float) -> Iterator[InputFault]:
    """The numbers of a memory that are out of their range, each at its path."""
    # negative times are allowed: a recording may have a clock that begins at 0
    times = NumberRange(
        -END_OF_TIME, now + MAX_CLOCK_ERROR_S, "Unix seconds, at most a year after now"
    )
    yield from _fault(times, "memory.planned_at", memory.planned_at)
    for key, pool in memory.pools.items():
        path = member("memory.pools", key)
        yield from _of_sizes(pool, path)
        yield from _of_times(pool, path, times)
        yield from _faults(FAILURES, f"{path}.failures", pool.failures)
        for at, repeats in _repeats(pool, path):
            counters = _numbers(repeats, "messages", "delivered", "sequence")
            yield from _faults(COUNTER, at, counters)
        if pool.native is not None:
            yield from _of_native(pool.native, f"{path}.native", times)


def _clock_step(now: float) -> NumberRange:
    """The allowed step: before it, the clock showed a time from 1970 to a year after now."""
    return NumberRange(-MAX_CLOCK_ERROR_S, now, "seconds")


def _of_queue(reading: Reading[QueueDepth], path: str) -> Iterator[InputFault]:
    depth = last_known(reading)
    if depth is not None:
        counters = _numbers(depth, "delivered", "sequence")
        yield from _faults(COUNTER, f"{path}.value", counters)


def _of_pool(pool: PoolObservation, path: str) -> Iterator[InputFault]:
    yield from _of_queue(pool.queue, f"{path}.queue")
    for index, queue in enumerate(pool.queues):
        yield from _of_queue(queue, f"{path}.queues[{index}]")
    workload = last_known(pool.workload)
    if workload is not None:
        yield from _of_requests(workload.requests, f"{path}.workload.value.requests")
    for name, reading in pool.metrics.items():
        yield from _of_metric(reading, f"{member(f'{path}.metrics', name)}.value")
    for index, pod in enumerate(pool.measured_pods):
        yield from _of_measured_pod(pod, f"{path}.measured_pods[{index}]")
    if pool.task_usage is not None:
        yield from _of_task(pool.task_usage, f"{path}.task_usage")


def _of_requests(requests: Resources, path: str) -> Iterator[InputFault]:
    yield from _fault(REPLICA_COUNT, f"{path}.replicas", requests.replicas)
    yield from _fault(REPLICA_CPU, f"{path}.cpu_milli", requests.cpu_milli)
    yield from _fault(REPLICA_MEMORY, f"{path}.memory_bytes", requests.memory_bytes)


def _of_room(room: Resources | None, path: str) -> Iterator[InputFault]:
    """A quota, or the room of nodes; it may be any quantity that Kubernetes can express."""
    if room is not None:
        yield from _faults(AMOUNT, path, _numbers(room, "replicas", "cpu_milli", "memory_bytes"))


def _of_task(task: TaskUsage, path: str) -> Iterator[InputFault]:
    tokens = _numbers(task, "input_tokens", "cached_input_tokens", "output_tokens")
    yield from _faults(TASK_TOKENS, path, tokens)
    yield from _fault(TASK_CALLS, f"{path}.calls", task.calls)
    yield from _fault(TASK_SECONDS, f"{path}.seconds", task.seconds)


def _of_metric(reading: Reading[MetricValue], path: str) -> Iterator[InputFault]:
    """Only the use of CPU or memory has a range; other metrics may be negative."""
    value = last_known(reading)
    if isinstance(value, PodUsages):
        for index, pod in enumerate(value.items):
            yield from _faults(AMOUNT, f"{path}.items[{index}].containers", pod.containers)


def _of_measured_pod(pod: MeasuredPod, path: str) -> Iterator[InputFault]:
    yield from _of_requests_milli(pod.requests_milli, f"{path}.requests_milli")
    for name, group in (("containers", pod.containers), ("sidecars", pod.sidecars)):
        for index, container in enumerate(group):
            at = f"{path}.{name}[{index}].requests_milli"
            yield from _of_requests_milli(container.requests_milli, at)


def _of_requests_milli(requests: Mapping[str, int], path: str) -> Iterator[InputFault]:
    ranges = {CPU: REPLICA_CPU, MEMORY: REPLICA_MEMORY_MILLI}
    for resource, milli in requests.items():
        yield from _fault(ranges.get(resource, AMOUNT), member(path, resource), milli)


def _of_sizes(pool: PoolMemory, path: str) -> Iterator[InputFault]:
    """The replica counts in a pool's memory."""
    yield from _fault(REPLICA_COUNT, f"{path}.ours", pool.ours)
    for at, value in _parts(pool, path):
        yield from _faults(REPLICA_COUNT, at, _numbers(value, *_SIZES[type(value)]))
    if pool.asked is not None:
        for index, size in enumerate(pool.asked.earlier):
            yield from _fault(REPLICA_COUNT, f"{path}.asked.earlier[{index}]", size)


def _of_times(pool: PoolMemory, path: str, times: NumberRange) -> Iterator[InputFault]:
    named = _numbers(pool, "since", "last_active_at", "active_since", "blind_since")
    yield from _faults(times, path, named)
    for at, value in _parts(pool, path):
        yield from _faults(times, at, _numbers(value, *_TIMES[type(value)]))
    for at, repeats in _repeats(pool, path):
        yield from _fault(times, f"{at}.since", repeats.since)


def _repeats(pool: PoolMemory, path: str) -> Iterator[tuple[str, Repeats]]:
    if pool.repeats is not None:
        yield f"{path}.repeats", pool.repeats
    for index, repeats in enumerate(pool.queue_repeats):
        if repeats is not None:
            yield f"{path}.queue_repeats[{index}]", repeats


_SIZES: Final[Mapping[type, tuple[str, ...]]] = {
    RecommendationRun: ("replicas",),
    ScaleChange: ("change",),
    PendingWrite: ("before", "after"),
    SetBack: ("ours", "theirs"),
}
_TIMES: Final[Mapping[type, tuple[str, ...]]] = {
    RecommendationRun: ("first_at", "last_at"),
    ScaleChange: ("at",),
    PendingWrite: ("at",),
    SetBack: ("at",),
}


def _parts(pool: PoolMemory, path: str) -> Iterator[tuple[str, Value]]:
    """The values in a pool's memory that have sizes and times, each with its path."""
    for name in ("recommendations", "scaled_up", "scaled_down", "set_back"):
        for index, value in enumerate(getattr(pool, name)):
            yield f"{path}.{name}[{index}]", value
    for name in ("asked", "replaced"):
        if (value := getattr(pool, name)) is not None:
            yield f"{path}.{name}", value


def _of_native(native: NativeMemory, path: str, times: NumberRange) -> Iterator[InputFault]:
    """Only times: the types of the other numbers limit them already."""
    named = _numbers(native, "asked_at", "in_flight_at", "quiet_since", "surplus_since")
    yield from _faults(times, path, named)
    yield from _faults(times, f"{path}.learned", _numbers(native.learned, "at", "wanted_at"))
    for index, forecast in enumerate(native.learned.forecasts):
        yield from _fault(times, f"{path}.learned.forecasts[{index}].at", forecast.at)


def _numbers(value: Value, *names: str) -> dict[str, AnyNumber | None]:
    return {name: getattr(value, name) for name in names}


def _faults(
    allowed: NumberRange, path: str, numbers: Mapping[Any, AnyNumber | None]
) -> Iterator[InputFault]:
    """A fault for each member of `path` that is out of this range."""
    for name, number in numbers.items():
        yield from _fault(allowed, member(path, name), number)


def _fault(allowed: NumberRange, path: str, number: AnyNumber | None) -> Iterator[InputFault]:
    if number is not None and not allowed.admits(number):
        yield InputFault(path, f"must be {allowed}, not {clean(number, ECHO_LIMIT)}")


def _spelled(number: AnyNumber) -> str:
    return f"{number:,.15g}" if isinstance(number, float) else f"{number:,}"


TICK_VERSION: Final = 1
MAX_FAULTS_TOLD: Final = 20
"""The most faults of one line that are named; of the others only the number is stated."""

_MAX_DIGITS: Final = 40
_EXACT: Final = re.compile(r"-?[0-9]+(\.[0-9]+)?([eE][-+]?[0-9]+)?")


class Tick(Value):
    """The observation at `now` (Unix seconds), the intents in force then, and the memory before it.

    Without `intents` there are none. Without `memory` the memory after the previous tick is used.
    """

    version: Literal[1]
    now: float
    observation: Observation
    intents: Intents | None = None
    memory: Memory | None = None


class TickError(Exception):
    """A line that is not a valid tick. `line` counts from 1; the text has one line per fault."""

    def __init__(self, line: int, faults: Iterable[InputFault]) -> None:
        self.line = line
        self.faults = tuple(faults)
        super().__init__("\n".join(f"line {line}: {fault}" for fault in self.faults))


def decode_tick(line: bytes, number: int) -> Tick:
    """The tick in a line of JSON, with its texts cleaned. `number` is the line's, for errors.

    Raises TickError with all faults: unknown, repeated or missing keys, values of another type, and
    numbers out of range (controller/model/tick.py), because these could scale a pool down. Absurd
    counts of messages and replicas, metric values and times of readings are accepted: the planner
    holds a pool that has them.
    """
    try:
        plain, found = read_json_line(line)
    except NotJsonError as error:
        raise TickError(number, [InputFault("", str(error))]) from None
    try:
        tick = msgspec.convert(plain, Tick)
    except msgspec.ValidationError:
        raise TickError(number, _first([*found, *faults(plain, Tick)])) from None
    if found := _first([*found, *_impossible(tick, plain)]):
        raise TickError(number, found)
    return tick


def _first(found: list[InputFault]) -> list[InputFault]:
    told, more = found[:MAX_FAULTS_TOLD], len(found) - MAX_FAULTS_TOLD
    return [*told, InputFault("", f"and {more:,} more faults")] if more > 0 else told


def _impossible(tick: Tick, plain: Mapping[str, Any]) -> Iterator[InputFault]:
    """Faults of a tick whose types are right: ambiguous scopes, and numbers out of range."""
    if not 0 <= tick.now < END_OF_TIME:
        yield InputFault("now", "must be Unix seconds, from 1970 to the year 3000")
        return
    if found := list(_inexact(plain["observation"])):
        yield from found
        return
    yield from observation_faults(tick.observation, tick.now)
    if tick.intents is not None:
        yield from _ambiguous(tick.intents)
        yield from intents_faults(tick.intents)
    if tick.memory is not None:
        yield from memory_faults(tick.memory, tick.now)


def _ambiguous(intents: Intents) -> Iterator[InputFault]:
    """Scopes that name both a pool and a tenant."""
    for path, scope in scopes_of(intents):
        if scope.tenant is not None and scope.pool is not None:
            yield InputFault(path, "names a tenant and a pool: take one of them out")


def _inexact(observation: Mapping[str, Any]) -> Iterator[InputFault]:
    """Exact numbers that are not decimals, or that have too many digits."""
    for path, written in _exact_numbers(observation):
        if isinstance(written, str) and not _EXACT.fullmatch(written):
            yield InputFault(path, not_a_decimal(written))
        elif abs(Decimal(str(written)).adjusted()) > _MAX_DIGITS:
            yield InputFault(path, f"must be a number of at most {_MAX_DIGITS} digits")


def _exact_numbers(observation: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """(path, value) of each number that is kept exactly; written as text or as a JSON number."""
    for key, pool in observation.get("pools", {}).items():
        task = pool.get("task_usage")
        if task is not None and "seconds" in task:
            yield f"{member('observation.pools', key)}.task_usage.seconds", task["seconds"]
    for name, tenant in observation.get("tenants", {}).items():
        usage = tenant.get("usage", {}).get("value", {})
        for each in ("used", "reserved", "burn_per_minute"):
            if each in usage:
                path = f"{member('observation.tenants', name)}.usage.value.{each}"
                yield path, usage[each]


class SavedMemory(Value):
    """A memory and when it was saved (Unix seconds, by the clock of the process that saved it).

    `age_s` is how long ago that was by the store's clock, in seconds; None if it does not tell.
    """

    memory: Memory
    saved_at: float
    age_s: float | None = None


class FindingSince(Value):
    """Since when a finding is there (Unix seconds)."""

    subject: str
    kind: str
    since: float


class TenantSince(Value):
    """Since when a tenant's tokens are in this state, and since when it is paused by this author
    (Unix seconds); None for what is not so.
    """

    name: str
    tokens: TokenState | None = None
    tokens_since: float | None = None
    paused_by: str = ""
    pause_since: float | None = None


class ShownPast(Value):
    """What the snapshot of `at` (Unix seconds) says of the time before it, of all pools or some."""

    at: float
    findings: tuple[FindingSince, ...] = ()
    tenants: tuple[TenantSince, ...] = ()
    histories: Mapping[PoolKey, History] = {}
    tenant_histories: Mapping[str, History] = {}


class IntentFault(Value):
    """An intent that cannot be read: its key, and a text about what is done instead."""

    key: str
    text: str


class StoredIntents(Value):
    """Operators' intents, as far as they are known.

    `read` is False until the intents were read once. `lost_at` (Unix seconds) is when they became
    unreadable, and `detail` says why; it is None while they can be read. `faults` are the first of
    them, `more_faults` the number of the others. `kept`: so many are in force that the bucket does
    not have any longer, because it was restored or made anew.
    """

    intents: Intents = Intents()
    faults: tuple[IntentFault, ...] = ()
    more_faults: int = 0
    kept: int = 0
    read: bool = False
    lost_at: float | None = None
    detail: str = ""

    def in_force(self) -> Intents:
        """The intents to plan with. While they cannot be read, none expires, because an operator
        may have prolonged it meanwhile.
        """
        if self.lost_at is None:
            return self.intents
        lost_at = self.lost_at
        return gathered(_prolonged(each, lost_at) for each in self.intents)


def _prolonged(intent: Intent, lost_at: float) -> Intent:
    if intent.until is None or intent.until <= lost_at:
        return intent
    return replace(intent, until=None)
