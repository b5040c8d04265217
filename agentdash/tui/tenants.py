"""The tenants: budgets, pauses, money and quota, as columns of a table and as details."""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from typing import Final, NamedTuple

from agentdash.tui import amounts, figures
from agentdash.tui.columns import Column, Sort, SortValue
from agentdash.tui.labels import labelled, labelled_text
from agentdash.tui.lines import Line, Span, Tone
from agentdash.tui.model_tokens import model_lines, pace_lines, used_today
from agentdash.tui.queues import measured_span
from agentdash.tui.tables import RECENT_CELLS, recent_span, since_span
from agentdash.tui.tier_shares import saved_span, saved_usd, shares_span, tier_lines
from agentdash.tui.view import NO_HISTORY, Frame
from controller.model.intents import DayBudget, Freeze, NoGrowth, Pause, asked_words
from controller.model.snapshot import History, TenantTokens, TenantView, TokenState

_BAR_WIDTH: Final = 8


class TenantState(Enum):
    """The state of a tenant in one word, the worst first. The other fields are as in PoolState."""

    HARD = ("hard", "!!", Tone.CRIT, 5)
    UNKNOWN = ("unknown", "!!", Tone.CRIT, 4)
    FROZEN = ("frozen", "!", Tone.WARN, 3)
    PAUSED = ("paused", "!", Tone.WARN, 3)
    HELD = ("held", "!", Tone.WARN, 2)
    PACED = ("paced", "!", Tone.WARN, 2)
    WARNED = ("warned", "!", Tone.WARN, 1)
    OK = ("ok", "", Tone.OK, 0)

    def __init__(self, word: str, mark: str, tone: Tone, rank: int) -> None:
        self.word = word
        self.mark = mark
        self.tone = tone
        self.rank = rank


_BY_TOKENS: Final = {
    TokenState.OK: TenantState.OK,
    TokenState.WARNED: TenantState.WARNED,
    TokenState.PACED: TenantState.PACED,
    TokenState.HARD: TenantState.HARD,
    TokenState.UNKNOWN: TenantState.UNKNOWN,
}
_SENTENCES: Final = {
    TokenState.OK: "below the warning",
    TokenState.WARNED: "the warning is reached{since}",
    TokenState.PACED: "held to a pace{since}",
    TokenState.HARD: "spent{since}: the targets are 0 until the reset",
    TokenState.UNKNOWN: "the ledger is not known{since}: with a hard budget nothing grows",
}


def tenant_state(view: TenantView) -> TenantState:
    """The worst state that applies to the tenant."""
    states = [TenantState.OK if view.tokens is None else _BY_TOKENS[view.tokens.state]]
    states += [each.state for each in asked_for(view) if each.state is not None]
    return max(states, key=lambda state: state.rank)


def tenant_since(view: TenantView) -> float | None:
    """When the state that is shown began (Unix seconds), where the controller says it."""
    state, tokens = tenant_state(view), view.tokens
    if state is TenantState.PAUSED:
        return view.pause_since
    return None if tokens is None or _BY_TOKENS[tokens.state] is not state else tokens.since


def tenant_filter_text(view: TenantView) -> str:
    """The text that a filter searches."""
    asked = " ".join(f"{each.label} {each.intent.who}" for each in asked_for(view))
    return f"{view.name} {view.tier} {view.namespace} {tenant_state(view).word} {asked}"


def used_share(view: TenantView) -> float | None:
    """The part of the day's tokens that is used; None without a budget or its ledger."""
    tokens = view.tokens
    if tokens is None or tokens.used is None:
        return None
    return tokens.used / tokens.cap if tokens.cap else 1.0


def _state(view: TenantView, frame: Frame) -> Span:
    del frame
    state = tenant_state(view)
    return Span(f"{state.mark:<2} {state.word}", state.tone)


def _known(find: Callable[[TenantView], float | None]) -> Callable[[TenantView], SortValue | None]:
    def key(view: TenantView) -> SortValue | None:
        value = find(view)
        return None if value is None else (value,)

    return key


def _old_or_not(text: str, tokens: TenantTokens, frame: Frame) -> Span:
    if tokens.is_old or frame.stale:
        return Span(text + frame.glyphs.stale, Tone.WARN)
    return Span(text)


