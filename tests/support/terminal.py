"""A program in a real pty, the screen it has drawn, and every byte it has written."""

from __future__ import annotations

import asyncio
import fcntl
import os
import pty
import re
import struct
import sys
import termios
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

import pyte
import pytest

WIDTH, HEIGHT = 160, 45
PATIENCE_S = 40.0


class Terminal:
    """A process in a pty, and the screen it has drawn."""

    def __init__(self, process: asyncio.subprocess.Process, master: int) -> None:
        self.process = process
        self.written = bytearray()
        self._master = master
        self._screen = pyte.Screen(WIDTH, HEIGHT)
        self._stream = pyte.ByteStream(self._screen)

    @property
    def text(self) -> str:
        return "\n".join(self._screen.display)

    def keys(self, keys: str) -> None:
        os.write(self._master, keys.encode())

    def read(self) -> None:
        try:
            data = os.read(self._master, 65536)
        except BlockingIOError:
            return
        except OSError:
            # the other end is closed
            data = b""
        if not data:
            asyncio.get_running_loop().remove_reader(self._master)
            return
        self.written += data
        # pyte knows no private parameters beyond ?, and takes their letters for text
        self._stream.feed(re.sub(rb"\x1b\[[<>=][0-9;]*[a-zA-Z]", b"", data))

    async def shows(self, pattern: str, seconds: float = PATIENCE_S) -> str:
        """Wait until the screen matches; the part that does."""
        try:
            async with asyncio.timeout(seconds):
                while not (found := re.search(pattern, self.text)):
                    assert self.process.returncode is None, self.text
                    await asyncio.sleep(0.05)
        except TimeoutError:
            pytest.fail(f"{pattern!r} never showed:\n{self.text}")
        return found[0]


@contextmanager
def terminal_pair() -> Iterator[tuple[int, int]]:
    master, slave = pty.openpty()
    os.set_blocking(master, False)
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", HEIGHT, WIDTH, 0, 0))
    try:
        yield master, slave
    finally:
        os.close(master)


@asynccontextmanager
async def in_terminal(*arguments: str) -> AsyncIterator[Terminal]:
    """`agentdash` in a terminal; killed at the end if it is still there."""
    with terminal_pair() as (master, slave):
        settings = termios.tcgetattr(slave)
        # the size is the terminal's own, not what a parent process says of its own
        inherited = {k: v for k, v in os.environ.items() if k not in ("COLUMNS", "LINES")}
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "agentdash",
            *arguments,
            stdin=slave,
            stdout=slave,
            stderr=slave,
            start_new_session=True,
            env={**inherited, "TERM": "xterm-256color", "COLORTERM": "truecolor"},
        )
        terminal = Terminal(process, master)
        loop = asyncio.get_running_loop()
        loop.add_reader(master, terminal.read)
        try:
            yield terminal
            await asyncio.wait_for(process.wait(), 20)
            terminal.read()
            assert (process.returncode, termios.tcgetattr(slave)) == (0, settings), terminal.text
        finally:
            loop.remove_reader(master)
            os.close(slave)
            if process.returncode is None:
                process.kill()
                await process.wait()
