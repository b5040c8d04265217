"""What needs attention: every finding of the controller, the worst first, with what it leads to."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

from agentdash.tui.cells import SEVERITY_MARKS, since_column, when_parts
from agentdash.tui.lines import Line, Span, Tone, labelled, labelled_text
from agentdash.tui.table import Column, Opening, Sort, Table, View
from agentdash.tui.view import Frame
from controller.model.intents import Scope
from controller.model.snapshot import Finding, Severity

_LINKS: Final = frozenset({"nats", "kubernetes"})
_RANKS: Final = {severity: float(rank) for rank, severity in enumerate(Severity)}


class FindingRow(NamedTuple):
    """A finding and what it leads to: `why` of a pool, `pools` of a tenant, `models` of a
    model, `health` of a connection; empty where only the finding itself can be shown in full.
    """

    finding: Finding
    leads_to: str

    @property
    def leads_to_words(self) -> str:
        """What enter shows, in words."""
        return {"pools": "its pools", "": "all of it"}.get(self.leads_to, self.leads_to)


def _rows(frame: Frame) -> Sequence[FindingRow]:
    """The worst first, then the oldest first."""
    if frame.snapshot is None:
        return ()
    leads = dict.fromkeys(_LINKS, "health")
    leads |= {model.key: "models" for model in frame.snapshot.models}
    leads |= {row.view.tenant: "pools" for row in frame.rows}
    leads |= {row.key: "why" for row in frame.rows}
    found = sorted(frame.snapshot.findings, key=lambda each: (-_RANKS[each.severity], each.since))
    return [FindingRow(each, leads.get(each.subject, "")) for each in found]


def _opens(row: FindingRow, frame: Frame) -> Opening:
    del frame
    subject = row.finding.subject
    match row.leads_to:
        case "why":
            return Opening("why", subject)
        case "pools":
            return Opening("pools", of=subject, where=lambda each: each.view.tenant == subject)
        case "":
            return Opening("detail", row=row.finding)
    return Opening(row.leads_to)


def _lines(row: FindingRow, frame: Frame, width: int) -> list[Line]:
    """The finding in full, and what enter shows."""
    enter = labelled_text("enter", f"shows {row.leads_to_words}", width, Tone.DIM)
    return [*finding_lines(row.finding, frame, width), *enter]


def finding_lines(finding: Finding, frame: Frame, width: int) -> list[Line]:
    """The finding in full."""
    at, ago = when_parts(finding.since, frame)
    tone = SEVERITY_MARKS[finding.severity].tone
    since = at._replace(text=f"since {at.text}")
    return [
        *labelled("severity", (Span(str(finding.severity), tone), since, ago), width),
        *labelled_text("about", finding.subject, width),
        *labelled_text("what", finding.text, width),
    ]


_Column = Column[FindingRow]
_COLUMNS: Final[Sequence[Column[FindingRow]]] = (
    _Column(
        "!", 2, "how urgent a finding is: !! critical, ! warning, i information", "severity",
        lambda row: str(row.finding.severity), lambda row, _: SEVERITY_MARKS[row.finding.severity],
        sort=lambda row: (_RANKS[row.finding.severity], -row.finding.since),
        letter="S", descending=True,
    ),
    _Column(
        "SUBJECT", 18, "the pool, tenant or connection it is about", "subject", "finding.subject",
        letter="N", widest=40, names=True,
    ),
    _Column(
        "WHAT", 20, "what is wrong; enter shows it in full", "text", "finding.text",
        more={"kind": "finding.kind"}, fill=True,
    ),
    since_column("finding.since", rank=1),
    _Column(
        "LEADS TO", 9, "what enter shows", "leads_to", lambda row: row.leads_to or None,
        lambda row, _: Span(row.leads_to_words, Tone.DIM), rank=2,
    ),
)  # fmt: skip
ATTENTION: Final = Table[FindingRow](
    "attention",
    "attention",
    _COLUMNS,
    _rows,
    key=lambda row: f"{row.finding.kind} {row.finding.subject}",
    nothing=lambda _: [Span("nothing needs attention", Tone.OK)],
    text=lambda row: f"{row.finding.severity} {row.finding.text} {row.leads_to_words}",
    sort=Sort("!", descending=True),
    details=_lines,
    called=lambda row: row.finding.subject,
    opens=_opens,
    about=lambda row: Scope(pool=row.finding.subject) if row.leads_to == "why" else None,
)
VIEWS: Final = (View("attention", (ATTENTION,), "what is wrong", ("att", "alerts")),)
