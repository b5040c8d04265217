"""What workers and the controller tell each other, through buckets of NATS.

A worker keeps its state under `TENANT.POOL.WORKER` in the bucket of workers. The controller keeps
its orders to all workers of a pool under `TENANT.POOL` in the bucket of orders, which the workers
watch, and beside them what they may use: the terms of the pool, which change with the fleet file,
and each worker's share of each model's limits, which changes with the workers and their needs.

No task is started unseen: a worker stores its state and *then* reads its orders from the stream's
leader, before its first pull; the controller stores the orders and *then* reads the states, before
it lowers the replicas. So one of the two always sees the other.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Final

import msgspec

from controller.model.scarcity import ModelTier
from controller.model.value import Counter, Time

USAGE_STREAM: Final = "AGENTDASH_USAGE"
"""The stream that keeps usage events."""
USAGE_SUBJECT_PREFIX: Final = "agentdash.usage"
"""Events are published to `agentdash.usage.TENANT.ROLE`. The NATS server decides who may publish
for a tenant.
"""
MOST_TOKENS_OF_A_TASK: Final = 10**9
"""The most tokens of one kind in an event; a larger number is refused as an error."""
MOST_CALLS: Final = 10**6
LONGEST_TASK_S: Final = 7 * 86_400.0
MOST_SAVED_USD: Final = 1e5
"""The most that one event may say a task has saved, or has cost more."""
LONGEST_TIER: Final = 32

TokenNumber = Annotated[int, msgspec.Meta(ge=0, le=MOST_TOKENS_OF_A_TASK)]
CallNumber = Annotated[int, msgspec.Meta(ge=0, le=MOST_CALLS)]
ReportedSeconds = Annotated[float, msgspec.Meta(ge=0, le=LONGEST_TASK_S)]
SavedUsd = Annotated[float, msgspec.Meta(ge=-MOST_SAVED_USD, le=MOST_SAVED_USD)]
TierName = Annotated[str, msgspec.Meta(max_length=LONGEST_TIER)]


class UsedTokens(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The tokens that one task used, by kind, and its number of model calls.

    The limits of the fields are checked when an event is decoded.
    """

    input: TokenNumber = 0
    cached_input: TokenNumber = 0
    output: TokenNumber = 0
    calls: CallNumber = 1


class UsageEvent(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The usage of one finished task. `role` is the name of the pool; `seconds` is how long the
    task occupied its slot. Unknown fields of later versions are ignored.

    `tier` is that of the model, empty where it is not known. `saved_usd` is what a router has saved
    against the best model alone; less than 0 if tries with this model were not accepted.
    """

    tenant: str
    role: str
    usage: UsedTokens
    model: str = ""
    seconds: ReportedSeconds | None = None
    tier: TierName = ""
    saved_usd: SavedUsd = 0.0


def usage_subject(tenant: str, role: str) -> str:
    """The subject for the workers of one role of a tenant. Subjects are separate, so that the NATS
    server can restrict a worker to its own tenant.
    """
    return f"{USAGE_SUBJECT_PREFIX}.{tenant}.{role}"


PER_MILLION: Final = 1_000_000
PerMinute = Annotated[float, msgspec.Meta(ge=0)]
Calls = Annotated[int, msgspec.Meta(ge=0)]


class RateShare(msgspec.Struct, frozen=True, kw_only=True, gc=False, omit_defaults=True):
    """One worker's share of a model's limits. None: there is no such limit.

    `tokens_per_minute` limits input and output together. `burst` is how many requests may start at
    once after a time without any.
    """

    requests_per_minute: PerMinute | None = None
    tokens_per_minute: PerMinute | None = None
    input_tokens_per_minute: PerMinute | None = None
    output_tokens_per_minute: PerMinute | None = None
    parallel: Calls | None = None
    burst: Annotated[int, msgspec.Meta(ge=1)] = 1


class ModelShare(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The shares of one pool's workers in the limits of one model, by the worker's name.

    A worker that is not named has just started: it holds to `newcomer` until it is.
    """

    model: str
    newcomer: RateShare
    workers: dict[str, RateShare] = {}

    def of(self, worker: str) -> RateShare:
        """The share of this worker."""
        return self.workers.get(worker, self.newcomer)


class ModelDemand(msgspec.Struct, frozen=True, kw_only=True, gc=False, omit_defaults=True):
    """A worker's recent use of one model, and the limits that its calls wait for, by their names in
    RateShare. What it needs of those is not known, only that it is more than it has.

    `refused_per_minute` are those of its requests that the provider refused for its rate (429).
    """

    model: str
    requests_per_minute: PerMinute = 0.0
    refused_per_minute: PerMinute = 0.0
    input_tokens_per_minute: PerMinute = 0.0
    output_tokens_per_minute: PerMinute = 0.0
    parallel: Calls = 0
    short_of: tuple[str, ...] = ()

    @property
    def tokens_per_minute(self) -> float:
        """Input and output together."""
        return self.input_tokens_per_minute + self.output_tokens_per_minute


class SessionLimits(msgspec.Struct, frozen=True, kw_only=True, gc=False, omit_defaults=True):
    """What one session may use: tokens of all kinds, seconds, calls of tools. A task's own budget
    may be smaller.
    """

    tokens: int = 500_000
    duration_s: float = 14_400.0
    tool_calls: int = 200


class ModelTerms(msgspec.Struct, frozen=True, kw_only=True, gc=False, omit_defaults=True):
    """A model that a task may use. Prices are USD per million tokens. None: not known."""

    name: str
    tier: ModelTier = ModelTier.STANDARD
    context_tokens: int | None = None
    input_price: Decimal | None = None
    cached_input_price: Decimal | None = None
    output_price: Decimal | None = None

    def usd(self, tokens: UsedTokens) -> Decimal | None:
        """What these tokens cost; None without a price."""
        if self.input_price is None or self.output_price is None:
            return None
        cached = self.input_price if self.cached_input_price is None else self.cached_input_price
        whole = tokens.input * self.input_price + tokens.output * self.output_price
        return (whole + tokens.cached_input * cached) / PER_MILLION


class WorkerTerms(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What the fleet file says to the workers of a pool.

    - `session`: the limits of one task. None: the worker's own settings apply.
    - `models`: those that a task may use, with their tiers and prices; `model` is the pool's own.
    - `usd_per_workflow`: the most that all tasks of one workflow may cost together.
    """

    session: SessionLimits | None = None
    model: str = ""
    models: tuple[ModelTerms, ...] = ()
    usd_per_workflow: Decimal | None = None


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
    obeyed: Counter = 0
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
    until: Time | None = None


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
