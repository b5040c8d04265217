"""The writes to the cluster: spec.replicas, if the workload has not changed since, the deletion
cost of its pods, events that tell of our decisions, and the Lease of the process that leads.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final, NamedTuple
from urllib.parse import quote

from aiolimiter import AsyncLimiter

from controller.kube import wire
from controller.kube.client import MERGE_PATCH, Client
from controller.kube.errors import ApiError, ConfigError, HeldBackError, KubeError, UnreachableError
from controller.kube.workloads import ClusterWorkloads
from controller.model.decision import Announcement, Outcome, OutcomeKind
from controller.model.fleet import Pool
from controller.model.ids import PoolKey
from controller.model.readings import last_known
from controller.model.servers import FIELD_MANAGER, REPORTER, Backoff
from controller.model.settings import LONGEST_WRITE_S, LeaseRecord, SeenLease
from controller.model.text import clean, clean_name
from controller.model.value import UndecodableError
from controller.ports import (
    Clock,
    StoreAwayError,
    StoreConflictError,
    StoreError,
    StoreRefusedError,
    Workloads,
)

log = logging.getLogger(__name__)

WRITE_TIMEOUT_S: Final = LONGEST_WRITE_S
TURN_TIMEOUT_S: Final = 5.0
"""The longest wait for a turn: after it the decision is outdated, and the next tick decides again.
"""

_KINDS: Final = {
    400: OutcomeKind.INVALID,
    401: OutcomeKind.UNAUTHORIZED,
    403: OutcomeKind.FORBIDDEN,
    404: OutcomeKind.GONE,
    409: OutcomeKind.CONFLICT,
    410: OutcomeKind.GONE,
    422: OutcomeKind.INVALID,
    429: OutcomeKind.THROTTLED,
}


WRITES_PER_SECOND: Final = 20.0
WRITE_BURST: Final = 50


class WriteGate:
    """A leaky bucket for writes: urgent writes come first, then the one that has waited longest.

    aiolimiter's bucket lets its waiters through in the order in which they came, so the two queues
    before it are ours.

    `run` must run beside the writers. A cancelled writer leaves the queue. At worst its turn is
    lost; a turn is never given twice.
    """

    def __init__(self, per_second: float = WRITES_PER_SECOND, burst: int = WRITE_BURST) -> None:
        self._bucket = AsyncLimiter(burst, burst / per_second)
        self._urgent: deque[asyncio.Future[None]] = deque()
        self._bulk: deque[asyncio.Future[None]] = deque()
        self._asked = asyncio.Event()

    async def enter(self, *, urgent: bool) -> None:
        """Return when it is this writer's turn; at once if there is one and no other waits."""
        if self._front() is None and self._bucket.has_capacity():
            await self._bucket.acquire()
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        (self._urgent if urgent else self._bulk).append(turn)
        self._asked.set()
        await turn

    async def run(self) -> None:
        """Give turns until cancelled."""
        while True:
            await self._asked.wait()
            if self._front() is None:
                self._asked.clear()
                continue
            await self._bucket.acquire()
            queue = self._front()  # asked again: a more urgent write may have come meanwhile
            if queue is not None:
                queue.popleft().set_result(None)

    def _front(self) -> deque[asyncio.Future[None]] | None:
        """The queue whose first writer is next; cancelled writers are dropped from it."""
        for queue in (self._urgent, self._bulk):
            while queue and queue[0].done():
                queue.popleft()
            if queue:
                return queue
        return None


