"""Writes only the cells that differ from what the terminal already shows, as curses does.

Textual writes every region that it repaints. Over SSH that is too much: most of it is on the screen
already. Of a table in which 10 cells change it writes 62,222 bytes a second, and here 160 are
written of the same table; of its Header 9,033 and 50, of a frame that gets the focus 33,614 and
1,786 (tests/benchmarks/bench_widgets.py, 160x45, true colour). Only this file depends on the form
of Textual's updates. No character that could speak to the terminal passes, whichever widget it
comes from.
"""

from __future__ import annotations

import asyncio
import os
import select
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import lru_cache
from typing import IO, Any, Final, NamedTuple, TypeAlias

import rich
from rich.cells import cell_len, get_character_cell_size
from rich.color import ColorSystem
from rich.console import Console, RenderableType
from rich.segment import Segment
from textual._compositor import ChopsUpdate, CompositorUpdate, LayoutUpdate
from textual._xterm_parser import XTermParser
from textual.app import App
from textual.drivers import linux_driver
from textual.events import Key, Resize
from textual.screen import Screen
from textual.strip import Strip

from controller.model.text import clean

_LOOK_EVERY_S: Final = 1.0
# up to so many unchanged cells are written again: a cursor move costs as many bytes
_SHORT_GAP: Final = 6
# so few bytes reach a terminal in one read
_IN_ONE_PIECE: Final = 200
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


# a row, a column, and the cells from there on
_Run: TypeAlias = tuple[int, int, Sequence[Cell]]


class TerminalDiff:
    """Remembers what the terminal shows. Call `reset` when that is no longer known.

    With `ascii_only`, no other character is written, whichever widget or text it comes from.
    `erases_in_color`: the terminal fills what is erased with the background colour; without it,
    blanks on a colour are written one by one.
    """

    def __init__(self, *, ascii_only: bool = False, erases_in_color: bool = False) -> None:
        self._ascii_only = ascii_only
        self._erases_in_color = erases_in_color
        self._rows: dict[int, dict[int, Cell | None]] = {}
        # the codes of the style in which the terminal would write on; None if that is not known
        self._codes: str | None = None

    def reset(self) -> None:
        """Forget the screen, so that the next update is written in full."""
        self._rows.clear()
        self._codes = None

    def wrap(self, update: LayoutUpdate | ChopsUpdate) -> CompositorUpdate:
        """The same update, but rendering it gives only the difference."""
        return _DiffedUpdate(self, update)

    def encode(self, update: LayoutUpdate | ChopsUpdate, colors: ColorSystem) -> str:
        """The text to write so that the terminal shows the update. The style of the last cell stays
        set: the next update begins with the cells of that style.
        """
        pen = _Pen(self._codes, erases_in_color=self._erases_in_color)
        changed = (
            run
            for y, x, segments in _pieces(update)
            for run in self._changed(y, x, _cells(segments, colors))
        )
        for y, x, run in _by_style(changed, self._codes or ""):
            pen.write(y, x, run, self._rows[y])
            self._codes = pen.codes
        return pen.written()

    def _changed(self, y: int, x: int, cells: Iterable[Cell]) -> Iterator[_Run]:
        """Note what the row shows from now on, and give what differs."""
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
                    yield y, start, run
                    run, same = [], []
            x += cell.width
        if run:
            yield y, start, run


def _by_style(runs: Iterable[_Run], first: str) -> Iterator[_Run]:
    """The same cells, those of one style after each other, and after a style the one that differs
    least: in a table of coloured columns, to go to a place takes 8 bytes and to change a colour 19.
    """
    styles: dict[str, list[_Run]] = {}
    for y, start, run in runs:
        x, piece, lead = start, list[Cell](), run[0]
        for cell in run:
            if piece and not _looks_alike(lead, cell):
                if _looks_alike(cell, lead) and all(each.text == " " for each in piece):
                    lead = cell
                else:
                    styles.setdefault(lead.codes, []).append((y, x, piece))
                    x += sum(each.width for each in piece)
                    piece, lead = [], cell
            piece.append(cell)
        styles.setdefault(lead.codes, []).append((y, x, piece))
    codes = first
    while styles:
        codes = min(styles, key=lambda each: len(_change(codes, each)))
        yield from styles.pop(codes)


