"""One connection to a NATS server: nats-py's client made strict, what waits on it, and the
credentials that it is made with.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import re
import secrets
import ssl
from collections.abc import Callable
from typing import Any, Final, NamedTuple, TypedDict
from urllib.parse import ParseResult

import nkeys
from nats import errors
from nats.aio.client import DEFAULT_BUFFER_SIZE, Client, RawCredentials, Srv
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription
from nats.aio.transport import TcpTransport
from nats.js.api import Header, StatusCode

from controller.model.servers import NO_TLS, offers_tls
from controller.model.settings import (
    NatsCredentials,
    NatsSettings,
    NatsTls,
    Secret,
    SecretUnreadableError,
)
from controller.model.text import clean
from controller.nats.jetstream import (
    NatsDisconnectedError,
    NatsError,
    NatsNoRespondersError,
    NatsRefusedError,
    NatsTimeoutError,
    describe,
)

# nats-py logs with a traceback what it also reports by its callbacks; the session logs it once
logging.getLogger("nats").setLevel(logging.CRITICAL)

OLDEST: Final = (2, 10)
"""Older servers silently ignore `filter_subjects`, so a part of the queue would not be counted."""
CLOSE_S: Final = 0.3
"""How long a connection may take to close. A frozen server would take forever."""
_VERSION: Final = re.compile(r"v?(\d+)\.(\d+)(?:\.|\Z|-)")
# nats-py puts the server's message, subject included, into lower case. Subjects that differ only in
# case are therefore refused together: that may prevent a reading, but never makes a wrong one.
_VIOLATION: Final = re.compile(
    r"permissions violation for (publish|subscription) to \"([^\"]+)\"", re.IGNORECASE
)


class UnusableError(Exception):
    """No connection can be used. The message says why, and never a secret.

    UnusableError
    ├── UnsupportedVersionError   the server's version is too old or cannot be read
    ├── GreetingError             there can be no TLS; nothing secret was sent
    └── CredentialsError          a secret or certificate cannot be used
    """


class UnsupportedVersionError(UnusableError):
    """The server's version is too old or cannot be read."""


class GreetingError(UnusableError):
    """There can be no TLS; nothing secret was sent."""


class CredentialsError(UnusableError):
    """A secret or certificate cannot be used."""


