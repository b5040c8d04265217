"""Views that lists and watches keep up to date, and the readings that follow from them."""

from __future__ import annotations

import random
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable, Hashable, Iterable
from dataclasses import dataclass, field
from operator import is_not
from typing import Final, Generic, NamedTuple, TypeVar, cast

import msgspec

from controller.kube import wire
from controller.kube.client import Client, LinkTracker
from controller.kube.errors import (
    ApiError,
    KubeError,
    TimedOutError,
    TooLargeError,
    UnreadableError,
    WireStatus,
    status_error,
)
from controller.model.readings import Absent, Fresh, Reading, Stale, Why
from controller.model.servers import Backoff
from controller.model.text import clean
from controller.model.value import UndecodableError, Value

LIST_TIMEOUT_S: Final = 15.0


class WatchTarget(Value):
    """What to watch: the collection's path, and the selectors that choose some of its objects. An
    `optional` kind may be unknown to the server, or we may have no right to list it.
    """

    kind: str
    path: str
    label_selector: str = ""
    field_selector: str = ""
    optional: bool = False

    def query(self, **more: str) -> dict[str, str]:
        """Query parameters, without the empty ones."""
        chosen = {
            "labelSelector": self.label_selector,
            "fieldSelector": self.field_selector,
            **more,
        }
        return {name: value for name, value in chosen.items() if value}


class ListLimits(Value):
    """The most that is read of one list, and objects of all that a client reads at one time.
    Kubernetes supports 150,000 pods in a cluster.
    """

    pages: int = 2_000
    objects: int = 160_000
    size_bytes: int = 512 * 2**20


T = TypeVar("T")


PAGE_SIZE: Final = 500
LIMITS: Final = ListLimits()


async def pages(
    client: Client, target: WatchTarget, size: int = PAGE_SIZE, limits: ListLimits = LIMITS
) -> AsyncIterator[wire.WirePage]:
    """The pages of one list; a single one for a `size` of 0. None is kept here, so that the longest
    list takes little memory. Raises KubeError, TooLargeError above a limit.
    """
    token, number, objects, size_bytes = "", 0, 0, 0
    try:
        while True:
            answer = await client.call(
                "GET",
                target.path,
                kind=target.kind,
                query=target.query(limit=str(size or ""), **{"continue": token}),
                timeout_s=LIST_TIMEOUT_S,
            )
            try:
                page = wire.WirePage.of(answer)
            except UndecodableError as error:
                raise UnreadableError(f"the answer is no list: {error}") from error
            number, size_bytes, here = number + 1, size_bytes + len(answer), len(page.items or ())
            objects += here
            client.listing += here
            for found, most, of in (
                (number, limits.pages, "pages"),
                (client.listing, limits.objects, "objects"),
                (size_bytes, limits.size_bytes, "bytes"),
            ):
                if found > most:
                    raise TooLargeError(
                        f"the list of {target.kind} has more than the {most:,} {of} that are "
                        "read; does a proxy answer in the API server's place?"
                    )
            yield page
            token = page.metadata.continue_
            if not token:
                return
    finally:
        client.listing -= objects


WATCH_GRACE_S: Final = 15.0
"""A watch may be down for this long before its view counts as stale."""
STEADY_S: Final = 5.0
"""A watch that has been open this long works, even without a line."""


@dataclass(frozen=True, slots=True)
class Trust:
    """Whether a view is up to date. It stays the same object until that changes.

    `why` is None while the view is fresh. Else `at` (Unix seconds) is when the view was last known
    to be right, or, if it was never `listed`, when the reason was found.
    """

    listed: bool
    why: Why | None
    detail: str
    clock_epoch: int
    at: float = field(compare=False)


