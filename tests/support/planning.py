"""`plan()` as a history tells it: the fleet is compiled at once, and nothing is kept."""

from __future__ import annotations

from controller.model.decision import Plan
from controller.model.fleet import Fleet
from controller.model.intents import Intents
from controller.model.memory import Memory
from controller.model.observation import Observation
from controller.planning.compile import compile_fleet
from controller.planning.planner import plan as plan_terms


def plan(
    observation: Observation, fleet: Fleet, intents: Intents, memory: Memory, now: float
) -> tuple[Plan, Memory]:
    planned = plan_terms(observation, compile_fleet(fleet), intents, memory, now)
    return planned.plan, planned.memory
