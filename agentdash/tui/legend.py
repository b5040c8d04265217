"""What the columns, words and marks on the screen mean, for the help page."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from agentdash.tui.glyphs import Glyphs
from agentdash.tui.view import PoolState
from controller.model.decision import Bound, Gate

COLUMNS: Final[Mapping[str, str]] = {
    "POOL": "tenant and name of the pool",
    "TIER": "the tenant's tier",
    "STATE": "the worst that is true of the pool",
    "READY": "replicas that are ready",
    "NOW→NEXT": "spec.replicas now, and what is written next",
    "TARGET": "what it should have, after every limit",
    "WANT": "what its work asks for, before any limit",
    "PENDING": "messages not delivered yet; an arrow says that the queue grows or shrinks",
    "IN FLIGHT": "messages delivered, not yet acknowledged",
    "MIN/MAX": "limits of the fleet file",
    "PRESS": "wanted replicas for each ready one; pools in trouble come before it",
    "BOUND": "the rule that decided the target, or the gate that holds next",
    "WAKE": "how a pool at zero notices its first message",
    "WHY": "the last rule of the decision, in words",
    "TIME": "when it was written, in UTC",
    "AGO": "since then",
    "WHO": "who asked for it",
    "ASKED FOR": "the kind of request: pin, pause, freeze, cap, no-growth, budget",
    "OF": "the pool or tenant that it is for, or the fleet",
    "BEFORE → AFTER": "what was asked for before, and since",
    "UNTIL": "when it ends, in UTC",
    "REASON": "why, in the author's words",
    "CHANGE": "replicas before and after",
    "BECAUSE": "the rule that moved the number; enter shows the whole decision",
    "!": "how urgent a finding is",
    "SUBJECT": "the pool, tenant or connection it is about",
    "WHAT": "what is wrong; enter shows it in full",
    "SINCE": "for how long",
    "POD": "the pod's name",
    "PHASE": "where the pod is on its way",
    "AGE": "since it was created",
    "RST": "how often its containers were started again",
    "NODE": "where it runs",
    "WHY IT WAITS": "the scheduler's or the container's own words",
}
STATES: Final[Mapping[PoolState, str]] = {
    PoolState.BLIND: "a reading is missing: nothing is lowered",
    PoolState.CRASH: "pods crash",
    PoolState.ERROR: "the last write failed",
    PoolState.STUCK: "pods fit on no node",
    PoolState.STALE: "a reading is old",
    PoolState.HELD: "a gate holds it",
    PoolState.PAUSED: "an operator's pause holds it; d says whose",
    PoolState.CAPPED: "a ceiling keeps it below its work",
    PoolState.UP: "it grows",
    PoolState.DOWN: "it shrinks",
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
