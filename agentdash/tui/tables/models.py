"""The models: calls and refusals of each, and what the targets could draw on its limits."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

from agentdash.tui import figures
from agentdash.tui.cells import none_span, usd_span, value_span
from agentdash.tui.lines import Line, Span, Tone, labelled
from agentdash.tui.table import Column, Opening, Sort, SortValue, Table, View, never
from agentdash.tui.view import Frame
from controller.model.observation import TokensByModel
from controller.model.snapshot import ModelDraw, ModelLimit, ModelView

_NEARLY_FULL: Final = 0.9


class ModelRow(NamedTuple):
    """A model, and what those tenants that are shown have spent on it, each by its own day and
    month: USD, None where it has no price. `is_old`: some events may not be counted yet;
    `has_gaps`: some calls of the day, and some days of the month, are not known.
    """

    view: ModelView
    usd_today: float | None = None
    usd_month: float | None = None
    is_old: bool = False
    has_gaps: tuple[bool, bool] = (False, False)


def model_rows(frame: Frame) -> Iterator[ModelRow]:
    """One row for each model. What a pool alone has spent on one of them is not counted."""
    if frame.snapshot is None:
        return
    tenants = () if frame.scope.pool else frame.snapshot.tenants
    for view in frame.snapshot.models:
        used = [e.by_model for e in tenants if e.by_model and view.tenant in {"", e.name}]
        yield _spent_on(view, used)


def _spent_on(view: ModelView, used: list[TokensByModel]) -> ModelRow:
    today = [each for by_model in used for each in by_model.models if each.model == view.model]
    priced = [each.usd for each in today if each.usd is not None]
    months = [each.month for each in used if each.month and view.model in each.month.by_model]
    of_day = any(each.usd is None and each.total for each in today)
    return ModelRow(
        view,
        sum(priced) if priced else None,
        sum(each.by_model[view.model] for each in months) if months else None,
        any(each.is_old for each in used),
        (of_day, of_day or any(each.is_partial for each in months)),
    )


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


def _at_least(view: ModelView) -> str:
    """`>` where targets could draw more, because what a pool's tasks take is not known."""
    return ">" if any(not draw.is_known and draw.replicas for draw in view.draws) else ""


def _share_tone(share: float | None) -> Tone:
    return Tone.WARN if share is not None and share >= _NEARLY_FULL else Tone.PLAIN


def _calls(row: ModelRow, frame: Frame) -> Span:
    """`8.5/54`: the calls that are made, of those that the limit allows."""
    made, limit = row.view.calls_per_minute, _limit(row.view, "requests")
    if made is None:
        return none_span(frame)
    text = figures.rate(made)
    if limit is not None:
        text += f"/{figures.rate(limit.usable)}"
    return value_span(text, frame, tone=_share_tone(calls_share(row.view)))


def _used_column(
    title: str, width: int, name: str, key: str, *, letter: str = "", rank: int = 0
) -> Column[ModelRow]:
    """What workers use of the limit `name`, and that: `54/90`, or what is used alone where nothing
    limits it; for scripts also what the targets could draw.
    """

    def cell(row: ModelRow, frame: Frame) -> Span:
        made, limit = row.view.made.get(name), _limit(row.view, name)
        if made is None:
            return none_span(frame)
        if limit is None:
            return value_span(figures.rate(made), frame, tone=Tone.DIM)
        text = f"{figures.rate(made)}/{figures.rate(limit.usable)}"
        return value_span(text, frame, tone=_share_tone(made / (limit.usable or 1)))

    def of_limit(row: ModelRow, field: str) -> float | None:
        limit = _limit(row.view, name)
        return None if limit is None else getattr(limit, field)

    return Column[ModelRow](
        title, width, f"{name} that workers use, of what the limit allows", key,
        lambda row: row.view.made.get(name), cell,
        more={
            f"{key}_limit": lambda row, _: of_limit(row, "usable"),
            f"{key}_could_draw": lambda row, _: of_limit(row, "drawn"),
        },
        rank=rank, right=True, letter=letter, descending=True,
    )  # fmt: skip


def _marked(row: ModelRow, frame: Frame) -> Span:
    """A model that refuses calls is for a person to look at now."""
    del frame
    if row.view.refused_calls_per_minute:
        return Span("!!", Tone.CRIT)
    tone = _share_tone(calls_share(row.view))
    return Span("!" if tone is Tone.WARN else "", tone)


def _could(row: ModelRow, frame: Frame) -> Span:
    share = model_share(row.view)
    if share is None:
        return none_span(frame)
    text = _at_least(row.view) + figures.percent(share)
    return value_span(text, frame, tone=_share_tone(share))


def _largest_first(view: ModelView) -> list[ModelDraw]:
    return sorted(view.draws, key=lambda draw: (-draw.requests_per_minute, draw.pool))


