"""Textual's key bindings, made from the table of actions."""

from __future__ import annotations

from typing import Final

from textual.binding import Binding, BindingType

from agentdash.tui.actions import KeyScope, actions_in
from agentdash.tui.keymap import action_name

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
