"""Requests, deliveries, one-message subscriptions on one connection; a refusal is not a silence."""

from __future__ import annotations

import asyncio
import itertools
import re
from collections.abc import Callable, Mapping
from typing import Final

from nats import errors
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription

from controller.bus.client import StrictClient
from controller.bus.words import in_words
from controller.model.text import clean
from controller.ports import (
    NatsDisconnectedError,
    NatsError,
    NatsNoRespondersError,
    NatsRefusedError,
    NatsTimeoutError,
)

# nats-py lowers the case of what the server says, subject included. Names that differ by case alone
# are refused together: that is blindness where there was sight, never the reverse.
_VIOLATION: Final = re.compile(
    r"permissions violation for (publish|subscription) to \"([^\"]+)\"", re.IGNORECASE
)
_NO_RESPONDERS: Final = "503"


class Once:
    """A subscription the server ends at the first message."""

    def __init__(
        self,
        subscription: Subscription,
        message: asyncio.Future[Msg],
        forget: Callable[[Once], None],
        on_refused: Callable[[str], None],
    ) -> None:
        self._subscription = subscription
        self._message = message
        self._forget = forget
        self.on_refused = on_refused

    @property
    def subject(self) -> str:
        """What it listens on."""
        return self._subscription.subject

    async def end(self) -> None:
        """End it; nothing happens if it has ended already."""
        self._forget(self)
        if not self._message.done():
            self._message.cancel()
            try:
                await self._subscription.unsubscribe()
            except errors.Error:
                return  # it ended with its connection


class Delivery:
    """A subscription for what a consumer delivers."""

    def __init__(
        self,
        subscription: Subscription,
        on_message: Callable[[Msg | None], None],
        forget: Callable[[Delivery], None],
    ) -> None:
        self._subscription = subscription
        self._on_message = on_message
        self._forget = forget

    @property
    def subject(self) -> str:
        """Where to deliver."""
        return self._subscription.subject

    def lost(self) -> None:
        """The connection is gone, and this with it."""
        self._forget(self)
        self._on_message(None)

    async def end(self) -> None:
        """Take no more; nothing happens if it has ended with its connection."""
        self._forget(self)
        try:
            await self._subscription.unsubscribe()
        except errors.Error:
            return


