"""A dashboard in a pty: what its terminal shows, and how many bytes came for it."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pyte

from agentdash.tui.figures import time_of_day
from tui import scenarios
from tui.terminal import Terminal, terminal

WIDE = (160, 45)
# what modern terminals answer when asked for synchronized output, which costs 16 bytes a frame
_SYNCHRONIZES = b"\x1b[?2026;2$y"
# pyte knows no private parameters beyond ?, and takes their letters for text
_UNKNOWN = re.compile(rb"\x1b\[[<>=][0-9;]*[a-zA-Z]")
_CUT = re.compile(rb"\x1b(\[[0-9;<>=?]*)?\Z")


class Counted:
    """The master side of the pty. No time is measured: each count ends with a sight."""

    def __init__(self, seen: Terminal, steps: Path) -> None:
        self._seen = seen
        self._steps = os.open(steps, os.O_RDWR)
        self._screen = pyte.Screen(*WIDE)
        self._stream = pyte.ByteStream(self._screen)
        self._fed = 0
        self._rest = b""
        self._now = scenarios.NOW

    @property
    def text(self) -> str:
        """The screen."""
        return "\n".join(self._screen.display)

    @property
    def output(self) -> bytes:
        """All that has come."""
        return self._seen.output

    @property
    def bytes(self) -> int:
        """How many have come."""
        return len(self._seen.output)

    def wait(self, done: Callable[[str], bool]) -> None:
        """Read until the screen is so."""

        def is_done(output: bytes) -> bool:
            new = self._rest + output[self._fed :]
            self._fed = len(output)
            cut = _CUT.search(new)
            self._rest = new[cut.start() :] if cut else b""
            whole = new[: cut.start()] if cut else new
            self._stream.feed(_UNKNOWN.sub(b"", whole))
            return done(self.text)

        try:
            self._seen.read_until(is_done)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.text}") from None

    def shows(self, text: str) -> None:
        """Read until this is on the screen."""
        self.wait(lambda screen: text in screen)

    def press(self, keys: str) -> None:
        self._seen.type(keys.encode())

    def tick(self) -> None:
        """A second goes by, and the next snapshot comes; read until the header says the time."""
        self._now += 1
        os.write(self._steps, b"\n")
        self.wait(lambda screen: time_of_day(self._now) in screen.partition("\n")[0])

    def ticks(self, count: int) -> float:
        """The bytes of a tick, of so many one after the other."""
        self.tick()
        before = self.bytes
        for _ in range(count):
            self.tick()
        return (self.bytes - before) / count

    def cost(self, keys: str, sight: str = "", *, without: str = "\0") -> int:
        """The bytes from these keys to this sight, without another one, and of the tick after it:
        what was still under way with the sight has come with the tick.
        """
        before = self.bytes
        self.press(keys)
        self.wait(lambda screen: sight in screen and without not in screen)
        self.tick()
        return self.bytes - before

    def close(self) -> None:
        """Leave the dashboard, as a person does."""
        self.press("\x03\x03")
        assert self._seen.finish() == 0
        os.close(self._steps)


@contextmanager
def counted(folder: Path, *, changed: int = 0, effect: str = "POOL") -> Iterator[Counted]:
    """A dashboard in a pty of 160x45 in true colour, that shows its first screen."""
    steps = folder / "steps"
    os.mkfifo(steps)
    program = (
        "import sys; from tui import paced;"
        f" sys.exit(paced.run({str(steps)!r}, changed={changed}, effect={effect!r}))"
    )
    with terminal(program, size=WIDE) as seen:
        found = Counted(seen, steps)
        found.press(_SYNCHRONIZES.decode())
        found.shows("scale events")
        found.tick()
        yield found
        found.close()
