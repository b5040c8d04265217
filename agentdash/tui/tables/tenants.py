"""The tenants: budgets, time left, money, tiers, quota, and what operators asked for them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from enum import Enum
from functools import partial
from typing import Final, NamedTuple

from agentdash.tui import figures
from agentdash.tui.cells import (
    RECENT_CELLS,
    RESOURCES,
    measured_span,
    none_span,
    rate_span,
    recent_span,
    resource_columns,
    series,
    since_column,
    state_column,
    unknown_span,
    usd_span,
    value_span,
)
from agentdash.tui.charts import sparkline
from agentdash.tui.lines import Line, Span, Tone, fit, labelled, labelled_text
from agentdash.tui.table import Column, Opening, PlainValue, Sort, Table, View, never
from agentdash.tui.view import NO_HISTORY, Frame, State
from controller.model.ids import PoolKey
from controller.model.intents import Intent, IntentKind, Scope, asked_words
from controller.model.observation import ModelTokens, TokensByModel
from controller.model.scarcity import ModelTier
from controller.model.snapshot import NOT_KNOWN, History, TenantView, TokenState

_BAR_WIDTH: Final = 8
_LONGEST_NAME: Final = 20
# from this width on, there is room for the number of calls
_ROOM_FOR_CALLS: Final = 96
# cells of a line beside its bars: the label, and the most of the pace
_BESIDE_BARS: Final = 32
_KINDS: Final = ("input", "cached_input", "output", "calls")
# what JSON and CSV call each intent for a whole tenant, and its field
_INTENTS: Final = {
    "paused": "pause",
    "frozen": "freeze",
    "held": "no_growth",
    "budget": "day_budget",
}


class TenantState(State, Enum):
    """The state of a tenant in one word, the worst first."""

    HARD = ("hard", "!!", Tone.CRIT, 5, "the tenant's tokens of the day are spent")
    UNKNOWN = ("unknown", "!!", Tone.CRIT, 4, "what the tenant used is not known")
    FROZEN = ("frozen", "!", Tone.WARN, 3)
    PAUSED = ("paused", "!", Tone.WARN, 3)
    HELD = ("held", "!", Tone.WARN, 2)
    PACED = ("paced", "!", Tone.WARN, 2, "held to a pace at which the day's tokens last")
    WARNED = ("warned", "!", Tone.WARN, 1, "the warning of the day's tokens is reached")
    OK = ("ok", "", Tone.OK, 0)


_SENTENCES: Final = {
    TokenState.OK: "below the warning",
    TokenState.WARNED: "the warning is reached{since}",
    TokenState.PACED: "held to a pace{since}",
    TokenState.HARD: "spent{since}: the targets are 0 until the reset",
    TokenState.UNKNOWN: "the ledger is not known{since}: with a hard budget nothing grows",
}


class AskedFor(NamedTuple):
    """One thing that an operator asked for all of a tenant: its word, and what it makes of the
    tenant's state, None where that stays as it is.
    """

    label: str
    intent: Intent
    state: TenantState | None = None

    @property
    def words(self) -> str:
        """Who, and until when: `mara until 13:00Z`, `the whole fleet by mara`."""
        intent = self.intent
        of_fleet = intent.scope.tenant is None
        parts = ["the whole fleet"] if of_fleet else []
        if intent.who:
            parts.append(f"by {intent.who}" if of_fleet else intent.who)
        if intent.until is not None:
            parts.append(f"until {figures.minute_of_day(intent.until)}")
        return " ".join(parts)


def asked_for(view: TenantView) -> list[AskedFor]:
    """What operators asked for the whole tenant, the strongest first."""
    found = (
        ("frozen", view.freeze, TenantState.FROZEN),
        ("paused", view.pause, TenantState.PAUSED),
        ("held", view.no_growth, TenantState.HELD),
        ("budget", view.day_budget, None),
    )
    return [AskedFor(label, intent, state) for label, intent, state in found if intent is not None]


def tenant_state(view: TenantView) -> TenantState:
    """The worst state that applies to the tenant."""
    states = [each.state for each in asked_for(view) if each.state is not None]
    return max([_by_tokens(view), *states], key=lambda state: state.rank)


def _by_tokens(view: TenantView) -> TenantState:
    return TenantState.OK if view.tokens is None else TenantState[view.tokens.state.name]


def _since(view: TenantView) -> float | None:
    """When the state that is shown began (Unix seconds), where the controller says it."""
    state, tokens = tenant_state(view), view.tokens
    if state is TenantState.PAUSED:
        return view.pause_since
    return None if tokens is None or _by_tokens(view) is not state else tokens.since


def tenant_history(tenant: str, frame: Frame) -> History:
    """How the tokens of the tenant with this name went."""
    histories = {} if frame.snapshot is None else frame.snapshot.tenant_histories
    return histories.get(tenant, NO_HISTORY)


# -- tokens -----------------------------------------------------------------------------------


def _used(view: TenantView) -> int | None:
    """The tokens of today as the budget counts them; without one, of all models and kinds."""
    if view.tokens is not None:
        return view.tokens.used
    return None if view.by_model is None else view.by_model.total


def _pace(view: TenantView) -> float | None:
    """Tokens of all kinds that were counted in the last minute."""
    if view.by_model is not None:
        return view.by_model.per_minute
    tokens = view.tokens
    return None if tokens is None or tokens.used is None or tokens.is_old else 0


def used_share(view: TenantView) -> float | None:
    """The part of the day's tokens that is used; None without a budget or its ledger."""
    tokens = view.tokens
    if tokens is None or tokens.used is None:
        return None
    return tokens.used / tokens.cap if tokens.cap else 1.0


