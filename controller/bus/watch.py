"""Follows the keys of a bucket: all there are, then each change, over the session's own inbox.

A consumer that delivers by push, in order, without acknowledgements (ADR-17). Whatever is missing
in the order, and silence where a heart-beat is due, begins anew with all there are.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Mapping
from typing import Final, Protocol

import msgspec
from nats import errors
from nats.aio.msg import Msg

from controller.bus.kv import Entry, KeyValue
from controller.bus.session import NatsSession
from controller.model.text import clean
from controller.ports import NatsDisconnectedError, StoreAwayError, StoreError, StoreMissingError

HEARTBEAT_S: Final = 2.0
SILENCE_S: Final = 5.0
RETRY_FIRST_S: Final = 0.1
RETRY_MOST_S: Final = 5.0
INACTIVE_S: Final = 10.0
"""After so long without anybody listening the server forgets the consumer by itself."""

_NANO: Final = 1_000_000_000
_LAST_DELIVERED: Final = "Nats-Last-Consumer"


class Follower(Protocol):
    """Who wants to know; called on the event loop, one call after the other."""

    def found(self, entries: Mapping[str, Entry]) -> None:
        """These are all the keys there are, markers of deleted ones included."""
        ...

    def changed(self, entry: Entry) -> None:
        """This key has a new value, or was deleted."""
        ...

    def lost(self, words: str) -> None:
        """From now on, until `found`, nobody knows what changes."""
        ...


class StoreRegressedError(StoreError):
    """The bucket has fewer revisions than it had: it was restored, or made anew."""


class _Sequences(msgspec.Struct):
    consumer_seq: int = 0


class _Consumer(msgspec.Struct):
    num_pending: int
    delivered: _Sequences


class KeyWatch:
    """Tells a follower of every key below `prefix`, for as long as `run` runs.

    A bucket that does not exist has no keys. One that went back in time is lost for good: whether
    its keys still say what people want, only people know.
    """

    def __init__(self, session: NatsSession, kv: KeyValue, prefix: str, follower: Follower) -> None:
        self._session = session
        self._kv = kv
        self._prefix = prefix
        self._follower = follower
        self._wait_s = RETRY_FIRST_S
        self._met = asyncio.Event()
        session.on_reconnect(self._met.set)

    async def run(self) -> None:
        """Follow until cancelled, or until the bucket has gone back in time."""
        while True:
            self._met.clear()
            try:
                await self._follow()
            except StoreMissingError as error:
                if self._kv.highest > 0:
                    self._follower.lost(f"{error} any longer")
                else:
                    self._follower.found({})
            except StoreRegressedError as error:
                self._follower.lost(str(error))
                return
            except StoreAwayError as error:
                self._follower.lost(str(error))
            await self._pause()

    async def _follow(self) -> None:
        """Until something is missing. Raises StoreError with what it is."""
        highest = self._kv.highest
        last = await self._kv.last_revision()
        if last < highest:
            raise StoreRegressedError(
                f"bucket {self._kv.bucket} went back in time: its last revision is {last}, "
                f"{highest} was seen before"
            )
        order = _Order(self._kv, self._follower)
        try:
            delivery = await self._session.deliver_to(order.take)
        except NatsDisconnectedError as error:
            raise StoreAwayError(str(error)) from error
        name = f"agentdash-{secrets.token_hex(8)}"
        try:
            consumer = await self._consume(name, delivery.subject)
            self._wait_s = RETRY_FIRST_S
            if consumer.num_pending == consumer.delivered.consumer_seq == 0:
                order.complete()
            raise StoreAwayError(await order.trouble())
        finally:
            await delivery.end()
            if self._session.connected and not _cancelled():
                await self._forget(name)

    async def _consume(self, name: str, subject: str) -> _Consumer:
        config = {
            "name": name,
            "deliver_subject": subject,
            "deliver_policy": "last_per_subject",
            "filter_subject": self._kv.subject(f"{self._prefix}.>"),
            "ack_policy": "none",
            "max_deliver": 1,
            "mem_storage": True,
            "num_replicas": 1,
            "idle_heartbeat": int(HEARTBEAT_S * _NANO),
            "inactive_threshold": int(INACTIVE_S * _NANO),
        }
        wanted = {"stream_name": self._kv.stream, "config": config}
        return await self._kv.ask(f"CONSUMER.CREATE.{self._kv.stream}.{name}", wanted, _Consumer)

    async def _forget(self, consumer: str) -> None:
        """Spare the server the rest of it; if that fails, it forgets the consumer by itself."""
        try:
            await self._kv.ask(f"CONSUMER.DELETE.{self._kv.stream}.{consumer}", {}, msgspec.Raw)
        except StoreError:
            return

    async def _pause(self) -> None:
        """Until the next connection, at most for a while that grows with each failure."""
        try:
            async with asyncio.timeout(self._wait_s):
                await self._met.wait()
        except TimeoutError:
            self._wait_s = min(RETRY_MOST_S, self._wait_s * 2)


class _Order:
    """What one consumer delivers, checked for its order as it comes."""

    def __init__(self, kv: KeyValue, follower: Follower) -> None:
        self._kv = kv
        self._follower = follower
        self._found: dict[str, Entry] | None = {}
        self._delivered = 0
        self._heard_at = asyncio.get_running_loop().time()
        self._trouble: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    async def trouble(self) -> str:
        """In words what is missing, once something is."""
        loop = asyncio.get_running_loop()
        while not self._trouble.done():
            if loop.time() - self._heard_at >= SILENCE_S:
                return f"no heart-beat for {SILENCE_S:g} s"
            await asyncio.wait({self._trouble}, timeout=self._heard_at + SILENCE_S - loop.time())
        return self._trouble.result()

    def take(self, message: Msg | None) -> None:
        """A message, a heart-beat, or None for the end of the connection."""
        if self._trouble.done():
            return
        self._heard_at = asyncio.get_running_loop().time()
        headers = message.headers or {} if message is not None else {}
        if message is None:
            self._trouble.set_result("the connection was lost")
        elif "Status" in headers:
            if headers.get(_LAST_DELIVERED, str(self._delivered)) != str(self._delivered):
                self._trouble.set_result("changes were missed")
        else:
            self._take_value(message, headers)

    def complete(self) -> None:
        """All that was there has come."""
        found, self._found = self._found, None
        if found is not None:
            self._follower.found(found)

    def _take_value(self, message: Msg, headers: Mapping[str, str]) -> None:
        try:
            meta = message.metadata
        except (errors.Error, ValueError, IndexError):
            self._trouble.set_result(f"a stranger's message came to {clean(message.subject)}")
            return
        if meta.sequence.consumer != self._delivered + 1:
            self._trouble.set_result("changes were missed")
            return
        self._delivered += 1
        self._kv.saw(meta.sequence.stream)
        entry = Entry(
            key=message.subject.removeprefix(self._kv.subject("")),
            value=message.data,
            revision=meta.sequence.stream,
            at=meta.timestamp.timestamp(),
            deleted=is_marker(headers),
        )
        if self._found is None:
            self._follower.changed(entry)
            return
        self._found[entry.key] = entry
        if meta.num_pending == 0:
            self.complete()


def is_marker(headers: Mapping[str, str]) -> bool:
    """Whether these are the headers of what a deleted key leaves behind."""
    return headers.get("KV-Operation") in {"DEL", "PURGE"} or "Nats-Marker-Reason" in headers


def _cancelled() -> bool:
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
