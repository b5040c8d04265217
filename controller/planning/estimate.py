"""How many replicas an intent is about, from a snapshot alone: where nobody can plan with it."""

from __future__ import annotations

from controller.model.intents import Scope
from controller.model.readings import last_known
from controller.model.snapshot import PoolView, Snapshot
from controller.model.value import Value


class Estimate(Value):
    """The pools that an intent is about, their replicas that are ready, and how many of those work.
    `unknown`: pools of which that is not known.
    """

    pools: int
    ready: int
    busy: int
    unknown: int = 0

    def words(self) -> str:
        """`3 pools, 11 replicas ready, 4 of them busy; an estimate: …`."""
        parts = [
            f"{self.pools:,} pool{'' if self.pools == 1 else 's'}",
            f"{self.ready:,} replica{'' if self.ready == 1 else 's'} ready",
            f"{self.busy:,} of them busy",
        ]
        if self.unknown:
            parts.append(f"{self.unknown:,} not known")
        return f"{', '.join(parts)}; an estimate: the controller did not say what changes"


def estimate_of(scope: Scope, snapshot: Snapshot) -> Estimate:
    """What an intent for this scope is about."""
    views = [view for view in snapshot.pools if _is_in(scope, view)]
    known = [each for each in map(_at_work, views) if each is not None]
    return Estimate(
        pools=len(views),
        ready=sum(ready for ready, _ in known),
        busy=sum(busy for _, busy in known),
        unknown=len(views) - len(known),
    )


def _is_in(scope: Scope, view: PoolView) -> bool:
    if scope.pool is not None:
        return view.key == scope.pool
    return scope.tenant in {None, view.tenant}


def _at_work(view: PoolView) -> tuple[int, int] | None:
    """Replicas that are ready, and the least that can hold what is in flight; None if one of both
    is not known.
    """
    workload = last_known(view.observation.workload)
    queue = last_known(view.observation.queue)
    if workload is None or queue is None:
        return None
    return workload.ready, min(workload.ready, -(-queue.in_flight // max(view.slots, 1)))
