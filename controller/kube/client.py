"""Requests to one API server through the official client, without its generated models.

The official ApiClient does TLS, proxies, connection pools and authentication. This module adds
deadlines, typed errors, and one more try after a 401 with credentials that were read again.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Mapping
from contextlib import aclosing, asynccontextmanager, contextmanager
from email.utils import parsedate_to_datetime
from enum import StrEnum
from typing import Any, Final, TypeAlias

import aiohttp

from controller.kube.access import Access, environment_proxy, trust_new_certificate
from controller.kube.errors import (
    ApiError,
    ConfigError,
    HeldBackError,
    LostError,
    TimedOutError,
    TooLargeError,
    UnreachableError,
    UnreadableError,
    api_error,
    shortened,
)
from controller.model.readings import Why
from controller.model.servers import why_unreachable
from controller.model.snapshot import Link, LinkState
from controller.ports import Clock

log = logging.getLogger(__name__)

CLOCK_STEP_S: Final = 1.0
"""Unix and monotonic time drift apart by less than this between two exchanges, unless the clock was
set."""


class LinkTracker:
    """Any answer proves that the link is up, a refusal too; silence and broken connections prove
    that it is down. Each exchange also shows whether the clock was set.

    `is_up` is true if the last exchange had an answer; otherwise `why` and `detail` say what was
    wrong. `monotonic` gives the seconds for all ages, here and in the views. `clock_epoch` grows
    each time the wall clock is set.
    """

    def __init__(self, clock: Clock, name: str = "kubernetes") -> None:
        """`name` is the connection's name in the log."""
        self.clock = clock
        self._name = name
        self.monotonic = clock.monotonic
        self._state = LinkState.CONNECTING
        self._since = self.monotonic()
        self._good_at: float | None = None
        self._offset = clock.now() - self.monotonic()
        self._refusal: str | None = None
        self.is_up = False
        self.detail = ""
        self.why = Why.NEVER_READ
        self.clock_epoch = 0
        self.failed = 0
        """Requests that came to nothing through no fault of theirs, since the process began."""

    def answered(self) -> None:
        """Note that the server answered."""
        self._good_at = self.monotonic()
        self._enter(LinkState.CONNECTED, "", Why.NEVER_READ)

    def silent(self, why: Why, detail: str) -> None:
        """Note that a request got no answer."""
        self.failed += 1
        self._enter(LinkState.DISCONNECTED, detail, why)

    def refused(self, detail: str) -> None:
        """Note that the server refused our credentials: it answers, and we can do nothing."""
        if self._refusal is None:
            extra = {"is_change": True}
            log.warning("%s refuses our credentials: %s", self._name, detail, extra=extra)
        self._refusal = detail

    def accepted(self) -> None:
        """Note that the server took our credentials, or asked for none."""
        if self._refusal is not None:
            log.info("%s takes our credentials again", self._name)
        self._refusal = None

    def silent_for(self) -> float:
        """The seconds since the last answer; 0.0 while the link is up."""
        if self.is_up:
            return 0.0
        return self.monotonic() - (self._since if self._good_at is None else self._good_at)

    def link(self) -> Link:
        """The link as a value. Ages are monotonic, so a step of the clock does not change them."""
        state, detail = self._state, self.detail
        if state is LinkState.CONNECTED and self._refusal is not None:
            state = LinkState.DISCONNECTED
            detail = f"our credentials are refused: {self._refusal or 'Unauthorized'}"
        return Link(
            name="kubernetes",
            state=state,
            since=self._unix(self._since),
            detail=detail,
            last_good_at=None if self._good_at is None else self._unix(self._good_at),
        )

    def _enter(self, state: LinkState, detail: str, why: Why) -> None:
        offset = self.clock.now() - self.monotonic()
        if abs(offset - self._offset) > CLOCK_STEP_S:
            self.clock_epoch += 1
            self._offset = offset
        if state is not self._state:
            self._state, self._since = state, self.monotonic()
            level = logging.INFO if state is LinkState.CONNECTED else logging.WARNING
            extra = {"is_change": True, "source": self._name}
            reason = f": {detail}" if detail else ""
            log.log(level, "%s %s%s", self._name, state.value, reason, extra=extra)
        self.is_up = state is LinkState.CONNECTED
        self.detail, self.why = detail, why

    def _unix(self, moment: float) -> float:
        return self.clock.now() - (self.monotonic() - moment)


class Lane(StrEnum):
    """Requests that an API server throttles together, approximately."""

    READ = "read"
    WRITE = "write"


