"""The one table of everything that a person can do: keys, footer, help and palette come from it."""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Final, NamedTuple

from textual.binding import Binding, BindingType

from agentdash.operate import VERBS, reach_of
from agentdash.tui.table import KeyScope
from agentdash.tui.tables import views
from agentdash.tui.view_state import Step
from controller.model.intents import Scope
from controller.model.text import clean, quote


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

    `id` names what does it, in the dashboard or in a table; `argument` is passed to that. `title`
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
        """The action as Textual writes it in a binding: of the dashboard, or of the panel."""
        does = "do" if self.scope is KeyScope.TABLE else "app.do"
        return f"{does}{(self.id, str(self.argument))!r}"

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


_OVER, _PAGE, _ROWS, _TASKS = KeyScope.OVERVIEW, KeyScope.PAGE, KeyScope.TABLE, KeyScope.TASKS
_OWN_FIRST: Final = frozenset({KeyScope.LOGS})
"""Where a view's own keys come before those that work everywhere."""


def _move(name: str, keys: tuple[str, ...], text: str) -> UserAction:
    return UserAction(name, keys, text, text, "move", _ROWS)


def _operate(verb: str, key: str, title: str, text: str, *, hint: int = 0) -> UserAction:
    return UserAction(OPERATE, (key,), title, text, "operate", hint=hint, argument=verb)


_OPERATE: Final = (
    _operate("pin", "p", "pin", "spares kept ready; unpin", hint=5),
    _operate("pause", "s", "pause", "stop its work; resume", hint=5),
    _operate("freeze", "z", "freeze scaling", "write nothing; thaw"),
    _operate("cap", "x", "cap", "at most N; uncap"),
    _operate("hold", "h", "hold", "no growth; release"),
    _operate("budget", "b", "budget", "tokens until the reset"),
    UserAction("undo", ("u", "ctrl+u"), "undo", "undo your last change", "operate", hint=5),
    UserAction("end_above", ("E,shift+e",), "end", "end what a banner names", "operate"),
)


def _by_letter() -> Iterator[UserAction]:
    """The letters that sort by a column of some table, each with the title of one."""
    columns = [each for view in views().values() for table in view.tables for each in table.columns]
    titles = {each.letter: each.title for each in reversed(columns) if each.letter}
    for letter, title in sorted(titles.items()):
        keys, text = (f"{letter},shift+{letter.lower()}",), f"sort by {title}"
        name = f"sort by {title.lower()}"
        yield UserAction("sort_by", keys, name, text, "sort", _ROWS, argument=letter)


def _log(what: str, key: str, text: str) -> UserAction:
    return UserAction("log", (key,), what, text, "look", KeyScope.LOGS, hint=4, argument=what)


