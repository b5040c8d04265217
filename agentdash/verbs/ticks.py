"""Ticks in virtual time: reads them from a file one by one, decides them in order, and carries the
memory over.

TicksError               everything that is wrong with a file of observations
StandardInputError       standard input cannot be read
"""

from __future__ import annotations

import sys
from collections.abc import Collection, Iterable, Iterator, Sequence
from pathlib import Path
from typing import BinaryIO, Final, NamedTuple

from agentdash.output import refusal
from controller.exit_codes import ExitCode
from controller.model.decision import Plan
from controller.model.fleet import QUEUE, Fleet, Pool, advice, unknown_pool
from controller.model.ids import PoolKey
from controller.model.intents import Intents
from controller.model.memory import Memory, Tick
from controller.model.readings import last_known
from controller.model.text import clean, clean_name, listed
from controller.model.value import InputFault, member
from controller.planning.compile import compile_fleet
from controller.planning.demand.hpa_metrics import reading_name
from controller.planning.planner import plan
from controller.record.ticks import TickError, decode_tick

MAX_NAMES_TOLD: Final = 1000
_NEAREST_FOR: Final = 20
"""Names that are compared with all names of the fleet, which takes long where those are
thousands.
"""


def choose(fleet: Fleet, names: Sequence[str]) -> tuple[list[Pool], list[str]]:
    """The pools of these names, each once, in this order; and a sentence for each unknown name. A
    name is a key, or its part after the tenant where only one pool is called so.
    """
    pools = {pool.key: pool for pool in fleet.pools}
    found: dict[PoolKey, Pool] = {}
    problems: list[str] = []
    for name in dict.fromkeys(names):
        keys = [PoolKey(name)] if name in pools else _called(name, pools)
        if len(keys) == 1:
            found[keys[0]] = pools[keys[0]]
        elif keys:
            problems.append(f"{clean_name(name)} can be {listed(keys)}")
        else:
            problems.append(unknown_pool(name, fleet))
    return list(found.values()), problems


def _called(name: str, pools: Iterable[PoolKey]) -> list[PoolKey]:
    return [key for key in pools if key.rpartition("/")[2] == name]


def unseen(pools: Iterable[Pool], seen: Collection[PoolKey]) -> str:
    """A sentence about the pools that the last tick did not see, or an empty text."""
    missing = [pool.key for pool in pools if pool.key not in seen]
    return f"not seen, so not decided: {listed(missing)}" if missing else ""


class UnknownNamesTold:
    """The names in ticks that the fleet does not have. Each is told where it stands first: a
    recording repeats its names in every tick. Such a name is nearly always misspelt: a freeze of a
    pool that does not exist protects none.
    """

    def __init__(self, fleet: Fleet) -> None:
        self._fleet = fleet
        self._told: set[tuple[str, str]] = set()

    @property
    def count(self) -> int:
        """The names found so far."""
        return len(self._told)

    def faults(self, tick: Tick) -> Iterator[InputFault]:
        """A fault for each unknown name of the tick that no tick before it had. Names of the fleet
        may be missing: an observation need not have all pools.
        """
        for found in _unknown_names(self._fleet, tick):
            identity = (found.subject, found.name)
            if identity in self._told:
                continue
            self._told.add(identity)
            if self.count <= MAX_NAMES_TOLD:
                words = f"{found.subject} {clean_name(found.name)}"
                if self.count <= _NEAREST_FOR:
                    words += f"; {found.advice()}"
                yield InputFault(found.path, words)


class _UnknownName(NamedTuple):
    """A name that the fleet does not have, with its path, such as `intents.asked[0].scope.pool`."""

    path: str
    subject: str
    name: str
    known: Collection[str]

    def advice(self) -> str:
        if self.subject == _NO_POOL:
            own = self.name.rpartition("/")[2]
            same_name = [key for key in self.known if key.rpartition("/")[2] == own]
            return advice(self.name, list(self.known), same_name)
        return advice(self.name, list(self.known))


_NO_POOL: Final = "the fleet has no pool"
_NO_TENANT: Final = "the fleet has no tenant"


def _unknown_names(fleet: Fleet, tick: Tick) -> Iterator[_UnknownName]:
    seen = tick.observation
    pools = {pool.key: pool for pool in fleet.pools}
    tenants = [tenant.name for tenant in fleet.tenants]
    for key, pool in seen.pools.items():
        path = member("observation.pools", key)
        if key not in pools:
            yield _UnknownName(path, _NO_POOL, key, pools)
        elif pool.metrics:
            signals = (signal.name for signal in pools[key].signals)
            known = sorted({QUEUE, *signals, *map(reading_name, pools[key].metrics)})
            subject = f"no metric or signal of {key} is called"
            yield from _missing(f"{path}.metrics", subject, pool.metrics, known)
    yield from _missing("observation.under_way", _NO_POOL, seen.under_way, pools)
    yield from _missing("observation.tenants", _NO_TENANT, seen.tenants, tenants)
    if (room := last_known(seen.capacity)) is not None:
        classes = [one.name for one in fleet.capacity.node_classes]
        path = "observation.capacity.value.classes"
        yield from _missing(path, "the fleet has no node class", room.classes, classes)
    for index, intent in enumerate(tick.intents or ()):
        path, scope = f"intents.asked[{index}].scope", intent.scope
        if scope.pool is not None and scope.pool not in pools:
            yield _UnknownName(f"{path}.pool", _NO_POOL, scope.pool, pools)
        if scope.tenant is not None and scope.tenant not in tenants:
            yield _UnknownName(f"{path}.tenant", _NO_TENANT, scope.tenant, tenants)


