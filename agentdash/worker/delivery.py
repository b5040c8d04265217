"""One delivery of a task, from its message to its acknowledgement.

    read    the message as a task                 cannot be read → dead letter
    look    has it ended? was it tried before?    ended → acknowledge, and nothing more
                                                  tries used up → dead letter
    count   the try, before it begins             a worker that dies here has tried it
    work    the agent, within its limits          the last try after workers died: alone
                                                  does not end when it is cut → goes on without it
    keep    the result, created under the task's id: the first one counts
    end     acknowledge; or hand back; or try again later; or dead letter

The result is stored before the message is acknowledged. A worker that dies in between leaves a
message whose next delivery ends at `look`. Where the consumer delivers the message no more
(`max_deliver`), a task that is handed back is published once more in its place.

A task that kills its worker takes those beside it along, and each of them looks guilty. So the last
try of a task whose workers died is made alone: if that worker dies too, it was this task.
"""

from __future__ import annotations

import asyncio
import logging
import math
import random
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import msgspec
from nats import errors
from nats.aio.msg import Msg
from nats.js.errors import APIError, NoStreamResponseError

from agentdash.worker.attempts import (
    MOST_WHY,
    DeadLetters,
    DeathNote,
    TaskMessage,
    Tried,
    Try,
    TryRecord,
    publish_again,
)
from agentdash.worker.models import PoolModels
from agentdash.worker.plain import Agent, done_by
from agentdash.worker.session import (
    TAKES,
    Fatal,
    HandBack,
    LimitReached,
    OnEnd,
    Retryable,
    Session,
    Task,
    TaskError,
    TaskResult,
    TaskStatus,
    TaskTerms,
    UnreadableStoreError,
    UnreadableTaskError,
    converted,
    digest_of,
    plain,
    read_payload,
    read_terms,
)
from agentdash.worker.settings import WorkerSettings
from agentdash.worker.state import UsageReports, WorkerMetrics
from agentdash.worker.stores import (
    ANSWER_S,
    Checkpoints,
    DeliveryNumber,
    NatsLink,
    Results,
    StoredCheckpoint,
    events_subject,
    until_done,
)
from controller.model.servers import Backoff
from controller.model.text import clean
from controller.model.worker_messages import SessionLimits

log = logging.getLogger(__name__)

RETRY_FIRST_S: Final = 1.0
RETRY_MOST_S: Final = 60.0
STORE_FIRST_S: Final = 0.1
STORE_MOST_S: Final = 5.0
LET_GO_S: Final = 5.0
"""An agent that was cut so long ago is left behind: its task goes on, and its slot is lost."""
CLEAN_UP_S: Final = 1.0
"""How long an agent may take to end when its worker is cancelled."""
_MOST_ASKED: Final = 500
_HEADER_ROOM: Final = 4096
"""Bytes that the server counts beside a result itself."""


class TaskRoom:
    """The tasks at work in one worker's process: many at once, or one alone. And agents that were
    cut and do not end: each holds its slot until it ends, or the process does; its task goes on
    without it.
    """

    def __init__(self, changed: Callable[[], None] = lambda: None) -> None:
        """`changed` is called when a slot is lost, or free again."""
        self._changed = changed
        self.lost: set[asyncio.Task[Any]] = set()
        self._inside = 0
        self._waiter: asyncio.Future[bool] | None = None
        self.is_kept = False
        """Whether one is at work alone, or waits for that: then no other comes in."""

    @asynccontextmanager
    async def seat(self, *, alone: bool) -> AsyncIterator[bool]:
        """A place to work in while the block runs; False if there is none, and the task is another
        worker's. One that must be alone waits until those at work have ended.
        """
        if self.is_kept:
            yield False
            return
        self.is_kept = alone
        entered = False
        try:
            if alone and self._inside:
                self._waiter = asyncio.get_running_loop().create_future()
                entered = await self._waiter
            else:
                entered = True
            self._inside += entered
            yield entered
        finally:
            self._inside -= entered
            if alone:
                self.is_kept = False
            elif not self._inside:
                self.answer(comes_in=True)

    def answer(self, *, comes_in: bool) -> None:
        """Let the one that waits to be alone come in, or wait no more: the worker must end."""
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(comes_in)

    def lose(self, task: str, agent: asyncio.Task[Any]) -> None:
        """The agent that worked on `task` holds its slot from now on."""

        def ended(_: asyncio.Task[Any]) -> None:
            self.lost.discard(agent)
            words = "an agent has ended at last: its slot is free"
            log.warning(words, extra={"lost": len(self.lost)})
            self._changed()

        self.lost.add(agent)
        agent.add_done_callback(ended)
        words = "an agent was cut and does not end: its slot is lost until it does"
        log.error(words, extra={"task": task, "lost": len(self.lost)})
        self._changed()


