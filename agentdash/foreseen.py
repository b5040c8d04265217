"""A pool's outlook in the words of the planner: for the dashboard and the verb `why`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from agentdash.tui import figures
from controller.model.decision import Bound
from controller.planning import explain

if TYPE_CHECKING:
    from controller.planning.whatif import Counterfactual, Outlook, Starting

# a change so near is told as a time to wait, a later one as a time of day
_SOON_S: Final = 3600.0


_NAMES: Final = {
    Bound.DEMAND: "the demand",
    Bound.SCHEDULE: "the schedule",
    Bound.PIN: "the pin",
    Bound.BASELINE: "the baseline",
    Bound.WARM: "warm spares",
    Bound.PAUSE: "the pause",
    Bound.CAP: "the cap",
    Bound.NO_GROWTH: "the ban on growth",
    Bound.QUOTA: "the quota",
    Bound.BUDGET: "the budget",
    Bound.COST: "the cost limit",
    Bound.RATE: "the rate limit",
    Bound.CAPACITY: "the capacity limit",
}
"""Of the rules that can be lifted, those that need more than their own word."""


class Ahead(NamedTuple):
    """What a pool would have without each of its rules, as sentences, and its next change.

    `change` is `3 → 1`, empty where none is foreseen while nothing new happens; `at` is when (Unix
    seconds), None where it waits for tasks or for room, and `because` the rule that ends then or
    that it waits for. `starting` says when replicas that start are ready,
    empty where none do.
    """

    without: tuple[str, ...] = ()
    change: str = ""
    at: float | None = None
    because: str = ""
    starting: str = ""


def ahead_of(outlook: Outlook) -> Ahead:
    """What follows, and what would be without each rule."""
    without = tuple(map(_sentence, outlook.without))
    following = outlook.next
    starting = "" if outlook.starting is None else _starting(outlook.starting)
    if following is None:
        return Ahead(without, starting=starting)
    because = "" if following.ends is None else explain.title(following.ends).lower()
    change = f"{following.before:,} → {following.after:,}"
    return Ahead(without, change, following.at, because, starting)


def _sentence(without: Counterfactual) -> str:
    """For example `without the budget: 7 (bound by max)`."""
    number = "?" if without.target is None else f"{without.target:,}"
    text = f"without {_NAMES.get(without.lifted, without.lifted)}: {number}"
    if without.next is not None and without.next != without.target:
        text += f", next {without.next:,}"
    if without.bound is not Bound.DEMAND:
        text += f" (bound by {without.bound})"
    return text


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
    if ahead.at is None:
        return f"{ahead.change} waits ({ahead.because})"
    at = "now"
    if ahead.at > now:
        near = ahead.at - now < _SOON_S
        at = f"in {figures.age(ahead.at - now)}" if near else f"at {figures.since(ahead.at, now)}"
    return f"{ahead.change} {at}{f' ({ahead.because} ends)' if ahead.because else ''}"
