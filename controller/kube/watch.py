"""Views that lists and watches keep up to date, and the readings that follow from them."""

from __future__ import annotations

import random
import re
import time
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable, Collection, Hashable, Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from operator import is_not
from typing import Final, Generic, NamedTuple, Protocol, TypeAlias, TypeVar

import msgspec

from controller.kube import wire
from controller.kube.client import Client, LinkTracker
from controller.kube.errors import (
    STATUS,
    ApiError,
    KubeError,
    TimedOutError,
    TooLargeError,
    UnreadableError,
    status_error,
)
from controller.model.decoding import UndecodableError, decoded
from controller.model.readings import Absent, Fresh, Reading, Stale, Why
from controller.model.servers import Backoff
from controller.model.text import clean, clean_name
from controller.model.value import Value
from controller.ports import Clock

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
    """The most that is read of one list. Kubernetes itself supports 150,000 pods in a whole cluster
    (kubernetes.io, "Considerations for large clusters").
    """

    pages: int = 2_000
    objects: int = 250_000
    size_bytes: int = 512 * 2**20


T = TypeVar("T")
R = TypeVar("R")


class Listing(Generic[R]):
    """One list of a target. `objects` has what `keep` reads of each object, page by page: the pages
    themselves are not kept, so that the longest list takes little memory.
    """

    def __init__(
        self,
        client: Client,
        target: WatchTarget,
        limits: ListLimits,
        keep: Callable[[msgspec.Raw], R],
    ) -> None:
        self.objects: list[R] = []
        self.version = ""
        self._keep = keep
        self._client = client
        self._target = target
        self._limits = limits
        self._pages = 0
        self._size_bytes = 0

    async def read(self, page_size: int) -> None:
        """Read all pages, or one without a limit for a `page_size` of 0. Raises KubeError."""
        token = ""
        while True:
            page = await self._page(page_size, token)
            self._check(len(page.items or ()))
            self.objects += map(self._keep, page.items or ())
            token = page.metadata.continue_
            if not token:
                self.version = page.metadata.resource_version
                return

    async def _page(self, size: int, token: str) -> wire.WirePage:
        answer = await self._client.call(
            "GET",
            self._target.path,
            kind=self._target.kind,
            query=self._target.query(limit=str(size or ""), **{"continue": token}),
            timeout_s=LIST_TIMEOUT_S,
        )
        self._pages += 1
        self._size_bytes += len(answer)
        try:
            return decoded(wire.PAGE, answer)
        except UndecodableError as error:
            raise UnreadableError(f"the answer is no list: {error}") from error

    def _check(self, more: int) -> None:
        """Raises TooLargeError above a limit, with `more` objects on the last page."""
        limits = self._limits
        for found, most, of in (
            (self._pages, limits.pages, "pages"),
            (len(self.objects) + more, limits.objects, "objects"),
            (self._size_bytes, limits.size_bytes, "bytes"),
        ):
            if found > most:
                raise TooLargeError(
                    f"the list of {self._target.kind} has more than the {most:,} {of} that are "
                    "read; does a proxy answer in the API server's place?"
                )


WATCH_GRACE_S: Final = 15.0
"""A watch may be down for this long before its view counts as stale."""
STEADY_S: Final = 5.0
"""A watch that has been open this long works, even without a line."""


@dataclass(frozen=True, slots=True, eq=False)
class Trust:
    """Whether a view is up to date. It stays the same object until that changes.

    `why` is None while the view is fresh. Else `at` (Unix seconds) is when the view was last known
    to be right, or, if it was never `listed`, when the reason was found.
    """

    listed: bool
    why: Why | None
    detail: str
    at: float
    clock_epoch: int


