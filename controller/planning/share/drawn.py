"""What one replica at work draws of its model and costs, whether a limit counts it or not."""

from __future__ import annotations

from decimal import Decimal
from typing import NamedTuple

from controller.model.fleet import Fleet, Pool
from controller.model.ids import PoolKey
from controller.model.observation import PoolObservation
from controller.model.scarcity import LlmModel, TaskUsage
from controller.planning.share.claims import task_usage_of
from controller.planning.share.cost import replica_usd_per_hour
from controller.planning.share.rates import calls_per_minute
from controller.planning.share.uses import tasks_per_minute, usd_per_task


class ReplicaDraw(NamedTuple):
    """Calls and tokens per minute with all slots at work, and USD per hour, None without a price.

    The numbers are for people to read; what limits count is in `uses`, exactly.
    """

    calls: float
    input_tokens: float
    output_tokens: float
    slots: int
    usd_per_hour: float | None


class KnownDraws:
    """What replicas draw, worked out once per pool for as long as its tasks' usage is the same."""

    def __init__(self, fleet: Fleet) -> None:
        self._models = {model.name: model for model in fleet.models}
        self._of: dict[PoolKey, tuple[TaskUsage | None, ReplicaDraw | None]] = {}

    def of(self, pool: Pool, seen: PoolObservation) -> ReplicaDraw | None:
        """What one replica of this pool draws; None where that is not known, or cannot be."""
        usage = task_usage_of(pool, seen)
        found = self._of.get(pool.key)
        if found is None or found[0] != usage:
            draw = _replica_draw(pool, usage, self._models.get(pool.model or ""))
            found = self._of[pool.key] = usage, draw
        return found[1]


def _replica_draw(
    pool: Pool, usage: TaskUsage | None, model: LlmModel | None
) -> ReplicaDraw | None:
    if model is None or usage is None or not usage.seconds.is_finite() or usage.seconds <= 0:
        return None
    tasks = tasks_per_minute(pool, usage)
    usd = None
    if model.price is not None:
        usd = float(replica_usd_per_hour(Decimal(0), tasks, usd_per_task(usage, model.price)))
    return ReplicaDraw(
        calls=float(calls_per_minute(pool.slots, usage.calls, usage.seconds)),
        input_tokens=float(tasks * usage.input_tokens),
        output_tokens=float(tasks * usage.output_tokens),
        slots=pool.slots,
        usd_per_hour=usd,
    )