def _looks_alike(one: Cell, other: Cell) -> bool:
    """Whether the other cell is written without a change of style."""
    return one.codes == other.codes or (other.text == " " and _same_blank(one.codes, other.codes))


def _in_ascii(cell: Cell) -> Cell:
    if cell.text.isascii():
        return cell
    return cell._replace(text=_ASCII_FOR.get(cell.text, "?" * cell.width))


class _DiffedUpdate(CompositorUpdate):
    """An update that renders to the difference from the screen."""

    def __init__(self, diff: TerminalDiff, update: LayoutUpdate | ChopsUpdate) -> None:
        self._diff = diff
        self._update = update
        self._text: str | None = None

    def render_segments(self, console: Console) -> str:
        """The escape sequences and texts for the cells that differ; the same each time."""
        if self._text is None:
            self._text = self._encoded(console)
        return self._text

    def _encoded(self, console: Console) -> str:
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
    for raw, style, control in segments:
        if control:
            continue
        codes = "" if style is None else Strip.render_ansi(style, colors)
        # a widget that is not ours may show text as it came
        text = raw if raw.isprintable() else clean(raw)
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


class _Style(NamedTuple):
    """SGR codes by what they set; an empty colour is the terminal's own."""

    attributes: frozenset[str]
    foreground: str
    background: str


_NO_STYLE: Final = _Style(frozenset(), "", "")
_ENDED_BY: Final = {"1": "22", "2": "22", "3": "23", "4": "24", "7": "27", "9": "29"}
_OWN_BACKGROUNDS: Final = frozenset({"", "49"})
# bold, dim, italic
_UNSEEN_ON_BLANKS: Final = frozenset({"1", "2", "3"})
_COLOR_LENGTHS: Final = {"2": 5, "5": 3}


class _Pen:
    """Writes cells with few bytes: of each style only what differs from that of the cell before, of
    a move only what is needed, and many blanks as one erasure.
    """

    def __init__(self, codes: str | None, *, erases_in_color: bool) -> None:
        self._out: list[str] = ["\x1b[m"] if codes is None else []
        self._last = Cell("", codes or "", 0)
        self._erases_in_color = erases_in_color
        self._at: tuple[int, int] | None = None
        # whether the terminal surely agrees on the column: it may draw some characters wider
        self._is_sure = False

    def write(self, y: int, x: int, run: Sequence[Cell], row: Mapping[int, Cell | None]) -> None:
        """Write cells from this place on; `row` is all that the row then shows."""
        self._move(y, x)
        place = 0
        while place < len(run):
            cell = run[place]
            blanks = self._blanks(run, place)
            is_last = place + blanks == len(run)
            beyond = "" if is_last else self._to_column(x, x + blanks)
            erasure = f"\x1b[{blanks}X"
            self._use(cell)
            if len(erasure) + len(beyond) < blanks:
                self._out += [erasure, beyond]
                self._is_sure = self._is_sure or not is_last
                x += blanks
                place += blanks
                self._at = (y, x - blanks if is_last else x)
                continue
            self._out.append(cell.text)
            self._is_sure = self._is_sure and cell.text.isascii()
            x += cell.width
            place += 1
            self._at = (y, x)
        # behind the last column, a terminal's cursor stays on it
        self._is_sure = self._is_sure and x in row

    def _blanks(self, run: Sequence[Cell], place: int) -> int:
        """How many cells from here on look the same when they are erased."""
        first = run[place]
        style = _style(first.codes)
        if style.background not in _OWN_BACKGROUNDS and not self._erases_in_color:
            return 0
        end = place
        while end < len(run) and run[end].text == " " and _same_blank(first.codes, run[end].codes):
            end += 1
        return end - place

    def _use(self, cell: Cell) -> None:
        """Change to the style of this cell; for a blank only if it would look another way."""
        if not _looks_alike(self._last, cell):
            self._out.append(_change(self._last.codes, cell.codes))
            self._last = cell

    def _move(self, y: int, x: int) -> None:
        """Go to this place, on the same line and to the next one by a shorter way."""
        before, self._at = self._at, (y, x)
        if before is not None and before[0] == y:
            self._out.append(self._to_column(before[1], x))
        else:
            ways = [f"\x1b[{y + 1};{x + 1}H"]
            if before is not None and before[0] + 1 == y:
                ways += [f"\x1b[B{_sideways(x - before[1])}"] if self._is_sure else []
                ways.append(f"\r\n{_sideways(x)}")
            self._out.append(min(ways, key=len))
        self._is_sure = True

    def written(self) -> str:
        """All that was written; nothing if no cell was."""
        return "".join(self._out) if self._at is not None else ""

    @property
    def codes(self) -> str:
        """The style in which the terminal writes on."""
        return self._last.codes

    def _to_column(self, start: int, x: int) -> str:
        """The shorter sequence that goes from one column to another of the same line."""
        column = f"\x1b[{x + 1}G"
        onwards = f"\x1b[{x - start}C"
        return onwards if self._is_sure and start < x and len(onwards) < len(column) else column