def _tokens_cell(view: TenantView, frame: Frame) -> Span:
    tokens, used = view.tokens, _used(view)
    if tokens is None:
        is_old = view.by_model is not None and view.by_model.is_old and not frame.stale
        old = frame.glyphs.stale if is_old else ""
        text = None if used is None else figures.count(used, 5) + old
        return measured_span(text, frame, zero=used == 0)
    cap = figures.count(tokens.cap, 5)
    if used is None:
        return Span(f"{frame.glyphs.unknown}/{cap}", Tone.WARN)
    return value_span(f"{figures.count(used, 5)}/{cap}", frame, old=tokens.is_old)


def _share_cell(view: TenantView, frame: Frame) -> Span:
    share = used_share(view)
    if view.tokens is None:
        return none_span(frame)
    if share is None:
        return unknown_span(frame)
    tone = _share_tone(view)
    return value_span(figures.percent(share), frame, old=view.tokens.is_old, tone=tone)


def _share_tone(view: TenantView) -> Tone:
    state = _by_tokens(view)
    return Tone.PLAIN if state is TenantState.OK else state.tone


def _runs_out(view: TenantView, frame: Frame) -> Span:
    tokens = view.tokens
    if tokens is None:
        return none_span(frame)
    if tokens.state is TokenState.UNKNOWN:
        return unknown_span(frame)
    at = tokens.runs_out_at
    if tokens.state is TokenState.HARD or (at is not None and at <= frame.at):
        return Span("spent", Tone.CRIT)
    if at is None:
        return value_span("lasts the day", frame, old=tokens.is_old)
    return Span(figures.time_of_day(at), Tone.WARN)


def _kinds_today(view: TenantView, frame: Frame, kind: str) -> PlainValue:
    """The tokens of today of one kind, of all models."""
    del frame
    return None if view.by_model is None else sum(getattr(e, kind) for e in view.by_model.models)


def _by_model(view: TenantView, frame: Frame) -> PlainValue:
    """Each model with its tokens, for scripts: `demo input=12 cached_input=0 output=3 calls=1`."""
    del frame
    if view.by_model is None:
        return None
    return [
        " ".join((_model_name(each), *(f"{kind}={getattr(each, kind)}" for kind in _KINDS)))
        for each in view.by_model.models
    ]


# -- money, tiers, quota ----------------------------------------------------------------------


def _usd(view: TenantView, frame: Frame) -> Span:
    if view.usd_per_hour is None:
        return none_span(frame)
    limit = view.usd_limit
    text = figures.usd(view.usd_per_hour)
    text = text if limit is None else f"{text}/{figures.usd(limit)}"
    span = measured_span(text, frame, zero=not view.usd_per_hour)
    over = limit is not None and view.usd_per_hour > limit
    return span._replace(tone=Tone.WARN) if over else span


def _usd_today(view: TenantView, frame: Frame) -> Span:
    if (used := view.by_model) is None:
        return none_span(frame)
    return usd_span(used.usd, frame, old=used.is_old, has_gaps=used.is_unpriced)


