"""The NATS session: it keeps a connection; without one its link says why, and it tries again."""

from __future__ import annotations

import asyncio
import logging
import random
from collections import deque
from collections.abc import Callable
from typing import Final, Self

from msgspec.structs import replace
from nats import errors
from nats.aio.msg import Msg
from nats.js import JetStreamContext

from controller.model.servers import Backoff
from controller.model.settings import NatsSettings, without_userinfo
from controller.model.snapshot import Link, LinkState
from controller.model.value import Value
from controller.nats.client import (
    Connection,
    CredentialsError,
    DeliverySubscription,
    GreetingError,
    OneMessageSubscription,
    StrictClient,
    UnsupportedVersionError,
    identity,
)
from controller.nats.jetstream import (
    ANSWER_S,
    JetStreamError,
    NatsDisconnectedError,
    NatsError,
    NatsNoRespondersError,
    api_of,
    describe,
    typed_errors,
)
from controller.ports import Clock

log = logging.getLogger(__name__)


class SessionTiming(Value):
    """The intervals and time-outs of a session, in seconds."""

    connect_s: float = 2.0
    ping_every_s: float = 2.0
    ping_timeout_s: float = 2.0
    retry_first_s: float = 0.1
    retry_most_s: float = 2.0


_OURS: Final = (UnsupportedVersionError, GreetingError, CredentialsError)
_STOPPED: Final = "stopped"
_NEVER_S: Final = 3600
"""The interval of nats-py's own ping. The session's own ping detects more failures, and one ping is
enough.
"""


