"""The state of the connection to the API server, updated by each exchange with it."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Final

from controller.model.readings import Why
from controller.model.snapshot import Link, LinkState
from controller.ports.clock import Clock

log = logging.getLogger(__name__)

CLOCK_STEP_S: Final = 1.0
"""Unix and monotonic time drift apart by less than this between two exchanges, unless the clock was
set."""


class LinkTracker:
    """Any answer proves that the link is up, a refusal too; silence and broken connections prove
    that it is down. Each exchange also shows whether the clock was set.

    `is_up` is true if the last exchange had an answer; otherwise `why` and `detail` say what was
    wrong. `monotonic` gives the seconds for all ages, here and in the views. `clock_epoch` grows
    each time the wall clock is set.
    """

    def __init__(
        self,
        clock: Clock,
        monotonic: Callable[[], float] = time.monotonic,
        *,
        name: str = "kubernetes",
    ) -> None:
        """`name` is the connection's name in the log."""
        self._clock = clock
        self._name = name
        self.monotonic = monotonic
        self._state = LinkState.CONNECTING
        self._since = monotonic()
        self._good_at: float | None = None
        self._offset = clock.now() - monotonic()
        self._refusal: str | None = None
        self.is_up = False
        self.detail = ""
        self.why = Why.NEVER_READ
        self.clock_epoch = 0
        self.failed = 0
        """Requests that came to nothing through no fault of theirs, since the process began."""

    def answered(self) -> None:
        """Note that the server answered."""
        self._good_at = self.monotonic()
        self._enter(LinkState.CONNECTED, "", Why.NEVER_READ)

    def silent(self, why: Why, detail: str) -> None:
        """Note that a request got no answer."""
        self.failed += 1
        self._enter(LinkState.DISCONNECTED, detail, why)

    def refused(self, detail: str) -> None:
        """Note that the server refused our credentials: it answers, and we can do nothing."""
        if self._refusal is None:
            log.warning("%s refuses our credentials: %s", self._name, detail)
        self._refusal = detail

    def accepted(self) -> None:
        """Note that the server took our credentials, or asked for none."""
        if self._refusal is not None:
            log.info("%s takes our credentials again", self._name, extra={"often": True})
        self._refusal = None

    def silent_for(self) -> float:
        """The seconds since the last answer; 0.0 while the link is up."""
        if self.is_up:
            return 0.0
        return self.monotonic() - (self._since if self._good_at is None else self._good_at)

    def link(self) -> Link:
        """The link as a value. Ages are monotonic, so a step of the clock does not change them."""
        state, detail = self._state, self.detail
        if state is LinkState.CONNECTED and self._refusal is not None:
            state = LinkState.DISCONNECTED
            detail = f"our credentials are refused: {self._refusal or 'Unauthorized'}"
        return Link(
            name="kubernetes",
            state=state,
            since=self._unix(self._since),
            detail=detail,
            last_good_at=None if self._good_at is None else self._unix(self._good_at),
        )

    def _enter(self, state: LinkState, detail: str, why: Why) -> None:
        self._look_at_the_clock()
        if state is not self._state:
            self._state, self._since = state, self.monotonic()
            level = logging.INFO if state is LinkState.CONNECTED else logging.WARNING
            extra = {"often": True, "source": self._name}
            log.log(level, "%s %s: %s", self._name, state.value, detail, extra=extra)
        self.is_up = state is LinkState.CONNECTED
        self.detail, self.why = detail, why

    def _look_at_the_clock(self) -> None:
        offset = self._clock.now() - self.monotonic()
        if abs(offset - self._offset) > CLOCK_STEP_S:
            self.clock_epoch += 1
            self._offset = offset

    def _unix(self, moment: float) -> float:
        return self._clock.now() - (self.monotonic() - moment)
