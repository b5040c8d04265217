"""The help: the keys of the view from which it was opened, the roles and the commands."""

from __future__ import annotations

from collections.abc import Mapping

from textual.app import ComposeResult

from agentdash.tui.actions import UserAction
from agentdash.tui.help_text import help_lines
from agentdash.tui.lines import Span, Tone
from agentdash.tui.screens.base import ViewScreen
from agentdash.tui.view import Frame
from agentdash.tui.widgets.panel import Panel


class HelpScreen(ViewScreen):
    """One panel with the help page of another view."""

    def __init__(self) -> None:
        super().__init__("help")
        self._about = ""
        self._about_actions: tuple[UserAction, ...] = ()
        self._about_columns: Mapping[str, str] = {}
        self._off: str | None = None
        self._page = Panel(id="help")

    def explain(self, view: ViewScreen, off: str | None) -> None:
        """Show the keys of this view from the next draw on, and why those that change something are
        off.
        """
        self._off = off
        self._about, self._about_actions = view.VIEW, view.actions
        self._about_columns = view.columns

    def compose_body(self) -> ComposeResult:
        """The page."""
        yield self._page

    def draw_body(self, frame: Frame) -> None:
        """Fill the page."""
        actions, columns, off = self._about_actions, self._about_columns, self._off
        self._page.show_titled(
            lambda width, _: help_lines(actions, width, frame.glyphs, columns, off),
            title=(Span(f"keys in {self._about}", Tone.TITLE),),
            glyphs=frame.glyphs,
        )
