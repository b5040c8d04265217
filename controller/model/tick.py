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
from typing import Any, Final, Literal, NamedTuple, TypeAlias

import msgspec
from msgspec.structs import asdict, replace

from controller.model.decoding import (
    AnyNumber,
    InputFault,
    NotJsonError,
    faults,
    member,
    not_a_decimal,
    not_within,
    read_json_line,
)
from controller.model.fleet import Fleet, Pool
from controller.model.ids import PoolKey
from controller.model.intents import Intent, IntentKind, Intents, Scope
from controller.model.memory import (
    Memory,
)
from controller.model.metrics import QUEUE, MetricSpec
from controller.model.observation import Observation
from controller.model.readings import last_known
from controller.model.text import clean_name, nearest
from controller.model.value import CPU, END_OF_TIME, INT64_MAX, MEMORY, MILLI, Time, Value

_Range: TypeAlias = tuple[AnyNumber, AnyNumber, str]
"""The least and the largest number, and the unit."""

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
    """A name that the fleet does not have, with its path, such as `intents.asked[0].scope`.

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
    for path, scope in _scopes(intents):
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


def _scopes(intents: Intents) -> Iterator[tuple[str, Scope]]:
    """What each intent is for, with the path of its names."""
    for index, intent in enumerate(intents):
        yield f"intents.asked[{index}].scope", intent.scope


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


MAX_CLOCK_ERROR_S: Final = 366 * 86_400
"""How far in the future a time may be, because of a wrong clock; a later one is an error."""
_TASK_TOKENS: Final = (0, 10**9, "tokens")
# more than any machine can give to one replica
_REPLICA_CPU: Final = (0, 10**9, "millicores")
_REPLICA_MEMORY: Final = (0, 2**46, "bytes")
_OF_ONE_REPLICA: Final[Mapping[str, _Range]] = {
    CPU: _REPLICA_CPU,
    MEMORY: (0, 2**46 * MILLI, "thousandths of a byte"),
    "cpu_milli": _REPLICA_CPU,
    "memory_bytes": _REPLICA_MEMORY,
    "input_tokens": _TASK_TOKENS,
    "cached_input_tokens": _TASK_TOKENS,
    "output_tokens": _TASK_TOKENS,
    "calls": (0, 10**6, "calls"),
    "seconds": (Decimal("0.001"), Decimal(30 * 86_400), "seconds"),
}
"""What one replica, or one task, can have at most: far less than a quota, a day or a fleet file."""


def _of_one(seen: Observation) -> Iterator[InputFault]:
    """What is seen of one replica or one task, and cannot be of one."""
    for key, pool in seen.pools.items():
        path = member("observation.pools", key)
        found: list[tuple[str, Mapping[str, Any]]] = []
        if pool.task_usage is not None:
            found.append((f"{path}.task_usage", asdict(pool.task_usage)))
        if (workload := last_known(pool.workload)) is not None:
            found.append((f"{path}.workload.value.requests", asdict(workload.requests)))
        for index, pod in enumerate(pool.measured_pods):
            at = f"{path}.measured_pods[{index}]"
            found.append((f"{at}.requests_milli", pod.requests_milli))
            for name, group in (("containers", pod.containers), ("sidecars", pod.sidecars)):
                for number, container in enumerate(group):
                    place = f"{at}.{name}[{number}].requests_milli"
                    found.append((place, container.requests_milli))
        for place, numbers in found:
            for name, number in numbers.items():
                allowed = _OF_ONE_REPLICA.get(name, (0, INT64_MAX, "units"))
                yield from _outside(allowed, member(place, name), number)


def _later(plain: Any, path: str, now: float) -> Iterator[InputFault]:
    """The times of a memory that are more than a year after now."""
    latest = (-END_OF_TIME, now + MAX_CLOCK_ERROR_S, "Unix seconds, at most a year after now")
    match plain:
        case dict():
            for name, each in plain.items():
                at = member(path, name)
                if name.endswith(("at", "since")) and isinstance(each, int | float):
                    yield from _outside(latest, at, float(each))
                yield from _later(each, at, now)
        case list():
            for index, each in enumerate(plain):
                yield from _later(each, f"{path}[{index}]", now)


def _outside(allowed: _Range, path: str, number: AnyNumber | None) -> Iterator[InputFault]:
    low, high, unit = allowed
    if number is not None and not low <= number <= high:
        yield InputFault(path, not_within(low, high, unit, number))


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
    numbers out of range, because these could scale a pool down. Absurd counts of messages and
    replicas and metric values are accepted: the planner holds a pool that has them.
    """
    try:
        plain, found = read_json_line(line)
    except NotJsonError as error:
        raise TickError(number, [InputFault("", str(error))]) from None
    if isinstance(plain, dict) and isinstance(plain.get("intents"), dict):
        plain["intents"] = _in_one_list(plain["intents"])
    try:
        tick = msgspec.convert(plain, Tick)
    except msgspec.ValidationError:
        raise TickError(number, _first([*found, *faults(plain, Tick)])) from None
    if found := _first([*found, *_impossible(tick, plain)]):
        raise TickError(number, found)
    return tick


