"""The input line for commands and filters, at the bottom of the screen."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import ClassVar, Final, NamedTuple, TypeAlias

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal
from textual.events import Key, Resize
from textual.message import Message
from textual.suggester import Suggester
from textual.widgets import Input

from agentdash.tui.lines import Span, Tone, cut, line, width_of, wrap
from agentdash.tui.widgets.lines_widget import LinesWidget
from controller.model.text import clean

Completer: TypeAlias = Callable[[str], Sequence[str]]
"""Gives the whole lines that a text can be completed to."""


class PromptUse(NamedTuple):
    """What the prompt is open for: its symbol is `mode`. `entered` takes a line, `pressed` the one
    key of an answer and whether its question could be read by then. `left` is called when a person
    leaves it; `back`: by backspace. `changed` follows what is typed. `history` has the lines
    entered before, the newest at its end.
    """

    mode: str
    entered: Callable[[str], object]
    left: Callable[[bool], object]
    changed: Callable[[str], object] = lambda _: None
    pressed: Callable[[str, bool], object] = lambda *_: None
    completer: Completer = lambda _: ()
    history: list[str] = []  # noqa: RUF012 - nothing is entered without one


COMMAND: Final = ":"
FILTER: Final = "/"
ASK: Final = "?"
SAVE: Final = ">"
_NOTE_PERCENT: Final = 45
"""The share of the line that a note has at least."""
_NOTE_LINES: Final = 3


class _FirstCompletion(Suggester):
    """Suggests the first completion, which Textual shows in grey behind the cursor."""

    def __init__(self, completer: Completer) -> None:
        super().__init__(use_cache=False, case_sensitive=True)
        self._completer = completer

    async def get_suggestion(self, value: str) -> str | None:
        """The first whole line that begins with the text."""
        if not value:
            return None
        found = (clean(each) for each in self._completer(value))
        return next((each for each in found if each.startswith(value)), None)


class PromptInput(Input):
    """An input line: tab completes, up and down go through the lines entered before."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("tab", "complete", "complete", show=False),
        Binding("up", "recall(1)", "older", show=False),
        Binding("down", "recall(-1)", "newer", show=False),
        Binding("escape", "cancel", "cancel", show=False),
        Binding("ctrl+c", "cancel", "cancel", show=False),
    ]

    class Entered(Message):
        """A person entered a line. The app deals with it, and with the keys that come behind it."""

        def __init__(self, use: PromptUse, text: str) -> None:
            super().__init__()
            self.use, self.text = use, text

    class Left(Message):
        """A person has left the prompt. The keys that come behind it belong to the view."""

    def __init__(self) -> None:
        super().__init__(compact=True, select_on_focus=False)
        self.cursor_blink = False
        self.use = PromptUse("", lambda _: None, lambda _: None)
        self._steps_back = 0
        self._offered: list[str] = []
        self.one_key_since: float | None = None
        self._held: list[Key] | None = None

    def hold_keys(self) -> None:
        """Keep the keys that come until it is known since when the question can be read."""
        self.value, self._held, self.one_key_since = "", [], None

    def take_one_key(self, since: float) -> None:
        """Let the next key be the answer; one that was pressed before `since` is none."""
        held, self._held = self._held, None
        if held is not None:
            self.one_key_since = since
            for each in held:
                self._answer(each, since)

    def take_lines(self) -> None:
        """Let enter end an answer."""
        self._held = self.one_key_since = None

    def _answer(self, event: Key, since: float) -> None:
        self.use.pressed((event.character or "").strip(), event.time >= since)

    def validate_value(self, value: str) -> str:
        """Clean pasted text and completed names: they come from outside."""
        return clean(value)

    def open(self, use: PromptUse, text: str) -> None:
        """Begin with this text."""
        self.use, self._steps_back, self._offered = use, 0, []
        self.take_lines()
        self.suggester = _FirstCompletion(use.completer)
        self._set(text)

    def action_complete(self) -> None:
        """Take the first completion of what was typed, and with each further tab the next one."""
        if self.value not in self._offered:
            self._offered = [clean(each) for each in self.use.completer(self.value)]
        found = self._offered
        if found:
            index = found.index(self.value) + 1 if self.value in found else 0
            self._set(found[index % len(found)])

    def action_recall(self, step: int) -> None:
        """Show the line that was entered before this one, or after it."""
        steps_back = self._steps_back + step
        if 0 < steps_back <= len(self.use.history):
            self._steps_back = steps_back
            self._set(self.use.history[-steps_back])
        elif steps_back == 0 and self._steps_back:
            self._steps_back = 0
            self._set("")

    def _set(self, text: str) -> None:
        self.value = text
        self.cursor_position = len(text)

    def action_cancel(self) -> None:
        """Leave the prompt."""
        self.use.left(False)
        self.post_message(self.Left())

    async def action_submit(self) -> None:
        """Hand over the line. What is typed behind an answer belongs to the next question."""
        text, history = self.value.strip(), self.use.history
        if self.use.mode == ASK:
            self.value = ""
        elif text and history[-1:] != [text]:
            history.append(text)
        self.post_message(self.Entered(self.use, text))

    async def on_key(self, event: Key) -> None:
        """Backspace on an empty line leaves the prompt. Enter ends an answer here: as a binding it
        would come after the letters that are typed behind it.
        """
        since, held = self.one_key_since, self._held
        if (since, held) != (None, None) and (event.is_printable or event.key == "enter"):
            event.stop()
            event.prevent_default()
            if held is not None:
                held.append(event)
            elif since is not None:
                self._answer(event, since)
        elif event.key == "enter" and self.use.mode == ASK:
            event.stop()
            event.prevent_default()
            await self.action_submit()
        if event.key == "backspace" and not self.value:
            event.stop()
            event.prevent_default()
            self.use.left(True)


