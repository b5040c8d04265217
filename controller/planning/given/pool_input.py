"""The input of the steps of one pool."""

from __future__ import annotations

import msgspec

from controller.model.memory import PoolMemory
from controller.model.observation import PoolObservation, Workload
from controller.planning.given.override import Override
from controller.planning.given.terms import PoolTerms


class PoolInput(msgspec.Struct, frozen=True, gc=False):
    """A pool whose Deployment is known: its observation, and the limits and overrides in force.

    `current` are the replicas that its spec asks for now. `memory` includes the outcome of the last
    requested write. `planned_at` is the time of the previous plan: a state that has ended since
    then counts as true until then.
    """

    terms: PoolTerms
    seen: PoolObservation
    workload: Workload
    current: int
    memory: PoolMemory
    override: Override
    planned_at: float

    @property
    def status_replicas(self) -> int:
        """The replicas in its status, those of a rollout's surge included."""
        return max(self.workload.current, 0)
