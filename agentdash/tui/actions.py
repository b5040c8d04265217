"""The one table of everything that a person can do: keys, footer, help and palette come from it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, NamedTuple

from agentdash.operate import VERBS, reach_of
from agentdash.tui.tables import views
from agentdash.tui.view_state import Step
from controller.model.intents import Scope


class KeyScope(StrEnum):
    """Where a key works: everywhere, above the overview, in every table, on the overview, on the
    page of a pool, among the intents, or among the tasks.
    """

    GLOBAL = "global"
    ABOVE = "above"
    TABLE = "table"
    OVERVIEW = "overview"
    PAGE = "page"
    INTENTS = "intents"
    TASKS = "tasks"


class KeyContext(NamedTuple):
    """What decides whether a key is on: why nothing can be asked for now, and what is under the
    cursor: what can be changed there, the pool that can be explained, and whether there is a pod.
    """

    refusal: str | None = None
    scope: Scope | None = None
    pool: str | None = None
    has_pod: bool = False
    has_row: bool = False


OPERATE: Final = "operate"
PAGE_TABS: Final = ("why", "queues", "pods", "events", "history", "tasks")
"""The tabs of a pool's page, in their order."""
# what is said without a row
_OF_A_ROW: Final = {
    "end": "nothing stands here",
    "cancel_task": "no task under the cursor",
    "retry_task": "no task under the cursor",
}
# what keys that only look are about
_ABOUT: Final = {"why": "pool", "logs": "pod"}


@dataclass(frozen=True, slots=True)
class UserAction:
    """One thing that a person can do.

    `id` names the method `action_<id>` that does it; `argument` is passed to that method. `title`
    is the short name in the footer and the palette, `help` the text on the help page, under the
    heading `group`. The footer shows the actions in the order of `hint`, without those that have 0.
    `palette` is False if the command palette does not list the action.
    """

    id: str
    keys: tuple[str, ...]
    title: str
    help: str
    group: str
    scope: KeyScope = KeyScope.GLOBAL
    hint: int = 0
    palette: bool = True
    argument: str = ""

    @property
    def changes(self) -> bool:
        """Whether it changes something, and so asks first."""
        return self.group == "operate"

    @property
    def handler(self) -> str:
        """The method and its argument as Textual writes them in a binding."""
        return f"{self.id}({self.argument!r})" if self.argument else self.id

    def enabled(self, context: KeyContext) -> str | None:
        """Why the key is off; None if it is on."""
        if not self.changes:
            found = {"why": bool(context.pool), "logs": context.has_pod}.get(self.id, True)
            return None if found else f"no {_ABOUT[self.id]} under the cursor"
        if context.refusal is not None:
            return context.refusal
        if self.id in _OF_A_ROW:
            return None if context.has_row else _OF_A_ROW[self.id]
        if self.id != OPERATE:
            return None
        verb = VERBS[self.argument]
        places = " or a ".join(each for each in verb.reach if each != "fleet")
        if context.scope is None:
            return f"no {places} under the cursor"
        return None if reach_of(context.scope) in verb.reach else f"it is for a {places}"


def _move(name: str, keys: tuple[str, ...], text: str) -> UserAction:
    return UserAction(name, keys, text, text, "move", KeyScope.TABLE)


def _sort(name: str, key: str, title: str, text: str, *, hint: int = 0) -> UserAction:
    return UserAction(name, (key,), title, text, "sort", KeyScope.TABLE, hint=hint)


def _operate(verb: str, key: str, title: str, text: str, *, hint: int = 0) -> UserAction:
    return UserAction(OPERATE, (key,), title, text, "operate", hint=hint, argument=verb)


_OPERATE: Final = (
    _operate("pin", "p", "pin", "spares kept ready; unpin", hint=5),
    _operate("pause", "s", "pause", "stop its work; resume", hint=5),
    _operate("freeze", "z", "freeze scaling", "write nothing; thaw"),
    _operate("cap", "x", "cap", "at most N; uncap"),
    _operate("hold", "h", "hold", "no growth; release"),
    _operate("budget", "b", "budget", "tokens until the reset"),
    UserAction(
        "undo",
        ("u", "ctrl+u"),
        "undo",
        "undo your last change",
        "operate",
        hint=5,
    ),
)


def _act_on_task(name: str, key: str, title: str, text: str) -> UserAction:
    return UserAction(name, (key,), title, text, "operate", KeyScope.TASKS, hint=4)


def _step(key: str, step: Step, title: str, text: str) -> UserAction:
    return UserAction("step", (key,), title, text, "time", argument=step.value)


def _letters() -> dict[str, str]:
    """The letters that sort by a column of some table, each with the title of one."""
    columns = (each for view in views().values() for table in view.tables for each in table.columns)
    return {each.letter: each.title for each in reversed([*columns]) if each.letter}


