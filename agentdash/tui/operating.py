"""What the dashboard needs to operate the fleet, as a protocol: the launcher implements it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol

from agentdash.tui import figures
from controller.model.intents import Audit, Intent, IntentChange, IntentKey, StandingIntent
from controller.model.snapshot import PodLog, Progress, Report

if TYPE_CHECKING:
    from controller.planning.whatif import Effect, Estimate


class NotDoneError(Exception):
    """Something asked for is not done, or not known; the text says why and what to do.

    NotDoneError
    └── TakenError    another operator was first
    """


class TakenError(NotDoneError):
    """Another operator was first: the text says who, when and why. `replaces` is the revision to
    name in order to replace what stands there; None if nothing does any longer.
    """

    def __init__(self, words: str, replaces: int | None) -> None:
        super().__init__(words)
        self.replaces = replaces


class Preview(NamedTuple):
    """What an intent would change at `now`, and the one in whose place it would come. `replaces`
    is the revision that stands there, None if there is none.
    """

    effect: Effect | Estimate
    now: float
    standing: StandingIntent | None = None
    replaces: int | None = None


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


class Operating(Protocol):
    """The person at this dashboard, and what they may do. `refusal` answers at once; the others
    are awaited, so that the dashboard never blocks, and raise NotDoneError.
    """

    @property
    def who(self) -> str:
        """The person as `user@host`."""
        ...

    def refusal(self) -> str | None:
        """Why nothing can be asked for now, in words; None if it can."""
        ...

    async def find(self, key: IntentKey) -> StandingIntent | None:
        """The intent in force at this key."""
        ...

    async def preview(self, key: IntentKey, intent: Intent | None) -> Preview:
        """What changes now if this is asked for at the key, or taken back from there if None."""
        ...

    async def put(self, intent: Intent, *, replaces: int | None) -> IntentChange:
        """Ask for it, in place of the one with this revision. Raises TakenError."""
        ...

    async def withdraw(self, key: IntentKey, *, replaces: int, why: str) -> IntentChange:
        """Take back the one with this revision. Raises TakenError."""
        ...

    async def undo(self, change: IntentChange) -> IntentChange:
        """Make what was before this change."""
        ...

    async def audit(self) -> Audit:
        """The changes of all operators that are kept."""
        ...

    async def examine(self, on_progress: Callable[[Progress], None]) -> Report:
        """The checks of the doctor; `on_progress` is called as they end, in this event loop."""
        ...

    async def look_ahead(self, pool: str) -> Ahead:
        """What this pool would have without each of its rules, and what it will have next."""
        ...

    async def pod_log(self, namespace: str, pod: str) -> PodLog:
        """The last lines that a pod has written."""
        ...


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
