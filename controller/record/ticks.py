"""Recorded ticks, a line of JSON each: types, ranges of numbers, and what older versions wrote.

TickError          all faults of one line
  InputFault       one fault: its path and a message (controller/model/value.py)

A number outside its range cannot come from a real cluster. Counts of messages and replicas, metric
values and times of readings have no range here, because the planner itself holds a pool with such a
number and gives the reason. The other numbers could scale a pool down instead.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from decimal import Decimal
from functools import reduce
from typing import Any, Final, NamedTuple

import msgspec

from controller.model.intents import IntentKind
from controller.model.memory import Tick
from controller.model.value import (
    CPU,
    END_OF_TIME,
    INT64_MAX,
    MEMORY,
    MILLI,
    AnyNumber,
    InputFault,
    NotJsonError,
    faults,
    member,
    not_a_decimal,
    not_within,
    read_json_line,
)

MAX_FAULTS_TOLD: Final = 20
"""The most faults of one line that are named; of the others only the number is stated."""
MAX_CLOCK_ERROR_S: Final = 366 * 86_400
"""How far in the future a time may be, because of a wrong clock; a later one is an error."""
_MAX_DIGITS: Final = 40
_EXACT: Final = re.compile(r"-?[0-9]+(\.[0-9]+)?([eE][-+]?[0-9]+)?")
_KEPT_EXACTLY: Final = {"value": {"used", "reserved", "burn_per_minute"}, "task_usage": {"seconds"}}
"""The numbers that are decimals, by the object that holds them."""
_TASK_TOKENS: Final = (0, 10**9, "tokens")
_REPLICA_CPU: Final = (0, 10**9, "millicores")  # more than any machine can give; so is the memory
_OF_ONE: Final[Mapping[str, tuple[AnyNumber, AnyNumber, str]]] = {
    CPU: _REPLICA_CPU,
    MEMORY: (0, 2**46 * MILLI, "thousandths of a byte"),
    "cpu_milli": _REPLICA_CPU,
    "memory_bytes": (0, 2**46, "bytes"),
    "input_tokens": _TASK_TOKENS,
    "cached_input_tokens": _TASK_TOKENS,
    "output_tokens": _TASK_TOKENS,
    "calls": (0, 10**6, "calls"),
    "seconds": (Decimal("0.001"), Decimal(30 * 86_400), "seconds"),
}
"""What one replica, or one task, can have at most: far less than a quota, a day or a fleet file."""
_HOLDERS_OF_ONE: Final = frozenset({"requests", "requests_milli", "task_usage"})


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
    seen = list(_leaves(plain["observation"], ("observation",)))
    if found := [fault for each in seen for fault in _inexact(each)]:
        yield from found
        return
    # before a step, the clock showed a time from 1970 to a year after now
    step = (-MAX_CLOCK_ERROR_S, tick.now, "seconds")
    yield from _outside(step, "observation.clock_step_s", tick.observation.clock_step_s)
    for each in seen:
        if each.holder in _HOLDERS_OF_ONE and each.value is not None:
            allowed = _OF_ONE.get(each.name, (0, INT64_MAX, "units"))
            yield from _outside(allowed, each.path, Decimal(str(each.value)))
    for index, intent in enumerate(tick.intents or ()):
        if intent.scope.tenant is not None and intent.scope.pool is not None:
            path = f"intents.asked[{index}].scope"
            yield InputFault(path, "names a tenant and a pool: take one of them out")
    latest = tick.now + MAX_CLOCK_ERROR_S
    times = (-END_OF_TIME, latest, "Unix seconds, at most a year after now")
    for each in _leaves(plain.get("memory"), ("memory",)):
        if each.name.endswith(("at", "since")) and isinstance(each.value, int | float):
            yield from _outside(times, each.path, float(each.value))


class _Leaf(NamedTuple):
    """A value that is no object and no list, and the keys of all that holds it."""

    within: tuple[str | int, ...]
    name: str
    value: Any

    @property
    def holder(self) -> str | int:
        return self.within[-1]

    @property
    def path(self) -> str:
        return reduce(member, (*self.within, self.name), "")


def _leaves(plain: Any, within: tuple[str | int, ...]) -> Iterator[_Leaf]:
    """The named values in plain data."""
    members = plain.items() if isinstance(plain, dict) else enumerate(plain or ())
    for key, value in members:
        if isinstance(value, dict | list):
            yield from _leaves(value, (*within, key))
        elif isinstance(key, str):
            yield _Leaf(within, key, value)


def _inexact(leaf: _Leaf) -> Iterator[InputFault]:
    """An exact number that is no decimal, or that has too many digits."""
    if leaf.name not in _KEPT_EXACTLY.get(str(leaf.holder), ()):
        return
    if isinstance(leaf.value, str) and not _EXACT.fullmatch(leaf.value):
        yield InputFault(leaf.path, not_a_decimal(leaf.value))
    elif abs(Decimal(str(leaf.value)).adjusted()) > _MAX_DIGITS:
        yield InputFault(leaf.path, f"must be a number of at most {_MAX_DIGITS} digits")


def _outside(
    allowed: tuple[AnyNumber, AnyNumber, str], path: str, number: AnyNumber
) -> Iterator[InputFault]:
    low, high, unit = allowed
    if not low <= number <= high:
        yield InputFault(path, not_within(low, high, unit, number))
