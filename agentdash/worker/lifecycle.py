"""The life of a worker: it prepares, registers, pulls, works, and ends in good order."""

from __future__ import annotations

import asyncio
import logging
import math
import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from itertools import islice
from pathlib import Path
from typing import Final

import msgspec
from nats import errors
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription
from nats.js.errors import NotFoundError

from agentdash.worker.attempts import DeadLetters, ExhaustedWatch
from agentdash.worker.delivery import CANCELLED, Delivery, Desk, TaskRoom
from agentdash.worker.models import PoolModels
from agentdash.worker.plain import Agent
from agentdash.worker.pull import OWN, STANDS_BY, Inlet, Puller
from agentdash.worker.session import HandBack, OnEnd, Prepare, Session, StoreUnavailableError
from agentdash.worker.settings import RENEWED, NatsLogin, Served, WorkerSettings
from agentdash.worker.state import OrdersWatch, Presence, UsageReports, WorkerMetrics, serving
from agentdash.worker.stores import (
    Checkpoints,
    NatsLink,
    Results,
    cancel_subject,
    end,
    ensure_worker_streams,
    set_within,
    until_done,
)
from agentdash.worker.watch import LoopWatch
from controller.model.ids import PoolKey, QueueName, pool_key
from controller.model.servers import Backoff
from controller.model.tasks import MOST_RUNNING, RUNNING_PREFIX, TaskRow, TaskState
from controller.model.text import clean
from controller.model.worker_messages import MOST_MARKS, ModelDemand, PoolOrders, WorkerState

log = logging.getLogger(__name__)

HEARTBEATS_PER_ACK_WAIT: Final = 3
HANGS_AFTER_S: Final = 30.0
SPOT_LOOK_S: Final = 0.5
BEAT_S: Final = 1.0
CHECK_S: Final = 10.0
LAST_SAVE_S: Final = 1.0
CUT_S: Final = 3.0
"""How long agents that are cut may take to clean up when the worker ends."""
_ACK_WAIT_S: Final = 30.0
"""JetStream's own default."""
_LEAST_HEARTBEAT_S: Final = 0.05
_RETRY_FIRST_S: Final = 0.1
_RETRY_MOST_S: Final = 10.0


class ServedPool:
    """One pool that a worker serves: what its tasks need, its queues, and its orders where the
    worker is not one of its own.
    """

    def __init__(
        self, desk: Desk, take: Callable[[ServedPool, Msg], None], changed: asyncio.Event
    ) -> None:
        """`desk.settings` names the pool; `take` gets its messages."""
        self.desk, settings = desk, desk.settings
        self.place = Served(settings.tenant, settings.pool, settings.queues)
        self.exhausted = ExhaustedWatch(desk.link, desk.results, settings)
        self.is_own = not settings.stands_by_for
        priority = OWN if self.is_own else STANDS_BY
        self.inlets = [
            Inlet(desk.link.client, each, lambda one: take(self, one), changed.set, priority)
            for each in settings.queues
        ]
        self.orders = OrdersWatch(desk.link, self.place, self._obey, _nothing)
        self.heartbeat_s = _ACK_WAIT_S / HEARTBEATS_PER_ACK_WAIT
        self.may_pull = True
        self.waits_since = math.inf
        """When the oldest of its messages was published that the worker had no room for."""
        self.served_at = 0.0
        """The monotonic time at which a message of it was taken last."""
        self._changed: Callable[[], Awaitable[None]] = _nothing
        self._most_deliveries: dict[QueueName, int] = {}
        self._cancels: Subscription | None = None

    async def begin(
        self, on_cancel: Callable[[Msg], Awaitable[None]], changed: Callable[[], Awaitable[None]]
    ) -> None:
        """Read its consumers and its orders. `changed` is awaited when it may be pulled from, or no
        longer. Raises nats.errors.Error and StoreUnavailableError.
        """
        desk, self._changed, ack_wait_s = self.desk, changed, []
        jetstream = desk.link.jetstream
        if self._cancels is None:
            subject = cancel_subject(self.place.tenant, self.place.pool)
            self._cancels = await desk.link.client.subscribe(subject, cb=on_cancel)
        for queue in self.place.queues:
            try:
                info = await jetstream.consumer_info(queue.stream, queue.consumer)
            except NotFoundError:
                missing = f"there is no consumer {queue.consumer} of a stream {queue.stream}"
                raise StoreUnavailableError(f"{missing}: create it") from None
            ack_wait_s.append(info.config.ack_wait or _ACK_WAIT_S)
            self._most_deliveries[queue] = info.config.max_deliver or 0
        await self.exhausted.begin(self._most_deliveries)
        self.heartbeat_s = max(_LEAST_HEARTBEAT_S, min(ack_wait_s) / HEARTBEATS_PER_ACK_WAIT)
        await desk.models.begin()
        if not self.is_own:
            await self.orders.listen()
            await self.orders.read()

    async def run(self) -> None:
        """Keep it going until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self.exhausted.run())
            group.create_task(self.desk.models.run())
            if not self.is_own:
                group.create_task(self.orders.run())

    async def end(self) -> None:
        """Listen to nothing any more: others may go on to use the connection."""
        await self.desk.models.end()
        await self.orders.end()
        await end(self._cancels)

    def delivery(self, message: Msg) -> Delivery:
        """A message of one of its queues."""
        queue = QueueName(message.metadata.stream, message.metadata.consumer)
        return Delivery(self.desk, message, most_deliveries=self._most_deliveries.get(queue, 0))

    async def _obey(self, orders: PoolOrders) -> None:
        """What the pool's own workers are told of single ones does not concern another."""
        if orders.pull != self.may_pull:
            self.may_pull = orders.pull
            await self._changed()


