"""All views of the dashboard, which of them lie on the stack, and what opens which."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final

from agentdash.tui.actions import PAGE_TABS
from agentdash.tui.screens.base import ViewScreen
from agentdash.tui.screens.views import (
    OverviewScreen,
    PanelScreen,
    TableScreen,
    keys_of,
    row_in_full,
)
from agentdash.tui.screens.why import WhyScreen
from agentdash.tui.table import Opening
from agentdash.tui.tables import views
from controller.model.intents import Scope

if TYPE_CHECKING:
    from agentdash.tui.app import Dashboard

_NOTHING: Final = "nothing to open here"


class ViewStack:
    """The views: each exists once. The overview is always the lowest on the stack."""

    def __init__(self, app: Dashboard) -> None:
        self._app = app
        self.overview = OverviewScreen(keys=app.keys)
        self.overview.operates = app.operates
        self._screens: dict[str, ViewScreen] = {"overview": self.overview}

    def view(self, name: str, *, tab: str = "") -> ViewScreen:
        """The view of this name; or this tab of the page of a pool."""
        place = f"pool {tab}" if tab else name
        if place not in self._screens:
            keys = self._app.keys
            screen: ViewScreen
            if tab == "why":
                screen = WhyScreen(keys=keys)
            elif name in {"help", "detail", "history"}:
                screen = PanelScreen(name, tab=tab, keys=keys)
            else:
                screen = TableScreen(views()[name], tab=tab, keys=keys)
            screen.operates = self._app.operates
            self._screens[place] = screen
            self._app.install_screen(screen, place)
        return self._screens[place]

    def _panel(self, name: str) -> PanelScreen:
        screen = self.view(name)
        assert isinstance(screen, PanelScreen)  # noqa: S101 - by its name
        return screen

    @property
    def stack(self) -> list[ViewScreen]:
        """The views that lie on each other; none while the app ends."""
        return [each for each in self._app.screen_stack if isinstance(each, ViewScreen)]

    @property
    def top(self) -> ViewScreen:
        """The top view; the command palette may lie over it."""
        return self.stack[-1]

    async def go_to(self, screen: ViewScreen) -> None:
        """Show this view: go back to it on the stack, where one tab of a page is, or add it."""
        self._app.operations.leave()
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
        screen.refresh()  # where Textual has painted it already, that was dropped with the batch
        # at once: a key that is typed behind the one that opens the view is the view's
        screen.focus_panel()

    async def go_back(self) -> bool:
        """Go back to the view below; False on the first view."""
        if len(self.stack) < 2:
            return False
        with self._app.batch_update():
            await self._app.pop_screen()
            self._app.draw()
        self.top.refresh()
        return True

    async def show(self, name: str) -> None:
        """Show the whole view of this name above the overview, whatever was above it."""
        screen = self.view(name)
        if isinstance(screen, TableScreen):
            screen.show_only(None)
        if screen not in self.stack:
            await self.go_to(self.overview)
        await self.go_to(screen)

    async def show_help(self, refusal: str | None) -> None:
        """Show the keys of the view; `refusal`: why those that change something are off."""
        screen, top = self._panel("help"), self.top
        if top is not screen:
            screen.show(keys_of(top.VIEW, top.actions, top.columns, refusal))
        await self.go_to(screen)

    async def show_page(self, pool: str, tab: str = PAGE_TABS[0]) -> None:
        """Show this tab of the page of a pool; of one that is left out, with all tenants again."""
        if self._app.frame.leaves_out(pool):
            self._app.flash(f"all tenants again: {pool} is not of {self._app.frame.scope_words}")
            self._app.state.show_only(Scope())
        screen = self.view(tab, tab=tab)
        for each in self._screens.values():
            each.pool = pool if each.tab else ""
        await self.go_to(screen)

    async def turn(self, steps: int) -> None:
        """Show another tab of the page that is shown, so many further on."""
        view = self.top
        if view.tab:
            place = PAGE_TABS.index(view.tab) + steps
            await self.show_page(view.pool, PAGE_TABS[place % len(PAGE_TABS)])

    async def show_history(self) -> None:
        """Show how what is under the cursor went, else the fleet; the same again goes back."""
        view = self.top
        if view.tab == "history":
            await self.show_page(view.pool)
        elif view.VIEW == "history":
            await self.go_back()
        elif view.subject:
            await self.show_page(view.subject, "history")
        else:
            screen = self._panel("history")
            screen.show_history(view.scope_under_cursor or Scope())
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

    async def open(self, opening: Opening | None) -> None:
        """Open a view, the page of a pool, or a row in full."""
        if opening is None:
            self._app.flash(_NOTHING)
        elif opening.row is not None:
            panel = self._panel("detail")
            panel.show(partial(row_in_full, opening.row), opening.row, opening.pool)
            await self.go_to(panel)
        elif opening.pool and self._app.frame.row(opening.pool) is None:
            self._app.flash(f"{opening.pool} is no pool of this snapshot")
        elif opening.pool:
            await self.show_page(opening.pool, opening.view)
        else:
            screen = self.view(opening.view)
            if isinstance(screen, TableScreen):
                screen.show_only(opening)
            await self.go_to(screen)
