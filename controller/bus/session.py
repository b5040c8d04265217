"""The NATS session that never dies quietly: it is connected, or it says why not and tries again."""

from __future__ import annotations

import asyncio
import logging
import random
from collections import deque
from collections.abc import Callable, Mapping
from typing import Final, Self

import msgspec
from nats import errors
from nats.aio.msg import Msg
from nats.js import JetStreamContext

from controller.bus.client import GreetingError, StrictClient, UnsupportedServerError
from controller.bus.credentials import CredentialsError, identity
from controller.bus.exchange import Delivery, Exchange, Once
from controller.bus.words import in_words
from controller.model.secret import without_userinfo
from controller.model.settings import NatsSettings
from controller.model.snapshot import Link, LinkState
from controller.model.value import Value
from controller.ports import (
    Clock,
    NatsDisconnectedError,
    NatsError,
    NatsNoRespondersError,
)

log = logging.getLogger(__name__)


class Pace(Value):
    """How patient a session is, in seconds."""

    connect_s: float = 2.0
    ping_every_s: float = 2.0
    ping_timeout_s: float = 2.0
    retry_first_s: float = 0.1
    retry_most_s: float = 2.0


class _ApiError(msgspec.Struct):
    description: str = ""


class _Account(msgspec.Struct):
    error: _ApiError | None = None


_ACCOUNT: Final = msgspec.json.Decoder(_Account)
_OURS: Final = (UnsupportedServerError, GreetingError, CredentialsError)
_STOPPED: Final = "stopped"
_NEVER_S: Final = 3600
"""nats-py's own ping; ours notices more kinds of death, and one heart-beat is enough."""


