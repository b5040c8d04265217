"""The dashboard: takes snapshots from a feed, shows the newest one, and answers keys.

Each subject has a file of its own, and this one only binds them to Textual: view_stack.py (which
view opens which), command_line.py, operations.py (what changes the fleet), asking.py (what no
snapshot brings), exports.py (files and clipboard), leaving.py. They stand on view_state.py (what is
shown) and terminal_diff.py (what is written), never on this one.
"""

from __future__ import annotations

import asyncio
import contextlib
import curses
import signal
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from inspect import isawaitable
from typing import Any, ClassVar, Final

from textual.app import App, SystemCommand
from textual.binding import Binding, BindingType
from textual.command import Provider
from textual.events import Event, Key
from textual.message import Message
from textual.message_pump import MessagePump
from textual.screen import Screen

from agentdash.operate import Operating
from agentdash.tui import header
from agentdash.tui.actions import ACTIONS, DEFAULT_KEYS, PAGE_TABS, Keymap, key_name
from agentdash.tui.asking import Asking
from agentdash.tui.command_line import CommandLine, PoolChosen, PoolProvider
from agentdash.tui.commands import ParsedCommand
from agentdash.tui.exports import Exports
from agentdash.tui.figures import ASCII, UNICODE
from agentdash.tui.leaving import Leaving, Mailbox
from agentdash.tui.lines import Span, Tone
from agentdash.tui.names import THEME_NAMES
from agentdash.tui.operations import CANCEL, RETRY, Operations
from agentdash.tui.screens.base import NO_FLASH, Chrome, ViewScreen
from agentdash.tui.screens.views import OverviewScreen
from agentdash.tui.table import Need
from agentdash.tui.tables import views
from agentdash.tui.terminal_diff import TerminalApp
from agentdash.tui.theme import THEMES, stylesheet
from agentdash.tui.view import OWN_FIRST_SNAPSHOT, Frame, standing_above
from agentdash.tui.view_stack import ViewStack
from agentdash.tui.view_state import Step, ViewState
from agentdash.tui.widgets.live_table import LiveTable
from agentdash.tui.widgets.prompt import ASK, PromptInput
from controller.model.intents import IntentChange, Scope
from controller.model.snapshot import Snapshot
from controller.model.tasks import TaskRow, TaskState
from controller.ports import Feed, Past

_REDRAW_S: Final = 1.0
FLASH_S: Final = 4.0
_KEY_S: Final = 1.0  # how long keys wait for the one before them
CHANGES: Final = frozenset(each.id for each in ACTIONS if each.changes)


class SnapshotReady(Message):
    """A snapshot waits in the mailbox."""


class KeyDone(Message):
    """Comes back behind a key from where the key was sent, and once more behind what it brought."""

    def __init__(self, target: MessagePump, rounds: int = 1) -> None:
        super().__init__()
        self.target, self.rounds = target, rounds


