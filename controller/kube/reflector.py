"""Keeps a view of one kind of object up to date by list and watch.

Modelled on client-go's Reflector: pages with `continue`, watches that resume at a resourceVersion,
bookmarks, and a new list after 410. An incomplete list is discarded: only a complete list replaces
the view.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Sequence
from typing import Final, Protocol

import msgspec

from controller.kube import wire
from controller.kube.client import Client
from controller.kube.errors import ApiError, KubeError, UnreadableError, WireStatus, status_error
from controller.kube.freshness import Freshness
from controller.model.backoff import Backoff
from controller.model.text import clean
from controller.model.value import Value
from controller.ports import Clock

PAGE_SIZE: Final = 500
LIST_TIMEOUT_S: Final = 15.0
WATCH_S: Final = (240, 480)
"""The range of timeoutSeconds of a watch; it is random so that watches do not end together."""
WATCH_SILENCE_S: Final = 90.0
"""Bookmarks come about every minute (bookmarkFrequency in the API server). Without a line for this
long, the connection counts as dead."""
WATCH_RETRY_FIRST_S: Final = 0.5
WATCH_RETRY_MOST_S: Final = 15.0
REFUSED_WAIT_S: Final = (15.0, 30.0)
"""The wait after 401 or 403: rights are granted by people, so trying more often does not help."""
STEADY_S: Final = 5.0
"""A watch that lasted this long counts as a success, even without a line."""


class WatchTarget(Value):
    """What to watch: the collection's path, and the selectors that choose some of its objects."""

    kind: str
    path: str
    label_selector: str = ""
    field_selector: str = ""

    def query(self, **more: str) -> dict[str, str]:
        """Query parameters, without the empty ones."""
        chosen = {
            "labelSelector": self.label_selector,
            "fieldSelector": self.field_selector,
            **more,
        }
        return {name: value for name, value in chosen.items() if value}


class ObjectView(Protocol):
    """Keeps the objects. It does not raise for an object that it cannot read."""

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
        self._silence_s = silence_s
        self._monotonic = monotonic
        self._version: str | None = None
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
        the token that the server offers instead would give an inconsistent list.
        """
        try:
            objects, version = await self._pages(self._page_size)
        except ApiError as error:
            if not error.expired:
                raise
            objects, version = await self._pages(0)
        self._view.replace(objects)
        self.freshness.completed()
        return version

    async def _pages(self, size: int) -> tuple[list[msgspec.Raw], str]:
        objects: list[msgspec.Raw] = []
        token = ""
        while True:
            try:
                page = await self._page(size, token)
            except KubeError:
                if objects:
                    self.freshness.missed()
                raise
            objects += page.items or ()
            token = page.metadata.continue_
            if not token:
                return objects, page.metadata.resource_version

    async def _page(self, size: int, token: str) -> wire.WirePage:
        answer = await self._client.call(
            "GET",
            self._target.path,
            kind=self._target.kind,
            query=self._target.query(limit=str(size or ""), **{"continue": token}),
            timeout_s=LIST_TIMEOUT_S,
        )
        try:
            return wire.PAGE.decode(answer)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise UnreadableError(f"the answer is no list: {clean(error)}") from error

    async def _watch(self, version: str) -> float:
        """Follow the changes since that version until the watch ends; returns the seconds to wait
        before the next. Raises KubeError.
        """
        began = self._monotonic()
        spoke = False
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
            self.freshness.alive()
            async for line in lines:
                self._take(line)
                self.freshness.alive()
                self._backoff.reset()
                spoke = True
        self.freshness.interrupted()
        if spoke or self._monotonic() - began >= STEADY_S:
            self._backoff.reset()
            return 0.0
        return self._backoff.next_s()  # the server ends every watch at once

    def _take(self, line: bytes) -> None:
        """Put one line of a watch into the view. Raises KubeError for an ERROR line and for a line
        that cannot be read.
        """
        try:
            change = wire.WATCH_LINE.decode(line)
            if change.type == "ERROR":
                raise status_error(msgspec.json.decode(change.object, type=WireStatus))
            version = wire.VERSIONED.decode(change.object).metadata.resource_version
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            self._require_list()
            raise UnreadableError(
                f"a watch brought a line that cannot be read: {clean(error)}"
            ) from error
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
        if isinstance(failure, ApiError):
            if failure.status in {401, 403}:
                return self._rng.uniform(*REFUSED_WAIT_S)
            if failure.expired and self._version is not None:
                self._require_list()
                return 0.0
            if failure.status in {400, 500}:
                self._version = None  # API servers answer so to an invalid version
        # The jitter is added to the server's wait, so that clients do not return together.
        return self._backoff.next_s() + (failure.retry_after_s or 0.0)

    def _require_list(self) -> None:
        """Require a new list, because changes were missed."""
        self._version = None
        self.freshness.missed()


def _older(version: str, than: str | None) -> bool:
    """Whether a version is older; versions are opaque, so only numbers are compared."""
    return bool(than and version.isdecimal() and than.isdecimal() and int(version) < int(than))
