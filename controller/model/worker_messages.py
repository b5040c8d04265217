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

USAGE_STREAM: Final = "AGENTDASH_USAGE"  # it keeps usage events
# events go to `agentdash.usage.TENANT.ROLE`; the NATS server decides who may publish for a tenant
USAGE_SUBJECT_PREFIX: Final = "agentdash.usage"
# an event with larger numbers is refused
MOST_TOKENS_OF_A_TASK: Final = 10**9  # of one kind
MOST_CALLS: Final = 10**6
LONGEST_TASK_S: Final = 7 * 86_400.0
MOST_SAVED_USD: Final = 1e5  # that a task has saved, or has cost more
LONGEST_TIER: Final = 32

TokenNumber = Annotated[int, msgspec.Meta(ge=0, le=MOST_TOKENS_OF_A_TASK)]
CallNumber = Annotated[int, msgspec.Meta(ge=0, le=MOST_CALLS)]
ReportedSeconds = Annotated[float, msgspec.Meta(ge=0, le=LONGEST_TASK_S)]
SavedUsd = Annotated[float, msgspec.Meta(ge=-MOST_SAVED_USD, le=MOST_SAVED_USD)]
TierName = Annotated[str, msgspec.Meta(max_length=LONGEST_TIER)]


class UsedTokens(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The tokens that one task used, by kind, and its number of model calls."""

    input: TokenNumber = 0
    cached_input: TokenNumber = 0
    output: TokenNumber = 0
    calls: CallNumber = 1


class UsageEvent(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The usage of one finished task. Unknown fields of later versions are ignored."""

    tenant: str
    role: str  # the name of the pool
    usage: UsedTokens
    model: str = ""
    seconds: ReportedSeconds | None = None  # how long the task occupied its slot
    tier: TierName = ""  # that of the model, empty where it is not known
    # what a router has saved against the best model alone; below 0 if tries were not accepted
    saved_usd: SavedUsd = 0.0


def usage_subject(tenant: str, role: str) -> str:
    """The subject of a tenant's role: its own, so that rights can keep to a tenant."""
    return f"{USAGE_SUBJECT_PREFIX}.{tenant}.{role}"


PER_MILLION: Final = 1_000_000
PerMinute = Annotated[float, msgspec.Meta(ge=0)]
Calls = Annotated[int, msgspec.Meta(ge=0)]


class RateShare(msgspec.Struct, frozen=True, kw_only=True, gc=False, omit_defaults=True):
    """One worker's share of a model's limits. None: there is no such limit."""

    requests_per_minute: PerMinute | None = None
    tokens_per_minute: PerMinute | None = None  # input and output together
    input_tokens_per_minute: PerMinute | None = None
    output_tokens_per_minute: PerMinute | None = None
    parallel: Calls | None = None
    burst: Annotated[int, msgspec.Meta(ge=1)] = 1  # requests at once after a time without any


class ModelShare(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Shares in a model's limits by worker; one not named yet holds to `newcomer`."""

    model: str
    newcomer: RateShare
    workers: dict[str, RateShare] = {}

    def of(self, worker: str) -> RateShare:
        """The share of this worker."""
        return self.workers.get(worker, self.newcomer)


class ModelDemand(msgspec.Struct, frozen=True, kw_only=True, gc=False, omit_defaults=True):
    """A worker's recent use of one model, and the limits that its calls wait for, by their names in
    RateShare. What it needs of those is not known, only that it is more than it has.
    """

    model: str
    requests_per_minute: PerMinute = 0.0
    refused_per_minute: PerMinute = 0.0  # those that the provider refused for its rate (429)
    input_tokens_per_minute: PerMinute = 0.0
    output_tokens_per_minute: PerMinute = 0.0
    parallel: Calls = 0
    short_of: tuple[str, ...] = ()

    @property
    def tokens_per_minute(self) -> float:
        """Input and output together."""
        return self.input_tokens_per_minute + self.output_tokens_per_minute


class SessionLimits(msgspec.Struct, frozen=True, kw_only=True, gc=False, omit_defaults=True):
    """What a session may use: tokens, seconds, calls of tools; a task may have less."""

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
    """What the fleet file says to the workers of a pool."""

    session: SessionLimits | None = None  # of one task; None: the worker's own settings apply
    model: str = ""  # the pool's own
    models: tuple[ModelTerms, ...] = ()  # those that a task may use
    usd_per_workflow: Decimal | None = None  # the most that all tasks of one may cost together
    tier: int = 0  # the priority of its tenant's tier: those that stand by serve the highest first


# one value of each worker, in memory: it is written anew when the server has lost it
WORKERS_BUCKET: Final = "agentdash_workers"
ORDERS_BUCKET: Final = "agentdash_orders"
ALLOWANCES_BUCKET: Final = "agentdash_allowances"  # has the keys of the orders
REPORT_S: Final = 15.0  # a worker stores its state when it changes, and at least this often
GONE_AFTER_S: Final = 3 * REPORT_S  # without a newer state it is gone: the bucket forgets it
MOST_MARKS: Final = 12
MARK_LENGTH: Final = 24  # characters of a mark's name

SlotNumber = Annotated[int, msgspec.Meta(ge=0, le=10_000)]


class WorkerState(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One worker. Once `pulling` is False, no pull is open and none will be opened: then `busy` can
    only fall. `lost` slots count in `slots`, not in `busy`.
    """

    worker: str  # its pod's name, in Kubernetes
    slots: SlotNumber
    busy: SlotNumber
    pulling: bool
    obeyed: Counter = 0  # the revision of the newest orders it has acted on; 0: there were none
    lost: SlotNumber = 0  # held by agents that were cut and do not end
    demand: tuple[ModelDemand, ...] = ()  # recent use, in coarse steps, so that it seldom changes
    marks: dict[str, float] = {}  # when it reached each step of its start, in Unix seconds
    works_for: str = ""  # of one that stands by: the pool whose task it does now, and its last one
    did_last: str = ""


class PoolOrders(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What the workers of a pool must do. The defaults are the orders of a pool without any."""

    pull: bool = True  # False: no worker pulls
    because: str = ""  # of a pause or a spent budget
    drain: tuple[str, ...] = ()  # these stop pulling and finish what they have
    leave: tuple[str, ...] = ()  # these hand it back within their grace: their node ends
    until: Time | None = None  # Unix seconds: the orders end


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
