"""The `why` view of one pool as lines: its numbers, the rules in order, and the readings."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from agentdash.foreseen import Ahead, next_words
from agentdash.tui import figures, words
from agentdash.tui.cells import change_text, value_span
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
from agentdash.tui.view import Frame, PoolRow, freshness
from controller.model.decision import HARMLESS, Decision, Outcome, OutcomeKind, Reason
from controller.model.observation import Pods, QueueDepth, WakeWatch, Workload
from controller.model.readings import Absent, Fresh, Reading, Stale

_RULE_WIDTH: Final = 20
_REPLICAS_WIDTH: Final = 9
# from this height on, a panel has room for blank lines and the sentence
_TALL_PANEL: Final = 12
_FRESHNESS_TONES: Final = {"fresh": Tone.OK, "stale": Tone.WARN, "absent": Tone.CRIT}


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
    lines, gap = [_numbers(decision, frame, old=old)], [BLANK]
    written = outcome_lines(outcome, width, decision)
    if height >= _TALL_PANEL:
        sentence = words.last_sentence(decision, at)
        lines += [line(f" {text}") for text in wrap(sentence, width - 2)]
    else:
        gap = []
        beside: list[Span | str] = [*written[0].spans[1:], " "]
        if len(written) == 1 and line_width(line(*lines[0].spans, *beside)) < width:
            lines, written = [left_and_right(lines[0].spans, beside, width)], []
    lines += [*gap, _table_line("STEP", "INPUT", "REPLICAS", width, Tone.HEADING)]
    for reason in decision.reasons:
        lines += _rule(reason, at, width)
    lines.append(_result(decision, frame, width, since))
    return [*lines, *gap, *below, *written]


def _numbers(decision: Decision, frame: Frame, *, old: bool) -> Line:
    mark = frame.glyphs.stale if old else ""
    target, wanted, recommended = (
        frame.glyphs.unknown if number is None else f"{figures.count(number)}{mark}"
        for number in (decision.target, decision.demand, decision.recommendation)
    )
    change = change_text(decision.current, decision.next, frame) + mark
    return line(
        " ",
        Span(change, Tone.WARN if old else Tone.TITLE),
        f"  (target {target}, wanted {wanted})",
        Span(f"   recommended {recommended}", Tone.DIM),
    )


def _rule(reason: Reason, at: float, width: int) -> list[Line]:
    """One rule, on as many lines as its sentence needs."""
    replicas = "" if reason.value is None else figures.count(reason.value)
    texts = wrap(words.reason_sentence(reason, at), _text_width(width)) or [""]
    first = _table_line(words.reason_title(reason.code), texts[0], replicas, width, Tone.PLAIN)
    return [first, *(_table_line("", text, "", width, Tone.PLAIN) for text in texts[1:])]


def _result(decision: Decision, frame: Frame, width: int, since: float | None) -> Line:
    replicas = frame.glyphs.unknown
    if decision.next is not None:
        replicas = f"= {figures.count(decision.next)}"
    bound = f"bound by {decision.bound}"
    if decision.gate is not None:
        bound += f", held by {words.as_words(decision.gate)}"
    if since is not None:
        bound += f", since {figures.since(since, frame.now)}"
    return _table_line("decided", bound, replicas, width, Tone.TITLE)


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
    text = words.as_words(outcome.kind)
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
    """The pods and the queue now, the pool's limits, its workload, findings and warnings."""
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
    for place, each in enumerate(view.queues):
        name = f"{each.stream} > {each.consumer}"
        lines += labelled_text("" if place else "queue", name, width)
    place_of_it = f"{view.namespace}/{view.workload.name}"
    lines += labelled_text(view.workload.kind.lower(), place_of_it, width)
    if row.workload is not None:
        lines += _workload_lines(row, row.workload, frame, width)
    for finding in () if frame.snapshot is None else frame.snapshot.findings:
        if finding.subject == row.key:
            text = f"{finding.text} (since {figures.since(finding.since, frame.now)})"
            lines += labelled_text(str(finding.severity), text, width, Tone.WARN)
    for warning in view.observation.warnings:
        heading = words.warning_heading(warning, frame.now)
        text = f"{heading}, {warning.object_name}: {warning.message}"
        lines += labelled_text("cluster", text, width, Tone.WARN)
    return lines


def _pods(row: PoolRow, frame: Frame) -> Iterator[Span]:
    pods = row.pods
    if pods is None:
        yield Span("unknown", Tone.WARN)
        return
    is_old = isinstance(row.view.observation.pods, Stale)
    yield value_span(f"ready {pods.ready}", frame, old=is_old)
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


def _workload_lines(row: PoolRow, workload: Workload, frame: Frame, width: int) -> Iterator[Line]:
    old = frame.glyphs.stale if row.workload_is_old or frame.stale else ""
    is_mixed = workload.updated != workload.current
    counts = (
        f"asks {workload.replicas}{old}",
        f"has {workload.current}{old}",
        f"ready {workload.ready}{old}",
        f"new version {workload.updated}{old}" if is_mixed else "",
        "rollout paused" if workload.paused else "",
    )
    yield from labelled("replicas", counts, width)
    if workload.message:
        yield from labelled_text("message", workload.message, width, Tone.WARN)
    for place, (name, value) in enumerate(sorted(workload.labels.items())):
        yield from labelled_text("" if place else "labels", f"{name}={value}", width, Tone.DIM)


def reading_lines(row: PoolRow, frame: Frame, width: int) -> list[Line]:
    """Whether each reading is fresh, or how old it is and why there is no newer one."""
    seen = row.view.observation
    lines = [
        *_reading("queue", seen.queue, frame, width),
        *_reading(row.view.workload.kind.lower(), seen.workload, frame, width),
        *_reading("pods", seen.pods, frame, width),
    ]
    wake = f"{seen.wake}: {seen.wake_detail}" if seen.wake_detail else str(seen.wake)
    tone = {WakeWatch.ARMED: Tone.OK, WakeWatch.POLLED: Tone.WARN}.get(seen.wake, Tone.DIM)
    lines += labelled_text("wake", wake, width, tone)
    if seen.woken_at is not None:
        text = f"{figures.age(frame.now - seen.woken_at)} ago by its first message"
        lines += labelled_text("woken", text, width)
    return lines


def _reading(
    name: str,
    reading: Reading[QueueDepth] | Reading[Workload] | Reading[Pods],
    frame: Frame,
    width: int,
) -> list[Line]:
    word = freshness(reading)
    text = word
    if isinstance(reading, Stale | Absent):
        text += f" {figures.age(frame.now - reading.at)}" if reading.at else ""
        text += f", {words.as_words(reading.why)}"
        text += f": {reading.detail}" if reading.detail else ""
    tone = _FRESHNESS_TONES[word]
    if frame.stale and isinstance(reading, Fresh):
        tone = Tone.WARN
    return labelled_text(name, text, width, tone)


def title_spans(row: PoolRow, frame: Frame) -> tuple[tuple[Span, ...], tuple[Span, ...]]:
    """The left and the right title in the panel's border."""
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
