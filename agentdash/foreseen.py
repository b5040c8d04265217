"""A pool's outlook in the words of the planner: for the dashboard and the verb `why`."""

from __future__ import annotations

from agentdash.tui.operating import Ahead
from controller.planning import explain, whatif
from controller.planning.whatif import Outlook, Starting


def ahead_of(outlook: Outlook) -> Ahead:
    """What follows, and what would be without each rule."""
    without = tuple(map(whatif.sentence, outlook.without))
    following = outlook.next
    starting = "" if outlook.starting is None else _starting(outlook.starting)
    if following is None:
        return Ahead(without, starting=starting)
    because = "" if following.ends is None else explain.title(following.ends).lower()
    change = f"{following.before:,} → {following.after:,}"
    return Ahead(without, change, following.at, because, starting)


def _starting(starting: Starting) -> str:
    takes = f"takes about {explain.duration(starting.ready_s)}"
    if starting.replicas == 1:
        return f"1 replica is not ready yet; its start {takes}"
    how = "one after the other" if starting.one_by_one else "at the same time"
    return f"{starting.replicas:,} replicas are not ready yet; they start {how}, which {takes}"
