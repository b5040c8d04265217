"""A tick as one line of JSON: all that the planner can know of one moment, for whoever states it.

TickError          everything that is wrong with one line
  Fault            one of it: where, and in words what (controller/model/faults.py)
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from decimal import Decimal
from itertools import islice
from typing import Any, Final, Literal

import msgspec

from controller.model.faults import Fault, faults, member
from controller.model.intents import Intents
from controller.model.memory import Memory
from controller.model.observation import Observation
from controller.model.text import clean, clean_name
from controller.model.value import Value

VERSION: Final = 1
END_OF_TIME: Final = 32_503_680_000.0
"""The year 3000 begins: later moments are milliseconds, and calendars end soon after."""
FAULTS_TOLD: Final = 20
"""As many faults of one line are named; of more there is only the number."""

_ECHO_LIMIT: Final = 60
_DECIMAL_DIGITS: Final = 40


class Tick(Value):
    """What was seen at `now` (Unix seconds), the intents in force then, and what was remembered.

    Without `intents` there were none; without `memory` it is what the tick before left.
    """

    version: Literal[1]
    now: float
    observation: Observation
    intents: Intents | None = None
    memory: Memory | None = None


class TickError(Exception):
    """A line that is no tick; `line` counts from 1, the text is one line for each fault."""

    def __init__(self, line: int, faults: Iterable[Fault]) -> None:
        self.line = line
        self.faults = tuple(faults)
        super().__init__("\n".join(f"line {line}: {fault}" for fault in self.faults))


def encode_tick(tick: Tick) -> bytes:
    """The tick as one line of JSON, without its end."""
    return msgspec.json.encode(tick, order="deterministic")


def decode_tick(line: bytes, number: int) -> Tick:
    """The tick that a line states, its texts cleaned. Raises TickError with all that is wrong.

    Strict: unknown keys, missing ones and other types are refused. Numbers that no cluster has, a
    negative count or 2^63 replicas, are let in: what they mean is the planner's to say.
    """
    try:
        plain = _cleaned(msgspec.json.decode(line))
    except RecursionError:
        raise TickError(number, [Fault("", "is nested too deeply")]) from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        message = f"is not JSON: {clean(error, _ECHO_LIMIT)}"
        raise TickError(number, [Fault("", message)]) from None
    try:
        tick = msgspec.convert(plain, Tick)
    except msgspec.ValidationError:
        raise TickError(number, _first(faults(plain, Tick))) from None
    if found := _first(_immeasurable(tick)):
        raise TickError(number, found)
    return tick


def _cleaned(plain: Any) -> Any:
    match plain:
        case str():
            return clean(plain)
        case dict():
            return {clean_name(key): _cleaned(value) for key, value in plain.items()}
        case list():
            return [_cleaned(item) for item in plain]
        case _:
            return plain


def _first(found: Iterator[Fault]) -> list[Fault]:
    told = list(islice(found, FAULTS_TOLD))
    more = sum(1 for _ in found)
    return [*told, Fault("", f"and {more} more faults")] if more else told


def _immeasurable(tick: Tick) -> Iterator[Fault]:
    """Moments outside the calendar and exact numbers that are none: none can be reckoned with."""
    if not 0 <= tick.now < END_OF_TIME:
        yield Fault("now", "must be Unix seconds, from 1970 to the year 3000")
    yield from _inexact(msgspec.to_builtins(tick, builtin_types=(Decimal,)), "")


def _inexact(plain: Any, path: str) -> Iterator[Fault]:
    if isinstance(plain, Decimal):
        if not plain.is_finite() or abs(plain.adjusted()) > _DECIMAL_DIGITS:
            yield Fault(path, f"must be a number of at most {_DECIMAL_DIGITS} digits")
    elif isinstance(plain, dict):
        for key, value in plain.items():
            yield from _inexact(value, member(path, key))
    elif isinstance(plain, list | tuple):
        for index, value in enumerate(plain):
            yield from _inexact(value, f"{path}[{index}]")
