"""One KV bucket over a session's own requests: read from the stream's leader, written by
compare-and-set.

Wire format: NATS ADR-8 (JetStream based key-value stores) and ADR-1 (JetStream's JSON API).
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final, TypeVar

import msgspec

from controller.bus.session import NatsSession
from controller.model.text import clean
from controller.model.value import Value
from controller.ports import (
    NatsError,
    NatsNoRespondersError,
    StoreAwayError,
    StoreConflictError,
    StoreMissingError,
)

ANSWER_S: Final = 2.0
OPERATION: Final = "KV-Operation"
DELETED: Final = "DEL"
_EXPECTED: Final = "Nats-Expected-Last-Subject-Sequence"
# a value that was deleted, purged, or taken away by the server's own clock leaves a marker
_MARKER: Final = re.compile(rb"\r\n(?:KV-Operation: *(?:DEL|PURGE)|Nats-Marker-Reason:)")

_STREAM_NOT_FOUND: Final = 10059
_MESSAGE_NOT_FOUND: Final = 10037
_STREAM_EXISTS: Final = 10058
_WRONG_LAST: Final = frozenset({10071, 10164})

T = TypeVar("T")


class Entry(Value):
    """A key's latest value and its revision, written at `at` (Unix seconds by the server's clock).

    Of a deleted key the marker: `value` is what its deleter left there.
    """

    key: str
    value: bytes
    revision: int
    at: float
    deleted: bool = False


class _ApiError(msgspec.Struct):
    err_code: int = 0
    description: str = ""


class _Answer(msgspec.Struct):
    error: _ApiError | None = None


class _Message(msgspec.Struct):
    subject: str
    seq: int
    time: datetime
    hdrs: bytes = b""
    data: bytes = b""


class _MessageAnswer(msgspec.Struct):
    message: _Message


class _State(msgspec.Struct):
    last_seq: int
    subjects: dict[str, int] = msgspec.field(default_factory=dict)


class _StreamAnswer(msgspec.Struct):
    state: _State
    total: int = 0


class _Ack(msgspec.Struct):
    stream: str
    seq: int


class KeyValue:
    """A bucket that is made by the first write to it, unless it is there already: then it is used
    as its owner made it.

    Nothing is read from followers or mirrors: what they answer may be old. Every method raises
    StoreAwayError when there is no answer to be had, after which a write may or may not have
    happened; StoreMissingError when there is no such bucket.
    """

    def __init__(self, session: NatsSession, bucket: str) -> None:
        self._session = session
        self.bucket = bucket
        self.stream = f"KV_{bucket}"
        self.highest = 0
        """The highest revision met so far, whosever it was."""

    def subject(self, key: str) -> str:
        """Where a key's values are published."""
        return f"$KV.{self.bucket}.{key}"

    async def get(self, key: str) -> Entry | None:
        """The key's latest value or its marker; None if it never had one."""
        return await self._message({"last_by_subj": self.subject(key)})

    async def at_revision(self, revision: int) -> Entry | None:
        """What was written with this revision, if it has not been replaced since."""
        return await self._message({"seq": revision})

    async def entries(self, prefix: str) -> list[Entry]:
        """The latest value or marker of each key below `prefix`."""
        subjects = (await self._info(f"{prefix}.>")).subjects
        found = [await self._message({"last_by_subj": subject}) for subject in sorted(subjects)]
        return [entry for entry in found if entry is not None]

    async def last_revision(self) -> int:
        """The revision of the bucket's latest write."""
        return (await self._info(None)).last_seq

    async def put(self, key: str, value: bytes, *, expected: int) -> int:
        """Write if the key's latest revision is `expected` (0: it never had a value); returns the
        new revision. Raises StoreConflictError.
        """
        headers = {_EXPECTED: str(expected)}
        try:
            return await self._publish(key, value, headers)
        except StoreMissingError:
            await self.create()
            return await self._publish(key, value, headers)

    async def delete(self, key: str, *, expected: int, note: bytes = b"") -> int:
        """Leave a marker with a note if the key's latest revision is `expected`; returns the new
        revision. Raises StoreConflictError.
        """
        headers = {_EXPECTED: str(expected), OPERATION: DELETED}
        return await self._publish(key, note, headers)

    async def purge(self, prefix: str, *, before: int) -> None:
        """Forget what was written below `prefix` before this revision."""
        wanted = {"filter": self.subject(f"{prefix}.>"), "seq": before}
        await self.ask(f"STREAM.PURGE.{self.stream}", wanted, _Answer)

    async def create(self) -> None:
        """Make the bucket; nothing happens if it exists, however it is configured."""
        config = {
            "name": self.stream,
            "subjects": [self.subject(">")],
            "max_msgs_per_subject": 1,
            "discard": "new",
            "allow_rollup_hdrs": True,
            "deny_delete": True,
            "allow_direct": True,
        }
        answer = await self._request(f"$JS.API.STREAM.CREATE.{self.stream}", config)
        error = self._decode(answer, _Answer).error
        if error is not None and error.err_code != _STREAM_EXISTS:
            raise StoreAwayError(f"{self._where()} cannot be made: {clean(error.description)}")

    def saw(self, revision: int) -> None:
        """Remember the highest revision met."""
        self.highest = max(self.highest, revision)

    async def ask(self, verb: str, payload: Mapping[str, Any], kind: type[T]) -> T:
        """Ask JetStream's API about the bucket's stream; the answer as a `kind`."""
        answer = await self._request(f"$JS.API.{verb}", payload)
        error = self._decode(answer, _Answer).error
        if error is None:
            return self._decode(answer, kind)
        if error.err_code == _STREAM_NOT_FOUND:
            raise StoreMissingError(f"there is no {self._where()}")
        raise self._refused(error)

    async def _message(self, which: Mapping[str, Any]) -> Entry | None:
        try:
            answer = await self.ask(f"STREAM.MSG.GET.{self.stream}", which, _MessageAnswer)
        except StoreAwayError as error:
            if error.code == _MESSAGE_NOT_FOUND:
                return None
            raise
        message = answer.message
        self.saw(message.seq)
        return Entry(
            key=message.subject.removeprefix(self.subject("")),
            value=message.data,
            revision=message.seq,
            at=message.time.timestamp(),
            deleted=_MARKER.search(message.hdrs) is not None,
        )

    async def _info(self, keys: str | None) -> _State:
        wanted = {} if keys is None else {"subjects_filter": self.subject(keys)}
        answer = await self.ask(f"STREAM.INFO.{self.stream}", wanted, _StreamAnswer)
        if keys is not None and len(answer.state.subjects) < answer.total:
            raise StoreAwayError(f"{self._where()} has more keys than one answer holds")
        return answer.state

    async def _publish(self, key: str, value: bytes, headers: Mapping[str, str]) -> int:
        try:
            answer = await self._session.request(self.subject(key), value, ANSWER_S, headers)
        except NatsNoRespondersError as error:
            raise StoreMissingError(f"there is no {self._where()}") from error
        except NatsError as error:
            raise StoreAwayError(str(error)) from error
        refusal = self._decode(answer, _Answer).error
        if refusal is not None and refusal.err_code in _WRONG_LAST:
            raise StoreConflictError(f"{clean(key)} was written by somebody else meanwhile")
        if refusal is not None:
            raise self._refused(refusal)
        ack = self._decode(answer, _Ack)
        if ack.stream != self.stream:
            raise StoreAwayError(
                f"stream {clean(ack.stream)} takes what is meant for {self.stream}"
            )
        self.saw(ack.seq)
        return ack.seq

    async def _request(self, subject: str, payload: Mapping[str, Any]) -> bytes:
        try:
            return await self._session.request(subject, json.dumps(payload).encode(), ANSWER_S)
        except NatsError as error:
            raise StoreAwayError(str(error)) from error

    def _decode(self, answer: bytes, kind: type[T]) -> T:
        try:
            return msgspec.json.decode(answer, type=kind)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise StoreAwayError(f"{self._where()}: an answer nobody can read") from error

    def _refused(self, error: _ApiError) -> StoreAwayError:
        return StoreAwayError(f"{self._where()}: {clean(error.description)}", error.err_code)

    def _where(self) -> str:
        return f"bucket {self.bucket}"
