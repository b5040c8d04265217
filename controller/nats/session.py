"""The NATS session: it keeps a connection; without one its link says why, and it tries again."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
from collections import deque
from collections.abc import Callable, Iterator
from typing import Final, Self

from msgspec.structs import replace
from nats import errors
from nats.aio.msg import Msg
from nats.js import JetStreamContext
from nats.js.api import DEFAULT_PREFIX

from controller.model.servers import Backoff
from controller.model.settings import NatsSettings, without_userinfo
from controller.model.snapshot import Link, LinkState
from controller.model.value import Value
from controller.nats.client import (
    Connection,
    Listening,
    UnsupportedVersionError,
    UnusableError,
    identity,
)
from controller.nats.jetstream import (
    ANSWER_S,
    JetStreamError,
    NatsDisconnectedError,
    NatsError,
    NatsNoRespondersError,
    describe,
    typed_errors,
)
from controller.ports import Clock

log = logging.getLogger(__name__)

_NEVER_S: Final = 3600
"""The interval of nats-py's own ping. The session's own ping detects more failures, and one ping is
enough.
"""
_STOPPED: Final = "stopped"


class SessionTiming(Value):
    """The intervals and time-outs of a session, in seconds."""

    connect_s: float = 2.0
    ping_every_s: float = 2.0
    ping_timeout_s: float = 2.0
    retry_first_s: float = 0.1
    retry_most_s: float = 2.0


class NatsSession:
    """One connection after the other to the servers of one NATS system.

    It keeps one up while its block runs, or from `start` to `stop`. If a server is away, frozen,
    full or too old, or refuses us, that is a state of the link and not an error. Secrets and
    certificates are read again for each connection. Everything that waits on a lost connection
    fails at once, and its subscriptions are gone: make them again in `on_connected`.
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
        self._servers = deque(random.sample(settings.servers, len(settings.servers)))
        self._client: Connection | None = None
        self._is_open = False
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
        self._task = asyncio.create_task(self._run(), name="nats-session")

    async def stop(self) -> None:
        """Disconnect and end, within a second. Raises what ended it before, if anything did."""
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

    @property
    def connected(self) -> bool:
        """Whether a request would be sent."""
        return self._is_open

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
        answer = await self._connection.ask(subject, payload, timeout_s)
        self._last_good_at = self._clock.now()
        return answer.data

    async def subscribe_once(
        self, subject: str, on_message: Callable[[], None], on_refused: Callable[[str], None]
    ) -> Listening:
        """Call `on_message` at the first message on this subject, after which the server ends the
        subscription; `on_refused` with a reason if our user may not subscribe. When the connection
        is lost the subscription is gone, without a call. Raises NatsDisconnectedError.
        """
        with _lost_as_ours():
            return await self._connection.listen_once(subject, on_message, on_refused)

    async def subscribe(self, subject: str, on_message: Callable[[Msg | None], None]) -> Listening:
        """Call `on_message` with every message on this subject, and with None once when the
        connection is lost. Without the right to subscribe, none come. Raises
        NatsDisconnectedError.
        """
        with _lost_as_ours():
            return await self._connection.listen(subject, on_message)

    async def keep_listening(self, subject: str, on_message: Callable[[Msg], None]) -> None:
        """Subscribe on each connection until cancelled."""
        made = asyncio.Event()
        made.set()
        end = self.on_connected(made.set)
        listening: Listening | None = None
        try:
            while True:
                await made.wait()
                made.clear()
                try:
                    listening = await self.subscribe(
                        subject, lambda message: None if message is None else on_message(message)
                    )
                except NatsError as error:
                    log.debug("nothing is heard on %s: %s", subject, error)
        finally:
            end()
            if listening is not None:
                await listening.end()

    async def deliver_to(self, on_message: Callable[[Msg | None], None]) -> Listening:
        """The same on a subject of this connection alone, for a consumer to deliver to."""
        return await self.subscribe("", on_message)

    async def send(self, subject: str, payload: bytes, reply: str = "") -> None:
        """Publish without waiting. Answers, if any are wanted, go to `reply`, a subject that we
        listen on. Raises NatsDisconnectedError.
        """
        with _lost_as_ours():
            await self._connection.publish(subject, payload, reply=reply)

    @property
    def max_payload(self) -> int:
        """The largest message that the server takes, in bytes. Raises NatsDisconnectedError."""
        return self._connection.max_payload

    @property
    def server_version(self) -> str:
        """The server's version, as `2.11.4`. Raises NatsDisconnectedError."""
        version = self._connection.connected_server_version
        return f"{version.major}.{version.minor}.{version.patch}"

    def jetstream(self, timeout_s: float = ANSWER_S) -> JetStreamContext:
        """nats-py's JetStream on the present connection; ask again after `on_connected`. Call it
        within `jetstream.typed_errors`. Raises NatsDisconnectedError.
        """
        return self._connection.jetstream(timeout=timeout_s, domain=self._settings.domain)

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
        domain = self._settings.domain
        return DEFAULT_PREFIX if domain is None else f"$JS.{domain}.API"

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

    @property
    def _connection(self) -> Connection:
        if self._client is None or not self._is_open:
            raise NatsDisconnectedError(self._link.detail or "not connected yet")
        return self._client

    async def _run(self) -> None:
        """Keep a connection until cancelled."""
        backoff = Backoff(self._timing.retry_first_s, self._timing.retry_most_s)
        while not is_cancelled():
            client = await self._connect()
            if client is not None and await self._serve(client):
                backoff.reset()
            await self._clock.sleep(backoff.next_s())
        raise asyncio.CancelledError

    async def _connect(self) -> Connection | None:
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
        is_websocket = url.startswith(("ws://", "wss://"))
        client = self._client = Connection(
            require_tls=not is_websocket and (tls is not None or url.startswith("tls://")),
            has_certificate=tls is not None and tls.cert is not None,
            inbox=self._settings.inbox,
        )
        self._last_error = ""
        usable = False
        try:
            await self._open(client, url)
            usable = client.is_connected
        except (UnusableError, OSError, errors.Error, ValueError) as error:
            return error  # ValueError: a greeting longer than the buffer
        finally:
            if not usable:
                await client.discard()
        return None if usable else errors.UnexpectedEOF()

    def _reason(self, problem: Exception) -> str:
        if isinstance(problem, UnusableError):
            return str(problem)
        if isinstance(problem, errors.NoServersError | errors.UnexpectedEOF) and self._last_error:
            return self._last_error  # nats-py tells the cause to the error callback only
        return describe(problem)

    async def _open(self, client: Connection, url: str) -> None:
        async def on_error(error: Exception) -> None:
            if client is not self._client:
                return  # a client that was given up may still report errors
            if "permissions violation" in str(error).lower():
                await client.refused(str(error))
            else:
                self._last_error = describe(error)

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

    async def _serve(self, client: Connection) -> bool:
        """Use this connection until it is lost; returns whether it has answered a ping."""
        has_answered = False
        reason = "the connection was lost"
        try:
            await client.open_inbox()
            self._is_open = True
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
                return await self._ended.wait()
        except TimeoutError:
            return False

    async def _answers(self, client: Connection) -> bool:
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

    def _drop(self, reason: str) -> None:
        if not self._is_open or self._client is None:
            return
        self._is_open = False
        self._change_link(LinkState.DISCONNECTED, reason)
        self._client.lost(reason)

    def _change_link(self, state: LinkState, detail: str) -> None:
        if (state, detail) == (self._link.state, self._link.detail):
            return
        extra = {} if state is self._link.state else {"is_change": True}
        since = self._clock.now() if extra else self._link.since
        self._link = Link(name="nats", state=state, since=since, detail=detail)
        expected = state is LinkState.CONNECTED or detail == _STOPPED
        level = logging.INFO if expected else logging.WARNING
        log.log(level, "nats %s: %s", state.value, detail, extra=extra)


@contextlib.contextmanager
def _lost_as_ours() -> Iterator[None]:
    try:
        yield
    except errors.Error as error:
        raise NatsDisconnectedError(describe(error)) from error


def is_cancelled() -> bool:
    """Whether the present task was told to end. nats-py swallows some cancellations, and so does
    asyncio.wait_for before Python 3.12.
    """
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
