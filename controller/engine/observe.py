"""Step 1 of a tick: collect readings with a deadline; a failure is a reading too. Metrics are
polled beside the loop, a task a source.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, suppress
from types import MappingProxyType
from typing import Any, Final, NamedTuple

import msgspec
from msgspec.structs import replace

from controller.engine.show.findings import Found, listed, words_of
from controller.model.fleet import Fleet, Pool, Tenant
from controller.model.ids import PoolKey, WorkloadName
from controller.model.observation import (
    MetricValue,
    Observation,
    Pods,
    PoolObservation,
    QueueDepth,
    StandBy,
    TenantObservation,
    TokenUsage,
)
from controller.model.readings import Absent, Fresh, Reading, Stale, T, Why, last_known
from controller.model.snapshot import Severity
from controller.ports import (
    Clock,
    MetricAnswer,
    MetricKey,
    MetricSource,
    QueueSource,
    Supply,
    UsageSource,
    WakeSource,
    WorkerSource,
    Workloads,
    beside,
)

READ_S: Final = 3.0
"""Time limit of one round; KEDA's limit for a scaler (KEDA_HTTP_DEFAULT_TIMEOUT, 3000 ms)."""
GRACE_S: Final = 0.5
"""Extra time before a round is cancelled. A source that keeps its own time limit can say for each
metric what failed; a cancelled one cannot."""
_NO_READINGS: Final[dict[str, Reading[MetricValue]]] = {}


class MetricPolls:
    """The last reading of every metric that a source can read.

    A metric that cannot be read is Stale with the last good value, or Absent if there never was
    one. Each source is polled every `interval_s`, or every `every_s` of its own if that is longer;
    its rounds never overlap, and each may take `read_s`.
    """

    def __init__(
        self,
        sources: Collection[MetricSource],
        clock: Clock,
        *,
        interval_s: float,
        read_s: float = READ_S,
    ) -> None:
        self._sources = tuple(source for source in sources if source.reads)
        self._clock = clock
        self._interval_s = interval_s
        self._read_s = read_s
        # replaced, never changed in place: an observation may still hold the old one
        self._readings: dict[PoolKey, dict[str, Reading[MetricValue]]] = {}
        self._read_at: dict[MetricKey, float] = {}
        self._unread = set(range(len(self._sources)))
        self._failed = {source.name: 0 for source in self._sources}
        self._first = asyncio.Event()
        if not self._sources:
            self._first.set()

    def readings(self, pool: PoolKey) -> dict[str, Reading[MetricValue]]:
        """The last readings of the pool's metrics, by name; the same object until one changes."""
        return self._readings.get(pool, _NO_READINGS)

    def reading(self) -> AbstractAsyncContextManager[None]:
        """Poll the sources while the block runs."""
        return beside(*(self._poll(*each) for each in enumerate(self._sources)))

    async def first_read(self, timeout_s: float) -> None:
        """Return when every source has ended its first round, or after `timeout_s`."""
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                await self._first.wait()

    def shift(self, seconds: float) -> None:
        """Add a step of the clock to the times of all readings."""
        self._readings = {
            pool: {
                name: msgspec.structs.replace(reading, at=reading.at + seconds)
                for name, reading in readings.items()
            }
            for pool, readings in self._readings.items()
        }

    def findings(self) -> Iterator[Found]:
        """One finding for each source and kind of failure, with all its pools together."""
        for source in self._sources:
            failures: defaultdict[Why, list[tuple[MetricKey, str]]] = defaultdict(list)
            for key in source.reads:
                reading = self.readings(key.pool).get(key.name)
                if reading is not None and not isinstance(reading, Fresh):
                    failures[reading.why].append((key, reading.detail))
            for why, concerned in failures.items():
                yield _failure_of(source.name, why, concerned)

    def failures(self) -> Collection[tuple[str, int]]:
        """Each source with how many readings of its metrics failed since the process began."""
        return tuple(self._failed.items())

    async def _poll(self, index: int, source: MetricSource) -> None:
        interval_s = max(self._interval_s, source.every_s)
        while True:
            began = self._clock.monotonic()
            self._take(source, await self._round(source))
            self._unread.discard(index)
            if not self._unread:
                self._first.set()
            await self._clock.sleep(max(0.0, began + interval_s - self._clock.monotonic()))

    async def _round(self, source: MetricSource) -> Mapping[MetricKey, MetricAnswer]:
        try:
            async with asyncio.timeout(self._read_s + GRACE_S):
                return await source.read(self._read_s)
        except TimeoutError:
            silent = Absent(
                why=Why.TIMED_OUT,
                at=self._clock.now(),
                detail=f"no answer within {self._read_s:g} s",
            )
            return dict.fromkeys(source.reads, silent)

    def _take(self, source: MetricSource, answers: Mapping[MetricKey, MetricAnswer]) -> None:
        missing = Absent(
            why=Why.INCOMPLETE, at=self._clock.now(), detail="the source gave no answer for it"
        )
        for key in source.reads:
            readings = self.readings(key.pool)
            known = readings.get(key.name)
            answer = answers.get(key, missing)
            reading: Reading[MetricValue] = answer
            if isinstance(answer, Fresh):
                self._read_at[key] = answer.at
            else:
                self._failed[source.name] += 1
                reading = without_answer(known, answer, self._read_at.get(key))
            reading = same_reading(known, reading)
            if reading is not known:
                self._readings[key.pool] = {**readings, key.name: reading}