CONNECT_TIMEOUT_S: Final = 3.0
REQUEST_TIMEOUT_S: Final = 5.0
MOST_ANSWER_BYTES: Final = 64 * 2**20
"""A page of 500 pods takes about 5 MB."""
MOST_REFUSAL_BYTES: Final = 64 * 2**10
"""A refusal is short; of a longer one the rest is not read."""
MERGE_PATCH: Final = "application/merge-patch+json"
_JSON: Final = "application/json"

Json: TypeAlias = dict[str, Any]
QueryParameters: TypeAlias = Mapping[str, str]


class Client:
    """One cluster's API. `requests` counts what was sent, by (method, kind of object). `listing` is
    the number of objects so far in the lists that are being read.

    It belongs to one event loop; `close` ends its connections. Making one raises ConfigError where
    the certificates cannot be read.
    """

    def __init__(self, access: Access, clock: Clock, name: str = "kubernetes") -> None:
        """`name` is the connection's name in the log."""
        self.access = access
        self.clock = clock
        self.link = LinkTracker(clock, name)
        self._held = dict.fromkeys(Lane, float("-inf"))  # until then nothing is sent
        # Watches stay open for minutes, six for each namespace. In a pool of their own without a
        # limit they never take the connection that a write needs.
        self._watches = _api_client(access, connections=0)
        self._calls = _api_client(access, connections=64)
        self.requests: Counter[tuple[str, str]] = Counter()
        self.listing = 0

    def apart(self) -> Client:
        """Another client for the same server, with its own connections, waits and link. It is for
        APIs that other servers behind the API server answer (APIService), and for the lease, whose
        renewals nothing else may delay.
        """
        return Client(self.access, self.clock, "kubernetes metrics")

    async def close(self) -> None:
        """End all connections."""
        await self._watches.close()
        await self._calls.close()

    async def call(
        self,
        method: str,
        path: str,
        *,
        kind: str,
        query: QueryParameters | None = None,
        body: Json | None = None,
        content_type: str = _JSON,
        timeout_s: float = REQUEST_TIMEOUT_S,
    ) -> bytes:
        """Send one request; the body of a 2xx answer. Raises KubeError, within `timeout_s`."""
        more = {"kind": kind, "query": query or {}, "body": body, "content_type": content_type}
        async with self._exchange(method, path, timeout_s, **more) as response:
            size, found = response.content_length or 0, b""
            if size <= MOST_ANSWER_BYTES:
                found = await _beginning(response, MOST_ANSWER_BYTES)
            if max(size, len(found)) > MOST_ANSWER_BYTES:
                raise TooLargeError(
                    f"the answer has {max(size, len(found)):,} bytes or more, and "
                    f"{MOST_ANSWER_BYTES:,} are read at most; does a proxy answer in the API "
                    "server's place?"
                )
            return found

    async def server_time(self, timeout_s: float = REQUEST_TIMEOUT_S) -> float | None:
        """The server's clock (Unix seconds); None if its answer has no time. Raises KubeError."""
        sent = self._exchange("GET", "/version", timeout_s, kind="version", query={})
        async with sent as response:
            date = response.headers.get("Date", "")
        try:
            return parsedate_to_datetime(date).timestamp()
        except (ValueError, TypeError):
            return None

    @asynccontextmanager
    async def _exchange(
        self, method: str, path: str, timeout_s: float, **more: Any
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """One request and its answer; the time-out includes a second try after a 401."""
        deadline = aiohttp.ClientTimeout(total=timeout_s, connect=min(CONNECT_TIMEOUT_S, timeout_s))
        with self._noted():
            async with asyncio.timeout(timeout_s):
                response = await self._answer(self._calls, method, path, deadline=deadline, **more)
                try:
                    yield response
                finally:
                    response.close()

    @asynccontextmanager
    async def lines(
        self, path: str, *, kind: str, query: QueryParameters, silence_s: float
    ) -> AsyncIterator[AsyncIterator[bytes]]:
        """A GET that comes line by line, at least one in `silence_s`. Raises KubeError."""
        deadline = aiohttp.ClientTimeout(
            total=None,
            connect=CONNECT_TIMEOUT_S,
            sock_connect=CONNECT_TIMEOUT_S,
            sock_read=silence_s,
        )
        with self._noted():
            response = await self._answer(
                self._watches, "GET", path, kind=kind, deadline=deadline, query=query
            )
        try:
            async with aclosing(self._lines_of(response)) as stream:
                yield stream
        finally:
            response.close()

    async def _lines_of(self, response: aiohttp.ClientResponse) -> AsyncGenerator[bytes, None]:
        while True:
            with _typed_failures():
                line = await response.content.readline()
            if not line:
                return
            self.link.answered()
            yield line

    async def _answer(
        self,
        api: Any,
        method: str,
        path: str,
        *,
        kind: str,
        deadline: aiohttp.ClientTimeout,
        query: QueryParameters,
        body: Json | None = None,
        content_type: str = _JSON,
    ) -> aiohttp.ClientResponse:
        """The head of a 2xx answer. After a 401 the credentials are read again and the request is
        sent once more. That is safe, because the server has not carried out the first one.
        """
        await self.access.keep_current()
        lane = Lane.READ if method == "GET" else Lane.WRITE
        for last_try in (False, True):
            wait = self._held[lane] - self.clock.monotonic()
            if wait > 0:
                raise HeldBackError(wait)
            generation = self.access.generation
            serialized = await api.param_serialize(
                method,
                path,
                query_params=list(query.items()),
                header_params={"Accept": _JSON, "Content-Type": content_type},
                body=body,
                auth_settings=["BearerToken"],
            )
            self.requests[method, kind] += 1
            answer = await api.call_api(*serialized, _request_timeout=deadline)
            response: aiohttp.ClientResponse = answer.response
            if 200 <= response.status < 300:
                self.link.accepted()
                return response
            try:
                said = await _beginning(response, MOST_REFUSAL_BYTES)
            finally:
                response.close()
            refusal = api_error(response.status, response.headers, said)
            self.link.answered()
            if refusal.retry_after_s is not None and refusal.status in {429, 503}:
                # after 429 requests of this lane wait (API priority and fairness), after 503 all
                until = self.clock.monotonic() + refusal.retry_after_s
                for held in (lane,) if refusal.status == 429 else Lane:
                    self._held[held] = max(self._held[held], until)
            if refusal.status != 401:
                self.link.accepted()
                raise refusal
            self.link.refused(refusal.detail)
            if last_try:
                raise refusal
            await self.access.renew(generation)
            for used in (self._calls, self._watches):
                trust_new_certificate(used.rest_client.ssl_context, self.access.configuration)
        raise AssertionError("unreachable: the last try returns or raises")

    @contextmanager
    def _noted(self) -> Iterator[None]:
        """Raise failures of one exchange as KubeErrors, and report its end to the link."""
        try:
            with _typed_failures():
                yield
        except (UnreachableError, TimedOutError, LostError) as failure:
            self.link.silent(failure.why, failure.detail)
            raise
        except ApiError as refusal:
            if refusal.status == 401 or refusal.status >= 500:
                self.link.failed += 1
            raise
        else:
            self.link.answered()


def _api_client(access: Access, connections: int) -> Any:
    """The official ApiClient; 0 connections means no limit."""
    from kubernetes.aio.client.api_client import ApiClient

    configuration = access.configuration
    configuration.connection_pool_maxsize = connections  # read once, by the constructor
    configuration.proxy = configuration.proxy or environment_proxy(configuration.host)
    # aiohttp's trust_env would read ~/.netrc in a thread before every request, and refuse our
    # Authorization header if the file names the host. The proxy that it would find is set above.
    configuration.client_session_kwargs = {
        "trust_env": False,
        "cookie_jar": aiohttp.DummyCookieJar(),
    }
    try:
        api = ApiClient(configuration)
    except (OSError, ssl.SSLError, ValueError) as error:
        path = configuration.ssl_ca_cert or configuration.cert_file or "certificate"
        raise ConfigError(f"{shortened(str(path))}: {shortened(str(error))}") from error
    api.user_agent = "agentdash"
    return api


async def _beginning(response: aiohttp.ClientResponse, most: int) -> bytes:
    """The body; of one with more bytes than this, at least so many."""
    body = bytearray()
    async for chunk in response.content.iter_any():
        body += chunk
        if len(body) > most:
            break
    return bytes(body)


@contextmanager
def _typed_failures() -> Iterator[None]:
    """Raise aiohttp's failures as KubeErrors, which say whether the request was sent."""

    def lost(error: BaseException) -> str:
        return shortened(why_unreachable(error) or str(error) or type(error).__name__)

    try:
        yield
    except (
        aiohttp.ClientConnectorError,
        aiohttp.ClientHttpProxyError,
        aiohttp.ConnectionTimeoutError,
        aiohttp.InvalidURL,
    ) as error:
        raise UnreachableError(lost(error)) from error
    except TimeoutError as error:
        raise TimedOutError("no answer in time") from error
    except (aiohttp.ClientPayloadError, aiohttp.ClientConnectionError, OSError) as error:
        raise LostError(f"connection lost: {lost(error)}") from error
    except (aiohttp.ClientError, ValueError) as error:
        raise UnreadableError(shortened(str(error)) or type(error).__name__) from error
