"""The input line for commands and filters, at the bottom of the screen."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import ClassVar, Final, TypeAlias

from textual._time import get_time
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
        Binding("up", "older", "older", show=False),
        Binding("down", "newer", "newer", show=False),
        Binding("escape", "cancel", "cancel", show=False),
        Binding("ctrl+c", "cancel", "cancel", show=False),
    ]

    class Cancelled(Message):
        """The person left the prompt without pressing enter; `back`: by backspace."""

        def __init__(self, *, back: bool = False) -> None:
            super().__init__()
            self.back = back

    class Pressed(Message):
        """The person has answered by one key, `character`; enter has none."""

        def __init__(self, character: str) -> None:
            super().__init__()
            self.character = character

    def __init__(self) -> None:
        super().__init__(compact=True, select_on_focus=False)
        self.cursor_blink = False
        self._completer: Completer = _no_completions
        self._history: list[str] = []
        self._steps_back = 0
        self._offered: list[str] = []
        self.asks = False
        self._one_key_since: float | None = None

    @property
    def takes_one_key(self) -> bool:
        """Whether the next key is an answer."""
        return self._one_key_since is not None

    def take_one_key(self) -> None:
        """Let the next key be the answer; one that was pressed before is none."""
        self.value = ""
        self._one_key_since = get_time()

    def take_lines(self) -> None:
        """Let enter end an answer."""
        self._one_key_since = None

    def validate_value(self, value: str) -> str:
        """Clean pasted text and completed names: they come from outside."""
        return clean(value)

    def open(self, text: str, completer: Completer, history: Sequence[str]) -> None:
        """Begin with this text; `history` has the newest line at its end."""
        self._completer, self._history, self._steps_back = completer, list(history), 0
        self._offered = []
        self.suggester = _FirstCompletion(completer)
        self._set(text)

    def completions(self, text: str) -> Sequence[str]:
        """The whole lines that the text can be completed to."""
        return self._completer(text)

    def action_complete(self) -> None:
        """Take the first completion of what was typed, and with each further tab the next one."""
        if self.value not in self._offered:
            self._offered = [clean(each) for each in self._completer(self.value)]
        found = self._offered
        if found:
            index = found.index(self.value) + 1 if self.value in found else 0
            self._set(found[index % len(found)])

    def action_older(self) -> None:
        """Show the line that was entered before this one."""
        self._recall(self._steps_back + 1)

    def action_newer(self) -> None:
        """Show the line that was entered after this one."""
        self._recall(self._steps_back - 1)

    def _recall(self, steps_back: int) -> None:
        if 0 < steps_back <= len(self._history):
            self._steps_back = steps_back
            self._set(self._history[-steps_back])
        elif steps_back == 0 and self._steps_back:
            self._steps_back = 0
            self._set("")

    def _set(self, text: str) -> None:
        self.value = text
        self.cursor_position = len(text)

    def action_cancel(self) -> None:
        """Leave the prompt."""
        self.post_message(self.Cancelled())

    async def action_submit(self) -> None:
        """Hand over the line. What is typed behind an answer belongs to the next question."""
        await super().action_submit()
        if self.asks:
            self.value = ""

    async def on_key(self, event: Key) -> None:
        """Backspace on an empty line leaves the prompt. Enter ends an answer here: as a binding it
        would come after the letters that are typed behind it.
        """
        if self._one_key_since is not None and (event.is_printable or event.key == "enter"):
            event.stop()
            event.prevent_default()
            if event.time >= self._one_key_since:
                self.post_message(self.Pressed((event.character or "").strip()))
        elif event.key == "enter" and self.asks:
            event.stop()
            event.prevent_default()
            await self.action_submit()
        if event.key == "backspace" and not self.value:
            event.stop()
            event.prevent_default()
            self.post_message(self.Cancelled(back=True))


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

    def open(self, mode: str, text: str, completer: Completer, history: Sequence[str]) -> None:
        """Show the prompt and give it the focus."""
        self.mode = mode
        self.display = True
        self.label(mode)
        self.input.asks = mode == ASK
        self.input.take_lines()
        self.input.open(text, completer, history)
        self.screen.set_focus(self.input)

    def label(self, text: str) -> None:
        """Show this before the input line: the mode's symbol, or a question."""
        self._symbol.styles.width = width_of(text) + (2 if self.mode == ASK else 1)
        self._symbol.show(lambda *_: [line(Span(f" {text}", Tone.TITLE))])

    def completions(self, text: str) -> Sequence[str]:
        """The whole lines that the text can be completed to; none for an empty text."""
        return self.input.completions(text) if text else ()

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
        """Show a note about what is typed. A warning is shown whole: it gets what the line leaves
        free, and more lines where it needs them.
        """
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
        found = (clean(each) for each in self.completions(typed))
        shown = next((each for each in found if each.startswith(typed)), typed)
        return self._symbol.size.width + width_of(shown) + 2


def _no_completions(text: str) -> Sequence[str]:
    del text
    return ()
