"""Events of the cluster: its warnings about pools, and those that tell of our own decisions."""

from __future__ import annotations

import asyncio
import logging
import math
import re
from collections import OrderedDict
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final, NamedTuple
from urllib.parse import quote

import msgspec

from controller.kube import wire
from controller.kube.client import MERGE_PATCH, Client
from controller.kube.errors import ApiError, KubeError
from controller.kube.objects import unix_seconds
from controller.model.decision import Announcement
from controller.model.decoding import UndecodableError, decoded
from controller.model.fleet import Pool
from controller.model.ids import PoolKey, WorkloadKind, WorkloadName
from controller.model.observation import ClusterEvent
from controller.model.readings import last_known
from controller.model.text import clean, clean_name
from controller.ports import Clock, Workloads

KEPT_PER_POOL: Final = 5
KEPT_POOLS: Final = 4096
WARNING_KEPT_S: Final = 3600.0

# the alphabet of k8s.io/apimachinery/pkg/util/rand, in which generated names end
_GENERATED: Final = "[bcdfghjklmnpqrstvwxz2456789]"
_NAMED_AFTER: Final = {
    "Deployment": ((re.compile(r"(.+)"), WorkloadKind.DEPLOYMENT),),
    "ReplicaSet": ((re.compile(rf"(.+)-{_GENERATED}{{1,10}}"), WorkloadKind.DEPLOYMENT),),
    "StatefulSet": ((re.compile(r"(.+)"), WorkloadKind.STATEFUL_SET),),
    "Pod": (
        (re.compile(rf"(.+)-{_GENERATED}{{1,10}}-{_GENERATED}{{5}}"), WorkloadKind.DEPLOYMENT),
        (re.compile(r"(.+)-\d+", re.ASCII), WorkloadKind.STATEFUL_SET),
    ),
}
"""By the kind of an object, how its name begins with that of a workload; the first that fits."""


class _Newest(NamedTuple):
    warnings: tuple[ClusterEvent, ...]
    until: float