def _failure_of(source: str, why: Why, concerned: list[tuple[MetricKey, str]]) -> Found:
    names, detail = listed([f"{key.name} of {key.pool}" for key, _ in concerned]), concerned[0][1]
    text = f"{names} cannot be read ({words_of(why)}) and prevent scale-down"
    return Found(Severity.WARNING, source, why.value, f"{text}: {detail}" if detail else text)


_NOTHING: Final[Mapping[PoolKey, int]] = MappingProxyType({})
_NO_QUEUE: Final = QueueDepth(pending=0, in_flight=0)
_NO_NODES: Final[Mapping[str, str]] = MappingProxyType({})
_NEVER_READ: Final = Absent(why=Why.NEVER_READ)


class Sources(NamedTuple):
    """All that an engine reads. Workers are the only ones that say what they do by themselves."""

    queues: QueueSource
    wakes: WakeSource
    workloads: Workloads
    supply: Supply
    usage: UsageSource
    metrics: MetricPolls
    workers: WorkerSource


class Observer:
    """Builds the observation of the fleet from all its sources.

    Queue depths are read by `ask`. Workloads, pods, quotas and nodes come from watches, wake-ups
    and token usage from NATS, metrics from the latest polls.

    A reading, and the observation of a pool or a tenant, stays the same object while its content
    does not change; its time says since when the content is so. `deadline_s` limits `ask`: a queue
    without an answer by then has the reading Stale or Absent.
    """

    def __init__(self, fleet: Fleet, sources: Sources, clock: Clock, *, deadline_s: float) -> None:
        self._fleet = fleet
        self._workload_names: defaultdict[str, set[WorkloadName]] = defaultdict(set)
        for pool in fleet.pools:
            self._workload_names[pool.tenant].add(pool.workload)
        self._sources = sources
        self._clock = clock
        self._deadline_s = deadline_s
        self._depths: dict[PoolKey, Reading[QueueDepth]] = {}
        self._each: dict[PoolKey, tuple[Reading[QueueDepth], ...]] = {}
        self._asked_at: dict[PoolKey, float] = {}
        self._woken: dict[PoolKey, float] = {}
        self._pools: dict[PoolKey, tuple[tuple[Any, ...], PoolObservation]] = {}
        self._tenants: dict[str, TenantObservation] = {}
        self._marked: dict[PoolKey, tuple[Reading[Pods], Mapping[str, str], Reading[Pods]]] = {}
        self._standbys = {served: pool.key for pool in fleet.pools for served in pool.serves}
        self.failed = 0

    def woken(self, pool: PoolKey) -> None:
        """Note that a first message was published for this pool now."""
        self._woken[pool] = self._clock.now()

    async def ask(self, pools: Sequence[Pool]) -> None:
        """Read the queues of these pools and keep the readings; returns within `deadline_s`."""
        answers: Mapping[PoolKey, Reading[QueueDepth]] = {}
        why, detail = Why.INCOMPLETE, "the source gave no reading for this pool"
        try:
            async with asyncio.timeout(self._deadline_s):
                answers = await self._sources.queues.read([each for each in pools if each.queues])
        except TimeoutError:
            why, detail = Why.TIMED_OUT, f"no answer within {self._deadline_s:g} s"
        missing = Absent(why=why, at=self._clock.now(), detail=detail)
        for pool in pools:
            if not pool.queues:
                self._depths[pool.key] = Fresh(value=_NO_QUEUE, at=missing.at)
                continue
            known, asked_at = self._depths.get(pool.key), self._asked_at.get(pool.key)
            reading = answers.get(pool.key) or without_answer(known, missing, asked_at)
            if isinstance(reading, Fresh):
                self._asked_at[pool.key] = reading.at
            else:
                self.failed += 1
                reading = self._on_this_clock(pool.key, reading)
            self._depths[pool.key] = same_reading(known, reading)
            if pool.lower_queues:
                is_answered = pool.key in answers
                self._each[pool.key] = self._parts(pool, None if is_answered else missing)

    def see(
        self,
        pools: Collection[Pool],
        *,
        under_way: Mapping[PoolKey, int] = _NOTHING,
        clock_step_s: float = 0.0,
    ) -> Observation:
        """The observation that a tick is planned from; wake-ups that it shows are settled."""
        for key in [each.key for each in pools if each.key in self._woken]:
            queue = self._depths.get(key)
            if key in under_way or queue is None or isinstance(queue, Absent):
                continue
            if self._asked_at.get(key, queue.at) > self._woken[key]:
                del self._woken[key]  # a later LIST has counted its message
        return self.peek(pools, under_way=under_way, clock_step_s=clock_step_s)

    def peek(
        self,
        pools: Collection[Pool],
        *,
        under_way: Mapping[PoolKey, int] = _NOTHING,
        clock_step_s: float = 0.0,
    ) -> Observation:
        """The observation of these pools, of all tenants and of the cluster's capacity.

        Never awaits, so all its parts are of the same instant. `under_way` are the pools whose
        write has not ended, with the most replicas each may have after it. `clock_step_s` is the
        step of the clock since the last observation, in seconds.
        """
        usage = self._sources.usage
        used = usage.read(self._in_flight)
        capacity = self._sources.supply.room(self._fleet.capacity.node_classes)
        room = last_known(capacity)
        ending = _NO_NODES if room is None else room.ending
        return Observation(
            pools={pool.key: self._see(pool, ending) for pool in pools},
            clock_step_s=clock_step_s,
            tenants={tenant.name: self._tenant(tenant, used) for tenant in self._fleet.tenants},
            capacity=capacity,
            refused_events=usage.refused(),
            tiers=dict(usage.tiers()),
            by_model=dict(usage.by_model()),
            under_way=dict(under_way),
        )

    def knows_work(self, pool: Pool) -> bool:
        """Whether the last reading is fresh and its total exceeds the pool's activation."""
        depth = self._depths.get(pool.key)
        return isinstance(depth, Fresh) and depth.value.total > pool.activation

    def is_woken(self, pool: PoolKey) -> bool:
        """Whether a wake-up came after the last LIST, so its message is not in a reading yet."""
        return pool in self._woken

    def shift(self, seconds: float) -> None:
        """Add a step of the clock to all remembered times."""
        self._woken = {pool: at + seconds for pool, at in self._woken.items()}
        self._asked_at = {pool: at + seconds for pool, at in self._asked_at.items()}
        self._depths = {
            pool: replace(reading, at=reading.at + seconds)
            for pool, reading in self._depths.items()
        }
        self._each = {
            pool: tuple(replace(reading, at=reading.at + seconds) for reading in parts)
            for pool, parts in self._each.items()
        }
        self._sources.workloads.shift(seconds)
        self._sources.metrics.shift(seconds)

    def _see(self, pool: Pool, ending: Mapping[str, str]) -> PoolObservation:
        key, sources, workloads = pool.key, self._sources, self._sources.workloads
        wake, wake_detail = sources.wakes.state(key)
        parts: dict[str, Any] = {
            "queue": self._depths.get(key) or _NEVER_READ,
            "queues": self._each.get(key, ()),
            "workload": workloads.workload(pool),
            "pods": self._with_ends(key, workloads.pods(pool), ending),
            "woken_at": self._woken.get(key),
            "wake": wake,
            "wake_detail": wake_detail,
            "warnings": workloads.warnings(pool),
            "metrics": sources.metrics.readings(key),
            "measured_pods": workloads.measured_pods(pool),
            "task_usage": sources.usage.measured(key),
            "workers": sources.workers.read(key),
            "unmarkable": workloads.unmarkable(pool),
            "unfreezable": workloads.unfreezable(pool),
            "stand_by": self._stand_by(pool),
        }
        values, known = tuple(parts.values()), self._pools.get(key)
        if known is None or known[0] != values:
            known = self._pools[key] = values, PoolObservation(**parts)
        return known[1]

    def _stand_by(self, pool: Pool) -> StandBy | None:
        """Those that stand by for it, by what they said last; none is free if that is unknown."""
        if (standby := self._standbys.get(pool.key)) is None:
            return None
        reading = self._sources.workers.read(standby)
        states = reading.value.states if isinstance(reading, Fresh) else ()
        return StandBy(
            busy=sum(state.works_for == pool.key for state in states),
            free=sum(state.pulling and not state.busy for state in states),
        )

    def _with_ends(
        self, pool: PoolKey, reading: Reading[Pods], ending: Mapping[str, str]
    ) -> Reading[Pods]:
        """The pool's pods with `node_ends`; `ending` has the taint of each node that ends."""
        if not ending or isinstance(reading, Absent):
            return reading
        known = self._marked.get(pool)
        if known is not None and known[0] is reading and known[1] == ending:
            return known[2]
        found, pods = reading, reading.value
        if any(ending.get(pod.node) for pod in pods.items):
            items = tuple(
                replace(pod, node_ends=ending[pod.node]) if ending.get(pod.node) else pod
                for pod in pods.items
            )
            found = replace(reading, value=replace(pods, items=items))
        self._marked[pool] = reading, ending, found
        return found

    def _tenant(
        self, tenant: Tenant, usage: Mapping[str, Reading[TokenUsage]]
    ) -> TenantObservation:
        ours = frozenset(self._workload_names[tenant.name])
        quota = self._sources.supply.quota(tenant.namespace, ours)
        tokens = usage.get(tenant.name) or _NEVER_READ
        known = self._tenants.get(tenant.name)
        if known is not None and known.quota == quota and known.usage == tokens:
            return known
        found = self._tenants[tenant.name] = TenantObservation(quota=quota, usage=tokens)
        return found

    def _in_flight(self, pool: PoolKey) -> int:
        """The pool's running tasks by its last known reading; 0 if there is none."""
        known = self._depths.get(pool)
        depth = None if known is None else last_known(known)
        return 0 if depth is None else depth.in_flight

    def _parts(self, pool: Pool, missing: Absent | None) -> tuple[Reading[QueueDepth], ...]:
        """The readings of a pool's several queues; the same object while none of them differs."""
        key = pool.key
        known = self._each.get(key) or (None,) * len(pool.queues)
        if missing is None:
            read = [self._on_this_clock(key, each) for each in self._sources.queues.each(key)]
        else:
            read = [without_answer(each, missing, self._asked_at.get(key)) for each in known]
        found = tuple(same_reading(*each) for each in zip(known, read, strict=True))
        is_same = all(one is other for one, other in zip(known, found, strict=True))
        return self._each[pool.key] if is_same else found

    def _on_this_clock(self, pool: PoolKey, reading: Reading[QueueDepth]) -> Reading[QueueDepth]:
        """The reading with our last good time: its source does not follow the clock's steps."""
        if not isinstance(reading, Stale):
            return reading
        return replace(reading, at=self._asked_at.get(pool, reading.at))


def without_answer(
    known: Reading[T] | None, missing: Absent, read_at: float | None
) -> Stale[T] | Absent:
    """Without an answer: the last value, good at `read_at`, if there is one."""
    if known is None or isinstance(known, Absent):
        return missing
    at = known.at if read_at is None else read_at
    return Stale(value=known.value, at=at, why=missing.why, detail=missing.detail)


def same_reading(known: Reading[T] | None, read: Reading[T]) -> Reading[T]:
    """The known reading if the new one has the same content, else the new one."""
    match known, read:
        case Fresh(), Fresh() if known.value is read.value or known.value == read.value:
            return known
        case Stale(), Stale() if replace(known, at=read.at) == read:
            return known
        case Absent(), Absent() if known.why is read.why:
            # the same failure goes on, since it began
            return known if known.detail == read.detail else replace(read, at=known.at)
        case _:
            return read
