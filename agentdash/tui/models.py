"""The models: what the planned replicas draw on their limits, as columns and as details."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from agentdash.tui import amounts, figures
from agentdash.tui.columns import Column, Sort, SortValue
from agentdash.tui.labels import labelled
from agentdash.tui.lines import Line, Span, Tone
from agentdash.tui.view import Frame
from controller.model.snapshot import ModelDraw, ModelLimit, ModelView

_REQUESTS: Final = "requests"
_INPUT: Final = "input tokens"
_OUTPUT: Final = "output tokens"
_PARALLEL: Final = "parallel calls"
_NEARLY_FULL: Final = 0.9


def limit_share(limit: ModelLimit) -> float:
    """The part of what is usable of a limit that is drawn."""
    return limit.drawn / limit.usable if limit.usable else float(limit.drawn > 0)


def model_share(view: ModelView) -> float | None:
    """The largest of these parts; None without a limit."""
    return max((limit_share(limit) for limit in view.limits), default=None)


def refused_replicas(view: ModelView) -> int:
    """Replicas that the model's limits keep from being started."""
    return sum(draw.refused for draw in view.draws)


def _is_partly_unknown(view: ModelView) -> bool:
    return any(not draw.is_known and draw.replicas for draw in view.draws)


def _share_tone(share: float) -> Tone:
    return Tone.WARN if share >= _NEARLY_FULL else Tone.PLAIN


def _drawn(view: ModelView, name: str, sums: Callable[[ModelDraw], float], frame: Frame) -> Span:
    """`54/90`, or what is drawn alone where nothing limits it; `>` where more may be drawn."""
    least = ">" if _is_partly_unknown(view) else ""
    amount = sum(sums(draw) for draw in view.draws)
    text = least + amounts.rate(amount)
    limit = next((each for each in view.limits if each.name == name), None)
    tone = Tone.DIM
    if limit is not None:
        text += f"/{amounts.rate(limit.usable)}"
        tone = _share_tone(limit_share(limit))
    return Span(text + frame.glyphs.stale, Tone.WARN) if frame.stale else Span(text, tone)


def _share(view: ModelView, frame: Frame) -> Span:
    share = model_share(view)
    if share is None:
        return Span(frame.glyphs.none, Tone.DIM)
    text = amounts.percent(share)
    if frame.stale:
        return Span(text + frame.glyphs.stale, Tone.WARN)
    return Span(text, _share_tone(share))


def _refused(view: ModelView, frame: Frame) -> Span:
    refused = refused_replicas(view)
    text = figures.count(refused, 6)
    if frame.stale:
        return Span(text + frame.glyphs.stale, Tone.WARN)
    return Span(text, Tone.CRIT if refused else Tone.DIM)


def _calls(view: ModelView, frame: Frame) -> Span:
    made = view.calls_per_minute
    if made is None:
        return Span(frame.glyphs.none, Tone.DIM)
    text = amounts.rate(made)
    return Span(text + frame.glyphs.stale, Tone.WARN) if frame.stale else Span(text)


def _refused_calls(view: ModelView, frame: Frame) -> Span:
    refused = view.refused_calls_per_minute
    if refused is None:
        return Span(frame.glyphs.none, Tone.DIM)
    text = amounts.rate(refused)
    if frame.stale:
        return Span(text + frame.glyphs.stale, Tone.WARN)
    return Span(text, Tone.CRIT if refused else Tone.DIM)


def _known(find: Callable[[ModelView], float | None]) -> Callable[[ModelView], SortValue | None]:
    def key(view: ModelView) -> SortValue | None:
        value = find(view)
        return None if value is None else (value,)

    return key


def _amount_column(
    title: str,
    name: str,
    sums: Callable[[ModelDraw], float],
    *,
    width: int = 13,
    letter: str = "",
    rank: int = 0,
) -> Column[ModelView]:
    def sort_key(view: ModelView) -> SortValue | None:
        return (sum(sums(draw) for draw in view.draws),)

    return Column[ModelView](
        title,
        width,
        lambda view, frame: _drawn(view, name, sums, frame),
        sort_key,
        rank=rank,
        right=True,
        letter=letter,
        descending=True,
    )


def _known_share(view: ModelView) -> SortValue | None:
    share = model_share(view)
    return None if share is None else (share,)


