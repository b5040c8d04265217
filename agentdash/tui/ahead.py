"""When a pool's number changes next, in words: for the `why` view and the verb `why`."""

from __future__ import annotations

from typing import Final

from agentdash.tui import figures
from agentdash.tui.operating import Ahead

# a change so near is told as a time to wait, a later one as a time of day
_SOON_S: Final = 3600.0


def next_words(ahead: Ahead, now: float, *, due: str = "") -> str:
    """The next change as of `now` (Unix seconds); `due` is the change that is decided already, as
    `3→1`, empty if there is none.
    """
    if due:
        return f"{due} now"
    if not ahead.change:
        return "no change foreseen while the work and the limits stay as they are"
    because = f" ({ahead.because} ends)" if ahead.because else ""
    return f"{ahead.change} {_when(ahead.at, now)}{because}"


def _when(at: float, now: float) -> str:
    if at <= now:
        return "now"
    if at - now < _SOON_S:
        return f"in {figures.age(at - now)}"
    return f"at {figures.since(at, now)}Z"
