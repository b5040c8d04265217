"""The life of a worker: it prepares, registers, pulls, works, and ends in good order."""

from __future__ import annotations

import asyncio
import logging
import os
import time
from contextlib import AsyncExitStack, suppress
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
from agentdash.worker.pull import Inlet, Puller
from agentdash.worker.session import (
    Agent,
    HandBack,
    OnEnd,
    Prepare,
    Session,
    StoreUnavailableError,
)
from agentdash.worker.settings import WorkerSettings
from agentdash.worker.state import Presence, UsageReports, WorkerMetrics, serving
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
from controller.model.ids import QueueName, pool_key
from controller.model.servers import Backoff
from controller.model.tasks import MOST_RUNNING, RUNNING_PREFIX, TaskRow, TaskState
from controller.model.text import clean
from controller.model.worker_messages import MOST_MARKS, PoolOrders, WorkerState

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


class WorkerLife:
    """One worker, from its start to its end."""

    def __init__(
        self,
        agent: Agent,
        settings: WorkerSettings,
        link: NatsLink,
        *,
        prepare: Prepare | None = None,
        on_end: OnEnd | None = None,
    ) -> None:
        """`link` is open, or is being opened."""
        place = (settings.tenant, settings.pool)
        self._settings = settings
        self._link = link
        self._prepare_agent = prepare
        self._metrics = WorkerMetrics(*place)
        self._models = PoolModels(settings, link, self._metrics)
        self._desk = Desk(
            link=link,
            models=self._models,
            settings=settings,
            agent=agent,
            metrics=self._metrics,
            results=Results(link.jetstream, *place),
            checkpoints=Checkpoints(link.jetstream, *place),
            dead=DeadLetters(link.jetstream, *place),
            usage=UsageReports(link.jetstream, settings, self._metrics),
            room=TaskRoom(self._slots_changed),
            on_end=on_end,
        )
        self._exhausted = ExhaustedWatch(link, self._desk.results, settings)
        self._changed = asyncio.Event()
        self._deliveries: dict[asyncio.Task[None], Delivery] = {}
        self._all_ended = asyncio.Event()
        self._most_deliveries: dict[QueueName, int] = {}
        self._heartbeat_s = _ACK_WAIT_S / HEARTBEATS_PER_ACK_WAIT
        self._beat_at = time.monotonic()
        self._puller = Puller(
            [Inlet(link.client, each, self._take, self._changed.set) for each in settings.queues],
            self._free,
            self._changed,
        )
        self._presence = Presence(link, settings, obey=self._obey, state=self._state)
        self._cancels: Subscription | None = None
        self._may_pull = True
        self._because = ""
        self._leaves = False
        self._is_registered = self._has_begun = False
        self._is_stopping = False
        self._marks: dict[str, float] = {"process": _process_began()}

    async def run(self, stopping: asyncio.Event) -> None:
        """Work until `stopping` is set; then hand back within the grace what is under way.

        Cancelled, it hands everything back at once. Raises WorkerSettingsError if the address for
        health cannot be listened on.
        """
        async with AsyncExitStack() as stack:
            if self._settings.listen is not None:
                probes = {"/healthz": self.healthz, "/readyz": self.readyz}
                served = serving(
                    self._settings.listen, self._metrics.registry, probes, self.startup
                )
                url = await stack.enter_async_context(served)
                log.info("health and metrics", extra={"url": url})
            stack.push_async_callback(self._models.end)  # others may go on to use the connection
            stack.push_async_callback(lambda: end(self._cancels))
            for again in (self._puller.reconnected, self._presence.look):
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

    def mark(self, step: str) -> None:
        """Note that a step of the start is reached now, such as `tools` or `memory`."""
        if step not in self._marks:
            self._marks[step] = time.time()
            self._presence.changed.set()

    def healthz(self) -> tuple[str, str]:
        """Not alive: the process hangs, or has lost all slots, and only a restart helps."""
        lost, slots = len(self._desk.room.lost), self._settings.slots
        words = f"{lost} of {slots} slots lost to agents that do not end" if lost else ""
        silent_s = time.monotonic() - self._beat_at
        if silent_s > HANGS_AFTER_S:
            return f"no heartbeat for {silent_s:.0f} s", ""
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
            group.create_task(self._exhausted.run())
            group.create_task(self._models.run())
            group.create_task(self._begin())

    async def _begin(self) -> None:
        """Begin to pull, where tasks call models once it is known what they may use; elsewhere only
        calls wait for that, from now on.
        """
        if self._models.must_be_told:
            await self._models.gates.told()
        self._has_begun = True
        if self._may_pull and not self._is_stopping:
            self._puller.begin()
        await self._models.gates.told()

    async def _prepare(self) -> None:
        """Create what is missing and read the consumers."""
        settings, link, ack_wait_s = self._settings, self._link, []
        await ensure_worker_streams(
            link.jetstream, settings.tenant, result_ttl_s=settings.result_ttl_s
        )
        if self._cancels is None:
            subject = cancel_subject(settings.tenant, settings.pool)
            self._cancels = await link.client.subscribe(subject, cb=self._on_cancel)
        for queue in settings.queues:
            try:
                info = await link.jetstream.consumer_info(queue.stream, queue.consumer)
            except NotFoundError:
                missing = f"there is no consumer {queue.consumer} of a stream {queue.stream}"
                raise StoreUnavailableError(f"{missing}: create it") from None
            ack_wait_s.append(info.config.ack_wait or _ACK_WAIT_S)
            self._most_deliveries[queue] = info.config.max_deliver or 0
        await self._exhausted.begin(self._most_deliveries)
        self._heartbeat_s = max(_LEAST_HEARTBEAT_S, min(ack_wait_s) / HEARTBEATS_PER_ACK_WAIT)
        await self._models.begin()

    def _free(self) -> int:
        if self._desk.room.is_kept:
            return 0
        return self._settings.slots - len(self._deliveries) - len(self._desk.room.lost)

    def _take(self, message: Msg) -> None:
        """A message has come: work on it, or hand it back if there is no room for it."""
        metadata = message.metadata
        queue = QueueName(metadata.stream, metadata.consumer)
        most = self._most_deliveries.get(queue, 0)
        delivery = Delivery(self._desk, message, most_deliveries=most)
        if self._is_stopping or not self._may_pull or self._free() <= 0:
            self._group.create_task(_handed_back(delivery))
            return
        self.mark("first task")
        handling = self._group.create_task(delivery.handle())
        self._deliveries[handling] = delivery
        handling.add_done_callback(self._on_handled)
        self._presence.changed.set()

    def _on_handled(self, handling: asyncio.Task[None]) -> None:
        del self._deliveries[handling]
        if not self._deliveries:
            self._all_ended.set()
        self._slots_changed()

    def _slots_changed(self) -> None:
        self._metrics.slots_lost.set(len(self._desk.room.lost))
        self._changed.set()
        self._presence.changed.set()

    async def _on_cancel(self, message: Msg) -> None:
        """A task was cancelled; or, without a name, a person asks what is under way."""
        name = message.data.decode(errors="replace")
        if not name:
            await self._tell_running()
        for delivery in self._deliveries.values():
            if delivery.id == name:
                delivery.cut(CANCELLED)

    async def _tell_running(self) -> None:
        subject = f"{RUNNING_PREFIX}.{self._settings.tenant}.{self._settings.pool}"
        worker, deliveries = self._settings.worker, self._deliveries.values()
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
            for delivery in tuple(self._deliveries.values()):
                try:
                    await delivery.message.in_progress()
                except errors.Error as error:
                    log.debug("a task could not be kept alive: %s", clean(error))
            await asyncio.sleep(self._heartbeat_s)

    async def _check_ends(self) -> None:
        """Look now and then whether tasks under way have ended, because telling may get lost."""
        while True:
            await asyncio.sleep(CHECK_S)
            await asyncio.gather(*(each.check() for each in self._deliveries.values()))

    async def _beat(self) -> None:
        """Show that the event loop turns; report soon when the tasks need another part of a
        provider's limits.
        """
        reported = self._models.gates.demand()
        while True:
            self._beat_at = time.monotonic()
            await asyncio.sleep(BEAT_S)
            if (now := self._models.gates.demand()) != reported:
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
        if not pull:
            await self._puller.end()
        elif self._has_begun and not self._is_stopping:
            self._puller.begin()
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
            lost=len(self._desk.room.lost),
            pulling=waits or self._puller.is_pulling,
            obeyed=obeyed,
            demand=self._models.gates.demand(),
            marks=dict(islice(self._marks.items(), MOST_MARKS)),
        )

    async def _stop(self, grace_s: float) -> None:
        """Tell the agents, pull no more, and give them the grace from now on; then cut them."""
        log.info("stopping", extra={"busy": len(self._deliveries)})
        cut_at = time.monotonic() + grace_s
        self._is_stopping = True
        self._tell_agents()
        if self._is_registered:
            await self._puller.end()
        self._presence.changed.set()
        await self._cut_after(max(0.0, cut_at - time.monotonic()))
        for handling in tuple(self._deliveries):
            handling.cancel()
        with suppress(TimeoutError):
            async with asyncio.timeout(LAST_SAVE_S):
                await self._models.learned.save()
        await self._presence.leave()

    def _tell_agents(self) -> None:
        """Tell those at work that they must end."""
        for delivery in tuple(self._deliveries.values()):
            delivery.stop()
        self._desk.room.answer(comes_in=False)

    async def _cut_after(self, grace_s: float) -> None:
        """Give the agents the grace; then cut them."""
        if not await self._ended_within(grace_s):
            for delivery in tuple(self._deliveries.values()):
                delivery.cut(HandBack("the worker must end"))
            await self._ended_within(CUT_S)

    async def _ended_within(self, seconds: float) -> bool:
        self._all_ended.clear()
        return not self._deliveries or await set_within(self._all_ended, seconds)


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


def _process_began() -> float:
    """When this process was started, in Unix seconds; where the system does not say, now."""
    now = time.time()
    try:
        fields = Path("/proc/self/stat").read_text("utf-8").rpartition(")")[2].split()
        ticks = int(fields[19]) / os.sysconf("SC_CLK_TCK")
    except (OSError, ValueError, IndexError):
        return now
    return now - max(0.0, time.clock_gettime(time.CLOCK_BOOTTIME) - ticks)
