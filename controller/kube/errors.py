"""The errors of requests to an API server.

KubeError
├── ConfigError         files and environment give no usable configuration
├── ApiError            the server answered with a refusal
├── HeldBackError       not sent, because the server had asked us to wait
├── UnreachableError    not sent: connection refused, no route, unknown name, TLS, proxy
├── TimedOutError       sent, but not answered in time: it may have been carried out
├── LostError           sent, but the connection broke: it may have been carried out
└── UnreadableError     answered, but not as an API server answers
    └── TooLargeError   answered with more than is read of one answer
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from typing import Final

from controller.kube.wire import WireObject
from controller.model.readings import Why
from controller.model.text import clean
from controller.model.value import UndecodableError

DETAIL_LIMIT: Final = 400
LONGEST_WAIT_S: Final = 600.0
"""The longest wait that is obeyed: a typing error in a server's settings must not stop us for a
day."""


class KubeError(Exception):
    """The base class; its message is short and clean. `retry_after_s` is the server's word."""

    why: Why = Why.DISCONNECTED
    retry_after_s: float | None = None

    @property
    def detail(self) -> str:
        """The message that is shown."""
        return str(self)


class ConfigError(KubeError):
    """There is no usable configuration; the message says which file, what and what to do."""

    why = Why.REFUSED


class ApiError(KubeError):
    """A Status, or any other answer that is not 2xx.

    `status` is the HTTP status, `reason` the Status' reason (`Conflict`), `causes` the reasons in
    its details (`ResourceVersionTooLarge`).
    """

    def __init__(
        self,
        status: int,
        reason: str = "",
        message: str = "",
        causes: tuple[str, ...] = (),
        retry_after_s: float | None = None,
    ) -> None:
        self.status = status
        self.reason = reason
        self.message = message
        self.causes = causes
        self.retry_after_s = retry_after_s
        self.why = Why.REFUSED if status in {401, 403} else Why.VIEW_INCOMPLETE
        super().__init__(f"{status} {reason}: {message}" if reason else f"{status}: {message}")

    @property
    def detail(self) -> str:
        """The server's own message."""
        return self.message or f"HTTP {self.status}"

    @property
    def expired(self) -> bool:
        """Whether the request's version or continue token is too old: a new list is needed."""
        return self.status == 410 or self.reason in {"Expired", "Gone"}


class HeldBackError(KubeError):
    """The request was not sent, because the server had asked us to wait."""

    def __init__(self, seconds: float) -> None:
        self.retry_after_s = seconds
        super().__init__(f"not sent: the API server asked to wait {seconds:.1f} s more")


class UnreachableError(KubeError):
    """The request was not sent."""


class TimedOutError(KubeError):
    """No answer within the deadline."""

    why = Why.TIMED_OUT


class LostError(KubeError):
    """The connection broke before the answer was complete."""


class UnreadableError(KubeError):
    """An answer that is no JSON, or not the object that was asked for."""

    why = Why.UNREADABLE


class TooLargeError(UnreadableError):
    """An answer, or a list of several pages, with more than is read of one."""


class _Cause(WireObject):
    reason: str = ""
    message: str = ""


class _Details(WireObject):
    causes: list[_Cause] | None = None
    retry_after_seconds: float = 0.0


class WireStatus(WireObject):
    """The fields of metav1.Status that we read."""

    kind: str = ""
    code: int = 0
    reason: str = ""
    message: str = ""
    details: _Details | None = None


def api_error(status: int, headers: Mapping[str, str], body: bytes) -> ApiError:
    """The error for an answer that is not 2xx, from the API server, a proxy or a web server."""
    wait = _retry_after(headers)
    try:
        found = WireStatus.of(body)
    except UndecodableError:
        text = re.sub(rb"<[^>]*>", b" ", body[: 4 * DETAIL_LIMIT]).decode("utf-8", "replace")
        return ApiError(status, message=shortened(text), retry_after_s=wait)
    return status_error(found, status=status, retry_after_s=wait)


def status_error(
    found: WireStatus, *, status: int = 0, retry_after_s: float | None = None
) -> ApiError:
    """The error for a Status, from an answer's body or an ERROR line of a watch."""
    details = found.details or _Details()
    if retry_after_s is None and details.retry_after_seconds > 0:
        retry_after_s = min(details.retry_after_seconds, LONGEST_WAIT_S)
    return ApiError(
        status or found.code,
        reason=clean(found.reason, 64),
        message=shortened(found.message),
        causes=tuple(clean(cause.reason, 64) for cause in details.causes or ()),
        retry_after_s=retry_after_s,
    )


def shortened(text: str) -> str:
    """The cleaned text without its middle: a refusal may quote the object before its reason."""
    text = " ".join(text.split())
    if len(text) > DETAIL_LIMIT:
        text = f"{text[: DETAIL_LIMIT // 2]} … {text[-(DETAIL_LIMIT // 2 - 3) :]}"
    return clean(text, DETAIL_LIMIT)


def _retry_after(headers: Mapping[str, str]) -> float | None:
    """RFC 9110, 10.2.3: seconds or a date; a date is taken relative to the answer's own Date."""
    asked = headers.get("Retry-After", "").strip()
    if asked.isascii() and asked.isdigit():
        return min(float(asked), LONGEST_WAIT_S)
    try:
        until, now = parsedate_to_datetime(asked), parsedate_to_datetime(headers.get("Date", ""))
        return min(max((until - now).total_seconds(), 0.0), LONGEST_WAIT_S)
    except (ValueError, TypeError):
        return None
