"""A tick as one line of JSON: all inputs of the planner at one moment.

TickError          all faults of one line
  InputFault       one fault: its path and a message (controller/model/faults.py)
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
    numbers out of range (controller/model/ranges.py), because these could scale a pool down. Absurd
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
