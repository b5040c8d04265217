"""Everything that waits on one connection: requests, one-message subscriptions and deliveries.

Each is told at once when the server refuses it or the connection is lost.
"""

from __future__ import annotations

import asyncio
import re
import secrets
from collections.abc import Callable, Mapping
from typing import Final

from nats import errors
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription
from nats.js.api import Header, StatusCode

from controller.model.text import clean
from controller.nats.client import StrictClient
from controller.nats.errors import (
    NatsDisconnectedError,
    NatsError,
    NatsNoRespondersError,
    NatsRefusedError,
    NatsTimeoutError,
    describe,
)

# nats-py puts the server's message, subject included, into lower case. Subjects that differ only in
# case are therefore refused together: that may prevent a reading, but never makes a wrong one.
_VIOLATION: Final = re.compile(
    r"permissions violation for (publish|subscription) to \"([^\"]+)\"", re.IGNORECASE
)


class OneMessageSubscription:
    """A subscription that the server ends after the first message."""

    def __init__(
        self,
        subscription: Subscription,
        message: asyncio.Future[Msg],
        forget: Callable[[OneMessageSubscription], None],
        on_refused: Callable[[str], None],
    ) -> None:
        self._subscription = subscription
        self._message = message
        self._forget = forget
        self.on_refused = on_refused

    @property
    def subject(self) -> str:
        """The subject it listens on."""
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


class DeliverySubscription:
    """A subscription whose every message is handed on, until it ends or its connection does."""

    def __init__(
        self,
        subscription: Subscription,
        on_message: Callable[[Msg | None], None],
        forget: Callable[[DeliverySubscription], None],
    ) -> None:
        self._subscription = subscription
        self._on_message = on_message
        self._forget = forget

    @property
    def subject(self) -> str:
        """The subject it listens on."""
        return self._subscription.subject

    def lost(self) -> None:
        """The connection is lost, and this subscription with it."""
        self._forget(self)
        self._on_message(None)

    async def end(self) -> None:
        """Take no more messages; nothing happens if it has ended with its connection."""
        self._forget(self)
        try:
            await self._subscription.unsubscribe()
        except errors.Error:
            return


