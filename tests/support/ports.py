"""Ports for servers that a test stops and starts again."""

from __future__ import annotations

import random
import socket
from typing import Final

BELOW_EPHEMERAL: Final = range(15_000, 32_000)
"""The system gives a connection any port from 32768 on (Linux), also one that a stopped server had:
it could not start again.
"""


def free_port() -> int:
    """A port on loopback where nothing listens now."""
    chance = random.SystemRandom()  # not the seeded one: the same in each worker
    while True:
        port = chance.choice(BELOW_EPHEMERAL)
        with socket.socket() as tried:
            tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                tried.bind(("127.0.0.1", port))
            except OSError:  # taken
                continue
        return port