class Ended(NamedTuple):
    """The task has an end."""

    status: TaskStatus
    result: Any = None
    error: str = ""


Outcome = Ended | TaskError
"""How a try ends; with an error the task goes on, here or elsewhere."""

CANCELLED: Final = Ended(TaskStatus.CANCELLED)


@dataclass(frozen=True)
class Desk:
    """What all deliveries of a worker share."""

    link: NatsLink
    settings: WorkerSettings
    agent: Agent
    metrics: WorkerMetrics
    models: PoolModels
    results: Results
    checkpoints: Checkpoints
    dead: DeadLetters
    usage: UsageReports
    room: TaskRoom
    on_end: OnEnd | None = None


class Delivery:
    """One message that was delivered to this worker."""

    def __init__(self, desk: Desk, message: Msg, *, most_deliveries: int) -> None:
        """`most_deliveries` is the consumer's own limit, 0 or less for none."""
        metadata = message.metadata
        self._desk = desk
        self.message = message
        self._consumer = metadata.consumer
        self.delivered = metadata.num_delivered or 1
        self._is_last = 0 < most_deliveries <= self.delivered
        self._waited_s = max(0.0, time.time() - metadata.timestamp.timestamp())
        self._agent: asyncio.Task[Outcome] | None = None
        self._is_over = asyncio.Event()
        self._cut_short: Outcome | None = None
        self._is_left = False
        self._stopping = False
        self.session: Session | None = None
        self._digest = ""
        self.began_at = 0.0
        self.ends_by = math.inf
        """The monotonic time after which it goes on without its agent."""
        place = (metadata.stream, metadata.sequence.stream)
        self._as_published = TaskMessage(message.subject, message.data, message.headers, *place)
        self.run = f"{place[0]}.{self._consumer}.{place[1]}.{self.delivered}"
        """A name that no other delivery has."""
        self.id, _ = self._as_published.task()
        self._tries = TryRecord(
            desk.link.jetstream, desk.settings, self._as_published, self.delivered
        )
        self._unread = Task(id=self.id, payload=None, attempt=self.delivered)

    def stop(self) -> None:
        """Tell the agent that the worker must end."""
        self._stopping = True
        if self.session is not None:
            self.session.stopping.set()

    def cut(self, outcome: Outcome) -> None:
        """End the agent now, if it is at work; what it has not stored is lost. One that does not
        end is left behind after LET_GO_S.
        """
        if self._cut_short is not None:
            return
        self._cut_short = outcome
        if self._agent is not None:
            self._agent.cancel()
            self.ends_by = min(self.ends_by, time.monotonic() + LET_GO_S)
            asyncio.get_running_loop().call_later(LET_GO_S, self._is_over.set)

    async def check(self) -> None:
        """End the agent if its task has ended meanwhile: cancelled, or done by another worker."""
        try:
            if self._agent is not None and await self._desk.results.get(self.id) is not None:
                self.cut(CANCELLED)
        except (errors.Error, UnreadableStoreError) as error:
            log.debug("a task could not be looked up: %s", clean(error))

    async def hand_back(self) -> None:
        """Give the message back at once. It does not count as a try. Raises nats.errors.Error."""
        if self._is_last:
            await self._pass_on()
            return
        try:
            await self._tries.take_back()
        except (UnreadableStoreError, errors.Error) as error:
            log.warning("a hand-back counts as a try: %s", clean(error), extra={"task": self.id})
        await self.message.nak()

    async def handle(self) -> None:
        """All of it. It raises nothing but cancellation: what goes wrong is delivered again."""
        try:
            await self._handle()
        except asyncio.CancelledError:
            try:
                async with asyncio.timeout(ANSWER_S):
                    await self.hand_back()
            except (TimeoutError, errors.Error) as error:
                log.debug("a task was not handed back and comes again later: %s", clean(error))
            raise
        except Exception as error:  # one task must not end the worker
            # not acknowledged, so JetStream delivers it again
            unknown = None if isinstance(error, errors.Error) else error
            words = clean(error) if unknown is None else type(error).__name__
            log.warning(
                "a task could not be ended: %s", words, extra={"task": self.id}, exc_info=unknown
            )
            if self._is_last:  # it is passed on however long that takes, or the worker ends
                backoff = Backoff(STORE_FIRST_S, STORE_MOST_S)
                await asyncio.sleep(backoff.next_s())
                await until_done(self._pass_on, backoff, "a task could not be passed on")

    async def _pass_on(self) -> None:
        """Publish the task once more, for JetStream delivers this message no more; where its stream
        refuses it, it becomes a dead letter. Raises nats.errors.Error.
        """
        try:
            tried = await self._tries.before()
            await publish_again(self._desk.link.jetstream, self._as_published, tried)
        except (UnreadableTaskError, UnreadableStoreError, APIError, NoStreamResponseError) as why:
            reason = (
                f"its consumer {self._consumer} delivers it no more (max_deliver), and it cannot "
                f"be published again: {clean(why)}"
            )
            await self._die(reason, self._unread, attempts=self.delivered)
            return
        await self._acknowledge()

    async def _handle(self) -> None:
        settings, published = self._desk.settings, self._as_published
        try:
            task = Task(
                id=self.id,
                terms=read_terms(published.headers),
                payload=self._payload(published.body),
                tenant=settings.tenant,
                pool=settings.pool,
                waited_s=self._waited_s,
                stream=published.stream,
                sequence=published.sequence,
            )
            await self._look(task)
        except UnreadableTaskError as error:
            await self._die(str(error), self._unread, attempts=1)
        except UnreadableStoreError as error:
            # what is kept of the task and cannot be read fails this try: no task comes for ever
            await self._try_again(error, self._unread)

    def _payload(self, body: bytes) -> Any:
        """The payload as the agent declares it. Raises UnreadableTaskError."""
        payload, kind = read_payload(body), getattr(self._desk.agent, TAKES, Any)
        self._digest = digest_of(payload)
        try:
            return converted(payload, kind)
        except ValueError as error:
            name = getattr(kind, "__name__", kind)
            raise UnreadableTaskError(f"the payload is no {name}: {clean(error)}") from None

    async def _look(self, task: Task) -> None:
        """Try the task, unless it has ended or its tries are used up."""
        if await self._desk.results.get(task.id) is not None:
            await self._acknowledge()
            return
        before, most = await self._tries.before(), self._desk.settings.attempts
        if before.again:
            await self._acknowledge()
            return
        if before.begun >= most:
            await self._die(before.words(), task, attempts=before.begun)
            return
        task = msgspec.structs.replace(task, attempt=before.begun + 1)
        # where workers died, the last try tells whether it was this task or one beside it
        alone = before.lost > 0 and task.attempt == most
        async with self._desk.room.seat(alone=alone) as is_seated:
            if is_seated:
                await self._try(task)
        if not is_seated:
            await self.hand_back()

    async def _try(self, task: Task) -> None:
        checkpoint = None
        if self.delivered > 1 or task.terms.tried_before:
            checkpoint = await self._desk.checkpoints.load(task.id)
        await self._tries.begin()
        began, self.began_at = time.monotonic(), time.time()
        if task.attempt == 1:
            stands_by = bool(self._desk.settings.stands_by_for)
            self._desk.metrics.waited(task.waited_s, stands_by=stands_by)
        session = self._open_session(task, checkpoint)
        outcome = await self._work(task, session)
        await session.models.close()
        seconds = time.monotonic() - began
        await self._desk.usage.report(session, seconds, self.run)
        match outcome:
            case Ended():
                if outcome.status is not TaskStatus.DONE:
                    await self._note_failure(outcome.error or outcome.status, is_last=True)
                await self._end(
                    task,
                    outcome,
                    attempts=task.attempt,
                    seconds=seconds,
                    revision=session.revision,
                )
            case HandBack():
                await self.hand_back()
            case _:
                await self._try_again(outcome, task)

    def _open_session(self, task: Task, checkpoint: StoredCheckpoint | None) -> Session:
        async def save(state: Any) -> None:
            revision = session.revision + 1
            checkpoints = self._desk.checkpoints
            number = DeliveryNumber(self._as_published.sequence, self.delivered)
            if self._is_left:
                raise HandBack("the task has gone on without this try")
            if not await checkpoints.save(task.id, state, revision=revision, delivery=number):
                gone = HandBack("another worker has gone on with this task")
                self.cut(gone)
                raise gone

        async def emit(event: bytes) -> None:
            subject = events_subject(task.tenant, task.pool, task.id)
            try:
                if not self._is_left:
                    await self._desk.link.client.publish(subject, event)
            except errors.Error as error:
                log.warning("an event is not told: %s", clean(error), extra={"task": task.id})

        session = self.session = Session(
            task,
            emit=emit,
            run=self.run,
            limits=self._desk.models.limits,
            models=self._desk.models.calls,
            save=save,
            resumed=None if checkpoint is None else checkpoint.state,
            revision=0 if checkpoint is None else checkpoint.revision,
            metrics=self._desk.metrics,
        )
        if self._stopping:
            session.stopping.set()
        return session

    async def _work(self, task: Task, session: Session) -> Outcome:
        """Let the agent work in a task of its own: one that does not end holds nothing else."""
        if self._cut_short is not None:
            return self._cut_short
        if task.terms.deadline is not None and task.terms.deadline <= time.time():
            return Ended(TaskStatus.EXPIRED, error="its deadline had passed before it began")
        seconds, too_late = _time_left(task.terms, session.limits)
        agent = self._agent = asyncio.create_task(self._run_agent(task, session))
        agent.add_done_callback(lambda _: self._is_over.set())
        clock = asyncio.get_running_loop().call_later(seconds, self.cut, too_late)
        self.ends_by = time.monotonic() + seconds + LET_GO_S
        try:
            await self._is_over.wait()
        except asyncio.CancelledError:  # the worker ends
            if self._cut_short is None:
                agent.cancel()
                await asyncio.wait({agent}, timeout=CLEAN_UP_S)
            raise
        finally:
            clock.cancel()
            self._agent = None
            if not agent.done():  # go on without it: it can store nothing any more
                self._is_left = True
                agent.cancel()  # it may hang in its own clean-up, or have missed it
                self._desk.room.lose(self.id, agent)
        if agent.done() and not agent.cancelled():
            return agent.result()
        if self._cut_short is not None:
            return self._cut_short
        # only a worker hands a task back: an agent that lets a CancelledError out has failed
        return TaskError("the agent raised CancelledError, and its worker had not cancelled it")

    async def _run_agent(self, task: Task, session: Session) -> Outcome:
        """Whatever the agent raises becomes an outcome, but cancellation."""
        try:
            return Ended(TaskStatus.DONE, result=await done_by(self._desk.agent, task, session))
        except (asyncio.CancelledError, GeneratorExit):
            raise
        except (Fatal, LimitReached) as error:
            status = TaskStatus.FAILED if isinstance(error, Fatal) else TaskStatus.LIMIT
            return Ended(status, error=clean(error))
        except TaskError as error:
            return error
        except BaseException as error:  # also SystemExit: it ends this try, not the worker
            log.exception("the agent failed", extra={"task": task.id})
            return TaskError(f"{type(error).__name__}: {error}")

    async def _try_again(self, failed: Exception, task: Task) -> None:
        """Have it delivered again after a while; once its tries are used up, a dead letter."""
        most = self._desk.settings.attempts
        tried = await self._note_failure(clean(failed), is_last=False)
        if task.attempt >= most or self._is_last:
            tries = tried.words() if tried.lost else f"{task.attempt} of {most} tries failed"
            await self._die(f"{tries}, the last one: {clean(failed)}", task, attempts=task.attempt)
            return
        log.warning("a try failed: %s", clean(failed), extra={"task": task.id})
        self._desk.metrics.retries.inc()
        after_s = failed.after_s if isinstance(failed, Retryable) else None
        if after_s is None:
            longest_s = min(RETRY_MOST_S, RETRY_FIRST_S * 2.0 ** min(task.attempt - 1, 16))
            after_s = longest_s * random.uniform(0.5, 1.0)
        await self.message.nak(delay=after_s)

    async def _note_failure(self, why: str, *, is_last: bool) -> Tried:
        """Note this try, which did not end as done; nothing where that cannot be written."""
        session, at = self.session, self.began_at or time.time()
        one = Try(
            worker=self._desk.settings.worker,
            at=at,
            seconds=round(max(time.time() - at, 0.0), 3),
            why=clean(why, MOST_WHY),
            tokens=None if session is None else session.tokens,
            usd=None if session is None else session.usd,
        )
        try:
            return await self._tries.fail(one, is_last=is_last)
        except (UnreadableStoreError, errors.Error) as error:
            log.debug("a try is not noted: %s", clean(error), extra={"task": self.id})
            return Tried()

    async def _end(
        self, task: Task, ended: Ended, *, attempts: int, seconds: float = 0.0, revision: int = 0
    ) -> None:
        """Store the result and acknowledge, however long it takes. The first one stored counts:
        tell of it, unless another worker does. `revision` is that of the last checkpoint, if any.
        """
        result = TaskResult(
            id=task.id,
            status=ended.status,
            at=time.time(),
            result=ended.result,
            error=ended.error,
            worker=self._desk.settings.worker,
            run=self.run,
            attempts=attempts,
            seconds=round(seconds, 3),
            tokens=0 if self.session is None else self.session.tokens,
            usd=0.0 if self.session is None else self.session.usd,
            asked=self._as_published.body[:_MOST_ASKED].decode(errors="replace"),
            digest=self._digest,
        )
        result = self._fitting(result)
        first = await until_done(
            lambda: self._desk.results.keep(result),
            Backoff(STORE_FIRST_S, STORE_MOST_S),
            f"the result of task {task.id} could not be stored",
        )
        if first.run != self.run and first.status is not TaskStatus.CANCELLED:
            log.info("the task had ended as %s before", first.status, extra={"task": task.id})
        else:
            self._desk.metrics.task_ended(first.status.value, task.terms.priority)
            if self._desk.on_end is not None:
                self._desk.on_end(task, first)
        if revision:
            await self._desk.checkpoints.forget(task.id)
        await self._acknowledge()

    def _fitting(self, result: TaskResult) -> TaskResult:
        """The result if it can be stored, else one that says why it cannot."""
        try:
            result = msgspec.structs.replace(result, result=plain(result.result))
            size = len(msgspec.json.encode(result))
        except (TypeError, ValueError, RecursionError) as error:
            problem = f"the agent's result cannot be written as JSON: {clean(error)}"
        else:
            most = self._desk.link.client.max_payload - _HEADER_ROOM
            if size <= most:
                return result
            problem = (
                f"the agent's result has {size:,} bytes, and the server takes {most:,}: keep it "
                "elsewhere, and return where"
            )
        return msgspec.structs.replace(result, status=TaskStatus.FAILED, result=None, error=problem)

    async def _die(self, reason: str, task: Task, *, attempts: int) -> None:
        """Make it a dead letter: letter, result, acknowledgement, in this order."""
        log.error("a task is dead: %s", reason, extra={"task": task.id})
        published = self._as_published
        note = DeathNote(
            id=task.id,
            reason=reason,
            at=time.time(),
            subject=published.subject,
            stream=published.stream,
            sequence=published.sequence,
            attempts=attempts,
            worker=self._desk.settings.worker,
        )
        await self._desk.dead.bury(note, published.body, published.headers)
        await self._end(task, Ended(TaskStatus.DEAD, error=reason), attempts=attempts)

    async def _acknowledge(self) -> None:
        """Acknowledge, and wait for the server: without its word the message may come again."""
        await self.message.ack_sync(timeout=ANSWER_S)


def _time_left(terms: TaskTerms, limits: SessionLimits) -> tuple[float, Outcome]:
    """How many seconds the try may take, and what becomes of it then."""
    most_s = limits.duration_s
    ends: list[tuple[float, Outcome]] = [
        (most_s, Ended(TaskStatus.LIMIT, error=f"the session took longer than {most_s:g} s"))
    ]
    if terms.deadline is not None:
        passed = Ended(TaskStatus.EXPIRED, error="its deadline passed while it was worked on")
        ends.append((terms.deadline - time.time(), passed))
    if terms.timeout_s is not None:
        why = f"it took longer than its time-out of {terms.timeout_s:g} s"
        ends.append((terms.timeout_s, TaskError(why)))
    return min(ends, key=lambda end: end[0])
