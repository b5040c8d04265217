"""What else a pool could have, and what it will have: counterfactuals and the next change."""

from __future__ import annotations

from controller.model.fleet import Fleet
from controller.model.ids import PoolKey
from controller.model.intents import Intents
from controller.model.memory import Memory
from controller.model.observation import Observation
from controller.model.value import Value
from controller.planning.ahead import NextChange, next_change
from controller.planning.compile import compile_fleet
from controller.planning.counterfactual import Counterfactual, counterfactuals
from controller.planning.planner import plan


class Outlook(Value):
    """A pool as of `now` (Unix seconds): its sizes without one of its rules, and its next change,
    None where none can be foreseen.
    """

    now: float
    without: tuple[Counterfactual, ...]
    next: NextChange | None = None


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
    return Outlook(now=now, without=without, next=change)
