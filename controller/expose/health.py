"""Liveness and readiness of this process, from the latest snapshot and its age. Pure functions."""

from __future__ import annotations

from typing import Final

from controller.model.snapshot import LinkState, Snapshot
from controller.model.value import Value

LEAST_PATIENCE_S: Final = 10.0
INTERVALS_OF_PATIENCE: Final = 5


class Health(Value):
    """The result of a check: `ok`, or the causes, one line for each."""

    ok: bool
    causes: tuple[str, ...] = ()


def liveness(snapshot: Snapshot | None, started_at: float, interval_s: float, now: float) -> Health:
    """Alive while the loop publishes snapshots. A loop without one for several intervals hangs, and
    only a restart helps. Times are Unix seconds.
    """
    patience_s = max(LEAST_PATIENCE_S, INTERVALS_OF_PATIENCE * interval_s)
    last = started_at if snapshot is None else snapshot.at
    if now - last <= patience_s:
        return Health(ok=True)
    return Health(ok=False, causes=(f"no tick for {now - last:.0f} s",))


def readiness(snapshot: Snapshot | None) -> Health:
    """Ready after the first published tick, while all connections are up."""
    if snapshot is None or snapshot.loop.ticks == 0:
        return Health(ok=False, causes=("no tick yet",))
    causes = tuple(
        f"{link.name}: {link.detail or link.state.value}"
        for link in snapshot.links
        if link.state is not LinkState.CONNECTED
    )
    return Health(ok=not causes, causes=causes)
