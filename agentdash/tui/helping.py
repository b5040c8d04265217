"""The help page as lines, made from the actions that are live."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import groupby
from typing import Final

from agentdash.tui.actions import Action, key_name
from agentdash.tui.commands import COMMANDS, Command
from agentdash.tui.lines import BLANK, Line, Span, Tone, fit, line

_KEY_WIDTH: Final = 11
_COLUMN_WIDTH: Final = 39


def help_lines(actions: Iterable[Action], width: int) -> list[Line]:
    """Groups of keys in as many columns as the width takes, read downwards."""
    each = min(_COLUMN_WIDTH, width)
    columns = max(width // max(each, 1), 1)
    blocks = [*_blocks(list(actions), each), _commands(each)]
    return _beside(_balance(blocks, columns), each)


def _blocks(actions: Sequence[Action], width: int) -> list[list[Line]]:
    ordered = sorted(actions, key=lambda action: _GROUPS.index(action.group))
    blocks: list[list[Line]] = []
    for group, members in groupby(ordered, key=lambda action: action.group):
        block = [_heading(group, width)]
        block += [_entry(_keys(action), action.help, width) for action in members]
        blocks.append(block)
    return blocks


_GROUPS: Final = ("general", "look", "move", "screen", "sort")


def _commands(width: int) -> list[Line]:
    entries = (_entry(f":{command.name}", _about(command), width) for command in COMMANDS)
    return [_heading("commands", width), *entries]


def _about(command: Command) -> str:
    if command.takes_pool:
        return f"NAME: {command.help}"
    return f"{command.help} (:{command.aliases[0]})"


def _keys(action: Action) -> str:
    return " ".join(key_name(key) for key in action.keys)


def _heading(text: str, width: int) -> Line:
    return line(Span(fit(f" {text.upper()}", width), Tone.HEAD))


def _entry(keys: str, text: str, width: int) -> Line:
    return line(
        " ",
        Span(fit(keys, _KEY_WIDTH), Tone.TITLE),
        " ",
        Span(fit(text, width - _KEY_WIDTH - 3)),
        " ",
    )


def _balance(blocks: Sequence[list[Line]], columns: int) -> list[list[Line]]:
    """Blocks in order, broken where a column has had its share."""
    share = -(-sum(len(block) + 1 for block in blocks) // columns)
    found: list[list[Line]] = [[]]
    for block in blocks:
        if found[-1] and len(found[-1]) + len(block) > share + 2 and len(found) < columns:
            found.append([])
        found[-1] += [*block, BLANK]
    return found


def _beside(columns: Sequence[list[Line]], width: int) -> list[Line]:
    blank = line(" " * width)
    height = max(len(column) for column in columns)
    rows: list[Line] = []
    for index in range(height):
        spans: list[Span] = []
        for column in columns:
            row = column[index] if index < len(column) else blank
            spans += (row if row.spans else blank).spans
        rows.append(Line(tuple(spans)))
    return rows
