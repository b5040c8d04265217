"""Keeps a view of one kind of object up to date by list and watch.

Modelled on client-go's Reflector: pages with `continue`, watches that resume at a resourceVersion,
bookmarks, and a new list after 410. An incomplete list is discarded: only a complete list replaces
the view. Whatever ends a watch early, the next one, or the next list, waits longer and longer.
"""

from __future__ import annotations

import random
import time
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Final, Protocol

import msgspec

from controller.kube import wire
from controller.kube.client import Client
from controller.kube.errors import (
    STATUS,
    ApiError,
    KubeError,
    TimedOutError,
    TooLargeError,
    UnreadableError,
    status_error,
)
from controller.kube.freshness import STEADY_S, Freshness
from controller.kube.listing import Listing, ListLimits, WatchTarget
from controller.model.backoff import Backoff
from controller.model.decoding import UndecodableError, decoded
from controller.model.text import clean
from controller.ports.clock import Clock

PAGE_SIZE: Final = 500
WATCH_S: Final = (240, 480)
"""The range of timeoutSeconds of a watch; it is random so that watches do not end together."""
WATCH_SILENCE_S: Final = 90.0
"""Bookmarks come about every minute (bookmarkFrequency in the API server). Without a line for this
long, the connection counts as dead."""
WATCH_RETRY_FIRST_S: Final = 0.5
WATCH_RETRY_MOST_S: Final = 15.0
REFUSED_WAIT_S: Final = (15.0, 30.0)
"""The wait after 401 or 403: rights are granted by people, so trying more often does not help."""
NOT_SERVED_WAIT_S: Final = (120.0, 300.0)
"""The wait before an optional kind is asked for again."""
TOO_LARGE_WAIT_S: Final = (60.0, 120.0)
"""The wait after a list that is too large to be read: reading it again takes as long."""
TORN_WATCHES: Final = 3
"""After so many watches in a row that broke before their first line, the list is read again."""
SECOND_LOOK_S: Final = 2.0
"""The wait before an empty list is read again; a server that has just started knows more then."""


class ObjectView(Protocol):
    """Keeps the objects. It does not raise for an object that it cannot read."""

    def count(self) -> int:
        """How many it keeps; 0 if it is usual that they all end at once."""
        ...

    def replace(self, objects: Sequence[msgspec.Raw]) -> None:
        """These are all there are."""
        ...

    def put(self, found: msgspec.Raw) -> None:
        """One was added or changed."""
        ...

    def remove(self, gone: msgspec.Raw) -> None:
        """One was deleted, or left the selection."""
        ...