class Freshness:
    """Tracks one view: when it was last confirmed, and if it no longer is, since when and why.

    The first rule that matches applies: never listed in full → Absent; known to have missed changes
    → Stale(VIEW_INCOMPLETE); watch or link down for longer than `grace_s` → Stale; else Fresh.
    Ages are monotonic; only returned times are Unix seconds.
    """

    def __init__(
        self,
        clock: Clock,
        link: LinkTracker,
        *,
        on_answer: Callable[[], None] = lambda: None,
        grace_s: float = WATCH_GRACE_S,
    ) -> None:
        """`on_answer` is called whenever a list ends, complete or not."""
        self._clock = clock
        self._link = link
        self._on_answer = on_answer
        self._grace_s = grace_s
        self._monotonic = link.monotonic
        self._seen = self._opened_at = link.monotonic()
        self._down_since: float | None = self._seen
        self._listed = False
        self._missed = False
        self._open = False
        self._why = Why.NEVER_READ
        self._detail = ""
        self._trust = self._trust_now()
        self._settled = False  # True: only the link or the clock can change the trust

    @property
    def listed(self) -> bool:
        """Whether a complete list was read at least once."""
        return self._listed

    @property
    def answered(self) -> bool:
        """Whether a complete list was read, or it is known why there is none."""
        return self._listed or self._why is not Why.NEVER_READ

    def completed(self) -> None:
        """Note that a complete list was read."""
        self._listed, self._missed = True, False
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
        """Whether the view is up to date now; the same object until that changes. While the view is
        fresh this costs a few comparisons.
        """
        link, known = self._link, self._trust
        if self._settled and link.is_up and known.clock_epoch == link.clock_epoch:
            return known
        now = self._trust_now()
        if (now.why, now.detail, now.listed, now.clock_epoch) != (
            known.why,
            known.detail,
            known.listed,
            known.clock_epoch,
        ):
            self._trust = now
        self._settled = now.why is None and self._open and self._down_since is None
        return self._trust

    def judge(self, value: T) -> Reading[T]:
        """The value as a reading, by the rules of this class. For a fresh view `at` is now, or the
        time of the watch's last line if the watch is being opened again.
        """
        trust = self.trust()
        if trust.why is None:
            return Fresh(value=value, at=self._clock.now() if self._open else self._seen_at())
        if not trust.listed:
            return Absent(why=trust.why, at=trust.at, detail=trust.detail)
        return Stale(value=value, at=trust.at, why=trust.why, detail=trust.detail)

    def _trust_now(self) -> Trust:
        epoch = self._link.clock_epoch
        if not self._listed:
            why = Why.VIEW_INCOMPLETE if self._missed else self._why
            return Trust(False, why, self._detail, self._clock.now(), epoch)
        if self._missed:
            detail = self._detail or "changes were missed; a new list is being read"
            return Trust(True, Why.VIEW_INCOMPLETE, detail, self._seen_at(), epoch)
        if self._open and (silent_s := self._link.silent_for()) > self._grace_s:
            at = self._clock.now() - silent_s
            return Trust(True, self._link.why, self._link.detail, at, epoch)
        if self._down_for() > self._grace_s:
            why = Why.DISCONNECTED if self._why is Why.NEVER_READ else self._why
            return Trust(True, why, self._detail, self._seen_at(), epoch)
        return Trust(True, None, "", 0.0, epoch)

    def _down_for(self) -> float:
        """The seconds since the watch last worked; 0.0 while it does."""
        now = self._monotonic()
        if self._open and self._is_steady(now):
            self._down_since, self._why, self._detail = None, Why.NEVER_READ, ""
        return 0.0 if self._down_since is None else now - self._down_since

    def _is_steady(self, now: float) -> bool:
        return now - self._opened_at >= STEADY_S

    def _seen_at(self) -> float:
        """When the view was last confirmed, in Unix seconds."""
        return self._clock.now() - (self._monotonic() - self._seen)


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


class RefusedObject(Value):
    """An object that exists but is implausible or unreadable, and why."""

    why: Why
    detail: str


class Named(Protocol):
    """An object of which only what we keep was read."""

    @property
    def name(self) -> str:
        """Its name in its namespace."""
        ...


N = TypeVar("N", bound=Named)


class Seen(NamedTuple, Generic[T]):
    """An object by name: what was read of it, or why it cannot be read."""

    name: str
    found: T | UndecodableError


def seen(decoder: msgspec.json.Decoder[T], raw: msgspec.Raw | bytes) -> Seen[T] | None:
    """An object as its decoder reads it; None without a readable name."""
    name = object_name(raw)
    if name is None:
        return None
    try:
        return Seen(name, decoded(decoder, raw))
    except UndecodableError as error:
        return Seen(name, error)


def object_name(raw: msgspec.Raw | bytes) -> str | None:
    """An object's name; None if it cannot be read."""
    try:
        return clean_name(decoded(wire.IDENTIFIED, raw).metadata.name)
    except UndecodableError:
        return None