class Freshness:
    """Tracks one view: when it was last confirmed, and if it no longer is, since when and why.

    The first rule that matches applies: never listed in full → Absent; known to have missed changes
    → Stale(VIEW_INCOMPLETE); watch or link down for longer than `WATCH_GRACE_S` → Stale; else
    Fresh. Ages are monotonic; only returned times are Unix seconds.
    """

    def __init__(
        self,
        link: LinkTracker,
        on_answer: Callable[[], None] = lambda: None,
    ) -> None:
        """`on_answer` is called whenever a list ends, complete or not."""
        self._clock = link.clock
        self._link = link
        self._on_answer = on_answer
        self._monotonic = link.monotonic
        self._seen = self._opened_at = link.monotonic()
        self._down_since: float | None = self._seen
        self.listed = False
        """Whether a complete list was read at least once."""
        self._missed = False
        self._open = False
        self._why = Why.NEVER_READ
        self._detail = ""
        self._trust = self._trust_now()
        self._settled = False  # True: only the link or the clock can change the trust

    @property
    def answered(self) -> bool:
        """Whether a complete list was read, or it is known why there is none."""
        return self.listed or self._why is not Why.NEVER_READ

    def completed(self) -> None:
        """Note that a complete list was read."""
        self.listed, self._missed = True, False
        self._seen = self._down_since = self._monotonic()
        self._why, self._detail = Why.NEVER_READ, ""
        self._settled = False
        self._on_answer()

    def opened(self) -> None:
        """Note that the watch was opened. It counts as up after its first line or `STEADY_S`."""
        self._open, self._opened_at = True, self._monotonic()
        self._settled = False

    def confirmed(self) -> None:
        """Note that the watch had a line."""
        self._seen, self._down_since = self._monotonic(), None
        self._why, self._detail = Why.NEVER_READ, ""

    def interrupted(self) -> None:
        """Note that the watch ended normally and will be opened again."""
        if self._open:
            now = self._monotonic()
            if self._down_since is None or self._is_steady(now):
                self._down_since = now
            self._open, self._settled = False, False

    def missed(self, detail: str = "") -> None:
        """Note that changes were missed, or a list broke off: the next list must be complete."""
        self._missed = True
        self._why, self._detail = Why.VIEW_INCOMPLETE, detail or self._detail
        self._settled = False

    def broke(self, why: Why, detail: str) -> None:
        """Note that the list or the watch failed."""
        self.interrupted()
        self._why, self._detail = why, detail
        self._settled = False
        self._on_answer()

    def trust(self) -> Trust:
        """Whether the view is up to date; the same object until that changes."""
        link, known = self._link, self._trust
        if self._settled and link.is_up and known.clock_epoch == link.clock_epoch:
            return known
        now = self._trust_now()
        if now != known:
            self._trust = now
        self._settled = now.why is None and self._open and self._down_since is None
        return self._trust

    def judge(self, value: T) -> Reading[T]:
        """The value as a reading; a fresh one is of now, or of the watch's last line."""
        trust = self.trust()
        if trust.why is None:
            return Fresh(value=value, at=self._clock.now() if self._open else self._seen_at())
        if not trust.listed:
            return Absent(why=trust.why, at=trust.at, detail=trust.detail)
        return Stale(value=value, at=trust.at, why=trust.why, detail=trust.detail)

    def _trust_now(self) -> Trust:
        epoch = self._link.clock_epoch
        if not self.listed:
            why = Why.VIEW_INCOMPLETE if self._missed else self._why
            return Trust(False, why, self._detail, epoch, self._clock.now())
        if self._missed:
            detail = self._detail or "changes were missed; a new list is being read"
            return Trust(True, Why.VIEW_INCOMPLETE, detail, epoch, self._seen_at())
        if self._open and (silent_s := self._link.silent_for()) > WATCH_GRACE_S:
            at = self._clock.now() - silent_s
            return Trust(True, self._link.why, self._link.detail, epoch, at)
        now = self._monotonic()
        if self._open and self._is_steady(now):
            self._down_since, self._why, self._detail = None, Why.NEVER_READ, ""
        if self._down_since is not None and now - self._down_since > WATCH_GRACE_S:
            why = Why.DISCONNECTED if self._why is Why.NEVER_READ else self._why
            return Trust(True, why, self._detail, epoch, self._seen_at())
        return Trust(True, None, "", epoch, 0.0)

    def _is_steady(self, now: float) -> bool:
        return now - self._opened_at >= STEADY_S

    def _seen_at(self) -> float:
        """When the view was last confirmed, in Unix seconds."""
        return self._clock.now() - (self._monotonic() - self._seen)


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


class Refused(Value, Generic[T]):
    """An object that is implausible or unreadable, and why; `last` still counts of it."""

    why: Why
    detail: str
    last: T | None = None


def believed(reading: Reading[T | Refused[T]]) -> Reading[T]:
    """The reading; of a refused object Stale with its last value, Absent if it has none."""
    if isinstance(reading, Absent):
        return reading
    found, at = reading.value, reading.at
    if not isinstance(found, Refused):
        return cast("Reading[T]", reading)
    if found.last is None:
        return Absent(why=found.why, at=at, detail=found.detail)
    by = reading if isinstance(reading, Stale) else found
    return Stale(value=found.last, at=at, why=by.why, detail=by.detail)


class Seen(NamedTuple, Generic[T]):
    """An object by name, and what is kept of it: None of one that counts as gone."""

    name: str
    found: T | None