class Dashboard(TerminalApp):
    """The terminal dashboard over one feed.

    `clock` gives Unix seconds. `on_ready` is called once, after the first paint; an engine can be
    started then without delaying it. `engine_error` says why the engine does not run, and gives
    None while it runs; `feed_problem` says why nothing comes from a controller elsewhere, which may
    well go on. Without an `operator` there are no keys that change anything. With
    a `journal` the dashboard shows that, read after the first paint, and no feed.
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
        self.state = ViewState(
            clock(),
            ASCII if ascii_only else UNICODE,
            feed.earlier,
            resume_key=keys.key_of("still"),
            end_key=keys.key_of("end_above"),
            top_key=keys.key_of("top"),
            waits_for=waits_for,
        )

        def painted() -> None:
            on_ready()
            if journal is not None:
                self.state.replay(journal)
                self._say_where("")

        super().__init__(on_painted=painted, ascii_only=ascii_only, erases_in_color=erases_in_color)
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
        self.operates = operator is not None
        self.views = ViewStack(self)
        self._asking = Asking(self, operator)
        self.operations = Operations(self, operator, on_done=self._asking.changed)
        self._busy_since: float | None = None
        self._ends_prompt = False
        self._typed_behind: list[Event] = []
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
            self.state.accept(latest)
        self.draw()
        self.set_interval(_REDRAW_S, self._redraw)
        self.begin_painting()

    def on_unmount(self) -> None:
        """End the subscription."""
        if self._unsubscribe is not None:
            self._unsubscribe()

    def _stops_with_us(self) -> Snapshot | None:
        """The newest snapshot of the controller that runs in this process, if one does."""
        snapshot = self.state.newest
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
        snapshot = self._mailbox.take()
        if snapshot is not None and self.state.accept(snapshot) and self.views.stack:
            self.draw()

    def _redraw(self) -> None:
        """Called once a second: ages grow. A view that counts seconds, or is stale, is drawn."""
        if not self.views.stack:  # while the app ends, its screens end first
            return
        self._asking.if_old()
        before, after = self.frame, self._refresh()
        if after.snapshot is None or before.stale != after.stale or self.view.COUNTS_SECONDS:
            self.view.draw(after, self._chrome())
        else:
            self.view.draw_chrome(after, self._chrome())

    # -- what is shown ------------------------------------------------------------------------

    @property
    def frame(self) -> Frame:
        """What the views are drawn from."""
        return self.state.frame

    @property
    def now(self) -> float:
        """Unix seconds."""
        return self._clock()

    @property
    def view(self) -> ViewScreen:
        """The top view; the command palette may lie over it."""
        return self.views.top

    # -- drawing ------------------------------------------------------------------------------

    def draw(self) -> None:
        """Draw the top view as of now, and ask for what belongs to it."""
        self.view.draw(self._refresh(), self._chrome())
        self._asking.if_old()

    def keep(self, **asked: object) -> None:
        """Show from now on what was asked for and no snapshot brings, by its name in the frame."""
        self.state.keep(**asked)
        if self.views.stack:
            self.view.draw(self._refresh(), self._chrome())

    def draw_chrome(self) -> None:
        """Draw the header and the last line of the top view."""
        self.view.draw_chrome(self.frame, self._chrome())

    def flash(self, text: str, tone: Tone = Tone.WARN, seconds: float | None = None) -> None:
        """Show a message in the last line for a few seconds, or for so many. In place of the
        question whether to leave, it ends that question.
        """
        self.leaving.withdraw_question()
        self._flash = Span(text, tone)
        self._flash_until = time.monotonic() + (seconds or FLASH_S)
        self.draw_chrome()

    def _refresh(self) -> Frame:
        problems = self.engine_error(), self._feed_problem()
        return self.state.refresh(self._clock(), *problems, reads_on=True)

    def _chrome(self) -> Chrome:
        if time.monotonic() > self._flash_until:
            self._flash = NO_FLASH
        crumbs = tuple(screen.VIEW for screen in self.views.stack)
        return Chrome(crumbs, self._flash, self._folded, self.operations.refusal is not None)

    # -- what views and tables say ------------------------------------------------------------

    async def on_live_table_row_opened(self, message: LiveTable.RowOpened) -> None:
        """Open a row, as its table says."""
        await self.views.open(message.table.spec.opens(message.row, self.frame))

    def on_live_table_cursor_moved(self) -> None:
        """Name the row under the cursor in the last line."""
        self.draw_chrome()

    def on_live_table_key_ignored(self, message: LiveTable.KeyIgnored) -> None:
        """Say why a key did nothing."""
        self.flash(message.text)

    async def on_prompt_input_entered(self, message: PromptInput.Entered) -> None:
        """Deal with a line, and then with the keys that were typed behind it."""
        done = message.use.entered(message.text)
        if isawaitable(done):
            await done
        await self._pass_on_keys()

    async def on_prompt_input_left(self) -> None:
        """The view has the keys again."""
        await self._pass_on_keys()

    async def on_event(self, event: Event) -> None:
        """One key after the other. Keys on their way go from widget to widget, and those that open
        a prompt do not: of `j` and `s` in one burst, `s` would be about the row before. So a key
        waits until the one before it has done all that it does; behind an enter in the prompt, its
        line, and behind an escape there, that the prompt closes.
        """
        if not isinstance(event, Key) or event.is_forwarded or not self.views.stack:
            await super().on_event(event)
            return
        if self._busy_since is not None:
            if time.monotonic() < self._busy_since + _KEY_S:
                self._typed_behind.append(event)
                return
            await self._pass_on_keys()
        prompt, focused = self.view.prompt, self.focused
        ends_prompt = event.key == "escape" or (event.key == "enter" and prompt.mode != ASK)
        self._ends_prompt = ends_prompt and focused is prompt.input
        target = focused or self.screen
        if not self.leaving.is_answer(event.key):
            # what was said before hides no reason of what is shown next
            self.leaving.withdraw_question()
            self._flash_until = 0.0
        await super().on_event(event)
        if event.is_forwarded and (self._ends_prompt or target.post_message(KeyDone(target))):
            self._busy_since = time.monotonic()

    async def on_key_done(self, message: KeyDone) -> None:
        """What the key has brought, such as a row to open, is done as well in the second round."""
        if self._ends_prompt:
            return
        if message.rounds and message.target.post_message(KeyDone(message.target, 0)):
            return
        await self._pass_on_keys()

    async def _pass_on_keys(self) -> None:
        typed, self._typed_behind, self._busy_since = self._typed_behind, [], None
        self._ends_prompt = False
        for each in typed:
            await self.on_event(each)

    async def on_key(self, event: Key) -> None:
        """Say of a key that it does nothing, where no binding takes it; this runs before them."""
        if not self.views.stack or self.view.prompt.mode or self.screen is not self.view:
            return
        if not any(key in self.screen.active_bindings for key in (event.key, *event.aliases)):
            shown = event.character if event.is_printable else key_name(event.key)
            self.flash(
                f"{shown} does nothing here; {self.keys.key_of('help')} lists the keys", Tone.DIM
            )

    # -- actions ------------------------------------------------------------------------------

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Whether the view that is shown has this key."""
        if action != "do" or not self.views.stack:
            return True
        name = str(parameters[0])
        if name in CHANGES and not self.operates:
            return False
        argument = str(parameters[1]) if len(parameters) > 1 else ""
        return self.view.has_key(name, argument)

    def does(self) -> Mapping[str, Callable[..., object]]:
        """What each action of the table does, by its id."""
        views, operations, state = self.views, self.operations, self.state
        return {
            "command": self._command_line.open,
            "command_palette": self.action_command_palette,
            "filter": self._filter,
            "help": lambda: views.show_help(operations.refusal),
            "close": self._close,
            "back": self._back,
            "leave": self.leaving.leave,
            "suspend": self.leaving.suspend,
            "why": self._why,
            "logs": lambda: self._asking.ask_log(self.view.pod_under_cursor),
            "log": self._asking.change_log,
            "operate": operations.by_key,
            "undo": operations.undo,
            "end": self._end,
            "end_above": self._end_above,
            "cancel_task": lambda: operations.act_on_task(CANCEL),
            "retry_task": lambda: operations.act_on_task(RETRY),
            "longest": self._to_longest,
            "history": views.show_history,
            "still": lambda: self._look(state.toggle_still),
            "step": lambda step: self._say_where(state.step(Step(step))),
            "copy": self._exports.copy_key,
            "copy_row": self._exports.copy_row,
            "save": self._exports.ask_name,
            "scope": lambda: self._look(state.show_only, Scope()),
            "zoom": views.zoom,
            "show": views.show,
            "tab": lambda tab: views.show_page(self.view.pool, tab),
            "turn": lambda steps: views.turn(int(steps)),
            "next_panel": lambda: self._move_focus(self.screen.focus_next),
            "previous_panel": lambda: self._move_focus(self.screen.focus_previous),
            "header": self._fold,
            "redraw": self.action_redraw,
        }

    async def action_do(self, name: str, argument: str = "") -> None:
        """Do what this action of the table says. What changes something is never about a row that
        has come under the cursor while the key was pressed.
        """
        table = self.view.filtered
        if name in CHANGES and table is not None and table.has_just_moved:
            self.flash(f"{table.cursor_key} has just come to this place: press it again")
            return
        does = self.does()[name]
        done = does(argument) if argument else does()
        if isawaitable(done):
            await done

    async def action_run(self, handler: str) -> None:
        """Do what a key would do: in the panel with the focus, where it has it, or in the view."""
        panel = self.screen.focused
        if panel is not None or handler.startswith("app."):
            await self.run_action(handler, default_namespace=panel or self)

    async def action_crumb(self, index: int) -> None:
        """Go back to this view of the path."""
        if index < len(self.views.stack):
            await self.views.go_to(self.views.stack[index])

    async def action_quit(self) -> None:
        """Textual's own ctrl-q ends in this."""
        self.leaving.leave("ctrl-q")

    def _filter(self) -> None:
        if not self.view.open_filter(self._filter_history):
            self.flash("nothing to filter here")

    async def _why(self) -> None:
        if pool := self.view.subject:
            await self.views.show_page(pool)
        else:
            self.flash("no pool under the cursor")

    async def _close(self) -> None:
        """Clear the filter; without one, go back to the view below. It never ends the session."""
        if not self.view.clear_filter() and not await self.views.go_back():
            self.flash(f"this is the first view; {self.keys.key_of('back')} quits", Tone.DIM)

    async def _back(self) -> None:
        """Go back to the view below; on the first view, quit."""
        if not await self.views.go_back():
            self.leaving.leave(self.keys.key_of("back"))

    def _end(self) -> None:
        row = self.view.row_under_cursor
        if isinstance(row, IntentChange):
            self.operations.end(row.key)

    def _to_longest(self) -> None:
        """Put the cursor on the task that has waited longest, of whichever priority."""
        table = self.view.filtered
        rows = () if table is None else table.shown_rows
        tasks = [each for each in rows if isinstance(each, TaskRow)]
        waiting = [each for each in tasks if each.state is TaskState.WAITING]
        if table is not None and waiting:
            table.select(min(waiting, key=lambda row: row.at).key)
        else:
            self.flash("no task waits")

    def _end_above(self) -> None:
        """End the first thing that a banner names."""
        if standing := standing_above(self.frame):
            self.operations.end(standing[0].key)
        else:
            self.flash("no freeze, pause or hold of a tenant or the fleet stands")

    def _move_focus(self, move: Callable[[], object]) -> None:
        move()
        self.draw_chrome()

    def _fold(self) -> None:
        self._folded = not self._folded
        self.draw()

    def _look(self, change: Callable[..., object], *given: object) -> None:
        """Change what is shown, and draw it."""
        change(*given)
        self.draw()

    def go_to(self, time: str) -> None:
        """Show the moment of a time as it is typed. Raises ValueError."""
        self._say_where(self.state.go_to(time, self.now))

    def _say_where(self, missing: str) -> None:
        """Draw another moment; say what is `missing`, or cannot be read of a journal."""
        self.draw()
        if missing:
            self.flash(missing, Tone.DIM)
        if note := self.state.new_note():
            self.flash(note)

    # -- commands -----------------------------------------------------------------------------

    async def run_command(self, command: ParsedCommand) -> None:
        """Do what a command says that only looks."""
        match command.name:
            case "quit":
                self.leaving.leave()
            case "help" | "history" | "undo":
                await self.action_do(command.name)
            case "live":
                self._look(self.state.go_live)
            case "pool":
                await self.views.show_page(command.pool)
            case "tenant":
                self._look(self.state.show_only, Scope(tenant=command.tenant))
                if self.frame.leaves_out(self.view.pool):
                    await self.views.go_to(self.views.overview)
            case "theme":
                self._use_theme(command.choice)
            case _:
                await self._show_view(command)

    async def _show_view(self, command: ParsedCommand) -> None:
        """Show a view, of one tenant or pool if the command names it."""
        if command.tenant:
            self.state.show_only(Scope(tenant=command.tenant))
        if command.pool and command.name in PAGE_TABS:
            await self.views.show_page(command.pool, command.name)
        elif command.pool:
            await self.views.show_page(command.pool)
        else:
            view = views()[command.name]
            await self.views.show(view.screen or view.name)
            if Need.DOCTOR in view.needs:
                self._asking.ask_doctor()

    def _use_theme(self, name: str) -> None:
        self.theme = name
        problem = self._remember_theme(name)
        if problem is None:
            self.flash(f"theme {name}; it is remembered", Tone.OK)
        else:
            self.flash(f"theme {name} until you leave: {problem}")

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


# each gives the terminal back first; the last two come when it closes, and by ctrl-\ from elsewhere
_ENDED_BY: Final = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT)


def run_dashboard(
    feed: Feed, *, on_ready: Callable[[], None], for_s: float | None = None, **given: Any
) -> int:
    """Run the dashboard until a person quits, a signal ends it, or `for_s` seconds are over.

    The other arguments are those of `Dashboard`. Returns the exit code: 1 after an error.
    """

    def ready() -> None:
        loop = asyncio.get_running_loop()
        for number in _ENDED_BY:
            loop.add_signal_handler(number, dashboard.exit)
        if for_s is not None:
            loop.call_later(for_s, dashboard.exit)
        on_ready()

    dashboard = Dashboard(feed, on_ready=ready, erases_in_color=_erases_in_color(), **given)
    dashboard.run()
    return dashboard.return_code or 0


def _erases_in_color() -> bool:
    """Whether the terminal says that it erases cells in the background colour."""
    try:
        curses.setupterm(fd=sys.__stdout__.fileno() if sys.__stdout__ is not None else -1)
        # a number: 1 if so, 0 if not, -1 for a name that is none
        return curses.tigetflag("bce") > 0 and curses.tigetstr("ech") is not None
    except curses.error:
        return False
