"""Follows the keys of a bucket: first all existing keys, then each change."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from typing import Final, Protocol

from nats.aio.msg import Msg
from nats.js.api import ConsumerConfig, DeliverPolicy

from controller.nats.bucket import Bucket, BucketEntry, is_marker
from controller.nats.errors import NatsError, StreamMissingError, StreamRegressedError
from controller.nats.follower import Follower
from controller.nats.jetstream import StreamInfo
from controller.nats.session import NatsSession
from controller.ports import Clock

KEY_HEARTBEAT_S: Final = 2.0


class KeyListener(Protocol):
    """Receives keys and their changes. Called on the event loop, one call at a time."""

    def found(self, entries: Mapping[str, BucketEntry]) -> None:
        """All keys were read; `entries` includes the markers of deleted keys."""
        ...

    def changed(self, entry: BucketEntry) -> None:
        """This key has a new value, or was deleted."""
        ...

    def lost(self, reason: str) -> None:
        """Changes are missed from now on, until `found` is called."""
        ...


class BucketWatch:
    """Tells a listener of every key below `prefix` while `run` runs.

    A bucket that does not exist has no keys. A bucket that went back in time is not followed any
    more: only operators know whether its keys are still right.
    """

    def __init__(
        self,
        session: NatsSession,
        bucket: Bucket,
        prefix: str,
        listener: KeyListener,
        clock: Clock,
    ) -> None:
        self._bucket = bucket
        self._prefix = prefix
        self._listener = listener
        self._found: dict[str, BucketEntry] | None = {}
        self._seen_before = 0
        self._follower = Follower(session, clock, bucket.stream, self, heartbeat_s=KEY_HEARTBEAT_S)

    async def run(self) -> None:
        """Follow until cancelled, or until the bucket has gone back in time."""
        self._seen_before = self._bucket.highest
        await self._follower.run()

    def beginning(self, stream: StreamInfo) -> ConsumerConfig:
        """The latest value of every key. Raises StreamRegressedError."""
        last, seen = stream.state.last_seq, self._seen_before
        if last < seen:
            raise StreamRegressedError(
                f"{self._bucket} went back in time: its last revision is {last}, "
                f"{seen} was seen before"
            )
        self._found = {}
        return ConsumerConfig(
            name=f"agentdash-{secrets.token_hex(8)}",
            deliver_policy=DeliverPolicy.LAST_PER_SUBJECT,
            filter_subject=self._bucket.subject(f"{self._prefix}.>"),
        )

    def opened(self, pending: int) -> None:
        """Nothing is known of the keys before they are read."""

    def take(self, message: Msg, metadata: Msg.Metadata) -> None:
        """One key's latest value or marker."""
        revision = metadata.sequence.stream
        self._bucket.saw(revision)
        entry = BucketEntry(
            key=message.subject.removeprefix(self._bucket.subject("")),
            value=message.data,
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
            self._listener.found(found)

    def lost(self, error: NatsError) -> None:
        """Changes of keys may be missed from now on."""
        # an entry written while the stream is read again may be newer than the answer
        self._seen_before = self._bucket.highest
        if not isinstance(error, StreamMissingError):
            self._listener.lost(str(error))
        elif self._bucket.highest > 0:
            self._listener.lost(f"there is no {self._bucket} any longer")
        else:
            self._listener.found({})