class KindView(ABC, Generic[T]):
    """Objects of one kind by name; an unreadable one hides no other."""

    def __init__(self) -> None:
        self.kept: dict[str, T] = {}

    @abstractmethod
    def read(self, raw: msgspec.Raw) -> Seen[T] | None:
        """What is kept of an object; None if it is ignored. Changes nothing."""

    @abstractmethod
    def changed(self, name: str, before: T | None, after: T | None) -> None:
        """What is kept of an object has changed: None if nothing was, or nothing is now."""

    def count(self) -> int:
        """How many it keeps; 0 if it is usual that they all end at once."""
        return len(self.kept)

    def take(self, seen: Seen[T]) -> None:
        """One was added or changed."""
        name, found = seen
        before = self.kept.get(name)
        if found is None:
            self.drop(name)
        elif found != before:
            self.kept[name] = found
            self.changed(name, before, found)

    def drop(self, name: str) -> None:
        """The object of this name is gone, if it was there."""
        before = self.kept.pop(name, None)
        if before is not None:
            self.changed(name, before, None)

    def adopt(self, objects: Iterable[Seen[T] | None]) -> None:
        """These are all there are."""
        seen = [each for each in objects if each is not None]
        for each in seen:
            self.take(each)
        for name in self.kept.keys() - {each.name for each in seen}:
            self.drop(name)

    def replace(self, objects: Iterable[msgspec.Raw]) -> None:
        """These are all there are, as the server wrote them."""
        self.adopt(map(self.read, objects))

    def put(self, raw: msgspec.Raw) -> None:
        """One was added or changed."""
        if (seen := self.read(raw)) is not None:
            self.take(seen)

    def remove(self, gone: msgspec.Raw) -> None:
        """One was deleted, or left the selection."""
        if (name := wire.object_name(gone)) is not None:
            self.drop(name)


class Reflector(Generic[T]):
    """Lists and watches one kind of object until it is cancelled."""

    def __init__(
        self,
        client: Client,
        target: WatchTarget,
        view: KindView[T],
        *,
        on_answer: Callable[[], None] = lambda: None,
        rng: random.Random | None = None,
        silence_s: float = WATCH_SILENCE_S,
    ) -> None:
        """`on_answer` is called whenever a list ends, complete or not."""
        self._client = client
        self._target = target
        self._view = view
        self._clock = client.clock
        self._rng = rng or random.Random()
        self._backoff = Backoff(WATCH_RETRY_FIRST_S, WATCH_RETRY_MOST_S, random=self._rng.random)
        self._silence_s = silence_s
        self._monotonic = client.clock.monotonic
        self._version: str | None = None
        self._torn = 0
        self.freshness = Freshness(client.link, on_answer)

    async def run(self) -> None:
        """Until cancelled: list if there is no version, watch from it, wait as failures require."""
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
        self._view.adopt(objects)
        self.freshness.completed()
        return version

    async def _complete(self) -> tuple[list[Seen[T] | None], str]:
        try:
            return await self._listed(PAGE_SIZE)
        except ApiError as error:
            if not error.expired:
                raise
            return await self._listed(0)

    async def _listed(self, page_size: int) -> tuple[list[Seen[T] | None], str]:
        """All objects as the view reads them, and the list's version."""
        objects: list[Seen[T] | None] = []
        version = ""
        try:
            async for page in pages(self._client, self._target, page_size):
                objects += map(self._view.read, page.items or ())
                version = page.metadata.resource_version
        except KubeError:
            if objects:
                self.freshness.missed()
            raise
        return objects, version

    async def _watch(self, version: str) -> float:
        """Follow the changes until the watch ends; the seconds to wait then. Raises KubeError."""
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
        """Put a watch's line into the view. Raises KubeError for an ERROR or unreadable one."""
        try:
            change = wire.WireWatchLine.of(line)
            if change.type == "ERROR":
                raise status_error(WireStatus.of(change.object))
            version = wire.WireVersioned.of(change.object).metadata.resource_version
        except UndecodableError as error:
            self._require_list()
            raise UnreadableError(f"a watch brought a line that cannot be read: {error}") from error
        if change.type == "BOOKMARK":
            if self._version and is_older(version, self._version):
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


def is_older(version: str, other: str) -> bool:
    """Whether a version is older than the other; they are opaque, so only numbers are compared."""
    return version.isdecimal() and other.isdecimal() and int(version) < int(other)


K = TypeVar("K", bound=Hashable)


class KeptReadings(Generic[K, T]):
    """One view's readings by key, kept until `forget` or until the view's trust changes."""

    def __init__(self, freshness: Freshness, make: Callable[[K], Reading[T]]) -> None:
        self._freshness = freshness
        self._make = make
        self._trust: Trust | None = None
        self._readings: dict[K, Reading[T]] = {}

    def get(self, key: K) -> Reading[T]:
        """The latest reading."""
        trust = self._freshness.trust()
        if trust is not self._trust:
            self._trust = trust
            self._readings.clear()
        reading = self._readings.get(key)
        if reading is None:
            reading = self._readings[key] = self._make(key)
        return reading

    def forget(self, key: K) -> None:
        """The object changed: make its reading anew."""
        self._readings.pop(key, None)


class ReadingOf(Generic[T]):
    """The reading that was made of some objects: the same one while these are the same objects."""

    def __init__(self) -> None:
        self._inputs: tuple[object, ...] = ()
        self._reading: Reading[T] | None = None

    def get(self, make: Callable[[], Reading[T]], *inputs: object) -> Reading[T]:
        """The reading of these inputs."""
        if self._reading is None or any(map(is_not, self._inputs, inputs)):
            self._inputs, self._reading = inputs, make()
        return self._reading
