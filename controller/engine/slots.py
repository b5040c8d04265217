"""The slots at which full ticks begin."""

from __future__ import annotations

import asyncio

from controller.ports import Clock


def next_slot(slot: float, now: float, interval_s: float) -> tuple[float, int]:
    """The first slot after `slot` that is not past at `now`, and how many slots were skipped."""
    following = slot + interval_s
    if now <= following:
        return following, 0
    late = int((now - following) // interval_s) + 1
    return following + late * interval_s, late


async def until(slot: float, clock: Clock, stopping: asyncio.Event) -> None:
    """Sleep until the slot (monotonic seconds), or until asked to stop."""
    sleep = asyncio.ensure_future(clock.sleep(slot - clock.monotonic()))
    stop = asyncio.ensure_future(stopping.wait())
    try:
        await asyncio.wait({sleep, stop}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        sleep.cancel()
        stop.cancel()