class Connection:
    """One client and everything that waits on it. All of it ends with the connection."""

    def __init__(self, client: StrictClient, inbox: str = "_INBOX") -> None:
        """`inbox` is what the subjects of answers begin with. The rest of each is random, so that
        nobody who has not seen a request can answer it.
        """
        self._client = client
        self._prefix = inbox
        self._inbox = f"{inbox}.{secrets.token_hex(16)}"
        self._waiting: dict[str, tuple[str, asyncio.Future[Msg | NatsError]]] = {}
        self._one_message: dict[str, set[OneMessageSubscription]] = {}
        self._deliveries: set[DeliverySubscription] = set()
        self._inbox_refused = ""

    async def open(self) -> None:
        """Subscribe to our inbox. Raises nats.errors.Error."""
        await self._client.subscribe(f"{self._inbox}.*", cb=self._on_reply)
        self._client.requester = self

    async def request(
        self,
        subject: str,
        payload: bytes,
        timeout_s: float,
        headers: Mapping[str, str] | None = None,
    ) -> Msg:
        """The answer. Raises NatsError, at the latest after `timeout_s`."""
        if self._inbox_refused:
            raise NatsRefusedError(self._inbox_refused)
        reply = f"{self._inbox}.{secrets.token_hex(8)}"
        # errors are set as results: the event loop reports exceptions that are never retrieved
        answer: asyncio.Future[Msg | NatsError] = asyncio.get_running_loop().create_future()
        self._waiting[reply] = (subject.lower(), answer)
        try:
            async with asyncio.timeout(timeout_s):
                await self._client.publish(
                    subject, payload, reply=reply, headers=dict(headers) if headers else None
                )
                message = await answer
        except errors.Error as error:
            raise NatsDisconnectedError(describe(error)) from error
        except TimeoutError:
            raise NatsTimeoutError(f"no answer within {max(0.0, timeout_s):.3g} s") from None
        finally:
            del self._waiting[reply]
        if isinstance(message, NatsError):
            raise message
        status = (message.headers or {}).get(Header.STATUS)
        if not message.data and status == StatusCode.SERVICE_UNAVAILABLE:
            raise NatsNoRespondersError(f"nothing listens on {clean(subject)}")
        return message

    async def subscribe_once(
        self, subject: str, on_message: Callable[[], None], on_refused: Callable[[str], None]
    ) -> OneMessageSubscription:
        """See `NatsSession.subscribe_once`. Raises NatsDisconnectedError."""
        message: asyncio.Future[Msg] = asyncio.get_running_loop().create_future()
        try:
            # max_msgs alone stops only the callback, unsubscribe(limit=1) tells the server. Both
            # are needed: a second message between the two commands would find the future done
            subscription = await self._client.subscribe(subject, future=message, max_msgs=1)
            once = OneMessageSubscription(subscription, message, self._forget, on_refused)
            self._one_message.setdefault(subject.lower(), set()).add(once)
            await subscription.unsubscribe(limit=1)
        except errors.Error as error:
            raise NatsDisconnectedError(describe(error)) from error

        def arrived(future: asyncio.Future[Msg]) -> None:
            self._forget(once)
            if not future.cancelled():
                on_message()

        message.add_done_callback(arrived)
        return once

    async def deliver_to(self, on_message: Callable[[Msg | None], None]) -> DeliverySubscription:
        """See `NatsSession.deliver_to`. Raises NatsDisconnectedError."""
        # not below the inbox of the answers, because delivered messages keep their own subject
        return await self.subscribe(f"{self._inbox}.{secrets.token_hex(8)}.delivery", on_message)

    async def subscribe(
        self, subject: str, on_message: Callable[[Msg | None], None]
    ) -> DeliverySubscription:
        """See `NatsSession.subscribe`. Raises NatsDisconnectedError."""

        async def take(message: Msg) -> None:
            on_message(message)

        try:
            subscription = await self._client.subscribe(subject, cb=take)
        except errors.Error as error:
            raise NatsDisconnectedError(describe(error)) from error
        delivery = DeliverySubscription(subscription, on_message, self._deliveries.discard)
        self._deliveries.add(delivery)
        return delivery

    async def send(self, subject: str, payload: bytes, reply: str = "") -> None:
        """See `NatsSession.send`. Raises NatsDisconnectedError."""
        try:
            await self._client.publish(subject, payload, reply=reply)
        except errors.Error as error:
            raise NatsDisconnectedError(describe(error)) from error

    async def refused(self, message: str) -> None:
        """The server reports a permissions violation: report it to what it refuses."""
        match = _VIOLATION.search(message)
        if match is None:
            return
        verb, subject = match[1].lower(), match[2].lower()
        if verb == "publish":
            words = f"our NATS user may not publish to {clean(match[2])}"
            for asked, answer in self._waiting.values():
                if asked == subject and not answer.done():
                    answer.set_result(NatsRefusedError(words))
        elif subject == f"{self._inbox}.*".lower():
            self._inbox_refused = (
                f"our NATS user may not subscribe to its own inbox ({self._prefix}.>)"
            )
            self._fail(NatsRefusedError(self._inbox_refused))
        else:
            words = f"our NATS user may not subscribe to {clean(match[2])}"
            for once in tuple(self._one_message.get(subject, ())):
                await once.end()
                once.on_refused(words)

    def lost(self, reason: str) -> None:
        """The connection is lost: end everything that waits on it."""
        self._fail(NatsDisconnectedError(reason))
        self._one_message.clear()
        for delivery in tuple(self._deliveries):
            delivery.lost()

    def _fail(self, error: NatsError) -> None:
        for _, answer in self._waiting.values():
            if not answer.done():
                answer.set_result(error)

    def _forget(self, once: OneMessageSubscription) -> None:
        subject = once.subject.lower()
        others = self._one_message.get(subject)
        if others is not None:
            others.discard(once)
            if not others:
                del self._one_message[subject]

    async def _on_reply(self, message: Msg) -> None:
        waiting = self._waiting.get(message.subject)
        if waiting is not None and not waiting[1].done():
            waiting[1].set_result(message)