class ClusterActuator:
    """The `Actuator` port: one PATCH for each call, without retries; each result is an Outcome.

    Marks have a gate of their own, so that a large pool that shrinks delays no other's scaling.

    `may_write` is called directly before the write, after the wait for a turn, because the right to
    write may end. A write takes at most `timeout_s` from then on.
    """

    def __init__(
        self,
        client: Client,
        gate: WriteGate,
        marks: WriteGate,
        written: ClusterWorkloads,
        may_write: Callable[[], bool],
        *,
        timeout_s: float = WRITE_TIMEOUT_S,
    ) -> None:
        self._client = client
        self._gate = gate
        self._marks = marks
        self._written = written
        self._may_write = may_write
        self._timeout_s = timeout_s

    async def scale(
        self, pool: Pool, replicas: int, resource_version: str, *, urgent: bool
    ) -> Outcome:
        """Set spec.replicas at `resource_version`. Raises nothing; cancelled, it may be done."""
        if (hindrance := await self._turn(self._gate, urgent=urgent)) is not None:
            return hindrance
        try:
            answer = await self._patch(pool, replicas, resource_version)
        except KubeError as failure:
            return outcome(failure)
        return self._note(pool, replicas, answer)

    async def mark(self, pool: Pool, pod: str, cost: int | None) -> Outcome:
        """Give the pod this deletion cost, or take it away. Raises nothing."""
        if (hindrance := await self._turn(self._marks, urgent=False)) is not None:
            return hindrance
        value = None if cost is None else str(cost)
        try:
            await self._client.call(
                "PATCH",
                f"/api/v1/namespaces/{quote(pool.namespace, safe='')}/pods/{quote(pod, safe='')}",
                kind="pods",
                query={"fieldManager": FIELD_MANAGER},
                body={"metadata": {"annotations": {wire.DELETION_COST: value}}},
                content_type=MERGE_PATCH,
                timeout_s=self._timeout_s,
            )
        except KubeError as failure:
            failed = outcome(failure)
            if failed.kind is OutcomeKind.FORBIDDEN:
                self._written.refused_mark(pool, failed.detail)
            return failed
        return Outcome(kind=OutcomeKind.APPLIED, status=200)

    async def _turn(self, gate: WriteGate, *, urgent: bool) -> Outcome | None:
        """Wait for a turn; the outcome if nothing may be written now."""
        try:
            async with asyncio.timeout(TURN_TIMEOUT_S):
                await gate.enter(urgent=urgent)
        except TimeoutError:
            detail = f"our own limit on writes gave no turn within {TURN_TIMEOUT_S:.0f} s"
            return Outcome(kind=OutcomeKind.THROTTLED, detail=detail)
        if not self._may_write():
            return Outcome(kind=OutcomeKind.READ_ONLY, detail="the right to write had ended")
        return None

    async def _patch(self, pool: Pool, replicas: int, resource_version: str) -> bytes:
        namespace, name = quote(pool.namespace, safe=""), quote(pool.workload.name, safe="")
        resource = pool.workload.kind.plural
        return await self._client.call(
            "PATCH",
            f"/apis/apps/v1/namespaces/{namespace}/{resource}/{name}/scale",
            kind=f"{resource}/scale",
            query={"fieldManager": FIELD_MANAGER},
            body={
                "metadata": {"resourceVersion": resource_version},
                "spec": {"replicas": replicas},
            },
            content_type=MERGE_PATCH,
            timeout_s=self._timeout_s,
        )

    def _note(self, pool: Pool, replicas: int, answer: bytes) -> Outcome:
        try:
            scale = wire.WireScale.of(answer)
        except UndecodableError:
            detail = (
                "the answer was 2xx but no Scale; does a proxy answer in the API server's place?"
            )
            return Outcome(kind=OutcomeKind.UNKNOWN, detail=detail)
        self._written.applied(
            pool,
            clean_name(scale.metadata.uid),
            scale.spec.replicas,
            clean_name(scale.metadata.resource_version),
        )
        changed = scale.spec.replicas != replicas
        detail = f"an admission webhook changed it to {scale.spec.replicas}" if changed else ""
        return Outcome(kind=OutcomeKind.APPLIED, status=200, detail=detail)