ACTIONS: Final = (
    _log("follow", "f", "read on, or stand still"),
    _log("previous", "p", "the run before this one"),
    _log("container", "n", "the next container"),
    _log("wrap", "w", "long lines go on in the next"),
    UserAction("command", (":",), "cmd", "command line", "general", hint=1),
    UserAction(
        "command_palette", ("ctrl+p",), "find", "find all by name", "general", palette=False
    ),
    UserAction("filter", ("/",), "filter", "filter: text, regex, !not", "general", hint=2),
    UserAction("help", ("?",), "help", "the keys of this view", "general", hint=3),
    UserAction("close", ("escape",), "close", "clear filter, close view", "general", palette=False),
    UserAction("back", ("q",), "back", "back", "general", KeyScope.ABOVE, hint=9),
    UserAction("back", ("q",), "quit", "quit", "general", _OVER, palette=False, hint=9),
    UserAction("leave", ("ctrl+q",), "quit", "quit", "general", argument="ctrl-q"),
    UserAction("leave", ("ctrl+c",), "quit", "quit", "general", palette=False, argument="ctrl-c"),
    UserAction("suspend", ("ctrl+z",), "suspend", "suspend; fg resumes", "general"),
    UserAction("why", ("d",), "why", "explain the pool's number", "look", hint=5),
    UserAction("logs", ("l",), "logs", "the log of the pod", "look", hint=5),
    *_OPERATE,
    UserAction("history", ("t",), "history", "its 15 min and 24 h", "look", hint=5),
    UserAction("still", (".",), "still", "keep still, or go on", "look", hint=6),
    UserAction("step", ("<",), "earlier", "the change before", "time", argument=Step.BACK),
    UserAction("step", (">",), "later", "the change after", "time", argument=Step.ON),
    UserAction(
        "step", ("{",), "minute earlier", "a minute back", "time", argument=Step.MINUTE_BACK
    ),
    UserAction("step", ("}",), "minute later", "a minute on", "time", argument=Step.MINUTE_ON),
    UserAction("copy", ("c",), "copy", "copy the pool's key", "look"),
    UserAction("copy_row", ("C,shift+c",), "copy row", "copy the whole row", "look"),
    UserAction("save", ("ctrl+s",), "save", "save the view as a file", "screen"),
    *(
        UserAction("show", (key,), view, text, "look", argument=view)
        for key, view, text in (
            ("w", "tasks", "tasks and what waits"),
            ("$", "tenants", "tenants and money"),
            ("m", "models", "models and limits"),
            ("i", "intents", "what people asked for"),
        )
    ),
    UserAction("scope", ("0",), "all tenants", "show all tenants", "look"),
    UserAction("zoom", ("f",), "zoom", "the panel in full", "look", _OVER, hint=8),
    *(
        UserAction("tab", (str(number),), each, f"its {each}", "look", _PAGE, argument=each)
        for number, each in enumerate(PAGE_TABS, 1)
    ),
    UserAction("turn", ("left",), "tab before", "the tab before", "look", _PAGE, argument="-1"),
    UserAction("turn", ("right",), "next tab", "the next tab", "look", _PAGE, argument="1"),
    UserAction("end", ("e",), "end", "end what stands", "operate", KeyScope.INTENTS, hint=4),
    UserAction("cancel_task", ("ctrl+k",), "cancel", "cancel the task", "operate", _TASKS, hint=4),
    UserAction(
        "retry_task", ("R,shift+r",), "retry", "retry what is dead or failed", "operate", _TASKS,
        hint=4,
    ),
    UserAction(
        "longest", ("L,shift+l",), "longest wait", "the task that has waited longest", "move",
        _TASKS, hint=5,
    ),
    UserAction("next_panel", ("tab",), "panel", "next panel", "move", hint=7),
    UserAction("previous_panel", ("shift+tab",), "previous panel", "previous panel", "move"),
    UserAction("header", ("ctrl+e",), "fold header", "fold the header", "screen"),
    UserAction("redraw", ("ctrl+l",), "redraw", "redraw the whole screen", "screen"),
    # terminals send a capital letter in one of two ways, so both are bound: `G,shift+g`
    UserAction("open", ("enter",), "open", "open the row", "look", _ROWS, hint=4),
    _move("down", ("j", "down"), "next row"),
    _move("up", ("k", "up"), "previous row"),
    _move("page_down", ("ctrl+f", "pagedown"), "page down"),
    _move("page_up", ("ctrl+b", "pageup"), "page up"),
    _move("top", ("g", "home"), "first row"),
    _move("bottom", ("G,shift+g", "end"), "last row"),
    UserAction("sort_left", ("shift+left",), "sort back", "sort by previous column", "sort", _ROWS),
    UserAction(
        "sort_right", ("shift+right",), "sort", "sort by next column", "sort", _ROWS, hint=8
    ),
    UserAction("sort_turn", ("O,shift+o",), "reverse sort", "reverse the order", "sort", _ROWS),
    *_by_letter(),
)  # fmt: skip

_KEY_NAMES: Final = {"escape": "esc", "pagedown": "pgdn", "pageup": "pgup"}


def operating_action(verb: str) -> UserAction:
    """The action whose key asks for this verb."""
    return next(each for each in _OPERATE if each.argument == verb)


def scopes_of(view: KeyScope) -> tuple[KeyScope, ...]:
    """The scopes whose keys work in this view."""
    above = () if view is KeyScope.OVERVIEW else (KeyScope.ABOVE,)
    return (KeyScope.GLOBAL, *above, KeyScope.TABLE, view)