class Exchange:
    """Everything that waits on one connection: all of it ends with the connection."""

    def __init__(self, client: StrictClient) -> None:
        self._client = client
        self._inbox = client.new_inbox()
        self._number = itertools.count()
        self._waiting: dict[str, tuple[str, asyncio.Future[Msg | NatsError]]] = {}
        self._once: dict[str, set[Once]] = {}
        self._deliveries: set[Delivery] = set()
        self._inbox_refused = ""

    async def open(self) -> None:
        """Subscribe to our inbox. Raises nats.errors.Error."""
        await self._client.subscribe(f"{self._inbox}.*", cb=self._on_reply)

    async def request(
        self,
        subject: str,
        payload: bytes,
        timeout_s: float,
        headers: Mapping[str, str] | None = None,
    ) -> bytes:
        """The answer's payload. Raises NatsError."""
        if self._inbox_refused:
            raise NatsRefusedError(self._inbox_refused)
        reply = f"{self._inbox}.{next(self._number)}"
        # a refusal is a result too: an exception nobody retrieved would be reported by the loop
        answer: asyncio.Future[Msg | NatsError] = asyncio.get_running_loop().create_future()
        self._waiting[reply] = (subject.lower(), answer)
        try:
            async with asyncio.timeout(timeout_s):
                await self._client.publish(
                    subject, payload, reply=reply, headers=dict(headers) if headers else None
                )
                message = await answer
        except errors.Error as error:
            raise NatsDisconnectedError(in_words(error)) from error
        except TimeoutError:
            raise NatsTimeoutError(f"no answer within {max(0.0, timeout_s):.3g} s") from None
        finally:
            del self._waiting[reply]
        if isinstance(message, NatsError):
            raise message
        if not message.data and (message.headers or {}).get("Status") == _NO_RESPONDERS:
            raise NatsNoRespondersError(f"nobody answers on {clean(subject)}")
        return message.data

    async def subscribe_once(
        self, subject: str, on_message: Callable[[], None], on_refused: Callable[[str], None]
    ) -> Once:
        """See `controller.ports.NatsRequests`. Raises NatsDisconnectedError."""
        message: asyncio.Future[Msg] = asyncio.get_running_loop().create_future()
        try:
            # max_msgs alone stops only the callback, unsubscribe(limit=1) tells the server; both,
            # else a second message between the two commands would find the future done
            subscription = await self._client.subscribe(subject, future=message, max_msgs=1)
            once = Once(subscription, message, self._forget, on_refused)
            self._once.setdefault(subject.lower(), set()).add(once)
            await subscription.unsubscribe(limit=1)
        except errors.Error as error:
            raise NatsDisconnectedError(in_words(error)) from error

        def arrived(future: asyncio.Future[Msg]) -> None:
            self._forget(once)
            if not future.cancelled():
                on_message()

        message.add_done_callback(arrived)
        return once

    async def deliver_to(self, on_message: Callable[[Msg | None], None]) -> Delivery:
        """A subject of our own for a consumer to deliver to; `on_message` gets what comes there,
        and None once when the connection is lost. Raises NatsDisconnectedError.
        """

        async def take(message: Msg) -> None:
            on_message(message)

        # apart from the answers' inbox: what is delivered there keeps its own subject
        subject = f"{self._inbox}.{next(self._number)}.delivery"
        try:
            subscription = await self._client.subscribe(subject, cb=take)
        except errors.Error as error:
            raise NatsDisconnectedError(in_words(error)) from error
        delivery = Delivery(subscription, on_message, self._deliveries.discard)
        self._deliveries.add(delivery)
        return delivery

    async def send(self, subject: str, payload: bytes, reply: str) -> None:
        """Publish; whoever answers does so to `reply`. Raises NatsDisconnectedError."""
        try:
            await self._client.publish(subject, payload, reply=reply)
        except errors.Error as error:
            raise NatsDisconnectedError(in_words(error)) from error

    async def violation(self, said: str) -> None:
        """The server refused something: tell whoever asked for it."""
        match = _VIOLATION.search(said)
        if match is None:
            return
        verb, subject = match[1].lower(), match[2].lower()
        if verb == "publish":
            words = f"our NATS user may not publish to {clean(match[2])}"
            for asked, answer in self._waiting.values():
                if asked == subject and not answer.done():
                    answer.set_result(NatsRefusedError(words))
        elif subject == f"{self._inbox}.*".lower():
            self._inbox_refused = "our NATS user may not subscribe to its own inbox (_INBOX.>)"
            self._fail(NatsRefusedError(self._inbox_refused))
        else:
            words = f"our NATS user may not subscribe to {clean(match[2])}"
            for once in tuple(self._once.get(subject, ())):
                await once.end()
                once.on_refused(words)

    def lost(self, words: str) -> None:
        """The connection is gone: whoever waits need not wait any longer."""
        self._fail(NatsDisconnectedError(words))
        self._once.clear()
        for delivery in tuple(self._deliveries):
            delivery.lost()

    def _fail(self, error: NatsError) -> None:
        for _, answer in self._waiting.values():
            if not answer.done():
                answer.set_result(error)

    def _forget(self, once: Once) -> None:
        subject = once.subject.lower()
        fellows = self._once.get(subject)
        if fellows is not None:
            fellows.discard(once)
            if not fellows:
                del self._once[subject]

    async def _on_reply(self, message: Msg) -> None:
        waiting = self._waiting.get(message.subject)
        if waiting is not None and not waiting[1].done():
            waiting[1].set_result(message)
