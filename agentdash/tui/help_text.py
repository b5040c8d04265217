"""The help page as lines: the keys of a view, the roles and the commands."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final, TypeAlias

from agentdash.tui.actions import UserAction, key_name
from agentdash.tui.commands import COMMANDS, Command
from agentdash.tui.lines import BLANK, Line, Span, Tone, fit, line
from agentdash.tui.roles import ROLE_LABELS
from controller.model.snapshot import Role

_Entry: TypeAlias = tuple[str, str]
"""A key, role or command, and its text."""

_ENTRY_WIDTH: Final = 11
_COLUMN_WIDTH: Final = 39
_GROUP_ORDER: Final = ("general", "look", "move", "screen", "roles", "commands", "sort")
# the other roles need a lease, and no process takes one yet
_ROLES: Final = (Role.ACTIVE, Role.READ_ONLY)


def help_lines(actions: Iterable[UserAction], width: int) -> list[Line]:
    """Groups of keys, roles and commands, in as many columns as fit the width."""
    each = min(_COLUMN_WIDTH, width)
    columns = max(width // max(each, 1), 1)
    blocks = [_block(group, entries, each) for group, entries in _groups(actions) if entries]
    return _side_by_side(_into_columns(blocks, columns), each)


def _groups(actions: Iterable[UserAction]) -> list[tuple[str, list[_Entry]]]:
    groups: dict[str, list[_Entry]] = {group: [] for group in _GROUP_ORDER}
    for action in actions:
        groups[action.group].append((_keys(action), action.help))
    labels = (ROLE_LABELS[role] for role in _ROLES)
    groups["roles"] = [(label.word, label.help) for label in labels]
    groups["commands"] = [(f":{command.name}", _about(command)) for command in COMMANDS]
    return list(groups.items())


def _block(group: str, entries: Iterable[_Entry], width: int) -> list[Line]:
    heading = line(Span(fit(f" {group.upper()}", width), Tone.HEADING))
    return [heading, *(_entry_line(name, text, width) for name, text in entries)]


def _about(command: Command) -> str:
    if command.takes_pool:
        return f"NAME: {command.help}"
    return f"{command.help} (:{command.aliases[0]})"


def _keys(action: UserAction) -> str:
    return " ".join(key_name(key) for key in action.keys)


def _entry_line(name: str, text: str, width: int) -> Line:
    return line(
        " ",
        Span(fit(name, _ENTRY_WIDTH), Tone.TITLE),
        " ",
        Span(fit(text, width - _ENTRY_WIDTH - 3)),
        " ",
    )


def _into_columns(blocks: Sequence[list[Line]], columns: int) -> list[list[Line]]:
    """The blocks in order, in columns of about equal height. A block is never split."""
    share = -(-sum(len(block) + 1 for block in blocks) // columns)
    found: list[list[Line]] = [[]]
    for block in blocks:
        if found[-1] and len(found[-1]) + len(block) > share + 2 and len(found) < columns:
            found.append([])
        found[-1] += [*block, BLANK]
    return found


def _side_by_side(columns: Sequence[list[Line]], width: int) -> list[Line]:
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