def _sideways(columns: int) -> str:
    """The shortest sequence that goes so many columns to the right, or to the left."""
    if columns >= 0:  # a terminal takes a step of 0 for one of 1
        return f"\x1b[{columns}C" if columns else ""
    return "\x1b[D" if columns == -1 else f"\x1b[{-columns}D"


@lru_cache(maxsize=4096)
def _change(before: str, after: str) -> str:
    """From one style to another: the difference, or all of it where an attribute ends."""
    old, new = _style(before), _style(after)
    ended = old.attributes - new.attributes
    has_own_color = (old.foreground and not new.foreground) or (
        old.background and not new.background
    )
    if has_own_color or not ended <= _ENDED_BY.keys():
        return f"\x1b[0;{after}m" if after else "\x1b[0m"
    parts = sorted({_ENDED_BY[each] for each in ended})
    # bold and dim have one end
    kept = frozenset() if "22" in parts else old.attributes
    parts += sorted(new.attributes - kept)
    parts += [new.foreground] if new.foreground != old.foreground else []
    parts += [new.background] if new.background != old.background else []
    return f"\x1b[{';'.join(parts)}m" if parts else ""


@lru_cache(maxsize=4096)
def _same_blank(before: str, after: str) -> bool:
    """Whether a blank looks the same in both styles."""
    old, new = _style(before), _style(after)
    drawn = (old.attributes | new.attributes) - _UNSEEN_ON_BLANKS
    return old.background == new.background and not drawn


@lru_cache(maxsize=4096)
def _style(codes: str) -> _Style:
    """What SGR codes set, as Rich writes them."""
    attributes, foreground, background = set(), "", ""
    rest = codes.split(";") if codes else []
    while rest:
        length = _COLOR_LENGTHS.get(rest[1], 1) if rest[0] in {"38", "48"} and rest[1:] else 1
        part, rest = ";".join(rest[:length]), rest[length:]
        number = int(part.partition(";")[0])
        if 30 <= number <= 39 or 90 <= number <= 97:
            foreground = part
        elif 40 <= number <= 49 or 100 <= number <= 107:
            background = part
        else:
            attributes.add(part)
    return _Style(frozenset(attributes), foreground, background)


class _Line:
    """Where the dashboard writes. What is written to a terminal that is gone is thrown away:
    Textual's writer would end there, and its queue, once full, hold the dashboard for ever.
    """

    def __init__(self, file: IO[str], on_lost: Callable[[], None]) -> None:
        self._file = file
        self._on_lost = on_lost

    def write(self, text: str) -> None:
        """Write a text."""
        try:
            self._file.write(text)
        except OSError:
            self._on_lost()

    def flush(self) -> None:
        """Write what waits."""
        try:
            self._file.flush()
        except OSError:
            self._on_lost()


class _KeyParser(XTermParser):
    """Takes an escape with a key right behind it for both keys. Textual takes it for alt with that
    key, or for the key alone; no key here has alt. Enter that was typed before the terminal was
    ours comes as a line feed.
    """

    def _sequence_to_key_events(self, sequence: str, alt: bool = False) -> Iterable[Key]:
        escape = [Key("escape", "\x1b")] if alt else []
        sequence = "\r" if sequence == "\n" else sequence
        return [*escape, *super()._sequence_to_key_events(sequence)]


# the driver makes its parser itself
linux_driver.XTermParser = _KeyParser  # type: ignore[attr-defined]