def _missing(
    path: str, subject: str, names: Iterable[str], known: Collection[str]
) -> Iterator[_UnknownName]:
    for name in sorted(set(names).difference(known)):
        yield _UnknownName(member(path, name), subject, name, known)


STDIN: Final = "-"
MAX_LINE_BYTES: Final = 64 * 2**20
"""A tick of 10,000 pools has a quarter of it."""
MAX_LINES_TOLD: Final = 100
"""Wrong lines that are told: a file that holds something else has nothing but wrong lines."""


class TicksError(Exception):
    """Observations that cannot be used; the text has one line for each thing to correct."""


class Decided(NamedTuple):
    """A tick, what was decided, and the memory and intents that it was decided with."""

    tick: Tick
    plan: Plan
    memory: Memory
    intents: Intents


def read_ticks(source: str, fleet: Fleet) -> Iterator[Tick]:
    """The ticks of a file, or of standard input for `-`, as they are read.

    After the first wrong line no more ticks come, but all lines are checked. Raises at the end of
    them TicksError; also for a file that cannot be read or has no tick, and for names that the
    fleet does not have. Raises ToldError where standard input cannot be read.
    """
    name = "standard input" if source == STDIN else clean(source)
    return _checked(_numbered(_lines(source, name), name), name, fleet)


def decide(fleet: Fleet, ticks: Iterable[Tick], *, fresh: bool = False) -> Iterator[Decided]:
    """Plan each tick at its own time, with the memory that the tick before it left.

    A tick's own memory replaces that one, unless `fresh`. A tick without intents has none in force.
    """
    memory, kept, terms = Memory(), None, compile_fleet(fleet)
    for tick in ticks:
        if tick.memory is not None and not fresh:
            memory = tick.memory
        intents = tick.intents or Intents()
        planned = plan(tick.observation, terms, intents, memory, tick.now, kept)
        yield Decided(tick, planned.plan, memory, intents)
        memory, kept = planned.memory, planned.kept


def _checked(lines: Iterable[tuple[int, bytes]], name: str, fleet: Fleet) -> Iterator[Tick]:
    last: float | None = None
    problems: list[str] = []
    wrong = 0
    names = UnknownNamesTold(fleet)
    for number, line in lines:
        try:
            tick = decode_tick(line, number)
            if last is not None and tick.now < last:
                raise TickError(number, [_backwards(tick.now, last)])
        except TickError as error:
            wrong += 1
            if wrong <= MAX_LINES_TOLD:
                problems += [f"{name}:{number}: {fault}" for fault in error.faults]
            continue
        last = tick.now
        problems += [f"{name}:{number}: {fault}" for fault in names.faults(tick)]
        if not wrong and not names.count:
            yield tick
    if wrong > MAX_LINES_TOLD:
        problems.append(f"{name}: and {wrong - MAX_LINES_TOLD:,} more lines are wrong")
    if names.count > MAX_NAMES_TOLD:
        more = names.count - MAX_NAMES_TOLD
        problems.append(f"{name}: and {more:,} more names that the fleet does not have")
    if not problems and last is None:
        problems.append(f"{name}: has no tick: write one JSON object on each line")
    if problems:
        raise TicksError("\n".join(problems))


def _backwards(now: float, last: float) -> InputFault:
    return InputFault("now", f"must not go backwards: {now:.3f} comes after {last:.3f}")


def _numbered(lines: Iterable[bytes], name: str) -> Iterator[tuple[int, bytes]]:
    """The lines that are not blank, with their numbers."""
    for number, line in enumerate(lines, start=1):
        if len(line) > MAX_LINE_BYTES:
            raise TicksError(f"{name}:{number}: is longer than {MAX_LINE_BYTES // 2**20} MiB")
        if line.strip():
            yield number, line


def _lines(source: str, name: str) -> Iterator[bytes]:
    if source == STDIN:
        yield from _lines_of_stdin()
        return
    try:
        with Path(source).expanduser().open("rb") as file:
            yield from _read(file)
    except (OSError, RuntimeError, ValueError) as error:
        # RuntimeError: ~ without a home directory; ValueError: a null character in the path
        reason = error.strerror if isinstance(error, OSError) else error
        raise TicksError(f"{name}: cannot be read: {clean(reason)}") from None


def _lines_of_stdin() -> Iterator[bytes]:
    if sys.stdin is None:
        raise refusal("standard input cannot be read: it is closed", ExitCode.UNREACHABLE)
    try:
        yield from _read(sys.stdin.buffer)
    except (OSError, ValueError) as error:  # ValueError: the stream was closed by this process
        reason = error.strerror if isinstance(error, OSError) else error
        words = f"standard input cannot be read: {clean(reason)}"
        raise refusal(words, ExitCode.UNREACHABLE) from None


def _read(file: BinaryIO) -> Iterator[bytes]:
    return iter(lambda: file.readline(MAX_LINE_BYTES + 1), b"")