class Reflector:
    """Lists and watches one kind of object until it is cancelled."""

    def __init__(
        self,
        client: Client,
        target: WatchTarget,
        view: ObjectView,
        freshness: Freshness,
        clock: Clock,
        *,
        rng: random.Random | None = None,
        page_size: int = PAGE_SIZE,
        limits: ListLimits | None = None,
        silence_s: float = WATCH_SILENCE_S,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._client = client
        self._target = target
        self._view = view
        self._clock = clock
        self._rng = rng or random.Random()
        self._backoff = Backoff(WATCH_RETRY_FIRST_S, WATCH_RETRY_MOST_S, random=self._rng.random)
        self._page_size = page_size
        self._limits = limits or ListLimits()
        self._silence_s = silence_s
        self._monotonic = monotonic
        self._version: str | None = None
        self._torn = 0
        self.freshness = freshness

    async def run(self) -> None:
        """Repeat until cancelled: 1. list if there is no version to resume from, 2. watch from that
        version, 3. wait as long as the last failure requires.
        """
        while True:
            try:
                if self._version is None:
                    self._version = await self._list()
                wait = await self._watch(self._version)
            except KubeError as failure:
                wait = self._after(failure)
            if wait > 0:
                await self._clock.sleep(wait)

    async def _list(self) -> str:
        """Replace the view with a complete list; returns its version.

        If a continue token expires between two pages, the list is read again without pages, because
        the token that the server offers instead would give an inconsistent list. A list without any
        object is read a second time if the view has some and no deletion was seen: a server that
        answers from an empty store must not empty the view.
        """
        objects, version = await self._complete()
        known = self._view.count()
        if known and not objects:
            self.freshness.missed(
                f"the list of {self._target.kind} came back empty, and {known} were known; it is "
                "read again"
            )
            await self._clock.sleep(SECOND_LOOK_S)
            objects, version = await self._complete()
        self._view.replace(objects)
        self.freshness.completed()
        return version

    async def _complete(self) -> tuple[list[msgspec.Raw], str]:
        try:
            return await self._listed(self._page_size)
        except ApiError as error:
            if not error.expired:
                raise
            return await self._listed(0)

    async def _listed(self, page_size: int) -> tuple[list[msgspec.Raw], str]:
        listing = Listing(self._client, self._target, self._limits)
        try:
            version = await listing.read(page_size)
        except KubeError:
            if listing.objects:
                self.freshness.missed()
            raise
        return listing.objects, version

    async def _watch(self, version: str) -> float:
        """Follow the changes since that version until the watch ends; returns the seconds to wait
        before the next. Raises KubeError.
        """
        query = self._target.query(
            watch="true",
            resourceVersion=version,
            allowWatchBookmarks="true",
            timeoutSeconds=str(self._rng.randint(*WATCH_S)),
        )
        async with self._client.lines(
            self._target.path,
            kind=self._target.kind,
            query=query,
            silence_s=self._silence_s,
        ) as lines:
            return await self._follow(lines)

    async def _follow(self, lines: AsyncIterator[bytes]) -> float:
        """Take the lines of an open watch, as `_watch` does."""
        began = self._monotonic()
        self.freshness.opened()
        self._torn += 1
        try:
            async for line in lines:
                self._take(line)
                self.freshness.confirmed()
                self._torn = 0
        except TimedOutError:
            self._require_list(f"the watch said nothing for {self._silence_s:.0f} s")
            raise
        except KubeError:
            if self._torn >= TORN_WATCHES:
                self._version = None  # a list may still come through
            raise
        finally:
            if self._monotonic() - began >= STEADY_S:
                self._backoff.reset()
        self.freshness.interrupted()
        self._torn = 0
        steady = self._monotonic() - began >= STEADY_S
        return 0.0 if steady else self._backoff.next_s()  # else the server ends every watch at once

    def _take(self, line: bytes) -> None:
        """Put one line of a watch into the view. Raises KubeError for an ERROR line and for a line
        that cannot be read.
        """
        try:
            change = decoded(wire.WATCH_LINE, line)
            if change.type == "ERROR":
                raise status_error(decoded(STATUS, change.object))
            version = decoded(wire.VERSIONED, change.object).metadata.resource_version
        except UndecodableError as error:
            self._require_list()
            raise UnreadableError(f"a watch brought a line that cannot be read: {error}") from error
        if change.type == "BOOKMARK":
            if _older(version, than=self._version):
                # the server's store was restored from a backup, so its history has changed
                self._require_list()
                raise UnreadableError(f"the versions went back to {clean(version, 40)}")
        elif change.type == "DELETED":
            self._view.remove(change.object)
        else:
            self._view.put(change.object)
        self._version = version

    def _after(self, failure: KubeError) -> float:
        """Note a failure; returns the seconds to wait."""
        self.freshness.broke(failure.why, failure.detail)
        if isinstance(failure, TooLargeError):
            return self._rng.uniform(*TOO_LARGE_WAIT_S)
        if isinstance(failure, ApiError):
            if self._target.optional and failure.status in {403, 404}:
                return self._rng.uniform(*NOT_SERVED_WAIT_S)
            if failure.status in {401, 403}:
                return self._rng.uniform(*REFUSED_WAIT_S)
            if failure.expired and self._version is not None:
                self._require_list()
            elif failure.status in {400, 500}:
                self._version = None  # API servers answer so to an invalid version
        # The jitter is added to the server's wait, so that clients do not return together.
        return self._backoff.next_s() + (failure.retry_after_s or 0.0)

    def _require_list(self, detail: str = "") -> None:
        """Require a new list, because changes were missed."""
        self._version = None
        self.freshness.missed(detail)


def _older(version: str, than: str | None) -> bool:
    """Whether a version is older; versions are opaque, so only numbers are compared."""
    return bool(than and version.isdecimal() and than.isdecimal() and int(version) < int(than))
