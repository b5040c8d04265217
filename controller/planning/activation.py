"""Step 1b, activation and cooldown: whether a pool has work worth waking for, and how long an idle
one stays before the last step to zero.

Source: KEDA pkg/scaling/executor/scale_scaledobjects.go; both comparisons are strict.
"""

from __future__ import annotations

from controller.model.fleet import Pool
from controller.model.memory import PoolMemory
from controller.planning.demand import Work


def is_active(pool: Pool, work: Work) -> bool:
    """Whether more messages are known to wait than the activation."""
    return work.messages is not None and work.messages > pool.activation


def cooldown_left_s(pool: Pool, memory: PoolMemory, now: float) -> float:
    """Seconds until an inactive pool may go to zero: negative once it may, 0 is still too early.

    Counted from the last activity; from the start of memory if there was none (initial cooldown).
    """
    if memory.last_active_at is None:
        return memory.since + pool.initial_cooldown_s - now
    return memory.last_active_at + pool.cooldown_s - now
