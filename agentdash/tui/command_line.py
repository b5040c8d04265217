"""Runs what a person writes behind `:`, and lists the same and all pools in the command palette."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING, Final

from textual.app import SystemCommand
from textual.command import CommandPalette, Hit, Hits, Provider, SearchIcon
from textual.message import Message
from textual.screen import Screen
from textual.widgets import Input

from agentdash.operate import AnswerError
from agentdash.tui import commands
from agentdash.tui.actions import key_name
from agentdash.tui.commands import ParsedCommand
from agentdash.tui.lines import Tone
from agentdash.tui.widgets.prompt import COMMAND, PromptUse
from controller.model.text import clean

if TYPE_CHECKING:
    from agentdash.tui.app import Dashboard

_LOOKS: Final = frozenset(
    each.name for each in commands.COMMANDS if each.listed and each.takes in {"", "NAME"}
)


class CommandLine:
    """The commands of the dashboard, by name."""

    def __init__(self, app: Dashboard) -> None:
        self._app = app
        self._typed: list[str] = []

    def open(self) -> None:
        """Open the prompt for a command."""
        app, view = self._app, self._app.view
        pools, tenants, operates = app.state.all_pools, app.state.all_tenants, app.operates

        def completed(typed: str) -> tuple[str, ...]:
            return commands.complete(typed, pools, tenants, operates=operates)

        def changed(typed: str) -> None:
            found = completed(typed)[:4] if typed else ()
            view.prompt.note("  ".join(each.rpartition(" ")[2] for each in found))

        use = PromptUse(
            COMMAND,
            self._entered,
            lambda _: view.close_prompt(),
            changed,
            completer=completed,
            history=self._typed,
        )
        view.open_prompt(use, "", "tab completes, enter goes, esc leaves")

    async def _entered(self, text: str) -> None:
        """Run a command, or say in the prompt what is wrong with it."""
        view = self._app.view
        if not text:
            view.close_prompt()
            return
        try:
            command = commands.parse(
                text, self._app.state.all_pools, view.subject or "", self._app.state.all_tenants
            )
            if command.time:
                self._app.go_to(command.time)
        except ValueError as error:
            view.prompt.note(str(error), Tone.WARN)
            return
        if command.request is not None:
            self._ask(command)
            return
        view.close_prompt()
        if not command.time:
            await self.run(command)

    def _ask(self, command: ParsedCommand) -> None:
        """Ask for something that changes the fleet."""
        view, operations = self._app.view, self._app.operations
        if command.request is None or not self._app.operates:
            view.prompt.note("nothing can be asked for in this dashboard", Tone.WARN)
            return
        verb, takes_back = command.request
        pools, tenants = self._app.state.all_pools, self._app.state.all_tenants
        scope = view.scope_under_cursor
        try:
            scope, words = commands.scope_asked(command.words, verb, pools, tenants, scope)
            operations.by_command(verb, scope, words, takes_back=takes_back)
        except (commands.UnknownCommandError, AnswerError) as error:
            view.prompt.note(str(error), Tone.WARN)

    async def run(self, command: ParsedCommand) -> None:
        """Do what a command says that only looks, and filter what it shows."""
        await self._app.run_command(command)
        table = self._app.view.filtered
        if command.filter is not None and table is not None:
            table.set_filter(command.filter)

    # -- the command palette ------------------------------------------------------------------

    def open_palette(self) -> None:
        """Open the palette, with a cursor that does not blink."""
        # Textual asks for an App[object], and App is invariant
        if not CommandPalette.is_open(self._app):  # type: ignore[arg-type]
            palette = CommandPalette(id="--command-palette")
            self._app.push_screen(palette)
            self._app.call_later(_stop_blinking, palette)

    def palette(self) -> Iterator[SystemCommand]:
        """The entries of the palette: the actions of this view with their keys, the columns to sort
        by, all views and themes. Pools are found by typing.
        """
        app, view = self._app, self._app.view
        context, table = view.key_context(self._app.operations.refusal), view.filtered
        letters = {
            each.argument: key_name(each.keys[0]) for each in view.actions if each.id == "sort_by"
        }
        for column in () if table is None or table.sort is None else table.spec.columns:
            if column.sorts and table is not None:
                yield SystemCommand(
                    f"sort by {column.title}",
                    f"{letters.get(column.letter, '')}  {column.legend}".strip(),
                    partial(app.call_later, table.sort_by, column.title),
                )
        for action in view.actions:
            if action.palette and action.id != "sort_by":
                keys = " ".join(key_name(each) for each in action.keys)
                off = action.enabled(context)
                yield SystemCommand(
                    action.title,
                    f"{keys}  {action.help}" if off is None else f"off: {off}",
                    lambda action=action: app.call_later(app.action_run, action.handler),
                )
        for command in commands.COMMANDS:
            is_possible = self._app.operates or not command.operates
            if is_possible and command.name in _LOOKS and command.name not in commands.REQUESTS:
                for choice in command.choices or ("",):
                    yield SystemCommand(
                        f":{command.name} {choice}".rstrip(),
                        f"{command.help} (:{next(iter(command.aliases), command.name)})",
                        partial(
                            app.call_later, self.run, ParsedCommand(command.name, choice=choice)
                        ),
                    )


class PoolChosen(Message):
    """A person has chosen a pool in the palette, which is closed by now."""

    def __init__(self, pool: str) -> None:
        super().__init__()
        self.pool = pool


class PoolProvider(Provider):
    """Finds pools by any letters of their keys."""

    async def search(self, query: str) -> Hits:
        """The pools that match."""
        matcher = self.matcher(query)
        app: Dashboard = self.app  # type: ignore[assignment]
        for key in app.state.all_pools:
            name = clean(key)
            score = matcher.match(name)
            if score > 0:
                explain = partial(app.post_message, PoolChosen(key))
                yield Hit(score, matcher.highlight(name), explain, text=name, help=f":why {name}")


def _stop_blinking(screen: Screen[object]) -> None:
    for each in screen.query(Input):
        each.cursor_blink = False
    for icon in screen.query(SearchIcon):
        icon.icon = ">"
