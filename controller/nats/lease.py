"""A key of the fleet's bucket as the record of the process that leads, for fleets without Leases of
Kubernetes.

The key has no TTL: the server would judge by its own clock, and forget the holder while the server
restarts. Others judge by their own clocks, as with a Lease of Kubernetes.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

import msgspec
from nats.aio.msg import Msg

from controller.model.decoding import UndecodableError, decoded
from controller.model.lease import LeaseRecord, SeenLease
from controller.model.text import clean_name
from controller.nats.bucket import Bucket
from controller.nats.jetstream import NatsError
from controller.nats.session import NatsSession
from controller.ports import (
    Clock,
    LeaseAwayError,
    LeaseConflictError,
    LeaseRefusedError,
    StoreConflictError,
    StoreError,
    StoreMissingError,
    StoreRefusedError,
)

log = logging.getLogger(__name__)

KEY: Final = "lease"
RESUBSCRIBE_S: Final = 2.0

_RECORD: Final = msgspec.json.Decoder(LeaseRecord)


class BucketLease:
    """The `Lease` port on one key."""

    def __init__(self, session: NatsSession, bucket: Bucket, clock: Clock) -> None:
        self._session = session
        self._bucket = bucket
        self._clock = clock

    @property
    def name(self) -> str:
        """What it is and where."""
        return f"key {KEY} of {self._bucket}"

    async def read(self) -> SeenLease | None:
        """The value now. For a deleted key it is one without a holder, because a write has to
        replace its marker.
        """
        with self._lease_errors():
            try:
                entry = await self._bucket.get(KEY)
            except StoreMissingError:
                return None
        if entry is None:
            return None
        try:
            record = decoded(_RECORD, b"" if entry.deleted else entry.value)
        except UndecodableError:
            record = LeaseRecord(holder="", duration_s=0.0, acquired_at=0.0, renewed_at=0.0)
        return _seen(record, entry.revision)

    async def write(self, record: LeaseRecord, *, replaces: SeenLease | None) -> SeenLease:
        """Put it if the key has the version that was read. Creates the bucket if there is none."""
        expected = 0 if replaces is None else int(replaces.version)
        with self._lease_errors():
            if replaces is None:
                await self._make_sure_of_bucket()
            revision = await self._bucket.put(KEY, msgspec.json.encode(record), expected=expected)
        return _seen(record, revision)

    async def watch(self, on_change: Callable[[], None]) -> None:
        """Call back at each new value. Without the right to subscribe, nothing is noticed."""
        ended = asyncio.Event()

        def take(message: Msg | None) -> None:
            if message is None:
                ended.set()
            else:
                on_change()

        while True:
            ended.clear()
            try:
                subscription = await self._session.subscribe(self._bucket.subject(KEY), take)
            except NatsError as error:
                log.debug("%s is not watched: %s", self.name, error)
            else:
                try:
                    await ended.wait()
                finally:
                    await subscription.end()
            await self._clock.sleep(RESUBSCRIBE_S)

    async def _make_sure_of_bucket(self) -> None:
        """Create it if there is none. `Bucket.put` cannot notice that, because the watch of another
        process listens on the same subject.
        """
        try:
            await self._bucket.look()
        except StoreMissingError:
            await self._bucket.create()

    @contextmanager
    def _lease_errors(self) -> Iterator[None]:
        try:
            yield
        except StoreConflictError as error:
            raise LeaseConflictError(f"{self.name} was changed by another process") from error
        except StoreRefusedError as error:
            raise LeaseRefusedError(f"{self.name}: {error}; the docs list the rights") from error
        except StoreError as error:
            raise LeaseAwayError(f"{self.name}: {error}") from error


def _seen(record: LeaseRecord, revision: int) -> SeenLease:
    return SeenLease(
        holder=clean_name(record.holder),
        duration_s=record.duration_s,
        transitions=record.transitions,
        stamp=f"{record.acquired_at} {record.renewed_at}",
        version=str(revision),
    )