def _usd_month(view: TenantView, frame: Frame) -> Span:
    if (used := view.by_model) is None or used.month is None:
        return none_span(frame)
    has_gaps = used.is_unpriced or used.month.is_partial
    return usd_span(used.month.usd, frame, old=used.is_old, has_gaps=has_gaps)


def _month_of(view: TenantView, sums: str) -> PlainValue:
    """For scripts: what each model or pool cost in the month, the dearest first."""
    month = None if view.by_model is None else view.by_model.month
    if month is None:
        return None
    found: dict[str, float] = getattr(month, sums)
    return [f"{name} {usd:.6f}" for name, usd in sorted(found.items(), key=lambda each: -each[1])]


def _tier_share(view: TenantView, frame: Frame, tier: ModelTier) -> float | None:
    """The tier's part of the tokens of today, 0 to 1; None before any are known."""
    del frame
    used = view.tiers
    total = 0 if used is None else sum(used.tokens.values())
    return None if used is None or not total else used.tokens.get(tier, 0) / total


def _tiers_old(view: TenantView) -> bool:
    return view.tiers is not None and view.tiers.is_old


def _shares_cell(view: TenantView, frame: Frame) -> Span:
    """`62/30/8`: the percentage of each tier, the smallest models first."""
    shares = [_tier_share(view, frame, tier) for tier in ModelTier]
    known = [figures.percent(share).rstrip("%") for share in shares if share is not None]
    return value_span("/".join(known), frame, old=_tiers_old(view)) if known else none_span(frame)


def _saved_cell(view: TenantView, frame: Frame) -> Span:
    """`4.10` USD; less than 0 where it would have been cheaper to ask the best model at once."""
    saved = None if view.tiers is None else view.tiers.saved_usd
    if saved is None:
        return none_span(frame)
    span = value_span(figures.usd(saved), frame, old=_tiers_old(view))
    return span._replace(tone=Tone.WARN) if saved < 0 else span


def _quota_span(view: TenantView, frame: Frame, field: str, text: Callable[[int], str]) -> Span:
    """`4/40`, or what is used alone where nothing limits it."""
    used, hard = getattr(view.used, field), getattr(view.quota, field)
    shown = frame.glyphs.unknown if used is None else text(used)
    if hard is None:
        return Span(shown, Tone.DIM)
    old = frame.glyphs.stale if view.is_quota_old or frame.stale else ""
    tone = Tone.WARN if old or used is None or used >= hard else Tone.PLAIN
    return Span(f"{shown}/{text(hard)}{old}", tone)


def _asked(view: TenantView, frame: Frame) -> Span:
    found = asked_for(view)
    if not found:
        return none_span(frame)
    more = f" +{len(found) - 1}" if len(found) > 1 else ""
    return Span(f"{found[0].label} {found[0].words}{more}", Tone.WARN)


