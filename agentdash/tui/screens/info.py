"""Which controller is shown, what it is connected to, and what it may not do."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from agentdash.tui.actions import KeyScope
from agentdash.tui.info import FACT_COLUMNS, Fact, fact_key, fact_lines, facts
from agentdash.tui.lines import Line
from agentdash.tui.requests import Reach
from agentdash.tui.screens.overview import placeholder_lines
from agentdash.tui.screens.table_view import RowTarget, TableView
from agentdash.tui.view import Frame
from agentdash.tui.widgets.live_table import TableSpec


class InfoScreen(TableView[Fact]):
    """One row for each fact; below, the one under the cursor in full."""

    VIEW: ClassVar[str] = "info"
    SCOPE: ClassVar[KeyScope] = KeyScope.INFO
    OPENS: ClassVar[bool] = False
    REACH: ClassVar[Reach | None] = None
    SPEC = TableSpec[Fact](
        "info",
        FACT_COLUMNS,
        key=fact_key,
        filter_text=lambda fact: f"{fact.name} {fact.text}",
        name=lambda fact: fact.name,
    )

    def rows(self, frame: Frame) -> Sequence[Fact]:
        """All facts, in their order."""
        return facts(frame)

    def nothing(self, frame: Frame) -> Sequence[Line]:
        """There are always facts."""
        return placeholder_lines(frame)

    def detail_lines(self, row: Fact, frame: Frame, width: int) -> Sequence[Line]:
        """The fact in full."""
        return fact_lines(row, frame, width)

    def opening(self, row: Fact) -> RowTarget | None:
        """A fact stands in full below already."""
        del row
        return None
