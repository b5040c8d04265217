"""The table of actions: no key has two meanings, every action has a method, help lists them all."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from agentdash.tui.actions import ACTIONS, KeyScope, UserAction, actions_in, key_name, scopes_of
from agentdash.tui.app import Dashboard
from agentdash.tui.header import hint_line
from agentdash.tui.help_text import help_lines
from agentdash.tui.lines import line_width
from agentdash.tui.widgets.live_table import LiveTable

VIEWS = (KeyScope.OVERVIEW, KeyScope.POOLS, KeyScope.WHY, KeyScope.HELP, KeyScope.DETAIL)


def each_key(action: UserAction) -> tuple[str, ...]:
    return tuple(key for keys in action.keys for key in keys.split(","))


def clashes(actions: Iterable[UserAction]) -> list[str]:
    """Keys with two meanings in one view."""
    table = tuple(actions)
    found: dict[str, None] = {}
    for view in VIEWS:
        owners: dict[str, UserAction] = {}
        for action in table:
            if action.scope not in scopes_of(view):
                continue
            for key in each_key(action):
                owner = owners.setdefault(key, action)
                if owner is not action:
                    found[f"{key}: both {owner.handler} and {action.handler}"] = None
    return list(found)


def test_no_key_has_two_meanings_in_a_view() -> None:
    assert clashes(ACTIONS) == []


def test_a_second_meaning_in_a_view_would_be_found() -> None:
    doubled = (*ACTIONS, UserAction("twice", ("d",), "twice", "twice", "look", KeyScope.POOLS))
    assert clashes(doubled) == ["d: both why and twice"]


@pytest.mark.parametrize("action", ACTIONS, ids=lambda action: action.handler)
def test_every_action_has_a_method(action: UserAction) -> None:
    owner = LiveTable if action.scope is KeyScope.TABLE else Dashboard
    assert hasattr(owner, f"action_{action.id}")


def test_capital_letters_are_bound_in_both_ways_that_terminals_send_them() -> None:
    for action in ACTIONS:
        for key in each_key(action):
            if len(key) == 1 and key.isupper():
                assert f"shift+{key.lower()}" in each_key(action)


def test_help_lists_every_action_of_the_view_with_its_keys_and_its_whole_text() -> None:
    actions = actions_in((KeyScope.GLOBAL, KeyScope.TABLE))
    shown = "\n".join("".join(span.text for span in row.spans) for row in help_lines(actions, 156))
    for action in actions:
        assert action.help in shown
        assert key_name(action.keys[0]) in shown


def test_help_explains_the_roles_that_a_process_can_have() -> None:
    shown = "\n".join("".join(span.text for span in row.spans) for row in help_lines((), 39))
    assert "ACTIVE      writes; no lease is held" in shown
    assert "READ-ONLY   plans, but never writes" in shown
    assert "LEADER" not in shown


def test_the_hint_line_never_shows_part_of_a_hint() -> None:
    for width in range(10, 120):
        row = hint_line(ACTIONS, width)
        assert line_width(row) <= width
        assert "".join(span.text for span in row.spans).count("<") == sum(
            span.text.endswith(">") for span in row.spans
        )


@pytest.mark.parametrize(
    ("key", "name"),
    [("G,shift+g", "G"), ("ctrl+f", "ctrl-f"), ("escape", "esc"), ("shift+left", "shift-left")],
)
def test_keys_are_named_as_people_write_them(key: str, name: str) -> None:
    assert key_name(key) == name