_LISTS_BEFORE: Final = (
    ("pins", IntentKind.PIN, "replicas"),
    ("pauses", IntentKind.PAUSE, "keep"),
    ("freezes", IntentKind.FREEZE, ""),
    ("caps", IntentKind.CAP, "replicas"),
    ("no_growths", IntentKind.NO_GROWTH, ""),
    ("budgets", IntentKind.BUDGET, "tokens"),
)
"""Ticks that were recorded before intents were of one form: the list of each kind, and what its
amount was called."""


def _in_one_list(intents: dict[str, Any]) -> dict[str, Any]:
    """The intents of a tick in their present form."""
    asked = list(intents.get("asked", ()))
    for name, kind, amount in _LISTS_BEFORE:
        for each in intents.get(name, ()):
            rest = {"kind": kind.value, "scope": {}, **each}
            if amount in rest:
                rest["amount"] = rest.pop(amount)
            names = {key: rest.pop(key) for key in ("pool", "tenant") if key in rest}
            asked.append({**rest, "scope": {**rest["scope"], **names}})
    known = {"asked", *(name for name, _, _ in _LISTS_BEFORE)}
    return {"asked": asked, **{name: each for name, each in intents.items() if name not in known}}


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
    # before a step, the clock showed a time from 1970 to a year after now
    step = (-MAX_CLOCK_ERROR_S, tick.now, "seconds")
    yield from _outside(step, "observation.clock_step_s", tick.observation.clock_step_s)
    yield from _of_one(tick.observation)
    if tick.intents is not None:
        yield from _ambiguous(tick.intents)
    yield from _later(plain.get("memory"), "memory", tick.now)


def _ambiguous(intents: Intents) -> Iterator[InputFault]:
    """Scopes that name both a pool and a tenant."""
    for path, scope in _scopes(intents):
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
    `seen_s` is how long ago its process said last that it has seen nothing else that matters, None
    if it never did. `is_partial`: it said that it has, and did not save it any more.
    """

    memory: Memory
    saved_at: Time
    age_s: float | None = None
    seen_s: float | None = None
    is_partial: bool = False

    def unseen_s(self, now: float) -> float:
        """The time up to `now` (Unix seconds) of which this memory knows nothing, in seconds."""
        age_s = now - self.saved_at if self.age_s is None else self.age_s
        return max(0.0, age_s if self.seen_s is None else min(age_s, self.seen_s))


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
    lost_at: Time | None = None
    detail: str = ""

    def in_force(self) -> Intents:
        """The intents to plan with. While they cannot be read, none expires, because an operator
        may have prolonged it meanwhile.
        """
        if self.lost_at is None:
            return self.intents
        lost_at = self.lost_at
        return Intents(asked=tuple(_prolonged(each, lost_at) for each in self.intents))


def _prolonged(intent: Intent, lost_at: float) -> Intent:
    if intent.until is None or intent.until <= lost_at:
        return intent
    return replace(intent, until=None)
