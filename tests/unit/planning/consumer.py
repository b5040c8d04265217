"""A queue with its counters, for rule native to learn from."""

from __future__ import annotations

from collections import deque
from copy import deepcopy
from functools import cache
from typing import Final

from msgspec.structs import replace

from controller.model.decision import Code, Decision
from controller.model.observation import QueueDepth, Workload
from controller.model.readings import Fresh
from unit.planning.story import Story, make_pool

BY_ITS_PAST: Final = frozenset(
    {
        Code.LEARNED_NEED,
        Code.WORTH_STARTING,
        Code.WORTH_KEEPING,
        Code.NOT_WORTH_KEEPING,
        Code.SURPLUS_HELD,
    }
)
"""The answers of rule native once it goes by what it has learned."""


def goes_by_its_past(decision: Decision) -> bool:
    """Whether rule native has sized the pool by what it has learned."""
    return any(reason.code in BY_ITS_PAST for reason in decision.reasons)


class Consumer:
    """A queue whose tasks all take the same time; each replica works on one of them."""

    def __init__(self, story: Story, service_s: float) -> None:
        self.story = story
        self.service_s = service_s
        self.pending = self.delivered = self.again = 0
        self._ends: deque[float] = deque()
        self.one_by_one: bool | None = None
        """Whether the replicas of a StatefulSet start so; None for a Deployment."""

    @property
    def depth(self) -> QueueDepth:
        return QueueDepth(
            pending=self.pending,
            in_flight=len(self._ends),
            delivered=self.delivered + self.again,
            sequence=self.delivered,
        )

    def second(self, arriving: int = 0) -> Decision:
        """One second and its tick, in which so many tasks arrive."""
        now = self.story.now
        while self._ends and self._ends[0] <= now:
            self._ends.popleft()
        self.pending += arriving
        while self.pending and len(self._ends) < self.story.replicas:
            self.pending -= 1
            self.delivered += 1
            self._ends.append(now + self.service_s)
        replicas = self.story.replicas
        workload = Workload(replicas=replicas, ready=replicas)
        if self.one_by_one is not None:
            workload = replace(workload, first_ordinal=0, one_by_one=self.one_by_one)
        return self.story.tick(
            queue=Fresh(value=self.depth, at=now), workload=Fresh(value=workload, at=now)
        )

    def run(self, seconds: int, every_s: int) -> Consumer:
        """So many seconds with one task in each interval."""
        for second in range(seconds):
            self.second(1 if second % every_s == 0 else 0)
        return self


def learned(every_s: int = 10, service_s: float = 2.0, **fields: object) -> Consumer:
    """A pool after an hour with one task in each interval."""
    return deepcopy(_after_an_hour(every_s, service_s, **{"window_given": False, **fields}))


@cache
def _after_an_hour(every_s: int, service_s: float, **fields: object) -> Consumer:
    return Consumer(Story(make_pool(**fields)), service_s).run(3600, every_s)
