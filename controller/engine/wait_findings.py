"""Pools whose messages wait longer than the pool's aim. Pure functions."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from controller.engine.findings import Found
from controller.model.decision import Bound, Decision
from controller.model.fleet import Fleet
from controller.model.ids import PoolKey
from controller.model.snapshot import QueueRates, Severity
from controller.planning.explain import duration

WAITS: Final = "waits"
"""The kind of the finding."""
# a wait is told in steps, so that the text does not change with every second
_STEPS_S: Final = ((60.0, 5.0), (600.0, 30.0), (3600.0, 60.0))
_LONGEST_STEP_S: Final = 600.0


def aims_of(fleet: Fleet) -> dict[PoolKey, float]:
    """The longest that a message should wait, in seconds, for each pool that has an aim."""
    return {pool.key: pool.aim_s for pool in fleet.pools if pool.aim_s is not None}


def wait_findings(
    aims: Mapping[PoolKey, float],
    rates: Iterable[QueueRates],
    decisions: Mapping[PoolKey, Decision],
    now: float,
) -> Iterator[Found]:
    """One for each pool with a message that waits, or with one in 20 of those of the last five
    minutes that waited, longer than its aim. An operator's pause is meant to let work wait.
    """
    longest: dict[PoolKey, float] = {}
    for each in rates if aims else ():
        if each.pool in aims:
            oldest = 0.0 if each.oldest_at is None else now - each.oldest_at
            longest[each.pool] = max(longest.get(each.pool, 0.0), oldest, each.waited_p95_s or 0.0)
    for pool, wait_s in longest.items():
        decision = decisions.get(pool)
        if wait_s > aims[pool] and (decision is None or decision.bound is not Bound.PAUSE):
            wait, aim = duration(_in_steps(wait_s, aims[pool])), duration(aims[pool])
            text = f"messages wait for more than {wait}, its aim is {aim}"
            yield (
                Severity.WARNING,
                pool,
                WAITS,
                f"{text}; `agentdash why {pool}` says what holds it",
            )


def _in_steps(wait_s: float, aim_s: float) -> float:
    """The wait, rounded down to a step, but never below the aim."""
    step_s = next((step for most, step in _STEPS_S if wait_s < most), _LONGEST_STEP_S)
    return max(wait_s // step_s * step_s, aim_s)