class _Socket(TcpTransport):
    """nats-py's TCP transport with an abort, and with another way to connect: nats-py uses
    `asyncio.wait_for`, which before Python 3.12 loses a connection that is made at the moment when
    the caller is cancelled.
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
        among: dict[str, set[Listening]],
        subscription: Subscription,
        *,
        on_lost: Callable[[], None] = lambda: None,
        on_refused: Callable[[str], None] | None = None,
    ) -> None:
        """`among` has all of a connection by their subjects in lower case. One that cannot be
        `on_refused` stays, without a message.
        """
        self._among = among
        self._subscription = subscription
        self.subject: str = subscription.subject
        self.on_lost = on_lost
        self.on_refused = on_refused
        among.setdefault(self.subject.lower(), set()).add(self)

    def forget(self) -> bool:
        """It has ended; returns whether it had not before."""
        others = self._among.get(self.subject.lower(), set())
        if self not in others:
            return False
        others.discard(self)
        if not others:
            del self._among[self.subject.lower()]
        return True

    async def end(self) -> None:
        """Take no more messages; nothing happens if it has ended already."""
        if self.forget():
            with contextlib.suppress(errors.Error):  # it ended with its connection
                await self._subscription.unsubscribe()


class _Asked(NamedTuple):
    """A request that waits. Errors are set as results: the event loop reports exceptions that are
    never retrieved.
    """

    subject: str
    answer: asyncio.Future[Msg | NatsError]


class Connection(Client):
    """One connection, and all that waits on it. When it is lost, a session makes a new one.

    nats-py's own reconnecting sends again what was buffered while the server was away, keeps the
    secrets and certificates of the first connection, and ends silently when one of its callbacks
    raises.
    """

    def __init__(self, *, require_tls: bool, has_certificate: bool, inbox: str = "_INBOX") -> None:
        """`inbox` is what the subjects of answers begin with. The rest of each is random, so that
        nobody who has not seen a request can answer it.
        """
        super().__init__()
        self._require_tls = require_tls
        self._has_certificate = has_certificate
        self._answers_to = f"{inbox}.{secrets.token_hex(16)}"
        self._waiting: dict[str, _Asked] = {}
        self._listening: dict[str, set[Listening]] = {}
        self._inbox_refused = ""
        self._is_usable = False

    async def open_inbox(self) -> None:
        """From now on it can be used. Raises nats.errors.Error."""
        await self.subscribe(f"{self._answers_to}.*", cb=self._take_answer)
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
        try:
            return await self.ask(subject, payload, timeout, headers)
        except NatsNoRespondersError as error:
            raise errors.NoRespondersError from error

    async def ask(
        self,
        subject: str,
        payload: bytes,
        timeout_s: float,
        headers: dict[str, Any] | None = None,
    ) -> Msg:
        """The answer. Raises NatsError, at the latest after `timeout_s`."""
        if self._inbox_refused:
            raise NatsRefusedError(self._inbox_refused)
        reply = f"{self._answers_to}.{secrets.token_hex(8)}"
        answer: asyncio.Future[Msg | NatsError] = asyncio.get_running_loop().create_future()
        self._waiting[reply] = _Asked(subject.lower(), answer)
        try:
            async with asyncio.timeout(timeout_s):
                await self.publish(subject, payload, reply=reply, headers=headers)
                message = await answer
        except errors.Error as error:
            raise NatsDisconnectedError(describe(error)) from error
        except TimeoutError:
            raise NatsTimeoutError(f"no answer within {max(0.0, timeout_s):.3g} s") from None
        finally:
            del self._waiting[reply]
        if isinstance(message, NatsError):
            raise message
        status = (message.headers or {}).get(Header.STATUS)
        if not message.data and status == StatusCode.SERVICE_UNAVAILABLE:
            raise NatsNoRespondersError(f"nothing listens on {clean(subject)}")
        return message

    async def listen_once(
        self, subject: str, on_message: Callable[[], None], on_refused: Callable[[str], None]
    ) -> Listening:
        """See `NatsSession.subscribe_once`. Raises nats.errors.Error."""
        message: asyncio.Future[Msg] = asyncio.get_running_loop().create_future()
        # max_msgs alone stops only the callback, unsubscribe(limit=1) tells the server. Both are
        # needed: a second message between the two commands would find the future done
        subscription = await self.subscribe(subject, future=message, max_msgs=1)
        once = Listening(self._listening, subscription, on_refused=on_refused)
        await subscription.unsubscribe(limit=1)

        def arrived(future: asyncio.Future[Msg]) -> None:
            if once.forget() and not future.cancelled():
                on_message()

        message.add_done_callback(arrived)
        return once

    async def listen(self, subject: str, on_message: Callable[[Msg | None], None]) -> Listening:
        """See `NatsSession.subscribe`; without a subject, on one of our own. Raises
        nats.errors.Error.
        """

        async def take(message: Msg) -> None:
            on_message(message)

        # not among the answers, because delivered messages keep their own subject
        subject = subject or f"{self._answers_to}.{secrets.token_hex(8)}.delivery"
        subscription = await self.subscribe(subject, cb=take)
        return Listening(self._listening, subscription, on_lost=lambda: on_message(None))

    async def refused(self, message: str) -> None:
        """The server reports a permissions violation: report it to what it refuses."""
        match = _VIOLATION.search(message)
        if match is None:
            return
        verb, subject = match[1].lower(), match[2].lower()
        if verb == "publish":
            words = f"our NATS user may not publish to {clean(match[2])}"
            self._fail(NatsRefusedError(words), subject)
        elif subject == f"{self._answers_to}.*".lower():
            inbox = self._answers_to.rpartition(".")[0]
            words = f"our NATS user may not subscribe to its own inbox ({inbox}.>)"
            self._inbox_refused = words
            self._fail(NatsRefusedError(words))
        else:
            words = f"our NATS user may not subscribe to {clean(match[2])}"
            for each in tuple(self._listening.get(subject, ())):
                if each.on_refused is not None:
                    await each.end()
                    each.on_refused(words)

    def lost(self, reason: str) -> None:
        """The connection is lost: end everything that waits on it."""
        self._fail(NatsDisconnectedError(reason))
        listening = [each for some in self._listening.values() for each in some]
        self._listening.clear()
        for each in listening:
            each.on_lost()

    async def discard(self) -> None:
        """Close the connection: give the server 0.3 s, then abort. Never raises, may be called
        twice.
        """
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
        for asked in self._waiting.values():
            if subject in ("", asked.subject) and not asked.answer.done():
                asked.answer.set_result(error)

    async def _take_answer(self, message: Msg) -> None:
        asked = self._waiting.get(message.subject)
        if asked is not None and not asked.answer.done():
            asked.answer.set_result(message)

    async def _process_info(self, info: dict[str, Any], initial_connection: bool = False) -> None:
        """The only place where nats-py shows the greeting before TLS and CONNECT."""
        if initial_connection:
            _check_version(info.get("version"))
            if self._require_tls:
                if not offers_tls(info):
                    raise GreetingError(NO_TLS)
                info["tls_required"] = True  # where nats-py looks
            if info.get("tls_verify") and not self._has_certificate:
                raise GreetingError("TLS: the server asks for a client certificate")
        await super()._process_info(info, initial_connection)

    async def _connect_to_server(self, s: Srv) -> None:
        if s.uri.scheme in ("ws", "wss"):
            await super()._connect_to_server(s)
            return
        transport = _Socket()  # type: ignore[no-untyped-call]  # nats-py leaves it untyped
        await transport.connect(s.uri, DEFAULT_BUFFER_SIZE, self.options["connect_timeout"])
        self._transport = transport


def _check_version(version: object) -> None:
    match = _VERSION.match(version) if isinstance(version, str) else None
    wanted, shown = f"agentdash needs {OLDEST[0]}.{OLDEST[1]} or newer", clean(version, 40)
    if match is None:
        raise UnsupportedVersionError(f"NATS server of unknown version {shown}: {wanted}")
    if (int(match[1]), int(match[2])) < OLDEST:
        raise UnsupportedVersionError(f"NATS server {shown} is too old: {wanted}")


class Identity(TypedDict, total=False):
    """The options of `nats.aio.client.Client.connect` that prove who we are."""

    user: str
    password: str
    token: str
    nkeys_seed_str: str
    user_credentials: RawCredentials
    tls: ssl.SSLContext


def identity(settings: NatsSettings) -> Identity:
    """Read every secret and certificate now, because mounted files are replaced from time to time.
    Blocks on the disk. Raises CredentialsError.
    """
    try:
        options = _credentials(settings.credentials)
    except SecretUnreadableError as error:
        raise CredentialsError(str(error)) from None
    if settings.tls is not None:
        options["tls"] = _tls(settings.tls)
    return options


def _credentials(credentials: NatsCredentials) -> Identity:
    if credentials.creds is not None:
        return {"user_credentials": _creds(credentials.creds.read())}
    if credentials.nkey is not None:
        return {"nkeys_seed_str": _seed(credentials.nkey.read().reveal(), "the nkey seed")}
    if credentials.token is not None:
        return {"token": credentials.token.read().reveal()}
    if credentials.user is not None:
        password = credentials.password
        return {
            "user": credentials.user,
            "password": password.read().reveal() if password is not None else "",
        }
    return {}


def _creds(secret: Secret) -> RawCredentials:
    """A creds file holds a JWT and a seed between markers. Without the first marker nats-py never
    returns from reading it, so both markers are looked for here.
    """
    lines = [line.strip() for line in secret.reveal().splitlines()]
    for marker in ("BEGIN NATS USER JWT", "BEGIN USER NKEY SEED"):
        places = [number for number, line in enumerate(lines) if marker in line]
        if not places or not lines[places[0] + 1 : places[0] + 2]:
            raise CredentialsError(f"the creds file has no {marker.removeprefix('BEGIN ')}")
        if "SEED" in marker:
            _seed(lines[places[0] + 1], "the seed in the creds file")
    return RawCredentials("\n".join(lines) + "\n")


def _seed(seed: str, what: str) -> str:
    try:
        nkeys.from_seed(bytearray(seed.strip().encode())).wipe()
    except (nkeys.NkeysError, ValueError):
        raise CredentialsError(f"{what} is not an nkey seed") from None
    return seed


def _tls(tls: NatsTls) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=tls.ca)
    except (OSError, ssl.SSLError) as error:
        raise CredentialsError(f"{tls.ca}: {_reason(error)}") from None
    if tls.cert is not None:
        try:
            context.load_cert_chain(tls.cert, tls.key)
        except (OSError, ssl.SSLError) as error:
            where = tls.cert if tls.key is None else f"{tls.cert} with {tls.key}"
            raise CredentialsError(f"{where}: {_reason(error)}") from None
    return context


def _reason(error: OSError) -> str:
    if isinstance(error, ssl.SSLError):
        return "not a usable PEM certificate or key"
    return error.strerror or "cannot be read"
