"""What a tenant used today of each model, by kind of token, and how its pace went, as lines."""

from __future__ import annotations

from typing import Final

from agentdash.tui import amounts, figures
from agentdash.tui.labels import labelled
from agentdash.tui.lines import Line, Span, Tone, fit
from agentdash.tui.sparkline import sparkline
from agentdash.tui.view import Frame
from controller.model.observation import ModelTokens, TokensByModel
from controller.model.snapshot import NOT_KNOWN, History, TenantView

_OTHER_MODELS: Final = "other models"
_LONGEST_NAME: Final = 20
_COUNT_CELLS: Final = 6
# from this width on, there is room for the number of calls
_ROOM_FOR_CALLS: Final = 96
# cells of a line beside its bars: the label, and the most of the pace
_BESIDE_BARS: Final = 32


def model_lines(view: TenantView, frame: Frame, width: int) -> list[Line]:
    """One line for each model with its tokens by kind, the most used first, and one for their sum;
    nothing where none are counted.
    """
    used = view.by_model
    if used is None or not used.models:
        return []
    old = frame.glyphs.stale if used.is_old or frame.stale else ""
    total = _sum_of(used)
    counted = [*used.models, total] if len(used.models) > 1 else list(used.models)
    names = [_name(each) for each in counted]
    cells = min(max(map(len, names)), _LONGEST_NAME)
    lines: list[Line] = []
    for name, each in zip(names, counted, strict=True):
        tone = Tone.DIM if each is total else Tone.PLAIN
        shown = fit(name, cells, name=True, ellipsis=frame.glyphs.ellipsis)
        parts = [Span(shown, tone), *(Span(text, tone) for text in _kinds(each, old, width))]
        lines += labelled("" if lines else "used today", parts, width)
    return lines


def pace_lines(history: History, frame: Frame, width: int) -> list[Line]:
    """How the pace of the tokens went, over 15 minutes and over 24 hours; nothing of what is not
    known.
    """
    lines: list[Line] = []
    for label, series in (
        ("last 15 min", history.recent.tokens),
        ("last 24 h", history.day.tokens),
    ):
        most = max(series, default=NOT_KNOWN)
        cells = min(width - _BESIDE_BARS, len(series))
        if most != NOT_KNOWN and cells > 0:
            bars = Span(sparkline(series, cells, frame.glyphs), Tone.BUSY)
            lines += labelled(label, (bars, Span(f"most {amounts.rate(most)}/m", Tone.DIM)), width)
    return lines


def used_today(view: TenantView) -> int | None:
    """The tokens of today, of all models and kinds; None where none are counted."""
    return None if view.by_model is None else view.by_model.total


def kind_today(view: TenantView, kind: str) -> int | None:
    """The tokens of today of one kind (`input`, `cached_input` or `output`), of all models."""
    used = view.by_model
    return None if used is None else sum(getattr(each, kind) for each in used.models)


def in_words(used: TokensByModel) -> list[str]:
    """Each model with its tokens, for scripts: `demo input=12 cached_input=0 output=3 calls=1`."""
    return [
        f"{_name(each)} input={each.input} cached_input={each.cached_input}"
        f" output={each.output} calls={each.calls}"
        for each in used.models
    ]


def _sum_of(used: TokensByModel) -> ModelTokens:
    return ModelTokens(
        model="all models",
        input=sum(each.input for each in used.models),
        cached_input=sum(each.cached_input for each in used.models),
        output=sum(each.output for each in used.models),
        calls=sum(each.calls for each in used.models),
    )


def _name(used: ModelTokens) -> str:
    return used.model or _OTHER_MODELS


def _kinds(used: ModelTokens, old: str, width: int) -> list[str]:
    """The tokens of each kind, in columns."""
    kinds = [("in", used.input), ("cached", used.cached_input), ("out", used.output)]
    if width >= _ROOM_FOR_CALLS:
        kinds.append(("calls", used.calls))
    return [f"{name} {figures.count(number, 5) + old:>{_COUNT_CELLS}}" for name, number in kinds]
