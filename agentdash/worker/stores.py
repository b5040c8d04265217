"""What is kept of a task beside its message: its result and its checkpoint."""

from __future__ import annotations

import asyncio
import base64
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from hashlib import sha256
from typing import Any, Final, NamedTuple

import msgspec
from nats.errors import TimeoutError as NatsTimeoutError
from nats.js import JetStreamContext
from nats.js.api import ObjectInfo, ObjectMeta
from nats.js.errors import (
    BadObjectMetaError,
    BadRequestError,
    DigestMismatchError,
    KeyNotFoundError,
    KeyWrongLastSequenceError,
    LinkIsABucketError,
    NotFoundError,
)
from nats.js.object_store import (
    OBJ_CHUNKS_PRE_TEMPLATE,
    OBJ_DIGEST_TEMPLATE,
    OBJ_STREAM_TEMPLATE,
    ObjectStore,
)

from agentdash.worker.errors import UnreadableStoreError
from agentdash.worker.link import ANSWER_S
from agentdash.worker.results import RESULTS_BUCKET, TaskResult, result_key
from agentdash.worker.streams import bucket, checkpoints_bucket
from controller.model.decoding import UndecodableError, decoded
from controller.model.servers import ErrorCode
from controller.model.text import clean

_RESULT: Final = msgspec.json.Decoder(TaskResult)
_STATE: Final = msgspec.json.Decoder()
_WRONG_REVISION: Final = frozenset(
    {ErrorCode.WRONG_LAST_SEQUENCE, ErrorCode.WRONG_LAST_SEQUENCE_CONSTANT}
)
_COUNT: Final = re.compile(rb"\d{1,19}")
_HEADER: Final = "Agentdash-Revision"
_RUN_HEADER: Final = "Agentdash-Delivery"


class StoredResult(NamedTuple):
    """A result, and the revision by which it can be deleted."""

    result: TaskResult
    revision: int


class Results:
    """The results of one pool's tasks. All methods raise nats.errors.Error."""

    def __init__(self, stream: JetStreamContext, tenant: str, pool: str) -> None:
        self._bucket = bucket(stream, RESULTS_BUCKET)
        self._tenant, self._pool = tenant, pool

    async def get(self, task: str) -> StoredResult | None:
        """The result of a task that has ended, and None before that. Raises UnreadableStoreError
        if a value is there that is none.
        """
        key = result_key(self._tenant, self._pool, task)
        try:
            entry = await self._bucket.get(key)
        except KeyNotFoundError:
            return None
        revision = entry.revision or 0
        try:
            return StoredResult(decoded(_RESULT, entry.value or b""), revision)
        except UndecodableError as error:
            raise UnreadableStoreError(
                f"{key} in {RESULTS_BUCKET} is no result: {error}; to have the task done, delete "
                f"it: nats kv del {RESULTS_BUCKET} {key}",
                revision=revision,
            ) from None

    async def keep(self, result: TaskResult) -> TaskResult:
        """Store the result if there is none; returns the one that counts, the first. A value that
        is no result is replaced.
        """
        encoded = msgspec.json.encode(result)
        key = result_key(self._tenant, self._pool, result.id)
        unreadable = 0
        while True:
            try:
                if unreadable:
                    await self._bucket.update(key, encoded, last=unreadable)
                else:
                    await self._bucket.create(key, encoded)
            except KeyWrongLastSequenceError:
                unreadable = 0
                try:
                    first = await self.get(result.id)
                except UnreadableStoreError as error:
                    unreadable = error.revision
                    continue
                if first is None:  # it has expired meanwhile
                    continue
                return first.result
            return result

    async def forget(self, stored: StoredResult) -> bool:
        """Delete this result, so that the task can be done again; False if it is another now."""
        key = result_key(self._tenant, self._pool, stored.result.id)
        try:
            await self._bucket.delete(key, last=stored.revision)
        except BadRequestError as error:
            if error.err_code in _WRONG_REVISION:
                return False
            raise
        return True


class DeliveryNumber(NamedTuple):
    """Which delivery of a task: the sequence of its message in the stream, and which delivery of
    that message. A task that is published once more has a later message; deliveries compare so.
    """

    message: int
    time: int


class StoredCheckpoint(NamedTuple):
    """A state and its number: 1 for the first of a task."""

    state: Any
    revision: int


