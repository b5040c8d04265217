"""What workers keep in NATS: the streams and buckets, a task's result and its checkpoint. And the
connection to NATS of one worker, or of several in one process.

A stream or bucket is created where there is none. One that exists stays as it is, so that an
administrator may set replicas and limits beforehand.
"""

from __future__ import annotations

import asyncio
import base64
import logging
import re
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from hashlib import sha256
from typing import Any, Final, Generic, NamedTuple, TypeVar

import msgspec
from nats import errors
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription
from nats.errors import TimeoutError as NatsTimeoutError
from nats.js import JetStreamContext
from nats.js.api import (
    KeyValueConfig,
    ObjectInfo,
    ObjectMeta,
    ObjectStoreConfig,
    RawStreamMsg,
    StorageType,
    StreamConfig,
)
from nats.js.errors import (
    BadObjectMetaError,
    BadRequestError,
    DigestMismatchError,
    KeyNotFoundError,
    KeyWrongLastSequenceError,
    LinkIsABucketError,
    NoStreamResponseError,
    NotFoundError,
)
from nats.js.kv import KeyValue
from nats.js.object_store import (
    OBJ_CHUNKS_PRE_TEMPLATE,
    OBJ_DIGEST_TEMPLATE,
    OBJ_STREAM_TEMPLATE,
    ObjectStore,
)

from agentdash.worker.session import (
    RESULTS_BUCKET,
    StoreUnavailableError,
    TaskResult,
    UnreadableStoreError,
    result_key,
)
from agentdash.worker.settings import NatsLogin
from controller.model.servers import NO_TLS, Backoff, ErrorCode, offers_tls
from controller.model.settings import without_userinfo
from controller.model.tasks import CANCEL_PREFIX
from controller.model.text import clean
from controller.model.value import UndecodableError, decoded
from controller.model.worker_messages import (
    GONE_AFTER_S,
    ORDERS_BUCKET,
    USAGE_STREAM,
    USAGE_SUBJECT_PREFIX,
    WORKERS_BUCKET,
)

T = TypeVar("T")

ANSWER_S: Final = 5.0
_CONNECT_S: Final = 2
_RECONNECT_S: Final = 0.25
_PING_S: Final = 5


class _Client(Client):
    """nats-py's client, which sends no plain text where TLS is asked for. Its requests forget no
    cancellation.

    It waits by `asyncio.wait_for`, which up to Python 3.11 forgets a cancellation that comes in the
    same moment as the answer (python/cpython#86296). A worker that was told to stop would go on.
    """

    def __init__(self, *, require_tls: bool) -> None:
        super().__init__()
        self._require_tls = require_tls

    async def _process_info(self, info: dict[str, Any], initial_connection: bool = False) -> None:
        """The only place where nats-py shows the greeting before TLS and CONNECT."""
        if initial_connection and self._require_tls:
            if not offers_tls(info):
                raise errors.Error(NO_TLS)
            info["tls_required"] = True  # where nats-py looks
        await super()._process_info(info, initial_connection)

    async def request(
        self,
        subject: str,
        payload: bytes = b"",
        timeout: float = 0.5,  # noqa: ASYNC109 - as nats-py has it
        old_style: bool = False,
        headers: dict[str, Any] | None = None,
    ) -> Msg:
        """As nats.aio.client.Client.request."""
        before = _cancellations()
        answer = await super().request(subject, payload, timeout, old_style, headers)
        if _cancellations() > before:
            raise asyncio.CancelledError
        return answer