MODEL_COLUMNS: Final = (
    Column[ModelView](
        "MODEL",
        13,
        lambda view, _: Span(view.key),
        lambda view: (view.key,),
        widest=34,
        letter="N",
        names=True,
    ),
    _amount_column("REQ/m", _REQUESTS, lambda draw: draw.requests_per_minute, letter="R"),
    _amount_column("IN TOK/m", _INPUT, lambda draw: draw.input_tokens_per_minute, letter="Q"),
    _amount_column("OUT TOK/m", _OUTPUT, lambda draw: draw.output_tokens_per_minute, letter="X"),
    _amount_column("PARALLEL", _PARALLEL, lambda draw: draw.parallel, rank=2, width=11),
    Column[ModelView]("SHARE", 5, _share, _known_share, right=True, letter="P", descending=True),
    Column[ModelView](
        "REFUSED",
        7,
        _refused,
        lambda view: (refused_replicas(view),),
        right=True,
        letter="F",
        descending=True,
    ),
    Column[ModelView](
        "CALLS/m",
        7,
        _calls,
        _known(lambda view: view.calls_per_minute),
        rank=3,
        right=True,
        descending=True,
    ),
    Column[ModelView](
        "429/m",
        6,
        _refused_calls,
        _known(lambda view: view.refused_calls_per_minute),
        right=True,
        descending=True,
    ),
    Column[ModelView](
        "POOLS",
        5,
        lambda view, _: Span(str(len(view.draws))),
        lambda view: (len(view.draws),),
        rank=1,
        right=True,
        descending=True,
    ),
    Column[ModelView](
        "DRAWN BY",
        20,
        lambda view, _: Span(", ".join(draw.pool for draw in _largest_first(view))),
        rank=4,
        widest=200,
    ),
)
BY_LIMIT_SHARE: Final = Sort("SHARE", descending=True)


def _largest_first(view: ModelView) -> list[ModelDraw]:
    return sorted(view.draws, key=lambda draw: (-draw.requests_per_minute, draw.pool))


def model_lines(view: ModelView, frame: Frame, width: int) -> list[Line]:
    """Each limit with its headroom, then the pools that draw on it, the largest first."""
    lines: list[Line] = []
    for limit in view.limits:
        share = limit_share(limit)
        old = frame.glyphs.stale if frame.stale else ""
        parts = [
            Span(f"{amounts.rate(limit.drawn)} of {amounts.rate(limit.usable)}{old}"),
            Span(amounts.percent(share), _share_tone(share)),
        ]
        if limit.usable < limit.limit:
            parts.append(Span(f"{figures.count(limit.limit)} less the headroom", Tone.DIM))
        if limit.refused:
            refused = figures.amount(limit.refused, "replica")
            parts.append(Span(f"refuses {refused}", Tone.CRIT))
        lines += labelled(limit.name.partition(" ")[0], parts, width)
    if not view.limits:
        lines += labelled("limits", (Span("the fleet file names none", Tone.DIM),), width)
    lines += labelled("calls", _call_spans(view, frame), width)
    draws = [_draw_span(draw) for draw in _largest_first(view)]
    lines += labelled("pools", draws or (Span("no pool uses it", Tone.DIM),), width)
    return lines


def _call_spans(view: ModelView, frame: Frame) -> list[Span]:
    made, refused = view.calls_per_minute, view.refused_calls_per_minute
    if made is None or refused is None:
        return [Span("no worker reports any in the last seconds", Tone.DIM)]
    old = frame.glyphs.stale if frame.stale else ""
    parts = [Span(f"about {amounts.rate(made)} a minute by workers{old}")]
    if refused:
        parts.append(Span(f"{amounts.rate(refused)} refused by the provider (429)", Tone.CRIT))
    return parts


def _draw_span(draw: ModelDraw) -> Span:
    replicas = figures.amount(draw.replicas, "replica")
    if not draw.is_known:
        return Span(f"{draw.pool} {replicas}, what its tasks take is not known", Tone.WARN)
    refused = f", {draw.refused} refused" if draw.refused else ""
    return Span(f"{draw.pool} {replicas} {amounts.rate(draw.requests_per_minute)} req/m{refused}")
