"""How the connection to the API server is, told by every exchange with it."""

from __future__ import annotations

import time
from collections.abc import Callable

from controller.model.readings import Why
from controller.model.snapshot import Link, LinkState
from controller.ports import Clock


class LinkTracker:
    """Any answer proves the link, a refusal too; silence and broken connections disprove it."""

    def __init__(self, clock: Clock, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._monotonic = monotonic
        self._state = LinkState.CONNECTING
        self._since = monotonic()
        self._good_at: float | None = None
        self._detail = ""
        self.why = Why.NEVER_READ

    def answered(self) -> None:
        """The server said something."""
        self._good_at = self._monotonic()
        self._enter(LinkState.CONNECTED, "", Why.NEVER_READ)

    def silent(self, why: Why, detail: str) -> None:
        """A request got no answer."""
        self._enter(LinkState.DISCONNECTED, detail, why)

    def silent_for(self) -> float:
        """Seconds for which nothing answered; 0.0 while the link is up."""
        if self._state is LinkState.CONNECTED:
            return 0.0
        return self._monotonic() - (self._since if self._good_at is None else self._good_at)

    @property
    def detail(self) -> str:
        """What was wrong last, if it still is."""
        return self._detail

    def link(self) -> Link:
        """The link as the screen shows it; ages are monotonic, so a stepped clock bends none."""
        good_at = None if self._good_at is None else self._unix(self._good_at)
        return Link(
            name="kubernetes",
            state=self._state,
            since=self._unix(self._since),
            detail=self._detail,
            last_good_at=good_at,
        )

    def _enter(self, state: LinkState, detail: str, why: Why) -> None:
        if state is not self._state:
            self._state, self._since = state, self._monotonic()
        self._detail, self.why = detail, why

    def _unix(self, moment: float) -> float:
        return self._clock.now() - (self._monotonic() - moment)
