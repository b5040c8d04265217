"""The first tab of a pool's page, why it has its number: the rules of the decision, what is there
now, the readings, and how the pool went.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import ClassVar, Final

from textual.app import ComposeResult

from agentdash.foreseen import Ahead, next_words
from agentdash.tui import figures
from agentdash.tui.actions import Keymap
from agentdash.tui.cells import change_text, last_sentence, value_span, warning_heading
from agentdash.tui.charts import history_lines
from agentdash.tui.lines import (
    BLANK,
    Line,
    Span,
    Tone,
    cut,
    cut_middle,
    fit,
    labelled,
    labelled_text,
    left_and_right,
    line,
    line_width,
    wrap,
)
from agentdash.tui.screens.base import ViewScreen, share_lines
from agentdash.tui.view import Frame, PoolRow
from agentdash.tui.widgets.lines_widget import LinesBuilder, Panel
from controller.model.decision import HARMLESS, Decision, Outcome, OutcomeKind
from controller.model.observation import Pods, QueueDepth, WakeWatch, Workload
from controller.model.readings import Absent, Fresh, Reading, Stale
from controller.planning import explain

_LEAST_LINES: Final = (8, 6)
"""Of the decision, and of what is there now, each with its frame."""
_FEWEST_LINES: Final = (6, 4)
"""On a screen that has no room for so many."""
_HISTORY_LINES: Final = 7
_DAY_LINES: Final = 13
"""Of a history of 15 minutes, and of one of 24 hours too."""
_HIGH_LINES: Final = 28
"""Of both, with bars of two lines; what stands above them then has so many lines."""
_ABOVE_HIGH: Final = 24
_READINGS: Final = 4
_BAR_CELLS: Final = 12
"""Of the replicas that are ready, of max."""


class WhyScreen(ViewScreen):
    """One pool. The view stays with it, however the tables change."""

    COUNTS_SECONDS: ClassVar[bool] = True

    def __init__(self, *, keys: Keymap) -> None:
        super().__init__("why", tab="why", keys=keys)
        self._shown: tuple[PoolRow, Frame] | None = None
        self.decision = Panel(id="decision")
        self.now = Panel(id="now")
        self.readings = Panel(id="readings")
        self.history = Panel(id="history")

    def compose_body(self) -> ComposeResult:
        """The panels; the style sheet arranges them."""
        yield self.decision
        yield self.now
        yield self.readings
        yield self.history

    def _ahead_of(self, frame: Frame) -> Ahead | str:
        """What is known of what follows; empty until an answer comes."""
        if frame.moment is not None:
            return "known only of now: a journal keeps what was decided, not how"
        asked, row = frame.asked, frame.row(self.pool)
        if asked.ahead_of != self.pool:
            return ""
        decision = None if row is None else row.view.decision
        if asked.ahead == Ahead() and _sizes(decision) != _sizes(asked.ahead_for):
            return f"asking {frame.glyphs.ellipsis}"  # nothing was foreseen for another decision
        return asked.ahead

    def draw_body(self, frame: Frame) -> None:
        """Fill the panels."""
        row, key, ahead = frame.row(self.pool), self.pool, self._ahead_of(frame)
        left, right = title_spans(row, frame)
        builders: tuple[LinesBuilder, ...] = (lambda width, _: gone_lines(key, width),)
        builders += (lambda *_: (),) * 3
        if row is not None:
            builders = (
                lambda width, height: now_decided_lines(row, frame, width, height, ahead),
                lambda width, _: now_lines(row, frame, width),
                lambda width, _: reading_lines(row, frame, width),
                lambda *size: history_lines(row.history, frame, *size, pool=key),
            )
            self._shown = row, frame
        titles: tuple[str | Sequence[Span], ...] = (left, "now", "readings", "history")
        panels = (self.decision, self.now, self.readings, self.history)
        for panel, title, builder in zip(panels, titles, builders, strict=True):
            note = right if panel is self.decision else ()
            panel.show_titled(builder, title=title, note=note, glyphs=frame.glyphs)
        if row is not None:
            self.share()

    def share(self) -> None:
        """In one column, each panel is as high as its lines. The decision and what is there now
        come first; the history of 15 minutes, and that of 24 hours, have their place where there is
        room. On a wide screen the style sheet says where the panels are.
        """
        width = self.app.size.width - 2
        if self.is_wide or self._shown is None:
            self.remove_class("-no-history")
            is_high = self.body_lines - _HIGH_LINES >= _ABOVE_HIGH
            self.body.styles.grid_rows = f"1 2fr 1fr {_HIGH_LINES if is_high else _DAY_LINES}"
            return
        row, frame = self._shown
        room = self.body_lines
        rules = len(now_decided_lines(row, frame, width, 0, self._ahead_of(frame))) + 2
        now = max(len(now_lines(row, frame, width * 5 // 8 - 2)), _READINGS) + 2
        has_history = room >= sum(_LEAST_LINES) + _HISTORY_LINES
        below = [_HISTORY_LINES] if has_history else []
        left = room - sum(below)
        if has_history and left >= rules + now + _DAY_LINES - _HISTORY_LINES:
            below, left = [_DAY_LINES], left - _DAY_LINES + _HISTORY_LINES
        least = _LEAST_LINES if left >= sum(_LEAST_LINES) else _FEWEST_LINES
        above = share_lines(left, (rules, now), least)
        self.set_class(not has_history, "-no-history")
        self.body.styles.grid_rows = " ".join(map(str, (1, *above, *below)))


def _sizes(decision: Decision | None) -> tuple[int | None, ...]:
    return () if decision is None else (decision.recommendation, decision.target, decision.next)


_RULE_WIDTH: Final = 20
_REPLICAS_WIDTH: Final = 9
# from this height on, a panel has room for blank lines and the sentence
_TALL_PANEL: Final = 12


def now_decided_lines(
    row: PoolRow, frame: Frame, width: int, height: int, ahead: Ahead | str = ""
) -> list[Line]:
    """The decision that stands, rule by rule, and what follows (`ahead`), as far as it is known."""
    decision = row.view.decision
    if decision is None:
        return [
            line(Span(" no decision yet", Tone.WARN)),
            line(Span(" the first tick that sees this pool decides it", Tone.DIM)),
        ]
    old = frame.stale or row.queue_is_old or row.workload_is_old
    standing = row.view.standing
    since = None if standing is None else standing.bound_since
    return decision_lines(
        decision,
        row.view.outcome,
        frame,
        width,
        height,
        at=frame.at,
        old=old,
        since=since,
        below=tuple(ahead_lines(ahead, decision, frame, width)),
    )


def ahead_lines(ahead: Ahead | str, decision: Decision, frame: Frame, width: int) -> Iterator[Line]:
    """When the number changes next, and what it would be without each rule; a text says why that is
    not known, and an empty one that it has been asked.
    """
    if isinstance(ahead, str):
        yield from labelled_text("next", ahead, width, Tone.DIM) if ahead else ()
        return
    due = change_text(decision.current, decision.next, frame) if decision.changes else ""
    text = next_words(ahead, frame.now, due=due).replace("→", frame.glyphs.arrow)
    yield from labelled_text("next", text, width)
    if ahead.starting:
        yield from labelled_text("starting", ahead.starting, width)
    for place, each in enumerate(ahead.without):
        yield from labelled_text("" if place else "otherwise", each, width)


def decision_lines(
    decision: Decision,
    outcome: Outcome | None,
    frame: Frame,
    width: int,
    height: int,
    *,
    at: float,
    old: bool = False,
    since: float | None = None,
    below: Sequence[Line] = (),
) -> list[Line]:
    """The four numbers, then each rule with its input and the replicas after it, then what became
    of it. The sentences speak of the time `at`; `old` numbers follow from values that are not
    fresh. The bound and the gate are the same `since` then (Unix seconds). The lines `below` follow
    what was decided.

    A low panel has no blank lines and no sentence: the last line of the screen shows the same
    sentence.
    """
    mark, unknown = frame.glyphs.stale if old else "", frame.glyphs.unknown
    target, wanted, recommended = (
        unknown if number is None else f"{figures.count(number)}{mark}"
        for number in (decision.target, decision.demand, decision.recommendation)
    )
    change = change_text(decision.current, decision.next, frame) + mark
    numbers = line(
        " ",
        Span(change, Tone.WARN if old else Tone.TITLE),
        f"  (target {target}, wanted {wanted})",
        Span(f"   recommended {recommended}", Tone.DIM),
    )
    lines, gap, written = [numbers], [BLANK], outcome_lines(outcome, width, decision)
    if height >= _TALL_PANEL:
        lines += [line(f" {text}") for text in wrap(last_sentence(decision, at), width - 2)]
    else:
        gap = []
        beside: list[Span | str] = [*written[0].spans[1:], " "]
        if len(written) == 1 and line_width(line(*numbers.spans, *beside)) < width:
            lines, written = [left_and_right(numbers.spans, beside, width)], []
    lines += [*gap, _table_line("STEP", "INPUT", "REPLICAS", width, Tone.HEADING)]
    for reason in decision.reasons:
        replicas, rule = "" if reason.value is None else figures.count(reason.value), reason.code
        # on as many lines as its sentence needs
        texts = wrap(explain.sentence(reason, at), _text_width(width)) or [""]
        for place, text in enumerate(texts):
            first = ("", "") if place else (explain.title(rule), replicas)
            lines.append(_table_line(first[0], text, first[1], width, Tone.PLAIN))
    bound = f"bound by {decision.bound}"
    bound += "" if decision.gate is None else f", held by {figures.as_words(decision.gate)}"
    bound += "" if since is None else f", since {figures.since(since, frame.now)}"
    replicas = unknown if decision.next is None else f"= {figures.count(decision.next)}"
    lines.append(_table_line("decided", bound, replicas, width, Tone.TITLE))
    return [*lines, *gap, *below, *written]


def _text_width(width: int) -> int:
    return max(width - _RULE_WIDTH - _REPLICAS_WIDTH - 4, 0)


def _table_line(rule: str, text: str, replicas: str, width: int, tone: Tone) -> Line:
    return line(
        " ",
        Span(fit(rule, _RULE_WIDTH), Tone.DIM if tone is Tone.PLAIN else tone),
        " ",
        Span(fit(text, _text_width(width)), tone),
        " ",
        Span(fit(replicas, _REPLICAS_WIDTH, right=True), tone),
    )


def outcome_lines(
    outcome: Outcome | None, width: int, decision: Decision | None = None
) -> list[Line]:
    """What became of the last write, in full."""
    if outcome is None:
        text = "nothing to write" if decision and not decision.changes else "not written yet"
        return labelled_text("last write", text, width, Tone.DIM)
    text = figures.as_words(outcome.kind)
    if outcome.status:
        text += f" ({outcome.status})"
    if outcome.retry_after_s is not None:
        text += f", again after {figures.age(outcome.retry_after_s)}"
    if outcome.detail:
        text += f": {outcome.detail}"
    tone = Tone.CRIT
    if outcome.kind is OutcomeKind.APPLIED:
        tone = Tone.OK
    elif outcome.kind in HARMLESS:
        tone = Tone.WARN
    return labelled_text("last write", text, width, tone)


def now_lines(row: PoolRow, frame: Frame, width: int) -> list[Line]:
    """What is there now; ready is what the workload says, as in every table."""
    view = row.view
    limits = (
        f"min {view.min}",
        f"max {view.max}",
        f"slots {view.slots}",
        f"tasks per replica {view.target_per_replica}",
    )
    lines = [
        *labelled("pods", _pods(row, frame), width),
        *labelled("work", _work(row, frame), width),
        *labelled("limits", limits, width),
    ]
    snapshot = frame.snapshot
    tenants = () if snapshot is None else snapshot.tenants
    used = next((each.by_model for each in tenants if each.name == view.tenant), None)
    if used is not None and (spent := used.usd_by_pool.get(view.key)) is not None:
        month = None if used.month is None else used.month.by_pool.get(view.key)
        of_month = "" if month is None else f"{figures.usd(month)} this month"
        lines += labelled("spent", (f"{figures.usd(spent)} USD today", of_month), width)
    for place, each in enumerate(view.queues):
        name = f"{each.stream} > {each.consumer}"
        lines += labelled_text("" if place else "queue", name, width)
    place_of_it = f"{view.namespace}/{view.workload.name}"
    lines += labelled_text(view.workload.kind.lower(), place_of_it, width)
    if (workload := row.workload) is not None:
        old = frame.glyphs.stale if row.workload_is_old or frame.stale else ""
        is_mixed = workload.updated != workload.current
        bar = figures.bar(workload.ready / max(view.max, 1), _BAR_CELLS, frame.glyphs)
        counts = (
            Span(f"{bar:{frame.glyphs.horizontal}<{_BAR_CELLS}}", Tone.OK),
            f"{workload.ready}/{view.max}{old}",
            f"asks {workload.replicas}{old}",
            f"has {workload.current}{old}",
            f"new version {workload.updated}{old}" if is_mixed else "",
            "rollout paused" if workload.paused else "",
        )
        lines += labelled("replicas", counts, width)
        if workload.message:
            lines += labelled_text("message", workload.message, width, Tone.WARN)
        for place, (name, value) in enumerate(sorted(workload.labels.items())):
            lines += labelled_text("" if place else "labels", f"{name}={value}", width, Tone.DIM)
    for finding in () if frame.snapshot is None else frame.snapshot.findings:
        if finding.subject == row.key:
            text = f"{finding.text} (since {figures.since(finding.since, frame.now)})"
            lines += labelled_text(str(finding.severity), text, width, Tone.WARN)
    for warning in view.observation.warnings:
        heading = warning_heading(warning, frame.now)
        text = f"{heading}, {warning.object_name}: {warning.message}"
        lines += labelled_text("cluster", text, width, Tone.WARN)
    return lines


def _pods(row: PoolRow, frame: Frame) -> Iterator[Span]:
    pods = row.pods
    if row.ready is not None:
        yield value_span(f"ready {row.ready}", frame, old=row.workload_is_old)
    if pods is None:
        yield Span("unknown", Tone.WARN)
        return
    is_old = isinstance(row.view.observation.pods, Stale)
    old = frame.glyphs.stale if is_old or frame.stale else ""
    for name, value, tone in (
        ("crashing", pods.crashing, Tone.CRIT),
        ("stuck", pods.unscheduled, Tone.CRIT),
        ("starting", pods.starting, Tone.BUSY),
        ("ending", pods.terminating, Tone.DIM),
    ):
        yield Span(f"{name} {value}{old}" if value else "", tone)


def _work(row: PoolRow, frame: Frame) -> Iterator[Span]:
    queue = row.queue
    if queue is None:
        yield Span("unknown", Tone.WARN)
        return
    for name, value in (
        ("pending", queue.pending),
        ("in flight", queue.in_flight),
        ("redelivered", queue.redelivered),
    ):
        if value or name != "redelivered":
            yield value_span(f"{name} {figures.count(value)}", frame, old=row.queue_is_old)
    yield Span("consumer paused" if queue.paused else "", Tone.WARN)


def reading_lines(row: PoolRow, frame: Frame, width: int) -> list[Line]:
    """Whether each reading is fresh, or how old it is and why there is no newer one."""
    seen, lines = row.view.observation, []
    readings: tuple[tuple[str, Reading[QueueDepth] | Reading[Workload] | Reading[Pods]], ...] = (
        ("queue", seen.queue),
        (row.view.workload.kind.lower(), seen.workload),
        ("pods", seen.pods),
    )
    for name, reading in readings:
        match reading:
            case Fresh():
                text, tone = "fresh", Tone.WARN if frame.stale else Tone.OK
            case Stale() | Absent():
                is_stale = isinstance(reading, Stale)
                text, tone = ("stale", Tone.WARN) if is_stale else ("absent", Tone.CRIT)
                text += f" {figures.age(frame.now - reading.at)}" if reading.at else ""
                text += f", {figures.as_words(reading.why)}"
                text += f": {reading.detail}" if reading.detail else ""
        lines += labelled_text(name, text, width, tone)
    wake = f"{seen.wake}: {seen.wake_detail}" if seen.wake_detail else str(seen.wake)
    tone = {WakeWatch.ARMED: Tone.OK, WakeWatch.POLLED: Tone.WARN}.get(seen.wake, Tone.DIM)
    lines += labelled_text("wake", wake, width, tone)
    if seen.woken_at is not None:
        text = f"{figures.age(frame.now - seen.woken_at)} ago by its first message"
        lines += labelled_text("woken", text, width)
    return lines


def title_spans(row: PoolRow | None, frame: Frame) -> tuple[tuple[Span, ...], tuple[Span, ...]]:
    """The left and the right title in the panel's border."""
    if row is None:
        return (Span("pool", Tone.TITLE),), ()
    state = f"{row.state.mark} {row.state.word}".strip()
    if row.since is not None:
        state += f" since {figures.since(row.since, frame.now)}"
    left = (
        Span(f"pool {cut_middle(row.key, 40, frame.glyphs.ellipsis)}", Tone.TITLE),
        Span(f"  {state}", row.state.tone),
    )
    if frame.snapshot is None:
        return left, ()
    tier = cut(row.view.tier, 12)
    return left, (Span(f"tier {tier}  tick {frame.snapshot.sequence}", Tone.DIM),)


def gone_lines(key: str, width: int) -> list[Line]:
    """The text for a pool that the snapshot does not have."""
    text = Span(cut(f"no pool {key} in this snapshot", width - 2), Tone.WARN)
    return [
        left_and_right((" ", text), (), width),
        line(Span(" it was removed from the fleet file, or never in it; esc goes back", Tone.DIM)),
    ]
