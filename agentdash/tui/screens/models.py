"""The models: what the planned replicas draw on each provider's limits, and what is refused."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from agentdash.tui.actions import KeyScope
from agentdash.tui.lines import Line, Span, Tone, line
from agentdash.tui.models import BY_LIMIT_SHARE, MODEL_COLUMNS, model_lines
from agentdash.tui.requests import Reach
from agentdash.tui.screens.table_view import RowTarget, TableView
from agentdash.tui.view import Frame
from agentdash.tui.widgets.live_table import TableSpec
from controller.model.snapshot import ModelView


class ModelsScreen(TableView[ModelView]):
    """One row for each model; a row opens the pools that draw on it."""

    VIEW: ClassVar[str] = "models"
    SCOPE: ClassVar[KeyScope] = KeyScope.MODELS
    REACH: ClassVar[Reach | None] = None
    SPEC = TableSpec[ModelView](
        "models",
        MODEL_COLUMNS,
        key=lambda view: view.key,
        filter_text=lambda view: " ".join((view.key, *(draw.pool for draw in view.draws))),
        sort=BY_LIMIT_SHARE,
    )

    def rows(self, frame: Frame) -> Sequence[ModelView]:
        """The snapshot's models."""
        return () if frame.snapshot is None else frame.snapshot.models

    def nothing(self, frame: Frame) -> Sequence[Line]:
        """A fleet file without models."""
        del frame
        return [
            line(Span(" no models", Tone.DIM)),
            line(Span(" name them under `models`, with their limits and prices", Tone.DIM)),
        ]

    def detail_lines(self, row: ModelView, frame: Frame, width: int) -> Sequence[Line]:
        """The limits and the pools."""
        return model_lines(row, frame, width)

    def opening(self, row: ModelView) -> RowTarget | None:
        """The pools that draw on the model."""
        if not row.draws:
            return None
        return RowTarget("pools", frozenset(draw.pool for draw in row.draws), of=row.key)
