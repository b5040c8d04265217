"""The dashboard: takes snapshots from a feed, shows the newest one, and answers keys.

Each subject has a file of its own, and this one only binds them to Textual: view_stack.py (which
view opens which), command_line.py, operations.py (what changes the fleet), asking.py (what no
snapshot brings), exports.py (files and clipboard), leaving.py. They stand on view_state.py (what is
shown) and terminal_diff.py (what is written), never on this one.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterable
from typing import ClassVar, Final

from textual.app import App, SystemCommand
from textual.binding import Binding, BindingType
from textual.command import Provider
from textual.events import Event, Key
from textual.message import Message
from textual.screen import Screen

from agentdash.operate import Operating
from agentdash.tui import header
from agentdash.tui.actions import PAGE_TABS, KeyScope, UserAction, key_name
from agentdash.tui.asking import CANCEL, RETRY, Asking, TaskActs
from agentdash.tui.command_line import CommandLine, PoolChosen, PoolProvider
from agentdash.tui.commands import ParsedCommand
from agentdash.tui.exports import Exports
from agentdash.tui.glyphs import ASCII, UNICODE
from agentdash.tui.keymap import DEFAULT_KEYS, OPENS_PROMPT, Keymap
from agentdash.tui.leaving import Leaving, Mailbox
from agentdash.tui.lines import Span, Tone
from agentdash.tui.names import THEME_NAMES
from agentdash.tui.operations import Operations
from agentdash.tui.screens.base import NO_FLASH, Chrome, ViewScreen
from agentdash.tui.screens.overview import OverviewScreen
from agentdash.tui.table import Need
from agentdash.tui.tables import views
from agentdash.tui.terminal_diff import TerminalApp
from agentdash.tui.theme import THEMES, stylesheet
from agentdash.tui.view import OWN_FIRST_SNAPSHOT, Frame
from agentdash.tui.view_stack import ViewStack
from agentdash.tui.view_state import Step, ViewState
from agentdash.tui.widgets.live_table import LiveTable
from agentdash.tui.widgets.prompt import ASK, COMMAND, FILTER
from controller.model.intents import IntentChange, Scope
from controller.model.snapshot import Snapshot
from controller.ports import Feed, Past

_REDRAW_S: Final = 1.0
FLASH_S: Final = 4.0
_LINE_S: Final = 1.0  # how long keys wait for the line before them
OF_SOME_VIEWS: Final = frozenset({"zoom", "tab", "turn", "end", "cancel_task", "retry_task"})
"""Actions whose keys are those of some views alone."""


class SnapshotReady(Message):
    """A snapshot waits in the mailbox."""


class Dashboard(TerminalApp):
    """The terminal dashboard over one feed.

    `clock` gives Unix seconds. `on_ready` is called once, after the first paint; an engine can be
    started then without delaying it. `engine_error` says why the engine does not run, and gives
    None while it runs; `feed_problem` says why nothing comes from a controller elsewhere, which may
    well go on. Without an `operator` there are no keys that change anything. With
    a `journal` the dashboard shows that, and the feed is not looked at.
    `erases_in_color`: the terminal erases cells in the background colour, which saves bytes.
    `remember_theme` keeps a theme's name for the next time; it gives the reason if it cannot.
    `waits_for` says what brings the first snapshot.
    """

    TITLE = header.TITLE
    CSS: ClassVar[str] = stylesheet()
    # with the name of the table's action, where Textual has a binding of its own
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("ctrl+p", "command_palette", show=False, priority=True, id="command_palette")
    ]
    COMMANDS: ClassVar[set[type[Provider] | Callable[[], type[Provider]]]] = {
        *App.COMMANDS,
        PoolProvider,
    }
    ESCAPE_TO_MINIMIZE: ClassVar[bool] = False
    NOTIFICATION_TIMEOUT: ClassVar[float] = FLASH_S

    def __init__(
        self,
        feed: Feed,
        *,
        clock: Callable[[], float],
        on_ready: Callable[[], None],
        engine_error: Callable[[], str | None],
        feed_problem: Callable[[], str | None] = lambda: None,
        ascii_only: bool = False,
        erases_in_color: bool = False,
        operator: Operating | None = None,
        journal: Past | None = None,
        keys: Keymap = DEFAULT_KEYS,
        theme: str = THEME_NAMES[0],
        remember_theme: Callable[[str], str | None] = lambda _: None,
        waits_for: str = OWN_FIRST_SNAPSHOT,
    ) -> None:
        self._view_state = ViewState(
            clock(),
            ASCII if ascii_only else UNICODE,
            journal,
            resume_key=keys.key_of("still"),
            top_key=keys.key_of("top"),
            waits_for=waits_for,
        )
        super().__init__(
            on_painted=on_ready, ascii_only=ascii_only, erases_in_color=erases_in_color
        )
        self.keys = keys
        self.engine_error = engine_error
        self._clock = clock
        self._feed_problem = feed_problem
        self._flash = NO_FLASH
        self._flash_until = 0.0
        self._folded = False
        for each in THEMES:
            self.register_theme(each)
        self.theme = theme
        self._remember_theme = remember_theme
        self.animation_level = "none"
        self._feed = feed
        self._mailbox = Mailbox(self._post_snapshot_ready)
        self._unsubscribe: Callable[[], None] | None = None
        self._filter_history: list[str] = []
        self._entered_at: float | None = None
        self._typed_behind: list[Event] = []
        self.operates = operator is not None
        self.views = ViewStack(self)
        self._asking = Asking(self, operator)
        self.operations = Operations(self, operator, on_done=self._asking.changed)
        self._task_acts = TaskActs(
            self,
            operator,
            refusal=lambda: self.operations.refusal,
            on_done=self._asking.changed,
        )
        self._command_line = CommandLine(self)
        self.leaving = Leaving(self, self._stops_with_us)
        self._exports = Exports(self)
        self.set_keymap({name: ",".join(each) for name, each in keys.keys.items()})

    # -- start and end ------------------------------------------------------------------------

    def get_default_screen(self) -> OverviewScreen:
        """The overview is the lowest view on the stack."""
        return self.views.overview

    def on_mount(self) -> None:
        """Subscribe to the feed, and show the latest snapshot."""
        self.app_resume_signal.subscribe(self, lambda _: self.leaving.resumed())
        self._unsubscribe = self._feed.subscribe(self._mailbox.put)
        latest = self._feed.latest()
        if latest is not None:
            self._view_state.accept(latest)
        self._say_where("")
        self.set_interval(_REDRAW_S, self._redraw)
        self.begin_painting()

    def on_unmount(self) -> None:
        """End the subscription."""
        if self._unsubscribe is not None:
            self._unsubscribe()

    def leave_question(self) -> None:
        """Another view opens: what is not confirmed is not asked for."""
        self.operations.leave()
        self._task_acts.left()

    def _stops_with_us(self) -> Snapshot | None:
        """The newest snapshot of the controller that runs in this process, if one does."""
        snapshot = self._view_state.newest
        if snapshot is None or snapshot.attached or self.engine_error() is not None:
            return None
        return snapshot

    # -- snapshots ----------------------------------------------------------------------------

    def _post_snapshot_ready(self) -> None:
        """Called on the publisher's thread: it only posts a message to the dashboard's thread."""
        # the dashboard's event loop may have ended; the publisher goes on without it
        with contextlib.suppress(RuntimeError):
            self.post_message(SnapshotReady())

    def on_snapshot_ready(self, message: SnapshotReady) -> None:
        """Draw the newest snapshot, or only count it while the picture is still."""
        del message
        self._view_state.begin_with(self._feed.earlier())
        snapshot = self._mailbox.take()
        if snapshot is not None and self._view_state.accept(snapshot) and self.views.stack:
            self.draw()

    def _redraw(self) -> None:
        """Called once a second: ages grow, and a snapshot may have become stale."""
        if not self.views.stack:  # while the app ends, its screens end first
            return
        self._asking.if_old()
        self.draw_ages()

    # -- what is shown ------------------------------------------------------------------------

    @property
    def frame(self) -> Frame:
        """What the views are drawn from."""
        return self._view_state.frame

    @property
    def snapshot(self) -> Snapshot | None:
        """The snapshot that is shown."""
        return self.frame.snapshot

    @property
    def shows_the_past(self) -> bool:
        """Whether the moment that is shown is not now."""
        return self.frame.moment is not None

    @property
    def now(self) -> float:
        """Unix seconds."""
        return self._clock()

    @property
    def view(self) -> ViewScreen:
        """The top view; the command palette may lie over it."""
        return self.views.top

    @property
    def pool_keys(self) -> tuple[str, ...]:
        """The keys of all pools, in the order of the fleet."""
        return self._view_state.all_pools

    @property
    def tenants(self) -> tuple[str, ...]:
        """The names of all tenants, in the order of the fleet."""
        return self._view_state.all_tenants

    # -- drawing ------------------------------------------------------------------------------

    def draw(self) -> None:
        """Draw the top view as of now, and ask for what belongs to it."""
        self.view.draw(self._refresh(), self._chrome())
        self._asking.if_old()

    def keep(self, **asked: object) -> None:
        """Show from now on what was asked for and no snapshot brings, by its name in the frame."""
        self._view_state.keep(**asked)
        if self.views.stack:
            self.view.draw(self._refresh(), self._chrome())

    def draw_chrome(self) -> None:
        """Draw the header and the last line of the top view."""
        self.view.draw_chrome(self.frame, self._chrome())

    def draw_ages(self) -> None:
        """Draw what grows old while no snapshot comes: all of the view where a snapshot has become
        stale, or where the view counts seconds.
        """
        before = self.frame
        after = self._refresh()
        is_old = after.snapshot is None or before.stale != after.stale
        draw = self.view.draw if is_old or self.view.COUNTS_SECONDS else self.view.draw_chrome
        draw(after, self._chrome())

    def flash(self, text: str, tone: Tone = Tone.WARN, seconds: float | None = None) -> None:
        """Show a message in the last line for a few seconds, or for so many. In place of the
        question whether to leave, it ends that question.
        """
        self.leaving.withdraw_question()
        self._flash = Span(text, tone)
        self._flash_until = time.monotonic() + (seconds or FLASH_S)
        self.draw_chrome()

    def _refresh(self) -> Frame:
        return self._view_state.refresh(self._clock(), self.engine_error(), self._feed_problem())

    def _chrome(self) -> Chrome:
        if time.monotonic() > self._flash_until:
            self._flash = NO_FLASH
        crumbs = tuple(screen.VIEW for screen in self.views.stack)
        return Chrome(crumbs, self._flash, self._folded, self.operations.refusal is not None)

    # -- what views and tables say ------------------------------------------------------------

    async def on_live_table_row_opened(self, message: LiveTable.RowOpened) -> None:
        """Open a row of a table."""
        await self.views.open_row(message)

    def on_live_table_cursor_moved(self) -> None:
        """Name the row under the cursor in the last line."""
        self.draw_chrome()

    def on_live_table_key_ignored(self, message: LiveTable.KeyIgnored) -> None:
        """Say why a key did nothing."""
        self.flash(message.text)

    async def on_view_screen_hint_clicked(self, message: ViewScreen.HintClicked) -> None:
        """Do what the key would do."""
        await self.run_as_by_key(message.action)

    async def on_view_screen_crumb_clicked(self, message: ViewScreen.CrumbClicked) -> None:
        """Go back to this view of the path."""
        await self.views.go_to_crumb(message.index)

    async def on_view_screen_entered(self, message: ViewScreen.Entered) -> None:
        """Run a command, save the view, close the filter, or pass on what the person answered."""
        if message.mode == ASK:
            if not self._task_acts.answered(message.text):
                self.operations.answer(message.text, by_one_key=message.by_one_key)
        elif message.mode == FILTER or not message.text:
            self.view.close_prompt()
        elif message.mode == COMMAND:
            await self._command_line.entered(message.text)
        else:
            self._exports.save_as(message.text)
        await self._pass_on_keys()

    def on_view_screen_answer_refused(self, message: ViewScreen.AnswerRefused) -> None:
        """The person leaves the question."""
        if not self._task_acts.left():
            self.operations.cancel(back=message.back)

    async def on_event(self, event: Event) -> None:
        """Keep the keys that are typed behind an enter until its line has been dealt with: they
        belong to the view that it opens, not to the prompt that it closes.
        """
        if isinstance(event, Key) and not event.is_forwarded and self.views.stack:
            prompt = self.view.prompt
            if self._entered_at is not None:
                if event.time < self._entered_at + _LINE_S:
                    self._typed_behind.append(event)
                    return
                await self._pass_on_keys()
            if event.key == "enter" and prompt.mode != ASK and self.focused is prompt.input:
                self._entered_at = event.time
        await super().on_event(event)

    async def _pass_on_keys(self) -> None:
        typed, self._typed_behind, self._entered_at = self._typed_behind, [], None
        for each in typed:
            await self.on_event(each)

    async def on_key(self, event: Key) -> None:
        """Say of a key that it does nothing, where no binding takes it. A key that comes here while
        the prompt is open was typed before the prompt had the focus: it belongs to the prompt. This
        runs before the bindings.
        """
        if not self.views.stack:
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
            self.flash(
                f"{shown} does nothing here; {self.keys.key_of('help')} lists the keys", Tone.DIM
            )

    # -- actions ------------------------------------------------------------------------------

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """While a prompt is open, the keys that open one are characters."""
        del parameters
        operating = {"operate", "undo", "end", "cancel_task", "retry_task"}
        if action in operating and not self.operations.is_possible:
            return False
        if action in OF_SOME_VIEWS and self.views.stack and not self.view.has_key(action):
            return False
        return not (action in OPENS_PROMPT and self.views.stack and self.view.prompt.mode)

    async def run_as_by_key(self, action: UserAction) -> None:
        """Do what the key would do: in the panel with the focus, or in the view."""
        of_panel = action.scope is KeyScope.TABLE and self.screen.focused is not None
        place = self.screen.focused if of_panel else self
        await self.run_action(action.handler, default_namespace=place)

    def action_command(self) -> None:
        """Open the command line."""
        self._command_line.open()

    def action_filter(self) -> None:
        """Open the filter of the table that has the focus."""
        if not self.view.open_filter(self._filter_history):
            self.flash("nothing to filter here")

    async def action_help(self) -> None:
        """Show the keys of this view."""
        await self.views.show_help(self.operations.refusal)

    async def action_why(self) -> None:
        """Explain the pool under the cursor."""
        if pool := self.view.subject:
            await self.views.show_page(pool)
        else:
            self.flash("no pool under the cursor")

    async def action_tab(self, tab: str) -> None:
        """Show this tab of the pool's page."""
        await self.views.show_page(self.view.pool, tab)

    async def action_turn(self, steps: str) -> None:
        """Show the tab before or after this one."""
        await self.views.turn(int(steps))

    async def action_zoom(self) -> None:
        """Show the panel that has the focus in full."""
        await self.views.zoom()

    def action_scope(self) -> None:
        """Show all tenants again."""
        self._view_state.show_only(Scope())
        self.draw()

    async def action_logs(self) -> None:
        """Show the last lines of the pod under the cursor, or read them again."""
        await self._asking.ask_log(self.view.pod_under_cursor)

    async def action_history(self) -> None:
        """Show how it went: the pool or the tenant under the cursor, else the fleet."""
        await self.views.show_history()

    async def action_view(self, name: str) -> None:
        """Show the view of this command."""
        await self._command_line.run(ParsedCommand(name))

    async def action_close(self) -> None:
        """Clear the filter; without one, go back to the view below. It never ends the session."""
        if not self.view.clear_filter() and not await self.views.go_back():
            self.flash(f"this is the first view; {self.keys.key_of('back')} quits", Tone.DIM)

    async def action_back(self) -> None:
        """Go back to the view below; on the first view, quit."""
        if not await self.views.go_back():
            self.leaving.leave(self.keys.key_of("back"))

    def action_next_panel(self) -> None:
        """Move the focus to the next panel."""
        self.screen.focus_next()
        self.draw_chrome()

    def action_previous_panel(self) -> None:
        """Move the focus to the previous panel."""
        self.screen.focus_previous()
        self.draw_chrome()

    def action_header(self) -> None:
        """Fold the header to one line, or unfold it."""
        self._folded = not self._folded
        self.draw()

    def action_suspend(self) -> None:
        """Give the terminal back to the shell until `fg`."""
        self.leaving.suspend()

    def action_leave(self, key: str = "") -> None:
        """Quit, by this key or by a command."""
        self.leaving.leave(key)

    async def action_quit(self) -> None:
        """Textual's own ctrl-q ends in this."""
        self.leaving.leave("ctrl-q")

    def action_save(self) -> None:
        """Ask for the name of a file to save the view in."""
        self._exports.ask_name()

    def action_copy(self) -> None:
        """Copy the key of the pool under the cursor; without one, the name of the row."""
        self._exports.copy_key()

    def action_copy_row(self) -> None:
        """Copy the row under the cursor."""
        self._exports.copy_row()

    def _use_theme(self, name: str) -> None:
        self.theme = name
        problem = self._remember_theme(name)
        if problem is None:
            self.flash(f"theme {name}; it is remembered", Tone.OK)
        else:
            self.flash(f"theme {name} until you leave: {problem}")

    # -- operating ----------------------------------------------------------------------------

    def action_operate(self, verb: str) -> None:
        """Ask for something for what is under the cursor; another key takes it back."""
        self.operations.by_key(verb)

    def action_end(self) -> None:
        """End what stands under the cursor."""
        row = self.view.row_under_cursor
        if isinstance(row, IntentChange):
            self.operations.end(row.key)

    def action_cancel_task(self) -> None:
        """Ask whether to cancel the task under the cursor."""
        self._task_acts.begin(CANCEL)

    def action_retry_task(self) -> None:
        """Ask whether to give the task under the cursor to its queue again."""
        self._task_acts.begin(RETRY)

    def action_undo(self) -> None:
        """Take back the person's own change: in the audit the one under the cursor, else the last
        one.
        """
        self.operations.undo()

    # -- time ---------------------------------------------------------------------------------

    def action_still(self) -> None:
        """Keep the picture still, or go on with the newest snapshot."""
        self._view_state.toggle_still()
        self.draw()

    def action_step(self, step: str) -> None:
        """Step back or on to another moment of what is kept."""
        self._say_where(self._view_state.step(Step(step)))

    def go_to(self, time: str) -> None:
        """Show the moment of a time as it is typed. Raises ValueError."""
        self._say_where(self._view_state.go_to(time, self.now))

    def _say_where(self, missing: str) -> None:
        """Draw another moment; say what is `missing`, and once of each line of a journal that it
        cannot be read.
        """
        self.draw()
        if missing:
            self.flash(missing, Tone.DIM)
        if note := self._view_state.new_note():
            self.flash(note)

    # -- commands -----------------------------------------------------------------------------

    async def run_command(self, command: ParsedCommand) -> None:
        """Do what a command says that only looks."""
        match command.name:
            case "quit":
                self.action_leave()
            case "help":
                await self.action_help()
            case "live":
                self._view_state.go_live()
                self.draw()
            case "pool":
                await self.views.show_page(command.pool)
            case "tenant":
                self._view_state.show_only(Scope(tenant=command.tenant))
                self.draw()
            case "history":
                await self.action_history()
            case "undo":
                self.action_undo()
            case "theme":
                self._use_theme(command.choice)
            case _:
                await self._show_view(command)

    async def _show_view(self, command: ParsedCommand) -> None:
        """Show a view, of one tenant or pool if the command names it."""
        if command.tenant:
            self._view_state.show_only(Scope(tenant=command.tenant))
        if command.pool and command.name in PAGE_TABS:
            await self.views.show_page(command.pool, command.name)
        elif command.pool:
            await self.views.show_page(command.pool)
        else:
            view = views()[command.name]
            await self.views.show(view.screen or view.name)
            if Need.DOCTOR in view.needs:
                self._asking.ask_doctor()

    # -- the command palette ------------------------------------------------------------------

    def action_command_palette(self) -> None:
        """Open the palette, with a cursor that does not blink."""
        self._command_line.open_palette()

    def get_system_commands(self, screen: Screen[object]) -> Iterable[SystemCommand]:
        """The entries of the palette."""
        del screen
        return self._command_line.palette()

    async def on_pool_chosen(self, message: PoolChosen) -> None:
        """Explain the pool that a person has found in the palette."""
        await self.views.show_page(message.pool)
