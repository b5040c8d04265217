"""What went wrong with a connection, in words for the person who has to mend it."""

from __future__ import annotations

import socket
import ssl

from nats import errors

from controller.model.text import clean

_PREFIX = "nats: "


def in_words(error: BaseException) -> str:
    """One line that names neither credentials nor payloads."""
    match error:
        case ssl.SSLCertVerificationError():
            words = f"TLS: the server's certificate is not trusted: {error.verify_message}"
        case ssl.SSLError():
            words = f"TLS: {error.reason or 'the handshake failed'}"
        case socket.gaierror():
            words = f"the host's name is not found: {error.strerror}"
        case ConnectionRefusedError():
            words = "connection refused"
        case errors.UnexpectedEOF() | ConnectionError():
            words = "the server closed the connection"
        case errors.Error() if _is_authorization(error):
            words = f"the server refuses our credentials ({_said(error)})"
        case TimeoutError():
            words = "no answer in time"
        case errors.Error():
            words = _said(error)
        case OSError():
            words = error.strerror or str(error) or type(error).__name__
        case _:
            words = f"{type(error).__name__}: {error}"
    return clean(words)


def _is_authorization(error: errors.Error) -> bool:
    said = str(error).lower()
    return "authorization" in said or "authentication" in said


def _said(error: errors.Error) -> str:
    return str(error).removeprefix(_PREFIX).strip("' ")
