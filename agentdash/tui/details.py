"""What a row says in full, as lines: a scale event with its decision, a finding, a pod."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from agentdash.tui import figures, words
from agentdash.tui.lines import BLANK, Line, Span, Tone, fit, line, wrap
from agentdash.tui.tables import SEVERITY_MARKS, change_text
from agentdash.tui.view import Frame, PoolRow
from agentdash.tui.why import decision_lines, outcome_lines
from controller.model.observation import Pod
from controller.model.readings import Fresh
from controller.model.snapshot import Finding, ScaleEvent

_LABEL_WIDTH: Final = 11
_BESIDE_LABEL: Final = 14
_MOST_POOLS: Final = 50


def event_lines(event: ScaleEvent, frame: Frame, width: int, height: int) -> list[Line]:
    """What was decided at that moment, rule by rule, and what became of it."""
    when = figures.date_and_time(event.at)
    ago = figures.age(frame.now - event.at)
    lines = _labelled("when", f"{when}, {ago} ago")
    if event.decision is None:
        change = change_text(event.before, event.after, frame)
        lines += _labelled("change", f"{change}, bound by {event.bound}")
        lines += _wrapped("because", words.reason_sentence(event.reason, event.at), width)
        return lines + outcome_lines(event.outcome, width)
    return lines + decision_lines(
        event.decision, event.outcome, frame, width, max(height - 1, 1), at=event.at
    )


def finding_lines(finding: Finding, frame: Frame, width: int) -> list[Line]:
    """The whole text, and the pools that it is about."""
    mark = SEVERITY_MARKS[finding.severity]
    since = figures.age(frame.now - finding.since)
    lines = [
        line(_label("severity"), Span(f"{mark.text} {finding.severity}", mark.tone)),
        *_labelled("since", f"{figures.date_and_time(finding.since)}, {since} ago"),
        *_wrapped("about", finding.subject, width),
        *_wrapped("what", finding.text, width),
    ]
    rows = list(_pools_of(finding, frame))
    if rows:
        lines += [BLANK, line(Span(f" pools: {len(rows)}", Tone.HEADING))]
        lines += [_pool_line(row, width) for row in rows[:_MOST_POOLS]]
        if len(rows) > _MOST_POOLS:
            lines.append(line(Span(f" and {len(rows) - _MOST_POOLS} more", Tone.DIM)))
    return lines


def pod_lines(pod: Pod, frame: Frame, width: int) -> list[Line]:
    """Everything that is known of the pod."""
    since = "" if pod.since is None else f" since {figures.since(pod.since, frame.now)}"
    lines = _labelled("phase", f"{pod.phase}{since}")
    lines += _wrapped("node", pod.node or frame.glyphs.none, width)
    for name, at in (
        ("created", pod.created_at or None),
        ("scheduled", pod.scheduled_at),
        ("started", pod.started_at),
        ("ready", pod.ready_at),
    ):
        if at is not None:
            ago = figures.age(frame.now - at)
            lines += _labelled(name, f"{figures.date_and_time(at)}, {ago} ago")
    lines += _labelled("restarts", str(pod.restarts))
    lines += _wrapped("reason", pod.reason, width)
    return lines + _wrapped("message", pod.message, width)


def _pools_of(finding: Finding, frame: Frame) -> Iterable[PoolRow]:
    """Those of the tenant; for a connection, those that cannot be read because of it."""
    for row in frame.rows:
        seen = row.view.observation
        of_link = {
            "nats": (seen.queue,),
            "kubernetes": (seen.workload, seen.pods),
        }.get(finding.subject, ())
        if row.view.tenant == finding.subject or any(
            not isinstance(each, Fresh) for each in of_link
        ):
            yield row


def _pool_line(row: PoolRow, width: int) -> Line:
    name = min(40, max(width - 30, 10))
    state = f"{row.state.mark:<2} {row.state.word:<7}"
    return line(
        "  ",
        Span(fit(row.key, name, name=True)),
        " ",
        Span(state, row.state.tone),
        Span(f" {row.bound}", Tone.DIM),
    )


def _label(name: str) -> Span:
    return Span(f" {fit(name, _LABEL_WIDTH)} ", Tone.DIM)


def _labelled(name: str, text: str) -> list[Line]:
    return [line(_label(name), text)]


def _wrapped(name: str, text: str, width: int) -> list[Line]:
    parts = wrap(text, width - _BESIDE_LABEL)
    return [line(_label("" if index else name), part) for index, part in enumerate(parts)]
