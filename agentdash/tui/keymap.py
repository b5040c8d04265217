"""Keys: which are bound to which action, and those that a person chose."""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from textual.binding import Binding, BindingType

from agentdash.tui.actions import ACTIONS, KeyScope, UserAction, actions_in, key_name, scopes_of
from controller.model.text import clean, quote

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


@dataclass(frozen=True, slots=True)
class Keymap:
    """The keys of the actions that have others than those of the table, by the action's name."""

    keys: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def applied(self, actions: Iterable[UserAction]) -> tuple[UserAction, ...]:
        """The same actions with the chosen keys."""
        return tuple(
            replace(action, keys=self.keys[action_name(action)])
            if action_name(action) in self.keys
            else action
            for action in actions
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
    """The names that may stand in the file. An argument alone is one too, where nothing else is
    called so: `pause` is `operate_pause`.
    """
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


OPENS_PROMPT: Final = frozenset({"command", "filter", "operate", "undo", "save"})


def bindings_for(*scopes: KeyScope, target: str = "") -> list[BindingType]:
    """The bindings of all actions in these scopes.

    `target` is the object whose methods are called, for example `app`; by default it is the widget
    that has the bindings.
    """
    prefix = f"{target}." if target else ""
    return [
        Binding(
            ",".join(action.keys),
            prefix + action.handler,
            action.title,
            show=bool(action.hint),
            # what is typed right behind such a key belongs to the prompt that it opens
            priority=action.id in OPENS_PROMPT,
            id=action_name(action),
        )
        for action in actions_in(scopes)
    ]
