"""What the planner keeps from one plan to the next, so that only what changed is worked out again.

Nothing in it decides anything: a plan without it comes out the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import msgspec

from controller.model.decision import Decision, Reason
from controller.model.ids import PoolKey
from controller.model.intents import Intents
from controller.model.limits import INT32_MAX
from controller.model.memory import PoolMemory
from controller.model.observation import PoolObservation
from controller.planning.compile import FleetTerms
from controller.planning.demand.demand import Demand
from controller.planning.given.pool_input import PoolInput
from controller.planning.limit.limits import Limits
from controller.planning.share.claims import Entry
from controller.planning.share.scarcity import Scarcity
from controller.planning.share.share import Shared
from controller.planning.share.spending import CostAlert
from controller.planning.share.target import Target
from controller.planning.step.room import Room


class Alone(msgspec.Struct, frozen=True, gc=False):
    """Steps 1 and 2 of one pool: they depend on nothing but the pool, and hold until `changes_at`.

    `reasons` are those of both steps.
    """

    given: PoolInput
    demand: Demand
    limits: Limits
    reasons: tuple[Reason, ...]
    changes_at: float


class Result(msgspec.Struct, frozen=True, gc=False):
    """What was decided of one pool, for as long as it holds.

    `alone`, `entry` and `target` are None where the Deployment is not known. `memory` is the pool's
    memory after the plan.
    """

    decision: Decision
    memory: PoolMemory | None
    changes_at: float
    alone: Alone | None = None
    entry: Entry | None = None
    target: Target | None = None


def last_size(result: Result) -> int | None:
    """The last size of a pool whose Deployment is not known, if it can be one."""
    current = result.decision.current
    return current if current is not None and 0 <= current <= INT32_MAX else None


class Kept(NamedTuple):
    """One whole plan. Columns are by the pool's number.

    - `seen`: what was observed of each pool. `results`: None where it was not decided. `times`:
      when its result no longer holds. `fixed`: pools that were being written, with their size.
    - `shared`: the division; `have` and `refused`: what it had left each pool when the pool's
      result was made.
    - `memories`: the fleet's memory after the plan. `unsettled`: the pools whose memory has changed
      in it, so that the next plan begins from another memory.
    - `decisions`: all of them, before alerts are added; `alerted`: after.
    """

    terms: FleetTerms
    intents: Intents
    at: float
    seen: list[PoolObservation | None]
    results: list[Result | None]
    times: list[float]
    fixed: Mapping[int, int]
    scarcity: Scarcity
    shared: Shared | None
    have: list[int]
    refused: list[int]
    room: Room | None
    memories: Mapping[PoolKey, PoolMemory]
    unsettled: tuple[int, ...]
    decisions: dict[PoolKey, Decision]
    alerts: tuple[CostAlert, ...]
    alerted: dict[PoolKey, Decision]
