"""Asking for something in the dashboard: the form, the blast radius, the confirmation, the answer.

It is bound to what a person had under the cursor when the key was pressed, however rows move.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Sequence
from enum import Enum
from typing import TYPE_CHECKING, Final

from agentdash.danger import Danger, danger_of
from agentdash.tui.actions import operating_action
from agentdash.tui.lines import Line, Span, Tone, cut, left_and_right, line, wrap
from agentdash.tui.operating import NotDoneError, Operating, Preview, TakenError
from agentdash.tui.requests import (
    VERBS,
    AnswerError,
    Form,
    Verb,
    parse_request,
)
from agentdash.tui.tables.log import LogRow, is_mine
from controller.model.intents import (
    IntentChange,
    IntentKey,
    IntentKind,
    Scope,
    asked_words,
    change_words,
    key_words,
    last_of,
    scope_name,
    until_words,
)

if TYPE_CHECKING:
    from agentdash.tui.app import Dashboard
    from agentdash.tui.screens.base import ViewScreen

UNDO_S: Final = 30.0
_SHOW_WAITING_AFTER_S: Final = 0.2
_YES: Final = frozenset({"y", "yes"})
_MOST_LINES: Final = 6
_NOT_CONFIRMED: Final = "not confirmed: nothing was changed"
_NOT_SEEN: Final = "too small to read what is asked: enlarge the terminal"


_PAST: Final = "this is the past; :live goes back to now"
_NOTHING_SEEN: Final = "no snapshot has come yet, so nothing is known of the fleet"
_OLD: Final = "no news has come: what is shown may be old"


class _Stage(Enum):
    CLOSED = "closed"
    FORM = "form"
    LOOKING = "looking"
    CONFIRMING = "confirming"
    WRITING = "writing"


class Operations:
    """One request at a time. `operator` is None in a dashboard that cannot ask for anything.
    `on_done` is called after each change.
    """

    def __init__(
        self,
        app: Dashboard,
        operator: Operating | None,
        *,
        on_done: Callable[[], None],
    ) -> None:
        self._app = app
        self._on_done = on_done
        self._operator = operator
        self._close()

    def _close(self) -> None:
        self._stage = _Stage.CLOSED
        self._form: Form | None = None
        self._undoes: IntentChange | None = None
        self._preview: Preview | None = None
        self._view: ViewScreen | None = None
        self._note = ""
        self._waits_visibly = False

    @property
    def is_possible(self) -> bool:
        """Whether this dashboard has keys to operate with, even if they are off now."""
        return self._operator is not None

    @property
    def who(self) -> str:
        """The person at the dashboard."""
        return "" if self._operator is None else self._operator.who

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
            self._begin(self._new_form(VERBS[verb], scope))
        except AnswerError as error:
            self._app.flash(str(error))

    def by_command(
        self, verb: Verb, scope: Scope, words: Sequence[str], *, takes_back: bool
    ) -> None:
        """A command was entered. Raises AnswerError."""
        if self.refusal is not None:
            raise AnswerError(f"off: {self.refusal}")
        blank = self._new_form(verb, scope)
        self._begin(
            parse_request(
                verb,
                words,
                takes_back=takes_back,
                scope=scope,
                now=self._app.now,
                reset_at=blank.reset_at,
            ),
            toggles=False,
        )

    def undo(self) -> None:
        """Take back the person's own change: in the audit the one under the cursor, else the last
        one.
        """
        if not self.is_possible:
            self._app.flash("nothing can be asked for in this dashboard", Tone.DIM)
            return
        row = self._app.view.row_under_cursor
        change = row.change if isinstance(row, LogRow) else None
        if change is not None and not is_mine(change, self._app.frame):
            self._app.flash("only your own changes that stand can be taken back")
            return
        if self.refusal is not None:
            self._app.flash(f"undo is off: {self.refusal}")
            return
        self._open()
        self._look(self._find_undo(change))

    def end(self, key: IntentKey) -> None:
        """End what stands here."""
        if self.refusal is not None:
            self._app.flash(f"end is off: {self.refusal}")
            return
        verb = next(each for each in VERBS.values() if each.kind is key.kind)
        self._begin(Form(verb, key.scope, takes_back=True))

    def _new_form(self, verb: Verb, scope: Scope) -> Form:
        if verb.kind is not IntentKind.BUDGET:
            return Form(verb, scope)
        tenants = () if self._app.snapshot is None else self._app.snapshot.tenants
        view = next((each for each in tenants if each.name == scope.tenant), None)
        if view is None or view.tokens is None:
            raise AnswerError(
                f"the fleet file gives {scope.tenant} no tokens_per_day, so its tokens are not"
                " counted: give it a budget there first"
            )
        return Form(verb, scope, reset_at=view.tokens.resets_at)

    def _open(self) -> None:
        self._close()
        self._view = self._app.view

    def _begin(self, form: Form, *, toggles: bool = True) -> None:
        self._open()
        self._form = form
        if form.asking is None:
            self._look(self._find_effect(form))
            return
        self._stage = _Stage.FORM
        self._show(clear=True)
        self._run(self._find_standing(form.key, toggles=toggles))

    # -- what is asked of the engine ----------------------------------------------------------

    def _run(self, asked: Coroutine[object, object, None]) -> None:
        self._app.run_worker(asked, group="operate", exclusive=True)

    def _look(self, asked: Coroutine[object, object, None]) -> None:
        self._wait(_Stage.LOOKING, asked)

    def _wait(self, stage: _Stage, asked: Coroutine[object, object, None]) -> None:
        self._stage, self._waits_visibly = stage, False
        self._show(clear=True)
        self._app.set_timer(_SHOW_WAITING_AFTER_S, self._say_waiting)
        self._run(asked)

    def _say_waiting(self) -> None:
        if self._stage in {_Stage.LOOKING, _Stage.WRITING}:
            self._waits_visibly = True
            self._show()

    async def _find_standing(self, key: IntentKey, *, toggles: bool) -> None:
        operator = self._operator
        if operator is None:
            return
        try:
            standing = await operator.find(key)
        except NotDoneError as error:
            self._give_up(str(error))
            return
        if self._form is None or self._stage is not _Stage.FORM:
            return
        self._form = self._form.found(standing) if toggles else self._form.known(standing)
        self._show()

    async def _find_effect(self, form: Form) -> None:
        operator = self._operator
        if operator is None:
            return
        try:
            preview = await operator.preview(form.key, form.intent())
        except NotDoneError as error:
            self._give_up(str(error))
            return
        if form.takes_back and preview.replaces is None:
            self._give_up(f"there is no such thing to take back: {key_words(form.key)}")
            return
        self._confirm(preview)

    async def _find_undo(self, change: IntentChange | None) -> None:
        operator = self._operator
        if operator is None:
            return
        try:
            if change is None:
                change = last_of((await operator.audit()).changes, operator.who)
            if change is None:
                self._give_up("you have changed nothing that could be taken back")
                return
            self._undoes = change
            preview = await operator.preview(change.key, change.before)
        except NotDoneError as error:
            self._give_up(str(error))
            return
        self._confirm(preview)

    async def _write(self) -> None:
        operator, preview, form = self._operator, self._preview, self._form
        if operator is None or preview is None:
            return
        try:
            if self._undoes is not None:
                change = await operator.undo(self._undoes)
            elif form is not None and (intent := form.intent()) is not None:
                change = await operator.put(intent, replaces=preview.replaces)
            elif form is not None:
                replaces, why = preview.replaces or 0, form.why or ""
                change = await operator.withdraw(form.key, replaces=replaces, why=why)
        except TakenError as error:
            if error.replaces is None or form is None:
                self._give_up(str(error))
                return
            self._note = str(error)
            self._look(self._find_effect(form))
            return
        except NotDoneError as error:
            self._give_up(str(error))
            return
        self._done(change)

    # -- what the person answers --------------------------------------------------------------

    def answer(self, text: str) -> None:
        """The person has answered what the prompt asks."""
        match self._stage:
            case _Stage.FORM if self._form is not None:
                try:
                    self._form = self._form.answered(text, self._app.now)
                except AnswerError as error:
                    self._ask_again(text, str(error))
                    return
                if self._form.asking is None:
                    self._look(self._find_effect(self._form))
                else:
                    self._show()
            case _Stage.CONFIRMING:
                self._decide(text)
            case _:
                return

    def _ask_again(self, text: str, words: str) -> None:
        prompt = self._app.view.prompt
        prompt.note(words, Tone.WARN)
        if not prompt.input.value:
            prompt.input.value = text
            prompt.input.cursor_position = len(text)

    def _decide(self, text: str) -> None:
        if self._danger is Danger.FLEET and text and text != self._fleet:
            self._ask_again(text, f"that is not {self._fleet}; esc leaves")
            return
        agrees = text == self._fleet if self._danger is Danger.FLEET else text.lower() in _YES
        if not agrees:
            self._give_up(_NOT_CONFIRMED, Tone.DIM)
            return
        if self._app.view.is_too_small:
            self._ask_again(text, _NOT_SEEN)
            return
        self._wait(_Stage.WRITING, self._write())

    def cancel(self, *, back: bool) -> None:
        """The person leaves; `back`: only the question, for the one before it."""
        if self._stage is _Stage.WRITING:
            self._app.view.prompt.note("it is being written already", Tone.WARN)
            return
        before = self._form.back() if back and self._form is not None else None
        if before is not None and self._stage is _Stage.FORM:
            self._form = before
            self._show(clear=True)
            return
        self._give_up("left: nothing was changed", Tone.DIM)

    def leave(self) -> None:
        """Another view opens: what is not confirmed is not asked for."""
        if self._stage is not _Stage.CLOSED:
            self._give_up("left: nothing was changed", Tone.DIM)

    def _give_up(self, words: str, tone: Tone = Tone.WARN) -> None:
        if self._stage is not _Stage.WRITING:
            self._app.workers.cancel_group(self._app, "operate")
        self._end()
        self._app.flash(words, tone, UNDO_S if tone is Tone.WARN else None)

    def _done(self, change: IntentChange) -> None:
        self._end()
        after, what = change.after, f"the {change.key.kind} is taken back"
        if after is not None:
            what = f"{asked_words(after)}, {until_words(after.until, self._app.now)}"
        undo = "" if change.undoes is not None else "undo: u; "
        self._app.flash(f"done; {undo}{scope_name(change.key.scope)}: {what}", Tone.OK, UNDO_S)
        self._on_done()

    def _end(self) -> None:
        view = self._view
        self._close()
        if view is not None:
            view.close_prompt()

    def _confirm(self, preview: Preview) -> None:
        self._preview, self._stage = preview, _Stage.CONFIRMING
        self._show(clear=True)

    # -- what is shown ------------------------------------------------------------------------

    @property
    def _scope(self) -> Scope:
        if self._form is not None:
            return self._form.scope
        return Scope() if self._undoes is None else self._undoes.key.scope

    @property
    def _danger(self) -> Danger:
        return danger_of(self._scope)

    @property
    def _fleet(self) -> str:
        return "" if self._app.snapshot is None else self._app.snapshot.fleet

    def _show(self, *, clear: bool = False) -> None:
        view = self._view
        if view is None:
            return
        label, advice = self._question()
        lines = self._lines
        view.ask(lines, len(lines(view.size.width, 0)), label, clear=clear)
        view.prompt.note(advice)

    def _question(self) -> tuple[str, str]:
        match self._stage:
            case _Stage.FORM if self._form is not None:
                return self._form.question, self._form.advice(self._app.now)
            case _Stage.CONFIRMING if self._danger is Danger.FLEET:
                return f"the whole fleet: type {cut(self._fleet, 24)}", " esc leaves"
            case _Stage.CONFIRMING:
                scope = cut(scope_name(self._scope), 30)
                what = scope if self._danger is Danger.POOL else f"all pools of {scope}"
                stands = self._form is not None and not self._form.takes_back
                stands = stands and self._preview is not None and self._preview.replaces is not None
                verb = "replace it for" if stands else "do it for"
                return f"{verb} {what}? y/N", " esc leaves"
        return "", ("asking …" if self._waits_visibly else "")

    def _lines(self, width: int, height: int) -> list[Line]:
        del height
        builder: Callable[[int], list[Line]] = self._form_lines
        if self._stage in {_Stage.CONFIRMING, _Stage.WRITING} and self._preview is not None:
            builder = self._effect_lines
        return [row._replace(background=Tone.CURSOR_BLUR) for row in builder(width)][:_MOST_LINES]

    def _form_lines(self, width: int) -> list[Line]:
        form, now = self._form, self._app.now
        if form is None:
            return [line(Span(" undo", Tone.TITLE))]
        said = form.said(now)
        title: list[Span | str] = [Span(f" {form.title}", Tone.TITLE)]
        title.append(Span(f"   {said}" if said else "", Tone.HEADING))
        lines = [left_and_right(title, (Span("esc leaves ", Tone.DIM),), width)]
        lines += _text("", form.standing_words(now), width, Tone.WARN)
        return lines

    def _effect_lines(self, width: int) -> list[Line]:
        form, preview, now = self._form, self._preview, self._app.now
        lines = _text("", self._note, width, Tone.WARN)
        if preview is None:
            return lines
        effect = preview.effect.words()
        if self._undoes is not None:
            taken = f"undo: takes back {change_words(self._undoes)}"
            return lines + _text("", taken, width, Tone.TITLE) + _text("", effect, width)
        if form is None:
            return lines
        why = f"; why: {form.why}" if form.why else ""
        lines += _text("", f"{form.title}: {effect}", width, Tone.TITLE)
        lines += _text("", f"{form.asked(now)}; undo: u{why}", width)
        if preview.standing is not None and not self._note:
            stands = form.known(preview.standing).standing_words(now)
            lines += _text("in place of ", stands, width, Tone.WARN)
        return lines


def _text(label: str, text: str, width: int, tone: Tone = Tone.PLAIN) -> list[Line]:
    if not text:
        return []
    return [line(" ", Span(part, tone)) for part in wrap(label + text, max(width - 2, 10))]
