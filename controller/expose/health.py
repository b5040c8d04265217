"""Whether this process lives and whether it can see: pure, from the latest snapshot and its age."""

from __future__ import annotations

from typing import Final

from controller.model.snapshot import LinkState, Snapshot
from controller.model.value import Value

LEAST_PATIENCE_S: Final = 10.0
INTERVALS_OF_PATIENCE: Final = 5


class Health(Value):
    """`ok`, or why not: one line for each cause."""

    ok: bool
    causes: tuple[str, ...] = ()


def liveness(snapshot: Snapshot | None, started_at: float, interval_s: float, now: float) -> Health:
    """Alive while the loop publishes. A loop that publishes nothing for several intervals hangs,
    and only a restart helps.
    """
    patience_s = max(LEAST_PATIENCE_S, INTERVALS_OF_PATIENCE * interval_s)
    last = started_at if snapshot is None else snapshot.at
    if now - last <= patience_s:
        return Health(ok=True)
    return Health(ok=False, causes=(f"no tick for {now - last:.0f} s",))


def readiness(snapshot: Snapshot | None) -> Health:
    """Ready once a tick has been published and while every connection is up."""
    if snapshot is None or snapshot.loop.ticks == 0:
        return Health(ok=False, causes=("no tick yet",))
    causes = tuple(
        f"{link.name}: {link.detail or link.state.value}"
        for link in snapshot.links
        if link.state is not LinkState.CONNECTED
    )
    return Health(ok=not causes, causes=causes)
