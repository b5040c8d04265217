"""A pool's outlook in the words of the planner: for the dashboard and the verb `why`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from agentdash.tui import figures
from controller.planning import explain

if TYPE_CHECKING:
    from controller.planning.whatif import Outlook, Starting

# a change so near is told as a time to wait, a later one as a time of day
_SOON_S: Final = 3600.0


class Ahead(NamedTuple):
    """What a pool would have without each of its rules, as sentences, and its next change.

    `change` is `3 → 1`, empty where none is foreseen while nothing new happens; `at` is when (Unix
    seconds), `because` the rule that ends then. `starting` says when replicas that start are ready,
    empty where none do.
    """

    without: tuple[str, ...] = ()
    change: str = ""
    at: float = 0.0
    because: str = ""
    starting: str = ""


def ahead_of(outlook: Outlook) -> Ahead:
    """What follows, and what would be without each rule."""
    from controller.planning import whatif  # it loads the planner: only where it is asked for

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


def next_words(ahead: Ahead, now: float, *, due: str = "") -> str:
    """The next change as of `now` (Unix seconds); `due` is the change that is decided already, as
    `3→1`, empty if there is none.
    """
    if due:
        return f"{due} now"
    if not ahead.change:
        return "no change foreseen while the work and the limits stay as they are"
    at = "now"
    if ahead.at > now:
        near = ahead.at - now < _SOON_S
        at = f"in {figures.age(ahead.at - now)}" if near else f"at {figures.since(ahead.at, now)}Z"
    return f"{ahead.change} {at}{f' ({ahead.because} ends)' if ahead.because else ''}"
