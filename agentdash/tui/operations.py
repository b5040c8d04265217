"""Asking for something in the dashboard: the questions, the blast radius, the confirmation, the
answer. A request is bound to what was under the cursor when the key was pressed, however rows move,
and so is what is done with a task.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Final, TypeVar

from agentdash.operate import (
    VERBS,
    AnswerError,
    NotDoneError,
    Operating,
    Preview,
    Reach,
    Request,
    TakenError,
    Verb,
    clock_words,
    confirmed_for,
    parse_request,
    reach_of,
    statement,
    uncounted,
    verb_of,
)
from agentdash.tui.actions import operating_action
from agentdash.tui.lines import Line, Span, Tone, cut, left_and_right, line, wrap
from agentdash.tui.tables.log import LogRow, is_mine
from agentdash.tui.tables.tasks import can_be_retried, is_open, state_word, task_lines
from agentdash.tui.view import standing_above
from agentdash.tui.widgets.prompt import ASK, PromptUse
from controller.model.intents import (
    IntentChange,
    IntentKey,
    IntentKind,
    Scope,
    asked_words,
    last_of,
    scope_name,
    stands,
    until_words,
)
from controller.model.tasks import TaskRow

if TYPE_CHECKING:
    from agentdash.tui.app import Dashboard
    from agentdash.tui.screens.base import ViewScreen

CANCEL: Final = "cancel"
RETRY: Final = "retry"
UNDO_S: Final = 30.0
_SHOW_WAITING_AFTER_S: Final = 0.2
_YES: Final = "y"
_MOST_LINES: Final = 6
_LEFT: Final = "left: nothing was changed"
_NOT_CONFIRMED: Final = "not confirmed: nothing was changed"
_TOO_EARLY: Final = "too early: press y again"
_PAST: Final = "this is the past; :live goes back to now"
_NOTHING_SEEN: Final = "no snapshot has come yet, so nothing is known of the fleet"
_OLD: Final = "no news has come: what is shown may be old"
T = TypeVar("T")


class _LeftError(Exception):
    """The person does not agree; the text says so."""


class Operations:
    """One request at a time, none without an `operator`; `on_done` follows each change."""

    def __init__(
        self, app: Dashboard, operator: Operating | None, *, on_done: Callable[[], None]
    ) -> None:
        self._app = app
        self._on_done = on_done
        self._operator = operator
        self._use = PromptUse(ASK, self._entered, self._left, pressed=self._pressed)
        self._view: ViewScreen | None = None
        self._close()

    def _close(self) -> None:
        self._request: Request | None = None
        self._preview: Preview | None = None
        self._answers: asyncio.Queue[str | None] = asyncio.Queue()
        self._task: tuple[str, TaskRow] | None = None
        self._label, self._advice, self._note = "", "", ""
        self._is_asking = self._is_writing = self._by_one_key = self._was_typed = False
        view, self._view = self._view, None
        if view is not None:
            view.close_prompt()

    @property
    def refusal(self) -> str | None:
        """Why nothing can be asked for now. A request meets the present, which the past is not."""
        if self._operator is None:
            return None
        if self._app.frame.moment is not None:
            return _PAST
        off = self._operator.refusal()
        if off is None and self._app.frame.snapshot is None:
            return _NOTHING_SEEN
        return _OLD if off is None and self._app.frame.stale else off

    # -- how a request begins -----------------------------------------------------------------

    def by_key(self, verb: str) -> None:
        """The key of this verb was pressed: ask about what is under the cursor now."""
        action, view = operating_action(verb), self._app.view
        scope = view.scope_under_cursor
        off = action.enabled(view.key_context(self.refusal))
        if off is not None or scope is None:
            self._app.flash(f"{action.title} is off: {off}")
            return
        try:
            self._begin(self._blank(VERBS[verb], scope), toggles=True)
        except AnswerError as error:
            self._app.flash(str(error))

    def act_on_task(self, act: str) -> None:
        """Ask whether to `cancel` or `retry` the task under the cursor."""
        row, off = self._app.view.row_under_cursor, self.refusal
        if not isinstance(row, TaskRow):
            self._app.flash(f"{act} is off: no task under the cursor")
            return
        if act == CANCEL and not is_open(row):
            off = f"{row.id} has ended, as {state_word(row)}"
        elif act == RETRY and not can_be_retried(row):
            off = "only a dead or failed one is tried again"
        if off is not None or self._operator is None:
            self._app.flash(f"{act} is off: {off}")
            return
        self._close()
        self._view, self._task = self._app.view, (act, row)
        self._label, self._advice = f"{act} {cut(row.id, 40)}? y/N", " esc leaves"
        self._is_asking = self._by_one_key = True
        self._show(clear=True)
        dialog = self._task_dialog(self._operator, act, row)
        self._app.run_worker(dialog, group="operate", exclusive=True)

    async def _task_dialog(self, operator: Operating, act: str, row: TaskRow) -> None:
        if (await self._answers.get() or "").lower() != _YES:
            self._end(_NOT_CONFIRMED, Tone.DIM)
            return
        self._close()
        # not in this worker: the next dialog would end it
        self._app.run_worker(self._act(operator, act, row), group="task act")

    async def _act(self, operator: Operating, act: str, row: TaskRow) -> None:
        why = f"by {operator.who}"
        try:
            said = await operator.of_tasks(
                lambda desk: desk.cancel(row, why) if act == CANCEL else desk.retry(row)
            )
        except NotDoneError as error:
            self._app.flash(str(error), seconds=UNDO_S)
        else:
            self._app.flash(said, Tone.OK, UNDO_S)
            self._on_done()

    def by_command(
        self, verb: Verb, scope: Scope, words: Sequence[str], *, takes_back: bool
    ) -> None:
        """A command was entered. Raises AnswerError."""
        if self.refusal is not None:
            raise AnswerError(f"off: {self.refusal}")
        blank = self._blank(verb, scope)
        if takes_back:
            blank = replace(blank, takes_back=True, why="")
        self._begin(parse_request(blank, words, self._app.now))

    def undo(self) -> None:
        """Take back one's own change: in the audit the one under the cursor, else the last."""
        row = self._app.view.row_under_cursor
        change = row.change if isinstance(row, LogRow) else None
        if not self._app.operates:
            self._app.flash("nothing can be asked for in this dashboard", Tone.DIM)
        elif change is not None and not is_mine(change, self._app.frame):
            self._app.flash("only your own changes that stand can be taken back")
        elif self.refusal is not None:
            self._app.flash(f"undo is off: {self.refusal}")
        else:
            self._begin(None if change is None else _undoing(change))

    def end(self, key: IntentKey) -> None:
        """End what stands here."""
        if self.refusal is not None:
            self._app.flash(f"end is off: {self.refusal}")
        else:
            self._begin(Request(verb_of(key.kind), key.scope, takes_back=True, why=""))

    def _blank(self, verb: Verb, scope: Scope) -> Request:
        if verb.kind is not IntentKind.BUDGET:
            return Request(verb, scope)
        tenants = () if self._app.frame.snapshot is None else self._app.frame.snapshot.tenants
        view = next((each for each in tenants if each.name == scope.tenant), None)
        if view is None or view.tokens is None:
            raise uncounted(scope.tenant)
        return Request(verb, scope, reset_at=view.tokens.resets_at)

    def _begin(self, request: Request | None, *, toggles: bool = False) -> None:
        self._close()
        if self._operator is None:
            return
        self._view, self._request = self._app.view, request
        # at once: what is typed behind the key belongs to the question
        if request is not None and request.asking is not None:
            self._question(request, clear=True)
        else:
            self._show(clear=True)
        dialog = self._dialog(self._operator, toggles=toggles)
        self._app.run_worker(dialog, group="operate", exclusive=True)

    # -- from the first question to the answer ------------------------------------------------

    async def _dialog(self, operator: Operating, *, toggles: bool) -> None:
        try:
            request = self._request
            if request is None:
                changes = (await self._waited(operator.audit())).changes
                change = last_of(changes, operator.who, self._app.now)
                if change is None:
                    raise NotDoneError("you have changed nothing that could be taken back")
                self._request = request = _undoing(change)
            if request.asking is not None:
                # what stands there is looked for while the person answers
                request = replace(request, standing=await operator.find(request.key))
                if toggles:
                    request = await self._toggled(request, operator)
                self._question(request)
            while request.asking is not None:
                request = self._answered(request, await self._answers.get())
            change = await self._agreed(request, operator)
        except _LeftError as left:
            self._end(str(left), Tone.DIM)
        except NotDoneError as error:
            self._end(str(error), Tone.WARN)
        else:
            after, what = change.after, f"the {change.key.kind} is taken back"
            if after is not None:
                what = f"{asked_words(after)}, {until_words(after.until, self._app.now)}"
            undo = "" if change.undoes is not None else "undo: u; "
            if words := clock_words(change, self._app.now):
                self._end(f"done; {words}", Tone.WARN)
            else:
                self._end(f"done; {undo}{scope_name(change.key.scope)}: {what}", Tone.OK)
            self._on_done()

    async def _toggled(self, request: Request, operator: Operating) -> Request:
        """The same by a key; it takes back what stands there, or for the tenant or the fleet."""
        tenant = (request.scope.pool or "").partition("/")[0]
        if request.standing is None and reach_of(request.scope) is not Reach.FLEET:
            for each in standing_above(self._app.frame):
                covers = each.scope.tenant in {None, tenant or request.scope.tenant}
                if each.kind is request.verb.kind and covers and each.scope != request.scope:
                    standing = await operator.find(each.key)
                    if standing is not None:
                        return replace(request, scope=each.scope, standing=standing).toggled()
        return request.toggled()

    def _answered(self, request: Request, text: str | None) -> Request:
        """The request with one more answer; None goes back to the question before."""
        if text is None:
            before = request.back()
            if before is None:
                raise _LeftError(_LEFT)
            self._question(before, clear=True)
            return before
        try:
            request = request.answered(text, self._app.now)
        except AnswerError as error:
            self._ask_again(text, str(error))
            return request
        self._question(request)
        return request

    async def _agreed(self, request: Request, operator: Operating) -> IntentChange:
        """Ask whether it is to be done, and do it; again where another operator was first."""
        while True:
            self._preview = seen = await self._waited(operator.preview(request))
            await self._confirmation(request, seen)
            self._is_writing = True
            try:
                return await self._waited(operator.write(request, seen))
            except TakenError as error:
                if error.replaces is None or request.undoes is not None:
                    raise
                self._note = str(error)
            finally:
                self._is_writing = False

    async def _waited(self, asked: Awaitable[T]) -> T:
        """The answer of the engine; what is typed meanwhile is no answer to anything."""
        self._label = self._advice = ""
        self._is_asking = self._by_one_key = False
        self._show(clear=True)

        def say_waiting() -> None:
            self._advice = "asking …"
            self._show()

        waiting = self._app.set_timer(_SHOW_WAITING_AFTER_S, say_waiting)
        try:
            return await asked
        finally:
            waiting.stop()

    async def _confirmation(self, request: Request, seen: Preview) -> None:
        """Return once the person agrees, by y or the fleet's name. Raises _LeftError."""
        fleet = "" if self._app.frame.snapshot is None else self._app.frame.snapshot.fleet
        of_fleet = reach_of(request.scope) is Reach.FLEET
        verb = "do it for" if request.takes_back or seen.replaces is None else "replace it for"
        self._label = f"{verb} {cut(confirmed_for(request.scope), 44)}? y/N"
        self._advice = "y does it, any other key leaves"
        if of_fleet:
            self._label, self._advice = f"the whole fleet: type {cut(fleet, 24)}", " esc leaves"
        self._answers = asyncio.Queue()
        self._is_asking, self._by_one_key = True, not of_fleet
        was_typed = self._was_typed
        self._show(clear=True)
        if (was_typed or self._was_typed) and not of_fleet:
            self._app.view.prompt.note(_TOO_EARLY, Tone.WARN)
        while True:
            text = await self._answers.get()
            if of_fleet and text and text != fleet:
                self._ask_again(text, f"that is not {fleet}; esc leaves")
            elif text != fleet if of_fleet else (text or "").lower() != _YES:
                raise _LeftError(_NOT_CONFIRMED)
            elif self._app.view.is_too_small:
                self._ask_again(text or "", "too small to read what is asked: enlarge the terminal")
            else:
                return

    # -- what the person answers --------------------------------------------------------------

    def _entered(self, text: str) -> None:
        """A line typed before the question could be read is no answer to one that takes a key."""
        if self._is_asking and not self._by_one_key:
            self._answers.put_nowait(text)

    def _pressed(self, key: str, could_be_read: bool) -> None:
        if not could_be_read:
            self._app.view.prompt.note(_TOO_EARLY, Tone.WARN)
        elif self._is_asking and self._by_one_key:
            self._answers.put_nowait(key)

    def _ask_again(self, text: str, words: str) -> None:
        prompt = self._app.view.prompt
        prompt.note(words, Tone.WARN)
        if not prompt.input.value and not self._by_one_key:
            prompt.input.value = text
            prompt.input.cursor_position = len(text)

    def _left(self, back: bool) -> None:
        """The person leaves; `back`: only the question, for the one before it."""
        if self._is_writing:
            self._app.view.prompt.note("it is being written already", Tone.WARN)
        elif back and self._is_asking and self._preview is None:
            self._answers.put_nowait(None)
        else:
            self.leave()

    def leave(self) -> None:
        """Another view opens: what is not confirmed is not asked for."""
        if self._view is not None and not self._is_writing:
            self._app.workers.cancel_group(self._app, "operate")
            self._end(_LEFT if self._task is None else _NOT_CONFIRMED, Tone.DIM)

    def _end(self, words: str, tone: Tone) -> None:
        self._close()
        self._app.flash(words, tone, None if tone is Tone.DIM else UNDO_S)

    # -- what is shown ------------------------------------------------------------------------

    def _question(self, request: Request, *, clear: bool = False) -> None:
        self._request, self._is_asking = request, True
        self._label, self._advice = request.question, request.advice(self._app.now)
        self._show(clear=clear)

    def _show(self, *, clear: bool = False) -> None:
        view = self._view
        if view is None:
            return
        height = len(self._lines(view.size.width, 0))
        one_key = self._by_one_key
        if clear:
            self._was_typed = bool(view.prompt.input.value)
        view.ask(self._use, self._lines, height, self._label, clear=clear, one_key=one_key)
        view.prompt.note(self._advice)

    def _lines(self, width: int, height: int) -> list[Line]:
        del height
        request, now = self._request, self._app.now
        lines = [line(Span(" undo", Tone.TITLE))]
        if self._task is not None:
            act, row = self._task
            lines = [line(Span(f" {act} {row.id} of {row.pool}", Tone.TITLE))]
            lines += task_lines(row, self._app.frame, width)
        elif request is not None and self._preview is not None:
            lines = _text(self._note, width, Tone.WARN)
            for number, text in enumerate(statement(request, self._preview, undo="u")):
                in_place = text.startswith("in place of")
                if not (in_place and self._note):
                    tone = Tone.WARN if in_place else Tone.PLAIN if number else Tone.TITLE
                    lines += _text(text, width, tone)
        elif request is not None:
            said = request.said(now)
            title = (Span(f" {request.title}", Tone.TITLE), Span(f"   {said}".rstrip()))
            lines = [left_and_right(title, (Span("esc leaves ", Tone.DIM),), width)]
            if request.standing is not None:
                lines += _text(stands(request.standing, now), width, Tone.WARN)
        most = _MOST_LINES if self._task is None else len(lines)
        return [row._replace(background=Tone.CURSOR_BLUR) for row in lines][:most]


def _undoing(change: IntentChange) -> Request:
    return Request(verb_of(change.key.kind), change.key.scope, undoes=change)


def _text(text: str, width: int, tone: Tone) -> list[Line]:
    return [line(" ", Span(part, tone)) for part in wrap(text, max(width - 2, 10))]