async def _nothing() -> None:
    pass


class WorkerLife:
    """One worker, from its start to its end."""

    def __init__(
        self,
        agent: Agent,
        settings: WorkerSettings,
        link: NatsLink,
        *,
        login: NatsLogin | None = None,
        prepare: Prepare | None = None,
        on_end: OnEnd | None = None,
        renew: Callable[[PoolKey], None] | None = None,
    ) -> None:
        """`link` is open, or is being opened. With a `login` the worker has the event loop for
        itself, and keeps its tasks also while an agent blocks that. `renew` is called with the pool
        of a task that has ended: the process is to end and to begin anew.
        """
        self._settings = settings
        self._link = link
        self._prepare_agent = prepare
        self._metrics = WorkerMetrics(settings.tenant, settings.pool)
        self._room = TaskRoom(self._slots_changed)
        self._changed = asyncio.Event()
        self._pools = [self._served(agent, each, on_end) for each in settings.serves]
        self._deliveries: dict[asyncio.Task[None], tuple[ServedPool, Delivery]] = {}
        self._all_ended = asyncio.Event()
        pool_of = {id(inlet): pool for pool in self._pools for inlet in pool.inlets}
        self._puller = Puller(
            [inlet for pool in self._pools for inlet in pool.inlets],
            self._free,
            self._changed,
            rank=lambda inlet: _rank(pool_of[id(inlet)]),
        )
        self._presence = Presence(link, settings, obey=self._obey, state=self._state)
        self._watch = LoopWatch(
            serve=self._serving,
            login=login,
            kept=self._kept,
            beat_s=self._heartbeat_s,
            state=self._presence.state,
            after=self._was_blocked,
        )
        self._is_watched = login is not None or settings.listen is not None
        self._may_pull = True
        self._because = ""
        self._leaves = False
        self._is_registered = self._has_begun = False
        self._is_stopping = False
        self._renew = renew
        began, self._did_last = _process_began()
        self._marks: dict[str, float] = {"process": began}

    def _served(self, agent: Agent, place: Served, on_end: OnEnd | None) -> ServedPool:
        link, names = self._link, (place.tenant, place.pool)
        settings = msgspec.structs.replace(
            self._settings, tenant=place.tenant, pool=place.pool, queues=place.queues
        )
        metrics = self._metrics.of(*names)
        desk = Desk(
            link=link,
            models=PoolModels(settings, link, metrics),
            settings=settings,
            agent=agent,
            metrics=metrics,
            results=Results(link.jetstream, *names),
            checkpoints=Checkpoints(link.jetstream, *names),
            dead=DeadLetters(link.jetstream, *names),
            usage=UsageReports(link.jetstream, settings, metrics),
            room=self._room,
            on_end=on_end,
        )
        return ServedPool(desk, self._take, self._changed)

    async def run(self, stopping: asyncio.Event) -> None:
        """Work until `stopping` is set; then hand back within the grace what is under way.

        Cancelled, it hands everything back at once. Raises WorkerSettingsError if the address for
        health cannot be listened on.
        """
        async with AsyncExitStack() as stack:
            if self._is_watched:
                await stack.enter_async_context(self._watch)
            for pool in self._pools:
                stack.push_async_callback(pool.end)
            orders = [pool.orders.look for pool in self._pools]
            for again in (self._puller.reconnected, self._presence.look, *orders):
                stack.callback(self._link.on_reconnected(again))
            async with asyncio.TaskGroup() as group:
                self._group = group
                life = group.create_task(self._live())
                helpers = [
                    group.create_task(self._watch_spot_notice(stopping)),
                    group.create_task(self._beat()),
                ]
                try:
                    await stopping.wait()
                finally:
                    await self._stop(self._settings.grace_s if stopping.is_set() else 0.0)
                    for task in (life, *helpers):
                        task.cancel()

    @asynccontextmanager
    async def _serving(self) -> AsyncIterator[None]:
        """Raises WorkerSettingsError if the address cannot be listened on."""
        if self._settings.listen is None:
            yield
            return
        probes = {"/healthz": self.healthz, "/readyz": self.readyz}
        registry = self._metrics.registry
        async with serving(self._settings.listen, registry, probes, self.startup) as url:
            log.info("health and metrics", extra={"url": url})
            yield

    def mark(self, step: str) -> None:
        """Note that a step of the start is reached now, such as `tools` or `memory`."""
        if step not in self._marks:
            self._marks[step] = time.time()
            self._presence.changed.set()

    def healthz(self) -> tuple[str, str]:
        """Not alive: the process hangs, or has lost all slots, and only a restart helps."""
        lost, slots = len(self._room.lost), self._settings.slots
        words = f"{lost} of {slots} slots lost to agents that do not end" if lost else ""
        if silent_s := self._watch.blocked_s:
            words = f"the event loop is blocked for {silent_s:.0f} s: {self._watch.where}"
            # a try that has time left may go on: a restart would cost what it has done
            return words if silent_s > HANGS_AFTER_S and not self._kept() else "", words
        return words if lost >= slots else "", words

    def readyz(self) -> tuple[str, str]:
        """Not ready: it starts, it stops, or NATS is away. Orders not to pull are no reason: a
        ReplicaSet deletes the pods first that are not ready, and so a busy worker.
        """
        if self._is_stopping:
            return "the worker stops", ""
        nats = f"nats: {self._link.problem}" if self._link.problem else ""
        if not self._is_registered:
            return nats or "not registered yet", ""
        told = f"told not to pull: {self._because or 'by its pool'}"
        return nats, "" if self._may_pull else told

    def startup(self) -> dict[str, object]:
        """What the start waits for, and the Unix seconds at which each of its steps was reached."""
        nats = f"nats: {self._link.problem}" if self._link.problem else "not registered yet"
        waits_for = "" if self._is_registered else nats
        return {"started": not waits_for, "waits_for": waits_for, **self._marks}

    async def _live(self) -> None:
        """Prepare, register, and keep all of it going until cancelled."""
        if self._prepare_agent is not None:
            await self._prepare_agent(self.mark)
        await self._link.opened.wait()
        backoff = Backoff(_RETRY_FIRST_S, _RETRY_MOST_S)
        await until_done(self._prepare, backoff, "the worker cannot start")
        await self._presence.register()
        self._is_registered = True
        self.mark("registered")
        log.info("registered", extra={"worker": self._settings.worker, "marks": dict(self._marks)})
        async with asyncio.TaskGroup() as group:
            group.create_task(self._puller.run())
            group.create_task(self._presence.run())
            group.create_task(self._keep_alive())
            group.create_task(self._check_ends())
            for pool in self._pools:
                group.create_task(pool.run())
            group.create_task(self._begin())

    async def _begin(self) -> None:
        """Begin to pull; where tasks call models, once it is known what they may use."""
        models = [pool.desk.models for pool in self._pools]
        told = asyncio.gather(*(each.gates.told() for each in models))
        if any(each.must_be_told for each in models):
            await told
        self._has_begun = True
        await self._pull()
        await told

    async def _pull(self) -> None:
        """Pull where this worker may; returns when no other pull is open."""
        goes_on = self._may_pull and self._has_begun and not self._is_stopping
        left: list[Inlet] = []
        for pool in self._pools:
            if goes_on and pool.may_pull:
                self._puller.begin(pool.inlets)
            else:
                left += [each for each in pool.inlets if each.may_bring]
        await self._puller.end(left)

    async def _prepare(self) -> None:
        """Create what is missing, and read the consumers and orders of the pools."""
        settings, jetstream = self._settings, self._link.jetstream
        for tenant in {each.tenant for each in settings.serves}:
            await ensure_worker_streams(jetstream, tenant, result_ttl_s=settings.result_ttl_s)
        await asyncio.gather(*(each.begin(self._on_cancel, self._pull) for each in self._pools))

    def _free(self) -> int:
        if self._room.is_kept:
            return 0
        return self._settings.slots - len(self._deliveries) - len(self._room.lost)

    def _take(self, pool: ServedPool, message: Msg) -> None:
        """A message has come: work on it, or hand it back if there is no room for it."""
        delivery = pool.delivery(message)
        may_pull = self._may_pull and pool.may_pull and not self._is_stopping
        if not may_pull or self._free() <= 0:
            pool.desk.metrics.handed_back.inc()
            pool.waits_since = min(pool.waits_since, message.metadata.timestamp.timestamp())
            self._group.create_task(_handed_back(delivery))
            return
        self.mark("first task")
        pool.waits_since, pool.served_at = math.inf, time.monotonic()
        handling = self._group.create_task(delivery.handle())
        self._deliveries[handling] = pool, delivery
        handling.add_done_callback(self._on_handled)
        self._presence.changed.set()

    def _on_handled(self, handling: asyncio.Task[None]) -> None:
        pool, _ = self._deliveries.pop(handling)
        self._did_last = pool.place.key
        if self._renew is not None and not pool.is_own:
            self._may_pull, self._because = False, "runs itself anew"
            self._renew(pool.place.key)
        if not self._deliveries:
            self._all_ended.set()
        self._slots_changed()

    def _slots_changed(self) -> None:
        self._metrics.slots_lost.set(len(self._room.lost))
        self._changed.set()
        self._presence.changed.set()

    async def _on_cancel(self, message: Msg) -> None:
        """A task was cancelled; or, without a name, a person asks what is under way."""
        name = message.data.decode(errors="replace")
        for pool in self._pools:
            if message.subject != cancel_subject(pool.place.tenant, pool.place.pool):
                continue
            deliveries = [each for of, each in self._deliveries.values() if of is pool]
            if not name:
                await self._tell_running(pool, deliveries)
            for delivery in deliveries:
                if delivery.id == name:
                    delivery.cut(CANCELLED)

    async def _tell_running(self, pool: ServedPool, deliveries: Sequence[Delivery]) -> None:
        subject = f"{RUNNING_PREFIX}.{pool.place.tenant}.{pool.place.pool}"
        worker = self._settings.worker
        rows = [
            _row(worker, each.session, each.began_at)
            for each in deliveries
            if each.session is not None
        ][:MOST_RUNNING]
        try:
            await self._link.client.publish(subject, msgspec.json.encode(rows))
        except errors.Error as error:
            log.debug("what is under way could not be told: %s", clean(error))

    async def _keep_alive(self) -> None:
        """Tell JetStream often enough that the work goes on: then it does not deliver it again."""
        while True:
            for _, delivery in tuple(self._deliveries.values()):
                try:
                    await delivery.message.in_progress()
                except errors.Error as error:
                    log.debug("a task could not be kept alive: %s", clean(error))
            await asyncio.sleep(self._heartbeat_s())

    def _heartbeat_s(self) -> float:
        return min(pool.heartbeat_s for pool in self._pools)

    def _kept(self) -> list[tuple[str, Msg]]:
        """The messages under way whose time is not over, by their tasks."""
        now, under_way = time.monotonic(), tuple(self._deliveries.values())
        return [(each.id, each.message) for _, each in under_way if now < each.ends_by]

    def _was_blocked(self, seconds: float) -> None:
        """What has come meanwhile is another worker's by now, if that took too long."""
        if seconds > self._heartbeat_s() * (HEARTBEATS_PER_ACK_WAIT - 1):
            self._puller.distrust()

    async def _check_ends(self) -> None:
        """Look now and then whether tasks under way have ended, because telling may get lost."""
        while True:
            await asyncio.sleep(CHECK_S)
            await asyncio.gather(*(each.check() for _, each in self._deliveries.values()))

    async def _beat(self) -> None:
        """Report another need of providers' limits."""
        reported = self._demand()
        while True:
            await asyncio.sleep(BEAT_S)
            if (now := self._demand()) != reported:
                reported = now
                self._presence.changed.set()

    async def _watch_spot_notice(self, stopping: asyncio.Event) -> None:
        """Stop when the file of the spot notice appears."""
        if self._settings.spot_notice is None:
            return
        notice = Path(self._settings.spot_notice)
        while True:
            if await asyncio.to_thread(notice.exists):
                break
            await asyncio.sleep(SPOT_LOOK_S)
        log.warning("the node ends: handing back what is under way")
        stopping.set()

    async def _obey(self, orders: PoolOrders) -> None:
        worker = self._settings.worker
        leaves, drained = worker in orders.leave, worker in orders.drain
        because = "node ends" if leaves else "drain" if drained else orders.because
        pull = orders.pull and not drained and not leaves
        if pull != self._may_pull:
            log.info("pulling" if pull else "pulling stops", extra={"because": because})
            self._presence.changed.set()
        self._may_pull, self._because = pull, because
        await self._pull()
        if leaves and not self._leaves:
            self._tell_agents()
            self._group.create_task(self._cut_after(self._settings.grace_s))
        self._leaves = leaves

    def _state(self, obeyed: int) -> WorkerState:
        waits = not (self._has_begun or self._is_stopping) and self._may_pull
        return WorkerState(
            worker=self._settings.worker,
            slots=self._settings.slots,
            busy=len(self._deliveries),
            lost=len(self._room.lost),
            pulling=waits or self._puller.is_pulling,
            obeyed=obeyed,
            demand=self._demand(),
            works_for=self._works_for(),
            did_last=self._did_last if self._settings.stands_by_for else "",
            marks=dict(islice(self._marks.items(), MOST_MARKS)),
        )

    def _works_for(self) -> str:
        """The pool whose task a worker that stands by does now."""
        places = [pool.place for pool, _ in self._deliveries.values() if not pool.is_own]
        return places[0].key if places else ""

    def _demand(self) -> tuple[ModelDemand, ...]:
        """What it uses of the models' limits, for the pool that it works for."""
        pools = [pool for pool, _ in self._deliveries.values()] or self._pools[:1]
        return pools[0].desk.models.gates.demand()

    async def _stop(self, grace_s: float) -> None:
        """Tell the agents, pull no more, and give them the grace from now on; then cut them."""
        log.info("stopping", extra={"busy": len(self._deliveries)})
        cut_at = time.monotonic() + grace_s
        self._is_stopping = True
        self._tell_agents()
        if self._is_registered:
            await self._pull()
        self._presence.changed.set()
        await self._cut_after(max(0.0, cut_at - time.monotonic()))
        for handling in tuple(self._deliveries):
            handling.cancel()
        with suppress(TimeoutError):
            async with asyncio.timeout(LAST_SAVE_S):
                for pool in self._pools:
                    await pool.desk.models.learned.save()
        await self._presence.leave()

    def _tell_agents(self) -> None:
        """Tell those at work that they must end."""
        for _, delivery in tuple(self._deliveries.values()):
            delivery.stop()
        self._room.answer(comes_in=False)

    async def _cut_after(self, grace_s: float) -> None:
        """Give the agents the grace; then cut them."""
        if not await self._ended_within(grace_s):
            for _, delivery in tuple(self._deliveries.values()):
                delivery.cut(HandBack("the worker must end"))
            await self._ended_within(CUT_S)

    async def _ended_within(self, seconds: float) -> bool:
        self._all_ended.clear()
        return not self._deliveries or await set_within(self._all_ended, seconds)


