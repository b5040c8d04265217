"""Lines with a label at their left, as panels of details have them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from agentdash.tui.lines import Line, Span, Tone, fit, line, line_width, wrap

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
