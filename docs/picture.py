"""Makes the picture that moves in README from the demo itself: python docs/picture.py

It runs `agentdash demo` in a terminal of its own, presses some keys, and writes the screens that
follow as one animated SVG.
"""

from __future__ import annotations

import fcntl
import os
import pty
import select
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from typing import Final, NamedTuple
from xml.sax.saxutils import escape

import pyte

OUT: Final = Path(__file__).parent / "pages" / "demo.svg"
COLUMNS, LINES = 120, 32
CELL_X, CELL_Y = 8.4, 18.0
FRAME_S: Final = 2.5
BACKGROUND, TEXT = "#0f1419", "#c5c8c6"
NAMED: Final = {
    "black": "#1d1f21",
    "red": "#cc6666",
    "green": "#b5bd68",
    "brown": "#f0c674",
    "blue": "#81a2be",
    "magenta": "#b294bb",
    "cyan": "#8abeb7",
    "white": "#c5c8c6",
}
# (seconds to look before the frame, keys to press after it)
SCRIPT: Final = (
    (14, ""),
    (5, ""),
    (5, "d"),
    (3, "\x1b"),
    (1, ":tenants\r"),
    (3, ":pods\r"),
    (3, ""),
)


class Style(NamedTuple):
    """How a cell is drawn."""

    colour: str
    ground: str
    is_bold: bool


def main() -> None:
    """Run the demo and write the picture."""
    screen = pyte.Screen(COLUMNS, LINES)
    stream = pyte.ByteStream(screen)
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", LINES, COLUMNS, 0, 0))
    environment = {**os.environ, "TERM": "xterm-256color", "COLORTERM": "truecolor"}
    command = [sys.executable, "-m", "agentdash", "demo"]
    with subprocess.Popen(
        command, stdin=theirs, stdout=theirs, stderr=theirs, env=environment, close_fds=True
    ) as demo:
        frames = []
        for seconds, keys in SCRIPT:
            read(ours, stream, seconds)
            frames.append("\n".join(drawn(screen)))
            os.write(ours, keys.encode())
        os.write(ours, b"\x1b")
        read(ours, stream, 1)
        os.write(ours, b":q\r")
        read(ours, stream, 3)
        demo.terminate()
    OUT.write_text(animated(frames), "utf-8")


def read(descriptor: int, stream: pyte.ByteStream, seconds: float) -> None:
    """Feed what the terminal gets for so long."""
    ends = time.monotonic() + seconds
    while (left := ends - time.monotonic()) > 0:
        if select.select([descriptor], [], [], left)[0]:
            stream.feed(os.read(descriptor, 65536))


def drawn(screen: pyte.Screen) -> Iterator[str]:
    """The screen as SVG elements: a run of cells with one style is one text."""
    for row in range(LINES):
        cells = [screen.buffer[row][column] for column in range(COLUMNS)]
        column = 0
        for style, group in groupby(cells, style_of):
            text = "".join(cell.data for cell in group)
            yield from run(column, row, text, style)
            column += len(text)


def style_of(cell: pyte.screens.Char) -> Style:
    """The colours of a cell; reversed ones are swapped."""
    colour, ground = hexadecimal(cell.fg, TEXT), hexadecimal(cell.bg, BACKGROUND)
    if cell.reverse:
        colour, ground = ground, colour
    return Style(colour, ground, cell.bold)


def hexadecimal(name: str, default: str) -> str:
    """A colour of the terminal for SVG."""
    if name == "default":
        return default
    return NAMED.get(name.removeprefix("bright"), f"#{name}")


def run(column: int, row: int, text: str, style: Style) -> Iterator[str]:
    """One run of cells: its ground where it has one, and its text where it shows any."""
    x, y, width = column * CELL_X, row * CELL_Y, len(text) * CELL_X
    if style.ground != BACKGROUND:
        box = f'x="{x:.1f}" y="{y:.0f}" width="{width:.1f}" height="18"'
        yield f'<rect {box} fill="{style.ground}"/>'
    if text.strip():
        weight = ' font-weight="bold"' if style.is_bold else ""
        yield (
            f'<text x="{x:.1f}" y="{y + 14:.0f}" fill="{style.colour}" textLength="{width:.1f}"'
            f'{weight} xml:space="preserve">{escape(text)}</text>'
        )


def animated(frames: list[str]) -> str:
    """The frames one after the other, for ever."""
    whole, share = FRAME_S * len(frames), 100 / len(frames)
    groups = "\n".join(
        f'<g class="f" style="animation-delay:{number * FRAME_S - whole:.1f}s">\n{frame}\n</g>'
        for number, frame in enumerate(frames)
    )
    width, height = COLUMNS * CELL_X, LINES * CELL_Y
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height:.0f}">\n'
        "<style>text{font:14px ui-monospace,Menlo,Consolas,monospace}"
        f".f{{opacity:0;animation:f {whole}s infinite steps(1)}}"
        f"@keyframes f{{0%{{opacity:1}}{share:.3f}%{{opacity:0}}}}</style>\n"
        f'<rect width="100%" height="100%" fill="{BACKGROUND}"/>\n{groups}\n</svg>\n'
    )


if __name__ == "__main__":
    main()
