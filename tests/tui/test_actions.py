"""The table of actions: no key has two meanings, every action has a method, help lists them all."""

from __future__ import annotations

import re
from collections.abc import Iterable
from itertools import takewhile
from pathlib import Path

from agentdash.tui.actions import ACTIONS, KeyScope, UserAction, actions_in, key_name, scopes_of
from agentdash.tui.header import hint_line
from agentdash.tui.help_text import help_lines
from agentdash.tui.lines import line_width
from agentdash.tui.tables import views
from support.table import tabled
from tui.dashboards import dashboard
from tui.scenarios import FakeFeed

README = Path(__file__).parents[2] / "docs/pages/console.md"
VIEWS = (KeyScope.OVERVIEW, KeyScope.ABOVE, KeyScope.PAGE, KeyScope.INTENTS)


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
                    found[f"{key}: both {owner.id} and {action.id}"] = None
    return list(found)


def test_no_key_has_two_meanings_in_a_view() -> None:
    assert clashes(ACTIONS) == []


def test_a_second_meaning_in_a_view_would_be_found() -> None:
    doubled = (*ACTIONS, UserAction("twice", ("d",), "twice", "twice", "look", KeyScope.PAGE))
    assert clashes(doubled) == ["d: both why and twice"]


def test_every_action_of_the_dashboard_does_something() -> None:
    ids = {action.id for action in ACTIONS if action.scope is not KeyScope.TABLE}
    assert dashboard(FakeFeed()).does().keys() == ids


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
    assert "LEADER      writes; holds the lease" in shown
    assert "FOLLOWER    waits for the lease" in shown
    assert "READ-ONLY   plans, but never writes" in shown


def test_the_hint_line_never_shows_part_of_a_hint() -> None:
    for width in range(10, 120):
        row = hint_line(ACTIONS, width)
        assert line_width(row) <= width
        assert "".join(span.text for span in row.spans).count("<") == sum(
            span.text.endswith(">") for span in row.spans
        )


@tabled(
    ("key", "name"),
    [("G,shift+g", "G"), ("ctrl+f", "ctrl-f"), ("escape", "esc"), ("shift+left", "shift-left")],
)
def test_keys_are_named_as_people_write_them(key: str, name: str) -> None:
    assert key_name(key) == name


def table_of_readme(heading: str) -> list[list[str]]:
    """The rows of README's table with this first line, each as its cells."""
    text = README.read_text(encoding="utf-8").split(f"\n{heading}\n", 1)[1]
    rows = takewhile(lambda line: line.startswith("|"), text.splitlines()[1:])
    return [[cell.strip() for cell in row.strip("|").split("|")] for row in rows]


def quoted(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)


def test_each_key_that_readme_tells_to_press_is_a_key_of_the_table() -> None:
    pressed = {key for row in table_of_readme("| to | press | or type |") for key in quoted(row[1])}
    known = {key_name(key) for action in ACTIONS for key in each_key(action)}
    # a number and an answer are typed into a form
    assert pressed - known == {"y"}


def test_readme_lists_every_view_with_its_names_and_no_other() -> None:
    rows = table_of_readme("| view | opens by | shows | enter opens |")
    opened = {row[0]: set(quoted(row[1])) for row in rows}
    listed = {view.name: view for view in views().values() if view.listed}
    for view in listed.values():
        assert opened[view.name] >= {f":{name}" for name in (view.name, view.aliases[0])}
    assert opened.keys() - listed.keys() == {"pool", "history", "help"}
