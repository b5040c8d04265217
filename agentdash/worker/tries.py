"""How often each message was tried.

A try is counted before it begins, so that one whose worker died is counted too.

JetStream counts deliveries, and not each of them is a try: some are handed back, and some reach no
living worker. The first delivery is taken for a try without a word about it, so that a task that
ends at its first try costs nothing here.
"""

from __future__ import annotations

import logging
from typing import Final

import msgspec
from nats.js import JetStreamContext
from nats.js.errors import KeyNotFoundError, KeyWrongLastSequenceError
from nats.js.kv import KeyValue

from agentdash.worker.errors import UnreadableStoreError
from agentdash.worker.streams import TRIES_BUCKET, bucket
from agentdash.worker.task import Tries
from controller.model.decoding import UndecodableError, decoded
from controller.model.text import clean

log = logging.getLogger(__name__)


class Tried(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How often a task was begun and not handed back, and how many of these tries ended with an
    error. `again`: it was published once more, so that this message is no longer to be done.
    """

    begun: Tries = 0
    failed: Tries = 0
    again: bool = False

    @property
    def lost(self) -> int:
        """The tries whose worker lived neither to end nor to hand back the task."""
        return self.begun - self.failed

    def with_try(self, *, failed: bool = False) -> Tried:
        """One try more."""
        return msgspec.structs.replace(
            self, begun=self.begun + 1, failed=self.failed + (1 if failed else 0)
        )

    def words(self) -> str:
        """Why there is no further try: `began 5 times and no worker lived to end it`."""
        if not self.lost:
            return f"{self.failed} tries failed"
        if not self.failed:
            return f"began {_times(self.begun)} and no worker lived to end it"
        return (
            f"began {_times(self.begun)}: {_times(self.lost)} no worker lived to end it, and "
            f"{_times(self.failed)} it failed"
        )


_TRIED: Final = msgspec.json.Decoder(Tried | int)


class TryCounts:
    """The tries of one pool's messages."""

    def __init__(self, stream: JetStreamContext, tenant: str, pool: str) -> None:
        self._bucket = bucket(stream, TRIES_BUCKET)
        self._tenant, self._pool = tenant, pool

    def of(self, task: str, message: int, delivered: int, earlier: Tried) -> TryRecord:
        """Those of a task's message, as seen by its delivery number `delivered`, from 1. `message`
        is its sequence in the stream; `earlier` are the tries of messages before it.
        """
        key = f"{self._tenant}.{self._pool}.{task}.{message}"
        return TryRecord(self._bucket, key, delivered, earlier)


class TryRecord:
    """The tries of one message, seen and counted by one of its deliveries.

    All methods raise nats.errors.Error. Where another delivery has counted meanwhile, its number
    stays.
    """

    def __init__(self, store: KeyValue, key: str, delivered: int, earlier: Tried) -> None:
        self._bucket = store
        self._key = key
        self._delivered = delivered
        self._earlier = earlier
        self._before: Tried | None = None
        self._revision = 0
        self._is_counted = delivered == 1

    async def before(self) -> Tried:
        """The tries before this delivery. Raises UnreadableStoreError if the value is none."""
        if self._before is None:
            self._before = self._earlier if self._delivered == 1 else await self._read()
        return self._before

    async def _read(self) -> Tried:
        try:
            entry = await self._bucket.get(self._key)
        except KeyNotFoundError:
            return self._earlier.with_try()  # the first delivery, of which nothing is written
        self._revision = entry.revision or 0
        try:
            found = decoded(_TRIED, entry.value or b"")
        except UndecodableError as error:
            raise UnreadableStoreError(
                f"{self._key} in {TRIES_BUCKET} is no count of tries: {error}; delete it, and they "
                f"count anew: nats kv del {TRIES_BUCKET} {self._key}",
                revision=self._revision,
            ) from None
        if isinstance(found, Tried):
            return found
        # an older worker has counted what was handed back
        tries = max(0, self._delivered - 1 - found)
        return msgspec.structs.replace(self._earlier, begun=self._earlier.begun + tries)

    async def begin(self) -> None:
        """Count this delivery as a try, before its work begins. Raises UnreadableStoreError."""
        if not self._is_counted:
            await self._write((await self.before()).with_try())
            self._is_counted = True

    async def fail(self) -> None:
        """This try has failed. Raises UnreadableStoreError."""
        await self._write((await self.before()).with_try(failed=True))

    async def take_back(self) -> None:
        """This delivery was no try: it is handed back. Raises UnreadableStoreError."""
        if self._is_counted:
            await self._write(await self.before())
            self._is_counted = False

    async def published_again(self) -> None:
        """Another message has the task from now on. Raises UnreadableStoreError."""
        await self._write(msgspec.structs.replace(await self.before(), again=True))

    async def _write(self, tried: Tried) -> None:
        encoded = msgspec.json.encode(tried)
        try:
            self._revision = await self._bucket.update(self._key, encoded, last=self._revision)
        except KeyWrongLastSequenceError as error:
            log.debug("another delivery counts the tries of %s: %s", self._key, clean(error))


def _times(number: int) -> str:
    return "once" if number == 1 else f"{number} times"