def _tokens(view: TenantView, frame: Frame) -> Span:
    tokens = view.tokens
    if tokens is None:
        return _used_without_budget(view, frame)
    cap = figures.count(tokens.cap, 5)
    if tokens.used is None:
        return Span(f"{frame.glyphs.unknown}/{cap}", Tone.WARN)
    return _old_or_not(f"{figures.count(tokens.used, 5)}/{cap}", tokens, frame)


def _used_without_budget(view: TenantView, frame: Frame) -> Span:
    """What was used today, of all models and kinds."""
    used = used_today(view)
    return measured_span(
        None if used is None else figures.count(used, 5) + _old_usage(view, frame),
        frame,
        zero=used == 0,
    )


def _old_usage(view: TenantView, frame: Frame) -> str:
    is_old = view.by_model is not None and view.by_model.is_old
    return frame.glyphs.stale if is_old and not frame.stale else ""


def _pace(view: TenantView) -> float | None:
    """Tokens a minute: as the budget counts them, without one all of them."""
    if view.tokens is None:
        return None if view.by_model is None else view.by_model.per_minute
    return view.tokens.burn_per_minute


def _share(view: TenantView, frame: Frame) -> Span:
    share = used_share(view)
    if view.tokens is None:
        return Span(frame.glyphs.none, Tone.DIM)
    if share is None:
        return Span(frame.glyphs.unknown, Tone.WARN)
    span = _old_or_not(amounts.percent(share), view.tokens, frame)
    return span._replace(tone=_share_tone(view)) if span.tone is Tone.PLAIN else span


def _share_tone(view: TenantView) -> Tone:
    state = TenantState.OK if view.tokens is None else _BY_TOKENS[view.tokens.state]
    return Tone.PLAIN if state is TenantState.OK else state.tone


def _bar(view: TenantView, frame: Frame) -> Span:
    share = used_share(view)
    if share is None:
        return Span("")
    return Span(amounts.bar(share, _BAR_WIDTH, frame.glyphs), _share_tone(view))


def _burn(view: TenantView, frame: Frame) -> Span:
    burn = _pace(view)
    return measured_span(None if burn is None else amounts.rate(burn), frame, zero=burn == 0)


def tenant_history(tenant: str, frame: Frame) -> History:
    """How the tokens of the tenant with this name went."""
    histories = {} if frame.snapshot is None else frame.snapshot.tenant_histories
    return histories.get(tenant, NO_HISTORY)


def _recent(view: TenantView, frame: Frame) -> Span:
    return recent_span(tenant_history(view.name, frame).recent.tokens, frame)


def _runs_out(view: TenantView, frame: Frame) -> Span:
    tokens = view.tokens
    if tokens is None:
        return Span(frame.glyphs.none, Tone.DIM)
    if tokens.state is TokenState.UNKNOWN:
        return Span(frame.glyphs.unknown, Tone.WARN)
    if tokens.state is TokenState.HARD:
        return Span("spent", Tone.CRIT)
    if tokens.runs_out_at is None:
        return _old_or_not("lasts the day", tokens, frame)
    if tokens.runs_out_at <= frame.at:
        return Span("spent", Tone.CRIT)
    return Span(f"{figures.time_of_day(tokens.runs_out_at)}Z", Tone.WARN)


def _usd(view: TenantView, frame: Frame) -> Span:
    if view.usd_per_hour is None:
        return Span(frame.glyphs.none, Tone.DIM)
    limit = view.usd_limit
    text = amounts.usd(view.usd_per_hour)
    span = measured_span(
        text if limit is None else f"{text}/{amounts.usd(limit)}", frame, zero=not view.usd_per_hour
    )
    over = limit is not None and view.usd_per_hour > limit
    return span._replace(tone=Tone.WARN) if over else span


def _quota_pods(view: TenantView, frame: Frame) -> Span:
    return _part(view, frame, view.used.replicas, view.quota.replicas, str)


def _quota_cpu(view: TenantView, frame: Frame) -> Span:
    return _part(view, frame, view.used.cpu_milli, view.quota.cpu_milli, amounts.cores)


def _quota_memory(view: TenantView, frame: Frame) -> Span:
    return _part(view, frame, view.used.memory_bytes, view.quota.memory_bytes, amounts.memory)


def _part(
    view: TenantView, frame: Frame, used: int | None, hard: int | None, text: Callable[[int], str]
) -> Span:
    """`4/40`, or what is used alone where nothing limits it."""
    shown = frame.glyphs.unknown if used is None else text(used)
    if hard is None:
        return Span(shown, Tone.DIM)
    old = frame.glyphs.stale if view.is_quota_old or frame.stale else ""
    tone = Tone.WARN if old or used is None or used >= hard else Tone.PLAIN
    return Span(f"{shown}/{text(hard)}{old}", tone)


