"""Stories: a fleet file, and a table of ticks with what is seen and what is decided.

A line of a table is `SECONDS POOL SEEN: NOW → NEXT (TARGET, WANTED) BOUND [GATE] [by CODE…]`. Lines
with the same second are one tick. SEEN is `pending` or `pending+in_flight`, or `?` where the queue
gives no answer. Each next size is set, and seen at the next tick. What was decided is written in
the same form, so a story that fails shows both tables.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from difflib import ndiff
from itertools import groupby
from typing import Final, NamedTuple

from msgspec.structs import replace

from controller.config import parse
from controller.model.decision import Decision, Plan
from controller.model.fleet import Fleet
from controller.model.intents import Intents
from controller.model.memory import Memory
from controller.model.observation import Observation, Pods, PoolObservation, QueueDepth, Workload
from controller.model.readings import Absent, Fresh, Reading, Why
from support.planning import plan

START: Final = 1_700_000_000.0
_LINE: Final = re.compile(r"(?P<second>\S+) (?P<pool>\S+) (?P<seen>\S+): (?P<decided>.*)")
_HEAD: Final = "version: 1\nnats: {servers: [nats://127.0.0.1:4222]}\n"
Planner = Callable[[Observation, Fleet, Intents, Memory, float], tuple[Plan, Memory]]


class _Line(NamedTuple):
    second: float
    pool: str
    seen: str
    decided: str


def fleet_of(text: str) -> Fleet:
    """The fleet of a fleet file that says only what a story is about."""
    return parse(_HEAD + text, "story.yaml").fleet


def tell(
    fleet: str,
    sizes: Mapping[str, int],
    table: str,
    *,
    intents: Intents | None = None,
    planner: Planner = plan,
) -> None:
    """Play the table from these sizes on; AssertionError where a decision is another one."""
    lines = [_read(line) for line in table.strip().splitlines()]
    compiled, now_has, memory = fleet_of(fleet), dict(sizes), Memory()
    told = []
    for second, group in groupby(lines, key=lambda line: line.second):
        tick = list(group)
        now = START + second
        seen = {line.pool: _seen(line.seen, now_has[line.pool], now) for line in tick}
        found, memory = planner(
            Observation(pools=seen), compiled, intents or Intents(), memory, now
        )
        for line in tick:
            decision = found.decisions[line.pool]
            decided = _decided(decision, line.decided)
            told.append(line._replace(decided=decided))
            now_has[line.pool] = now_has[line.pool] if decision.next is None else decision.next
    expected, found_lines = _written(lines), _written(told)
    assert found_lines == expected, "\n".join(ndiff(expected, found_lines))


def _read(line: str) -> _Line:
    found = _LINE.fullmatch(" ".join(line.split()))
    assert found, f"not a line of a story: {line}"
    return _Line(float(found["second"]), found["pool"], found["seen"], found["decided"])


def _written(lines: list[_Line]) -> list[str]:
    return [f"{line.second:g} {line.pool} {line.seen}: {line.decided}" for line in lines]


def _seen(text: str, size: int, now: float) -> PoolObservation:
    queue: Reading[QueueDepth] = Absent(why=Why.TIMED_OUT, at=now)
    if text != "?":
        pending, _, in_flight = text.partition("+")
        depth = QueueDepth(pending=int(pending), in_flight=int(in_flight or 0))
        queue = Fresh(value=depth, at=now)
    return PoolObservation(
        queue=queue,
        workload=Fresh(value=Workload(replicas=size), at=now),
        pods=Fresh(value=Pods(ready=size), at=now),
    )


def _decided(one: Decision, expected: str) -> str:
    """As the screen has it: the numbers, the bound and the gate; then those of the expected codes
    that are among the reasons.
    """
    numbers = f"{one.current} → {one.next} ({one.target}, {one.recommendation})"
    words = [numbers, one.bound.value, *([one.gate.value] if one.gate else [])]
    asked = expected.partition(" by ")[2].split()
    given = {reason.code.value for reason in one.reasons}
    codes = [code for code in asked if code in given]
    return " ".join([*words, *(["by", *codes] if codes else [])])


# -- planners with a fault: a story must notice each -------------------------------------------


def without_gates(
    observation: Observation, fleet: Fleet, intents: Intents, memory: Memory, now: float
) -> tuple[Plan, Memory]:
    found, after = plan(observation, fleet, intents, memory, now)
    bare = {key: replace(one, next=one.target) for key, one in found.decisions.items()}
    return replace(found, decisions=bare), after


def without_memory(
    observation: Observation, fleet: Fleet, intents: Intents, _memory: Memory, now: float
) -> tuple[Plan, Memory]:
    return plan(observation, fleet, intents, Memory(), now)


def without_limits(
    observation: Observation, fleet: Fleet, intents: Intents, memory: Memory, now: float
) -> tuple[Plan, Memory]:
    pools = tuple(replace(pool, min=0, max=1000) for pool in fleet.pools)
    return plan(observation, replace(fleet, pools=pools), intents, memory, now)


def that_shares_nothing(
    observation: Observation, fleet: Fleet, intents: Intents, memory: Memory, now: float
) -> tuple[Plan, Memory]:
    capacity = replace(fleet.capacity, resources=replace(fleet.capacity.resources, replicas=None))
    return plan(observation, replace(fleet, capacity=capacity), intents, memory, now)


def that_takes_silence_for_zero(
    observation: Observation, fleet: Fleet, intents: Intents, memory: Memory, now: float
) -> tuple[Plan, Memory]:
    nothing = Fresh(value=QueueDepth(pending=0, in_flight=0), at=now)
    pools = {
        key: seen if isinstance(seen.queue, Fresh) else replace(seen, queue=nothing)
        for key, seen in observation.pools.items()
    }
    return plan(replace(observation, pools=pools), fleet, intents, memory, now)


def that_ignores_until(
    observation: Observation, fleet: Fleet, intents: Intents, memory: Memory, now: float
) -> tuple[Plan, Memory]:
    endless = Intents(asked=tuple(replace(one, until=None) for one in intents))
    return plan(observation, fleet, endless, memory, now)
