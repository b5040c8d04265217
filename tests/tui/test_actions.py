"""One table of actions: keys do not clash, every action has a hand, help and palette follow it."""

from __future__ import annotations

import pytest

from agentdash.tui.actions import (
    ACTIONS,
    Action,
    Scope,
    clashes,
    each_key,
    key_name,
    live,
    remap,
)
from agentdash.tui.app import Dashboard
from agentdash.tui.header import hint_line
from agentdash.tui.helping import help_lines
from agentdash.tui.lines import line_width
from agentdash.tui.widgets.live_table import LiveTable
from tui import scenarios


def test_no_key_means_two_things_at_once() -> None:
    assert clashes(ACTIONS) == []


def test_a_clash_names_the_key_and_both_actions() -> None:
    doubled = (*ACTIONS, Action("twice", ("d",), "twice", "twice", "look", Scope.POOLS))
    assert clashes(doubled) == ["d: both why and twice"]


def test_the_same_key_may_serve_two_views() -> None:
    apart = (
        Action("one", ("x",), "one", "one", "look", Scope.POOLS),
        Action("two", ("x",), "two", "two", "look", Scope.WHY),
    )
    assert clashes(apart) == []


@pytest.mark.parametrize("action", ACTIONS, ids=lambda action: action.name)
def test_every_action_has_a_handler(action: Action) -> None:
    owner = LiveTable if action.scope is Scope.TABLE else Dashboard
    assert hasattr(owner, f"action_{action.id}")


def test_capital_letters_are_bound_in_both_ways_that_terminals_send_them() -> None:
    for action in ACTIONS:
        for key in each_key(action):
            if len(key) == 1 and key.isupper():
                assert f"shift+{key.lower()}" in each_key(action)


def test_keys_can_be_given_away_and_clashes_are_refused() -> None:
    feed, clock = scenarios.FakeFeed(), scenarios.FixedClock()
    Dashboard(feed, clock=clock, keymap={"freeze": ["f9"]})
    with pytest.raises(ValueError, match="d: both why and freeze"):
        Dashboard(feed, clock=clock, keymap={"freeze": ["d"]})
    with pytest.raises(KeyError, match="fly"):
        remap(ACTIONS, {"fly": ["f"]})


def test_help_shows_every_live_action_with_its_keys() -> None:
    actions = live(ACTIONS, (Scope.GLOBAL, Scope.TABLE))
    shown = "\n".join("".join(span.text for span in row.spans) for row in help_lines(actions, 156))
    for action in actions:
        assert action.help in shown
        assert key_name(action.keys[0]) in shown


def test_hints_are_cut_between_keys_never_within() -> None:
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
def test_keys_are_written_as_people_write_them(key: str, name: str) -> None:
    assert key_name(key) == name
