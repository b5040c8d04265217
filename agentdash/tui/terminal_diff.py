"""Writes only the cells that differ from what the terminal already shows, as curses does.

Textual writes every region that it repaints. Over SSH that is too much: most of it is on the screen
already. Only this file depends on the form of Textual's updates.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

from rich.cells import cell_len, get_character_cell_size
from rich.color import ColorSystem
from rich.console import Console
from rich.segment import Segment
from rich.style import Style
from textual._compositor import ChopsUpdate, CompositorUpdate, LayoutUpdate
from textual.strip import Strip

# up to so many unchanged cells are written again: a cursor move costs as many bytes
_SHORT_GAP: Final = 6
_ASCII_FOR: Final = {
    **dict.fromkeys("─━═▔▁▂▃▄▀╌┄", "-"),
    **dict.fromkeys("│┃║▏▎▍▌▐▕", "|"),
    **dict.fromkeys("┌┐└┘├┤┬┴┼╭╮╰╯", "+"),
    **dict.fromkeys("█▇▆▅▓▒░", "#"),
    **dict.fromkeys("…·•", "."),
    "→": ">",
    "←": "<",
    "↑": "^",
    "↓": "v",
    "\xa0": " ",
}


class Cell(NamedTuple):
    """One cell: its text, the SGR codes of its style, and how many columns it fills."""

    text: str
    codes: str
    width: int


class TerminalDiff:
    """Remembers what the terminal shows. Call `reset` when that is no longer known.

    With `ascii_only`, no other character is written, whichever widget or text it comes from.
    """

    def __init__(self, *, ascii_only: bool = False) -> None:
        self._ascii_only = ascii_only
        self._rows: dict[int, dict[int, Cell | None]] = {}

    def reset(self) -> None:
        """Forget the screen, so that the next update is written in full."""
        self._rows.clear()

    def wrap(self, update: LayoutUpdate | ChopsUpdate) -> CompositorUpdate:
        """The same update, but rendering it gives only the difference."""
        return _DiffedUpdate(self, update)

    def encode(self, update: LayoutUpdate | ChopsUpdate, colors: ColorSystem) -> str:
        """The text to write so that the terminal shows the update."""
        out: list[str] = []
        for y, x, segments in _pieces(update):
            self._put(y, x, _cells(segments, colors), out)
        return "".join(out) + "\x1b[0m" if out else ""

    def _put(self, y: int, x: int, cells: Iterable[Cell], out: list[str]) -> None:
        row = self._rows.setdefault(y, {})
        run: list[Cell] = []
        same: list[Cell] = []
        start = x
        for each in cells:
            cell = _in_ascii(each) if self._ascii_only else each
            if row.get(x) != cell:
                row[x] = cell
                for covered in range(x + 1, x + cell.width):
                    row[covered] = None
                if not run:
                    start = x
                run += same
                run.append(cell)
                same = []
            elif run:
                same.append(cell)
                if len(same) > _SHORT_GAP:
                    _write(y, start, run, out)
                    run, same = [], []
            x += cell.width
        if run:
            _write(y, start, run, out)


def _in_ascii(cell: Cell) -> Cell:
    if cell.text.isascii():
        return cell
    text = _ASCII_FOR.get(cell.text, "?" * cell.width)
    return cell._replace(text=text)


class _DiffedUpdate(CompositorUpdate):
    """An update that renders to the difference from the screen."""

    def __init__(self, diff: TerminalDiff, update: LayoutUpdate | ChopsUpdate) -> None:
        self._diff = diff
        self._update = update

    def render_segments(self, console: Console) -> str:
        """The escape sequences and texts for the cells that differ."""
        colors = {
            None: ColorSystem.TRUECOLOR,
            "standard": ColorSystem.STANDARD,
            "256": ColorSystem.EIGHT_BIT,
            "truecolor": ColorSystem.TRUECOLOR,
            "windows": ColorSystem.WINDOWS,
        }[console.color_system]
        return self._diff.encode(self._update, colors)


def _pieces(update: LayoutUpdate | ChopsUpdate) -> Iterator[tuple[int, int, Iterable[Segment]]]:
    """The update as (row, column, segments)."""
    if isinstance(update, LayoutUpdate):
        for y, strips in enumerate(update.strips, update.region.y):
            yield y, update.region.x, [segment for strip in strips for segment in strip]
        return
    for y, first, last in update.spans:
        for end, (x, strip) in zip(update.chop_ends[y], update.chops[y].items(), strict=False):
            if strip is None or x >= last or end <= first:
                continue
            begin = max(x, first)
            yield y, begin, strip.crop(begin - x, min(end, last) - x)


def _cells(segments: Iterable[Segment], colors: ColorSystem) -> Iterator[Cell]:
    for text, style, control in segments:
        if control:
            continue
        codes = _codes(style, colors)
        if text.isascii():
            for character in text:
                yield Cell(character, codes, 1)
            continue
        yield from _wide_cells(text, codes)


def _wide_cells(text: str, codes: str) -> Iterator[Cell]:
    found: list[Cell] = []
    for character in text:
        width = get_character_cell_size(character)
        if width == 0 and found:
            base = found[-1]
            found[-1] = Cell(base.text + character, base.codes, base.width)
        else:
            found.append(Cell(character, codes, width))
    if sum(cell.width for cell in found) == cell_len(text):
        yield from found
    else:  # Textual measures this text only as a whole, so it stays one cell
        yield Cell(text, codes, cell_len(text))


def _codes(style: Style | None, colors: ColorSystem) -> str:
    return "" if style is None else Strip.render_ansi(style, colors)


def _write(y: int, x: int, run: Iterable[Cell], out: list[str]) -> None:
    out.append(f"\x1b[{y + 1};{x + 1}H")
    current: str | None = None
    for cell in run:
        if cell.codes != current:
            current = cell.codes
            out.append(f"\x1b[0;{current}m" if current else "\x1b[0m")
        out.append(cell.text)