class NatsLink:
    """One connection that comes back by itself. Between `open` and `close` its JetStream context
    stays the same; while the connection is down, requests time out.
    """

    def __init__(self, login: NatsLogin, *, name: str = "agentdash worker") -> None:
        self._login = login
        self._name = name
        self._on_reconnected: list[Callable[[], None]] = []
        self.problem = "not connected yet"
        """Why there is no connection; empty while there is one."""
        self.opened = asyncio.Event()
        """Set once there was a first connection."""
        # servers that another server names are none of these URLs
        tls = login.ca_file is not None or any(url.startswith("tls://") for url in login.servers)
        self.client: Client = _Client(require_tls=tls)
        self.jetstream: JetStreamContext = self.client.jetstream(timeout=ANSWER_S)

    async def open(self) -> None:
        """Connect, tried until it succeeds or is cancelled; each new failure is logged."""
        login = self._login
        identity: dict[str, Any] = {
            "user": login.user,
            "password": login.password and login.password.reveal(),
            "token": login.token and login.token.reveal(),
            "user_credentials": login.creds_file,
            "nkeys_seed": login.nkey_file,
            "tls": ssl.create_default_context(cafile=login.ca_file) if login.ca_file else None,
        }
        await self.client.connect(
            servers=list(login.servers),
            name=self._name,
            connect_timeout=_CONNECT_S,
            max_reconnect_attempts=-1,
            reconnect_time_wait=_RECONNECT_S,  # type: ignore[arg-type]  # seconds, any number
            ping_interval=_PING_S,
            max_outstanding_pings=2,
            error_cb=self._on_error,
            disconnected_cb=self._on_disconnected,
            reconnected_cb=self._on_connected_again,
            **{name: value for name, value in identity.items() if value is not None},
        )
        self.problem = ""
        self.opened.set()

    async def close(self) -> None:
        """Close the connection; what was published before is written."""
        try:
            async with asyncio.timeout(_CONNECT_S):
                await self.client.close()
        except (TimeoutError, OSError, errors.Error) as error:
            log.debug("the connection did not close cleanly: %s", clean(error))

    def on_reconnected(self, callback: Callable[[], None]) -> Callable[[], None]:
        """Call back on the event loop after each reconnection; returns what ends that."""
        self._on_reconnected.append(callback)
        return lambda: self._on_reconnected.remove(callback)

    async def _on_error(self, error: Exception) -> None:
        words = clean(error) or type(error).__name__
        if self.client.is_connected:
            log.warning("nats: %s", words)  # a refused subject, a slow consumer
        elif words != self.problem:
            self.problem = words
            servers = ", ".join(map(without_userinfo, self._login.servers))
            log.warning("nats: no connection to %s: %s; trying again", servers, words)

    async def _on_disconnected(self) -> None:
        self.problem = self.problem or "the connection was lost"

    async def _on_connected_again(self) -> None:
        self.problem = ""
        log.info("nats: connected again")
        for callback in tuple(self._on_reconnected):
            callback()


async def until_done(work: Callable[[], Awaitable[T]], backoff: Backoff, problem: str) -> T:
    """What `work` returns, which is tried until NATS does it; each failure is logged."""
    while True:
        try:
            return await work()
        except (errors.Error, StoreUnavailableError) as error:
            log.warning("%s: %s; trying again", problem, clean(error))
        await asyncio.sleep(backoff.next_s())


async def set_within(event: asyncio.Event, seconds: float | None) -> bool:
    """Whether the event is set within so many seconds; None waits for ever."""
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        return False
    return True


async def end(subscription: Subscription | None) -> None:
    """End a subscription, if there is one. A connection that is lost has ended it."""
    if subscription is None:
        return
    try:
        await subscription.unsubscribe()
    except errors.Error as error:
        log.debug("a subscription had ended: %s", clean(error))


def _cancellations() -> int:
    """How often the present task was told to end."""
    task = asyncio.current_task()
    return 0 if task is None else task.cancelling()


log = logging.getLogger(__name__)

EVENTS_STREAM: Final = "AGENTDASH_EVENTS"
EVENTS_PREFIX: Final = "agentdash.events"
EVENTS_KEPT_S: Final = 3600.0
_EVENTS_OF_A_TASK: Final = 200
_EVENTS_BYTES: Final = 256 * 2**20
DEAD_STREAM: Final = "AGENTDASH_DEAD"
DEAD_PREFIX: Final = "agentdash.dead"
TRIES_BUCKET: Final = "agentdash_handed_back"
"""How often a message was tried. Its name is from when it counted what was handed back."""
EXHAUSTED_STREAM: Final = "AGENTDASH_EXHAUSTED"
EXHAUSTED_PREFIX: Final = "$JS.EVENT.ADVISORY.CONSUMER.MAX_DELIVERIES"
"""Where JetStream tells that it delivers a message no more, before stream and consumer."""
USAGE_KEPT_S: Final = 8 * 86_400.0
"""A week and a day. After a restart a tenant's day is rebuilt from the stream, in any time zone."""
CHECKPOINTS_KEPT_S: Final = 7 * 86_400.0
DEAD_KEPT_S: Final = 30 * 86_400.0


async def ensure_usage_stream(stream: JetStreamContext) -> None:
    """Create the stream for usage events if there is none. Raises nats.errors.Error."""
    words = "tokens that agents used, for agentdash's budgets"
    await _ensure_stream(stream, USAGE_STREAM, USAGE_SUBJECT_PREFIX, USAGE_KEPT_S, words)


def checkpoints_bucket(tenant: str) -> str:
    """The object store of a tenant's checkpoints. The names of objects are hashes in their
    subjects, so that rights can only be given on a whole store.
    """
    return f"agentdash_checkpoints_{tenant}"


