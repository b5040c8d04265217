"""Bindings made from the table of actions."""

from __future__ import annotations

from textual.binding import Binding, BindingType

from agentdash.tui.actions import ACTIONS, Scope, live


def bindings_for(*scopes: Scope, target: str = "") -> list[BindingType]:
    """What Textual wants of the actions in these scopes; `target` is who handles them, as `app`."""
    prefix = f"{target}." if target else ""
    return [
        Binding(
            ",".join(action.keys),
            prefix + action.handler,
            action.title,
            show=bool(action.hint),
            id=action.name,
        )
        for action in live(ACTIONS, scopes)
    ]
