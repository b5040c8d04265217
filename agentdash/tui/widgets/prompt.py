"""The line for commands and filters: docked, no dialog; all letters are its own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import ClassVar, Final

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal
from textual.events import Key
from textual.message import Message
from textual.suggester import Suggester
from textual.widgets import Input

from agentdash.tui.lines import Span, Tone, cut, line
from agentdash.tui.widgets.lined import Lined
from controller.model.text import clean

Complete = Callable[[str], Sequence[str]]
COMMAND: Final = ":"
FILTER: Final = "/"


class _Nearest(Suggester):
    """Offers the first completion in grey behind the cursor."""

    def __init__(self, complete: Complete) -> None:
        super().__init__(use_cache=False, case_sensitive=True)
        self._complete = complete

    async def get_suggestion(self, value: str) -> str | None:
        """The whole line that the text may become."""
        if not value:
            return None
        found = (clean(each) for each in self._complete(value))
        return next((each for each in found if each.startswith(value)), None)


class PromptInput(Input):
    """An input line with completion on tab and history on up and down."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("tab", "complete", "complete", show=False),
        Binding("up", "older", "older", show=False),
        Binding("down", "newer", "newer", show=False),
        Binding("escape", "cancel", "cancel", show=False),
        Binding("ctrl+c", "cancel", "cancel", show=False),
    ]

    class Cancelled(Message):
        """The prompt was left without an answer."""

    def __init__(self) -> None:
        super().__init__(compact=True, select_on_focus=False)
        self.cursor_blink = False
        self._complete: Complete = _none
        self._history: list[str] = []
        self._back = 0

    def validate_value(self, value: str) -> str:
        """Pasted text and completed names are cleaned like all text from outside."""
        return clean(value)

    def open(self, text: str, complete: Complete, history: Sequence[str]) -> None:
        """Begin with this text."""
        self._complete, self._history, self._back = complete, list(history), 0
        self.suggester = _Nearest(complete)
        self.value = text
        self.cursor_position = len(text)

    def completions(self, text: str) -> Sequence[str]:
        """Whole lines that begin like this."""
        return self._complete(text)

    def action_complete(self) -> None:
        """Take the first completion, or the next one where the line is one already."""
        found = list(self._complete(self.value))
        if found:
            index = found.index(self.value) + 1 if self.value in found else 0
            self._set(found[index % len(found)])

    def action_older(self) -> None:
        """The line entered before."""
        self._recall(self._back + 1)

    def action_newer(self) -> None:
        """The line entered after."""
        self._recall(self._back - 1)

    def _recall(self, back: int) -> None:
        if 0 < back <= len(self._history):
            self._back = back
            self._set(self._history[-back])
        elif back == 0 and self._back:
            self._back = 0
            self._set("")

    def _set(self, text: str) -> None:
        self.value = text
        self.cursor_position = len(text)

    def action_cancel(self) -> None:
        """Leave."""
        self.post_message(self.Cancelled())

    def on_key(self, event: Key) -> None:
        """Backspace on an empty line closes it, and does nothing else."""
        if event.key == "backspace" and not self.value:
            event.stop()
            event.prevent_default()
            self.post_message(self.Cancelled())


class Prompt(Horizontal):
    """The sign, the line, and what to say about it."""

    def __init__(self, *, id: str | None = None) -> None:  # noqa: A002 - Textual's name
        super().__init__(id=id)
        self.mode = ""
        self._sign = Lined(id="prompt-sign")
        self.input = PromptInput()
        self._note = Lined(id="prompt-note")

    def compose(self) -> ComposeResult:
        """One row."""
        yield self._sign
        yield self.input
        yield self._note

    def open(self, mode: str, text: str, complete: Complete, history: Sequence[str]) -> None:
        """Show the line and take the keys."""
        self.mode = mode
        self.display = True
        self._sign.show(lambda *_: [line(Span(f" {mode}", Tone.TITLE))])
        self.input.open(text, complete, history)
        self.input.focus()

    def completions(self, text: str) -> Sequence[str]:
        """What the text may become."""
        return self.input.completions(text) if text else ()

    def close(self) -> None:
        """Put it away."""
        self.mode = ""
        self.display = False

    def note(self, text: str, tone: Tone = Tone.DIM) -> None:
        """A word about what is typed."""
        self._note.show(lambda width, _: [line(Span(cut(text, width), tone))])


def _none(text: str) -> Sequence[str]:
    del text
    return ()