class AskedFor(NamedTuple):
    """One thing that an operator asked for all of a tenant: its word, and what it makes of the
    tenant's state, None where that stays as it is.
    """

    label: str
    intent: Pause | Freeze | NoGrowth | DayBudget
    state: TenantState | None = None

    @property
    def words(self) -> str:
        """Who, and until when: `mara until 13:00Z`, `the whole fleet by mara`."""
        intent = self.intent
        of_fleet = not isinstance(intent, DayBudget) and intent.scope.tenant is None
        parts = ["the whole fleet"] if of_fleet else []
        if intent.who:
            parts.append(f"by {intent.who}" if of_fleet else intent.who)
        if intent.until is not None:
            parts.append(f"until {figures.time_of_day(intent.until)[:5]}Z")
        return " ".join(parts)


def asked_for(view: TenantView) -> list[AskedFor]:
    """What operators asked for the whole tenant, the strongest first."""
    found: list[AskedFor] = []
    if view.freeze is not None:
        found.append(AskedFor("frozen", view.freeze, TenantState.FROZEN))
    if view.pause is not None:
        found.append(AskedFor("paused", view.pause, TenantState.PAUSED))
    if view.no_growth is not None:
        found.append(AskedFor("held", view.no_growth, TenantState.HELD))
    if view.day_budget is not None:
        found.append(AskedFor("budget", view.day_budget))
    return found


def _asked(view: TenantView, frame: Frame) -> Span:
    found = asked_for(view)
    if not found:
        return Span(frame.glyphs.none, Tone.DIM)
    more = f" +{len(found) - 1}" if len(found) > 1 else ""
    return Span(f"{found[0].label} {found[0].words}{more}", Tone.WARN)


def _asked_lines(view: TenantView, frame: Frame, width: int) -> list[Line]:
    """Each in full, with why."""
    lines: list[Line] = []
    for each in asked_for(view):
        intent, text = each.intent, each.words
        if isinstance(intent, Pause):
            kept = "" if intent.keep is None else f", keeping {intent.keep} replicas a pool"
            by = "by " if intent.who and intent.scope.tenant is not None else ""
            text = f"{_since(view.pause_since, frame)}{by}{text}{kept}"
        if isinstance(intent, DayBudget):
            text = f"{asked_words(intent)}, {text}"
        why = f": {intent.why}" if intent.why else ""
        lines += labelled_text(each.label, f"{text}{why}", width, Tone.WARN)
    return lines


TENANT_COLUMNS: Final = (
    Column[TenantView](
        "TENANT",
        12,
        lambda view, _: Span(view.name),
        lambda view: (view.name,),
        widest=24,
        letter="N",
    ),
    Column[TenantView](
        "TIER", 10, lambda view, _: Span(view.tier), lambda view: (view.tier,), rank=12, letter="T"
    ),
    Column[TenantView](
        "STATE",
        10,
        _state,
        lambda view: (float(tenant_state(view).rank),),
        letter="S",
        descending=True,
    ),
    Column[TenantView](
        "SINCE",
        6,
        lambda view, frame: since_span(tenant_since(view), frame),
        _known(tenant_since),
        descending=True,
    ),
    Column[TenantView]("BUDGET", _BAR_WIDTH, _bar, rank=8),
    Column[TenantView](
        "TOKENS/DAY",
        12,
        _tokens,
        _known(lambda view: used_today(view) if view.tokens is None else view.tokens.used),
        right=True,
        descending=True,
    ),
    Column[TenantView](
        "SHARE", 5, _share, _known(used_share), right=True, letter="P", descending=True
    ),
    Column[TenantView](
        "TOK/m",
        6,
        _burn,
        _known(_pace),
        right=True,
        letter="R",
        descending=True,
    ),
    Column[TenantView]("TOK/m, 15 MIN", RECENT_CELLS, _recent, rank=6),
    Column[TenantView](
        "RUNS OUT",
        14,
        _runs_out,
        _known(lambda view: None if view.tokens is None else view.tokens.runs_out_at),
        right=True,
        letter="X",
    ),
    Column[TenantView](
        "POOLS",
        5,
        lambda view, _: Span(str(view.pools)),
        lambda view: (view.pools,),
        rank=1,
        right=True,
        descending=True,
    ),
    Column[TenantView](
        "USD/h",
        11,
        _usd,
        _known(lambda view: view.usd_per_hour),
        rank=2,
        right=True,
        letter="W",
        descending=True,
    ),
    Column[TenantView]("N/S/P %", 9, shares_span, rank=5, right=True),
    Column[TenantView](
        "SAVED", 6, saved_span, _known(saved_usd), rank=5, right=True, descending=True
    ),
    Column[TenantView]("PODS", 7, _quota_pods, rank=6, right=True),
    Column[TenantView]("CPU", 9, _quota_cpu, rank=10, right=True),
    Column[TenantView]("MEMORY", 12, _quota_memory, rank=11, right=True),
    Column[TenantView]("OPERATORS", 15, _asked, rank=9, widest=60),
)
BY_SHARE: Final = Sort("SHARE", descending=True)


