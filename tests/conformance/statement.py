"""A case stated for the product: a fleet file, an observation, intents, a memory and a time; and
what is read from the plan of them.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from contextvars import ContextVar
from typing import Any, Final, NamedTuple

from controller.config import FleetFileError, parse
from controller.model.decision import Code, Decision, Number
from controller.model.fleet import Fleet
from controller.model.ids import PoolKey, pool_key
from controller.model.intents import Intents
from controller.model.memory import Memory, PoolMemory, RecommendationRun
from controller.model.observation import Observation, Pods, PoolObservation, QueueDepth, Workload
from controller.model.readings import Fresh, Reading
from support.planning import plan

Inputs = Mapping[str, Any]
Answer = Mapping[str, Any]

EXPECTED: Final = "expected"
"""Among the inputs of a case: what the original answers."""
NOW: Final = 100_000.0
MAX_REPLICAS: Final = 100_000
"""The largest `max` that the fleet file's reader takes."""
KEY: Final = pool_key("acme", "research")
LONG_AGO: Final = RecommendationRun(replicas=0, first_at=0.0, last_at=0.0)
"""A history that is over: a pool without any would begin with its present size."""


REWRITTEN: Final[ContextVar[Callable[[dict[str, Any]], dict[str, Any]]]] = ContextVar(
    "rewritten", default=lambda document: document
)
"""What becomes of a case's fleet file before it is read."""


class NotStatable(Exception):  # noqa: N818 - it is an answer: why a case is not stated
    """Why a case cannot be stated for the product, in words."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Stated(NamedTuple):
    """What the planner is given for one case. `unless`: why the plan may answer otherwise."""

    fleet: Fleet
    observation: Observation
    intents: Intents = Intents()
    memory: Memory = Memory()
    now: float = NOW
    unless: str = ""


class Outcome(NamedTuple):
    """What the planner makes of it."""

    decisions: Mapping[PoolKey, Decision]
    memory: Memory

    @property
    def decision(self) -> Decision:
        """The decision of a case's only pool."""
        [decision] = self.decisions.values()
        return decision

    @property
    def codes(self) -> frozenset[Code]:
        """The codes of its reasons."""
        return frozenset(reason.code for reason in self.decision.reasons)

    def numbers(self, *codes: Code) -> Mapping[str, Number] | None:
        """The numbers of its first reason with one of these codes."""
        for reason in self.decision.reasons:
            if reason.code in codes:
                return reason.numbers
        return None


class Statement(NamedTuple):
    """How cases of one type are stated, and what is read from their plan. `state` raises
    NotStatable; `read` answers those keys of `expected` that a plan can show.
    """

    state: Callable[[Inputs], Stated]
    read: Callable[[Inputs, Outcome], Answer]


def planned(stated: Stated) -> Outcome:
    """The plan of a case, and the memory after it."""
    decided, memory = plan(
        stated.observation, stated.fleet, stated.intents, stated.memory, stated.now
    )
    return Outcome(decided.decisions, memory)


def never(reason: str) -> Statement:
    """Cases of a type that a plan cannot show."""

    def state(_: Inputs) -> Stated:
        raise NotStatable(reason)

    def read(_: Inputs, __: Outcome) -> Answer:
        raise AssertionError(f"nothing was stated: {reason}")

    return Statement(state, read)


def fleet_file(
    pools: Sequence[Mapping[str, Any]],
    *,
    tenants: Mapping[str, Any] | None = None,
    tiers: Mapping[str, Any] | None = None,
    models: Mapping[str, Any] | None = None,
    capacity: Mapping[str, Any] | None = None,
) -> Fleet:
    """The fleet as the fleet file's reader makes it. Raises NotStatable with its complaints."""
    owners = {pool["tenant"] for pool in pools}
    document = {
        "version": 1,
        "nats": {"servers": ["nats://127.0.0.1:4222"]},
        "tiers": tiers or {"growth": {"priority": 500}},
        "tenants": tenants or {owner: {"tier": "growth"} for owner in sorted(owners)},
        "models": models,
        "capacity": capacity,
        "pools": list(pools),
    }
    written = {key: value for key, value in document.items() if value is not None}
    written = REWRITTEN.get()(written)
    try:
        return parse(json.dumps(written), "case").fleet
    except FleetFileError as error:
        complaint = str(error).splitlines()[0].partition(" ")[2]
        raise NotStatable(f"the fleet file's reader refuses it: {complaint}") from None


def pool_entry(name: str = "research", tenant: str = "acme", **fields: Any) -> dict[str, Any]:
    """A pool of the fleet file; a field of None is left out."""
    entry = {
        "name": name,
        "tenant": tenant,
        "queue": {"stream": "TASKS", "consumer": f"{tenant}-{name}"},
        **fields,
    }
    return {key: value for key, value in entry.items() if value is not None}


def seen(
    replicas: int,
    *,
    status_replicas: int | None = None,
    queue: Reading[QueueDepth] | None = None,
    annotations: Mapping[str, str] | None = None,
    now: float = NOW,
    **fields: Any,
) -> PoolObservation:
    """A pool whose Deployment and pods are known; its queue is empty unless one is given."""
    workload = Workload(
        replicas=replicas,
        current=replicas if status_replicas is None else status_replicas,
        annotations=dict(annotations or {}),
    )
    given: dict[str, Any] = {
        "queue": queue or Fresh(value=QueueDepth(pending=0, in_flight=0), at=now),
        "workload": Fresh(value=workload, at=now),
        "pods": Fresh(value=Pods(ready=replicas), at=now),
        **fields,
    }
    return PoolObservation(**given)


def observed_for_long(**fields: Any) -> PoolMemory:
    """A memory in which nothing holds a pool: it began long ago, and its history is over."""
    return PoolMemory(**{"since": 0.0, "recommendations": (LONG_AGO,), **fields})


def one_pool(
    fleet: Fleet, seen_of_it: PoolObservation, memory: PoolMemory | None, now: float = NOW
) -> Stated:
    """A case of one pool; without a memory the planner has just been started."""
    [pool] = fleet.pools
    return Stated(
        fleet,
        Observation(pools={pool.key: seen_of_it}),
        memory=Memory() if memory is None else Memory(pools={pool.key: memory}, planned_at=now),
        now=now,
    )
