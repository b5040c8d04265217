"""The rules behind the numbers of all pools as rows of one table, for where there is no screen."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

from agentdash.tui import words
from agentdash.tui.columns import Column
from agentdash.tui.lines import Span, Tone
from agentdash.tui.values import ValueField
from agentdash.tui.view import Frame, PoolRow
from controller.model.decision import Decision, Reason


class RuleRow(NamedTuple):
    """One rule of a pool's decision, the `number`th; without a reason it is what was decided, or
    that nothing is decided yet.
    """

    pool: PoolRow
    number: int
    reason: Reason | None = None

    @property
    def key(self) -> str:
        """Identifies the row."""
        return f"{self.pool.key} {self.number}"

    @property
    def decision(self) -> Decision | None:
        """The decision that the rule is of."""
        return self.pool.view.decision

    @property
    def step(self) -> str:
        """The rule's short name."""
        return "decided" if self.reason is None else words.reason_title(self.reason.code)

    @property
    def replicas(self) -> int | None:
        """The replicas after the rule; at the end, what the workload is set to."""
        if self.reason is not None:
            return self.reason.value
        return None if self.decision is None else self.decision.next

    def text(self, frame: Frame) -> str:
        """What the rule saw and did, in words."""
        if self.reason is not None:
            return words.reason_sentence(self.reason, frame.at)
        decision = self.decision
        if decision is None:
            return "no decision yet"
        held = "" if decision.gate is None else f", held by {words.as_words(decision.gate)}"
        return f"bound by {words.as_words(decision.bound)}{held}"


def rule_rows(frame: Frame) -> Sequence[RuleRow]:
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


RULE_COLUMNS: Final[Sequence[Column[RuleRow]]] = (
    Column[RuleRow](
        "POOL", 16, lambda row, _: Span(row.pool.key, Tone.HEADING), widest=40, names=True
    ),
    Column[RuleRow]("STEP", 12, lambda row, _: Span(row.step), rank=1, widest=24),
    Column[RuleRow]("REPLICAS", 8, _replicas, right=True),
    Column[RuleRow]("INPUT", 24, lambda row, frame: Span(row.text(frame)), fill=True),
)
RULE_FIELDS: Final[Sequence[ValueField[RuleRow]]] = (
    ValueField("pool", "POOL", lambda row, _: row.pool.key),
    ValueField("step", "STEP", lambda row, _: row.step),
    ValueField("code", "STEP", lambda row, _: None if row.reason is None else str(row.reason.code)),
    ValueField("replicas", "REPLICAS", lambda row, _: row.replicas),
    ValueField("text", "INPUT", lambda row, frame: row.text(frame)),
)