class Checkpoints:
    """The last checkpoint of each task of one pool, in the object store of its tenant.

    All methods raise nats.errors.Error.
    """

    def __init__(self, stream: JetStreamContext, tenant: str, pool: str) -> None:
        self._stream = stream
        self._bucket = checkpoints_bucket(tenant)
        self._stored_in = OBJ_STREAM_TEMPLATE.format(bucket=self._bucket)
        self._objects = ObjectStore(name=self._bucket, stream=self._stored_in, js=stream)
        self._place = f"{tenant}/{pool}"

    async def load(self, task: str) -> StoredCheckpoint | None:
        """The last one of a task; None if there is none. Raises UnreadableStoreError if it cannot
        be read, or not within ANSWER_S.
        """
        name = f"{self._place}/{task}"
        with _readable(self._bucket, name):
            async with asyncio.timeout(ANSWER_S):
                try:
                    info = await self._objects.get_info(name)
                except NotFoundError:
                    return None
                state = decoded(_STATE, await self._content(info))
            return StoredCheckpoint(state, _number((info.headers or {}).get(_HEADER, "0"), _HEADER))

    async def _content(self, info: ObjectInfo) -> bytes:
        """The bytes of an object, by the right to get messages alone: ObjectStore.get also looks
        for the stream by its subject and makes a consumer. Raises DigestMismatchError, LookupError,
        TypeError.
        """
        if info.is_link():
            raise LinkIsABucketError
        subject = OBJ_CHUNKS_PRE_TEMPLATE.format(bucket=self._bucket, obj=info.nuid)
        content, sequence = bytearray(), 1
        while len(content) < (info.size or 0):
            try:
                chunk = await self._stream.get_msg(
                    self._stored_in, seq=sequence, subject=subject, next=True
                )
            except NotFoundError:
                raise LookupError("parts of it are missing") from None
            content += chunk.data or b""
            sequence = (chunk.seq or sequence) + 1
        digest = base64.urlsafe_b64encode(sha256(content).digest()).decode()
        if content and OBJ_DIGEST_TEMPLATE.format(digest=digest) != info.digest:
            raise DigestMismatchError
        return bytes(content) or b"null"

    async def save(self, task: str, state: Any, *, revision: int, delivery: DeliveryNumber) -> bool:
        """Store a state in the place of the last one. False, and nothing is stored, if a later
        delivery of the task has stored one: then the task is no longer ours. Raises
        UnreadableStoreError if the last one cannot be read.
        """
        name = f"{self._place}/{task}"
        with _readable(self._bucket, name):
            try:
                stored = (await self._objects.get_info(name)).headers
            except NotFoundError:
                stored = None
            if _delivery(stored) > delivery:
                return False
        headers = {_HEADER: str(revision), _RUN_HEADER: f"{delivery.message}.{delivery.time}"}
        meta = ObjectMeta(name=name, headers=headers)
        await self._objects.put(name, msgspec.json.encode(state), meta)
        return True

    async def forget(self, task: str) -> None:
        """Delete what is stored for a task that has ended."""
        try:
            await self._objects.delete(f"{self._place}/{task}")
        except NotFoundError:
            return


@contextmanager
def _readable(store: str, name: str) -> Iterator[None]:
    """Turns what an object raises that is not what it should be, or does not come in time."""
    try:
        yield
    except NatsTimeoutError:
        raise
    except (
        BadObjectMetaError,
        DigestMismatchError,
        LinkIsABucketError,
        ValueError,
        LookupError,
        TypeError,
        RecursionError,
        TimeoutError,
    ) as error:
        why = f"it did not come within {ANSWER_S:g} s" if isinstance(error, TimeoutError) else error
        raise UnreadableStoreError(
            f"checkpoint {name} in {store} cannot be read: {clean(why)}; to begin the task anew, "
            f"delete it: nats object rm {store} {name}"
        ) from None


def _delivery(headers: Mapping[str, str] | None) -> DeliveryNumber:
    """The delivery that stored an object. Raises ValueError."""
    message, _, time = (headers or {}).get(_RUN_HEADER, "0.0").rpartition(".")
    return DeliveryNumber(_number(message or "0", _RUN_HEADER), _number(time, _RUN_HEADER))


def _number(text: str, header: str) -> int:
    if not _COUNT.fullmatch(text.encode(errors="replace")):
        raise ValueError(f"header {header} is no number")
    return int(text)
