"""One key-value bucket, read from the stream's leader and written by compare-and-set.

Wire format: NATS ADR-8 (JetStream based key-value stores).

It stands on nats-py's JetStreamContext. nats-py 2.16's KeyValue, made with `direct=False`, reads
from the leader too, but only its `update` could be used as it is: its `get` tells no time (its
`created` is None) and takes the marker that the server leaves for an expired key for a value, its
`delete` takes no note and returns no revision, and for its watch see follow.py.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Final, NamedTuple

from nats.js.api import DiscardPolicy, Header, StreamConfig
from nats.js.client import KV_PRE_TEMPLATE, KV_STREAM_TEMPLATE
from nats.js.kv import KV_DEL, KV_MARKER_REASON, KV_OP, KV_PURGE

from controller.model.text import clean
from controller.model.value import INT64_MAX, Value
from controller.nats.jetstream import (
    ANSWER_S,
    JetStreamError,
    MessageMissingError,
    NatsError,
    NatsRefusedError,
    RevisionConflictError,
    StreamExistsError,
    StreamMissingError,
    UnreadableAnswerError,
    stream_info,
    typed_errors,
)
from controller.nats.session import NatsSession
from controller.ports import (
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
    """The server's clock (Unix seconds), and the values kept of each key (None: all)."""

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
        """The highest revision of any key seen so far, since the bucket was made or restored."""

    def most_value_bytes(self) -> int:
        """The largest value that the server takes. Raises StoreAwayError."""
        with self._errors():
            return max(self._session.max_payload - _HEADERS_BYTES, 1)

    def subject(self, key: str) -> str:
        """Where a key's values are published."""
        return f"{KV_PRE_TEMPLATE.format(bucket=self.name)}{key}"

    async def get(self, key: str) -> BucketEntry | None:
        """The key's latest value or its marker; None if it never had a value."""
        return await self._message(subject=self.subject(key))

    async def at_revision(self, revision: int) -> BucketEntry | None:
        """What was written with this revision, if it has not been replaced since."""
        return await self._message(seq=revision)

    async def entries(
        self, prefix: str, wanted: Callable[[str], bool] = lambda _: True
    ) -> list[BucketEntry]:
        """The latest value or marker of each key below `prefix` that is `wanted`, in their order.

        Many are asked for at once, for each is a request of its own; more than `MOST_KEYS` raise
        StoreUnreadableError.
        """
        with self._errors():
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
        """Write at this revision (0: none); returns the new one. Raises StoreConflictError."""
        headers = {Header.EXPECTED_LAST_SUBJECT_SEQUENCE.value: str(expected)}
        return await self._published(key, value, headers)

    async def _published(self, key: str, value: bytes, headers: dict[str, str]) -> int:
        try:
            return await self._publish(key, value, headers)
        except StoreMissingError:
            await self.create()
            return await self._publish(key, value, headers)

    async def delete(self, key: str, *, expected: int, note: bytes) -> int:
        """Leave a note at this revision; returns the marker's. Raises StoreConflictError."""
        headers = {
            Header.EXPECTED_LAST_SUBJECT_SEQUENCE.value: str(expected),
            KV_OP: KV_DEL,
        }
        return await self._published(key, note, headers)

    async def may_write(self, key: str) -> bool:
        """Whether we may write this key, asked by a write that no server can take."""
        headers = {Header.EXPECTED_LAST_SUBJECT_SEQUENCE.value: str(INT64_MAX)}
        try:
            await self._publish(key, b"", headers)
        except StoreRefusedError:
            return False
        except (StoreConflictError, StoreMissingError):
            pass
        return True

    async def history(self, keys: str) -> list[BucketEntry]:
        """Values and markers kept of keys like `intent.>`, the oldest first."""
        found: list[BucketEntry] = []
        pattern, revision = self.subject(keys), 1
        while entry := await self._message(subject=pattern, seq=revision, is_next=True):
            found.append(entry)
            revision = entry.revision + 1
        return found

    async def look(self) -> BucketNow:
        """The server's clock, and how much the bucket keeps."""
        with self._errors():
            info = await stream_info(self._session, self.stream, ANSWER_S)
        kept = info.config.max_msgs_per_subject
        return BucketNow(info.ts.timestamp() if info.ts else None, kept if kept > 0 else None)

    async def purge(self, prefix: str, *, before: int) -> None:
        """Delete what was written below `prefix` before this revision."""
        with self._errors():
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
        with suppress(StreamExistsError), self._errors(" cannot be created"):
            await self._session.jetstream().add_stream(config)

    def __str__(self) -> str:
        return f"bucket {self.name}"

    async def _publish(self, key: str, value: bytes, headers: Mapping[str, str]) -> int:
        subject = self._session.where_to_write(self.subject(key))
        try:
            with self._errors():
                ack = await self._session.jetstream().publish(subject, value, headers=dict(headers))
        except RevisionConflictError:
            raise StoreConflictError(f"{clean(key)} was changed by another writer") from None
        if ack.stream != self.stream:
            raise StoreAwayError(
                f"stream {clean(ack.stream)} takes what is meant for {self.stream}"
            )
        self.highest = max(self.highest, ack.seq)
        return ack.seq

    async def _message(
        self, *, subject: str | None = None, seq: int | None = None, is_next: bool = False
    ) -> BucketEntry | None:
        try:
            with self._errors():
                # direct=False: from the leader
                found = await self._session.jetstream().get_msg(
                    self.stream, seq, subject, direct=False, next=is_next
                )
                if found.subject is None or found.seq is None or found.time is None:
                    raise UnreadableAnswerError("a message without subject, number or time")
                entry = BucketEntry(
                    key=found.subject.removeprefix(self.subject("")),
                    value=found.data or b"",
                    revision=found.seq,
                    at=found.time.timestamp(),
                    deleted=is_marker(found.headers or {}),
                )
        except MessageMissingError:
            return None
        self.highest = max(self.highest, entry.revision)
        return entry

    @contextmanager
    def _errors(self, trouble: str = "") -> Iterator[None]:
        """Turns all that nats-py raises into StoreError, but for what an answer says of one key."""
        try:
            with typed_errors():
                yield
        except (MessageMissingError, RevisionConflictError, StreamExistsError):
            raise
        except StreamMissingError as error:
            raise StoreMissingError(f"there is no {self}") from error
        except JetStreamError as error:
            raise StoreAwayError(f"{self}{trouble}: {error}") from error
        except NatsRefusedError as error:
            raise StoreRefusedError(str(error)) from error
        except NatsError as error:
            raise StoreAwayError(str(error)) from error


def is_marker(headers: Mapping[str, str]) -> bool:
    """Whether these are the headers of the marker that a deleted or expired key leaves behind."""
    return headers.get(KV_OP) in _DELETED or KV_MARKER_REASON in headers


log = logging.getLogger(__name__)

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
