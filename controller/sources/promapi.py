"""One instant query to a Prometheus server: blocking, bounded in time and size, answered with one
number or with why there is none.

What counts as an answer is KEDA's rule (pkg/scalers/prometheus_scaler.go): exactly one series. Two
things are stricter: no series is never 0, whatever KEDA's `ignoreNullValues` says, and an answer
with warnings is not complete.
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
from controller.model.text import clean
from controller.sources.jsapi import NoAnswerError

LONGEST_ANSWER: Final = 1 << 20
"""One number takes some 200 bytes; what is longer than this is not looked into."""
_CHUNK: Final = 64 * 1024
_LONGEST_NUMBER: Final = 64
_MOST_MILLI: Final = 2**63 - 1
_MILLI: Final = 1000
_WORDS: Final = 300
# some versions put mere hints among the warnings (promql/parser/posrange annotations)
_HINT: Final = "PromQL info:"


class _Data(msgspec.Struct):
    result: Any = None


class _Reply(msgspec.Struct):
    """The envelope of the HTTP API (prometheus.io, docs/prometheus/latest/querying/api)."""

    status: str = ""
    data: _Data | None = None
    error: str = ""
    warnings: list[str] | None = None


_REPLY: Final = msgspec.json.Decoder(_Reply)


class PrometheusApi:
    """Asks one server, from as many threads as like to. Nothing is tried twice: the next round is
    the next try. `url` may hold a user and a password, which no message ever shows.
    """

    def __init__(self, url: str) -> None:
        session = _BoundedSession(_host(url))
        # with read=False a silent server is told from one that is not there
        retry = Retry(total=0, read=False)
        self._client = PrometheusConnect(url=url.rstrip("/"), session=session, retry=retry)

    def ask(self, query: str, deadline: float) -> int:
        """What the query comes to, in thousandths, before `deadline` (time.monotonic). Raises
        NoAnswerError.
        """
        left_s = deadline - time.monotonic()
        if left_s <= 0:
            raise NoAnswerError(Why.TIMED_OUT, "too many queries for the time there is")
        # the server is to give up when we do
        params = {"timeout": f"{max(left_s, 0.001):.3f}"}
        return amount(self._client.custom_query(query, params, timeout=left_s))

    def close(self) -> None:
        """End the connections that are not in use."""
        self._client.close()


class _BoundedSession(requests.Session):
    """Reads answers up to a length and a moment, and gives back only complete ones."""

    def __init__(self, host: str) -> None:
        super().__init__()
        self._host = host

    def request(self, *args: Any, **kwargs: Any) -> Any:
        """Like requests.Session.request, answered by a _Complete. Raises NoAnswerError."""
        timeout_s: float = kwargs["timeout"]
        deadline = time.monotonic() + timeout_s
        kwargs |= {"stream": True, "allow_redirects": False}
        try:
            with super().request(*args, **kwargs) as response:
                return _complete(response.status_code, _body(response, deadline))
        except requests.Timeout as error:
            raise NoAnswerError(
                Why.TIMED_OUT, f"{self._host} gave no answer within {timeout_s:.1f} s"
            ) from error
        except requests.ConnectionError as error:
            raise NoAnswerError(
                Why.DISCONNECTED, f"no connection to {self._host} ({_cause(error)})"
            ) from error
        except requests.RequestException as error:
            raise NoAnswerError(
                Why.UNREADABLE, f"{self._host} broke off its answer ({type(error).__name__})"
            ) from error


class _Complete:
    """A whole and successful answer, as far as prometheus-api-client looks at one."""

    status_code: Final = int(HTTPStatus.OK)

    def __init__(self, result: Any) -> None:
        self._result = result

    def json(self) -> dict[str, Any]:
        return {"data": {"result": self._result}}


def amount(result: object) -> int:
    """The number that an instant query comes to, its only series or a scalar, in thousandths.

    Part of a thousandth is one, so that something is never nothing. Raises NoAnswerError.
    """
    match result:
        case [{"value": [_, str(text)]}] | [int() | float(), str(text)]:
            return _milli(text)
        case []:
            raise NoAnswerError(Why.INCOMPLETE, "the query finds no series")
        case [{"value": _}, {"value": _}, *_]:
            raise NoAnswerError(
                Why.IMPLAUSIBLE,
                f"the query finds {len(result)} series and one is wanted: wrap it in sum()",
            )
        case _:
            raise NoAnswerError(Why.UNREADABLE, "the query's result is no single number")


def _milli(text: str) -> int:
    try:
        # Go writes no more than 24 characters; Decimal would take any number of them
        number = Decimal(text if len(text) <= _LONGEST_NUMBER else "")
    except DecimalException:
        raise NoAnswerError(Why.UNREADABLE, f"{clean(text, 40)!r} is no number") from None
    if not number.is_finite():
        raise NoAnswerError(Why.IMPLAUSIBLE, f"the query comes to {clean(text, 40)}")
    if number < 0:
        raise NoAnswerError(
            Why.IMPLAUSIBLE,
            f"the query comes to {clean(text, 40)}, less than nothing: clamp_min(..., 0) if meant",
        )
    if number > _MOST_MILLI // _MILLI:
        raise NoAnswerError(Why.IMPLAUSIBLE, f"the query comes to {clean(text, 40)}")
    return int((number * _MILLI).to_integral_value(ROUND_CEILING))


def _body(response: requests.Response, deadline: float) -> bytes:
    body = bytearray()
    for chunk in response.iter_content(_CHUNK):
        body += chunk
        if len(body) > LONGEST_ANSWER:
            raise NoAnswerError(
                Why.UNREADABLE, f"an answer of more than {LONGEST_ANSWER // 1024} kB"
            )
        if time.monotonic() > deadline:
            raise NoAnswerError(Why.TIMED_OUT, "the answer did not end in time")
    return bytes(body)


def _complete(status: int, body: bytes) -> _Complete:
    try:
        reply = _REPLY.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        reply = None
    said = f": {clean(reply.error, _WORDS)}" if reply is not None and reply.error else ""
    if status != HTTPStatus.OK:
        why = Why.REFUSED if 400 <= status < 500 else Why.INCOMPLETE
        raise NoAnswerError(why, f"HTTP {status}{said}")
    if reply is None:
        raise NoAnswerError(Why.UNREADABLE, "the answer is not Prometheus's JSON")
    if reply.status != "success" or reply.data is None:
        raise NoAnswerError(Why.INCOMPLETE, f"the answer is no success{said}")
    warnings = [words for words in reply.warnings or () if not words.startswith(_HINT)]
    if warnings:
        raise NoAnswerError(
            Why.INCOMPLETE, f"the answer comes with a warning: {clean(warnings[0], _WORDS)}"
        )
    return _Complete(reply.data.result)


def _host(url: str) -> str:
    """Host and port, without a user or password."""
    return clean(urlsplit(url).netloc.rpartition("@")[2], _WORDS)


def _cause(error: BaseException) -> str:
    """The system's own word, found at the bottom; the library's messages quote the whole URL."""
    bottom: BaseException = error
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, OSError) and seen.strerror:
            return clean(seen.strerror, _WORDS)
        bottom = seen
        seen = seen.__cause__ or seen.__context__
    return type(bottom).__name__
