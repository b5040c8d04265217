"""What is typed: commands with completion and the nearest word, filters with ! and regex."""

from __future__ import annotations

import pytest

from agentdash.tui.commands import Order, UnknownCommandError, complete, parse
from agentdash.tui.filters import parse_filter

POOLS = ["acme/coder", "acme/browser", "globex/coder"]


@pytest.mark.parametrize(
    ("text", "order"),
    [
        ("ov", Order("overview")),
        ("pulses", Order("overview")),
        ("pl", Order("pools")),
        ("pools /cold", Order("pools", filter="cold")),
        ("why browser", Order("why", pool="acme/browser")),
        ("why acme/coder", Order("why", pool="acme/coder")),
        ("why glob", Order("why", pool="globex/coder")),
        ("why", Order("why", pool="acme/browser")),
        ("q", Order("quit")),
        ("?", None),
    ],
)
def test_a_line_means_one_thing(text: str, order: Order | None) -> None:
    if order is None:
        with pytest.raises(UnknownCommandError):
            parse(text, POOLS)
    else:
        assert parse(text, POOLS, selected="acme/browser") == order


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("pols", "try pools"),
        ("zzzz", "? lists all"),
        ("why coder", "may be acme/coder, globex/coder"),
        ("why acme/codr", "try acme/coder"),
        ("why", "which pool"),
    ],
)
def test_an_unknown_word_is_answered_with_the_nearest(text: str, said: str) -> None:
    with pytest.raises(UnknownCommandError, match=said.replace("?", r"\?")):
        parse(text, POOLS)


def test_commands_and_pools_are_completed() -> None:
    assert complete("po", POOLS) == ("pools",)
    assert complete("why br", POOLS) == ("why acme/browser",)
    assert complete("why coder", POOLS) == ("why acme/coder", "why globex/coder")
    assert complete("pools x", POOLS) == ()


def test_a_filter_is_a_regex_without_regard_to_case() -> None:
    assert parse_filter("ACME|glob").passes("globex/coder growth ok")
    assert not parse_filter("^coder").passes("acme/coder")


def test_an_exclamation_mark_turns_it_round() -> None:
    assert parse_filter("!acme").passes("globex/coder")
    assert not parse_filter("!acme").passes("acme/coder")


def test_what_is_no_regex_is_text_and_says_so() -> None:
    found = parse_filter("[acme")
    assert found.passes("x [acme y")
    assert not found.passes("acme")
    assert "taken as text" in found.note


@pytest.mark.parametrize("text", ["", "  ", "!"])
def test_an_empty_filter_passes_everything(text: str) -> None:
    assert not parse_filter(text)
    assert parse_filter(text).passes("anything")
