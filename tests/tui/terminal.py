"""Runs a real process in a pseudo-terminal, for tests that need a terminal."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

TESTS = Path(__file__).parents[1]
TIMEOUT_S = 50.0


class Terminal:
    """The master side: it reads what the process writes, and types."""

    def __init__(self, process: subprocess.Popen[bytes], master: int) -> None:
        self.process = process
        self.master = master
        self.output = b""

    def read_until(self, done: Callable[[bytes], bool]) -> bytes:
        """Read until `done` is true for all output since the start."""
        deadline = time.monotonic() + TIMEOUT_S
        while not done(self.output):
            left = deadline - time.monotonic()
            assert left > 0, f"not seen within {TIMEOUT_S} s; last output {self.output[-400:]!r}"
            if select.select([self.master], [], [], left)[0]:
                try:
                    chunk = os.read(self.master, 65536)
                except OSError:  # Linux gives EIO when the other side is closed
                    chunk = b""
                if not chunk:
                    assert done(self.output), f"ended early: {self.output[-400:]!r}"
                    return self.output
                self.output += chunk
        return self.output

    def type(self, keys: bytes) -> None:
        """Press keys."""
        os.write(self.master, keys)

    def resize(self, width: int, height: int) -> None:
        """Change the size of the terminal."""
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", height, width, 0, 0))
        self.process.send_signal(signal.SIGWINCH)

    def finish(self) -> int:
        """Read to the end; return the exit code."""
        with contextlib.suppress(AssertionError):
            self.read_until(lambda _: False)
        return self.process.wait(TIMEOUT_S)


@contextlib.contextmanager
def terminal(
    program: str, *, size: tuple[int, int] = (100, 30), environment: Mapping[str, str] | None = None
) -> Iterator[Terminal]:
    """Run a Python program in a pseudo-terminal of this size."""
    master, slave = pty.openpty()
    width, height = size
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", height, width, 0, 0))
    settings = {
        "PATH": os.environ["PATH"],
        "TERM": "xterm-256color",
        "COLORTERM": "truecolor",
        "PYTHONPATH": str(TESTS),
        "LANG": "C.UTF-8",
        **(environment or {}),
    }
    process = subprocess.Popen(
        [sys.executable, "-c", program],
        stdin=slave,
        stdout=slave,
        stderr=slave,
        env=settings,
        start_new_session=True,
    )
    os.close(slave)
    try:
        yield Terminal(process, master)
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
        os.close(master)


def wait_for(done: Callable[[], bool]) -> None:
    """Ask again and again, for a process that tells nobody when it is ready."""
    deadline = time.monotonic() + TIMEOUT_S
    while not done():
        assert time.monotonic() < deadline, f"not so within {TIMEOUT_S} s"
        time.sleep(0.05)
