"""`plan()` as a history tells it: the fleet is compiled at once, and nothing is kept."""

from __future__ import annotations

from msgspec.structs import replace

from controller.model.decision import Plan
from controller.model.fleet import Fleet
from controller.model.intents import Intents
from controller.model.memory import Memory
from controller.model.observation import Observation, Pods, PoolObservation, QueueDepth, Workload
from controller.model.readings import Fresh
from controller.planning.compile import compile_fleet
from controller.planning.planner import plan as plan_terms


def plan(
    observation: Observation, fleet: Fleet, intents: Intents, memory: Memory, now: float
) -> tuple[Plan, Memory]:
    planned = plan_terms(observation, compile_fleet(fleet), intents, memory, now)
    return planned.plan, planned.memory


def seen_pool(
    pending: int,
    size: int | Workload,
    *,
    at: float,
    in_flight: int = 0,
    pods: Pods | None = None,
    **fields: object,
) -> PoolObservation:
    """A pool with so many messages, of this size or with this Deployment; its pods are all ready
    where nothing else is said of them.
    """
    workload = size if isinstance(size, Workload) else Workload(replicas=size)
    depth = QueueDepth(pending=pending, in_flight=in_flight)
    seen = PoolObservation(
        queue=Fresh(value=depth, at=at),
        workload=Fresh(value=workload, at=at),
        pods=Fresh(value=pods or Pods(ready=max(workload.replicas, 0)), at=at),
    )
    return replace(seen, **fields)
