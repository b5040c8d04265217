"""The dashboard: takes snapshots from a feed, shows the newest one, and answers keys."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import time
from collections.abc import Callable, Iterable
from typing import Any, ClassVar, Final

import rich
from rich.console import RenderableType
from rich.traceback import Traceback
from textual._compositor import ChopsUpdate, LayoutUpdate
from textual.app import App, SystemCommand
from textual.binding import BindingType
from textual.command import CommandPalette, Provider, SearchIcon
from textual.events import Key, Resize
from textual.message import Message
from textual.screen import Screen
from textual.widgets import Input

from agentdash.tui import commands, figures, header
from agentdash.tui.actions import KeyContext, KeyScope, UserAction, key_name
from agentdash.tui.bindings import OPENS_PROMPT
from agentdash.tui.glyphs import ASCII, UNICODE
from agentdash.tui.lines import Span, Tone
from agentdash.tui.mailbox import Mailbox
from agentdash.tui.moments import read_past_moment
from agentdash.tui.operating import NotDoneError, Operating
from agentdash.tui.operations import Operations
from agentdash.tui.pool_provider import PoolProvider
from agentdash.tui.requests import AnswerError
from agentdash.tui.screens.audit import AuditScreen
from agentdash.tui.screens.base import NO_FLASH, Chrome, ViewScreen
from agentdash.tui.screens.detail import DetailScreen
from agentdash.tui.screens.events import EventsScreen
from agentdash.tui.screens.help import HelpScreen
from agentdash.tui.screens.models import ModelsScreen
from agentdash.tui.screens.nodes import NodesScreen
from agentdash.tui.screens.overview import OverviewScreen
from agentdash.tui.screens.pods import PodsScreen
from agentdash.tui.screens.pools import PoolsScreen
from agentdash.tui.screens.queues import QueuesScreen
from agentdash.tui.screens.table_view import RowTarget, TableView
from agentdash.tui.screens.tenants import TenantsScreen
from agentdash.tui.screens.why import WhyScreen
from agentdash.tui.terminal_diff import TerminalDiff
from agentdash.tui.theme import THEME, stylesheet
from agentdash.tui.view import Frame, PoolRow
from agentdash.tui.view_state import Step, ViewState
from agentdash.tui.widgets.live_table import LiveTable
from agentdash.tui.widgets.prompt import COMMAND, FILTER
from controller.model.audit import IntentChange
from controller.model.observation import Pod, Pods
from controller.model.snapshot import Finding, ScaleEvent, Snapshot
from controller.ports import Feed, Past

_REDRAW_S: Final = 1.0
_AUDIT_EVERY_S: Final = 5.0
_LOOKS: Final = frozenset(
    each.name for each in commands.COMMANDS if not each.takes_pool and not each.operates
)
_FLASH_S: Final = 4.0
# how long a question in the last line waits for the key to be pressed again
_TWICE_WITHIN_S: Final = _FLASH_S


class SnapshotReady(Message):
    """A snapshot waits in the mailbox."""


class Dashboard(App[None]):
    """The terminal dashboard over one feed.

    `clock` gives Unix seconds. `on_ready` is called once, after the first paint; an engine can be
    started then without delaying it. `engine_error` says why the engine does not run, and gives
    None while it runs. Without an `operator` there are no keys that change anything. With
    a `journal` the dashboard shows that, and the feed is not looked at.
    """

    TITLE = header.TITLE
    CSS: ClassVar[str] = stylesheet()
    BINDINGS: ClassVar[list[BindingType]] = []
    COMMANDS: ClassVar[set[type[Provider] | Callable[[], type[Provider]]]] = {
        *App.COMMANDS,
        PoolProvider,
    }
    ESCAPE_TO_MINIMIZE: ClassVar[bool] = False
    NOTIFICATION_TIMEOUT: ClassVar[float] = _FLASH_S

    def __init__(
        self,
        feed: Feed,
        *,
        clock: Callable[[], float],
        on_ready: Callable[[], None],
        engine_error: Callable[[], str | None],
        ascii_only: bool = False,
        operator: Operating | None = None,
        journal: Past | None = None,
    ) -> None:
        # with NO_COLOR, Textual paints grey colours unless it uses the terminal's own colours
        super().__init__(ansi_color=True if "NO_COLOR" in os.environ else None)
        self.register_theme(THEME)
        self.theme = THEME.name
        self.animation_level = "none"
        self._feed = feed
        self._clock = clock
        self._on_ready = on_ready
        self._engine_error = engine_error
        self._terminal_diff = TerminalDiff(ascii_only=ascii_only)
        self._call_ready_after_paint = False
        self._mailbox = Mailbox(self._post_snapshot_ready)
        self._unsubscribe: Callable[[], None] | None = None
        self._view_state = ViewState(clock(), ASCII if ascii_only else UNICODE, journal)
        self._told_notes = 0
        self._flash = NO_FLASH
        self._flash_until = 0.0
        self._folded = False
        self._asked_to_leave_at = float("-inf")
        self._suspended_at: float | None = None
        self._history: dict[str, list[str]] = {COMMAND: [], FILTER: []}
        self._overview = OverviewScreen()
        self._pools = PoolsScreen()
        self._why = WhyScreen()
        self._tables: dict[str, TableView[Any]] = {
            screen.VIEW: screen
            for screen in (
                QueuesScreen(),
                TenantsScreen(),
                PodsScreen(),
                NodesScreen(),
                ModelsScreen(),
                EventsScreen(),
            )
        }
        self._audit = AuditScreen()
        self._audit_asked_at = float("-inf")
        self._operator = operator
        self._operations = Operations(self, operator)
        self._help = HelpScreen()
        self._detail = DetailScreen()

    # -- start and end ------------------------------------------------------------------------

    def get_default_screen(self) -> OverviewScreen:
        """The overview is the lowest view on the stack."""
        return self._overview

    def on_mount(self) -> None:
        """Subscribe to the feed, and show the latest snapshot."""
        for screen in (
            self._pools,
            self._why,
            *self._tables.values(),
            self._audit,
            self._help,
            self._detail,
        ):
            self.install_screen(screen, screen.VIEW)
            screen.operates = self._operator is not None
        self._overview.operates = self._operator is not None
        self.app_resume_signal.subscribe(self, lambda _: self._resumed())
        self._unsubscribe = self._feed.subscribe(self._mailbox.put)
        latest = self._feed.latest()
        if latest is not None:
            self._view_state.accept(latest)
        self._draw()
        self._tell_notes()
        self.set_interval(_REDRAW_S, self._redraw)
        self._call_ready_after_paint = True

    def on_unmount(self) -> None:
        """End the subscription."""
        if self._unsubscribe is not None:
            self._unsubscribe()

    # -- snapshots ----------------------------------------------------------------------------

    def _post_snapshot_ready(self) -> None:
        """Called on the publisher's thread: it only posts a message to the dashboard's thread."""
        # the dashboard's event loop may have ended; the publisher goes on without it
        with contextlib.suppress(RuntimeError):
            self.post_message(SnapshotReady())

    def on_snapshot_ready(self, message: SnapshotReady) -> None:
        """Draw the newest snapshot, or only count it while the view is frozen."""
        del message
        snapshot = self._mailbox.take()
        if snapshot is not None and self._view_state.accept(snapshot) and self._views():
            self._draw()

    def _redraw(self) -> None:
        """Called once a second: ages grow, and a snapshot may have become stale."""
        if not self._views():  # while the app ends, its screens end first
            return
        if self.view is self._audit and self._clock() - self._audit_asked_at > _AUDIT_EVERY_S:
            self._ask_audit()
        before = self._frame
        after, view = self._refresh(), self.view
        if after.snapshot is None or before.stale != after.stale or isinstance(view, WhyScreen):
            view.draw(after, self._chrome())
        else:
            view.draw_chrome(after, self._chrome())

    @property
    def _frame(self) -> Frame:
        return self._view_state.frame

    def _refresh(self) -> Frame:
        return self._view_state.refresh(self._clock(), self._engine_error())

    def _draw(self) -> None:
        self.view.draw(self._refresh(), self._chrome())

    def _draw_chrome(self) -> None:
        self.view.draw_chrome(self._frame, self._chrome())

    def _chrome(self) -> Chrome:
        if time.monotonic() > self._flash_until:
            self._flash = NO_FLASH
        crumbs = [screen.VIEW for screen in self._views()]
        is_off = self._operations.refusal is not None
        return Chrome(tuple(crumbs), self._flash, self._folded, is_off)

    def flash(self, text: str, tone: Tone = Tone.WARN, seconds: float | None = None) -> None:
        """Show a message in the last line for a few seconds, or for so many."""
        self._flash = Span(text, tone)
        self._flash_until = time.monotonic() + (seconds or _FLASH_S)
        self._draw_chrome()

    # -- the stack of views -------------------------------------------------------------------

    def _views(self) -> list[ViewScreen]:
        return [screen for screen in self.screen_stack if isinstance(screen, ViewScreen)]

    @property
    def view(self) -> ViewScreen:
        """The top view; the command palette may lie over it."""
        return self._views()[-1]

    async def _go_to(self, screen: ViewScreen) -> None:
        """Show this view: go back to it if it is on the stack, else put it on top."""
        self._operations.leave()
        if screen in self._views():
            while self.view is not screen:
                await self.pop_screen()
        else:
            await self.push_screen(screen.VIEW)
        self._draw()

    async def _explain(self, pool: str) -> None:
        self._why.pool = pool
        await self._go_to(self._why)

    async def on_live_table_row_opened(self, message: LiveTable.RowOpened) -> None:
        """Open a row: a pool of the overview in the table of pools, there its pods, if it has any;
        what else is about one pool, in the why view; and what is no pool, in full.
        """
        view = self.view
        if isinstance(message.row, IntentChange):
            self._detail.open(message.row, None)
            await self._go_to(self._detail)
            return
        if isinstance(view, TableView):
            await self._open(view.opening(message.row))
            return
        match message.row:
            case PoolRow(key=pool) if message.table is self._overview.pools:
                self._pools.show_only(None)
                await self._go_to(self._pools)
                self._pools.pools.select(pool)
                return
            case PoolRow(key=pool, pods=Pods(items=(_, *_))) if view is self._pools:
                await self._open(RowTarget("pods", frozenset({pool}), of=pool))
            case PoolRow(key=pool):
                await self._explain(pool)
            case Finding(subject=pool) if self._frame.row(pool) is not None:
                await self._explain(pool)
            case ScaleEvent() | Finding() | Pod() as row:
                of_event = row.pool if isinstance(row, ScaleEvent) else None
                of_pod = view.subject if isinstance(row, Pod) else None
                self._detail.open(row, of_event or of_pod)
                await self._go_to(self._detail)
            case _:
                self.flash("nothing to open here")

    async def _open(self, opening: RowTarget | None) -> None:
        """Open what belongs to a row of a table."""
        match opening:
            case RowTarget(view="pools"):
                self._pools.show_only(opening.pools, opening.of)
                await self._go_to(self._pools)
            case RowTarget(view=name) if name in self._tables:
                self._tables[name].show_only(opening)
                await self._go_to(self._tables[name])
            case RowTarget(pools=pools):
                await self._explain_known(min(pools))
            case None:
                self.flash("nothing to open here")

    async def _explain_known(self, pool: str) -> None:
        if self._frame.row(pool) is None:
            self.flash(f"{pool} is no pool of this snapshot")
            return
        await self._explain(pool)

    async def _go_to_table(self, screen: ViewScreen) -> None:
        """Show this view above the overview, whatever was above it."""
        if screen not in self._views():
            await self._go_to(self._overview)
        await self._go_to(screen)

    def on_live_table_cursor_moved(self) -> None:
        """Name the row under the cursor in the last line."""
        self._draw_chrome()

    def on_live_table_key_ignored(self, message: LiveTable.KeyIgnored) -> None:
        """Say why a key did nothing."""
        self.flash(message.text)

    async def on_view_screen_hint_clicked(self, message: ViewScreen.HintClicked) -> None:
        """Do what the key would do."""
        await self._run_as_by_key(message.action)

    async def on_view_screen_crumb_clicked(self, message: ViewScreen.CrumbClicked) -> None:
        """Go back to this view of the path."""
        views = self._views()
        if message.index < len(views):
            await self._go_to(views[message.index])

    async def on_key(self, event: Key) -> None:
        """Say of a key that it does nothing, where no binding takes it. A key that comes here while
        the prompt is open was typed before the prompt had the focus: it belongs to the prompt. This
        runs before the bindings.
        """
        if not self._views():
            return
        prompt = self.view.prompt
        if prompt.mode and not prompt.input.has_focus:
            if event.is_printable and event.character is not None:
                event.prevent_default()
                prompt.input.insert_text_at_cursor(event.character)
            elif event.key == "enter":
                event.prevent_default()
                await prompt.input.action_submit()
            return
        keys = (event.key, *event.aliases)
        prompting = prompt.mode or self.screen is not self.view
        if not prompting and not any(key in self.screen.active_bindings for key in keys):
            shown = event.character if event.is_printable else key_name(event.key)
            self.flash(f"{shown} does nothing here; ? lists the keys", Tone.DIM)

    # -- actions ------------------------------------------------------------------------------

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """While a prompt is open, the keys that open one are characters."""
        del parameters
        if action in {"operate", "undo"} and not self._operations.is_possible:
            return False
        return not (action in OPENS_PROMPT and self._views() and self.view.prompt.mode)

    def action_command(self) -> None:
        """Open the command line."""
        pools = [row.key for row in self._frame.rows]
        operates = self._operations.is_possible
        self.view.open_commands(
            lambda typed: commands.complete(typed, pools, self._tenants, operates=operates),
            self._history[COMMAND],
        )

    def action_filter(self) -> None:
        """Open the filter of the table that has the focus."""
        if not self.view.open_filter(self._history[FILTER]):
            self.flash("nothing to filter here")

    async def action_help(self) -> None:
        """Show the keys of this view."""
        if self.view is not self._help:
            self._help.explain(self.view, self._operations.refusal)
        await self._go_to(self._help)

    async def action_why(self) -> None:
        """Explain the pool under the cursor."""
        pool = self.view.subject
        if not pool:
            self.flash("no pool under the cursor")
            return
        await self._explain(pool)

    async def action_view(self, name: str) -> None:
        """Show the view of this command."""
        await self._run_command(commands.ParsedCommand(name))

    # -- operating ----------------------------------------------------------------------------

    @property
    def snapshot(self) -> Snapshot | None:
        """The snapshot that is shown."""
        return self._frame.snapshot

    @property
    def now(self) -> float:
        """Unix seconds."""
        return self._clock()

    @property
    def _tenants(self) -> list[str]:
        return [] if self.snapshot is None else [each.name for each in self.snapshot.tenants]

    @property
    def shows_the_past(self) -> bool:
        """Whether the moment that is shown is not now."""
        return self._frame.moment is not None

    def action_operate(self, verb: str) -> None:
        """Ask for something for what is under the cursor; another key takes it back."""
        found = (each for each in self.view.actions if each.handler == f"operate({verb!r})")
        action = next(found, None)
        if action is None:
            self.flash(f"{verb} is not for what this view shows; ? lists the keys", Tone.DIM)
            return
        self._operations.by_key(action)

    def action_undo(self) -> None:
        """Take back the person's own change: in the audit the one under the cursor, else the last
        one.
        """
        if not self._operations.is_possible:
            self.flash("nothing can be asked for in this dashboard", Tone.DIM)
            return
        change = self._audit.change if self.view is self._audit else None
        if change is not None and not self._audit.is_mine(change):
            self.flash("only your own changes that stand can be taken back")
            return
        self._operations.undo(change)

    def on_view_screen_answer_entered(self, message: ViewScreen.AnswerEntered) -> None:
        """Pass on what the person answered."""
        self._operations.answer(message.text)

    def on_view_screen_answer_refused(self, message: ViewScreen.AnswerRefused) -> None:
        """The person leaves the question."""
        self._operations.cancel(back=message.back)

    def changes_are_old(self) -> None:
        """Something was changed: the audit is asked for again."""
        self._audit_asked_at = float("-inf")
        if self.view is self._audit:
            self._ask_audit()

    def _ask_audit(self) -> None:
        self._audit_asked_at = self._clock()
        self.run_worker(self._load_audit(), group="audit", exclusive=True)

    async def _load_audit(self) -> None:
        if self._operator is None:
            self._audit.show_problem("this dashboard cannot ask for it")
        else:
            try:
                audit = await self._operator.audit()
            except NotDoneError as error:
                self._audit.show_problem(str(error))
            else:
                self._audit.show_audit(audit, self._operator.who)
        if self.view is self._audit:
            self._draw()

    def action_freeze(self) -> None:
        """Freeze the view, or resume it with the newest snapshot."""
        self._view_state.toggle_freeze()
        self._draw()

    # -- time ---------------------------------------------------------------------------------

    def action_step(self, step: str) -> None:
        """Step back or on to another moment of what is kept."""
        self._say_where(self._view_state.step(Step(step)))

    def _go_to_moment(self, text: str) -> None:
        """Show the moment of a time as it is typed. Raises ValueError."""
        end = self._view_state.end_at(self._clock())
        self._say_where(self._view_state.go_to(read_past_moment(text, end)))

    def _say_where(self, missing: str) -> None:
        self._draw()
        if missing:
            self.flash(missing, Tone.DIM)
        self._tell_notes()

    def _tell_notes(self) -> None:
        """Say once of each line of a journal that it cannot be read."""
        notes = self._view_state.notes()
        if len(notes) > self._told_notes:
            self._told_notes = len(notes)
            self.flash(notes[-1])

    async def action_close(self) -> None:
        """Clear the filter; without one, go back to the view below. It never ends the session."""
        if not self.view.clear_filter() and not await self._go_back():
            self.flash("this is the first view; q quits", Tone.DIM)

    async def action_back(self) -> None:
        """Go back to the view below; on the first view, quit."""
        if not await self._go_back():
            self.action_leave("q")

    async def _go_back(self) -> bool:
        """False on the first view."""
        if len(self._views()) < 2:
            return False
        await self.pop_screen()
        self._draw()
        return True

    def action_next_panel(self) -> None:
        """Move the focus to the next panel."""
        self.screen.focus_next()
        self._draw_chrome()

    def action_previous_panel(self) -> None:
        """Move the focus to the previous panel."""
        self.screen.focus_previous()
        self._draw_chrome()

    def action_header(self) -> None:
        """Fold the header to one line, or unfold it."""
        self._folded = not self._folded
        self._draw()

    def action_suspend(self) -> None:
        """Give the terminal back to the shell until `fg`. Everything in this process stops."""
        if os.getsid(0) == os.getpgrp():
            # no shell could continue us: Textual would stop this process for good
            self.flash("no shell is behind this terminal to suspend to")
            return
        self._suspended_at = self._clock()
        # as the terminal's own ctrl-z: to the whole job, so that the shell notices
        os.killpg(0, signal.SIGTSTP)

    def _resumed(self) -> None:
        """After `fg`: the shell has written on the screen, and time has passed."""
        self.action_redraw()
        self._draw()
        if self._suspended_at is not None:
            stopped = figures.age(self._clock() - self._suspended_at)
            self._suspended_at = None
            self.flash(f"was suspended for {stopped}, and the controller with it")

    def action_redraw(self) -> None:
        """Write the whole screen again."""
        self._terminal_diff.reset()
        self.screen.refresh(layout=True)

    def action_leave(self, key: str = "") -> None:
        """Quit. Where that stops a controller that writes, the key must be pressed again within a
        few seconds. Without a key, a person has written the command, which is no slip.
        """
        now = time.monotonic()
        stops = self._stops_with_us
        if not key or not stops or now - self._asked_to_leave_at <= _TWICE_WITHIN_S:
            self.exit()
            return
        self._asked_to_leave_at = now
        self.flash(f"leaving stops the controller of {stops}: {key} again")

    async def action_quit(self) -> None:
        """Textual's own ctrl-q ends in this."""
        self.action_leave("ctrl-q")

    @property
    def _stops_with_us(self) -> str:
        """What the controller in this process scales, if it writes; else empty."""
        snapshot = self._view_state.newest
        if snapshot is None or snapshot.attached or not snapshot.role.writes:
            return ""
        if self._engine_error() is not None:
            return ""
        return figures.amount(len(snapshot.pools), "pool")

    # -- the command line ---------------------------------------------------------------------

    async def on_view_screen_command_entered(self, message: ViewScreen.CommandEntered) -> None:
        """Run a command, or say in the prompt what is wrong with it."""
        view = self.view
        pools = [row.key for row in self._frame.rows]
        try:
            command = commands.parse(message.text, pools, view.subject or "")
            if command.time:
                self._go_to_moment(command.time)
        except ValueError as error:
            view.prompt.note(str(error), Tone.WARN)
            return
        if command.request is not None:
            self._ask_by_command(command)
            return
        view.close_prompt()
        if not command.time:
            await self._run_command(command)

    def _ask_by_command(self, command: commands.ParsedCommand) -> None:
        view = self.view
        if command.request is None or not self._operations.is_possible:
            view.prompt.note("nothing can be asked for in this dashboard", Tone.WARN)
            return
        verb, takes_back = command.request
        pools = [row.key for row in self._frame.rows]
        scope = view.scope_under_cursor
        try:
            scope, words = commands.scope_asked(command.words, verb, pools, self._tenants, scope)
            self._operations.by_command(verb, scope, words, takes_back=takes_back)
        except (commands.UnknownCommandError, AnswerError) as error:
            view.prompt.note(str(error), Tone.WARN)

    async def _run_command(self, command: commands.ParsedCommand) -> None:
        match command.name:
            case "quit":
                self.action_leave()
            case "help":
                await self.action_help()
            case "live":
                self._view_state.go_live()
                self._draw()
            case "why":
                await self._explain(command.pool)
            case "undo":
                self.action_undo()
            case "audit":
                self._ask_audit()
                await self._go_to_table(self._audit)
            case "pools":
                self._pools.show_only(None)
                await self._go_to_table(self._pools)
            case name if name in self._tables:
                self._tables[name].show_only(None)
                await self._go_to_table(self._tables[name])
            case _:
                await self._go_to(self._overview)
        table = self.view.filtered
        if command.filter is not None and table is not None:
            table.set_filter(command.filter)

    # -- the command palette ------------------------------------------------------------------

    def action_command_palette(self) -> None:
        """Open the palette, with a cursor that does not blink."""
        # Textual asks for an App[object], and App is invariant
        if not CommandPalette.is_open(self):  # type: ignore[arg-type]
            palette = CommandPalette(id="--command-palette")
            self.push_screen(palette)
            self.call_later(_stop_blinking, palette)

    def get_system_commands(self, screen: Screen[object]) -> Iterable[SystemCommand]:
        """The entries of the palette: the actions of this view with their keys, and all views.
        Pools are found by typing.
        """
        del screen
        scope = self.view.scope_under_cursor
        for action in self.view.actions:
            if action.palette:
                keys = " ".join(key_name(each) for each in action.keys)
                off = action.enabled(KeyContext(self._operations.refusal, scope))
                yield SystemCommand(
                    action.title,
                    f"{keys}  {action.help}" if off is None else f"off: {off}",
                    lambda action=action: self.call_later(self._run_as_by_key, action),
                )
        for command in commands.COMMANDS:
            is_possible = self._operations.is_possible or not command.operates
            if is_possible and command.name in {*_LOOKS, "audit"} and not command.takes_time:
                parsed = commands.ParsedCommand(command.name)
                yield SystemCommand(
                    f":{command.name}",
                    f"{command.help} (:{next(iter(command.aliases), command.name)})",
                    lambda parsed=parsed: self.call_later(self._run_command, parsed),
                )

    @property
    def pool_keys(self) -> tuple[str, ...]:
        """The keys of all pools, in the order of the fleet."""
        return tuple(row.key for row in self._frame.rows)

    def explain_later(self, pool: str) -> None:
        """Explain this pool as soon as the palette is closed."""
        self.call_later(self._explain, pool)

    async def _run_as_by_key(self, action: UserAction) -> None:
        """Do what the key would do: in the panel with the focus, or in the view."""
        of_panel = action.scope is KeyScope.TABLE and self.screen.focused is not None
        place = self.screen.focused if of_panel else self
        await self.run_action(action.handler, default_namespace=place)

    # -- writing to the terminal --------------------------------------------------------------

    def on_resize(self, event: Resize) -> None:
        """The terminal may have moved its text, so it is no longer known what it shows."""
        del event
        self._terminal_diff.reset()

    def _fatal_error(self) -> None:
        """Show the traceback without local variables, which Textual would print too."""
        self.bell()
        self._exit_renderables.append(Traceback(show_locals=False, width=None, suppress=[rich]))
        self._close_messages_no_wait()

    def _display(self, screen: Screen[object], renderable: RenderableType | None) -> None:
        """Textual writes everything through this method; here only the difference is written."""
        if isinstance(renderable, LayoutUpdate | ChopsUpdate):
            # an update renders itself, which Rich's type does not say
            super()._display(screen, self._terminal_diff.wrap(renderable))  # type: ignore[arg-type]
        else:
            super()._display(screen, renderable)
        # call_after_refresh would get lost if a key changed the view before the first paint
        if self._call_ready_after_paint and renderable is not None:
            self._call_ready_after_paint = False
            self.call_later(self._on_ready)


def _stop_blinking(screen: Screen[object]) -> None:
    for each in screen.query(Input):
        each.cursor_blink = False
    for icon in screen.query(SearchIcon):
        icon.icon = ">"


def run_dashboard(
    feed: Feed,
    *,
    clock: Callable[[], float],
    on_ready: Callable[[], None],
    engine_error: Callable[[], str | None],
    operator: Operating | None = None,
    ascii_only: bool = False,
    for_s: float | None = None,
    journal: Past | None = None,
) -> int:
    """Run the dashboard until a person quits, SIGTERM or SIGINT comes, or `for_s` seconds are over.

    The other arguments are those of `Dashboard`. Returns the exit code: 1 after an error.
    """

    def ready() -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, dashboard.exit)
        if for_s is not None:
            loop.call_later(for_s, dashboard.exit)
        on_ready()

    dashboard = Dashboard(
        feed,
        clock=clock,
        on_ready=ready,
        engine_error=engine_error,
        ascii_only=ascii_only,
        operator=operator,
        journal=journal,
    )
    dashboard.run()
    return dashboard.return_code or 0