@cache
def actions_in(scopes: tuple[KeyScope, ...]) -> tuple[UserAction, ...]:
    """The actions whose keys work in these scopes, in the order of the table. A view's own key
    comes before a letter that sorts, and in some views before one that works everywhere.
    """
    found = tuple(action for action in ACTIONS if action.scope in scopes)
    taken = {action.keys for action in found if action.id != "sort_by"}
    own = {action.keys for action in found if action.scope in _OWN_FIRST}
    return tuple(
        each
        for each in found
        if (each.id != "sort_by" or each.keys not in taken)
        and (each.keys not in own or each.scope in _OWN_FIRST)
    )


def key_name(keys: str) -> str:
    """A key as people write it: `ctrl-f`, `shift-left`, `esc`, `G`."""
    *modifiers, last = keys.split(",", maxsplit=1)[0].split("+")
    return "-".join((*modifiers, _KEY_NAMES.get(last, last)))


# the way out when everything else is bound wrongly
_FIXED: Final = frozenset({("leave", "ctrl-c")})
_NAMED: Final = frozenset(
    {"enter", "tab", "escape", "space", "backspace", "delete", "insert"}
    | {"home", "end", "pageup", "pagedown", "up", "down", "left", "right"}
    | {f"f{number}" for number in range(1, 25)}
)
_MOVES: Final = frozenset({"home", "end", "pageup", "pagedown", "up", "down", "left", "right"})
_OTHER_NAMES: Final = {"esc": "escape", "pgup": "pageup", "pgdn": "pagedown", "return": "enter"}
# keys that terminals send as the byte of another key
_SAME_BYTE: Final = {
    "ctrl+i": "tab",
    "ctrl+m": "enter",
    "ctrl+j": "enter",
    "ctrl+h": "backspace",
    "ctrl+[": "escape",
}
_MODIFIERS: Final = frozenset({"ctrl", "shift"})


class KeysError(Exception):
    """Wrong keys; `problems` has a sentence for each thing to correct."""

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = tuple(problems)


_YIELDS: Final = frozenset({"show", "log"})


@dataclass(frozen=True, slots=True)
class Keymap:
    """The keys of the actions that have others than those of the table, by the action's name."""

    keys: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def applied(self, actions: Iterable[UserAction]) -> tuple[UserAction, ...]:
        """The same actions with the chosen keys. A key that opens a view, and one of a log, yields
        to another action for which a person has chosen it.
        """
        taken = {key for keys in self.keys.values() for each in keys for key in each.split(",")}
        return tuple(
            replace(action, keys=self.keys[action_name(action)])
            if action_name(action) in self.keys
            else action
            for action in actions
            if action.id not in _YIELDS
            or action_name(action) in self.keys
            or not taken & {*action.keys}
        )

    def key_of(self, name: str) -> str:
        """The first key of this action, as people write it."""
        action = next(each for each in ACTIONS if action_name(each) == name)
        [chosen] = self.applied((action,))
        return key_name(chosen.keys[0])


DEFAULT_KEYS: Final = Keymap()


def action_name(action: UserAction) -> str:
    """The name of an action in `keys.toml`: `still`, `sort_by_p`."""
    if action.argument and action.id != "leave":
        return f"{action.id}_{action.argument.lower()}"
    return "leave_at_once" if (action.id, action.argument) in _FIXED else action.id


def read_keys(text: str) -> Keymap:
    """The keymap of a file's text, such as `[keys]` and below it `still = "ctrl+y"`; a list binds
    several keys. The keys replace those of the table. Raises KeysError.
    """
    try:
        tables = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise KeysError([f"it is no TOML: {clean(error)}"]) from None
    problems = [
        f"unknown table or key {quote(name)}: keys stand under [keys]"
        for name in tables
        if name != "keys"
    ]
    entries = tables.get("keys", {})
    if not isinstance(entries, dict):
        raise KeysError([*problems, '"keys" is no table: write [keys] and one action on each line'])
    names = _names()
    found: dict[str, tuple[str, ...]] = {}
    for name, value in entries.items():
        known = names.get(name)
        if known is None:
            problems.append(f"keys.{clean(name)}: no such action{_nearest(name, list(names))}")
            continue
        keys, wrong = _keys(value)
        problems += [f"keys.{clean(name)}: {each}" for each in wrong]
        if known in found:
            problems.append(f"keys.{clean(name)}: the action {known} has its keys already")
        if keys:
            found[known] = keys
    keymap = Keymap(found)
    problems += _clashes(keymap)
    if problems:
        raise KeysError(problems)
    return keymap


