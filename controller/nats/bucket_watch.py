"""Follows the keys of a bucket: first all existing keys, then each change."""

from __future__ import annotations

import logging
import secrets
from collections.abc import Mapping
from datetime import datetime
from typing import Final, Protocol

from nats.aio.msg import Msg
from nats.js.api import ConsumerConfig, DeliverPolicy

from controller.model.readings import Why
from controller.nats.bucket import Bucket, BucketEntry, is_marker
from controller.nats.errors import NatsError, StreamMissingError
from controller.nats.follower import Follower
from controller.nats.jetstream import StreamInfo
from controller.nats.session import NatsSession
from controller.ports.clock import Clock

log = logging.getLogger(__name__)

KEY_HEARTBEAT_S: Final = 2.0
KEY_RETRY_MOST_S: Final = 1.0
"""A bucket that is made while none was there is read so soon: it may hold a freeze."""
KEPT_OF_A_VALUE_BYTES: Final = 64 * 1024


class KeyListener(Protocol):
    """Receives keys and their changes. Called on the event loop, one call at a time."""

    def found(self, entries: Mapping[str, BucketEntry], *, is_another: bool) -> None:
        """All keys were read; `entries` includes the markers of deleted keys. `is_another`: the
        bucket is not the one that was followed before: it was restored, or deleted and made again.
        """
        ...

    def changed(self, entry: BucketEntry) -> None:
        """This key has a new value, or was deleted."""
        ...

    def lost(self, reason: str, why: Why) -> None:
        """Changes are missed from now on, until `found` is called."""
        ...


class BucketWatch:
    """Tells a listener of every key that matches the pattern `keys` while `run` runs.

    A bucket that does not exist has no keys. One that went back in time, or was made anew, is
    followed on, and the listener is told: it must not miss what operators ask for there. One that
    `may_begin_anew` may also be gone: its keys are written again by those who wrote them.
    """

    def __init__(
        self,
        session: NatsSession,
        bucket: Bucket,
        keys: str,
        listener: KeyListener,
        clock: Clock,
        *,
        may_begin_anew: bool = False,
    ) -> None:
        self._bucket = bucket
        self._keys = keys
        self._may_begin_anew = may_begin_anew
        self._listener = listener
        self._found: dict[str, BucketEntry] | None = {}
        self._seen_before = 0
        self._created: datetime | None = None
        self._is_another = False
        self._follower = Follower(
            session,
            clock,
            bucket.stream,
            self,
            heartbeat_s=KEY_HEARTBEAT_S,
            retry_most_s=KEY_RETRY_MOST_S,
        )

    async def run(self) -> None:
        """Follow until cancelled."""
        self._seen_before = self._bucket.highest
        await self._follower.run()

    def beginning(self, stream: StreamInfo) -> ConsumerConfig:
        """The latest value of every key."""
        last, seen = stream.state.last_seq, self._seen_before
        if last < seen or self._created not in {None, stream.created}:
            log.warning("%s is another than before: it has %d of %d", self._bucket, last, seen)
            self._bucket.begins_again()
            self._is_another = True
        self._created = stream.created
        self._found = {}
        return ConsumerConfig(
            name=f"agentdash-{secrets.token_hex(8)}",
            deliver_policy=DeliverPolicy.LAST_PER_SUBJECT,
            filter_subject=self._bucket.subject(self._keys),
        )

    def opened(self, pending: int) -> None:
        """Nothing is known of the keys before they are read."""

    def take(self, message: Msg, metadata: Msg.Metadata) -> None:
        """One key's latest value or marker."""
        revision = metadata.sequence.stream
        self._bucket.saw(revision)
        entry = BucketEntry(
            key=message.subject.removeprefix(self._bucket.subject("")),
            # what is longer cannot be read in any case, and thousands of them would fill the memory
            value=message.data[:KEPT_OF_A_VALUE_BYTES],
            revision=revision,
            at=metadata.timestamp.timestamp(),
            deleted=is_marker(message.headers or {}),
        )
        if self._found is None:
            self._listener.changed(entry)
        else:
            self._found[entry.key] = entry

    def up_to_date(self) -> None:
        """All keys have been read."""
        found, self._found = self._found, None
        if found is not None:
            self._listener.found(found, is_another=self._is_another)
            self._is_another = False

    def lost(self, error: NatsError) -> None:
        """Changes of keys may be missed from now on."""
        # an entry written while the stream is read again may be newer than the answer
        self._seen_before = self._bucket.highest
        if not isinstance(error, StreamMissingError):
            self._listener.lost(str(error), error.why)
        elif self._bucket.highest > 0 and not self._may_begin_anew:
            self._listener.lost(f"there is no {self._bucket} any longer", error.why)
        else:
            self._listener.found({}, is_another=False)
