"""What workers and the controller tell each other, through buckets of NATS.

A worker keeps its state under `TENANT.POOL.WORKER` in the bucket of workers. The controller keeps
its orders to all workers of a pool under `TENANT.POOL` in the bucket of orders, which the workers
watch.

No task is started unseen: a worker stores its state and *then* reads its orders from the stream's
leader, before its first pull; the controller stores the orders and *then* reads the states, before
it lowers the replicas. So one of the two always sees the other.
"""

from __future__ import annotations

from typing import Annotated, Final

import msgspec

from controller.model.worker_terms import ModelDemand, ModelShare, WorkerTerms

WORKERS_BUCKET: Final = "agentdash_workers"
"""One value of each worker, in memory: it is written anew when the server has lost it."""
ORDERS_BUCKET: Final = "agentdash_orders"
ALLOWANCES_BUCKET: Final = "agentdash_allowances"
"""What each pool's workers may use, under the keys of the orders."""
REPORT_S: Final = 15.0
"""A worker stores its state when it changes, and at least this often."""
GONE_AFTER_S: Final = 3 * REPORT_S
"""A worker without a newer state is gone: the bucket forgets it."""

MOST_MARKS: Final = 12
MARK_LENGTH: Final = 24
"""The most characters of a mark's name."""

SlotNumber = Annotated[int, msgspec.Meta(ge=0, le=10_000)]


class WorkerState(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One worker. `worker` is its pod's name, in Kubernetes; `obeyed` is the revision of the newest
    orders it has acted on (0: there were none).

    `lost` slots are held by agents that were cut and do not end; they count in `slots`, not in
    `busy`. `pulling` is False once no pull is open and none will be opened: then `busy` can only
    fall. `demand` is its recent use of each model, in coarse steps, so that it seldom changes.
    `marks` says when it reached each step of its start, in Unix seconds; at most `MOST_MARKS` of
    them.
    """

    worker: str
    slots: SlotNumber
    busy: SlotNumber
    pulling: bool
    obeyed: int = 0
    lost: SlotNumber = 0
    demand: tuple[ModelDemand, ...] = ()
    marks: dict[str, float] = {}


class PoolOrders(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What the workers of a pool must do. The defaults are the orders of a pool without any.

    With `pull` False nobody pulls, `because` of a pause or a spent budget. The workers in `drain`
    stop pulling and finish what they have. Those in `leave` hand back what they have within their
    grace, because their node ends. Orders end at `until` (Unix seconds), if it is given.
    """

    pull: bool = True
    because: str = ""
    drain: tuple[str, ...] = ()
    leave: tuple[str, ...] = ()
    until: float | None = None


class PoolAllowance(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What the workers of a pool may use: the pool's settings, and their shares of the models'
    limits. It is no part of the orders, whose every change each worker confirms.
    """

    terms: WorkerTerms = WorkerTerms()
    shares: tuple[ModelShare, ...] = ()


def worker_key(tenant: str, pool: str, worker: str) -> str:
    """The key of a worker's state."""
    return f"{tenant}.{pool}.{worker}"


def orders_key(tenant: str, pool: str) -> str:
    """The key of a pool's orders, and of its allowance."""
    return f"{tenant}.{pool}"