class WarningView:
    """The warnings of one namespace. Only the newest `KEPT_PER_POOL` of a workload are kept, for
    `WARNING_KEPT_S`.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._by_pool: OrderedDict[WorkloadName, dict[str, ClusterEvent]] = OrderedDict()
        self._newest: dict[WorkloadName, _Newest] = {}

    def newest(self, workload: WorkloadName) -> tuple[ClusterEvent, ...]:
        """The workload's warnings of the last hour, newest first; the same object until they
        change.
        """
        if workload not in self._by_pool:
            return ()
        known = self._newest.get(workload)
        if known is None or known.until < self._clock.now():
            known = self._newest[workload] = self._sorted(workload)
        return known.warnings

    def count(self) -> int:
        """Always 0, because events end by themselves."""
        return 0

    def replace(self, objects: Sequence[msgspec.Raw]) -> None:
        """These are all there are."""
        present = {self._take(found) for found in objects}
        for workload, kept in list(self._by_pool.items()):
            for name in [name for name in kept if (workload, name) not in present]:
                self._remove(workload, name)

    def put(self, found: msgspec.Raw) -> None:
        """One was added, or its count changed."""
        self._take(found)

    def remove(self, gone: msgspec.Raw) -> None:
        """One was deleted; the server deletes events after an hour by default."""
        event = _decoded(gone)
        workload = _workload_of(event.involved_object) if event else None
        if event is not None and workload is not None and workload in self._by_pool:
            self._remove(workload, event.metadata.name)

    def _take(self, found: msgspec.Raw) -> tuple[WorkloadName, str] | None:
        """Keep a warning about a pool; returns the workload and its own name."""
        event = _decoded(found)
        if event is None or event.type != "Warning" or event.involved_object is None:
            return None
        workload, name = _workload_of(event.involved_object), event.metadata.name
        if workload is None:
            return None
        kept = self._by_pool.setdefault(workload, {})
        self._by_pool.move_to_end(workload)
        warning = _value(event)
        if kept.get(name) != warning:
            kept[name] = warning
            if len(kept) > KEPT_PER_POOL:
                del kept[min(kept, key=lambda name: kept[name].at)]
            self._newest.pop(workload, None)
        if len(self._by_pool) > KEPT_POOLS:
            self._forget_pool(next(iter(self._by_pool)))
        return workload, name

    def _remove(self, workload: WorkloadName, name: str) -> None:
        if self._by_pool[workload].pop(name, None) is not None:
            self._newest.pop(workload, None)
        if not self._by_pool[workload]:
            self._forget_pool(workload)

    def _sorted(self, workload: WorkloadName) -> _Newest:
        oldest = self._clock.now() - WARNING_KEPT_S
        events = [each for each in self._by_pool[workload].values() if each.at >= oldest]
        if not events:
            return _Newest((), math.inf)
        events.sort(key=lambda event: -event.at)
        return _Newest(tuple(events), events[-1].at + WARNING_KEPT_S)

    def _forget_pool(self, workload: WorkloadName) -> None:
        self._by_pool.pop(workload, None)
        self._newest.pop(workload, None)


def _decoded(raw: msgspec.Raw) -> wire.WireEvent | None:
    """The event; None if it cannot be read."""
    try:
        return decoded(wire.EVENT, raw)
    except UndecodableError:
        return None


def _workload_of(about: wire.WireObjectReference | None) -> WorkloadName | None:
    """The workload, derived from the object's name only, because the ReplicaSet or the pod may be
    gone already.
    """
    if about is None:
        return None
    for pattern, kind in _NAMED_AFTER.get(about.kind, ()):
        if found := pattern.fullmatch(about.name):
            return WorkloadName(clean_name(found[1]), kind)
    return None


def _value(event: wire.WireEvent) -> ClusterEvent:
    series = event.series or wire.WireEventSeries()
    times = (
        series.last_observed_time,
        event.last_timestamp,
        event.event_time,
        event.metadata.creation_timestamp,
    )
    about = event.involved_object or wire.WireObjectReference()
    return ClusterEvent(
        at=next((at for time in times if (at := unix_seconds(time)) is not None), 0.0),
        reason=clean_name(event.reason or ""),
        message=clean(event.message or ""),
        object_name=clean_name(about.name),
        count=max(series.count, event.count or 1),
    )


log = logging.getLogger(__name__)

REPORTER: Final = "agentdash.dev/controller"
EVENT_EVERY_S: Final = 60.0
"""The least time between two events about the same pool with the same reason."""
SERIES_S: Final = 1800.0
"""After so long without it, a repeated note is a new event, not one more of a series."""
REFUSED_FOR_S: Final = 300.0
_BETWEEN_S: Final = 0.2
_TIMEOUT_S: Final = 5.0
_MOST_WAITING: Final = 1000
_MOST_NOTE_BYTES: Final = 1024
_NAME_LETTERS: Final = 200

_Key = tuple[PoolKey, str]


class _NewsWaiting(NamedTuple):
    pool: Pool
    news: Announcement
    times: int


class _LastEvent(NamedTuple):
    """The last event of a key: where it is, its note, how often it happened, and when (seconds of
    the monotonic clock).
    """

    path: str
    note: str
    times: int
    at: float


class EventWriter:
    """Writes the newest announcement of each pool and reason, at most five events a second and one
    a minute of the same kind, on connections of its own: no scale write waits for an event.

    An event that cannot be written is left out.
    """

    def __init__(self, client: Client, workloads: Workloads, clock: Clock, process: str) -> None:
        """`client` is used for nothing else; `process` names this process."""
        self._client = client
        self._workloads = workloads
        self._clock = clock
        self._process = clean(process, 128) or "agentdash"
        self._waiting: dict[_Key, _NewsWaiting] = {}
        self._written: dict[_Key, _LastEvent] = {}
        self._wake = asyncio.Event()
        self._refused_until = 0.0
        self._refusal = ""

    def announce(self, pool: Pool, news: Announcement) -> None:
        """Have it written. Called on the event loop; never waits."""
        key = (pool.key, news.reason)
        known = self._waiting.pop(key, None)
        if known is None and len(self._waiting) >= _MOST_WAITING:
            return
        times = 1 if known is None or known.news.note != news.note else known.times + 1
        self._waiting[key] = _NewsWaiting(pool, news, times)
        self._wake.set()

    def refusal(self) -> str:
        """Why no events are written, in words; empty if they are, as far as is known."""
        return self._refusal

    async def run(self) -> None:
        """Write until cancelled."""
        while True:
            key = self._next_due()
            if key is None:
                await self._pause()
                continue
            await self._write(key, self._waiting.pop(key))
            await self._clock.sleep(_BETWEEN_S)

    def _next_due(self) -> _Key | None:
        now = self._clock.monotonic()
        if now < self._refused_until:
            return None
        for key in self._waiting:
            written = self._written.get(key)
            if written is None or now - written.at >= EVENT_EVERY_S:
                return key
        return None

    async def _pause(self) -> None:
        """Until something new is announced, at most for a second if something waits already."""
        if not self._waiting:
            self._wake.clear()
            await self._wake.wait()
        else:
            await self._clock.sleep(1.0)

    async def _write(self, key: _Key, waiting: _NewsWaiting) -> None:
        now, written = self._clock.monotonic(), self._written.get(key)
        goes_on = written is not None and written.note == waiting.news.note
        try:
            if written is not None and goes_on and now - written.at < SERIES_S:
                times = written.times + waiting.times
                await self._repeat(written.path, times)
                self._written[key] = written._replace(times=times, at=now)
            else:
                path = await self._create(waiting)
                self._written[key] = _LastEvent(path, waiting.news.note, waiting.times, now)
        except KubeError as error:
            self._failed(error, now)
            # not at once again, whatever it was
            self._written[key] = _LastEvent("", "", 0, now)
        else:
            self._refusal = ""

    async def _create(self, waiting: _NewsWaiting) -> str:
        pool, news, at = waiting.pool, waiting.news, self._clock.now()
        namespace = quote(pool.namespace, safe="")
        path = f"/apis/events.k8s.io/v1/namespaces/{namespace}/events"
        name = f"{pool.workload.name[:_NAME_LETTERS]}.{int(at * 1e9):x}"
        workload = last_known(self._workloads.workload(pool))
        body: dict[str, object] = {
            "apiVersion": "events.k8s.io/v1",
            "kind": "Event",
            "metadata": {"name": name, "namespace": pool.namespace},
            "eventTime": _micro_time(at),
            "reportingController": REPORTER,
            "reportingInstance": self._process,
            "action": "Scale",
            "reason": news.reason,
            "type": "Warning" if news.is_warning else "Normal",
            "note": _cut(news.note),
            "regarding": {
                "apiVersion": "apps/v1",
                "kind": pool.workload.kind,
                "namespace": pool.namespace,
                "name": pool.workload.name,
                "uid": "" if workload is None else workload.uid,
            },
        }
        if waiting.times > 1:
            body["series"] = {"count": waiting.times, "lastObservedTime": _micro_time(at)}
        await self._client.call("POST", path, kind="events", body=body, timeout_s=_TIMEOUT_S)
        return f"{path}/{quote(name, safe='')}"

    async def _repeat(self, path: str, times: int) -> None:
        series = {"count": times, "lastObservedTime": _micro_time(self._clock.now())}
        await self._client.call(
            "PATCH",
            path,
            kind="events",
            body={"series": series},
            content_type=MERGE_PATCH,
            timeout_s=_TIMEOUT_S,
        )

    def _failed(self, error: KubeError, now: float) -> None:
        if isinstance(error, ApiError) and error.status in {401, 403}:
            self._refusal, self._refused_until = error.detail, now + REFUSED_FOR_S
            self._waiting.clear()
        log.debug("an event was not written: %s", error)


def _cut(note: str) -> str:
    return note.encode()[:_MOST_NOTE_BYTES].decode("utf-8", "ignore")


def _micro_time(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