def outcome(failure: KubeError) -> Outcome:
    """The outcome of a failed write: UNKNOWN only if it was sent and has no readable answer."""
    match failure:
        case ApiError(status=status) if status >= 500:
            kind = OutcomeKind.FAILED
        case ApiError(status=status):
            kind = _KINDS.get(status, OutcomeKind.INVALID)
        case HeldBackError():
            kind = OutcomeKind.THROTTLED
        case ConfigError():
            kind = OutcomeKind.UNAUTHORIZED
        case UnreachableError():
            kind = OutcomeKind.UNREACHABLE
        case _:
            kind = OutcomeKind.UNKNOWN
    return Outcome(
        kind=kind,
        status=failure.status if isinstance(failure, ApiError) else 0,
        detail=failure.detail,
        retry_after_s=failure.retry_after_s,
    )


EVENT_EVERY_S: Final = 60.0
"""The least time between two events about the same pool with the same reason."""
SERIES_S: Final = 1800.0
"""After so long without it, a repeated note is a new event, not one more of a series."""
REFUSED_FOR_S: Final = 300.0
_BETWEEN_S: Final = 0.2
"""One writer that pauses needs no bucket, and the pause passes by the clock of the simulations."""
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
    """A key's last event: where it is, its note, how often, and when (monotonic seconds)."""

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
            if key is not None:
                await self._write(key, self._waiting.pop(key))
                await self._clock.sleep(_BETWEEN_S)
            elif self._waiting:
                await self._clock.sleep(1.0)
            else:
                self._wake.clear()
                await self._wake.wait()

    def _next_due(self) -> _Key | None:
        now = self._clock.monotonic()
        if now < self._refused_until:
            return None
        for key in self._waiting:
            written = self._written.get(key)
            if written is None or now - written.at >= EVENT_EVERY_S:
                return key
        return None

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
            log.debug("an event was not written: %s", error)
            if isinstance(error, ApiError) and error.status in {401, 403}:
                self._refusal, self._refused_until = error.detail, now + REFUSED_FOR_S
                self._waiting.clear()
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
            "eventTime": wire.micro_time(at),
            "reportingController": REPORTER,
            "reportingInstance": self._process,
            "action": "Scale",
            "reason": news.reason,
            "type": "Warning" if news.is_warning else "Normal",
            "note": news.note.encode()[:_MOST_NOTE_BYTES].decode("utf-8", "ignore"),
            "regarding": {
                "apiVersion": "apps/v1",
                "kind": pool.workload.kind,
                "namespace": pool.namespace,
                "name": pool.workload.name,
                "uid": "" if workload is None else workload.uid,
            },
        }
        if waiting.times > 1:
            body["series"] = {"count": waiting.times, "lastObservedTime": wire.micro_time(at)}
        await self._client.call("POST", path, kind="events", body=body, timeout_s=_TIMEOUT_S)
        return f"{path}/{quote(name, safe='')}"

    async def _repeat(self, path: str, times: int) -> None:
        series = {"count": times, "lastObservedTime": wire.micro_time(self._clock.now())}
        await self._client.call(
            "PATCH",
            path,
            kind="events",
            body={"series": series},
            content_type=MERGE_PATCH,
            timeout_s=_TIMEOUT_S,
        )


log = logging.getLogger(__name__)

LEASE_WATCH_S: Final = 60
LEASE_WATCH_BACKOFF_S: Final = (1.0, 30.0)
VERBS: Final = "get, create, patch, watch"


class _LeaseSpec(wire.WireObject):
    """Any JSON in each field: a damaged Lease is read as far as it goes."""

    holder_identity: Any = None
    lease_duration_seconds: Any = None
    lease_transitions: Any = None
    acquire_time: Any = None
    renew_time: Any = None


class _Lease(wire.WireIdentified):
    spec: _LeaseSpec | None = None