async def ensure_worker_streams(
    stream: JetStreamContext, tenant: str, *, result_ttl_s: float
) -> None:
    """Create what a tenant's worker needs besides its queues. `result_ttl_s` is how long results
    are kept, if this worker is the one that creates their bucket. Raises nats.errors.Error.
    """
    dead = "tasks that cannot be done, with the reason"
    checkpoints = ObjectStoreConfig(
        ttl=CHECKPOINTS_KEPT_S, description="where agents' tasks go on from"
    )
    name = checkpoints_bucket(tenant)
    kept_s = {RESULTS_BUCKET: result_ttl_s, TRIES_BUCKET: CHECKPOINTS_KEPT_S, ORDERS_BUCKET: None}
    await asyncio.gather(
        _ensure_stream(stream, DEAD_STREAM, DEAD_PREFIX, DEAD_KEPT_S, dead),
        _ensure_stream(
            stream,
            EVENTS_STREAM,
            EVENTS_PREFIX,
            EVENTS_KEPT_S,
            "what agents tell of tasks under way",
            max_msgs_per_subject=_EVENTS_OF_A_TASK,
            max_bytes=_EVENTS_BYTES,
        ),
        *(
            _exists(stream.create_key_value(KeyValueConfig(bucket=each, ttl=ttl)), each)
            for each, ttl in kept_s.items()
        ),
        ensure_workers_bucket(stream),
        _exists(stream.create_object_store(name, checkpoints), name),
    )


async def ensure_exhausted_stream(stream: JetStreamContext) -> None:
    """Create the stream of exhausted messages' notices. Raises nats.errors.Error."""
    words = "messages that their consumers deliver no more (max_deliver)"
    await _ensure_stream(stream, EXHAUSTED_STREAM, EXHAUSTED_PREFIX, DEAD_KEPT_S, words)


async def ensure_workers_bucket(stream: JetStreamContext) -> None:
    """Create the bucket of workers' states, lost at restarts. Raises nats.errors.Error."""
    config = KeyValueConfig(bucket=WORKERS_BUCKET, ttl=GONE_AFTER_S, storage=StorageType.MEMORY)
    await _exists(stream.create_key_value(config), WORKERS_BUCKET)


def bucket(stream: JetStreamContext, name: str) -> KeyValue:
    """A bucket whose values are read from its stream's leader, and so never out of date."""
    return KeyValue(name=name, stream=f"KV_{name}", pre=f"$KV.{name}.", js=stream, direct=False)


async def messages(
    stream: JetStreamContext, name: str, subject: str, number: int = 1
) -> AsyncIterator[RawStreamMsg]:
    """A stream's messages here from this number on, oldest first, by the right to get. Raises
    nats.errors.Error.
    """
    while True:
        try:
            message = await stream.get_msg(name, seq=number, subject=subject, next=True)
        except NotFoundError:
            return
        yield message
        number = (message.seq or number) + 1


async def newest(bucket: KeyValue, key: str) -> tuple[bytes | None, int]:
    """A key's value and its revision. Where there is none, None and the revision of its deletion, 0
    if there was never one. Raises nats.errors.Error.
    """
    try:
        entry = await bucket.get(key)
    except KeyNotFoundError as none:
        return None, (none.entry.revision if none.entry else 0) or 0
    return entry.value or b"", entry.revision or 0


class SharedValues(Generic[T]):
    """Values of one bucket that several workers change; the first change creates it. All methods
    raise nats.errors.Error and what `read` raises.
    """

    def __init__(
        self,
        stream: JetStreamContext,
        name: str,
        *,
        kept_s: float,
        read: Callable[[bytes], T],
        write: Callable[[T], bytes],
    ) -> None:
        """`read` makes a value of its bytes, b"" where there are none; `write` is its reverse."""
        self._stream, self._bucket = stream, bucket(stream, name)
        self._config = KeyValueConfig(name, ttl=kept_s, direct=False)
        self._decoded, self._encoded = read, write

    async def get(self, key: str) -> T:
        """The value as it is now."""
        return self._decoded((await newest(self._bucket, key))[0] or b"")

    async def change(self, key: str, changed: Callable[[T], T], *, tries: int) -> T | None:
        """Put what `changed` makes in its place and return it; None after losing so often."""
        waits = Backoff(0.002, 0.1)
        for _ in range(tries):
            value, revision = await newest(self._bucket, key)
            after = changed(self._decoded(value or b""))
            with suppress(KeyWrongLastSequenceError):  # another worker was faster
                try:
                    await self._bucket.update(key, self._encoded(after), last=revision)
                except NoStreamResponseError:
                    await self._stream.create_key_value(self._config)
                    await self._bucket.update(key, self._encoded(after), last=revision)
                return after
            await asyncio.sleep(waits.next_s())
        return None


