"""The rules behind the numbers of all pools as rows of one table, for where there is no screen."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

from agentdash.tui import figures
from agentdash.tui.lines import Span, Tone
from agentdash.tui.table import Column, Table, View
from agentdash.tui.view import Frame, PoolRow
from controller.model.decision import Reason
from controller.planning import explain


class RuleRow(NamedTuple):
    """The `number`th rule of a decision; without a reason, what is decided."""

    pool: PoolRow
    number: int
    reason: Reason | None = None

    @property
    def step(self) -> str:
        """The rule's short name."""
        return "decided" if self.reason is None else explain.title(self.reason.code)

    @property
    def replicas(self) -> int | None:
        """The replicas after the rule; at the end, what the workload is set to."""
        return self.pool.next if self.reason is None else self.reason.value


def _text(row: RuleRow, frame: Frame) -> str:
    """What the rule saw and did, in words."""
    decision = row.pool.view.decision
    if row.reason is not None:
        return explain.sentence(row.reason, frame.at)
    if decision is None:
        return "no decision yet"
    held = "" if decision.gate is None else f", held by {figures.as_words(decision.gate)}"
    return f"bound by {figures.as_words(decision.bound)}{held}"


def _rows(frame: Frame) -> Sequence[RuleRow]:
    """The rules of every pool in the order in which they were applied, then what was decided."""
    rows: list[RuleRow] = []
    for pool in sorted(frame.rows, key=lambda row: row.key):
        decision = pool.view.decision
        reasons = () if decision is None else decision.reasons
        rows += [RuleRow(pool, number, reason) for number, reason in enumerate(reasons)]
        rows.append(RuleRow(pool, len(reasons)))
    return rows


def _replicas(row: RuleRow, frame: Frame) -> Span:
    if row.replicas is None:
        return Span(frame.glyphs.none if row.reason is not None else frame.glyphs.unknown)
    return Span(str(row.replicas), Tone.TITLE if row.reason is None else Tone.PLAIN)


_Column = Column[RuleRow]
RULES: Final = Table[RuleRow](
    "rules",
    "why: the rules in the order in which they were applied",
    (
        _Column(
            "POOL", 16, "tenant and name of the pool", "pool", "pool.key", tone=Tone.HEADING,
            widest=40, names=True,
        ),
        _Column(
            "STEP", 12, "the rule", "step",
            more={"code": lambda row, _: None if row.reason is None else str(row.reason.code)},
            rank=1, widest=24,
        ),
        _Column(
            "REPLICAS", 8, "replicas after the rule", "replicas", cell=_replicas, right=True,
        ),
        _Column(
            "INPUT", 24, "what the rule saw and did",
            cell=lambda row, frame: Span(_text(row, frame)), more={"text": _text}, fill=True,
        ),
    ),
    _rows,
    key=lambda row: f"{row.pool.key} {row.number}",
    nothing=lambda _: [Span("no pools, so no decisions")],
)  # fmt: skip
VIEWS: Final = (View("why", (RULES,), "explain its number", ("describe",), listed=False),)
