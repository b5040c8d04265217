"""What happened in the demo's world, and its summary."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec


class WorldReport(msgspec.Struct, frozen=True, kw_only=True):
    """Counts since the start; `waits_s` are seconds from a task's publication to its start."""

    published: int = 0
    done: int = 0
    pods_started: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    waits_s: tuple[float, ...] = ()


def percentile(values: Sequence[float], part: float) -> float | None:
    """The nearest-rank percentile; None where there are no values."""
    if not values:
        return None
    ranked = sorted(values)
    return ranked[min(len(ranked) - 1, int(part * len(ranked)))]


def summary(world: WorldReport, *, seconds: float, decisions: int, writes: int) -> str:
    """One line for the end of a demo without a screen."""
    waits = " ".join(
        f"p{round(part * 100)} {'-' if wait is None else f'{wait:.1f} s'}"
        for part in (0.5, 0.95)
        for wait in (percentile(world.waits_s, part),)
    )
    return (
        f"{seconds:.0f} s: {world.published} messages, {world.done} done, wait {waits}, "
        f"{decisions} decisions, {writes} patches, {world.pods_started} pods started, "
        f"{world.input_tokens + world.output_tokens} tokens"
    )
