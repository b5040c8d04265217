"""The real planner as a policy: a virtual pool's state becomes an observation, and `plan()` decides
as in a daemon, with its memory kept from one look to the next.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final

from msgspec.structs import replace

from controller.model.decision import Decision
from controller.model.fleet import Fleet, Pool
from controller.model.intents import Intents
from controller.model.memory import Memory, PoolMemory
from controller.model.observation import (
    Observation,
    Pod,
    PodPhase,
    Pods,
    PoolObservation,
    QueueDepth,
    Workload,
)
from controller.model.readings import Fresh
from controller.planning.compile import compile_fleet
from controller.planning.demand.learned import ASK_EVERY_S
from controller.planning.memo import Kept
from controller.planning.planner import plan
from controller.simulate.world import NEVER, Answer, SeenPool

START_AT: Final = 1_699_920_000.0
"""Virtual time 0 in Unix seconds. It is midnight UTC, so a day begins with the trace."""
_NO_INTENTS: Final = Intents()
TICK_S: Final = 1.0  # a daemon's, without the ticks at which nothing can have changed
RUNNING_S: Final = 5.0


class PlannerPolicy:
    """One pool sized by `plan()`, as the only pool of its fleet and without operators' intents.

    It looks at the first tick after an event, and every `RUNNING_S` while an idle replica might
    be removed. `decision` is the last decision, None before the first.
    """

    interval_s = TICK_S
    on_events = True

    def __init__(self, pool: Pool) -> None:
        self._key = pool.key
        self._least = pool.min if pool.idle is None else pool.idle
        self._terms = compile_fleet(Fleet(pools=(pool,)))
        self._memory = Memory()
        self._kept: Kept | None = None
        self._at_rest: SeenPool | None = None
        self.decision: Decision | None = None

    def look(self, seen: SeenPool, now: float) -> Answer:
        """The plan's `next`, but never fewer than the busy replicas."""
        if (turn_at := self._turn_at(seen)) > now:
            self._at_rest = None
            return Answer(seen.replicas, turn_at)
        if self._at_rest is not None:
            # The skipped ticks would all have seen this state: plan the last of them, so that
            # memory has the right end time for it.
            self._plan(self._at_rest, now - TICK_S)
            self._at_rest = None
        self.decision = self._plan(seen, now)
        asked = self.decision.next
        replicas = seen.replicas if asked is None else asked
        if replicas < seen.busy:
            replicas = min(seen.busy, seen.replicas)
            self._correct(replicas)
        look_at = self.next_look(seen, replicas, now)
        if look_at == NEVER and replicas:
            self._at_rest = seen
        return Answer(replicas, look_at)

    def _turn_at(self, seen: SeenPool) -> float:
        """When rule `native` learns next (virtual seconds), else `-NEVER`: plan now."""
        decision, memory = self.decision, self._memory.pools.get(self._key)
        native = None if memory is None else memory.native
        if native is None or decision is None or seen.pending:
            return -NEVER
        if decision.demand is None or decision.demand > seen.replicas:
            return -NEVER
        return native.asked_at - START_AT + ASK_EVERY_S

    def _plan(self, seen: SeenPool, now: float) -> Decision:
        at = START_AT + now
        observation = Observation(pools={self._key: observed(seen, at)})
        made = plan(observation, self._terms, _NO_INTENTS, self._memory, at, self._kept)
        self._memory, self._kept = made.memory, made.kept
        return made.plan.decisions[self._key]

    def _correct(self, replicas: int) -> None:
        """Correct the requested size in memory to `replicas`.

        With several slots, tasks may occupy more replicas than they would fill. The queue does not
        show that, so the plan may ask for fewer replicas than are busy.
        """
        memory = self._memory.pools[self._key]
        asked = memory.asked
        if asked is not None:
            asked = None if asked.before == replicas else replace(asked, after=replicas)
            pools = {self._key: replace(memory, asked=asked)}
            self._memory = replace(self._memory, pools=pools)

    def next_look(self, seen: SeenPool, replicas: int, now: float) -> float:
        """When to look again if nothing happens; NEVER if time alone changes nothing."""
        demand = 0 if self.decision is None else self.decision.demand or 0
        if demand > replicas or _is_behind(self._memory.pools[self._key], seen, START_AT + now):
            return now + TICK_S
        return NEVER if replicas <= max(seen.busy, self._least) else now + RUNNING_S


def observed(seen: SeenPool, at: float) -> PoolObservation:
    """The observation that a daemon would have of this pool at `at` (Unix seconds)."""
    return PoolObservation(
        queue=Fresh(
            value=QueueDepth(
                pending=seen.pending,
                in_flight=seen.in_flight,
                delivered=seen.in_flight + seen.completions,
            ),
            at=at,
        ),
        workload=Fresh(
            value=Workload(replicas=seen.replicas, current=seen.replicas, ready=seen.ready), at=at
        ),
        pods=Fresh(
            value=Pods(
                ready=seen.ready,
                starting=seen.starting,
                items=_started(seen.time_to_ready_s) if seen.ready else (),
            ),
            at=at,
        ),
    )


@lru_cache(maxsize=8)
def _started(time_to_ready_s: float) -> tuple[Pod, ...]:
    """One pod in place of all: they all take equally long to become ready."""
    ready_at = START_AT + time_to_ready_s
    return (Pod(name="pod", phase=PodPhase.READY, created_at=START_AT, ready_at=ready_at),)


def _is_behind(memory: PoolMemory, seen: SeenPool, at: float) -> bool:
    """Whether rule `native`, which learns at intervals, has not seen these counters yet."""
    native = memory.native
    return (
        native is not None
        and native.asked_at < at
        and (native.pending, native.delivered) != (seen.pending, seen.in_flight + seen.completions)
    )