class NatsSession:
    """One connection after the other to the servers of one NATS system.

    `run` keeps it up until cancelled; `start` and `stop` do the same for whoever has no task group.
    A server that is away, frozen, full, too old or refuses us is a state of the link, not an error.
    Each connection is made with secrets and certificates read anew; what waited on a lost one fails
    at once, and its subscriptions are gone: `on_reconnect` is where to make them again.
    """

    def __init__(
        self,
        settings: NatsSettings,
        clock: Clock,
        *,
        name: str = "agentdash",
        pace: Pace | None = None,
    ) -> None:
        self._settings = settings
        self._clock = clock
        self._name = name
        self._pace = pace or Pace()
        servers = list(settings.servers)
        random.shuffle(servers)
        self._servers = deque(servers)
        self._client: StrictClient | None = None
        self._exchange: Exchange | None = None
        self._ended = asyncio.Event()
        self._last_error = ""
        self._reconnect_callbacks: list[Callable[[], None]] = []
        self._link = Link(name="nats", state=LinkState.CONNECTING, since=clock.now())
        self._last_good_at: float | None = None
        self._task: asyncio.Task[None] | None = None
        self.unsupported: UnsupportedServerError | None = None
        """Set while the last server that greeted us is one we cannot work with."""

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
        wait_s = self._pace.retry_first_s
        while not _cancelled():
            client = await self._connect()
            if client is not None and await self._serve(client):
                wait_s = self._pace.retry_first_s
            await self._clock.sleep(wait_s * random.uniform(0.5, 1.5))
            wait_s = min(wait_s * 2, self._pace.retry_most_s)
        raise asyncio.CancelledError

    @property
    def connected(self) -> bool:
        """Whether a request would be sent."""
        return self._exchange is not None

    def link(self) -> Link:
        """The connection's state now, with the last error in words."""
        return msgspec.structs.replace(self._link, last_good_at=self._last_good_at)

    def on_reconnect(self, callback: Callable[[], None]) -> None:
        """Call back with every connection made, the first included."""
        self._reconnect_callbacks.append(callback)

    async def request(
        self,
        subject: str,
        payload: bytes,
        timeout_s: float,
        headers: Mapping[str, str] | None = None,
    ) -> bytes:
        """The answer's payload. Raises controller.ports.NatsError."""
        answer = await self._open_exchange().request(subject, payload, timeout_s, headers)
        self._last_good_at = self._clock.now()
        return answer

    async def subscribe_once(
        self, subject: str, on_message: Callable[[], None], on_refused: Callable[[str], None]
    ) -> Once:
        """See `controller.ports.NatsRequests`. Raises NatsDisconnectedError."""
        return await self._open_exchange().subscribe_once(subject, on_message, on_refused)

    async def deliver_to(self, on_message: Callable[[Msg | None], None]) -> Delivery:
        """A subject of this connection for a consumer to deliver to; `on_message` gets what comes
        there, and None once when the connection is lost. Raises NatsDisconnectedError.
        """
        return await self._open_exchange().deliver_to(on_message)

    async def send(self, subject: str, payload: bytes, reply: str) -> None:
        """Publish without waiting; whoever answers does so to `reply`, the subject of a delivery.
        Raises NatsDisconnectedError.
        """
        await self._open_exchange().send(subject, payload, reply)

    def jetstream(self, timeout_s: float = 2.0) -> JetStreamContext:
        """JetStream on the connection of this moment; ask again after `on_reconnect`.

        Raises NatsDisconnectedError.
        """
        if self._client is None or self._exchange is None:
            raise NatsDisconnectedError(self._link.detail or "not connected yet")
        return self._client.jetstream(timeout=timeout_s)

    def _open_exchange(self) -> Exchange:
        if self._exchange is None:
            raise NatsDisconnectedError(self._link.detail or "not connected yet")
        return self._exchange

    async def _connect(self) -> StrictClient | None:
        """Try each server once."""
        for _ in range(len(self._servers)):
            if _cancelled():
                break
            url = self._servers[0]
            self._servers.rotate(-1)
            problem = await self._attempt(url)
            self.unsupported = problem if isinstance(problem, UnsupportedServerError) else None
            if problem is None:
                return self._client
            self._say(LinkState.DISCONNECTED, f"{without_userinfo(url)}: {self._words(problem)}")
        return None

    async def _attempt(self, url: str) -> Exception | None:
        """Make `_client` a connection to this server; what went wrong, if anything did."""
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

    def _words(self, problem: Exception) -> str:
        if isinstance(problem, _OURS):
            return str(problem)
        if isinstance(problem, errors.NoServersError | errors.UnexpectedEOF) and self._last_error:
            return self._last_error  # nats-py told the cause to the error callback only
        return in_words(problem)

    async def _open(self, client: StrictClient, url: str) -> None:
        async def on_error(error: Exception) -> None:
            if client is self._client:  # one that was given up may still have something to say
                await self._on_error(error)

        async def on_closed() -> None:
            if client is self._client:
                self._drop(self._last_error or "the connection was lost")
                self._ended.set()

        options = await asyncio.to_thread(identity, self._settings)
        self._ended.clear()
        async with asyncio.timeout(2 * self._pace.connect_s):
            await client.connect(
                servers=[url],
                name=self._name,
                allow_reconnect=False,
                max_reconnect_attempts=1,
                reconnect_time_wait=0,
                connect_timeout=self._pace.connect_s,  # type: ignore[arg-type]  # seconds, any number
                ping_interval=_NEVER_S,
                pending_size=0,  # nothing is kept for later: what cannot be sent now fails now
                error_cb=on_error,
                closed_cb=on_closed,
                **options,
            )

    def _requires_tls(self, url: str) -> bool:
        if url.startswith(("ws://", "wss://")):
            return False
        return self._settings.tls is not None or url.startswith("tls://")

    async def _serve(self, client: StrictClient) -> bool:
        """Live on this connection until it dies; whether it has answered a ping before that."""
        exchange = Exchange(client)
        lived = False
        words = "the connection was lost"
        try:
            await exchange.open()
            self._exchange = exchange
            self._last_good_at = self._clock.now()
            where = client.connected_url.geturl() if client.connected_url else ""
            self._say(LinkState.CONNECTED, without_userinfo(where))
            for callback in self._reconnect_callbacks:
                callback()
            await self._check_jetstream(exchange)
            while not (client.is_closed or _cancelled()):
                if await self._ended_within(self._pace.ping_every_s):
                    break
                if not await self._answers(client):
                    self._last_error = f"no answer to a ping for {self._pace.ping_timeout_s:g} s"
                    break
                lived = True
        except (errors.Error, OSError) as error:
            words = in_words(error)
        finally:
            self._drop(_STOPPED if _cancelled() else self._last_error or words)
            await client.discard()
        return lived

    async def _ended_within(self, seconds: float) -> bool:
        try:
            async with asyncio.timeout(seconds):
                await self._ended.wait()
        except TimeoutError:
            return False
        return True

    async def _answers(self, client: StrictClient) -> bool:
        """Whether a ping is answered: a frozen server is silent, and so is a dead reading task."""
        try:
            async with asyncio.timeout(self._pace.ping_timeout_s):
                await client.rtt()
        except (TimeoutError, OSError, errors.Error):
            return False
        self._last_good_at = self._clock.now()
        return True

    async def _check_jetstream(self, exchange: Exchange) -> None:
        """Say so at once if there is no JetStream; who may not ask, is told by the readings."""
        try:
            answer = await exchange.request("$JS.API.INFO", b"", self._pace.connect_s)
            error = _ACCOUNT.decode(answer).error
        except NatsNoRespondersError:
            error = _ApiError("JetStream is not enabled on this server, or not up yet")
        except (NatsError, msgspec.DecodeError):
            return
        if error is not None:
            self._say(LinkState.CONNECTED, f"{self._link.detail}: {error.description}")

    async def _on_error(self, error: Exception) -> None:
        if "permissions violation" in str(error).lower():
            if self._exchange is not None:
                await self._exchange.violation(str(error))
            return
        self._last_error = in_words(error)

    def _drop(self, words: str) -> None:
        if self._exchange is None:
            return
        exchange, self._exchange = self._exchange, None
        self._say(LinkState.DISCONNECTED, words)
        exchange.lost(words)

    def _say(self, state: LinkState, detail: str) -> None:
        if (state, detail) == (self._link.state, self._link.detail):
            return
        since = self._link.since if state is self._link.state else self._clock.now()
        self._link = Link(name="nats", state=state, since=since, detail=detail)
        expected = state is LinkState.CONNECTED or detail == _STOPPED
        log.log(logging.INFO if expected else logging.WARNING, "nats %s: %s", state.value, detail)


def _cancelled() -> bool:
    """Whether we were told to end. nats-py swallows a cancellation now and then, and so does
    asyncio.wait_for before Python 3.12.
    """
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
