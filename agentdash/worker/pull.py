"""Pulls messages from the queues of the pools that a worker serves: as many as it has free slots,
from the first queue that has work. Most workers serve one pool; one that stands by serves many.

While all queues are empty, one pull waits at each. When the worker is busy, these are left open,
and what they bring is handed back: a pull that is withdrawn (UNSUB) may take a message with it,
which then comes again only after `ack_wait`.

Pulls name a priority group: where the consumer has it, a pool's own workers are served before those
that stand by. A consumer without the group ignores it (nats-server 2.15, ADR-42).

nats-py's own pull subscription is not used: one `fetch` cannot be ended before its time, what the
server then delivers is lost until it is delivered again, and it knows no priority.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import logging
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from nats import errors
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription
from nats.js.api import Header, StatusCode

from agentdash.worker.stores import end, set_within
from controller.model.ids import QueueName
from controller.model.servers import Backoff
from controller.model.text import clean

log = logging.getLogger(__name__)

GROUP: Final = "agents"
OWN: Final = 0
STANDS_BY: Final = 9
"""The priorities of pulls in the consumer's group GROUP: the lowest number is served first."""
LINGER_S: Final = 30.0
"""How long a pull waits at the server for messages."""
LATE_S: Final = 5.0
"""A pull of which nothing is heard so long after its end was lost."""
BARRIER_S: Final = 2.0
_RETRY_FIRST_S: Final = 0.1
_RETRY_MOST_S: Final = 10.0
_ENDED: Final = frozenset({StatusCode.NO_MESSAGES.value, StatusCode.REQUEST_TIMEOUT.value})
_NANOSECONDS: Final = 1_000_000_000


@dataclass
class _Pull:
    number: int
    left: int
    lost_at: float
    lingers: bool


class Inlet:
    """The open pulls of one consumer. `priority` is theirs in the consumer's group."""

    def __init__(
        self,
        client: Client,
        queue: QueueName,
        on_message: Callable[[Msg], None],
        on_change: Callable[[], None],
        priority: int = OWN,
    ) -> None:
        self._client, self._queue = client, queue
        self._on_message, self._on_change = on_message, on_change
        self._named = {"group": GROUP, "priority": priority}
        self._subject = f"$JS.API.CONSUMER.MSG.NEXT.{queue.stream}.{queue.consumer}"
        self._info_subject = f"$JS.API.CONSUMER.INFO.{queue.stream}.{queue.consumer}"
        self._numbers = itertools.count()
        self._pulls: deque[_Pull] = deque()
        self._subscription: Subscription | None = None
        self._inbox = ""
        self._backoff = Backoff(_RETRY_FIRST_S, _RETRY_MOST_S)
        self._problem = ""
        self.held_until = 0.0
        """No new pull before this monotonic time, because the last one was refused."""
        self.is_empty = False
        """Whether a pull that does not wait has found nothing more."""
        self.is_wanted = False
        """Whether it may be pulled from."""
        self.is_distrusted = False
        """What its open pulls bring may be another worker's by now, and is left to that."""
        self.closed = asyncio.Event()
        """Set while no pull is open and none may be opened."""
        self.closed.set()

    @property
    def may_bring(self) -> bool:
        """Whether a pull is open, or may be opened."""
        return self.is_wanted or not self.closed.is_set()

    @property
    def credits(self) -> int:
        """Messages that the open pulls may still bring."""
        return sum(pull.left for pull in self._pulls)

    @property
    def lingers(self) -> bool:
        """Whether a pull waits at the server for messages to come."""
        return any(pull.lingers for pull in self._pulls)

    def forget_lost(self, now: float) -> None:
        """Give up the pulls of which nothing was heard."""
        while self._pulls and self._pulls[0].lost_at <= now:
            self._pulls.popleft()

    @property
    def next_due(self) -> float:
        """The monotonic time of the next thing to do by itself."""
        lost_at = self._pulls[0].lost_at if self._pulls else float("inf")
        return min(lost_at, self.held_until or float("inf"))

    async def open(self, batch: int, *, lingers: bool) -> None:
        """Ask for `batch` messages, there now or to come. Raises nats.errors.Error."""
        if self._subscription is None:
            self._inbox = self._client.new_inbox()
            self._subscription = await self._client.subscribe(f"{self._inbox}.*", cb=self._take)
        wait_s = LINGER_S if lingers else 0.0
        asked: dict[str, object] = {"batch": batch, **self._named}
        asked |= {"expires": int(wait_s * _NANOSECONDS)} if lingers else {"no_wait": True}
        pull = _Pull(next(self._numbers), batch, time.monotonic() + wait_s + LATE_S, lingers)
        self._pulls.append(pull)
        self.held_until = 0.0
        self.is_empty = False
        await self._client.publish(
            self._subject, json.dumps(asked).encode(), reply=f"{self._inbox}.{pull.number}"
        )

    async def cut(self) -> None:
        """End the open pulls. When this returns, no message comes any more; those that the server
        had sent before were given to `on_message`.
        """
        subscription, self._subscription = self._subscription, None
        if subscription is None:
            return
        try:
            if self._pulls and self._client.is_connected:
                # nats-py's drain sends its ping before the end of the subscription
                await self._client._send_unsubscribe(subscription._id)  # noqa: SLF001
                # once this is answered, everything that the server sent before has come
                await self._client.request(self._info_subject, b"", timeout=BARRIER_S)
        except errors.Error as error:
            log.warning("open pulls could not be ended in order: %s", clean(error))
        while True:
            if not subscription.pending_msgs:
                break
            await asyncio.sleep(0)
        self._pulls.clear()
        await end(subscription)

    async def drop(self) -> None:
        """End the open pulls at once. What the server has sent meanwhile comes again later."""
        subscription, self._subscription = self._subscription, None
        self._pulls.clear()
        await end(subscription)
        self.is_distrusted = False

    async def _take(self, message: Msg) -> None:
        # without an await: `cut` relies on it
        if self.is_distrusted:
            return
        status = (message.headers or {}).get(Header.STATUS) if not message.data else None
        if status is None or message.reply:
            self._problem = ""
            self._backoff.reset()
            if self._pulls:
                self._pulls[0].left -= 1
                if self._pulls[0].left == 0:
                    self._pulls.popleft()
            self.is_empty = False
            self._on_message(message)
        elif status != StatusCode.CONTROL_MESSAGE:
            self._close(message, status)
        self._on_change()

    def _close(self, message: Msg, status: str) -> None:
        """The server has ended a pull: nothing came in its time, or it refuses it."""
        number = message.subject.rpartition(".")[2]
        ended = [pull for pull in self._pulls if str(pull.number) == number]
        for pull in ended:
            self._pulls.remove(pull)
        if status in _ENDED:
            self.is_empty = self.is_empty or not all(pull.lingers for pull in ended)
            return
        self.held_until = time.monotonic() + self._backoff.next_s()
        words = clean((message.headers or {}).get(Header.DESCRIPTION, "")) or (
            "nobody answers: has the stream this consumer, and is JetStream enabled?"
        )
        if words != self._problem:
            self._problem = words
            name = f"{self._queue.stream}/{self._queue.consumer}"
            log.warning("pulling from %s is refused: %s; trying again", name, words)


