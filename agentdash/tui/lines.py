"""Lines of styled text as plain values, without Textual: every panel is drawn from them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from enum import StrEnum
from typing import Final, NamedTuple

from rich.cells import cell_len, set_cell_size

from controller.model.text import clean


class Tone(StrEnum):
    """What a piece of text means. The style sheet gives each tone a colour; the text alone must
    carry the same meaning, for terminals without colours.
    """

    PLAIN = "plain"
    DIM = "dim"
    HEADING = "heading"
    TITLE = "title"
    BORDER = "border"
    FOCUS = "focus"
    OK = "ok"
    BUSY = "busy"
    WARN = "warn"
    CRIT = "crit"
    CURSOR = "cursor"
    CURSOR_BLUR = "cursor-blur"
    SORTED = "sorted"
    ALERT = "alert"


class Span(NamedTuple):
    """A piece of text in one tone; `background` is the tone behind it, for example a cursor's. A
    click on it runs the action `click`, where it has one.
    """

    text: str
    tone: Tone = Tone.PLAIN
    background: Tone = Tone.PLAIN
    click: str = ""


class Line(NamedTuple):
    """One line of a panel; `background` is the tone behind the whole line."""

    spans: tuple[Span, ...] = ()
    background: Tone = Tone.PLAIN


BLANK: Final = Line()


def line(*parts: Span | str, background: Tone = Tone.PLAIN) -> Line:
    """A line of spans and plain strings; empty ones are left out."""
    spans = (part if isinstance(part, Span) else Span(part) for part in parts)
    return Line(tuple(span for span in spans if span.text), background)


def width_of(text: str) -> int:
    """How many cells the text fills on a terminal."""
    return len(text) if text.isascii() else cell_len(text)


def line_width(row: Line) -> int:
    """How many cells the line fills."""
    return sum(width_of(span.text) for span in row.spans)


def cut(text: str, width: int, ellipsis: str = "…") -> str:
    """The text, cleaned, in at most `width` cells; a text that is too long ends in the ellipsis."""
    safe = clean(text)
    if width_of(safe) <= width:
        return safe
    if width <= len(ellipsis):
        return ellipsis[: max(width, 0)]
    return set_cell_size(safe, width - len(ellipsis)).rstrip() + ellipsis


def cut_middle(text: str, width: int, ellipsis: str = "…") -> str:
    """Like `cut`, but both ends of the text are kept: names differ at either end."""
    safe = clean(text)
    if width_of(safe) <= width:
        return safe
    room = max(width - len(ellipsis), 0)
    end = safe[len(safe) - room // 2 :]
    while width_of(end) > room // 2:
        end = end[1:]
    start = set_cell_size(safe, room - width_of(end))
    return start + ellipsis[: max(width, 0)] + end


def fit(
    text: str, width: int, *, right: bool = False, name: bool = False, ellipsis: str = "…"
) -> str:
    """The text, cleaned, in exactly `width` cells: cut or filled with blanks.

    `right` aligns it to the right. A long `name` is cut in the middle.
    """
    shown = cut_middle(text, width, ellipsis) if name else cut(text, width, ellipsis)
    padding = " " * (width - width_of(shown))
    return padding + shown if right else shown + padding


def left_and_right(left: Iterable[Span | str], right: Iterable[Span | str], width: int) -> Line:
    """One line with parts at both ends. The right part is left out if both do not fit."""
    start, end = line(*left), line(*right)
    gap = width - line_width(start) - line_width(end)
    if gap < 1:
        return crop(start, width)
    return Line((*start.spans, Span(" " * gap), *end.spans))


def crop(row: Line, width: int) -> Line:
    """The first `width` cells of the line."""
    if line_width(row) <= width:
        return row
    kept: list[Span] = []
    room = width
    for span in row.spans:
        needed = width_of(span.text)
        if needed > room:
            kept.append(span._replace(text=set_cell_size(span.text, room)))
            break
        kept.append(span)
        room -= needed
    return Line(tuple(kept), row.background)


def wrap(text: str, width: int) -> list[str]:
    """The text, cleaned, in lines of at most `width` cells, broken at spaces or in long words."""
    if width < 1:
        return []
    found: list[str] = []
    current = ""
    for word in _words(clean(text), width):
        joined = f"{current} {word}" if current else word
        if width_of(joined) <= width:
            current = joined
        else:
            found.append(current)
            current = word
    return [*found, current] if current else found


def _words(text: str, width: int) -> Iterator[str]:
    for word in text.split():
        rest = word
        while width_of(rest) > width:
            head = set_cell_size(rest, width)
            taken = len(head.rstrip()) or 1
            yield rest[:taken]
            rest = rest[taken:]
        if rest:
            yield rest


_LABEL_WIDTH: Final = 11
# cells that a label and the blanks beside it take from a line
_BESIDE_LABEL: Final = 14


def labelled(name: str, parts: Iterable[Span | str], width: int) -> list[Line]:
    """Parts side by side after a label, on as many lines as they need."""
    lines: list[Line] = []
    current: list[Span] = [_label(name)]
    for part in parts:
        span = part if isinstance(part, Span) else Span(part)
        if not span.text:
            continue
        if len(current) > 1 and line_width(line(*current, span)) + 3 > width:
            lines.append(line(*current))
            current = [_label("")]
        current += [Span("   ")] if len(current) > 1 else []
        current.append(span)
    return [*lines, line(*current)]


def labelled_text(name: str, text: str, width: int, tone: Tone = Tone.PLAIN) -> list[Line]:
    """A sentence after a label, on as many lines as it needs."""
    parts = wrap(text, width - _BESIDE_LABEL) or [""]
    labels = [name, *[""] * (len(parts) - 1)]
    return [
        line(_label(label), Span(part, tone)) for label, part in zip(labels, parts, strict=True)
    ]


def _label(name: str) -> Span:
    return Span(f" {fit(name, _LABEL_WIDTH)} ", Tone.DIM)
