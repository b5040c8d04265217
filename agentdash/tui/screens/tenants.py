"""The tenants: budgets, time left, quota, and who paused them until when."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from agentdash.tui.actions import KeyScope
from agentdash.tui.lines import Line, Span, Tone, line
from agentdash.tui.requests import Reach
from agentdash.tui.screens.table_view import RowTarget, TableView
from agentdash.tui.tenants import (
    BY_SHARE,
    TENANT_COLUMNS,
    tenant_filter_text,
    tenant_lines,
)
from agentdash.tui.view import Frame
from agentdash.tui.widgets.live_table import TableSpec
from controller.model.intents import Scope
from controller.model.snapshot import TenantView


class TenantsScreen(TableView[TenantView]):
    """One row for each tenant; a row opens the tenant's pools."""

    VIEW: ClassVar[str] = "tenants"
    SCOPE: ClassVar[KeyScope] = KeyScope.TENANTS
    REACH: ClassVar[Reach | None] = Reach.TENANT
    SPEC = TableSpec[TenantView](
        "tenants",
        TENANT_COLUMNS,
        key=lambda view: view.name,
        filter_text=tenant_filter_text,
        sort=BY_SHARE,
    )

    def __init__(self) -> None:
        super().__init__()
        self._pools: dict[str, frozenset[str]] = {}

    @property
    def scope_under_cursor(self) -> Scope | None:
        """The tenant under the cursor."""
        tenant = self.table.cursor_key
        return None if tenant is None else Scope(tenant=tenant)

    def rows(self, frame: Frame) -> Sequence[TenantView]:
        """The snapshot's tenants."""
        found: dict[str, set[str]] = {}
        for row in frame.rows:
            found.setdefault(row.view.tenant, set()).add(row.key)
        self._pools = {name: frozenset(keys) for name, keys in found.items()}
        return () if frame.snapshot is None else frame.snapshot.tenants

    def nothing(self, frame: Frame) -> Sequence[Line]:
        """A fleet file without tenants."""
        del frame
        return [
            line(Span(" no tenants", Tone.WARN)),
            line(Span(" the fleet file names none; add one and it appears here", Tone.DIM)),
        ]

    def detail_lines(self, row: TenantView, frame: Frame, width: int) -> Sequence[Line]:
        """The pause, the tokens, the cost and the quota."""
        return tenant_lines(row, frame, width)

    def opening(self, row: TenantView) -> RowTarget | None:
        """The tenant's pools."""
        return RowTarget("pools", self._pools.get(row.name, frozenset()), of=row.name)
