"""The NATS session: one connection after the other, with nats-py's client made strict."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import re
import secrets
from collections import deque
from collections.abc import Callable
from typing import Any, Final, Self
from urllib.parse import ParseResult

from msgspec.structs import replace
from nats import errors
from nats.aio.client import DEFAULT_BUFFER_SIZE, Client, Srv
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription
from nats.aio.transport import TcpTransport
from nats.js import JetStreamContext
from nats.js.api import DEFAULT_PREFIX, Header, StatusCode

from controller.model.servers import Backoff
from controller.model.settings import NatsSettings, without_userinfo
from controller.model.snapshot import Link, LinkState
from controller.model.text import clean
from controller.model.value import Value
from controller.nats.credentials import (
    UnsupportedVersionError,
    UnusableError,
    check_greeting,
    identity,
)
from controller.nats.jetstream import (
    ANSWER_S,
    BoundedParser,
    NatsDisconnectedError,
    NatsError,
    NatsNoRespondersError,
    NatsRefusedError,
    NatsTimeoutError,
    describe,
    jetstream_problem,
    typed_errors,
)
from controller.ports import Clock

log = logging.getLogger(__name__)
# nats-py logs with a traceback what it also reports by its callbacks; the session logs it once
logging.getLogger("nats").setLevel(logging.CRITICAL)

CLOSE_S: Final = 0.3
"""How long a connection may take to close. A frozen server would take forever."""
_NEVER_S: Final = 3600
"""The interval of nats-py's own ping. The session's own ping detects more failures, and one ping is
enough.
"""
_STOPPED: Final = "stopped"
# nats-py puts the server's message, subject included, into lower case. Subjects that differ only in
# case are therefore refused together: that may prevent a reading, but never makes a wrong one.
_VIOLATION: Final = re.compile(
    r"permissions violation for (publish|subscription) to \"([^\"]+)\"", re.IGNORECASE
)


class _Socket(TcpTransport):
    """nats-py's TCP transport with an abort, and without `asyncio.wait_for`, which before Python
    3.12 loses a connection made as its caller is cancelled.
    """

    async def connect(self, uri: ParseResult, buffer_size: int, connect_timeout: float) -> None:
        async with asyncio.timeout(connect_timeout):
            reader, writer = await asyncio.open_connection(
                uri.hostname, uri.port, limit=buffer_size
            )
        self._bare_io_reader = self._io_reader = reader
        self._bare_io_writer = self._io_writer = writer

    def abort(self) -> None:
        if self._io_writer is not None:
            self._io_writer.transport.abort()


class Listening:
    """A subscription. It ends with its connection."""

    def __init__(
        self,
        among: set[Listening],
        subscription: Subscription,
        *,
        on_lost: Callable[[], None] = lambda: None,
        on_refused: Callable[[str], None] | None = None,
    ) -> None:
        """`among` has all of a connection. Without `on_refused` it stays, without a message."""
        self._among = among
        self._subscription = subscription
        self.subject: str = subscription.subject
        self.on_lost = on_lost
        self.on_refused = on_refused
        among.add(self)

    def forget(self) -> bool:
        """It has ended; returns whether it had not before."""
        is_new = self in self._among
        self._among.discard(self)
        return is_new

    async def end(self) -> None:
        """Take no more messages; nothing happens if it has ended already."""
        if self.forget():
            with contextlib.suppress(errors.Error):  # it ended with its connection
                await self._subscription.unsubscribe()


class Connection(Client):
    """One connection, and all that waits on it. When it is lost, a session makes a new one.

    nats-py's own reconnecting sends again what was buffered while the server was away, keeps the
    secrets and certificates of the first connection, and ends silently when one of its callbacks
    raises.
    """

    def __init__(self, *, require_tls: bool, has_certificate: bool, inbox: str = "_INBOX") -> None:
        """`inbox` begins answers' subjects; the random rest keeps others from answering."""
        super().__init__()
        self._ps = BoundedParser(self)
        self._require_tls = require_tls
        self._has_certificate = has_certificate
        # the subject asked and its answer; the event loop would report exceptions that are never
        # retrieved, so errors are results
        self._waiting: dict[str, tuple[str, asyncio.Future[Msg | NatsError]]] = {}
        self._inbox_refused = ""
        self._is_usable = False
        self.answers_to = f"{inbox}.{secrets.token_hex(16)}"
        self.listening: set[Listening] = set()

    async def open_inbox(self) -> None:
        """From now on it can be used. Raises nats.errors.Error."""

        async def take_answer(message: Msg) -> None:
            _, answer = self._waiting.get(message.subject, ("", None))
            if answer is not None and not answer.done():
                answer.set_result(message)

        await self.subscribe(f"{self.answers_to}.*", cb=take_answer)
        self._is_usable = True

    async def request(
        self,
        subject: str,
        payload: bytes = b"",
        timeout: float = 0.5,  # noqa: ASYNC109 - nats-py's signature
        old_style: bool = False,  # noqa: ARG002 - nats-py's signature
        headers: dict[str, Any] | None = None,
    ) -> Msg:
        """Replaces nats-py's request, so that its JetStreamContext uses this one.

        nats-py waits for the whole time-out when the connection is lost or our user may not
        publish; here such a request fails at once. Raises NatsError, and for a subject that nothing
        listens on nats.errors.NoRespondersError, which JetStreamContext expects.
        """
        if not self._is_usable:
            raise NatsDisconnectedError("not connected yet")
        if self._inbox_refused:
            raise NatsRefusedError(self._inbox_refused)
        reply = f"{self.answers_to}.{secrets.token_hex(8)}"
        answer: asyncio.Future[Msg | NatsError] = asyncio.get_running_loop().create_future()
        self._waiting[reply] = (subject.lower(), answer)
        try:
            async with asyncio.timeout(timeout):
                await self.publish(subject, payload, reply=reply, headers=headers)
                message = await answer
        except errors.Error as error:
            raise NatsDisconnectedError(describe(error)) from error
        except TimeoutError:
            raise NatsTimeoutError(f"no answer within {max(0.0, timeout):.3g} s") from None
        finally:
            del self._waiting[reply]
        if isinstance(message, NatsError):
            raise message
        status = (message.headers or {}).get(Header.STATUS)
        if not message.data and status == StatusCode.SERVICE_UNAVAILABLE:
            raise errors.NoRespondersError
        return message

    async def refused(self, message: str) -> None:
        """The server reports a permissions violation: report it to what it refuses."""
        match = _VIOLATION.search(message)
        if match is None:
            return
        verb, subject = match[1].lower(), match[2].lower()
        if verb == "publish":
            words = f"our NATS user may not publish to {clean(match[2])}"
            self._fail(NatsRefusedError(words), subject)
        elif subject == f"{self.answers_to}.*".lower():
            inbox = self.answers_to.rpartition(".")[0]
            words = f"our NATS user may not subscribe to its own inbox ({inbox}.>)"
            self._inbox_refused = words
            self._fail(NatsRefusedError(words))
        else:
            words = f"our NATS user may not subscribe to {clean(match[2])}"
            for each in [each for each in self.listening if each.subject.lower() == subject]:
                if each.on_refused is not None:
                    await each.end()
                    each.on_refused(words)

    def lost(self, reason: str) -> None:
        """The connection is lost: end everything that waits on it."""
        self._fail(NatsDisconnectedError(reason))
        listening = tuple(self.listening)
        self.listening.clear()
        for each in listening:
            each.on_lost()

    async def discard(self) -> None:
        """Close it, abort after 0.3 s. Never raises, may be called twice."""
        if self._flush_queue is None:
            return  # it was never opened
        try:
            with contextlib.suppress(TimeoutError, OSError, errors.Error):
                async with asyncio.timeout(CLOSE_S):
                    await self.close()
        finally:
            # the rest, if close() has timed out or was cancelled
            for subscription in tuple(self._subs.values()):
                subscription._stop_processing()  # noqa: SLF001 - unsubscribe() asks the server
            self._subs.clear()
            if isinstance(self._transport, _Socket):
                self._transport.abort()
        # nats-py's tasks are cancelled by now; this lets them end before the event loop does
        await asyncio.sleep(0)

    def _fail(self, error: NatsError, subject: str = "") -> None:
        """End the requests to this subject, or all of them."""
        for asked, answer in self._waiting.values():
            if subject in ("", asked) and not answer.done():
                answer.set_result(error)

    async def _process_info(self, info: dict[str, Any], initial_connection: bool = False) -> None:
        """The only place where nats-py shows the greeting before TLS and CONNECT."""
        if initial_connection:
            check_greeting(info, self._has_certificate, require_tls=self._require_tls)
            info["tls_required"] = self._require_tls or info.get(
                "tls_required"
            )  # nats-py looks here
        await super()._process_info(info, initial_connection)

    async def _connect_to_server(self, s: Srv) -> None:
        if s.uri.scheme in ("ws", "wss"):
            await super()._connect_to_server(s)
            return
        transport = _Socket()  # type: ignore[no-untyped-call]  # nats-py leaves it untyped
        await transport.connect(s.uri, DEFAULT_BUFFER_SIZE, self.options["connect_timeout"])
        self._transport = transport


