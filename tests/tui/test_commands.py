"""What a person types: commands with their completion, and filters."""

from __future__ import annotations

import pytest

from agentdash.tui.commands import (
    COMMANDS,
    ParsedCommand,
    UnknownCommandError,
    complete,
    once_view,
    parse,
)
from agentdash.tui.widgets.live_table import parse_filter
from support.table import tabled

POOLS = ["acme/coder", "acme/browser", "globex/coder"]


@tabled(
    ("text", "command"),
    [
        ("ov", ParsedCommand("overview")),
        ("pulses", ParsedCommand("overview")),
        ("pl", ParsedCommand("pools")),
        ("pools /cold", ParsedCommand("pools", filter="cold")),
        ("why browser", ParsedCommand("pool", pool="acme/browser")),
        ("why acme/coder", ParsedCommand("pool", pool="acme/coder")),
        ("why glob", ParsedCommand("pool", pool="globex/coder")),
        ("why", ParsedCommand("pool", pool="acme/browser")),
        ("pods acme/coder", ParsedCommand("pods", pool="acme/coder")),
        ("pods acme", ParsedCommand("pods", tenant="acme")),
        ("tenant acme", ParsedCommand("tenant", tenant="acme")),
        ("tenant", ParsedCommand("tenants")),
        ("q", ParsedCommand("quit")),
        ("at -5m", ParsedCommand("at", time="-5m")),
        ("-5m", ParsedCommand("at", time="-5m")),
        ("po", ParsedCommand("pods")),
        ("ten", ParsedCommand("tenants")),
        ("w browser", ParsedCommand("pool", pool="acme/browser")),
        ("?", None),
    ],
)
def test_a_line_is_parsed(text: str, command: ParsedCommand | None) -> None:
    if command is None:
        with pytest.raises(UnknownCommandError):
            parse(text, POOLS)
    else:
        assert parse(text, POOLS, "acme/browser", ["acme", "globex"]) == command


@tabled(
    ("text", "said"),
    [
        ("pols", "try pools"),
        ("zzzz", "? lists all"),
        ("why coder", "can be acme/coder, globex/coder"),
        ("why acme/codr", "try acme/coder"),
        ("why", "which pool"),
    ],
)
def test_an_error_names_the_nearest_command_or_pool(text: str, said: str) -> None:
    with pytest.raises(UnknownCommandError, match=said.replace("?", r"\?")):
        parse(text, POOLS)


@tabled(
    ("text", "view"),
    [
        ("pl", ("pools", "")),
        ("au", ("audit", "")),
        ("doctor", ("doctor", "")),
        ("why", ("why", "")),
        ("describe", ("why", "")),
        ("why acme/coder", ("why", "acme/coder")),
        ("pods acme", ("pods", "acme")),
    ],
)
def test_a_view_is_printed_once_by_its_name_or_alias(text: str, view: tuple[str, str]) -> None:
    assert once_view(text) == view


@tabled("text", ["undo", "pin", "help me", "logs", "history", ""])
def test_what_is_no_view_is_not_printed(text: str) -> None:
    with pytest.raises(UnknownCommandError, match="no view"):
        once_view(text)


def test_commands_and_pools_are_completed() -> None:
    assert complete("po", POOLS) == ("pods", "pools", "pool")
    assert complete("why br", POOLS) == ("why acme/browser",)
    assert complete("why coder", POOLS) == ("why acme/coder", "why globex/coder")
    assert complete("at x", POOLS) == ()


def test_the_first_completion_is_what_enter_runs() -> None:
    typed = {
        word[:end]
        for command in COMMANDS
        if not command.operates
        and command.listed
        and command.takes in {"", "NAME", "POOL"}
        and not command.choices
        for word in (command.name, *command.aliases)
        for end in range(1, len(word) + 1)
    }
    compared = 0
    for text in sorted(typed):
        found = [each for each in complete(text, POOLS) if each.startswith(text)]
        try:
            run = parse(text, POOLS, selected=POOLS[0]).name
        except UnknownCommandError:
            continue
        if found:
            assert found[0] == run, text
            compared += 1
    assert compared > 30


def test_names_of_which_a_part_begins_so_are_offered_alone() -> None:
    pools = ["acme/research", "acme/scout", "globex/tools-shared", "starter/x"]
    assert complete("why s", pools) == (
        "why acme/scout",
        "why globex/tools-shared",
        "why starter/x",
    )
    assert complete("why ear", pools) == ("why acme/research",)


def test_a_filter_is_a_regex_that_ignores_case() -> None:
    assert parse_filter("ACME|glob").passes("globex/coder growth ok")
    assert not parse_filter("^coder").passes("acme/coder")


def test_an_exclamation_mark_inverts_the_filter() -> None:
    assert parse_filter("!acme").passes("globex/coder")
    assert not parse_filter("!acme").passes("acme/coder")


def test_an_invalid_regex_is_searched_as_text_and_the_note_says_so() -> None:
    found = parse_filter("[acme")
    assert found.passes("x [acme y")
    assert not found.passes("acme")
    assert "taken as text" in found.note


@tabled("text", ["", "  ", "!"])
def test_an_empty_filter_passes_everything(text: str) -> None:
    assert not parse_filter(text)
    assert parse_filter(text).passes("anything")
