"""What the words and marks on the screen mean, for the help page."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple

from agentdash.tui.glyphs import Glyphs
from agentdash.tui.view import PoolState
from controller.model.decision import Bound, Gate
from controller.model.snapshot import Role

STATES: Final[Mapping[PoolState, str]] = {
    PoolState.BLIND: "a reading is missing: nothing is lowered",
    PoolState.CRASH: "pods crash",
    PoolState.ERROR: "the last write failed",
    PoolState.STUCK: "pods fit on no node",
    PoolState.STALE: "a reading is old",
    PoolState.HELD: "a gate holds it",
    PoolState.FROZEN: "an operator's freeze; d says whose",
    PoolState.PAUSED: "an operator's pause holds it; d says whose",
    PoolState.CAPPED: "a ceiling keeps it below its work",
    PoolState.UP: "it grows",
    PoolState.DOWN: "it shrinks",
    PoolState.PINNED: "it has its pinned spares",
    PoolState.OK: "it has what it should have",
    PoolState.ZERO: "at zero, without work",
}
BOUNDS: Final[Mapping[Bound | Gate, str]] = {
    Bound.DEMAND: "the work itself",
    Bound.MIN: "replicas.min",
    Bound.MAX: "replicas.max",
    Bound.SCHEDULE: "an open schedule",
    Bound.PIN: "spares that an operator pinned",
    Bound.BASELINE: "one replica for each tenant with work",
    Bound.WARM: "configured spares",
    Bound.PAUSE: "an operator's pause",
    Bound.CAP: "an operator's max for a time",
    Bound.NO_GROWTH: "an operator's hold on growth",
    Bound.QUOTA: "the tenant's quota",
    Bound.BUDGET: "the tenant's tokens per day",
    Bound.COST: "USD per hour",
    Bound.RATE: "a model's rate limit",
    Bound.CAPACITY: "the room on the nodes",
    Gate.BUSY: "only idle replicas go",
    Gate.ROOM: "room is not free yet",
    Gate.MINIMUM_RUNTIME: "replicas are too young to go",
    Gate.FREEZE: "an operator's freeze",
    Gate.BLIND: "a reading is missing",
    Gate.WARM_UP: "the memory was lost; one window is observed first",
    Gate.CONTESTED: "another writer keeps setting it back",
    Gate.NOT_BECOMING_READY: "its pods do not become ready",
    Gate.FOLLOWER: "another process writes",
}


def marks(glyphs: Glyphs) -> list[tuple[str, str]]:
    """Each mark with its meaning."""
    return [
        ("!!", "look now"),
        ("!", "look soon"),
        ("i", "for information"),
        (glyphs.stale, "after a number: the last known one, not fresh"),
        (glyphs.unknown, "nobody can know it now"),
        (f"+{glyphs.unknown}", "after a sum: some pools are missing in it"),
        (glyphs.none, "there is none"),
        (f"{glyphs.up} {glyphs.down}", "the queue grows, shrinks; order of a column"),
        (glyphs.arrow, "from, to"),
    ]


class RoleLabel(NamedTuple):
    """`access` is RW (reads and writes) or RO (only reads), `help` fits one entry of the help."""

    access: str
    word: str
    help: str


ROLE_LABELS: Final[Mapping[Role, RoleLabel]] = {
    Role.ACTIVE: RoleLabel("RW", "ACTIVE", "writes; no lease is held"),
    Role.LEADER: RoleLabel("RW", "LEADER", "writes; holds the lease"),
    Role.FOLLOWER: RoleLabel("RO", "FOLLOWER", "waits for the lease"),
    Role.READ_ONLY: RoleLabel("RO", "READ-ONLY", "plans, but never writes"),
}
