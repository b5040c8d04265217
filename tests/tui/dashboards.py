"""Makes dashboards for tests."""

from __future__ import annotations

from collections.abc import Callable

from rich.console import RenderableType
from textual.app import App
from textual.screen import Screen

from agentdash.operate import Operating
from agentdash.tui.actions import DEFAULT_KEYS, Keymap
from agentdash.tui.app import Dashboard
from controller.ports import Past
from tui import scenarios


class UndiffedDashboard(Dashboard):
    """Writes whole updates to the terminal, as Textual does without the difference."""

    def _display(self, screen: Screen[object], renderable: RenderableType | None) -> None:
        App._display(self, screen, renderable)


def do_nothing() -> None:
    pass


def dashboard(
    feed: scenarios.FakeFeed,
    clock: scenarios.FixedClock | None = None,
    *,
    kind: type[Dashboard] = Dashboard,
    on_ready: Callable[[], None] = do_nothing,
    engine_error: Callable[[], str | None] = do_nothing,
    ascii_only: bool = False,
    erases_in_color: bool = False,
    operator: Operating | None = None,
    journal: Past | None = None,
    keys: Keymap = DEFAULT_KEYS,
    theme: str = "agentdash",
    remember_theme: Callable[[str], str | None] = lambda _: None,
) -> Dashboard:
    return kind(
        feed,
        clock=clock or scenarios.FixedClock(),
        on_ready=on_ready,
        engine_error=engine_error,
        ascii_only=ascii_only,
        erases_in_color=erases_in_color,
        operator=operator,
        journal=journal,
        keys=keys,
        theme=theme,
        remember_theme=remember_theme,
    )
