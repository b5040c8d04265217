"""Why a server cannot be reached, in words: one place for NATS, Kubernetes and Prometheus."""

from __future__ import annotations

import errno
import socket
import ssl
from collections.abc import Iterator
from typing import Final

from controller.model.text import clean

_NO_WAY: Final = frozenset({errno.ENETUNREACH, errno.EHOSTUNREACH, errno.ENETDOWN, errno.EHOSTDOWN})
_CLOSED: Final = frozenset({errno.ECONNRESET, errno.EPIPE, errno.ECONNABORTED})
# of several addresses that all fail, asyncio keeps only the text
_REFUSED_IN_TEXT: Final = f"[Errno {errno.ECONNREFUSED}]"
_LONGEST_CHAIN: Final = 16


def why_unreachable(error: BaseException, address: str = "") -> str | None:
    """One line that says what is wrong with the connection, or None if the error is about something
    else. `address` is where the server should be; by default what the error itself knows of it.
    """
    for each in _chain(error):
        words = _words(each, address or _address(error))
        if words is not None:
            return clean(words)
    return None


def _words(error: BaseException, address: str) -> str | None:
    server = address or "the server"
    words: str | None = None
    match error:
        case ssl.SSLCertVerificationError():
            words = f"TLS: the server's certificate is not trusted: {error.verify_message}"
        case ssl.SSLError():
            words = f"TLS: {getattr(error, 'reason', None) or 'the handshake failed'}"
        case socket.gaierror():
            host = f"the name {address.rpartition(':')[0]}" if address else "the host's name"
            words = f"{host} is not found ({error.strerror})"
        case TimeoutError():
            words = f"no answer from {server} in time"
        case OSError() if _is_refused(error):
            place = f"at {address}" if address else "there"
            words = f"nothing listens {place} (connection refused)"
        case OSError() if error.errno in _NO_WAY:
            words = f"no way to {server} ({(error.strerror or '').lower()})"
        case OSError() if isinstance(error, ConnectionError) or error.errno in _CLOSED:
            words = f"{server} closed the connection"
    return words


def _is_refused(error: OSError) -> bool:
    if isinstance(error, ConnectionRefusedError) or error.errno == errno.ECONNREFUSED:
        return True
    failures = str(error).count("[Errno ")
    return failures > 0 and failures == str(error).count(_REFUSED_IN_TEXT)


def _chain(error: BaseException) -> Iterator[BaseException]:
    """The error and what led to it, the innermost first: libraries wrap the system's error."""
    found: list[BaseException] = []
    seen: BaseException | None = error
    while seen is not None and seen not in found and len(found) < _LONGEST_CHAIN:
        found.append(seen)
        inner = getattr(seen, "os_error", None)  # aiohttp
        seen = inner if isinstance(inner, BaseException) else seen.__cause__ or seen.__context__
    yield from reversed(found)


def _address(error: BaseException) -> str:
    """`host:port`, where the error knows them, as aiohttp's do."""
    host, port = getattr(error, "host", None), getattr(error, "port", None)
    return f"{host}:{port}" if isinstance(host, str) and isinstance(port, int) else ""
