"""A tick as one line of JSON: everything that the planner knows of one moment.

TickError          everything that is wrong with one line
  InputFault       one thing that is wrong: where, and in words what (controller/model/faults.py)
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from decimal import Decimal
from typing import Any, Final, Literal

import msgspec

from controller.model.faults import InputFault, faults, member, not_a_decimal
from controller.model.intents import Intents
from controller.model.json_line import NotJsonError, read_json_line
from controller.model.memory import Memory
from controller.model.observation import Observation
from controller.model.ranges import (
    END_OF_TIME,
    intents_faults,
    memory_faults,
    observation_faults,
)
from controller.model.unknown_names import scopes_of
from controller.model.value import Value

TICK_VERSION: Final = 1
MAX_FAULTS_TOLD: Final = 20
"""Faults of one line that are named. Of more only the number is told."""

_MAX_DIGITS: Final = 40
_EXACT: Final = re.compile(r"-?[0-9]+(\.[0-9]+)?([eE][-+]?[0-9]+)?")


class Tick(Value):
    """What was seen at `now` (Unix seconds), the intents in force then, and what was remembered.

    Without `intents` there are none. Without `memory` it is what the tick before it left.
    """

    version: Literal[1]
    now: float
    observation: Observation
    intents: Intents | None = None
    memory: Memory | None = None


class TickError(Exception):
    """A line that is no tick. `line` counts from 1; the text has one line for each fault."""

    def __init__(self, line: int, faults: Iterable[InputFault]) -> None:
        self.line = line
        self.faults = tuple(faults)
        super().__init__("\n".join(f"line {line}: {fault}" for fault in self.faults))


def decode_tick(line: bytes, number: int) -> Tick:
    """The tick that a line states, with its texts cleaned. Raises TickError with all that is wrong.

    It is strict: it refuses unknown keys, keys that stand twice, missing keys, values of another
    type, and numbers out of their range (controller/model/ranges.py), for these would shrink a
    pool. Absurd counts of messages and replicas, values of metrics and times of readings pass: the
    planner answers them by holding the pool.
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
    """What is of the right type and still states no moment of any cluster."""
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
    """Scopes that name a pool and a tenant: nothing says which of them is meant."""
    for path, scope in scopes_of(intents):
        if scope.tenant is not None and scope.pool is not None:
            yield InputFault(path, "names a tenant and a pool: take one of them out")


def _inexact(observation: Mapping[str, Any]) -> Iterator[InputFault]:
    """Exact numbers that are no decimals, or that have too many digits to calculate with."""
    for path, written in _exact_numbers(observation):
        if isinstance(written, str) and not _EXACT.fullmatch(written):
            yield InputFault(path, not_a_decimal(written))
        elif abs(Decimal(str(written)).adjusted()) > _MAX_DIGITS:
            yield InputFault(path, f"must be a number of at most {_MAX_DIGITS} digits")


def _exact_numbers(observation: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """The numbers that are kept exactly, as they are written: text, or a number of JSON."""
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
