"""The models: calls and refusals of each, and what the targets could draw on its limits."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from agentdash.tui import figures
from agentdash.tui.cells import none_span, value_span
from agentdash.tui.lines import Line, Span, Tone, labelled
from agentdash.tui.table import Column, Opening, Sort, SortValue, Table, View
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


def refused_replicas(view: ModelView) -> int:
    """Replicas that the model's limits keep from being started."""
    return sum(draw.refused for draw in view.draws)


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


def _tight(view: ModelView, frame: Frame) -> Span:
    """A model that refuses calls is for a person to look at now."""
    del frame
    if view.refused_calls_per_minute:
        return Span("!!", Tone.CRIT)
    used = calls_share(view)
    return Span("!", Tone.WARN) if used is not None and used >= _NEARLY_FULL else Span("")


def _share_tone(share: float) -> Tone:
    return Tone.WARN if share >= _NEARLY_FULL else Tone.PLAIN


def _calls(view: ModelView, frame: Frame) -> Span:
    """`8.5/54`: the calls that are made, of those that the limit allows."""
    made, limit = view.calls_per_minute, _limit(view, "requests")
    if made is None:
        return none_span(frame)
    text, used = figures.rate(made), calls_share(view)
    if limit is not None:
        text += f"/{figures.rate(limit.usable)}"
    return value_span(text, frame, tone=Tone.PLAIN if used is None else _share_tone(used))


def _refused_calls(view: ModelView, frame: Frame) -> Span:
    refused = view.refused_calls_per_minute
    if refused is None:
        return none_span(frame)
    return value_span(figures.rate(refused), frame, tone=Tone.CRIT if refused else Tone.DIM)


def _drawn(view: ModelView, name: str, sums: Callable[[ModelDraw], float], frame: Frame) -> Span:
    """`54/90`, or what could be drawn alone where nothing limits it; `>` where it may be more."""
    unknown = any(not draw.is_known and draw.replicas for draw in view.draws)
    text = (">" if unknown else "") + figures.rate(sum(sums(draw) for draw in view.draws))
    limit = _limit(view, name)
    if limit is None:
        return value_span(text, frame, tone=Tone.DIM)
    text += f"/{figures.rate(limit.usable)}"
    return value_span(text, frame, tone=_share_tone(limit_share(limit)))


def _share(view: ModelView, frame: Frame) -> Span:
    share = model_share(view)
    if share is None:
        return none_span(frame)
    return value_span(figures.percent(share), frame, tone=_share_tone(share))


def _refused(view: ModelView, frame: Frame) -> Span:
    refused = refused_replicas(view)
    return value_span(figures.count(refused, 6), frame, tone=Tone.CRIT if refused else Tone.DIM)


def _largest_first(view: ModelView) -> list[ModelDraw]:
    return sorted(view.draws, key=lambda draw: (-draw.requests_per_minute, draw.pool))


def _draw_column(
    title: str,
    width: int,
    limit: str,
    name: str,
    sums: Callable[[ModelDraw], float],
    *,
    letter: str = "",
    rank: int = 0,
) -> Column[ModelView]:
    def usable(view: ModelView, frame: Frame) -> float | None:
        del frame
        found = _limit(view, limit)
        return None if found is None else found.usable

    return Column[ModelView](
        title, width, f"{limit} that the targets could draw with all slots at work, of the limit",
        name, lambda view: sum(sums(draw) for draw in view.draws),
        lambda view, frame: _drawn(view, limit, sums, frame), more={f"{name}_limit": usable},
        rank=rank, right=True, letter=letter, descending=True,
    )  # fmt: skip


_Column = Column[ModelView]
_COLUMNS: Final = (
    _Column(
        "MODEL", 13, "the model's name", "model", lambda view: view.key,
        widest=34, letter="N", names=True,
    ),
    _Column(
        "!", 2, "!! a model refuses calls now, ! nearly all that its limit allows are made",
        cell=_tight, sort=_tightness, letter="T", descending=True,
    ),
    _Column(
        "CALLS/m", 9, "calls that workers make a minute, of those that the limit allows",
        "calls_per_minute", lambda view: view.calls_per_minute, _calls,
        right=True, letter="A", descending=True,
    ),
    _Column(
        "429/m", 6, "calls a minute that the provider refuses", "refused_calls_per_minute",
        lambda view: view.refused_calls_per_minute, _refused_calls,
        right=True, letter="W", descending=True,
    ),
    _Column(
        "COULD", 5, "how much of its tightest limit the targets could draw", "share", model_share,
        _share, right=True, letter="P", descending=True,
    ),
    _draw_column(
        "REQ/m", 11, "requests", "requests_per_minute", lambda draw: draw.requests_per_minute,
        letter="R",
    ),
    _draw_column(
        "IN TOK/m", 11, "input tokens", "input_tokens_per_minute",
        lambda draw: draw.input_tokens_per_minute, letter="Q",
    ),
    _draw_column(
        "OUT TOK/m", 11, "output tokens", "output_tokens_per_minute",
        lambda draw: draw.output_tokens_per_minute, letter="X", rank=2,
    ),
    _draw_column(
        "PARALLEL", 9, "parallel calls", "parallel_calls", lambda draw: draw.parallel, rank=3,
    ),
    _Column(
        "REFUSED", 7, "replicas that the limit refuses", "refused_replicas", refused_replicas,
        _refused, rank=1, right=True, letter="F", descending=True,
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
    lines = labelled("calls", _call_spans(view, frame), width)
    for limit in view.limits:
        share = limit_share(limit)
        old = frame.glyphs.stale if frame.stale else ""
        text = f"could draw {figures.rate(limit.drawn)} of {figures.rate(limit.usable)}{old}"
        parts = [Span(text), Span(figures.percent(share), _share_tone(share))]
        if limit.usable < limit.limit:
            parts.append(Span(f"{figures.count(limit.limit)} less the headroom", Tone.DIM))
        if limit.refused:
            refused = figures.amount(limit.refused, "replica")
            parts.append(Span(f"refuses {refused}", Tone.CRIT))
        lines += labelled(limit.name.partition(" ")[0], parts, width)
    if not view.limits:
        lines += labelled("limits", (Span("the fleet file names none", Tone.DIM),), width)
    draws = [_draw_span(draw) for draw in _largest_first(view)]
    return lines + labelled("pools", draws or (Span("no pool uses it", Tone.DIM),), width)


def _call_spans(view: ModelView, frame: Frame) -> list[Span]:
    made, refused, used = view.calls_per_minute, view.refused_calls_per_minute, calls_share(view)
    if made is None or refused is None:
        return [Span("no worker reports any in the last seconds", Tone.DIM)]
    old = frame.glyphs.stale if frame.stale else ""
    parts = [Span(f"about {figures.rate(made)} a minute by workers{old}")]
    if used is not None:
        parts.append(Span(f"{figures.percent(used)} of the limit", _share_tone(used)))
    if refused:
        parts.append(Span(f"{figures.rate(refused)} refused by the provider (429)", Tone.CRIT))
    return parts


def _draw_span(draw: ModelDraw) -> Span:
    replicas = figures.amount(draw.replicas, "replica")
    if not draw.is_known:
        return Span(f"{draw.pool} {replicas}, what its tasks take is not known", Tone.WARN)
    refused = f", {draw.refused} refused" if draw.refused else ""
    return Span(f"{draw.pool} {replicas} {figures.rate(draw.requests_per_minute)} req/m{refused}")


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
