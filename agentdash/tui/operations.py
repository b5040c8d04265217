"""Asking for something in the dashboard: the questions, the blast radius, the confirmation, the
answer. A request is bound to what was under the cursor when the key was pressed, however rows move.
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

if TYPE_CHECKING:
    from agentdash.tui.app import Dashboard
    from agentdash.tui.screens.base import ViewScreen

UNDO_S: Final = 30.0
_SHOW_WAITING_AFTER_S: Final = 0.2
_YES: Final = "y"
_MOST_LINES: Final = 6
_LEFT: Final = "left: nothing was changed"
_PAST: Final = "this is the past; :live goes back to now"
_NOTHING_SEEN: Final = "no snapshot has come yet, so nothing is known of the fleet"
_OLD: Final = "no news has come: what is shown may be old"
T = TypeVar("T")


class _LeftError(Exception):
    """The person does not agree; the text says so."""


class Operations:
    """One request at a time. `operator` is None in a dashboard that cannot ask for anything.
    `on_done` is called after each change.
    """

    def __init__(
        self, app: Dashboard, operator: Operating | None, *, on_done: Callable[[], None]
    ) -> None:
        self._app = app
        self._on_done = on_done
        self._operator = operator
        self._view: ViewScreen | None = None
        self._close()

    def _close(self) -> None:
        self._request: Request | None = None
        self._preview: Preview | None = None
        self._answers: asyncio.Queue[str | None] = asyncio.Queue()
        self._label, self._advice, self._note = "", "", ""
        self._is_asking = self._is_writing = self._by_one_key = False
        view, self._view = self._view, None
        if view is not None:
            view.close_prompt()

    @property
    def is_possible(self) -> bool:
        """Whether this dashboard has keys to operate with, even if they are off now."""
        return self._operator is not None

    @property
    def refusal(self) -> str | None:
        """Why nothing can be asked for now. A request meets the present, which the past is not."""
        if self._operator is None:
            return None
        if self._app.shows_the_past:
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
        """Take back the person's own change: in the audit the one under the cursor, else the last
        one.
        """
        row = self._app.view.row_under_cursor
        change = row.change if isinstance(row, LogRow) else None
        if not self.is_possible:
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
        tenants = () if self._app.snapshot is None else self._app.snapshot.tenants
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
            request = self._request or await self._last_change(operator)
            if request.asking is not None:
                request = await self._filled(request, operator, toggles=toggles)
            change = await self._agreed(request, operator)
        except _LeftError as left:
            self._end(str(left), Tone.DIM)
        except NotDoneError as error:
            self._end(str(error), Tone.WARN)
        else:
            self._done(change)

    async def _last_change(self, operator: Operating) -> Request:
        changes = (await self._waited(operator.audit())).changes
        change = last_of(changes, operator.who, self._app.now)
        if change is None:
            raise NotDoneError("you have changed nothing that could be taken back")
        self._request = _undoing(change)
        return self._request

    async def _filled(self, request: Request, operator: Operating, *, toggles: bool) -> Request:
        """Ask until nothing is left to be asked. What stands there is looked for meanwhile."""
        request = replace(request, standing=await operator.find(request.key))
        request = request.toggled() if toggles else request
        self._question(request)
        while request.asking is not None:
            request = self._answered(request, await self._answers.get())
        return request

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
        waiting = self._app.set_timer(_SHOW_WAITING_AFTER_S, self._say_waiting)
        try:
            return await asked
        finally:
            waiting.stop()

    def _say_waiting(self) -> None:
        self._advice = "asking …"
        self._show()

    async def _confirmation(self, request: Request, seen: Preview) -> None:
        """Return once the person agrees: by y for a pool or a tenant, by the fleet's name for all
        of it. Raises _LeftError.
        """
        fleet = "" if self._app.snapshot is None else self._app.snapshot.fleet
        of_fleet = reach_of(request.scope) is Reach.FLEET
        verb = "do it for" if request.takes_back or seen.replaces is None else "replace it for"
        self._label = f"{verb} {cut(confirmed_for(request.scope), 44)}? y/N"
        self._advice = "y does it, any other key leaves"
        if of_fleet:
            self._label, self._advice = f"the whole fleet: type {cut(fleet, 24)}", " esc leaves"
        self._answers = asyncio.Queue()
        self._is_asking, self._by_one_key = True, not of_fleet
        self._show(clear=True)
        while True:
            text = await self._answers.get()
            if of_fleet and text and text != fleet:
                self._ask_again(text, f"that is not {fleet}; esc leaves")
            elif text != fleet if of_fleet else (text or "").lower() != _YES:
                raise _LeftError("not confirmed: nothing was changed")
            elif self._app.view.is_too_small:
                self._ask_again(text or "", "too small to read what is asked: enlarge the terminal")
            else:
                return

    # -- what the person answers --------------------------------------------------------------

    def answer(self, text: str, *, by_one_key: bool) -> None:
        """The person has answered what the prompt asks. A line that was typed before the question
        could be read is no answer to one that takes a key.
        """
        if self._is_asking and by_one_key is self._by_one_key:
            self._answers.put_nowait(text)

    def _ask_again(self, text: str, words: str) -> None:
        prompt = self._app.view.prompt
        prompt.note(words, Tone.WARN)
        if not prompt.input.value and not self._by_one_key:
            prompt.input.value = text
            prompt.input.cursor_position = len(text)

    def cancel(self, *, back: bool) -> None:
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
            self._end(_LEFT, Tone.DIM)

    def _end(self, words: str, tone: Tone) -> None:
        self._close()
        self._app.flash(words, tone, None if tone is Tone.DIM else UNDO_S)

    def _done(self, change: IntentChange) -> None:
        after, what = change.after, f"the {change.key.kind} is taken back"
        if after is not None:
            what = f"{asked_words(after)}, {until_words(after.until, self._app.now)}"
        undo = "" if change.undoes is not None else "undo: u; "
        self._end(f"done; {undo}{scope_name(change.key.scope)}: {what}", Tone.OK)
        self._on_done()

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
        view.ask(self._lines, height, self._label, clear=clear, one_key=self._by_one_key)
        view.prompt.note(self._advice)

    def _lines(self, width: int, height: int) -> list[Line]:
        del height
        request, now = self._request, self._app.now
        lines = [line(Span(" undo", Tone.TITLE))]
        if request is not None and self._preview is not None:
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
        return [row._replace(background=Tone.CURSOR_BLUR) for row in lines][:_MOST_LINES]


def _undoing(change: IntentChange) -> Request:
    return Request(verb_of(change.key.kind), change.key.scope, undoes=change)


def _text(text: str, width: int, tone: Tone) -> list[Line]:
    return [line(" ", Span(part, tone)) for part in wrap(text, max(width - 2, 10))]