class KubernetesLease:
    """The `Lease` port on one object of the cluster.

    Give it a client of its own, so that neither our limit on writes nor what the API server holds
    back delays a renewal. It changes its fields only, by a merge patch with the version that was
    read: what other programs write into the object stays.
    """

    def __init__(self, client: Client, clock: Clock, *, namespace: str, name: str) -> None:
        self._client = client
        self._clock = clock
        self._namespace = namespace
        self._name = name
        self._all = f"/apis/coordination.k8s.io/v1/namespaces/{quote(namespace, safe='')}/leases"
        self._path = f"{self._all}/{quote(name, safe='')}"

    @property
    def name(self) -> str:
        """What it is and where."""
        return f"Lease {self._namespace}/{self._name}"

    async def read(self) -> SeenLease | None:
        """The Lease now; None if there is none."""
        with self._lease_errors():
            try:
                return _seen(await self._client.call("GET", self._path, kind="leases"))
            except ApiError as error:
                if error.status != 404:
                    raise
                return None  # if the namespace or the API is missing, creating it says so

    async def write(self, record: LeaseRecord, *, replaces: SeenLease | None) -> SeenLease:
        """Create it, or change the one that was read."""
        method, path, kind = "POST", self._all, "application/json"
        metadata = {"name": self._name}
        if replaces is not None:
            method, path, kind = "PATCH", self._path, MERGE_PATCH
            metadata["resourceVersion"] = replaces.version
        with self._lease_errors(replaces=replaces):
            answer = await self._client.call(
                method,
                path,
                kind="leases",
                query={"fieldManager": FIELD_MANAGER},
                body={
                    "apiVersion": "coordination.k8s.io/v1",
                    "kind": "Lease",
                    "metadata": metadata,
                    "spec": {
                        "holderIdentity": record.holder,
                        "leaseDurationSeconds": math.ceil(record.duration_s),
                        "acquireTime": wire.micro_time(record.acquired_at),
                        "renewTime": wire.micro_time(record.renewed_at),
                        "leaseTransitions": record.transitions,
                    },
                },
                content_type=kind,
            )
            return _seen(answer)

    async def watch(self, on_change: Callable[[], None]) -> None:
        """Call back at each event of a watch. Without the right to watch, nothing is noticed."""
        backoff = Backoff(*LEASE_WATCH_BACKOFF_S)
        query = {
            "watch": "true",
            "fieldSelector": f"metadata.name={self._name}",
            "timeoutSeconds": str(LEASE_WATCH_S),
        }
        while True:
            try:
                async with self._client.lines(
                    self._all, kind="leases", query=query, silence_s=LEASE_WATCH_S + 10
                ) as lines:
                    async for _ in lines:
                        backoff.reset()
                        on_change()
            except KubeError as error:
                log.debug("%s is not watched: %s", self.name, error)
            await self._clock.sleep(backoff.next_s())

    @contextmanager
    def _lease_errors(self, *, replaces: SeenLease | None = None) -> Iterator[None]:
        try:
            yield
        except KubeError as error:
            if isinstance(error, ApiError) and error.status == 404 and replaces is not None:
                raise StoreConflictError(f"{self.name} was deleted") from error
            raise self._lease_error(error) from error
        except UndecodableError as error:
            words = "the answer is no Lease; does a proxy answer in the API server's place?"
            raise StoreAwayError(f"{self.name}: {words}") from error

    def _lease_error(self, error: KubeError) -> StoreError:
        status = error.status if isinstance(error, ApiError) else 0
        if status == 409:
            return StoreConflictError(f"{self.name} was changed by another process")
        words = f"{self.name}: {error.detail}"
        if status in {401, 403} or isinstance(error, ConfigError):
            return StoreRefusedError(
                f"{words}; it needs a Role in {self._namespace} with apiGroups "
                f"[coordination.k8s.io], resources [leases], verbs [{VERBS}]"
            )
        if status == 404:
            return StoreRefusedError(
                f"{words}; name a namespace that exists in controller.lease.namespace, or write "
                "store: nats there where the cluster has no Leases"
            )
        return StoreAwayError(words)


def _seen(answer: bytes) -> SeenLease:
    found = _Lease.of(answer)
    spec = found.spec or _LeaseSpec()
    return SeenLease(
        holder=clean_name(spec.holder_identity) if isinstance(spec.holder_identity, str) else "",
        duration_s=float(_whole(spec.lease_duration_seconds)),
        transitions=_whole(spec.lease_transitions),
        stamp=f"{spec.acquire_time} {spec.renew_time}",
        version=found.metadata.resource_version,
    )


def _whole(value: object) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) else 0
