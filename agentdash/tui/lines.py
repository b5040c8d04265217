"""Lines of styled text as plain values: what every panel draws, without Textual."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from enum import StrEnum
from typing import NamedTuple

from rich.cells import cell_len, set_cell_size

from controller.model.text import clean


class Tone(StrEnum):
    """What a piece of text means; the style sheet colours it, and the text itself says it too."""

    PLAIN = "plain"
    DIM = "dim"
    HEAD = "head"
    TITLE = "title"
    FRAME = "frame"
    FOCUS = "focus"
    OK = "ok"
    BUSY = "busy"
    WARN = "warn"
    CRIT = "crit"
    CURSOR = "cursor"
    CURSOR_BLUR = "cursor-blur"
    BAR = "bar"
    ALERT = "alert"


class Span(NamedTuple):
    """A run of text in one tone; `ground` is the tone of what lies behind it, as a cursor's."""

    text: str
    tone: Tone = Tone.PLAIN
    ground: Tone = Tone.PLAIN


class Line(NamedTuple):
    """One line of a panel; `base` is the tone of the whole line, as a cursor's."""

    spans: tuple[Span, ...] = ()
    base: Tone = Tone.PLAIN


BLANK = Line()


def line(*parts: Span | str, base: Tone = Tone.PLAIN) -> Line:
    """A line of spans and plain strings; empty ones vanish."""
    spans = (part if isinstance(part, Span) else Span(part) for part in parts)
    return Line(tuple(span for span in spans if span.text), base)


def width_of(text: str) -> int:
    """Cells that a terminal needs for it."""
    return len(text) if text.isascii() else cell_len(text)


def line_width(row: Line) -> int:
    """Cells that a line needs."""
    return sum(width_of(span.text) for span in row.spans)


def cut(text: str, width: int, ellipsis: str = "…") -> str:
    """Harmless text of at most `width` cells; what was cut ends in the ellipsis."""
    safe = clean(text)
    if width_of(safe) <= width:
        return safe
    if width <= len(ellipsis):
        return ellipsis[: max(width, 0)]
    return set_cell_size(safe, width - len(ellipsis)).rstrip() + ellipsis


def cut_head(text: str, width: int, ellipsis: str = "…") -> str:
    """Harmless text of at most `width` cells that keeps its end: names differ there."""
    safe = clean(text)
    if width_of(safe) <= width:
        return safe
    room = max(width - len(ellipsis), 0)
    kept = safe[max(len(safe) - room, 0) :]
    while width_of(kept) > room:
        kept = kept[1:]
    return ellipsis[: max(width, 0)] + kept


def fit(
    text: str, width: int, *, right: bool = False, keep_end: bool = False, ellipsis: str = "…"
) -> str:
    """Harmless text of exactly `width` cells, padded on the side away from its alignment."""
    shown = cut_head(text, width, ellipsis) if keep_end else cut(text, width, ellipsis)
    padding = " " * (width - width_of(shown))
    return padding + shown if right else shown + padding


def ends(left: Iterable[Span | str], right: Iterable[Span | str], width: int) -> Line:
    """Left and right parts on one line; where there is no room for both, the right one goes."""
    start, end = line(*left), line(*right)
    gap = width - line_width(start) - line_width(end)
    if gap < 1:
        return crop(start, width)
    return Line((*start.spans, Span(" " * gap), *end.spans))


def crop(row: Line, width: int) -> Line:
    """The line's first `width` cells."""
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
    return Line(tuple(kept), row.base)


def wrap(text: str, width: int) -> list[str]:
    """Harmless text broken at spaces into lines of at most `width` cells; longer words are cut."""
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
