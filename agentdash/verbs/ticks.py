"""Ticks in virtual time: read from a file one by one, decided in order, the memory carried over.

TicksError         everything that is wrong with a file of observations
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO, Final, NamedTuple

from controller.model.decision import Plan
from controller.model.faults import Fault
from controller.model.fleet import Fleet
from controller.model.intents import Intents
from controller.model.memory import Memory
from controller.model.text import clean
from controller.model.tick import Tick, TickError, decode_tick
from controller.planning.compile import compile_fleet
from controller.planning.planner import plan

STDIN: Final = "-"
LINE_LIMIT: Final = 64 * 2**20
"""Bytes. A tick of 10,000 pools has a quarter of it."""
ERRORS_TOLD: Final = 100
"""As many wrong lines are told; a file of something else has nothing but wrong lines."""


class TicksError(Exception):
    """Observations that cannot be used: the text is one line for each thing to mend."""


class Decided(NamedTuple):
    """One tick with what was decided, and the memory and intents it was decided from."""

    tick: Tick
    plan: Plan
    memory: Memory
    intents: Intents


def read_ticks(source: str) -> Iterator[Tick]:
    """The ticks of a file, or of standard input for `-`, as they are read.

    From the first wrong line on no more ticks come, yet all lines are checked. Raises TicksError
    at the end of them, for an unreadable file, and for one without a tick.
    """
    name = "standard input" if source == STDIN else clean(source)
    return _checked(_numbered(_lines(source, name), name), name)


def decide(fleet: Fleet, ticks: Iterable[Tick], *, fresh: bool = False) -> Iterator[Decided]:
    """Plan each tick at its own time with the memory that the one before left.

    A tick's own memory replaces that, unless `fresh`; its intents are those in force, or none.
    """
    memory, kept, terms = Memory(), None, compile_fleet(fleet)
    for tick in ticks:
        if tick.memory is not None and not fresh:
            memory = tick.memory
        intents = tick.intents or Intents()
        planned = plan(tick.observation, terms, intents, memory, tick.now, kept)
        yield Decided(tick, planned.plan, memory, intents)
        memory, kept = planned.memory, planned.kept


def _checked(lines: Iterable[tuple[int, bytes]], name: str) -> Iterator[Tick]:
    last: float | None = None
    problems: list[str] = []
    wrong = 0
    for number, line in lines:
        try:
            tick = decode_tick(line, number)
            if last is not None and tick.now < last:
                raise TickError(number, [_backwards(tick.now, last)])
        except TickError as error:
            wrong += 1
            if wrong <= ERRORS_TOLD:
                problems += [f"{name}:{number}: {fault}" for fault in error.faults]
            continue
        last = tick.now
        if not wrong:
            yield tick
    if wrong > ERRORS_TOLD:
        problems.append(f"{name}: and {wrong - ERRORS_TOLD:,} more lines are wrong")
    if not problems and last is None:
        problems.append(f"{name}: has no tick: write one JSON object a line")
    if problems:
        raise TicksError("\n".join(problems))


def _backwards(now: float, last: float) -> Fault:
    return Fault("now", f"must not go backwards: {now:.3f} comes after {last:.3f}")


def _numbered(lines: Iterable[bytes], name: str) -> Iterator[tuple[int, bytes]]:
    """The lines that are not blank, with their numbers."""
    for number, line in enumerate(lines, start=1):
        if len(line) > LINE_LIMIT:
            raise TicksError(f"{name}:{number}: is longer than {LINE_LIMIT // 2**20} MiB")
        if line.strip():
            yield number, line


def _lines(source: str, name: str) -> Iterator[bytes]:
    try:
        if source == STDIN:
            yield from _read(sys.stdin.buffer)
            return
        with Path(source).expanduser().open("rb") as file:
            yield from _read(file)
    except (OSError, RuntimeError, ValueError) as error:
        # RuntimeError: ~ without a home directory; ValueError: a null character in the path
        reason = error.strerror if isinstance(error, OSError) else error
        raise TicksError(f"{name}: cannot be read: {clean(reason)}") from None


def _read(file: BinaryIO) -> Iterator[bytes]:
    return iter(lambda: file.readline(LINE_LIMIT + 1), b"")
