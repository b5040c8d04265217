"""What needs attention: one row for each finding, with what it leads to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from agentdash.tui import figures
from agentdash.tui.columns import Column, Sort
from agentdash.tui.labels import labelled, labelled_text
from agentdash.tui.lines import Line, Span, Tone
from agentdash.tui.tables import SEVERITY_MARKS, finding_key, since_span
from agentdash.tui.view import Frame, findings_by_severity
from controller.model.snapshot import Finding, Severity

_LINKS: Final = frozenset({"nats", "kubernetes"})
_RANKS: Final = {severity: float(rank) for rank, severity in enumerate(Severity)}


@dataclass(frozen=True, slots=True)
class AttentionRow:
    """A finding and the view that it leads to: `why` of a pool, `pools` of a tenant, `info` of a
    connection; empty where only the finding itself can be shown in full. `pools` are their keys.
    """

    finding: Finding
    leads_to: str
    pools: frozenset[str] = frozenset()

    @property
    def key(self) -> str:
        """The same as long as it is the same thing that is wrong."""
        return finding_key(self.finding)

    @property
    def leads_to_words(self) -> str:
        """What enter shows, in words."""
        return {"pools": "its pools", "": "all of it"}.get(self.leads_to, self.leads_to)

    @property
    def filter_text(self) -> str:
        """The text that a filter searches."""
        finding = self.finding
        return f"{finding.severity} {finding.subject} {finding.text} {self.leads_to_words}"


def attention_rows(frame: Frame) -> Sequence[AttentionRow]:
    """The findings, the worst first, then the oldest first."""
    findings = () if frame.snapshot is None else frame.snapshot.findings
    if not findings:
        return ()
    of_tenant: dict[str, set[str]] = {}
    for row in frame.rows:
        of_tenant.setdefault(row.view.tenant, set()).add(row.key)
    pools = {row.key for row in frame.rows}
    return [_row(each, pools, of_tenant) for each in findings_by_severity(findings)]


def _row(finding: Finding, pools: set[str], of_tenant: dict[str, set[str]]) -> AttentionRow:
    subject = finding.subject
    if subject in pools:
        return AttentionRow(finding, "why", frozenset({subject}))
    if subject in of_tenant:
        return AttentionRow(finding, "pools", frozenset(of_tenant[subject]))
    return AttentionRow(finding, "info" if subject in _LINKS else "")


def _severity(row: AttentionRow, frame: Frame) -> Span:
    del frame
    mark = SEVERITY_MARKS[row.finding.severity]
    return Span(f"{mark.text:<2} {row.finding.severity}", mark.tone)


ATTENTION_COLUMNS: Final = (
    Column[AttentionRow](
        "SEVERITY",
        11,
        _severity,
        lambda row: (_RANKS[row.finding.severity], -row.finding.since),
        letter="S",
        descending=True,
    ),
    Column[AttentionRow](
        "SUBJECT",
        18,
        lambda row, _: Span(row.finding.subject),
        lambda row: (row.finding.subject,),
        widest=40,
        names=True,
        letter="N",
    ),
    Column[AttentionRow](
        "SINCE",
        6,
        lambda row, frame: since_span(row.finding.since, frame),
        lambda row: (row.finding.since,),
        descending=True,
    ),
    Column[AttentionRow]("WHAT", 20, lambda row, _: Span(row.finding.text), fill=True),
    Column[AttentionRow](
        "LEADS TO",
        9,
        lambda row, _: Span(row.leads_to_words, Tone.DIM),
        lambda row: (row.leads_to_words,),
        rank=1,
    ),
)
WORST_FIRST: Final = Sort("SEVERITY", descending=True)


def attention_lines(row: AttentionRow, frame: Frame, width: int) -> list[Line]:
    """The finding in full."""
    finding = row.finding
    since = f"since {figures.date_and_time(finding.since)}"
    ago = Span(f"{figures.age(frame.now - finding.since)} ago", Tone.DIM)
    tone = SEVERITY_MARKS[finding.severity].tone
    return [
        *labelled("severity", (Span(str(finding.severity), tone), since, ago), width),
        *labelled_text("about", finding.subject, width),
        *labelled_text("what", finding.text, width),
        *labelled_text("enter", f"shows {row.leads_to_words}", width, Tone.DIM),
    ]