def _names() -> dict[str, str]:
    """Names of the file; an argument too where it is the only one: `pause`, `operate_pause`."""
    actions = [each for each in ACTIONS if (each.id, each.argument) not in _FIXED]
    full = {action_name(each): action_name(each) for each in actions}
    short = {
        each.argument: action_name(each)
        for each in actions
        if each.argument.isalpha() and len(each.argument) > 1
    }
    return short | full


def _nearest(name: str, names: Sequence[str]) -> str:
    close = difflib.get_close_matches(name, names, n=1, cutoff=0.4)
    return f"; did you mean {close[0]}?" if close else f"; there are {', '.join(sorted(names))}"


def _keys(value: object) -> tuple[tuple[str, ...], list[str]]:
    """The keys of one entry, and what is wrong with it."""
    parts = value if isinstance(value, list) else [value]
    texts = [each for each in parts if isinstance(each, str)]
    if not texts or len(texts) < len(parts):
        return (), ['must be a key, such as "ctrl+y", or a list of keys']
    found: list[str] = []
    problems: list[str] = []
    for each in texts:
        try:
            found.append(_key(each))
        except ValueError as error:
            problems.append(str(error))
    return tuple(dict.fromkeys(found)), problems


def _key(text: str) -> str:
    """A key as the table of actions writes it. Raises ValueError with a sentence."""
    if len(text) == 1:
        return _character(text)
    *before, last = text.replace("-", "+").split("+")
    modifiers = [each.lower() for each in before]
    last = _OTHER_NAMES.get(last.lower(), last.lower()) if len(last) > 1 else last
    shown = "+".join((*modifiers, last))
    odd = [each for each in modifiers if each not in _MODIFIERS]
    if odd:
        raise ValueError(f"{quote(text)}: a terminal cannot send {quote(odd[0])} reliably")
    if not last or (len(last) > 1 and last not in _NAMED):
        raise ValueError(f"{quote(text)} is no key{_nearest_key(last)}")
    if shown.lower() in _SAME_BYTE:
        other = _SAME_BYTE[shown.lower()]
        raise ValueError(f"{quote(text)}: a terminal sends the same for {other}; write {other}")
    match sorted(set(modifiers)):
        case []:
            return last
        case ["shift"] if len(last) == 1 and last.isalpha():
            return _character(last.upper())
        case ["shift"] if last in _MOVES or last == "tab":
            return f"shift+{last}"
        case ["ctrl"] if (len(last) == 1 and last.isascii() and last.isalpha()) or last in _MOVES:
            return f"ctrl+{last.lower()}"
        case ["ctrl", "shift"] if last in _MOVES:
            return f"ctrl+shift+{last}"
    raise ValueError(f"{quote(text)}: a terminal cannot send it; a letter with ctrl+ can be sent")


def _character(text: str) -> str:
    if not text.isprintable():
        raise ValueError(f"{quote(text)} is no key that can be named")
    # terminals send a capital letter in one of two ways
    return f"{text},shift+{text.lower()}" if text.isalpha() and text.isupper() else text


def _nearest_key(word: str) -> str:
    close = difflib.get_close_matches(word, sorted(_NAMED), n=1, cutoff=0.6)
    return f"; did you mean {close[0]}?" if close else ', such as "y", "ctrl+y", "f5", "shift+left"'


def _clashes(keymap: Keymap) -> list[str]:
    """A sentence for each key that two actions of one view would have."""
    found: dict[str, None] = {}
    for view in KeyScope:
        owners: dict[str, str] = {}
        for action in keymap.applied(actions_in(scopes_of(view))):
            for key in (each for keys in action.keys for each in keys.split(",")):
                name = action_name(action)
                owner = owners.setdefault(key, name)
                if owner != name:
                    both = " and ".join(sorted((owner, name)))
                    found[f"{key_name(key)} would be both {both}: give one of them another"] = None
    return list(found)


def bindings_for(*scopes: KeyScope) -> list[BindingType]:
    """The bindings of all actions in these scopes."""
    return [
        Binding(
            ",".join(action.keys),
            action.handler,
            action.title,
            show=bool(action.hint),
            id=action_name(action),
        )
        for action in ACTIONS
        if action.scope in scopes
    ]