def _rank(pool: ServedPool) -> tuple[int, float, float]:
    """Higher tiers first, then who has waited longest, or was served longest ago."""
    return -pool.desk.models.tier, pool.waits_since, pool.served_at


def _row(worker: str, session: Session, began_at: float) -> TaskRow:
    """What a person may know of a try that is under way."""
    task = session.task
    return TaskRow(
        pool=pool_key(task.tenant, task.pool),
        id=task.id,
        state=TaskState.RUNNING,
        at=began_at,
        priority=task.terms.priority,
        tries=task.attempt,
        tokens=session.tokens,
        usd=session.usd,
        pod=worker,
        checkpoint=session.revision,
        stream=task.stream,
        number=task.sequence,
    )


async def _handed_back(delivery: Delivery) -> None:
    try:
        await delivery.hand_back()
    except errors.Error as error:
        log.warning("a task could not be handed back: %s; it comes again", clean(error))


def _process_began() -> tuple[float, str]:
    """When this process was started, in Unix seconds; where the system does not say, now. For one
    that has run itself anew, when it did, and the pool for which it had worked.
    """
    now, renewed = time.time(), os.environ.pop(RENEWED, "").split()
    try:
        if renewed:
            return float(renewed[0]), renewed[1]
        fields = Path("/proc/self/stat").read_text("utf-8").rpartition(")")[2].split()
        ticks = int(fields[19]) / os.sysconf("SC_CLK_TCK")
    except (OSError, ValueError, IndexError):
        return now, ""
    return now - max(0.0, time.clock_gettime(time.CLOCK_BOOTTIME) - ticks), ""
