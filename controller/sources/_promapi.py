"""Instant queries to a Prometheus server: blocking, limited in time and size, with one number as
result.

A result must have exactly one series, as in KEDA (pkg/scalers/prometheus_scaler.go). Two rules are
stricter: an empty result is never 0 (KEDA's `ignoreNullValues` can make it 0), and an answer with
warnings is not complete.
"""

from __future__ import annotations

import time
from decimal import ROUND_CEILING, Decimal, DecimalException
from http import HTTPStatus
from typing import Any, Final
from urllib.parse import urlsplit

import msgspec
import requests
from prometheus_api_client import PrometheusConnect
from urllib3.util.retry import Retry

from controller.model.readings import Why
from controller.model.servers import why_unreachable
from controller.model.text import clean
from controller.model.value import INT64_MAX, MILLI, UndecodableError, decoded
from controller.sources.prometheus import QueryError

LONGEST_ANSWER: Final = 1 << 20
"""One number takes about 200 bytes; a longer answer than this is not decoded."""
_CHUNK: Final = 64 * 1024
_LONGEST_NUMBER: Final = 64
_SHOWN: Final = 300
# some versions put hints among the warnings (promql/parser/posrange annotations)
_HINT: Final = "PromQL info:"


class _ReplyData(msgspec.Struct):
    result: Any = None


class _Reply(msgspec.Struct):
    """The envelope of the HTTP API (prometheus.io, docs/prometheus/latest/querying/api)."""

    status: str = ""
    data: _ReplyData | None = None
    error: str = ""
    warnings: list[str] | None = None


_REPLY: Final = msgspec.json.Decoder(_Reply)


class PrometheusApi:
    """A client for one server; it may be used by several threads. Nothing is retried, because the
    next round follows soon. `url` may have a user and a password; messages never show them.
    """

    def __init__(self, url: str) -> None:
        session = _BoundedSession(_host(url))
        # read=False distinguishes a server that does not answer from one that is not reachable
        retry = Retry(total=0, read=False)
        self._client = PrometheusConnect(url=url.rstrip("/"), session=session, retry=retry)

    def ask(self, query: str, deadline: float) -> int:
        """The query's value in thousandths, before `deadline`. Raises QueryError."""
        left_s = deadline - time.monotonic()
        if left_s <= 0:
            raise QueryError(Why.TIMED_OUT, "too many queries for the time available")
        # the server should give up when we do
        params = {"timeout": f"{max(left_s, 0.001):.3f}"}
        return amount(self._client.custom_query(query, params, timeout=left_s))

    def close(self) -> None:
        """End the connections that are not in use."""
        self._client.close()


class _BoundedSession(requests.Session):
    """Reads answers up to a maximum size and time, and returns only complete ones."""

    def __init__(self, host: str) -> None:
        super().__init__()
        self._host = host

    def request(self, *args: Any, **kwargs: Any) -> Any:
        """Like requests.Session.request, but returns a _CompleteAnswer. Raises QueryError."""
        timeout_s: float = kwargs["timeout"]
        deadline = time.monotonic() + timeout_s
        kwargs |= {"stream": True, "allow_redirects": False}
        try:
            with super().request(*args, **kwargs) as response:
                return _complete(response.status_code, _body(response, deadline))
        except requests.Timeout as error:
            raise QueryError(
                Why.TIMED_OUT, f"{self._host} gave no answer within {timeout_s:.1f} s"
            ) from error
        except requests.ConnectionError as error:
            raise QueryError(
                Why.DISCONNECTED,
                why_unreachable(error, self._host)
                or f"no connection to {self._host} ({_cause(error)})",
            ) from error
        except requests.RequestException as error:
            raise QueryError(
                Why.UNREADABLE, f"{self._host} ended its answer early ({type(error).__name__})"
            ) from error


class _CompleteAnswer:
    """A complete and successful answer, with the parts that prometheus-api-client reads."""

    status_code: Final = int(HTTPStatus.OK)

    def __init__(self, result: Any) -> None:
        self._result = result

    def json(self) -> dict[str, Any]:
        return {"data": {"result": self._result}}


def amount(result: object) -> int:
    """The value of an instant query, its only series or a scalar, in thousandths.

    Rounded up, so that a small amount is never 0. Raises QueryError.
    """
    match result:
        case [{"value": [_, str(text)]}] | [int() | float(), str(text)]:
            return _milli(text)
        case []:
            raise QueryError(Why.INCOMPLETE, "the query finds no series")
        case [{"value": _}, {"value": _}, *_]:
            raise QueryError(
                Why.IMPLAUSIBLE,
                f"the query finds {len(result)} series and one is wanted: wrap it in sum()",
            )
        case _:
            raise QueryError(Why.UNREADABLE, "the query's result is not a single number")


def _milli(text: str) -> int:
    try:
        # Go writes at most 24 characters; Decimal would accept any number of them
        number = Decimal(text if len(text) <= _LONGEST_NUMBER else "")
    except DecimalException:
        raise QueryError(Why.UNREADABLE, f"{clean(text, 40)!r} is not a number") from None
    if not number.is_finite():
        raise QueryError(Why.IMPLAUSIBLE, f"the query's value is {clean(text, 40)}")
    if number < 0:
        raise QueryError(
            Why.IMPLAUSIBLE,
            f"the query's value is {clean(text, 40)}, less than 0: wrap it in clamp_min(..., 0)",
        )
    if number > INT64_MAX // MILLI:
        raise QueryError(Why.IMPLAUSIBLE, f"the query's value is {clean(text, 40)}")
    return int((number * MILLI).to_integral_value(ROUND_CEILING))


def _body(response: requests.Response, deadline: float) -> bytes:
    body = bytearray()
    for chunk in response.iter_content(_CHUNK):
        body += chunk
        if len(body) > LONGEST_ANSWER:
            raise QueryError(Why.UNREADABLE, f"an answer of more than {LONGEST_ANSWER // 1024} kB")
        if time.monotonic() > deadline:
            raise QueryError(Why.TIMED_OUT, "the answer did not end in time")
    return bytes(body)


def _complete(status: int, body: bytes) -> _CompleteAnswer:
    try:
        reply = decoded(_REPLY, body, most_bytes=LONGEST_ANSWER)
    except UndecodableError:
        reply = None
    said = f": {clean(reply.error, _SHOWN)}" if reply is not None and reply.error else ""
    if status != HTTPStatus.OK:
        why = Why.REFUSED if 400 <= status < 500 else Why.INCOMPLETE
        raise QueryError(why, f"HTTP {status}{said}")
    if reply is None:
        raise QueryError(Why.UNREADABLE, "the answer is not the JSON of Prometheus")
    if reply.status != "success" or reply.data is None:
        raise QueryError(Why.INCOMPLETE, f"the answer is an error{said}")
    warnings = [words for words in reply.warnings or () if not words.startswith(_HINT)]
    if warnings:
        raise QueryError(
            Why.INCOMPLETE, f"the answer comes with a warning: {clean(warnings[0], _SHOWN)}"
        )
    return _CompleteAnswer(reply.data.result)


def _host(url: str) -> str:
    """Host and port, without a user or password."""
    return clean(urlsplit(url).netloc.rpartition("@")[2], _SHOWN)


def _cause(error: BaseException) -> str:
    """The system's message at the chain's end; the library's quote the whole URL."""
    bottom: BaseException = error
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, OSError) and seen.strerror:
            return clean(seen.strerror, _SHOWN)
        bottom = seen
        seen = seen.__cause__ or seen.__context__
    return type(bottom).__name__
