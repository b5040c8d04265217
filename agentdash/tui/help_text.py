"""The help page as lines: the keys of a view, the roles and the commands.

Textual's HelpPanel shows keys alone, in one narrow column. What this page says costs 5.4 kB in a
Panel and 6.9 kB in a VerticalScroll of Textual's.
(tests/benchmarks/bench_widgets.py, 160x45, true colour)
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from itertools import zip_longest
from types import MappingProxyType
from typing import Final, NamedTuple, TypeAlias

from agentdash.tui.actions import UserAction, key_name
from agentdash.tui.commands import COMMANDS
from agentdash.tui.figures import UNICODE, Glyphs, as_words
from agentdash.tui.lines import BLANK, Line, Span, Tone, fit, line, width_of, wrap
from agentdash.tui.table import Column, Table
from agentdash.tui.tables import views
from agentdash.tui.tables.queues import QueueState
from agentdash.tui.tables.tenants import TenantState
from agentdash.tui.view import ROLE_LABELS, PoolState
from controller.model.decision import Bound, Gate
from controller.model.snapshot import Role

_Entry: TypeAlias = tuple[str, str]
"""A key, role or command, and its text."""

NO_COLUMNS: Final[Mapping[str, str]] = MappingProxyType({})
_ENTRY_WIDTH: Final = 11
_COLUMN_WIDTH: Final = 39
_GROUP_ORDER: Final = (
    "general",
    "look",
    "operate",
    "time",
    "move",
    "screen",
    "roles",
    "header",
    "commands",
    "sort",
    "columns",
    "states",
    "marks",
    "bounds and gates",
)

_HEADER: Final = {
    "pods 3/5": "replicas that are ready, of the targets",
    "wanted": "what the work asks for, before any limit",
    "queue": "messages not delivered yet; in flight: not yet acknowledged",
    "starting": "pods on their way; stuck: they fit on no node; crashing; blind: pools",
    "today": "USD of the tenants' days; month; day's end: about, as the last hour was",
    "pools": "how many, and those at zero",
    "writes": "changes of replicas since this controller began; failed ones",
    "age": "of what is shown",
    "tick": "looks since this controller began, one an interval; what it took",
    "alarm": "how many findings are more than information",
}
BOUNDS: Final[Mapping[Bound | Gate, str]] = {
    Bound.DEMAND: "the work itself",
    Bound.MIN: "replicas.min",
    Bound.MAX: "replicas.max",
    Bound.SCHEDULE: "an open schedule",
    Bound.PIN: "spares that an operator pinned",
    Bound.BASELINE: "one replica for each tenant with work",
    Bound.WARM: "configured spares",
    Bound.PAUSE: "an operator's pause",
    Bound.CAP: "an operator's max for a time",
    Bound.NO_GROWTH: "an operator's hold on growth",
    Bound.QUOTA: "the tenant's quota",
    Bound.BUDGET: "the tenant's tokens per day",
    Bound.COST: "USD per hour",
    Bound.RATE: "a model's rate limit",
    Bound.CAPACITY: "the room on the nodes",
    Gate.BUSY: "only idle replicas go",
    Gate.ROOM: "room is not free yet",
    Gate.MINIMUM_RUNTIME: "replicas are too young to go",
    Gate.FREEZE: "an operator's freeze",
    Gate.BLIND: "a reading is missing",
    Gate.WARM_UP: "the memory was lost; one window is observed first",
    Gate.CONTESTED: "another writer keeps setting it back",
    Gate.NOT_BECOMING_READY: "its pods do not become ready",
    Gate.FOLLOWER: "another process writes",
}


def help_lines(
    actions: Iterable[UserAction],
    width: int,
    glyphs: Glyphs = UNICODE,
    columns: Mapping[str, str] = NO_COLUMNS,
    off: str | None = None,
) -> list[Line]:
    """Groups of keys, roles and commands, and what the `columns` of the view, words and marks mean;
    side by side as the width allows. `off` is why the keys that change something are off.
    """
    each = min(_COLUMN_WIDTH, width)
    beside = max(width // max(each, 1), 1)
    groups = _groups(tuple(actions), glyphs, columns, off)
    blocks = [
        [
            line(Span(fit(f" {group.upper()}", each), Tone.HEADING)),
            *(row for name, text in entries for row in _entry_lines(name, text, each)),
        ]
        for group, entries in groups
        if entries
    ]
    return _side_by_side(blocks, beside, each)


def every_column() -> Mapping[str, str]:
    """The titles of the columns of all tables, each with what it means; one that does not mean the
    same everywhere stands once for each meaning, with the table: `WHY of tasks`.
    """
    found: defaultdict[str, dict[str, str]] = defaultdict(dict)
    for table in (table for view in views().values() for table in view.tables):
        for column in table.columns:
            found[column.title].setdefault(column.legend, table.name)
    return {
        title if len(legends) == 1 else f"{title} of {table}": legend
        for title, legends in found.items()
        for legend, table in legends.items()
    }


class HelpEntry(NamedTuple):
    """A key, role, command, column, word or mark of a group, and what it means."""

    group: str
    name: str
    text: str


def help_entries(actions: Iterable[UserAction], glyphs: Glyphs = UNICODE) -> list[HelpEntry]:
    """All that can be explained: these keys, every role, command, column, word and mark."""
    return [
        HelpEntry(group, " ".join(name.split()), text)
        for group, entries in _groups(tuple(actions), glyphs, every_column(), None)
        for name, text in entries
    ]


def _groups(
    actions: Sequence[UserAction], glyphs: Glyphs, columns: Mapping[str, str], off: str | None
) -> list[tuple[str, list[_Entry]]]:
    groups: dict[str, list[_Entry]] = {group: [] for group in _GROUP_ORDER}
    for action in actions:
        keys = " ".join(key_name(key) for key in action.keys)
        groups[action.group].append((keys, action.help.replace("→", glyphs.arrow)))
    operates = any(action.changes for action in actions)
    if operates and off is not None:
        groups["operate"].append(("off", off))
    labels = (ROLE_LABELS[role] for role in Role)
    groups["roles"] = [(label.word, label.help) for label in labels]
    for command in COMMANDS:
        about = command.help
        if command.takes and (command.takes != "NAME" or command.choices):
            about = f"{command.takes}: {about}"
        elif command.aliases:
            about += f" (:{command.aliases[0]})"
        if command.listed and (operates or not command.operates):
            groups["commands"].append((f":{command.name}", about))
    groups["columns"] = [
        (title.replace("→", glyphs.arrow), text.replace("→", glyphs.arrow))
        for title, text in columns.items()
    ]
    states = (each for each in (*PoolState, *QueueState, *TenantState) if each.help)
    groups["states"] = [(f"{state.mark:<2} {state.word}", state.help) for state in states]
    groups["header"] = list(_HEADER.items())
    groups["marks"] = [
        ("!!", "look now"),
        ("!", "look soon"),
        ("i", "for information"),
        (glyphs.stale, "after a number: the last known one, not fresh"),
        (glyphs.unknown, "nobody can know it now"),
        (">", "before a sum: or more, a part is not known"),
        (f"+{glyphs.unknown}", "after a sum: some pools are missing in it"),
        (glyphs.none, "there is none"),
        (f"{glyphs.up} {glyphs.down}", "the queue grows, shrinks; order of a column"),
        (glyphs.arrow, "from, to"),
    ]
    groups["bounds and gates"] = [(as_words(bound), text) for bound, text in BOUNDS.items()]
    return list(groups.items())


def _entry_lines(name: str, text: str, width: int) -> list[Line]:
    """A name that is too long for its place has a line of its own."""
    room = width - _ENTRY_WIDTH - 3
    texts = wrap(text, room) or [""]
    lines: list[Line] = []
    if width_of(name) > _ENTRY_WIDTH:
        lines.append(line(" ", Span(fit(name, width - 1), Tone.TITLE)))
        name = ""
    for index, part in enumerate(texts):
        shown = "" if index else name
        lines.append(
            line(" ", Span(fit(shown, _ENTRY_WIDTH), Tone.TITLE), " ", Span(fit(part, room)), " ")
        )
    return lines


def _side_by_side(blocks: Sequence[list[Line]], beside: int, width: int) -> list[Line]:
    """The blocks in order, in columns of about equal height. A block is never split."""
    share = -(-sum(len(block) + 1 for block in blocks) // beside)
    columns: list[list[Line]] = [[]]
    for block in blocks:
        if columns[-1] and len(columns[-1]) + len(block) > share + 2 and len(columns) < beside:
            columns.append([])
        columns[-1] += [*block, BLANK]
    blank = line(" " * width).spans
    return [
        Line(tuple(span for column in row for span in column.spans or blank))
        for row in zip_longest(*columns, fillvalue=BLANK)
    ]


_Column = Column[HelpEntry]
HELP: Final = Table[HelpEntry](
    "help",
    "keys, words and marks",
    (
        _Column("GROUP", 8, "what it belongs to", "group", lambda entry: entry.group, rank=1),
        _Column("NAME", 12, "how it is written", "name", lambda entry: entry.name),
        _Column("MEANS", 18, "what it means", "means", lambda entry: entry.text, fill=True),
    ),
    lambda _: (),
    key=lambda entry: f"{entry.group} {entry.name}",
    nothing=lambda _: [],
)
