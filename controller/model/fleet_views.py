"""Parts of a snapshot that speak of more than one pool's decision: queues in motion and tenants.

Amounts per minute and USD are for people to read: they are floats, and nothing is decided by them.
"""

from __future__ import annotations

from enum import StrEnum

from controller.model.ids import PoolKey
from controller.model.intents import DayBudget, Freeze, NoGrowth, Pause
from controller.model.observation import TierUsage, TokensByModel
from controller.model.scarcity import Resources
from controller.model.value import Value


class QueueRates(Value):
    """How a pool's queue moved lately, from its consumer's counters; None where that is unknown.
    `number` is its place among the pool's queues, 0 for the highest priority.

    - `arrivals_per_minute`, `completions_per_minute`: over the last minute, or as much of it as was
      seen. A completion is a message that is in flight no longer.
    - `waited_p50_s`, `waited_p95_s`: how long the messages that were delivered for the first time
      in the last five minutes had waited, to the second or to the polling interval if that is
      longer. Unknown while any of them had arrived before it could be seen.
    - `oldest_at`: when the oldest message that waits was seen first (Unix seconds).
      `oldest_is_older`: it was there already when the queue was read first.
    - `since`: when it began to hold work, to be empty, or to be paused in NATS, whichever it is
      now; no earlier than it was read first (Unix seconds).
    """

    pool: PoolKey
    arrivals_per_minute: float | None = None
    completions_per_minute: float | None = None
    waited_p50_s: float | None = None
    waited_p95_s: float | None = None
    oldest_at: float | None = None
    oldest_is_older: bool = False
    number: int = 0
    since: float | None = None


class TokenState(StrEnum):
    """How a tenant stands to its daily tokens: enough is left; the warning is reached; held to the
    pace that lasts until the reset; stopped; its use is not known.
    """

    OK = "ok"
    WARNED = "warned"
    PACED = "paced"
    HARD = "hard"
    UNKNOWN = "unknown"


class TenantTokens(Value):
    """A tenant's daily tokens, as its budget counts them. `since`: when its state began (Unix
    seconds).

    - `used`: since the last reset; `reserved`: what running tasks are expected to use still. None
      where the ledger is not known; `is_old`: only its last word is.
    - `burn_per_minute`: the recent pace; `pace_per_minute`: what the tenant is held to, None while
      it is not.
    - `runs_out_at`: when nothing is left at the recent pace, None if that lasts until `resets_at`
      (both Unix seconds).
    """

    cap: int
    state: TokenState
    resets_at: float
    used: int | None = None
    reserved: int | None = None
    is_old: bool = False
    burn_per_minute: float | None = None
    pace_per_minute: float | None = None
    runs_out_at: float | None = None
    since: float | None = None


class TenantView(Value):
    """One tenant: its budgets, its quota, its pools, and what operators asked for all of it.

    - `tokens`: None without a daily budget.
    - `usd_per_hour`: what the targets of its pools cost at work, None where no pool's cost is
      known. `unpriced`: pools that are not in it, because their model has no price or what their
      tasks take is not known.
    - `quota`: the least of the fleet file's and the cluster's; `is_quota_old`: only the cluster's
      last word is known. `used`: what the replicas there are request, None where a pool's requests
      are not known.
    - `pause`, `freeze`, `no_growth`: the first in force that is for the whole tenant or the fleet.
      `pause_since`: since when a pause of this author is on it (Unix seconds). `day_budget`: in
      place of the fleet file's. `paused_pools`: pools that a pause binds, the tenant's own or
      another.
    - `tiers`, `by_model`: what it used today of each class of models, and of each model; None
      before that is known.
    """

    name: str
    tier: str
    namespace: str
    pools: int
    tokens: TenantTokens | None = None
    usd_per_hour: float | None = None
    usd_limit: float | None = None
    unpriced: int = 0
    quota: Resources = Resources()
    is_quota_old: bool = False
    used: Resources = Resources()
    pause: Pause | None = None
    pause_since: float | None = None
    freeze: Freeze | None = None
    no_growth: NoGrowth | None = None
    day_budget: DayBudget | None = None
    paused_pools: int = 0
    tiers: TierUsage | None = None
    by_model: TokensByModel | None = None


class ModelLimit(Value):
    """One of a provider's limits: `name` is `requests`, `tokens`, `input tokens`, `output
    tokens` (per minute) or `parallel calls`.

    `usable` is the limit without its headroom. `drawn` is what the targets draw with all their
    slots at work, as far as that is known. `refused` are replicas that it keeps from being started.
    """

    name: str
    limit: int
    usable: float
    drawn: float
    refused: int = 0


class ModelDraw(Value):
    """What one pool's target draws of its model, per minute; `is_known` is False where what its
    tasks take is neither measured nor declared. `refused` are replicas that a limit of the model
    keeps from being started.
    """

    pool: PoolKey
    replicas: int
    is_known: bool = True
    requests_per_minute: float = 0.0
    input_tokens_per_minute: float = 0.0
    output_tokens_per_minute: float = 0.0
    parallel: int = 0
    refused: int = 0


class ModelView(Value):
    """One model, or a tenant's own part of it where its limits are not shared; `key` names it.

    `limits` is empty where the fleet file says nothing of them. `draws` has one entry for each pool
    that uses it. `calls_per_minute` are those that workers report, and `refused_calls_per_minute`
    those of them that the provider refused for its rate (429); None while no worker reports any.
    """

    key: str
    model: str
    tenant: str = ""
    limits: tuple[ModelLimit, ...] = ()
    draws: tuple[ModelDraw, ...] = ()
    calls_per_minute: float | None = None
    refused_calls_per_minute: float | None = None


class ClusterNode(Value):
    """One node of the cluster.

    - `node_class`: the class that it counts as, empty for none. `holds`: what its pods may request
      together, those of other fleets too; None for what was never readable.
    - `taints`: the first of them, as `key=value:effect`. `closed`: why it takes no pods, empty
      while it takes them.
    """

    name: str
    node_class: str = ""
    holds: Resources = Resources()
    taints: tuple[str, ...] = ()
    closed: str = ""


class NodeClassView(Value):
    """The room of one class of nodes, or of all nodes (`name` is empty).

    - `nodes`: their names. `most_nodes`: as many as its autoscaler may make, None where it makes
      none.
    - `room`: what they hold, those that may still be made too, and of all nodes no more than the
      fleet file's capacity; `used`: what this fleet's pods on
      them request. Other pods are not counted.
    - `typical`: the pool with most pods there, else the first that may run there; `fits`: how many
      more of its replicas the room holds. None where its requests or the room are not known.
    """

    name: str
    nodes: tuple[str, ...] = ()
    most_nodes: int | None = None
    room: Resources = Resources()
    used: Resources = Resources()
    pods: int = 0
    typical: PoolKey | None = None
    fits: int | None = None


class RoomView(Value):
    """The room of the cluster. `why` says why it is not known, or with `is_old` why only the last
    known room is; it is empty while the nodes are read.
    """

    classes: tuple[NodeClassView, ...] = ()
    is_old: bool = False
    why: str = ""
