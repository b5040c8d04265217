"""What else a pool could have, and what it will have: counterfactuals and the next change."""

from __future__ import annotations

from controller.model.decision import Decision
from controller.model.fleet import Fleet
from controller.model.ids import PoolKey
from controller.model.intents import Intents
from controller.model.memory import Memory, PoolMemory
from controller.model.observation import Observation, PoolObservation
from controller.model.readings import last_known
from controller.model.value import Value
from controller.planning.ahead import NextChange, next_change
from controller.planning.compile import compile_fleet
from controller.planning.counterfactual import Counterfactual, counterfactuals
from controller.planning.demand.learned import cold_start_s
from controller.planning.planner import plan


class Starting(Value):
    """The replicas of a pool that are not ready yet, and the seconds after which the last of them
    is, counted from their start: one cold start, or where they start one after the other
    (`one_by_one`) one for each.
    """

    replicas: int
    ready_s: float
    one_by_one: bool = False


class Outlook(Value):
    """A pool as of `now` (Unix seconds): its sizes without one of its rules, its next change, None
    where none can be foreseen, and its replicas that start, None where there are none.
    """

    now: float
    without: tuple[Counterfactual, ...]
    next: NextChange | None = None
    starting: Starting | None = None


def outlook_of(
    key: PoolKey,
    *,
    observation: Observation,
    fleet: Fleet,
    intents: Intents,
    memory: Memory,
    now: float,
) -> Outlook | None:
    """The outlook of one pool; None for a pool that the fleet does not have, or that was not seen.

    The keyword arguments are the inputs of a plan.
    """
    pool = next((pool for pool in fleet.pools if pool.key == key), None)
    planned = plan(observation, compile_fleet(fleet), intents, memory, now)
    decision = planned.plan.decisions.get(key)
    if pool is None or decision is None:
        return None
    without = counterfactuals(
        decision, observation=observation, fleet=fleet, intents=intents, memory=memory, now=now
    )
    change = next_change(
        pool, observation=observation, fleet=fleet, intents=intents, memory=memory, now=now
    )
    starting = starting_of(decision, observation.pools[key], memory.pools.get(key))
    return Outlook(now=now, without=without, next=change, starting=starting)


def starting_of(
    decision: Decision, seen: PoolObservation, memory: PoolMemory | None
) -> Starting | None:
    """The replicas that the pool shall have and that are not ready yet; None if there are none, or
    if pods crash or fit nowhere, so that nothing says when they will be.
    """
    workload, pods = last_known(seen.workload), last_known(seen.pods)
    if workload is None or decision.next is None or decision.next <= workload.ready:
        return None
    if pods is not None and (pods.unscheduled or pods.crashing):
        return None
    missing = decision.next - workload.ready
    cold_s = cold_start_s(seen, None if memory is None else memory.native)
    starts = missing if workload.one_by_one else 1
    return Starting(replicas=missing, ready_s=starts * cold_s, one_by_one=workload.one_by_one)
