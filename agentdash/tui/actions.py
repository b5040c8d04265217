"""Every action once: keys, footer, help and palette are made from this table."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

from agentdash.tui.tables import SORT_LETTERS


class Scope(StrEnum):
    """Where an action's keys are live."""

    GLOBAL = "global"
    TABLE = "table"
    OVERVIEW = "overview"
    POOLS = "pools"
    WHY = "why"
    HELP = "help"


@dataclass(frozen=True, slots=True)
class Action:
    """One thing that a person can do.

    `id` names the handler `action_<id>` and the entry of a keymap. `danger` marks what changes the
    fleet; `hint` orders the footer, 0 keeps it out; `palette` lists it there.
    """

    id: str
    keys: tuple[str, ...]
    title: str
    help: str
    group: str
    scope: Scope = Scope.GLOBAL
    danger: bool = False
    hint: int = 0
    palette: bool = True
    argument: str = ""

    @property
    def handler(self) -> str:
        """The action as a binding calls it."""
        return f"{self.id}({self.argument!r})" if self.argument else self.id

    @property
    def name(self) -> str:
        """Its name in a keymap, told apart by the argument."""
        return f"{self.id}.{self.argument}" if self.argument else self.id


def _move(name: str, keys: tuple[str, ...], text: str) -> Action:
    return Action(name, keys, text, text, "move", Scope.TABLE, palette=False)


_TABLE: Final = (
    Action("open", ("enter",), "open", "open the row", "look", Scope.TABLE, hint=4),
    _move("down", ("j", "down"), "next row"),
    _move("up", ("k", "up"), "row before"),
    _move("page_down", ("ctrl+f", "pagedown"), "page down"),
    _move("page_up", ("ctrl+b", "pageup"), "page up"),
    _move("top", ("g", "home"), "first row"),
    _move("bottom", ("G,shift+g", "end"), "last row"),
    Action("sort_left", ("shift+left",), "sort back", "sort by column before", "sort", Scope.TABLE),
    Action(
        "sort_right", ("shift+right",), "sort", "sort by next column", "sort", Scope.TABLE, hint=8
    ),
    Action("sort_turn", ("O,shift+o",), "turn sort", "turn the sort round", "sort", Scope.TABLE),
    *(
        Action(
            "sort_by",
            (f"{letter},shift+{letter.lower()}",),
            f"sort by {title.lower()}",
            f"sort by {title}",
            "sort",
            Scope.TABLE,
            palette=False,
            argument=letter,
        )
        for letter, title in SORT_LETTERS.items()
    ),
)

ACTIONS: Final = (
    Action("command", (":",), "cmd", "command line", "general", hint=1),
    Action("filter", ("/",), "filter", "filter: text, regex, !not", "general", hint=2),
    Action("help", ("?",), "help", "keys that are live here", "general", hint=3),
    Action("back", ("escape", "q"), "back", "clear filter, back, quit", "general", hint=9),
    Action("quit", ("ctrl+q",), "quit", "quit", "general"),
    Action("interrupt", ("ctrl+c",), "quit", "quit, pressed twice", "general", palette=False),
    Action("why", ("d",), "why", "why this pool's number", "look", hint=5),
    Action("freeze", (".",), "freeze", "freeze the view, or go on", "look", hint=6),
    Action("next_panel", ("tab",), "panel", "next panel", "move", palette=False, hint=7),
    Action("previous_panel", ("shift+tab",), "panel", "panel before", "move", palette=False),
    Action("header", ("ctrl+e",), "fold header", "fold the header", "screen"),
    Action("redraw", ("ctrl+l",), "redraw", "write the screen anew", "screen"),
    *_TABLE,
)

#: Scopes whose keys are live at the same time.
TOGETHER: Final = (
    (Scope.GLOBAL, Scope.TABLE, Scope.OVERVIEW),
    (Scope.GLOBAL, Scope.TABLE, Scope.POOLS),
    (Scope.GLOBAL, Scope.TABLE, Scope.WHY),
    (Scope.GLOBAL, Scope.TABLE, Scope.HELP),
)

_NAMES: Final = {"escape": "esc", "pagedown": "pgdn", "pageup": "pgup"}


def remap(actions: Iterable[Action], keymap: Mapping[str, Sequence[str]]) -> tuple[Action, ...]:
    """The actions with a user's keys instead of ours. Raises KeyError on an unknown action."""
    known = {action.name: action for action in actions}
    if unknown := [name for name in keymap if name not in known]:
        raise KeyError(", ".join(sorted(unknown)))
    return tuple(
        replace(action, keys=tuple(keymap[name])) if name in keymap else action
        for name, action in known.items()
    )


def clashes(actions: Iterable[Action]) -> list[str]:
    """Keys that would mean two things at once, one sentence each."""
    table = tuple(actions)
    found: dict[str, None] = {}
    for scopes in TOGETHER:
        owner: dict[str, Action] = {}
        for action in table:
            if action.scope not in scopes:
                continue
            for key in each_key(action):
                taken = owner.setdefault(key, action)
                if taken is not action:
                    found[f"{key}: both {taken.name} and {action.name}"] = None
    return list(found)


def each_key(action: Action) -> tuple[str, ...]:
    """Its keys one by one; a letter with shift is written in both ways that terminals send it."""
    return tuple(key for keys in action.keys for key in keys.split(","))


def live(actions: Iterable[Action], scopes: Sequence[Scope]) -> tuple[Action, ...]:
    """The actions of these scopes, in the table's order."""
    return tuple(action for action in actions if action.scope in scopes)


def key_name(keys: str) -> str:
    """A key as people write it: `ctrl-f`, `shift-left`, `esc`, `G`."""
    key = keys.split(",", maxsplit=1)[0]
    if key == ",":
        return key
    *modifiers, last = key.split("+")
    return "-".join((*modifiers, _NAMES.get(last, last)))