_Column = Column[TenantView]
_COLUMNS: Final = (
    _Column(
        "TENANT", 12, "the tenant's name", "tenant", "name", letter="N",
        more={"namespace": "namespace"},
    ),
    _Column("TIER", 10, "the tenant's tier", "tier", rank=12, letter="T"),
    state_column(tenant_state, 10),
    since_column(_since),
    _Column(
        "BUDGET", _BAR_WIDTH, "how it stands to its tokens per day", rank=8, drawn=True,
        cell=lambda view, frame: Span(
            figures.bar(used_share(view) or 0.0, _BAR_WIDTH, frame.glyphs), _share_tone(view)
        ),
    ),
    _Column(
        "TOKENS/DAY", 12, "used today, of the day's budget; without one, of all models and kinds",
        "tokens_used", _used, _tokens_cell, right=True, descending=True,
        more={
            "tokens_limit": "tokens.cap",
            "tokens_reserved": "tokens.reserved",
            "tokens_are_old": "tokens.is_old",
            "tokens_reset_at": "tokens.resets_at",
            **{f"{kind}_tokens_today": partial(_kinds_today, kind=kind) for kind in _KINDS[:3]},
            "tokens_by_model": _by_model,
        },
    ),
    _Column(
        "SHARE", 5, "how much of the limit is used", "share", used_share, _share_cell,
        right=True, letter="P", descending=True,
    ),
    _Column(
        "TOK/m", 6, "tokens of all kinds that were counted in the last minute",
        "tokens_per_minute", _pace, text=figures.rate, old=never,
        more={"expected_tokens_per_minute": "tokens.burn_per_minute"},
        rank=1, right=True, letter="R", descending=True,
    ),
    _Column(
        "TOK/m, 15 MIN", RECENT_CELLS, "the pace of the tokens, and the most",
        cell=lambda view, frame: recent_span(tenant_history(view.name, frame).recent.tokens, frame),
        more={
            "tokens_per_minute_last_15_min": lambda view, frame: series(
                tenant_history(view.name, frame).recent.tokens
            )
        },
        rank=6, drawn=True,
    ),
    _Column(
        "RUNS OUT", 14, "when nothing is left at this pace; else the day lasts",
        "tokens_run_out_at", "tokens.runs_out_at", _runs_out, right=True, letter="X",
        more={"tokens_state": "tokens.state"},
    ),
    _Column(
        "USD TODAY", 9, "what its calls cost today; > or more, as a model has no price",
        "usd_today", "by_model.usd", _usd_today,
        more={
            "usd_expected_today": "by_model.expected_usd",
            "usd_today_by_model": lambda view, _: None if view.by_model is None else [
                f"{_model_name(each)} {each.usd:.6f}"
                for each in view.by_model.models if each.usd is not None
            ],
            "usd_today_by_pool": lambda view, _: None if view.by_model is None else [
                f"{key} {usd:.6f}" for key, usd in _dearest_first(view.by_model)
            ],
            "usd_today_is_partial": "by_model.is_unpriced",
        },
        right=True, letter="B", descending=True,
    ),
    _Column(
        "USD MONTH", 9, "what its calls cost this month; > or more, as days or prices are missing",
        "usd_month", "by_model.month.usd", _usd_month,
        more={
            "usd_month_by_model": lambda view, _: _month_of(view, "by_model"),
            "usd_month_by_pool": lambda view, _: _month_of(view, "by_pool"),
            "usd_month_since": "by_model.month.since",
            "usd_month_has_gap": "by_model.month.has_gap",
        },
        rank=3, right=True, descending=True,
    ),
    _Column("POOLS", 5, "how many pools", "pools", rank=1, right=True, descending=True),
    _Column(
        "USD/h", 11, "what the targets cost at work, of the limit", "usd_per_hour", cell=_usd,
        more={"usd_per_hour_limit": "usd_limit"},
        rank=2, right=True, letter="W", descending=True,
    ),
    _Column(
        "N/S/P %", 9, "the parts of today's tokens that went to nano, standard and premium models",
        cell=_shares_cell,
        more={
            **{
                f"share_{tier.value}": partial(_tier_share, tier=tier)
                for tier in ModelTier
            },
            "tiers_are_old": "tiers.is_old",
        },
        rank=5, right=True,
    ),
    _Column(
        "SAVED", 6, "USD that routers saved today against the best model alone",
        "saved_usd_today", "tiers.saved_usd", _saved_cell, rank=5, right=True, descending=True,
    ),
    *resource_columns(
        lambda view: (view.used, view.quota), _quota_span,
        "{} taken by its pools, of its quota where it has one", (7, 9, 12), (6, 10, 11),
    ),
    _Column(
        "OPERATORS", 15, "what they asked for all of it", cell=_asked, rank=9, widest=60,
        more={
            name: path
            for word, field in _INTENTS.items()
            for name, path in (
                *([("budget_tokens", "day_budget.amount")] if word == "budget" else ()),
                (f"{word}_by", f"{field}.who"),
                (f"{word}_why", f"{field}.why"),
                (f"{word}_until", f"{field}.until"),
            )
        },
    ),
)  # fmt: skip


def tenant_lines(view: TenantView, frame: Frame, width: int) -> Iterator[Line]:
    """What operators asked for, the day's tokens, money, tiers, quota and pools of one tenant."""
    parts = (_asked_lines, _token_lines, _pace_lines, _model_lines, _pool_lines, _money_lines)
    for part_of in parts:
        yield from part_of(view, frame, width)
    requested = []
    for name, field, text in RESOURCES:
        span = _quota_span(view, frame, field, text)
        requested.append(span._replace(text=f"{name} {span.text}"))
    paused = f"{view.paused_pools} held by a pause" if view.paused_pools else ""
    pools = f"{figures.amount(view.pools, 'pool')} in {view.namespace}, tier {view.tier}"
    limited = any(getattr(view.quota, field) is not None for field in view.quota.__struct_fields__)
    of_quota = Span("of its quota" if limited else "", Tone.DIM)
    yield from labelled("taken", (*requested, of_quota), width)
    yield from labelled("serves", (pools, Span(paused, Tone.WARN)), width)


