"""The help: the keys that were live in the view it was called from."""

from __future__ import annotations

from typing import ClassVar

from textual.app import ComposeResult

from agentdash.tui.actions import Action, Scope
from agentdash.tui.helping import help_lines
from agentdash.tui.lines import Span, Tone
from agentdash.tui.screens.base import ViewScreen
from agentdash.tui.view import Scene
from agentdash.tui.widgets.panel import Panel


class HelpScreen(ViewScreen):
    """One panel made from the table of actions."""

    VIEW: ClassVar[str] = "help"
    SCOPE: ClassVar[Scope] = Scope.HELP

    def __init__(self) -> None:
        super().__init__()
        self.about = ""
        self.actions: tuple[Action, ...] = ()
        self.page = Panel(id="help")

    def compose_body(self) -> ComposeResult:
        """The page."""
        yield self.page

    def draw_body(self, scene: Scene) -> None:
        """Fill the page."""
        actions = self.actions
        self.page.show_framed(
            lambda width, _: help_lines(actions, width),
            title=(Span(f"keys in {self.about}", Tone.TITLE),),
            glyphs=scene.glyphs,
        )
