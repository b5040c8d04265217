"""What the planner keeps from one plan to the next, so that only changed pools are computed again.

It only saves time: a plan without it has the same result.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import msgspec

from controller.model.decision import Decision, Reason
from controller.model.ids import PoolKey
from controller.model.intents import Intents
from controller.model.memory import PoolMemory
from controller.model.observation import PoolObservation
from controller.model.value import INT32_MAX
from controller.planning.compile import FleetTerms
from controller.planning.inputs import PoolInput
from controller.planning.room import Room
from controller.planning.share.claims import Entry
from controller.planning.share.scarcity import Scarcity
from controller.planning.share.share import Shared
from controller.planning.share.spending import CostAlert
from controller.planning.values import Demand, Limits, Target


class LocalPlan(msgspec.Struct, frozen=True, gc=False):
    """The result of steps 1 and 2 of one pool, before sharing. It depends on no other pool, and
    stays valid until `changes_at` (Unix seconds).

    `reasons` are those of both steps.
    """

    given: PoolInput
    demand: Demand
    limits: Limits
    reasons: tuple[Reason, ...]
    changes_at: float


class Result(msgspec.Struct, frozen=True, gc=False):
    """The result of one pool; valid until `changes_at` (Unix seconds) if its inputs stay the same.

    `local`, `entry` and `target` are None where the Deployment is not known. `memory` is the pool's
    memory after the plan.
    """

    decision: Decision
    memory: PoolMemory | None
    changes_at: float
    local: LocalPlan | None = None
    entry: Entry | None = None
    target: Target | None = None


def last_size(result: Result) -> int | None:
    """The last known size of a pool whose Deployment is not known; None if it is not plausible."""
    current = result.decision.current
    return current if current is not None and 0 <= current <= INT32_MAX else None


class Kept(NamedTuple):
    """One whole plan. Lists are by pool number.

    - `seen`: the observations. `results`: None for a pool that was not decided. `times`: when each
      result becomes invalid (Unix seconds). `fixed`: pools that were being written, and their size.
    - `shared`: the division. `have`, `refused`: the pool's replicas in the division, and the row
      that refused more, at the time when its result was made.
    - `memories`: the fleet's memory after the plan. `unsettled`: the pools that the plan changed in
      it; the next plan has to compute them again, because it begins with another memory.
    - `decisions`: all decisions without cost alerts. `alerted`: the same with them.
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
