"""The connection to NATS of one worker, or of several workers in one process."""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import Callable
from typing import Any, Final

from nats import errors
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription
from nats.js import JetStreamContext

from agentdash.worker.settings import NatsLogin
from controller.model.servers import NO_TLS, offers_tls
from controller.model.settings import without_userinfo
from controller.model.text import clean

log = logging.getLogger(__name__)

ANSWER_S: Final = 5.0
_CONNECT_S: Final = 2
_RECONNECT_S: Final = 0.25
_PING_S: Final = 5


class NoTlsError(errors.Error):
    """TLS is asked for, and the server offers none."""

    def __str__(self) -> str:
        return NO_TLS


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
                raise NoTlsError
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
        self.client: Client = _Client(require_tls=_asks_for_tls(login))
        self.jetstream: JetStreamContext = self.client.jetstream(timeout=ANSWER_S)

    async def open(self) -> None:
        """Connect; it is tried until it succeeds or is cancelled. The reason of each new failure is
        logged.
        """
        await self.client.connect(
            servers=list(self._login.servers),
            name=self._name,
            connect_timeout=_CONNECT_S,
            max_reconnect_attempts=-1,
            reconnect_time_wait=_RECONNECT_S,  # type: ignore[arg-type]  # seconds, any number
            ping_interval=_PING_S,
            max_outstanding_pings=2,
            error_cb=self._on_error,
            disconnected_cb=self._on_disconnected,
            reconnected_cb=self._on_connected_again,
            **self._identity(),
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

    def _identity(self) -> dict[str, Any]:
        login = self._login
        given = {
            "user": login.user,
            "password": login.password.reveal() if login.password is not None else None,
            "token": login.token.reveal() if login.token is not None else None,
            "user_credentials": login.creds_file,
            "nkeys_seed": login.nkey_file,
            "tls": ssl.create_default_context(cafile=login.ca_file) if login.ca_file else None,
        }
        return {name: value for name, value in given.items() if value is not None}

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


def _asks_for_tls(login: NatsLogin) -> bool:
    """By one of its URLs or a certificate: servers that this one names are none of these URLs."""
    return login.ca_file is not None or any(url.startswith("tls://") for url in login.servers)


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
