"""The sum of the queues of a pool that has several."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec.structs import replace

from controller.model.fleet import Pool
from controller.model.ids import PoolKey, QueueName
from controller.model.observation import QueueDepth
from controller.model.readings import Absent, Fresh, Reading, Stale


class QueueSums:
    """Adds up the readings of each pool's queues. While no queue's numbers change, the sum is the
    same QueueDepth object.
    """

    def __init__(self) -> None:
        self._each: dict[PoolKey, tuple[Reading[QueueDepth], ...]] = {}
        self._known: dict[PoolKey, tuple[list[QueueDepth], QueueDepth]] = {}

    def each(self, pool: PoolKey) -> tuple[Reading[QueueDepth], ...]:
        """The readings that were added up last; empty if there were none."""
        return self._each.get(pool, ())

    def of(
        self, pool: Pool, readings: Sequence[Reading[QueueDepth] | None]
    ) -> Reading[QueueDepth] | None:
        """The sum of these readings of the pool's queues, as good as the worst of them; None if one
        of them is missing.
        """
        parts = tuple(each for each in readings if each is not None)
        if len(parts) < len(readings):
            return None
        self._each[pool.key] = parts
        depths: list[QueueDepth] = []
        worst: Stale[QueueDepth] | None = None
        for name, part in zip(pool.queues, parts, strict=True):
            if isinstance(part, Absent):
                return replace(part, detail=_of(name, part.detail))
            depths.append(part.value)
            if isinstance(part, Stale) and worst is None:
                worst = replace(part, detail=_of(name, part.detail))
        total, at = self._total(pool.key, depths), min(part.at for part in parts)
        return Fresh(value=total, at=at) if worst is None else replace(worst, value=total, at=at)

    def _total(self, pool: PoolKey, depths: list[QueueDepth]) -> QueueDepth:
        known = self._known.get(pool)
        if known is not None and all(map(_is, known[0], depths)):
            return known[1]
        total = summed(depths)
        self._known[pool] = depths, total
        return total


def summed(depths: Sequence[QueueDepth]) -> QueueDepth:
    """The messages of several consumers together. The counters of deliveries are known only if all
    of them are; only if all are paused, nothing is delivered.
    """
    delivered = [depth.delivered for depth in depths if depth.delivered is not None]
    sequences = [depth.sequence for depth in depths if depth.sequence is not None]
    return QueueDepth(
        pending=sum(depth.pending for depth in depths),
        in_flight=sum(depth.in_flight for depth in depths),
        # a consumer may count more of them than it has in flight: those are none of the other's
        redelivered=sum(min(depth.redelivered, depth.in_flight) for depth in depths),
        waiting_pulls=sum(depth.waiting_pulls for depth in depths),
        paused=all(depth.paused for depth in depths),
        delivered=sum(delivered) if len(delivered) == len(depths) else None,
        sequence=sum(sequences) if len(sequences) == len(depths) else None,
    )


def _of(name: QueueName, detail: str) -> str:
    return f"{name}: {detail}" if detail else str(name)


def _is(one: object, other: object) -> bool:
    return one is other
