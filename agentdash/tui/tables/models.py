"""The models: calls and refusals of each, and what the targets could draw on its limits."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from agentdash.tui import figures
from agentdash.tui.cells import none_span, value_span
from agentdash.tui.lines import Line, Span, Tone, labelled
from agentdash.tui.table import Column, Opening, Sort, SortValue, Table, View, never
from agentdash.tui.view import Frame
from controller.model.snapshot import ModelDraw, ModelLimit, ModelView

_NEARLY_FULL: Final = 0.9


def _limit(view: ModelView, name: str) -> ModelLimit | None:
    return next((each for each in view.limits if each.name == name), None)


def limit_share(limit: ModelLimit) -> float:
    """The part of what is usable of a limit that is drawn."""
    return limit.drawn / limit.usable if limit.usable else float(limit.drawn > 0)


def model_share(view: ModelView) -> float | None:
    """The largest of these parts; None without a limit."""
    return max((limit_share(limit) for limit in view.limits), default=None)


def calls_share(view: ModelView) -> float | None:
    """The part of the limit of requests that workers make now; None where either is not known."""
    limit = _limit(view, "requests")
    if limit is None or view.calls_per_minute is None or not limit.usable:
        return None
    return view.calls_per_minute / limit.usable


def _tightness(view: ModelView) -> SortValue:
    """A model that refuses calls comes first, then the one whose limit is used most."""
    used, drawn = calls_share(view) or 0.0, model_share(view) or 0.0
    return (view.refused_calls_per_minute or 0.0, used, drawn)


def _share_tone(share: float | None) -> Tone:
    return Tone.WARN if share is not None and share >= _NEARLY_FULL else Tone.PLAIN


def _calls(view: ModelView, frame: Frame) -> Span:
    """`8.5/54`: the calls that are made, of those that the limit allows."""
    made, limit = view.calls_per_minute, _limit(view, "requests")
    if made is None:
        return none_span(frame)
    text = figures.rate(made)
    if limit is not None:
        text += f"/{figures.rate(limit.usable)}"
    return value_span(text, frame, tone=_share_tone(calls_share(view)))


def _draw_column(
    title: str,
    width: int,
    name: str,
    sums: Callable[[ModelDraw], float],
    *,
    key: str,
    letter: str = "",
    rank: int = 0,
) -> Column[ModelView]:
    """What could be drawn of the limit `name`, and that: `54/90`, or what could be drawn alone
    where nothing limits it; `>` where it may be more.
    """

    def drawn(view: ModelView) -> float:
        return sum(sums(draw) for draw in view.draws)

    def cell(view: ModelView, frame: Frame) -> Span:
        unknown = any(not draw.is_known and draw.replicas for draw in view.draws)
        text, limit = (">" if unknown else "") + figures.rate(drawn(view)), _limit(view, name)
        if limit is None:
            return value_span(text, frame, tone=Tone.DIM)
        text += f"/{figures.rate(limit.usable)}"
        return value_span(text, frame, tone=_share_tone(limit_share(limit)))

    def usable(view: ModelView, _: Frame) -> float | None:
        limit = _limit(view, name)
        return None if limit is None else limit.usable

    return Column[ModelView](
        title, width, f"{name} that the targets could draw with all slots at work, of the limit",
        key, drawn, cell, more={f"{key}_limit": usable},
        rank=rank, right=True, letter=letter, descending=True,
    )  # fmt: skip


def _marked(view: ModelView, frame: Frame) -> Span:
    """A model that refuses calls is for a person to look at now."""
    del frame
    if view.refused_calls_per_minute:
        return Span("!!", Tone.CRIT)
    tone = _share_tone(calls_share(view))
    return Span("!" if tone is Tone.WARN else "", tone)


def _largest_first(view: ModelView) -> list[ModelDraw]:
    return sorted(view.draws, key=lambda draw: (-draw.requests_per_minute, draw.pool))


_Column = Column[ModelView]
_COLUMNS: Final = (
    _Column(
        "MODEL", 13, "the model's name", "model", "key", widest=34, letter="N", names=True,
    ),
    _Column(
        "!", 2, "!! a model refuses calls now, ! nearly all that its limit allows are made",
        cell=_marked, sort=_tightness, letter="T", descending=True,
    ),
    _Column(
        "CALLS/m", 9, "calls that workers make a minute, of those that the limit allows",
        "calls_per_minute", cell=_calls, right=True, letter="A", descending=True,
    ),
    _Column(
        "429/m", 6, "calls a minute that the provider refuses", "refused_calls_per_minute",
        text=figures.rate, tone=Tone.CRIT, old=never, right=True, letter="W", descending=True,
    ),
    _Column(
        "COULD", 5, "how much of its tightest limit the targets could draw", "share", model_share,
        lambda view, frame: (
            none_span(frame) if (share := model_share(view)) is None
            else value_span(figures.percent(share), frame, tone=_share_tone(share))
        ),
        right=True, letter="P", descending=True,
    ),
    _draw_column(
        "REQ/m", 11, "requests", lambda draw: draw.requests_per_minute, key="requests_per_minute",
        letter="R",
    ),
    _draw_column(
        "IN TOK/m", 11, "input tokens", lambda draw: draw.input_tokens_per_minute,
        key="input_tokens_per_minute", letter="Q",
    ),
    _draw_column(
        "OUT TOK/m", 11, "output tokens", lambda draw: draw.output_tokens_per_minute,
        key="output_tokens_per_minute", letter="X", rank=2,
    ),
    _draw_column(
        "PARALLEL", 9, "parallel calls", lambda draw: draw.parallel, key="parallel_calls", rank=3,
    ),
    _Column(
        "REFUSED", 7, "replicas that the limit refuses", "refused_replicas",
        lambda view: sum(draw.refused for draw in view.draws),
        text=lambda refused: figures.count(refused, 6), tone=Tone.CRIT, old=never,
        rank=1, right=True, letter="F", descending=True,
    ),
    _Column(
        "POOLS", 5, "how many pools", "pools", lambda view: len(view.draws),
        more={"all_known": lambda view, _: all(each.is_known for each in view.draws)},
        rank=4, right=True, descending=True,
    ),
    _Column(
        "DRAWN BY", 20, "the pools that use it, the largest first", "drawn_by",
        lambda view: [str(draw.pool) for draw in view.draws],
        lambda view, _: Span(", ".join(draw.pool for draw in _largest_first(view))),
        sort=lambda view: min((draw.pool for draw in view.draws), default=""), rank=5, widest=200,
    ),
)  # fmt: skip


def model_lines(view: ModelView, frame: Frame, width: int) -> list[Line]:
    """The calls, then each limit with what could be drawn, then the pools, the largest first."""
    made, refused, used = view.calls_per_minute, view.refused_calls_per_minute, calls_share(view)
    old = frame.glyphs.stale if frame.stale else ""
    calls = [Span("no worker reports any in the last seconds", Tone.DIM)]
    if made is not None and refused is not None:
        calls = [Span(f"about {figures.rate(made)} a minute by workers{old}")]
        share = "" if used is None else f"{figures.percent(used)} of the limit"
        text = f"{figures.rate(refused)} refused by the provider (429)" if refused else ""
        calls += [Span(share, _share_tone(used)), Span(text, Tone.CRIT)]
    lines = labelled("calls", calls, width)
    for limit in view.limits:
        drawn = limit_share(limit)
        text = f"could draw {figures.rate(limit.drawn)} of {figures.rate(limit.usable)}{old}"
        parts = [Span(text), Span(figures.percent(drawn), _share_tone(drawn))]
        if limit.usable < limit.limit:
            parts.append(Span(f"{figures.count(limit.limit)} less the headroom", Tone.DIM))
        if limit.refused:
            parts.append(Span(f"refuses {figures.amount(limit.refused, 'replica')}", Tone.CRIT))
        lines += labelled(limit.name.partition(" ")[0], parts, width)
    if not view.limits:
        lines += labelled("limits", (Span("the fleet file names none", Tone.DIM),), width)
    draws = [Span("no pool uses it", Tone.DIM)] if not view.draws else []
    for draw in _largest_first(view):
        text, tone = f"{draw.pool} {figures.amount(draw.replicas, 'replica')}", Tone.PLAIN
        if draw.is_known:
            text += f" {figures.rate(draw.requests_per_minute)} req/m"
            text += f", {draw.refused} refused" if draw.refused else ""
        else:
            text, tone = f"{text}, what its tasks take is not known", Tone.WARN
        draws.append(Span(text, tone))
    return lines + labelled("pools", draws, width)


def _opens(view: ModelView, frame: Frame) -> Opening | None:
    """The pools that draw on it."""
    del frame
    pools = {draw.pool for draw in view.draws}
    return Opening("pools", of=view.key, where=lambda row: row.key in pools) if pools else None


MODELS: Final = Table[ModelView](
    "models",
    "models",
    _COLUMNS,
    lambda frame: () if frame.snapshot is None else frame.snapshot.models,
    key=lambda view: view.key,
    nothing=lambda _: [
        Span("no models", Tone.DIM),
        Span("name them under `models`, with their limits and prices", Tone.DIM),
    ],
    text=lambda view: " ".join((view.key, *(draw.pool for draw in view.draws))),
    sort=Sort("!", descending=True),
    details=model_lines,
    opens=_opens,
)
VIEWS: Final = (View("models", (MODELS,), "rate limits", ("mo", "model")),)