_Column = Column[ModelRow]
_COLUMNS: Final = (
    _Column(
        "MODEL", 13, "the model's name", "model", "view.key", widest=34, letter="N", names=True,
    ),
    _Column(
        "!", 2, "!! a model refuses calls now, ! nearly all that its limit allows are made",
        cell=_marked, sort=lambda row: _tightness(row.view), letter="T", descending=True,
    ),
    _Column(
        "CALLS/m", 9, "about: what workers of now call a minute, by their last 20 s; of the limit",
        "calls_per_minute", "view.calls_per_minute", _calls,
        more={
            "calls_per_minute_limit": lambda row, _: (
                None if (limit := _limit(row.view, "requests")) is None else limit.usable
            ),
            "calls_per_minute_could_draw": lambda row, _: sum(
                draw.requests_per_minute for draw in row.view.draws
            ),
        },
        right=True, letter="A", descending=True,
    ),
    _Column(
        "429/m", 6, "of these calls, those that the provider refuses", "refused_calls_per_minute",
        "view.refused_calls_per_minute", text=figures.rate, tone=Tone.CRIT, old=never,
        right=True, letter="W", descending=True,
    ),
    _used_column("IN TOK/m", 11, "input tokens", "input_tokens_per_minute", letter="Q"),
    _used_column("OUT TOK/m", 11, "output tokens", "output_tokens_per_minute", letter="X", rank=2),
    _used_column("PARALLEL", 9, "parallel calls", "parallel_calls", rank=3),
    _Column(
        "COULD", 5, "how much of its tightest limit the targets could draw; > or more", "share",
        lambda row: model_share(row.view), _could, right=True, letter="P", descending=True,
    ),
    _Column(
        "USD TODAY", 9, "what its calls cost today, where it has a price; > or more",
        "usd_today",
        cell=lambda row, frame: usd_span(
            row.usd_today, frame, old=row.is_old, has_gaps=row.has_gaps[0]
        ),
        more={
            "usd_today_is_partial": lambda row, _: row.has_gaps[0], "usd_is_old": "is_old",
        },
        right=True, letter="B", descending=True,
    ),
    _Column(
        "USD MONTH", 9, "the same since the month began; > or more, as days are missing",
        "usd_month",
        cell=lambda row, frame: usd_span(
            row.usd_month, frame, old=row.is_old, has_gaps=row.has_gaps[1]
        ),
        more={"usd_month_is_partial": lambda row, _: row.has_gaps[1]}, right=True, descending=True,
    ),
    _Column(
        "REFUSED", 7, "replicas that the limit refuses", "refused_replicas",
        lambda row: sum(draw.refused for draw in row.view.draws),
        text=lambda refused: figures.count(refused, 6), tone=Tone.CRIT, old=never,
        rank=1, right=True, letter="F", descending=True,
    ),
    _Column(
        "POOLS", 5, "how many pools", "pools", lambda row: len(row.view.draws),
        more={"all_known": lambda row, _: all(each.is_known for each in row.view.draws)},
        rank=4, right=True, descending=True,
    ),
    _Column(
        "DRAWN BY", 20, "the pools that use it, the largest first", "drawn_by",
        lambda row: [str(draw.pool) for draw in row.view.draws],
        lambda row, _: Span(", ".join(draw.pool for draw in _largest_first(row.view))),
        sort=lambda row: min((draw.pool for draw in row.view.draws), default=""),
        rank=5, widest=200,
    ),
)  # fmt: skip


def _limit_spans(view: ModelView, limit: ModelLimit, frame: Frame) -> list[Span]:
    """What workers use of a limit, what the targets could draw, and what it refuses."""
    made, drawn = view.made.get(limit.name), limit_share(limit)
    used = "" if made is None else f"{figures.rate(made)} "
    old = frame.glyphs.stale if frame.stale else ""
    most = f"{_at_least(view)}{figures.rate(limit.drawn)}"
    could = f"could draw {most}, {figures.percent(drawn)}"
    parts = [
        Span(f"{used}of {figures.rate(limit.usable)}{old}"),
        Span(could, _share_tone(drawn)),
    ]
    if limit.usable < limit.limit:
        parts.append(Span(f"{figures.count(limit.limit)} less the headroom", Tone.DIM))
    if limit.refused:
        parts.append(Span(f"refuses {figures.amount(limit.refused, 'replica')}", Tone.CRIT))
    return parts


def model_lines(row: ModelRow, frame: Frame, width: int) -> list[Line]:
    """The calls, then each limit with what could be drawn, then the pools, the largest first."""
    view = row.view
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
        lines += labelled(limit.name.partition(" ")[0], _limit_spans(view, limit, frame), width)
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


def _opens(row: ModelRow, frame: Frame) -> Opening | None:
    """The pools that draw on it."""
    del frame
    pools = {draw.pool for draw in row.view.draws}
    return (
        Opening("pools", of=row.view.key, where=lambda pool: pool.key in pools) if pools else None
    )


MODELS: Final = Table[ModelRow](
    "models",
    "models",
    _COLUMNS,
    lambda frame: list(model_rows(frame)),
    key=lambda row: row.view.key,
    nothing=lambda _: [
        Span("no models", Tone.DIM),
        Span("name them under `models`, with their limits and prices", Tone.DIM),
    ],
    text=lambda row: " ".join((row.view.key, *(draw.pool for draw in row.view.draws))),
    sort=Sort("!", descending=True),
    details=model_lines,
    opens=_opens,
    state=lambda frame: "limits and calls are of all tenants" if frame.scope_words else "",
)
VIEWS: Final = (View("models", (MODELS,), "rate limits", ("mo", "model")),)