def _asked_lines(view: TenantView, frame: Frame, width: int) -> Iterator[Line]:
    """Each in full, with why."""
    for each in asked_for(view):
        intent, text = each.intent, each.words
        if intent.kind is IntentKind.PAUSE:
            kept = "" if intent.amount is None else f", keeping {intent.amount} replicas a pool"
            by = "by " if intent.who and intent.scope.tenant is not None else ""
            at = view.pause_since
            since = "" if at is None else f"since {figures.since(at, frame.now)} "
            text = f"{since}{by}{text}{kept}"
        if intent.kind is IntentKind.BUDGET:
            text = f"{asked_words(intent)}, {text}"
        why = f": {intent.why}" if intent.why else ""
        yield from labelled_text(each.label, f"{text}{why}", width, Tone.WARN)


def _token_lines(view: TenantView, frame: Frame, width: int) -> Iterator[Line]:
    """Those of the day, how fast they go, and when they end."""
    tokens, counted = view.tokens, rate_span(_pace(view), frame)
    if tokens is None:
        none = Span("no daily budget", Tone.DIM)
        paced = (_tokens_cell(view, frame), none, counted._replace(text=f"{counted.text}/m"))
        yield from labelled("tokens", (none,) if view.by_model is None else paced, width)
        return
    since = f" since {figures.since(tokens.since, frame.now)}" if tokens.since else ""
    reserved = f"{figures.count(tokens.reserved)} reserved" if tokens.reserved else ""
    sentence = Span(_SENTENCES[tokens.state].format(since=since), _by_tokens(view).tone)
    used = _tokens_cell(view, frame)
    yield from labelled("tokens", (used, Span(reserved, Tone.DIM), sentence), width)
    expected, held = "", ""
    counted = counted._replace(text=f"{counted.text} in the last minute")
    if tokens.burn_per_minute is not None:
        old = frame.glyphs.stale if tokens.is_old or frame.stale else ""
        expected = f"{figures.rate(tokens.burn_per_minute)}{old}/m expected"
    if tokens.pace_per_minute is not None:
        held = f"held to {figures.rate(tokens.pace_per_minute)}/m"
    runs_out = _runs_out(view, frame)
    if runs_out.text[0].isdigit():
        runs_out = runs_out._replace(text=f"runs out {runs_out.text}")
    resets = Span(f"reset {figures.minute_of_day(tokens.resets_at)}", Tone.DIM)
    parts = (counted, expected, Span(held, Tone.WARN), runs_out, resets)
    yield from labelled("pace", parts, width)


def _pace_lines(view: TenantView, frame: Frame, width: int) -> Iterator[Line]:
    """How the pace of the tokens went, over 15 minutes and over 24 hours, as far as it is known."""
    history = tenant_history(view.name, frame)
    for label, numbers in (
        ("last 15 min", history.recent.tokens),
        ("last 24 h", history.day.tokens),
    ):
        most = max(numbers, default=NOT_KNOWN)
        cells = min(width - _BESIDE_BARS, len(numbers))
        if most != NOT_KNOWN and cells > 0:
            bars = Span(sparkline(numbers, cells, frame.glyphs), Tone.BUSY)
            most_text = Span(f"most {figures.rate(most)}/m", Tone.DIM)
            yield from labelled(label, (bars, most_text), width)


def _model_lines(view: TenantView, frame: Frame, width: int) -> Iterator[Line]:
    """A line for each model's tokens by kind, the most used first, and for their sum."""
    used = view.by_model
    if used is None or not used.models:
        return
    old = frame.glyphs.stale if used.is_old or frame.stale else ""
    sums = {kind: sum(getattr(each, kind) for each in used.models) for kind in _KINDS}
    total = ModelTokens(model="all models", **sums, usd=used.usd)
    counted = [*used.models, total] if len(used.models) > 1 else list(used.models)
    cells = min(max(len(_model_name(each)) for each in counted), _LONGEST_NAME)
    for place, each in enumerate(counted):
        tone = Tone.DIM if each is total else Tone.PLAIN
        kinds = [("in", each.input), ("cached", each.cached_input), ("out", each.output)]
        kinds += [("calls", each.calls)] if width >= _ROOM_FOR_CALLS else []
        texts = [fit(_model_name(each), cells, name=True, ellipsis=frame.glyphs.ellipsis)]
        texts += [f"{name} {figures.count(number, 5) + old:>6}" for name, number in kinds]
        priced = f"{figures.usd(each.usd or 0.0)}{old} USD"
        unpriced = f"no price: models.{each.model}.price" if each.model else "no price"
        texts.append(unpriced if each.usd is None else priced)
        parts = [Span(text, tone) for text in texts]
        yield from labelled("" if place else "used today", parts, width)


