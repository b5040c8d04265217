"""A server that cannot be reached is described in words, never by a library's own text."""

from __future__ import annotations

import errno
import os
import socket
import ssl

import aiohttp
import pytest

from controller.model.servers import why_unreachable
from support.table import tabled


def os_error(number: int) -> OSError:
    return OSError(number, os.strerror(number))


@tabled(
    ("error", "words"),
    [
        (os_error(errno.ECONNREFUSED), "nothing listens at api:6443 (connection refused)"),
        (os_error(errno.EHOSTUNREACH), "no way to api:6443 (no route to host)"),
        (os_error(errno.ECONNRESET), "api:6443 closed the connection"),
        (TimeoutError(), "no answer from api:6443 in time"),
        (
            socket.gaierror(socket.EAI_NONAME, "Name or service not known"),
            "the name api is not found (Name or service not known)",
        ),
        (ssl.SSLError(1, "WRONG_VERSION_NUMBER"), "TLS: the handshake failed"),
        (
            OSError(
                "Multiple exceptions: [Errno 111] Connect call failed ('::1', 6443, 0, 0), "
                "[Errno 111] Connect call failed ('127.0.0.1', 6443)"
            ),
            "nothing listens at api:6443 (connection refused)",
        ),
    ],
)
def test_each_cause_has_its_words(error: OSError, words: str) -> None:
    assert why_unreachable(error, "api:6443") == words


def test_the_cause_is_found_under_what_libraries_put_around_it() -> None:
    refused = ConnectionRefusedError(errno.ECONNREFUSED, "Connection refused")
    wrapped = ValueError("HTTPConnectionPool(host='prom', port=9090): Max retries")
    wrapped.__cause__ = refused
    assert why_unreachable(wrapped) == "nothing listens there (connection refused)"


async def test_a_failure_of_aiohttp_names_the_address_that_it_tried() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    async with aiohttp.ClientSession() as session:
        with pytest.raises(aiohttp.ClientConnectorError) as raised:
            await session.get(f"http://127.0.0.1:{port}/")
    said = why_unreachable(raised.value)
    assert said == f"nothing listens at 127.0.0.1:{port} (connection refused)"


def test_an_error_about_something_else_has_no_words_here() -> None:
    assert why_unreachable(ValueError("no")) is None
    assert why_unreachable(OSError(errno.EACCES, "Permission denied")) is None
