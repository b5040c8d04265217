"""A pool's outlook in the words of the planner: for the dashboard and the verb `why`."""

from __future__ import annotations

from agentdash.tui.operating import Ahead
from controller.planning import counterfactual, explain
from controller.planning.outlook import Outlook


def ahead_of(outlook: Outlook) -> Ahead:
    """What follows, and what would be without each rule."""
    without = tuple(map(counterfactual.sentence, outlook.without))
    following = outlook.next
    if following is None:
        return Ahead(without)
    because = "" if following.ends is None else explain.title(following.ends).lower()
    change = f"{following.before:,} → {following.after:,}"
    return Ahead(without, change, following.at, because)