def tenant_lines(view: TenantView, frame: Frame, width: int) -> list[Line]:
    """What operators asked for, the day's tokens, money, tiers, quota and pools of one tenant."""
    lines = _asked_lines(view, frame, width)
    lines += _token_lines(view, frame, width)
    lines += pace_lines(tenant_history(view.name, frame), frame, width)
    lines += model_lines(view, frame, width)
    usd = _usd(view, frame)
    unpriced = f"without {figures.amount(view.unpriced, 'pool')} of unknown cost"
    unpriced = unpriced if view.unpriced else ""
    if view.usd_per_hour is None:
        usd = Span("not known: no pool has a model with a price", Tone.DIM)
        unpriced = ""
    else:
        usd = usd._replace(text=f"{usd.text} USD an hour planned")
    lines += labelled("cost", (usd, Span(unpriced, Tone.DIM)), width)
    lines += tier_lines(view, frame, width)
    lines += labelled(
        "quota",
        (
            _named("pods", _quota_pods(view, frame)),
            _named("cpu", _quota_cpu(view, frame)),
            _named("memory", _quota_memory(view, frame)),
        ),
        width,
    )
    paused = f"{view.paused_pools} held by a pause" if view.paused_pools else ""
    pools = (
        f"{figures.amount(view.pools, 'pool')} in {view.namespace}, tier {view.tier}",
        Span(paused, Tone.WARN),
    )
    return [*lines, *labelled("serves", pools, width)]


def _since(at: float | None, frame: Frame) -> str:
    return "" if at is None else f"since {figures.since(at, frame.now)} "


def _named(name: str, span: Span) -> Span:
    return span._replace(text=f"{name} {span.text}")


def _parts_without_budget(view: TenantView, frame: Frame) -> list[Span]:
    none = Span("no daily budget", Tone.DIM)
    if view.by_model is None:
        return [none]
    pace = _burn(view, frame)
    return [_tokens(view, frame), none, pace._replace(text=f"{pace.text}/m")]


def _token_lines(view: TenantView, frame: Frame, width: int) -> list[Line]:
    tokens = view.tokens
    if tokens is None:
        return labelled("tokens", _parts_without_budget(view, frame), width)
    since = f" since {figures.since(tokens.since, frame.now)}" if tokens.since else ""
    sentence = _SENTENCES[tokens.state].format(since=since)
    state = Span(sentence, _BY_TOKENS[tokens.state].tone)
    parts = [_tokens(view, frame)]
    if tokens.reserved:
        parts.append(Span(f"{figures.count(tokens.reserved)} reserved", Tone.DIM))
    parts.append(state)
    pace = [Span("not known", Tone.DIM)]
    if tokens.burn_per_minute is not None:
        old = frame.glyphs.stale if tokens.is_old or frame.stale else ""
        pace = [Span(f"{amounts.rate(tokens.burn_per_minute)}{old}/m")]
    if tokens.pace_per_minute is not None:
        pace.append(Span(f"held to {amounts.rate(tokens.pace_per_minute)}/m", Tone.WARN))
    runs_out = _runs_out(view, frame)
    if runs_out.text[0].isdigit():
        runs_out = runs_out._replace(text=f"runs out {runs_out.text}")
    resets = Span(f"reset {figures.time_of_day(tokens.resets_at)[:5]}Z", Tone.DIM)
    return [
        *labelled("tokens", parts, width),
        *labelled("pace", (*pace, runs_out, resets), width),
    ]