async def _ensure_stream(
    stream: JetStreamContext, name: str, prefix: str, kept_s: float, words: str, **limits: int
) -> None:
    config = StreamConfig(name=name, subjects=[f"{prefix}.>"], max_age=kept_s, description=words)
    await _exists(stream.add_stream(config.evolve(**limits)), name)


async def _exists(creating: Awaitable[object], name: str) -> None:
    try:
        await creating
    except BadRequestError as error:
        if error.err_code != ErrorCode.STREAM_NAME_IN_USE:
            raise
    except errors.TimeoutError:
        # the server does not answer what our user may not ask
        log.warning("%s cannot be created, perhaps our NATS user may not: is it there?", name)


_RESULT: Final = msgspec.json.Decoder(TaskResult)
_STATE: Final = msgspec.json.Decoder()
_WRONG_REVISION: Final = frozenset(
    {ErrorCode.WRONG_LAST_SEQUENCE, ErrorCode.WRONG_LAST_SEQUENCE_CONSTANT}
)
_COUNT: Final = re.compile(r"[0-9]{1,19}")
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
        """The result of a task that has ended, or None. Raises UnreadableStoreError."""
        key = result_key(self._tenant, self._pool, task)
        value, revision = await newest(self._bucket, key)
        if value is None:
            return None
        try:
            return StoredResult(decoded(_RESULT, value), revision)
        except UndecodableError as error:
            raise UnreadableStoreError(
                f"{key} in {RESULTS_BUCKET} is no result: {error}; to have the task done, delete "
                f"it: nats kv del {RESULTS_BUCKET} {key}",
                revision=revision,
            ) from None

    async def keep(self, result: TaskResult) -> TaskResult:
        """Store the result if there is none, or no result; returns the first, which counts."""
        encoded = msgspec.json.encode(result)
        key = result_key(self._tenant, self._pool, result.id)
        unreadable = 0
        while True:
            with suppress(KeyWrongLastSequenceError):
                if unreadable:
                    await self._bucket.update(key, encoded, last=unreadable)
                else:
                    await self._bucket.create(key, encoded)
                return result
            unreadable = 0
            try:
                first = await self.get(result.id)
            except UnreadableStoreError as error:
                unreadable = error.revision
            else:
                if first is not None:  # else it has expired meanwhile
                    return first.result

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
        """A task's last one, or None. Raises UnreadableStoreError, also after ANSWER_S."""
        name = f"{self._place}/{task}"
        with _readable(self._bucket, name):
            async with asyncio.timeout(ANSWER_S):
                try:
                    info = await self._objects.get_info(name)
                except NotFoundError:
                    return None
                state = decoded(_STATE, await self._content(info))
            return StoredCheckpoint(state, *_numbers(info.headers, _HEADER, "0"))

    async def _content(self, info: ObjectInfo) -> bytes:
        """The bytes of an object, by the right to get messages alone: ObjectStore.get also looks
        for the stream by its subject and makes a consumer. Raises DigestMismatchError, LookupError,
        TypeError.
        """
        if info.is_link():
            raise LinkIsABucketError
        subject = OBJ_CHUNKS_PRE_TEMPLATE.format(bucket=self._bucket, obj=info.nuid)
        content, size = bytearray(), info.size or 0
        async for chunk in messages(self._stream, self._stored_in, subject):
            content += chunk.data or b""
            if len(content) >= size:
                break
        if len(content) < size:
            raise LookupError("parts of it are missing")
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
            if _numbers(stored, _RUN_HEADER, "0.0") > delivery:
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


def _numbers(headers: Mapping[str, str] | None, header: str, otherwise: str) -> tuple[int, ...]:
    """The numbers in a header, as many as `otherwise` has, between points. Raises ValueError."""
    texts = (headers or {}).get(header, otherwise).split(".")
    missing = otherwise.count(".") + 1 - len(texts)  # an older worker has stored one number
    if missing < 0 or not all(_COUNT.fullmatch(each) for each in texts):
        raise ValueError(f"header {header} is no number")
    return (*(0,) * missing, *map(int, texts))


def events_subject(tenant: str, pool: str, task: str) -> str:
    """Where the events of a task are told."""
    return f"{EVENTS_PREFIX}.{tenant}.{pool}.{task}"


def cancel_subject(tenant: str, pool: str) -> str:
    """Where workers are told the id of a cancelled task; without one, to say what they do."""
    return f"{CANCEL_PREFIX}.{tenant}.{pool}"