class KindView(ABC, Generic[N]):
    """Keeps the objects of one kind by name. An object that it cannot read hides no other, and one
    without a readable name is ignored.
    """

    @abstractmethod
    def read(self, raw: msgspec.Raw) -> N | None:
        """What is kept of an object; None if it is ignored. Changes nothing."""

    @abstractmethod
    def take(self, record: N) -> None:
        """One was added or changed."""

    @abstractmethod
    def drop(self, name: str) -> None:
        """The object of this name is gone, if it was there."""

    @abstractmethod
    def names(self) -> Collection[str]:
        """The names of all that it keeps."""

    def count(self) -> int:
        """How many it keeps; 0 if it is usual that they all end at once."""
        return len(self.names())

    def adopt(self, records: Iterable[N | None]) -> None:
        """These are all there are."""
        names = set()
        for record in records:
            if record is not None:
                self.take(record)
                names.add(record.name)
        for name in set(self.names()) - names:
            self.drop(name)

    def replace(self, objects: Iterable[msgspec.Raw]) -> None:
        """These are all there are, as the server wrote them."""
        self.adopt(map(self.read, objects))

    def put(self, found: msgspec.Raw) -> None:
        """One was added or changed."""
        if (record := self.read(found)) is not None:
            self.take(record)

    def remove(self, gone: msgspec.Raw) -> None:
        """One was deleted, or left the selection."""
        if (name := object_name(gone)) is not None:
            self.drop(name)


class Reflector(Generic[N]):
    """Lists and watches one kind of object until it is cancelled."""

    def __init__(
        self,
        client: Client,
        target: WatchTarget,
        view: KindView[N],
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
        listing = await self._complete()
        known = self._view.count()
        if known and not listing.objects:
            self.freshness.missed(
                f"the list of {self._target.kind} came back empty, and {known} were known; it is "
                "read again"
            )
            await self._clock.sleep(SECOND_LOOK_S)
            listing = await self._complete()
        self._view.adopt(listing.objects)
        self.freshness.completed()
        return listing.version

    async def _complete(self) -> Listing[N | None]:
        try:
            return await self._listed(self._page_size)
        except ApiError as error:
            if not error.expired:
                raise
            return await self._listed(0)

    async def _listed(self, page_size: int) -> Listing[N | None]:
        listing = Listing(self._client, self._target, self._limits, self._view.read)
        try:
            await listing.read(page_size)
        except KubeError:
            if listing.objects:
                self.freshness.missed()
            raise
        return listing

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
    """The readings of one view by key. Each is made once and kept until its object changes
    (`forget`) or the view's trust changes.
    """

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


Labels: TypeAlias = Mapping[str, str]
Matches: TypeAlias = Callable[[Labels], bool]

# commas inside parentheses separate values, all others separate requirements
_SEPARATOR: Final = re.compile(r",(?![^()]*\))")
_REQUIREMENT_SYNTAX: Final = re.compile(
    r"\s*(?P<none>!)?\s*(?P<key>[A-Za-z0-9][-A-Za-z0-9_./]*)"
    r"(?:\s*(?P<equal>==|=|!=)\s*(?P<value>[-A-Za-z0-9_.]*)"
    r"|\s+(?P<set>in|notin)\s*\((?P<values>[^()]*)\))?\s*"
)


@lru_cache(maxsize=256)
def parsed(selector: str) -> Matches:
    """A function that tells whether labels meet all requirements; the empty selector matches all.
    Raises ValueError for a text that is not a selector.
    """
    if not selector.strip():
        return lambda _labels: True
    requirements = tuple(_requirement(each) for each in _SEPARATOR.split(selector))
    return lambda labels: all(met(labels) for met in requirements)


def _requirement(text: str) -> Matches:
    found = _REQUIREMENT_SYNTAX.fullmatch(text)
    if found is None or (found["none"] and (found["equal"] or found["set"])):
        raise ValueError(f"{text!r} is no requirement of a label selector")
    key = found["key"]
    if found["none"]:
        return lambda labels: key not in labels
    if found["equal"] is None and found["set"] is None:
        return lambda labels: key in labels
    if found["equal"]:
        values = frozenset({found["value"]})
    else:
        values = frozenset(value.strip() for value in found["values"].split(","))
    if found["equal"] == "!=" or found["set"] == "notin":
        # apimachinery, labels.Requirement.Matches: a missing label counts as different
        return lambda labels: labels.get(key) not in values
    return lambda labels: labels.get(key) in values
