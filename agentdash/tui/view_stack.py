"""All views of the dashboard, which of them lie on the stack, and what opens which."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from agentdash.tui.actions import PAGE_TABS
from agentdash.tui.screens.base import ViewScreen
from agentdash.tui.screens.overview import OverviewScreen
from agentdash.tui.screens.panels import DetailScreen, HelpScreen, HistoryScreen
from agentdash.tui.screens.table_screen import IntentsScreen, TableScreen, TasksScreen
from agentdash.tui.screens.why import WhyScreen
from agentdash.tui.table import Opening
from agentdash.tui.tables import views
from controller.model.intents import Scope

if TYPE_CHECKING:
    from agentdash.tui.app import Dashboard
    from agentdash.tui.widgets.live_table import LiveTable

_NOTHING: Final = "nothing to open here"


def _new_view(name: str) -> ViewScreen:
    match name:
        case "help":
            return HelpScreen()
        case "detail":
            return DetailScreen()
        case "history":
            return HistoryScreen()
        case "intents":
            return IntentsScreen(views()[name])
        case "tasks":
            return TasksScreen(views()[name])
    return TableScreen(views()[name])


def _new_tab(tab: str) -> ViewScreen:
    match tab:
        case "why":
            return WhyScreen()
        case "history":
            return HistoryScreen(tab=tab)
        case "tasks":
            return TasksScreen(views()[tab], tab=tab)
    return TableScreen(views()[tab], tab=tab)


class ViewStack:
    """The views: each exists once, from when it is shown first. The overview is always the lowest
    on the stack.
    """

    def __init__(self, app: Dashboard) -> None:
        self._app = app
        self.overview = OverviewScreen()
        self._screens: dict[str, ViewScreen] = {}
        self._tabs: dict[str, ViewScreen] = {}
        self._know(self.overview)

    def _know(self, screen: ViewScreen) -> None:
        screen.use_keys(self._app.keys)
        screen.operates = self._app.operates

    def view(self, name: str) -> ViewScreen:
        """The view of this name."""
        if name == self.overview.VIEW:
            return self.overview
        if name not in self._screens:
            self._screens[name] = _new_view(name)
            self._know(self._screens[name])
            self._app.install_screen(self._screens[name], name)
        return self._screens[name]

    def tab(self, tab: str) -> ViewScreen:
        """This tab of the page of a pool."""
        if tab not in self._tabs:
            self._tabs[tab] = _new_tab(tab)
            self._know(self._tabs[tab])
            self._app.install_screen(self._tabs[tab], f"pool {tab}")
        return self._tabs[tab]

    @property
    def stack(self) -> list[ViewScreen]:
        """The views that lie on each other; none while the app ends."""
        return [each for each in self._app.screen_stack if isinstance(each, ViewScreen)]

    @property
    def top(self) -> ViewScreen:
        """The top view; the command palette may lie over it."""
        return self.stack[-1]

    async def go_to(self, screen: ViewScreen) -> None:
        """Show this view: go back to it if it is on the stack, else put it on top. One tab of a
        pool's page is on the stack.
        """
        self._app.leave_question()
        # in one frame: a view has no text before it is drawn
        with self._app.batch_update():
            if screen in self.stack:
                while self.top is not screen:
                    await self._app.pop_screen()
            else:
                while screen.tab and any(each.tab for each in self.stack):
                    await self._app.pop_screen()
                await self._app.push_screen(screen)
            self._app.draw()
        # at once: a key that is typed behind the one that opens the view is the view's
        screen.focus_panel()

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
        stack = self.stack
        if index < len(stack):
            await self.go_to(stack[index])

    async def show(self, name: str) -> None:
        """Show the whole view of this name above the overview, whatever was above it."""
        screen = self.view(name)
        if isinstance(screen, TableScreen):
            screen.show_only(None)
        if screen not in self.stack:
            await self.go_to(self.overview)
        await self.go_to(screen)

    async def show_help(self, refusal: str | None) -> None:
        """Show the keys of the view that is shown; `refusal`: why those that change something are
        off.
        """
        screen = self.view("help")
        if self.top is not screen and isinstance(screen, HelpScreen):
            screen.explain(self.top, refusal)
        await self.go_to(screen)

    async def show_page(self, pool: str, tab: str = PAGE_TABS[0]) -> None:
        """Show this tab of the page of a pool."""
        for each in (self.tab(tab), *self._tabs.values()):
            each.pool = pool
        await self.go_to(self.tab(tab))

    async def turn(self, steps: int) -> None:
        """Show another tab of the page that is shown, so many further on."""
        view = self.top
        if view.tab:
            place = PAGE_TABS.index(view.tab) + steps
            await self.show_page(view.pool, PAGE_TABS[place % len(PAGE_TABS)])

    async def show_history(self) -> None:
        """Show how the pool or the tenant under the cursor went, else the fleet; the same again
        goes back.
        """
        view = self.top
        if isinstance(view, HistoryScreen) and view.tab:
            await self.show_page(view.pool)
        elif isinstance(view, HistoryScreen):
            await self.go_back()
        elif view.subject:
            await self.show_page(view.subject, "history")
        else:
            screen = self.view("history")
            if isinstance(screen, HistoryScreen):
                screen.show_of(view.scope_under_cursor or Scope())
            await self.go_to(screen)

    async def zoom(self) -> None:
        """Show the table of the overview that has the focus in full, on the same row."""
        table = self.overview.filtered
        if table is None or self.top is not self.overview:
            self._app.flash(_NOTHING)
            return
        key = table.cursor_key
        await self.show(table.spec.name)
        if key is not None and (zoomed := self.top.filtered) is not None:
            zoomed.select(key)

    async def open_row(self, message: LiveTable.RowOpened) -> None:
        """Open a row, as its table says."""
        opening = message.table.spec.opens(message.row, self._app.frame)
        await self.open(opening)

    async def open(self, opening: Opening | None) -> None:
        """Open a view, the page of a pool, or a row in full."""
        if opening is None:
            self._app.flash(_NOTHING)
        elif opening.row is not None:
            screen = self.view("detail")
            if isinstance(screen, DetailScreen):
                screen.open(opening.row, opening.pool)
            await self.go_to(screen)
        elif opening.pool:
            await self._open_page(opening)
        else:
            screen = self.view(opening.view)
            if isinstance(screen, TableScreen):
                screen.show_only(opening)
            await self.go_to(screen)

    async def _open_page(self, opening: Opening) -> None:
        if self._app.frame.row(opening.pool) is None:
            self._app.flash(f"{opening.pool} is no pool of this snapshot")
            return
        await self.show_page(opening.pool, opening.view)
