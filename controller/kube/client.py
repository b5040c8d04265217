"""Requests to one API server through the official client, without its generated models.

The official ApiClient brings TLS, proxies, connection pools and authentication; here stand the
deadlines, the typed errors, and one second try after a 401 with credentials read again.
"""

from __future__ import annotations

import asyncio
import ssl
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Mapping
from contextlib import aclosing, asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import aiohttp

from controller.kube.access import Access, environment_proxy, trust_new_certificate
from controller.kube.errors import (
    ApiError,
    ConfigError,
    HeldBackError,
    KubeError,
    LostError,
    TimedOutError,
    UnreachableError,
    UnreadableError,
    api_error,
    shortened,
)
from controller.kube.limits import Lane, Pauses
from controller.kube.link import LinkTracker
from controller.ports import Clock

CONNECT_S: Final = 3.0
REQUEST_S: Final = 5.0
LONGEST_ANSWER: Final = 64 * 2**20
MERGE_PATCH: Final = "application/merge-patch+json"
_JSON: Final = "application/json"

Json: TypeAlias = dict[str, Any]
Query: TypeAlias = Mapping[str, str]


@dataclass(frozen=True, kw_only=True, slots=True)
class _Request:
    method: str
    path: str
    kind: str
    query: Query
    deadline: aiohttp.ClientTimeout
    body: Json | None = None
    content_type: str = _JSON


class Client:
    """One cluster's API. `requests` counts what was sent, by (method, kind of object).

    Used on one event loop; `close` ends its connections. Making it raises ConfigError when the
    certificates cannot be read.
    """

    def __init__(self, access: Access, pauses: Pauses, link: LinkTracker) -> None:
        self._access = access
        self._pauses = pauses
        self._link = link
        # Watches stay open for minutes, four a namespace: in a pool of their own, without
        # limit, they never keep a write from its connection.
        self._watches = _api_client(access, connections=0)
        self._calls = _api_client(access, connections=64)
        self.requests: Counter[tuple[str, str]] = Counter()

    @property
    def context(self) -> str:
        """The context's name."""
        return self._access.context

    @property
    def trouble(self) -> str:
        """Why our credentials could not be read again lately; empty if they could."""
        return self._access.trouble

    def apart(self, clock: Clock) -> Client:
        """Another client to the same server, whose waits and failures say nothing about this one:
        for APIs that other servers answer behind it (APIService).
        """
        return Client(self._access, Pauses(), LinkTracker(clock))

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
        query: Query | None = None,
        body: Json | None = None,
        content_type: str = _JSON,
        timeout_s: float = REQUEST_S,
    ) -> bytes:
        """One request and its whole answer, 2xx only, within `timeout_s`. Raises KubeError."""
        deadline = aiohttp.ClientTimeout(total=timeout_s, connect=min(CONNECT_S, timeout_s))
        request = _Request(
            method=method,
            path=path,
            kind=kind,
            query=query or {},
            body=body,
            content_type=content_type,
            deadline=deadline,
        )
        # around everything: a second try after a 401, and the credentials read for it, count too
        with self._noted():
            async with asyncio.timeout(timeout_s):
                return await self._whole(request)

    async def _whole(self, request: _Request) -> bytes:
        response = await self._answer(self._calls, request)
        try:
            if (response.content_length or 0) > LONGEST_ANSWER:
                raise UnreadableError(f"an answer of {response.content_length} bytes")
            return await response.read()
        finally:
            response.close()

    @asynccontextmanager
    async def lines(
        self, path: str, *, kind: str, query: Query, silence_s: float
    ) -> AsyncIterator[AsyncIterator[bytes]]:
        """A GET answered line by line for as long as it lasts, with no gap above `silence_s`.

        Raises KubeError, also from the iterator.
        """
        deadline = aiohttp.ClientTimeout(
            total=None, connect=CONNECT_S, sock_connect=CONNECT_S, sock_read=silence_s
        )
        request = _Request(method="GET", path=path, kind=kind, query=query, deadline=deadline)
        with self._noted():
            response = await self._answer(self._watches, request)
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
            self._link.answered()
            yield line

    async def _answer(self, api: Any, request: _Request) -> aiohttp.ClientResponse:
        """The head of a 2xx answer. A 401 reads the credentials again and asks once more: a server
        that does not know us has done nothing.
        """
        await self._access.keep_current()
        lane = Lane.READ if request.method == "GET" else Lane.WRITE
        for last_try in (False, True):
            wait = self._pauses.remaining(lane)
            if wait > 0:
                raise HeldBackError(wait)
            generation = self._access.generation
            serialized = await api.param_serialize(
                request.method,
                request.path,
                query_params=list(request.query.items()),
                header_params={"Accept": _JSON, "Content-Type": request.content_type},
                body=request.body,
                auth_settings=["BearerToken"],
            )
            self.requests[request.method, request.kind] += 1
            answer = await api.call_api(*serialized, _request_timeout=request.deadline)
            response: aiohttp.ClientResponse = answer.response
            if 200 <= response.status < 300:
                return response
            try:
                refusal = api_error(response.status, response.headers, await response.read())
            finally:
                response.close()
            self._link.answered()
            self._obey(refusal, lane)
            if refusal.status != 401 or last_try:
                raise refusal
            await self._access.renew(generation)
            for used in (self._calls, self._watches):
                trust_new_certificate(used.rest_client.ssl_context, self._access.configuration)
        raise AssertionError("unreachable: the last try returns or raises")

    def _obey(self, refusal: ApiError, lane: Lane) -> None:
        """429 is about requests like this one (API priority and fairness), 503 about the server."""
        if refusal.retry_after_s is None:
            return
        if refusal.status == 429:
            self._pauses.hold(refusal.retry_after_s, lane)
        elif refusal.status == 503:
            self._pauses.hold(refusal.retry_after_s)

    @contextmanager
    def _noted(self) -> Iterator[None]:
        """One exchange: its failure typed, its success or silence told to the link."""
        try:
            with _typed_failures():
                yield
        except (UnreachableError, TimedOutError, LostError) as failure:
            self._link.silent(failure.why, failure.detail)
            raise
        except KubeError:
            raise
        else:
            self._link.answered()


def _api_client(access: Access, connections: int) -> Any:
    """The official ApiClient; 0 connections means no limit."""
    from kubernetes.aio.client.api_client import ApiClient

    configuration = access.configuration
    configuration.connection_pool_maxsize = connections  # read once, by the constructor
    configuration.proxy = configuration.proxy or environment_proxy(configuration.host)
    # aiohttp's trust_env would read ~/.netrc in a thread before every request, and refuse our
    # Authorization header if the host stands in it; the proxy it would find is set above.
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


@contextmanager
def _typed_failures() -> Iterator[None]:
    """What aiohttp raises as ours, by the one question that counts: had the request left?"""
    try:
        yield
    except (
        aiohttp.ClientConnectorError,
        aiohttp.ClientHttpProxyError,
        aiohttp.ConnectionTimeoutError,
        aiohttp.InvalidURL,
    ) as error:
        raise UnreachableError(shortened(str(error)) or type(error).__name__) from error
    except TimeoutError as error:
        raise TimedOutError("no answer in time") from error
    except (aiohttp.ClientPayloadError, aiohttp.ClientConnectionError, OSError) as error:
        raise LostError(f"connection lost: {shortened(str(error))}") from error
    except (aiohttp.ClientError, ValueError) as error:
        raise UnreadableError(shortened(str(error)) or type(error).__name__) from error
