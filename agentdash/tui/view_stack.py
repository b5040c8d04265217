"""All views of the dashboard, which of them lie on the stack, and what opens which."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from agentdash.tui.attention import AttentionRow
from agentdash.tui.screens.attention import AttentionScreen
from agentdash.tui.screens.audit import AuditScreen
from agentdash.tui.screens.base import ViewScreen
from agentdash.tui.screens.detail import DetailScreen
from agentdash.tui.screens.doctor import DoctorScreen
from agentdash.tui.screens.events import EventsScreen
from agentdash.tui.screens.help import HelpScreen
from agentdash.tui.screens.history import HistoryScreen
from agentdash.tui.screens.info import InfoScreen
from agentdash.tui.screens.logs import LogsScreen
from agentdash.tui.screens.models import ModelsScreen
from agentdash.tui.screens.node import NodeScreen
from agentdash.tui.screens.node_class import NodeClassScreen
from agentdash.tui.screens.nodes import NodesScreen
from agentdash.tui.screens.overview import OverviewScreen
from agentdash.tui.screens.pods import PodsScreen
from agentdash.tui.screens.pools import PoolsScreen
from agentdash.tui.screens.queues import QueuesScreen
from agentdash.tui.screens.table_view import RowTarget, TableView
from agentdash.tui.screens.tenants import TenantsScreen
from agentdash.tui.screens.why import WhyScreen
from agentdash.tui.view import PoolRow
from agentdash.tui.widgets.live_table import LiveTable
from controller.model.intents import IntentChange, Scope
from controller.model.observation import Pod, Pods
from controller.model.snapshot import Finding, ScaleEvent

if TYPE_CHECKING:
    from agentdash.tui.shown_app import ShownApp

_NOTHING = "nothing to open here"


class ViewStack:
    """The views: each exists once. The overview is always the lowest on the stack. `before_change`
    is called before another view is shown.
    """

    def __init__(self, app: ShownApp, *, before_change: Callable[[], None]) -> None:
        self._app = app
        self._before_change = before_change
        self.overview = OverviewScreen()
        self.pools = PoolsScreen()
        self.why = WhyScreen()
        self.history = HistoryScreen()
        self.audit = AuditScreen()
        self.logs = LogsScreen()
        self.doctor = DoctorScreen()
        self.help = HelpScreen()
        self.detail = DetailScreen()
        tables: tuple[TableView[Any], ...] = (
            QueuesScreen(),
            TenantsScreen(),
            PodsScreen(),
            NodesScreen(),
            NodeClassScreen(),
            NodeScreen(),
            ModelsScreen(),
            EventsScreen(),
            AttentionScreen(),
            InfoScreen(),
        )
        self.tables: Mapping[str, TableView[Any]] = {each.VIEW: each for each in tables}
        for screen in self._all():
            screen.use_keys(app.keys)

    def _all(self) -> Iterator[ViewScreen]:
        yield from (self.overview, self.pools, self.why, self.history, self.audit, self.logs)
        yield from (self.doctor, self.help, self.detail)
        yield from self.tables.values()

    def install(self, *, operates: bool) -> None:
        """Make the views known to the app; `operates`: with the keys that change something."""
        for screen in self._all():
            screen.operates = operates
            if screen is not self.overview:
                self._app.install_screen(screen, screen.VIEW)

    @property
    def stack(self) -> list[ViewScreen]:
        """The views that lie on each other; none while the app ends."""
        return self._app.view_stack

    @property
    def top(self) -> ViewScreen:
        """The top view; the command palette may lie over it."""
        return self._app.view

    async def go_to(self, screen: ViewScreen) -> None:
        """Show this view: go back to it if it is on the stack, else put it on top."""
        self._before_change()
        # in one frame: a view has no text before it is drawn
        with self._app.batch_update():
            if screen in self.stack:
                while self.top is not screen:
                    await self._app.pop_screen()
            else:
                await self._app.push_screen(screen.VIEW)
            self._app.draw()

    async def go_back(self) -> bool:
        """Go back to the view below; False on the first view."""
        if len(self.stack) < 2:
            return False
        with self._app.batch_update():
            await self._app.pop_screen()
            self._app.draw()
        return True

    async def go_to_crumb(self, index: int) -> None:
        """Go back to this view of the path."""
        views = self.stack
        if index < len(views):
            await self.go_to(views[index])

    async def above_overview(self, screen: ViewScreen) -> None:
        """Show this view above the overview, whatever was above it."""
        if screen not in self.stack:
            await self.go_to(self.overview)
        await self.go_to(screen)

    async def show(self, name: str) -> None:
        """Show the whole view of this name; the overview for a name that is none."""
        if name == self.pools.VIEW:
            self.pools.show_only(None)
            await self.above_overview(self.pools)
        elif name in self.tables:
            self.tables[name].show_only(None)
            await self.above_overview(self.tables[name])
        else:
            await self.go_to(self.overview)

    async def show_help(self, refusal: str | None) -> None:
        """Show the keys of the view that is shown; `refusal`: why those that change something are
        off.
        """
        if self.top is not self.help:
            self.help.explain(self.top, refusal)
        await self.go_to(self.help)

    async def explain(self, pool: str) -> None:
        """Show why this pool has its number."""
        self.why.pool = pool
        await self.go_to(self.why)

    async def show_history(self) -> None:
        """Show how the pool or the tenant under the cursor went, else the fleet; the same again
        goes back.
        """
        view = self.top
        if view is self.history:
            await self.go_back()
            return
        self.history.show_of(Scope(pool=view.subject) if view.subject else view.about)
        await self.go_to(self.history)

    async def open_row(self, message: LiveTable.RowOpened) -> None:
        """Open a row: a pool of the overview in the table of pools, there its pods, if it has any;
        what else is about one pool as it is now, in the why view; and a scale event, a change of an
        operator and what is no pool, in full.
        """
        view = self.top
        if isinstance(message.row, IntentChange | ScaleEvent):
            about = message.row.pool if isinstance(message.row, ScaleEvent) else None
            self.detail.open(message.row, about)
            await self.go_to(self.detail)
            return
        if isinstance(view, TableView):
            opening = view.opening(message.row)
            if opening is None and isinstance(message.row, AttentionRow):
                self.detail.open(message.row.finding, None)
                await self.go_to(self.detail)
            else:
                await self._open(opening)
            return
        match message.row:
            case PoolRow(key=pool) if message.table is self.overview.pools:
                self.pools.show_only(None)
                await self.go_to(self.pools)
                self.pools.pools.select(pool)
            case PoolRow(key=pool, pods=Pods(items=(_, *_))) if view is self.pools:
                await self._open(RowTarget("pods", frozenset({pool}), of=pool))
            case PoolRow(key=pool):
                await self.explain(pool)
            case Finding(subject=pool) if self._app.frame.row(pool) is not None:
                await self.explain(pool)
            case Finding() | Pod() as row:
                self.detail.open(row, view.subject if isinstance(row, Pod) else None)
                await self.go_to(self.detail)
            case _:
                self._app.flash(_NOTHING)

    async def _open(self, opening: RowTarget | None) -> None:
        """Open what belongs to a row of a table."""
        match opening:
            case RowTarget(view="pools"):
                self.pools.show_only(opening.pools, opening.of)
                await self.go_to(self.pools)
            case RowTarget(view=name) if name in self.tables:
                self.tables[name].show_only(opening)
                await self.go_to(self.tables[name])
            case RowTarget(pools=pools):
                await self._explain_known(min(pools))
            case None:
                self._app.flash(_NOTHING)

    async def _explain_known(self, pool: str) -> None:
        if self._app.frame.row(pool) is None:
            self._app.flash(f"{pool} is no pool of this snapshot")
            return
        await self.explain(pool)
