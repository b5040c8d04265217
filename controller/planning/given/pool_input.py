"""What the steps of one pool start from."""

from __future__ import annotations

import msgspec

from controller.model.memory import PoolMemory
from controller.model.observation import PoolObservation, Workload
from controller.planning.given.override import Override
from controller.planning.given.terms import PoolTerms


class PoolInput(msgspec.Struct, frozen=True, gc=False):
    """A pool whose Deployment is known: what was seen of it and what holds for it now.

    `current` are the replicas that its spec asks for now. `memory` takes account of what became of
    the last write. `planned_at` is the time of the plan before this one: what has ended since
    counts until then.
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