def _pool_lines(view: TenantView, frame: Frame, width: int) -> Iterator[Line]:
    """What each pool spent today, the dearest first, where there is room; its page says it too."""
    used = view.by_model
    if used is None or not used.usd_by_pool or width < _ROOM_FOR_CALLS:
        return
    own, old = len(view.name) + 1, frame.glyphs.stale if used.is_old or frame.stale else ""
    parts = [Span(f"{key[own:]} {figures.usd(usd)}{old}") for key, usd in _dearest_first(used)]
    yield from labelled("USD today", parts, width)
    if (month := used.month) is not None:
        words = f"{'>' if month.is_partial else ''}{figures.usd(month.usd)}{old} USD"
        since = f"since {figures.date_and_time(month.since)}" if month.since else ""
        gap = "without days in which no controller ran" if month.has_gap else ""
        dearest = sorted(month.by_model.items(), key=lambda each: -each[1])
        models = [f"{name} {figures.usd(usd)}{old}" for name, usd in dearest]
        yield from labelled("this month", (words, since, gap, *models), width)


def _dearest_first(used: TokensByModel) -> list[tuple[PoolKey, float]]:
    return sorted(used.usd_by_pool.items(), key=lambda each: (-each[1], each[0]))


def _model_name(used: ModelTokens) -> str:
    return used.model or "other models"


def _money_lines(view: TenantView, frame: Frame, width: int) -> Iterator[Line]:
    """What the targets cost; the share of each tier that was used, and the saving."""
    if view.usd_per_hour is None:
        nothing = Span("not known: no pool has a model with a price", Tone.DIM)
        yield from labelled("cost", (nothing,), width)
    else:
        usd = _usd(view, frame)
        unpriced = f"without {figures.amount(view.unpriced, 'pool')} of unknown cost"
        planned = usd._replace(text=f"{usd.text} USD an hour planned")
        without = Span(unpriced if view.unpriced else "", Tone.DIM)
        expected = None if view.by_model is None else view.by_model.expected_usd
        whole_day = "" if expected is None else f"about {figures.usd(expected)} by the day's end"
        yield from labelled("cost", (planned, whole_day, without), width)
    used, shares = view.tiers, {tier: _tier_share(view, frame, tier) for tier in ModelTier}
    if used is None or None in shares.values():
        return
    parts = [f"{tier.value} {figures.percent(share or 0)}" for tier, share in shares.items()]
    saved = f"{figures.usd(abs(used.saved_usd))} USD today"
    saving = Span(f"saved {saved}")
    if used.saved_usd < 0:
        saving = Span(f"cost {saved} more than premium alone", Tone.WARN)
    missing = "some of today's may be missing" if used.is_old or frame.stale else ""
    yield from labelled("tiers", (*parts, saving, Span(missing, Tone.WARN)), width)


TENANTS: Final = Table[TenantView](
    "tenants",
    "tenants",
    _COLUMNS,
    lambda frame: () if frame.snapshot is None else frame.snapshot.tenants,
    key=lambda view: view.name,
    nothing=lambda _: [
        Span("no tenants", Tone.WARN),
        Span("the fleet file names none; add one and it appears here", Tone.DIM),
    ],
    text=lambda view: " ".join((
        view.name, view.tier, view.namespace, tenant_state(view).word,
        *(f"{each.label} {each.intent.who}" for each in asked_for(view)),
    )),
    sort=Sort("SHARE", descending=True),
    details=tenant_lines,
    opens=lambda view, _: Opening(
        "pools", of=view.name, where=lambda row: row.view.tenant == view.name
    ),
    about=lambda view: Scope(tenant=view.name),
)  # fmt: skip
VIEWS: Final = (View("tenants", (TENANTS,), "budgets, pauses", ("tn", "tenant")),)