class Puller:
    """Keeps the right pulls open. `free` says how many messages could be worked on now, and `rank`
    which queue is asked first where several may have work: that with the lowest.
    """

    def __init__(
        self,
        inlets: list[Inlet],
        free: Callable[[], int],
        changed: asyncio.Event,
        rank: Callable[[Inlet], Any] = lambda _: 0,
    ) -> None:
        """`changed` is set by whatever may change what is to be done."""
        self._inlets, self._free, self._changed, self._rank = inlets, free, changed, rank
        self._again = False

    @property
    def is_pulling(self) -> bool:
        """Whether a pull is open, or may be opened."""
        return any(inlet.may_bring for inlet in self._inlets)

    def begin(self, inlets: Sequence[Inlet]) -> None:
        """Pull from these from now on."""
        for inlet in inlets:
            inlet.is_wanted = True
        self._changed.set()

    async def end(self, inlets: Sequence[Inlet]) -> None:
        """Pull from these no more; returns when no pull is open, so no message comes."""
        for inlet in inlets:
            inlet.is_wanted = False
        self._changed.set()
        for inlet in inlets:
            await inlet.closed.wait()

    def reconnected(self) -> None:
        """The pulls that were open went with the last connection."""
        self._again = True
        self._changed.set()

    def distrust(self) -> None:
        """Leave what comes by the open pulls to others, and open new ones."""
        for inlet in self._inlets:
            inlet.is_distrusted = True
        self._changed.set()

    async def run(self) -> None:
        """Do so until cancelled; `changed` is cleared here alone."""
        try:
            while True:
                self._changed.clear()
                try:
                    await self._step()
                except errors.Error as error:
                    log.debug("pulling failed: %s", clean(error))
                    for inlet in self._inlets:
                        inlet.held_until = time.monotonic() + _RETRY_FIRST_S
                await set_within(self._changed, self._pause_s())
        finally:
            for inlet in self._inlets:
                inlet.is_wanted = False
                await inlet.drop()
                inlet.closed.set()

    def _pause_s(self) -> float | None:
        """The seconds until something is due; None while nothing is pulled."""
        due = [inlet.next_due for inlet in self._inlets if inlet.is_wanted]
        return min(LINGER_S, max(0.0, min(due) - time.monotonic())) if due else None

    async def _step(self) -> None:
        again, self._again = self._again, False
        for each in self._inlets:
            if each.is_distrusted:
                await each.drop()
        ending = [each for each in self._inlets if each.may_bring and not each.is_wanted]
        await asyncio.gather(*(each.cut() for each in (self._inlets if again else ending)))
        now = time.monotonic()
        for inlet in self._inlets:
            if not inlet.is_wanted:
                inlet.closed.set()
                continue
            inlet.closed.clear()
            inlet.forget_lost(now)
            if inlet.held_until <= now:
                inlet.held_until = 0.0
        await self._ask([each for each in self._inlets if each.is_wanted and not each.held_until])

    async def _ask(self, ready: list[Inlet]) -> None:
        """Ask the queues in turn for what they have now; wait at all that are empty. A single queue
        has no turn: one pull brings what it has and what is to come.
        """
        free = self._free()
        if len(self._inlets) == 1:
            if ready and free > ready[0].credits:
                await ready[0].open(free - ready[0].credits, lingers=True)
            return
        if any(inlet.credits and not inlet.lingers for inlet in self._inlets):
            return  # one is being asked
        idle = sorted((inlet for inlet in ready if not inlet.credits), key=self._rank)
        if free <= 0:
            for inlet in idle:
                inlet.is_empty = False
            return
        unasked = next((inlet for inlet in idle if not inlet.is_empty), None)
        if unasked is not None:
            await unasked.open(free, lingers=False)
            return
        for inlet in idle:
            await inlet.open(1, lingers=True)