class Prompt(Horizontal):
    """The mode's symbol, the input line, and a note about what is typed.

    `mode` is COMMAND, FILTER, ASK or SAVE, and empty while the prompt is closed.
    """

    def __init__(self, *, id: str) -> None:  # noqa: A002 - Textual's name
        super().__init__(id=id)
        self.mode = ""
        self._symbol = LinesWidget(id="prompt-symbol")
        self.input = PromptInput()
        self._note = LinesWidget(id="prompt-note")
        self._noted: tuple[str, Tone] = ("", Tone.DIM)
        self._laid_out_for = 0

    def compose(self) -> ComposeResult:
        """From left to right."""
        yield self._symbol
        yield self.input
        yield self._note

    def open(self, use: PromptUse, text: str = "") -> None:
        """Show the prompt, beginning with this text, and give it the focus."""
        self.mode = use.mode
        self.display = True
        self.label(use.mode)
        self.input.open(use, text)
        self.screen.set_focus(self.input)

    def on_input_changed(self, event: Input.Changed) -> None:
        """Tell what is typed, while the prompt is open."""
        event.stop()
        if self.mode:
            self.input.use.changed(event.value)

    def label(self, text: str) -> None:
        """Show this before the input line: the mode's symbol, or a question."""
        self._symbol.styles.width = width_of(text) + (2 if self.mode == ASK else 1)
        self._symbol.show(lambda *_: [line(Span(f" {text}", Tone.TITLE))])

    def close(self) -> None:
        """Hide the prompt."""
        self.mode = ""
        self.display = False
        self.styles.height = 1

    def on_resize(self, event: Resize) -> None:
        """Lay the note out again for another width. That a question could not be read is over."""
        if event.size.width != self._laid_out_for:
            self._laid_out_for = event.size.width
            is_over = self.mode == ASK and self._noted[1] is Tone.WARN
            self.note(*(("", Tone.DIM) if is_over else self._noted))

    def note(self, text: str, tone: Tone = Tone.DIM) -> None:
        """Show a note about what is typed; a warning whole, on more lines if it must."""
        self._noted = text, tone
        share = self.size.width * _NOTE_PERCENT // 100
        if tone is not Tone.WARN or width_of(text) <= share or not share:
            self._size_note(1, f"{_NOTE_PERCENT}%")
            self._note.show(lambda width, _: [line(Span(cut(text, width), tone))])
            return
        free = max(share, min(width_of(text), self.size.width - self._taken()))
        lines = [line(Span(each, tone)) for each in wrap(text, free)[:_NOTE_LINES]]
        self._size_note(len(lines), free)
        self._note.show(lambda *_: lines)

    def _size_note(self, height: int, width: int | str) -> None:
        self._note.styles.width = width
        self.styles.height = self._note.styles.height = height

    def _taken(self) -> int:
        """The cells of the symbol and of what is typed, with the completion behind it."""
        typed = self.input.value
        found = (clean(each) for each in (self.input.use.completer(typed) if typed else ()))
        shown = next((each for each in found if each.startswith(typed)), typed)
        return self._symbol.size.width + width_of(shown) + 2
