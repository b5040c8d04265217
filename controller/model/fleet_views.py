"""Parts of a snapshot that speak of more than one pool's decision: queues in motion and tenants.

Amounts per minute and USD are for people to read: they are floats, and nothing is decided by them.
"""

from __future__ import annotations

from enum import StrEnum

from controller.model.ids import PoolKey
from controller.model.intents import Pause
from controller.model.scarcity import Resources
from controller.model.value import Value


class QueueRates(Value):
    """How a pool's queue moved lately, from its consumer's counters; None where that is unknown.

    - `arrivals_per_minute`, `completions_per_minute`: over the last minute, or as much of it as was
      seen. A completion is a message that is in flight no longer.
    - `waited_p50_s`, `waited_p95_s`: how long the messages that were delivered for the first time
      in the last five minutes had waited, to the second or to the polling interval if that is
      longer. Unknown while any of them had arrived before it could be seen.
    - `oldest_at`: when the oldest message that waits was seen first (Unix seconds).
      `oldest_is_older`: it was there already when the queue was read first.
    """

    pool: PoolKey
    arrivals_per_minute: float | None = None
    completions_per_minute: float | None = None
    waited_p50_s: float | None = None
    waited_p95_s: float | None = None
    oldest_at: float | None = None
    oldest_is_older: bool = False


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
    """A tenant's daily tokens, as its budget counts them.

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


class TenantView(Value):
    """One tenant: its budgets, its quota, its pools, and the pause that is on it.

    - `tokens`: None without a daily budget.
    - `usd_per_hour`: what the targets of its pools cost at work, None where no pool's cost is
      known. `unpriced`: pools that are not in it, because their model has no price or what their
      tasks take is not known.
    - `quota`: the least of the fleet file's and the cluster's; `is_quota_old`: only the cluster's
      last word is known. `used`: what the replicas there are request, None where a pool's requests
      are not known.
    - `paused_pools`: pools that a pause binds, the tenant's own or another.
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
    paused_pools: int = 0