class NatsSession:
    """One connection after the other to the servers of one NATS system.

    `run` keeps it up until cancelled; `start` and `stop` do the same without a task group. If a
    server is away, frozen, full or too old, or refuses us, that is a state of the link and not an
    error. Secrets and certificates are read again for each connection. Everything that waits on a
    lost connection fails at once, and its subscriptions are gone: make them again in
    `on_connected`.
    """

    def __init__(
        self,
        settings: NatsSettings,
        clock: Clock,
        *,
        name: str = "agentdash",
        timing: SessionTiming | None = None,
    ) -> None:
        self._settings = settings
        self._clock = clock
        self._name = name
        self._timing = timing or SessionTiming()
        servers = list(settings.servers)
        random.shuffle(servers)
        self._servers = deque(servers)
        self._client: StrictClient | None = None
        self._connection: Connection | None = None
        self._ended = asyncio.Event()
        self._last_error = ""
        self._on_connected: list[Callable[[], None]] = []
        self._link = Link(name="nats", state=LinkState.CONNECTING, since=clock.now())
        self._last_good_at: float | None = None
        self._task: asyncio.Task[None] | None = None
        self.unsupported: UnsupportedVersionError | None = None
        """Set while the last server cannot be used."""

    async def start(self) -> None:
        """Begin connecting in the background; returns at once."""
        self._task = asyncio.create_task(self.run(), name="nats-session")

    async def stop(self) -> None:
        """Disconnect and end, within a second. Raises what ended `run` before, if anything did."""
        if self._task is None:
            return
        task, self._task = self._task, None
        task.cancel()
        await asyncio.wait([task])
        if not task.cancelled():
            task.result()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def run(self) -> None:
        """Keep a connection until cancelled."""
        backoff = Backoff(self._timing.retry_first_s, self._timing.retry_most_s)
        while not is_cancelled():
            client = await self._connect()
            if client is not None and await self._serve(client):
                backoff.reset()
            await self._clock.sleep(backoff.next_s())
        raise asyncio.CancelledError

    @property
    def connected(self) -> bool:
        """Whether a request would be sent."""
        return self._connection is not None

    def link(self) -> Link:
        """The connection's state now, with the last error as text."""
        return replace(self._link, last_good_at=self._last_good_at)

    def on_connected(self, callback: Callable[[], None]) -> Callable[[], None]:
        """Call back on the event loop with every connection made, the first included; returns a
        function that ends that.
        """
        self._on_connected.append(callback)
        return lambda: self._on_connected.remove(callback)

    async def request(self, subject: str, payload: bytes, timeout_s: float) -> bytes:
        """The answer's payload. Raises NatsError, at the latest after `timeout_s`."""
        answer = await self._open_connection().request(subject, payload, timeout_s)
        self._last_good_at = self._clock.now()
        return answer.data

    async def subscribe_once(
        self, subject: str, on_message: Callable[[], None], on_refused: Callable[[str], None]
    ) -> OneMessageSubscription:
        """Call `on_message` at the first message on this subject, after which the server ends the
        subscription; `on_refused` with a reason if our user may not subscribe. When the connection
        is lost the subscription is gone, without a call. Raises NatsDisconnectedError.
        """
        return await self._open_connection().subscribe_once(subject, on_message, on_refused)

    async def deliver_to(self, on_message: Callable[[Msg | None], None]) -> DeliverySubscription:
        """A subject of this connection for a consumer to deliver to. `on_message` gets every
        message that comes there, and None once when the connection is lost. Raises
        NatsDisconnectedError.
        """
        return await self._open_connection().deliver_to(on_message)

    async def subscribe(
        self, subject: str, on_message: Callable[[Msg | None], None]
    ) -> DeliverySubscription:
        """Call `on_message` with every message on this subject, and with None once when the
        connection is lost. Without the right to subscribe, none come. Raises
        NatsDisconnectedError.
        """
        return await self._open_connection().subscribe(subject, on_message)

    @property
    def max_payload(self) -> int:
        """The largest message that the server takes, in bytes. Raises NatsDisconnectedError."""
        self._open_connection()
        if self._client is None:
            raise NatsDisconnectedError("not connected yet")
        return self._client.max_payload

    @property
    def server_version(self) -> str:
        """The server's version, as `2.11.4`. Raises NatsDisconnectedError."""
        self._open_connection()
        if self._client is None:
            raise NatsDisconnectedError("not connected yet")
        version = self._client.connected_server_version
        return f"{version.major}.{version.minor}.{version.patch}"

    async def send(self, subject: str, payload: bytes, reply: str = "") -> None:
        """Publish without waiting. Answers, if any are wanted, go to `reply`, a subject that we
        listen on. Raises NatsDisconnectedError.
        """
        await self._open_connection().send(subject, payload, reply)

    def jetstream(self, timeout_s: float = ANSWER_S) -> JetStreamContext:
        """nats-py's JetStream on the present connection; ask again after `on_connected`. Call it
        within `jetstream.typed_errors`. Raises NatsDisconnectedError.
        """
        self._open_connection()
        if self._client is None:
            raise NatsDisconnectedError("not connected yet")
        return self._client.jetstream(timeout=timeout_s, domain=self._settings.domain)

    async def jetstream_problem(self) -> str:
        """Why there is no JetStream for us; empty if there is one, and if our user may not ask,
        which the readings say. Never raises.
        """
        try:
            with typed_errors():
                await self.jetstream(self._timing.connect_s).account_info()
        except NatsNoRespondersError:
            if self._settings.domain is not None:
                return f"no JetStream of domain {self._settings.domain} answers"
            return "JetStream is not enabled on this server, or not up yet"
        except JetStreamError as error:
            return str(error)
        except NatsError:
            return ""
        return ""

    @property
    def api(self) -> str:
        """What the subjects of JetStream's API begin with, in the domain of the settings."""
        return api_of(self._settings.domain)

    @property
    def replicas(self) -> int:
        """How many servers of a cluster keep a bucket that is created over this session."""
        return self._settings.replicas

    def where_to_write(self, subject: str) -> str:
        """The subject to publish to so that a message reaches the bucket that has `subject`.

        Of a domain's buckets it begins with the domain's API (nats-server maps it back), because
        `$KV.>` is not passed on between domains.
        """
        return subject if self._settings.domain is None else f"{self.api}.{subject}"

    def _open_connection(self) -> Connection:
        if self._connection is None:
            raise NatsDisconnectedError(self._link.detail or "not connected yet")
        return self._connection

    async def _connect(self) -> StrictClient | None:
        """Try each server once."""
        for _ in range(len(self._servers)):
            if is_cancelled():
                break
            url = self._servers[0]
            self._servers.rotate(-1)
            problem = await self._attempt(url)
            self.unsupported = problem if isinstance(problem, UnsupportedVersionError) else None
            if problem is None:
                return self._client
            self._change_link(
                LinkState.DISCONNECTED, f"{without_userinfo(url)}: {self._reason(problem)}"
            )
        return None

    async def _attempt(self, url: str) -> Exception | None:
        """Connect `_client` to this server; returns what went wrong, if anything did."""
        tls = self._settings.tls
        client = self._client = StrictClient(
            require_tls=self._requires_tls(url),
            has_certificate=tls is not None and tls.cert is not None,
        )
        self._last_error = ""
        usable = False
        try:
            await self._open(client, url)
            usable = client.is_connected
        except (*_OURS, OSError, errors.Error, ValueError) as error:
            return error  # ValueError: a greeting longer than the buffer
        finally:
            if not usable:
                await client.discard()
        return None if usable else errors.UnexpectedEOF()

    def _reason(self, problem: Exception) -> str:
        if isinstance(problem, _OURS):
            return str(problem)
        if isinstance(problem, errors.NoServersError | errors.UnexpectedEOF) and self._last_error:
            return self._last_error  # nats-py tells the cause to the error callback only
        return describe(problem)

    async def _open(self, client: StrictClient, url: str) -> None:
        async def on_error(error: Exception) -> None:
            if client is self._client:  # a client that was given up may still report errors
                await self._on_error(error)

        async def on_closed() -> None:
            if client is self._client:
                self._drop(self._last_error or "the connection was lost")
                self._ended.set()

        options = await asyncio.to_thread(identity, self._settings)
        self._ended.clear()
        async with asyncio.timeout(2 * self._timing.connect_s):
            await client.connect(
                servers=[url],
                name=self._name,
                allow_reconnect=False,
                max_reconnect_attempts=1,
                reconnect_time_wait=0,
                connect_timeout=self._timing.connect_s,  # type: ignore[arg-type]  # seconds, any number
                ping_interval=_NEVER_S,
                inbox_prefix=self._settings.inbox,
                pending_size=0,  # nothing is buffered: what cannot be sent now fails now
                error_cb=on_error,
                closed_cb=on_closed,
                **options,
            )

    def _requires_tls(self, url: str) -> bool:
        if url.startswith(("ws://", "wss://")):
            return False
        return self._settings.tls is not None or url.startswith("tls://")

    async def _serve(self, client: StrictClient) -> bool:
        """Use this connection until it is lost; returns whether it has answered a ping."""
        connection = Connection(client, self._settings.inbox)
        has_answered = False
        reason = "the connection was lost"
        try:
            await connection.open()
            self._connection = connection
            self._last_good_at = self._clock.now()
            where = client.connected_url.geturl() if client.connected_url else ""
            self._change_link(LinkState.CONNECTED, without_userinfo(where))
            for callback in self._on_connected:
                callback()
            if problem := await self.jetstream_problem():
                self._change_link(LinkState.CONNECTED, f"{self._link.detail}: {problem}")
            while not (client.is_closed or is_cancelled()):
                if await self._ended_within(self._timing.ping_every_s):
                    break
                if not await self._answers(client):
                    self._last_error = f"no answer to a ping for {self._timing.ping_timeout_s:g} s"
                    break
                has_answered = True
        except (errors.Error, OSError) as error:
            reason = describe(error)
        finally:
            self._drop(_STOPPED if is_cancelled() else self._last_error or reason)
            await client.discard()
        return has_answered

    async def _ended_within(self, seconds: float) -> bool:
        try:
            async with asyncio.timeout(seconds):
                await self._ended.wait()
        except TimeoutError:
            return False
        return True

    async def _answers(self, client: StrictClient) -> bool:
        """Whether a ping is answered. It is not when the server is frozen, and not when nats-py's
        reading task has died.
        """
        try:
            async with asyncio.timeout(self._timing.ping_timeout_s):
                await client.rtt()
        except (TimeoutError, OSError, errors.Error):
            return False
        self._last_good_at = self._clock.now()
        return True

    async def _on_error(self, error: Exception) -> None:
        if "permissions violation" in str(error).lower():
            if self._connection is not None:
                await self._connection.refused(str(error))
            return
        self._last_error = describe(error)

    def _drop(self, reason: str) -> None:
        if self._connection is None:
            return
        connection, self._connection = self._connection, None
        self._change_link(LinkState.DISCONNECTED, reason)
        connection.lost(reason)

    def _change_link(self, state: LinkState, detail: str) -> None:
        if (state, detail) == (self._link.state, self._link.detail):
            return
        extra = {} if state is self._link.state else {"is_change": True}
        since = self._clock.now() if extra else self._link.since
        self._link = Link(name="nats", state=state, since=since, detail=detail)
        expected = state is LinkState.CONNECTED or detail == _STOPPED
        level = logging.INFO if expected else logging.WARNING
        log.log(level, "nats %s: %s", state.value, detail, extra=extra)


def is_cancelled() -> bool:
    """Whether the present task was told to end. nats-py swallows some cancellations, and so does
    asyncio.wait_for before Python 3.12.
    """
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
