"""The `why` of one pool, as lines: its numbers, the rules in order, what was seen and how old."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from agentdash.tui import figures, words
from agentdash.tui.lines import BLANK, Line, Span, Tone, cut, ends, fit, line, line_width, wrap
from agentdash.tui.tables import step
from agentdash.tui.view import HARMLESS, PoolRow, Scene, freshness
from controller.model.decision import Decision, Reason
from controller.model.observation import Pods, QueueDepth, WakeWatch, Workload
from controller.model.outcome import OutcomeKind
from controller.model.readings import Absent, Fresh, Reading, Stale

_STEP_WIDTH: Final = 20
_NUMBER_WIDTH: Final = 9
_LABEL_WIDTH: Final = 11
_AIRY_HEIGHT: Final = 12
_FRESH_TONES: Final = {"fresh": Tone.OK, "stale": Tone.WARN, "absent": Tone.CRIT}


def decision_lines(row: PoolRow, scene: Scene, width: int, height: int) -> list[Line]:
    """The four numbers, then each rule with what it saw and what it left. A low panel spares blank
    lines and the sentence, which the last line of the screen says as well.
    """
    decision = row.view.decision
    if decision is None:
        return [
            line(Span(" no decision yet", Tone.WARN)),
            line(Span(" the first tick that sees this pool decides it", Tone.DIM)),
        ]
    lines, gap = [_numbers(decision, scene)], [BLANK]
    outcome = _outcome(row, scene, width)
    if height >= _AIRY_HEIGHT:
        lines += [line(f" {text}") for text in wrap(words.last_word(decision), width - 2)]
    else:
        lines, gap = [ends(lines[0].spans, (*outcome, " "), width)], []
    lines += [*gap, _row("STEP", "INPUT", "REPLICAS", width, Tone.HEAD)]
    for reason in decision.reasons:
        lines += _rule(reason, width)
    lines.append(_sum(decision, scene, width))
    if gap:
        lines += [BLANK, line(_label("last write"), *outcome)]
    return lines


def _numbers(decision: Decision, scene: Scene) -> Line:
    target, wanted, advised = (
        scene.glyphs.unknown if number is None else figures.count(number)
        for number in (decision.target, decision.demand, decision.recommendation)
    )
    return line(
        " ",
        Span(step(decision.current, decision.next, scene), Tone.TITLE),
        f"  (target {target}, wanted {wanted})",
        Span(f"   recommended {advised}", Tone.DIM),
    )


def _rule(reason: Reason, width: int) -> list[Line]:
    value = "" if reason.value is None else figures.count(reason.value)
    room = width - _STEP_WIDTH - _NUMBER_WIDTH - 4
    texts = wrap(words.sentence(reason), room) or [""]
    first = _row(words.title(reason.code), texts[0], value, width, Tone.PLAIN)
    return [first, *(_row("", text, "", width, Tone.PLAIN) for text in texts[1:])]


def _sum(decision: Decision, scene: Scene, width: int) -> Line:
    result = scene.glyphs.unknown if decision.next is None else f"= {figures.count(decision.next)}"
    bound = f"bound by {decision.bound}"
    if decision.gate is not None:
        bound += f", held by {words.spoken(decision.gate)}"
    return _row("decided", bound, result, width, Tone.TITLE)


def _row(first: str, text: str, value: str, width: int, tone: Tone) -> Line:
    room = max(width - _STEP_WIDTH - _NUMBER_WIDTH - 4, 0)
    dim = Tone.DIM if tone is Tone.PLAIN else tone
    return line(
        " ",
        Span(fit(first, _STEP_WIDTH), dim),
        " ",
        Span(fit(text, room), tone),
        " ",
        Span(fit(value, _NUMBER_WIDTH, right=True), tone),
    )


def _outcome(row: PoolRow, scene: Scene, width: int) -> tuple[Span, ...]:
    outcome, decision = row.view.outcome, row.view.decision
    if outcome is None:
        word = "nothing to write" if decision and not decision.changes else "not written yet"
        return (Span(word, Tone.DIM),)
    text = words.spoken(outcome.kind)
    if outcome.status:
        text += f" ({outcome.status})"
    if outcome.retry_after_s is not None:
        text += f", again after {figures.age(outcome.retry_after_s)}"
    if outcome.detail:
        text += f": {outcome.detail}"
    tone = Tone.OK if outcome.kind is OutcomeKind.APPLIED else Tone.CRIT
    if outcome.kind in HARMLESS and tone is Tone.CRIT:
        tone = Tone.WARN
    return (Span(cut(text, width - 14, scene.glyphs.ellipsis), tone),)


def now_lines(row: PoolRow, scene: Scene, width: int) -> list[Line]:
    """What is there now, its limits, and the Deployment with its labels and message."""
    lines = [
        *_pods_lines(row, scene, width),
        *_queue_lines(row, scene, width),
        *_flow(
            "limits",
            (
                Span(f"min {row.view.min}"),
                Span(f"max {row.view.max}"),
                Span(f"slots {row.view.slots}"),
                Span(f"tasks per replica {row.view.target_per_replica}"),
            ),
            width,
        ),
        line(_label("queue"), cut(f"{row.view.stream} > {row.view.consumer}", width - 14)),
        line(_label("deployment"), cut(f"{row.view.namespace}/{row.view.deployment}", width - 14)),
    ]
    if row.workload is not None:
        lines += _workload_lines(row.workload, width)
    lines += _finding_lines(row, scene, width)
    for warning in row.view.observation.warnings:
        times = f" x{warning.count}" if warning.count > 1 else ""
        since = figures.age(scene.now - warning.at)
        text = f"{warning.reason}{times}, {since} ago, {warning.object_name}: {warning.message}"
        lines += _labelled("cluster", (text,), width, Tone.WARN)
    return lines


def _pods_lines(row: PoolRow, scene: Scene, width: int) -> list[Line]:
    if row.pods is None:
        return [line(_label("pods"), Span("unknown", Tone.WARN))]
    pods = row.pods
    old = scene.glyphs.stale if scene.stale else ""
    parts = [Span(f"ready {pods.ready}{old}")]
    parts += [
        Span(f"{name} {value}{old}", tone)
        for name, value, tone in (
            ("crashing", pods.crashing, Tone.CRIT),
            ("stuck", pods.unscheduled, Tone.CRIT),
            ("starting", pods.starting, Tone.BUSY),
            ("ending", pods.terminating, Tone.DIM),
        )
        if value
    ]
    return _flow("pods", parts, width)


def _queue_lines(row: PoolRow, scene: Scene, width: int) -> list[Line]:
    queue = row.queue
    if queue is None:
        return [line(_label("work"), Span("unknown", Tone.WARN))]
    old = scene.glyphs.stale if row.queue_is_old or scene.stale else ""
    tone = Tone.WARN if old else Tone.PLAIN
    parts = [
        Span(f"pending {figures.count(queue.pending)}{old}", tone),
        Span(f"in flight {figures.count(queue.in_flight)}{old}", tone),
    ]
    if queue.redelivered:
        parts.append(Span(f"redelivered {figures.count(queue.redelivered)}{old}", tone))
    if queue.paused:
        parts.append(Span("consumer paused", Tone.WARN))
    return _flow("work", parts, width)


def _flow(name: str, parts: Iterable[Span], width: int) -> list[Line]:
    """Parts side by side after a label, on as many lines as they need."""
    lines: list[Line] = []
    current: list[Span] = [_label(name)]
    for part in parts:
        if len(current) > 1 and line_width(line(*current, part)) + 2 > width:
            lines.append(line(*current))
            current = [_label("")]
        current += [Span("  ")] if len(current) > 1 else []
        current.append(part)
    return [*lines, line(*current)]


def _workload_lines(workload: Workload, width: int) -> list[Line]:
    counts = f"asks {workload.replicas}  has {workload.current}  ready {workload.ready}"
    if workload.updated != workload.current:
        counts += f"  new version {workload.updated}"
    if workload.paused:
        counts += "  rollout paused"
    lines = [line(_label("replicas"), counts)]
    if workload.message:
        lines += _labelled("message", (workload.message,), width, Tone.WARN)
    labels = (f"{name}={value}" for name, value in sorted(workload.labels.items()))
    return lines + _labelled("labels", labels, width, Tone.DIM)


def _finding_lines(row: PoolRow, scene: Scene, width: int) -> list[Line]:
    findings = () if scene.snapshot is None else scene.snapshot.findings
    lines: list[Line] = []
    for finding in findings:
        if finding.subject == row.key:
            since = figures.age(scene.now - finding.since)
            text = f"{finding.text} (since {since})"
            lines += _labelled(str(finding.severity), (text,), width, Tone.WARN)
    return lines


def reading_lines(row: PoolRow, scene: Scene, width: int) -> list[Line]:
    """How old each thing seen is, and why it is missing."""
    seen = row.view.observation
    lines = [
        _reading("queue", seen.queue, scene, width),
        _reading("deployment", seen.workload, scene, width),
        _reading("pods", seen.pods, scene, width),
    ]
    wake = f"{seen.wake}: {seen.wake_detail}" if seen.wake_detail else str(seen.wake)
    tone = {WakeWatch.ARMED: Tone.OK, WakeWatch.POLLED: Tone.WARN}.get(seen.wake, Tone.DIM)
    lines.append(line(_label("wake"), Span(cut(wake, width - 14), tone)))
    if seen.woken_at is not None:
        text = f"{figures.age(scene.now - seen.woken_at)} ago by its first message"
        lines.append(line(_label("woken"), text))
    return lines


def _reading(
    name: str,
    reading: Reading[QueueDepth] | Reading[Workload] | Reading[Pods],
    scene: Scene,
    width: int,
) -> Line:
    word = freshness(reading)
    text = f"{word} {figures.age(scene.now - reading.at)}" if reading.at else word
    if isinstance(reading, Stale | Absent):
        text += f", {words.spoken(reading.why)}"
        text += f": {reading.detail}" if reading.detail else ""
    tone = Tone.WARN if scene.stale and isinstance(reading, Fresh) else _FRESH_TONES[word]
    return line(_label(name), Span(cut(text, width - 14, scene.glyphs.ellipsis), tone))


def title_spans(row: PoolRow, scene: Scene) -> tuple[tuple[Span, ...], tuple[Span, ...]]:
    """The frame's left and right title."""
    state = f"{row.state.mark} {row.state.word}".strip()
    left = (Span(f"pool {cut(row.key, 40)}", Tone.TITLE), Span(f"  {state}", row.state.tone))
    if scene.snapshot is None:
        return left, ()
    return left, (Span(f"tier {cut(row.view.tier, 12)}  tick {scene.snapshot.sequence}", Tone.DIM),)


def gone_lines(key: str, width: int) -> list[Line]:
    """What to say of a pool that the snapshot does not have."""
    return [
        ends((" ", Span(cut(f"no pool {key} in this snapshot", width - 2), Tone.WARN)), (), width),
        line(Span(" it left the fleet file, or was never in it; esc goes back", Tone.DIM)),
    ]


def _label(name: str) -> Span:
    return Span(f" {fit(name, _LABEL_WIDTH)} ", Tone.DIM)


def _labelled(name: str, texts: Iterable[str], width: int, tone: Tone) -> list[Line]:
    lines: list[Line] = []
    for text in texts:
        for part in wrap(text, width - 14):
            lines.append(line(_label("" if lines else name), Span(part, tone)))
    return lines