class TerminalDriver(linux_driver.LinuxDriver):
    """Ends the dashboard where its terminal is gone and no signal has told so, as behind `docker
    exec`: it would go on unseen, with its controller, and no signal would end it.
    """

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        # as much of a file as Textual's writer asks for
        self._file: Any = _Line(self._file or sys.stderr, self._lost)
        self._poll = select.poll()
        self._poll.register(self.fileno, 0)  # that the other end is closed comes unasked
        self._look: asyncio.TimerHandle | None = None

    def start_application_mode(self) -> None:
        """Begin to draw, and to see whether the terminal is there."""
        super().start_application_mode()  # type: ignore[no-untyped-call]
        if self._look is None:
            self._look_again()

    def stop_application_mode(self) -> None:
        """Give the terminal back in its own style."""
        self.write("\x1b[m")
        super().stop_application_mode()

    def _look_again(self) -> None:
        if self._poll.poll(0):
            self._app.exit()
        else:
            self._look = self._loop.call_later(_LOOK_EVERY_S, self._look_again)

    def _lost(self) -> None:
        """Called on the writer's thread."""
        with suppress(RuntimeError):  # the dashboard has ended
            self._loop.call_soon_threadsafe(self._app.exit)


class TerminalApp(App[None]):
    """Writes the difference between two pictures. `on_painted` is called once, after the first
    picture that is written after `begin_painting`.

    `erases_in_color`: the terminal erases cells in the background colour, which saves bytes.
    """

    def __init__(
        self, *, on_painted: Callable[[], None], ascii_only: bool, erases_in_color: bool
    ) -> None:
        # with NO_COLOR, Textual paints grey colours unless it uses the terminal's own colours
        super().__init__(TerminalDriver, ansi_color=True if "NO_COLOR" in os.environ else None)
        self._terminal_diff = TerminalDiff(ascii_only=ascii_only, erases_in_color=erases_in_color)
        self._on_painted = on_painted
        self._tells_of_paint = False

    def begin_painting(self) -> None:
        """The next picture is the first that counts."""
        self._tells_of_paint = True

    def write_raw(self, sequence: str) -> None:
        """Write a control sequence to the person's terminal, which draws nothing for it."""
        if self._driver is not None:
            self._driver.write(sequence)
            self._driver.flush()

    def action_redraw(self) -> None:
        """Write the whole screen again."""
        self._terminal_diff.reset()
        self.screen.refresh(layout=True)

    def on_resize(self, event: Resize) -> None:
        """The terminal may have moved its text, so it is no longer known what it shows."""
        del event
        self._terminal_diff.reset()

    def _fatal_error(self) -> None:
        """Show the traceback without local variables, which Textual would print too."""
        # loaded only then: it takes a tenth of the time of the first screen
        from rich.traceback import Traceback

        self.bell()
        self._exit_renderables.append(Traceback(show_locals=False, width=None, suppress=[rich]))
        self._close_messages_no_wait()

    def _display(self, screen: Screen[object], renderable: RenderableType | None) -> None:
        """Textual writes everything through this method; here only the difference is written.

        Where nothing differs, nothing is written: Textual would write 22 bytes, which begin and end
        a frame and set the cursor, for each time that a view is drawn again. What is so short that
        it comes in one piece needs no begin and end.
        """
        if isinstance(renderable, LayoutUpdate | ChopsUpdate):
            update = self._terminal_diff.wrap(renderable)
            length = len(update.render_segments(self.console)) if self._would_write else 0
            if self._would_write and self._cursor_stays and not length:
                self.post_display_hook()
            else:
                synchronizes = self._sync_available
                self._sync_available = synchronizes and length > _IN_ONE_PIECE
                # an update renders itself, which Rich's type does not say
                super()._display(screen, update)  # type: ignore[arg-type]
                self._sync_available = synchronizes
        else:
            super()._display(screen, renderable)
        # call_after_refresh would get lost if a key changed the view before the first paint
        if self._tells_of_paint and renderable is not None:
            self._tells_of_paint = False
            self.call_later(self._on_painted)

    @property
    def _would_write(self) -> bool:
        """Whether Textual writes updates now: those that it drops must not count as written."""
        is_open = self._running and not self._closed and not self._batch_count
        return is_open and not self.is_headless and self._driver is not None

    @property
    def _cursor_stays(self) -> bool:
        """Whether the terminal's cursor is where it belongs."""
        place = self.screen.outer_size.clamp_offset(self.cursor_position)
        return place == self._previous_cursor_position