class SessionTiming(Value):
    """The intervals and time-outs of a session, in seconds."""

    connect_s: float = 2.0
    ping_every_s: float = 2.0
    ping_timeout_s: float = 2.0
    retry_first_s: float = 0.1
    retry_most_s: float = 2.0


class NatsSession:
    """One connection after the other to the servers of one NATS system.

    It keeps one up while its block runs, at most until `stop`. If a server is away, frozen,
    full or too old, or refuses us, that is a state of the link and not an error. Secrets and
    certificates are read again for each connection. Everything that waits on a lost connection
    fails at once, and its subscriptions are gone: make them again in `on_connected`.
    """

    def __init__(
        self,
        settings: NatsSettings,
        clock: Clock,
        *,
        timing: SessionTiming | None = None,
    ) -> None:
        self._settings = settings
        self._clock = clock
        self._timing = timing or SessionTiming()
        domain = settings.domain
        self.api = DEFAULT_PREFIX if domain is None else f"$JS.{domain}.API"
        """What the subjects of JetStream's API begin with, in the domain of the settings."""
        self.replicas = settings.replicas
        """How many servers of a cluster keep a bucket that is created over this session."""
        self._servers = deque(random.sample(settings.servers, len(settings.servers)))
        self._client: Connection | None = None
        self.connected = False
        """Whether a request would be sent."""
        self._ended = asyncio.Event()
        self._last_error = ""
        self._on_connected: list[Callable[[], None]] = []
        self._link = Link(name="nats", state=LinkState.CONNECTING, since=clock.now())
        self._last_good_at: float | None = None
        self._task: asyncio.Task[None] | None = None
        self.unsupported: UnsupportedVersionError | None = None
        """Set while the last server cannot be used."""

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
        """Begin connecting in the background; returns at once."""
        self._task = asyncio.create_task(self._run(), name="nats-session")
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    def link(self) -> Link:
        """The connection's state now, with the last error as text."""
        return replace(self._link, last_good_at=self._last_good_at)

    def on_connected(self, callback: Callable[[], None]) -> Callable[[], None]:
        """Call back on the event loop at each connection; returns a function that ends that."""
        self._on_connected.append(callback)
        return lambda: self._on_connected.remove(callback)

    async def request(self, subject: str, payload: bytes, timeout_s: float) -> bytes:
        """The answer's payload. Raises NatsError, at the latest after `timeout_s`."""
        try:
            answer = await self._connection.request(subject, payload, timeout_s)
        except errors.NoRespondersError as error:
            raise NatsNoRespondersError(f"nothing listens on {clean(subject)}") from error
        self._last_good_at = self._clock.now()
        return answer.data

    async def subscribe_once(
        self, subject: str, on_message: Callable[[], None], on_refused: Callable[[str], None]
    ) -> Listening:
        """Call `on_message` at the first message, where the server ends it; `on_refused` if we may
        not. A lost connection ends it without a call. Raises NatsDisconnectedError.
        """
        connection = self._connection
        message: asyncio.Future[Msg] = asyncio.get_running_loop().create_future()
        with typed_errors():
            # max_msgs alone stops only the callback, unsubscribe(limit=1) tells the server. Both
            # are needed: a second message between the two commands would find the future done
            subscription = await connection.subscribe(subject, future=message, max_msgs=1)
            once = Listening(connection.listening, subscription, on_refused=on_refused)
            await subscription.unsubscribe(limit=1)

        def arrived(future: asyncio.Future[Msg]) -> None:
            if once.forget() and not future.cancelled():
                on_message()

        message.add_done_callback(arrived)
        return once

    async def subscribe(self, subject: str, on_message: Callable[[Msg | None], None]) -> Listening:
        """Call with each message, with None at its end. Raises NatsDisconnectedError."""
        connection = self._connection

        async def take(message: Msg) -> None:
            on_message(message)

        with typed_errors():
            subscription = await connection.subscribe(subject, cb=take)
        return Listening(connection.listening, subscription, on_lost=lambda: on_message(None))

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
        # not among the answers, because delivered messages keep their own subject
        inbox = f"{self._connection.answers_to}.{secrets.token_hex(8)}.delivery"
        return await self.subscribe(inbox, on_message)

    async def send(self, subject: str, payload: bytes, reply: str = "") -> None:
        """Publish without waiting; answers go to `reply`. Raises NatsDisconnectedError."""
        with typed_errors():
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
        """nats-py's JetStream here, within `typed_errors`. Raises NatsDisconnectedError."""
        return self._connection.jetstream(timeout=timeout_s, domain=self._settings.domain)

    def where_to_write(self, subject: str) -> str:
        """The subject to publish to so that a message reaches the bucket that has `subject`.

        Of a domain's buckets it begins with the domain's API (nats-server maps it back), because
        `$KV.>` is not passed on between domains.
        """
        return subject if self._settings.domain is None else f"{self.api}.{subject}"

    @property
    def _connection(self) -> Connection:
        if self._client is None or not self.connected:
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
            unsupported = None
            try:
                return await self._open(url)
            except UnusableError as error:
                unsupported = error if isinstance(error, UnsupportedVersionError) else None
                reason = str(error)
            except (errors.NoServersError, errors.UnexpectedEOF) as error:
                # nats-py tells the cause to the error callback only
                reason = self._last_error or describe(error)
            except (OSError, errors.Error, ValueError) as error:
                reason = describe(error)  # ValueError: a greeting longer than the buffer
            finally:
                self.unsupported = unsupported
            self._change_link(LinkState.DISCONNECTED, f"{without_userinfo(url)}: {reason}")
        return None

    async def _open(self, url: str) -> Connection:
        """Connect `_client` here. Raises UnusableError, OSError, nats errors.Error, ValueError."""
        tls, is_websocket = self._settings.tls, url.startswith(("ws://", "wss://"))
        client = self._client = Connection(
            require_tls=not is_websocket and (tls is not None or url.startswith("tls://")),
            has_certificate=tls is not None and tls.cert is not None,
            inbox=self._settings.inbox,
        )
        self._last_error, is_usable = "", False

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

        try:
            options = await asyncio.to_thread(identity, self._settings)
            self._ended.clear()
            async with asyncio.timeout(2 * self._timing.connect_s):
                await client.connect(
                    servers=[url],
                    name="agentdash",
                    allow_reconnect=False,
                    max_reconnect_attempts=1,
                    reconnect_time_wait=0,
                    connect_timeout=self._timing.connect_s,  # type: ignore[arg-type]  # any number
                    ping_interval=_NEVER_S,
                    inbox_prefix=self._settings.inbox,
                    pending_size=0,  # nothing is buffered: what cannot be sent now fails now
                    error_cb=on_error,
                    closed_cb=on_closed,
                    **options,
                )
            is_usable = client.is_connected
            if not is_usable:
                raise errors.UnexpectedEOF
        finally:
            if not is_usable:
                await client.discard()
        return client

    async def _serve(self, client: Connection) -> bool:
        """Use this connection until it is lost; returns whether it has answered a ping."""
        has_answered = False
        reason = "the connection was lost"
        try:
            await client.open_inbox()
            self.connected = True
            self._last_good_at = self._clock.now()
            where = client.connected_url.geturl() if client.connected_url else ""
            self._change_link(LinkState.CONNECTED, without_userinfo(where))
            for callback in self._on_connected:
                callback()
            if problem := await jetstream_problem(self.jetstream, self._settings.domain):
                self._change_link(LinkState.CONNECTED, f"{self._link.detail}: {problem}")
            while not (client.is_closed or is_cancelled()):
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(self._timing.ping_every_s):
                        await self._ended.wait()
                        break
                try:
                    async with asyncio.timeout(self._timing.ping_timeout_s):
                        await client.rtt()
                except (TimeoutError, OSError, errors.Error):
                    # the server is frozen, or nats-py's reading task has died
                    self._last_error = f"no answer to a ping for {self._timing.ping_timeout_s:g} s"
                    break
                self._last_good_at = self._clock.now()
                has_answered = True
        except (errors.Error, OSError) as error:
            reason = describe(error)
        finally:
            self._drop(_STOPPED if is_cancelled() else self._last_error or reason)
            await client.discard()
        return has_answered

    def _drop(self, reason: str) -> None:
        if not self.connected or self._client is None:
            return
        self.connected = False
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


def is_cancelled() -> bool:
    """Whether the present task was told to end. nats-py swallows some cancellations, and so does
    asyncio.wait_for before Python 3.12.
    """
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
