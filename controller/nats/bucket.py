"""One key-value bucket, read from the stream's leader and written by compare-and-set.

Wire format: NATS ADR-8 (JetStream based key-value stores).

It stands on nats-py's JetStreamContext. nats-py's KeyValue, made with `direct=False`, reads from
the leader too, but only its `update` could be used as it is: its `get` tells no time and takes the
marker that the server leaves for an expired key for a value, its `delete` takes no note and returns
no revision, and its watch is blind for 20 s after a restart of the server (measured).
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import datetime
from typing import Final, NamedTuple, Protocol

from nats.aio.msg import Msg
from nats.js.api import (
    ConsumerConfig,
    DeliverPolicy,
    DiscardPolicy,
    Header,
    RawStreamMsg,
    StreamConfig,
)
from nats.js.client import KV_PRE_TEMPLATE, KV_STREAM_TEMPLATE
from nats.js.kv import KV_DEL, KV_MARKER_REASON, KV_OP, KV_PURGE

from controller.model.readings import Why
from controller.model.text import clean
from controller.model.value import INT64_MAX, Value
from controller.nats.follower import Follower
from controller.nats.jetstream import (
    ANSWER_S,
    JetStreamError,
    MessageMissingError,
    NatsError,
    NatsNoRespondersError,
    NatsRefusedError,
    RevisionConflictError,
    StreamExistsError,
    StreamInfo,
    StreamMissingError,
    UnreadableAnswerError,
    stream_info,
    typed_errors,
)
from controller.nats.session import NatsSession
from controller.ports import (
    Clock,
    StoreAwayError,
    StoreConflictError,
    StoreError,
    StoreMissingError,
    StoreRefusedError,
    StoreUnreadableError,
)

_DELETED: Final = frozenset({KV_DEL, KV_PURGE})
_AT_ONCE: Final = 64
_HEADERS_BYTES: Final = 512
"""What the headers of a write take at most of a message."""
MOST_KEYS: Final = 50_000
"""Each of 10,000 pools may have five intents."""
HISTORY: Final = 64
"""Values that are kept of each key, the most that ADR-8 allows: they are the audit of intents."""


class BucketEntry(Value):
    """A key's latest value and its revision, written at `at` (Unix seconds by the server's clock).

    For a deleted key it is the marker, and `value` is the marker's payload.
    """

    key: str
    value: bytes
    revision: int
    at: float
    deleted: bool = False


class BucketNow(NamedTuple):
    """The server's clock (Unix seconds; None if it does not tell), and how many values of each key
    the bucket keeps (None: all).
    """

    at: float | None
    history: int | None


class Bucket:
    """A bucket. The first write creates it if it does not exist; an existing bucket keeps its own
    configuration.

    Nothing is read from replicas or mirrors, because what they answer may be old. Every method
    raises StoreAwayError when there is no answer, after which a write may or may not have happened,
    StoreRefusedError when our user may not do this, and StoreMissingError when there is no such
    bucket.
    """

    def __init__(self, session: NatsSession, name: str, *, history: int = HISTORY) -> None:
        """`history` is how many values of each key it keeps, if it is created here."""
        self._session = session
        self._history = history
        self.name = name
        self.stream: str = KV_STREAM_TEMPLATE.format(bucket=name)
        self.highest = 0
        """The highest revision of any key seen so far."""

    def most_value_bytes(self) -> int:
        """The largest value that the server takes. Raises StoreAwayError."""
        with self._store_errors():
            return max(self._session.max_payload - _HEADERS_BYTES, 1)

    def subject(self, key: str) -> str:
        """Where a key's values are published."""
        return f"{KV_PRE_TEMPLATE.format(bucket=self.name)}{key}"

    async def get(self, key: str) -> BucketEntry | None:
        """The key's latest value or its marker; None if it never had a value."""
        return await self._message(subject=self.subject(key))

    async def at_revision(self, revision: int) -> BucketEntry | None:
        """What was written with this revision, if it has not been replaced since."""
        return await self._message(revision=revision)

    async def entries(
        self, prefix: str, wanted: Callable[[str], bool] = lambda _: True
    ) -> list[BucketEntry]:
        """The latest value or marker of each key below `prefix` that is `wanted`, in their order.

        Many are asked for at once, for each is a request of its own; more than `MOST_KEYS` raise
        StoreUnreadableError.
        """
        with self._store_errors():
            pattern = self.subject(f"{prefix}.>")
            info = await stream_info(self._session, self.stream, ANSWER_S, subjects=pattern)
        subjects = info.state.subjects
        if len(subjects) < info.total:
            raise StoreUnreadableError(f"{self} has more keys than one answer holds")
        start = len(self.subject(""))
        asked = sorted(subject for subject in subjects if wanted(subject[start:]))
        if len(asked) > MOST_KEYS:
            raise StoreUnreadableError(f"{self} has {len(asked):,} keys, {MOST_KEYS:,} at most")
        found: list[BucketEntry | None] = []
        for first in range(0, len(asked), _AT_ONCE):
            part = asked[first : first + _AT_ONCE]
            found += await asyncio.gather(*(self._message(subject=subject) for subject in part))
        return [entry for entry in found if entry is not None]

    async def put(self, key: str, value: bytes, *, expected: int) -> int:
        """Write if the key's latest revision is `expected` (0: it never had a value); returns the
        new revision. Raises StoreConflictError.
        """
        headers = {Header.EXPECTED_LAST_SUBJECT_SEQUENCE.value: str(expected)}
        try:
            return await self._publish(key, value, headers)
        except StoreMissingError:
            await self.create()
            return await self._publish(key, value, headers)

    async def delete(self, key: str, *, expected: int, note: bytes) -> int:
        """Leave a marker with a note if the key's latest revision is `expected`; returns the
        marker's revision. Raises StoreConflictError.
        """
        headers = {
            Header.EXPECTED_LAST_SUBJECT_SEQUENCE.value: str(expected),
            KV_OP: KV_DEL,
        }
        return await self._publish(key, note, headers)

    async def may_write(self, key: str) -> bool:
        """Whether our user may write this key. It is asked by a write that the server cannot take:
        the revision that it expects is the last of all numbers.
        """
        headers = {Header.EXPECTED_LAST_SUBJECT_SEQUENCE.value: str(INT64_MAX)}
        try:
            await self._publish(key, b"", headers)
        except StoreRefusedError:
            return False
        except (StoreConflictError, StoreMissingError):
            return True
        return True

    async def history(self, keys: str) -> list[BucketEntry]:
        """Every value and marker that is kept of the keys that match a pattern such as `intent.>`,
        the oldest first.
        """
        found: list[BucketEntry] = []
        pattern, revision = self.subject(keys), 1
        while (entry := await self._message(subject=pattern, onwards_from=revision)) is not None:
            found.append(entry)
            revision = entry.revision + 1
        return found

    async def look(self) -> BucketNow:
        """The server's clock, and how much the bucket keeps."""
        with self._store_errors():
            info = await stream_info(self._session, self.stream, ANSWER_S)
        kept = info.config.max_msgs_per_subject
        return BucketNow(info.ts.timestamp() if info.ts else None, kept if kept > 0 else None)

    async def purge(self, prefix: str, *, before: int) -> None:
        """Delete what was written below `prefix` before this revision."""
        with self._store_errors(), typed_errors():
            pattern = self.subject(f"{prefix}.>")
            await self._session.jetstream().purge_stream(self.stream, seq=before, subject=pattern)

    async def create(self) -> None:
        """Create the bucket; nothing happens if it exists, however it is configured."""
        config = StreamConfig(
            name=self.stream,
            subjects=[self.subject(">")],
            max_msgs_per_subject=self._history,
            discard=DiscardPolicy.NEW,
            allow_rollup_hdrs=True,
            deny_delete=True,
            allow_direct=True,
            num_replicas=self._session.replicas,
        )
        with self._store_errors(), suppress(StreamExistsError):
            try:
                with typed_errors():
                    await self._session.jetstream().add_stream(config)
            except StreamExistsError:
                raise
            except JetStreamError as error:
                raise StoreAwayError(f"{self} cannot be created: {error}") from error

    def saw(self, revision: int) -> None:
        """Remember the highest revision seen."""
        self.highest = max(self.highest, revision)

    def begins_again(self) -> None:
        """Forget the highest revision: the bucket was restored, or made anew."""
        self.highest = 0

    def __str__(self) -> str:
        return f"bucket {self.name}"

    async def _publish(self, key: str, value: bytes, headers: Mapping[str, str]) -> int:
        with self._store_errors():
            jetstream = self._session.jetstream()
            subject = self._session.where_to_write(self.subject(key))
            try:
                with typed_errors():
                    ack = await jetstream.publish(subject, value, headers=dict(headers))
            except RevisionConflictError:
                raise StoreConflictError(f"{clean(key)} was changed by another writer") from None
            except NatsNoRespondersError as error:
                raise StoreMissingError(f"there is no {self}") from error
        if ack.stream != self.stream:
            raise StoreAwayError(
                f"stream {clean(ack.stream)} takes what is meant for {self.stream}"
            )
        self.saw(ack.seq)
        return ack.seq

    async def _message(
        self,
        *,
        subject: str | None = None,
        revision: int | None = None,
        onwards_from: int | None = None,
    ) -> BucketEntry | None:
        is_next = onwards_from is not None
        with self._store_errors():
            jetstream = self._session.jetstream()
            try:
                with typed_errors():
                    # direct=False: from the leader
                    found = await jetstream.get_msg(
                        self.stream, onwards_from or revision, subject, direct=False, next=is_next
                    )
                    entry = self._entry(found)
            except MessageMissingError:
                return None
        self.saw(entry.revision)
        return entry

    def _entry(self, message: RawStreamMsg) -> BucketEntry:
        if message.subject is None or message.seq is None or message.time is None:
            raise UnreadableAnswerError("a message without subject, number or time")
        return BucketEntry(
            key=message.subject.removeprefix(self.subject("")),
            value=message.data or b"",
            revision=message.seq,
            at=message.time.timestamp(),
            deleted=is_marker(message.headers or {}),
        )

    @contextmanager
    def _store_errors(self) -> Iterator[None]:
        """Turns NatsError into StoreError."""
        try:
            yield
        except StreamMissingError as error:
            raise StoreMissingError(f"there is no {self}") from error
        except JetStreamError as error:
            raise StoreAwayError(f"{self}: {error}") from error
        except NatsRefusedError as error:
            raise StoreRefusedError(str(error)) from error
        except NatsError as error:
            raise StoreAwayError(str(error)) from error


def is_marker(headers: Mapping[str, str]) -> bool:
    """Whether these are the headers of the marker that a deleted or expired key leaves behind."""
    return headers.get(KV_OP) in _DELETED or KV_MARKER_REASON in headers


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


PROBE: Final = "intent.may-we-write"
"""It stands for no intent, and the server takes nothing for it: see Bucket.may_write."""


class WriteRights:
    """`refused` is False until the server has said no."""

    def __init__(self, session: NatsSession, bucket: Bucket) -> None:
        self._bucket = bucket
        self._connected = asyncio.Event()
        self._connected.set()  # the session may be connected already
        self.refused = False
        session.on_connected(self._connected.set)

    async def run(self) -> None:
        """Ask until cancelled."""
        while True:
            await self._connected.wait()
            self._connected.clear()
            try:
                self.refused = not await self._bucket.may_write(PROBE)
            except StoreError as error:
                log.debug("whether intents may be written is not known: %s", error)