# terminals send a capital letter in one of two ways, so both are bound: `G,shift+g`
_TABLE: Final = (
    UserAction("open", ("enter",), "open", "open the row", "look", KeyScope.TABLE, hint=4),
    _move("down", ("j", "down"), "next row"),
    _move("up", ("k", "up"), "previous row"),
    _move("page_down", ("ctrl+f", "pagedown"), "page down"),
    _move("page_up", ("ctrl+b", "pageup"), "page up"),
    _move("top", ("g", "home"), "first row"),
    _move("bottom", ("G,shift+g", "end"), "last row"),
    _sort("sort_left", "shift+left", "sort back", "sort by previous column"),
    _sort("sort_right", "shift+right", "sort", "sort by next column", hint=8),
    _sort("sort_turn", "O,shift+o", "reverse sort", "reverse the order"),
    *(
        UserAction(
            "sort_by",
            (f"{letter},shift+{letter.lower()}",),
            f"sort by {title.lower()}",
            f"sort by {title}",
            "sort",
            KeyScope.TABLE,
            argument=letter,
        )
        for letter, title in sorted(_letters().items())
    ),
)

ACTIONS: Final = (
    UserAction("command", (":",), "cmd", "command line", "general", hint=1),
    UserAction(
        "command_palette", ("ctrl+p",), "find", "find all by name", "general", palette=False
    ),
    UserAction("filter", ("/",), "filter", "filter: text, regex, !not", "general", hint=2),
    UserAction("help", ("?",), "help", "the keys of this view", "general", hint=3),
    UserAction("close", ("escape",), "close", "clear filter, close view", "general", palette=False),
    UserAction("back", ("q",), "back", "back", "general", KeyScope.ABOVE, hint=9),
    UserAction("back", ("q",), "quit", "quit", "general", KeyScope.OVERVIEW, palette=False, hint=9),
    UserAction("leave", ("ctrl+q",), "quit", "quit", "general", argument="ctrl-q"),
    UserAction("leave", ("ctrl+c",), "quit", "quit", "general", palette=False, argument="ctrl-c"),
    UserAction("suspend", ("ctrl+z",), "suspend", "suspend; fg resumes", "general"),
    UserAction("why", ("d",), "why", "explain the pool's number", "look", hint=5),
    UserAction("logs", ("l",), "logs", "the pod's last lines", "look", hint=5),
    *_OPERATE,
    UserAction("history", ("t",), "history", "its 15 min and 24 h", "look", hint=5),
    UserAction("still", (".",), "still", "keep still, or go on", "look", hint=6),
    _step("<", Step.BACK, "earlier", "the change before"),
    _step(">", Step.ON, "later", "the change after"),
    _step("{", Step.MINUTE_BACK, "minute earlier", "a minute back"),
    _step("}", Step.MINUTE_ON, "minute later", "a minute on"),
    UserAction("copy", ("c",), "copy", "copy the pool's key", "look"),
    UserAction("copy_row", ("C,shift+c",), "copy row", "copy the whole row", "look"),
    UserAction("save", ("ctrl+s",), "save", "save the view as a file", "screen"),
    UserAction("scope", ("0",), "all tenants", "show all tenants", "look"),
    UserAction("zoom", ("f",), "zoom", "the panel in full", "look", hint=8),
    *(
        UserAction("tab", (str(number),), each, f"its {each}", "look", KeyScope.PAGE, argument=each)
        for number, each in enumerate(PAGE_TABS, 1)
    ),
    UserAction(
        "turn", ("left",), "tab before", "the tab before", "look", KeyScope.PAGE, argument="-1"
    ),
    UserAction("turn", ("right",), "next tab", "the next tab", "look", KeyScope.PAGE, argument="1"),
    UserAction(
        "end",
        ("e",),
        "end",
        "end what stands",
        "operate",
        KeyScope.INTENTS,
        hint=4,
    ),
    _act_on_task("cancel_task", "ctrl+k", "cancel", "cancel the task"),
    _act_on_task("retry_task", "R,shift+r", "retry", "retry what is dead or failed"),
    UserAction("next_panel", ("tab",), "panel", "next panel", "move", hint=7),
    UserAction("previous_panel", ("shift+tab",), "previous panel", "previous panel", "move"),
    UserAction("header", ("ctrl+e",), "fold header", "fold the header", "screen"),
    UserAction("redraw", ("ctrl+l",), "redraw", "redraw the whole screen", "screen"),
    *_TABLE,
)

_KEY_NAMES: Final = {"escape": "esc", "pagedown": "pgdn", "pageup": "pgup"}


def operating_action(verb: str) -> UserAction:
    """The action whose key asks for this verb."""
    return next(each for each in _OPERATE if each.argument == verb)


def scopes_of(view: KeyScope) -> tuple[KeyScope, ...]:
    """The scopes whose keys work in this view."""
    above = () if view is KeyScope.OVERVIEW else (KeyScope.ABOVE,)
    return (KeyScope.GLOBAL, *above, KeyScope.TABLE, view)


def actions_in(scopes: Sequence[KeyScope]) -> tuple[UserAction, ...]:
    """The actions whose keys work in these scopes, in the order of the table. A view's own key
    comes before a letter that sorts.
    """
    found = tuple(action for action in ACTIONS if action.scope in scopes)
    taken = {action.keys for action in found if action.id != "sort_by"}
    return tuple(each for each in found if each.id != "sort_by" or each.keys not in taken)


def key_name(keys: str) -> str:
    """A key as people write it: `ctrl-f`, `shift-left`, `esc`, `G`."""
    *modifiers, last = keys.split(",", maxsplit=1)[0].split("+")
    return "-".join((*modifiers, _KEY_NAMES.get(last, last)))
