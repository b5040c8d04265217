"""YAML as plain data that remembers where everything stands.

Read from the parser's events rather than with its composer, which recurses in C as deep as the text
nests and unfolds aliases without a bound. Scalars are typed as YAML 1.2 does: `no`, `on`, `1:30`,
`010` and dates are text.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

import msgspec
import yaml

from controller.config.problems import FleetFileError, KeyPath, Problem, spell
from controller.model.text import clean

DEPTH_LIMIT: Final = 50
SIZE_LIMIT: Final = 1_000_000
"""Values after unfolding aliases and merge keys: 10,000 pools with most keys have half of it."""

# libyaml where PyYAML was built with it: ten times quicker
LOADER: Final[Any] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

# YAML 1.2, 5.1: what no YAML text may hold
_UNPRINTABLE: Final = re.compile(
    "[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufefe\uff00-\ufffd\U00010000-\U0010ffff]"
)
_WORDS: Final = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL"), None),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}
_NUMBER_START: Final = frozenset("+-.0123456789")
_INT: Final = re.compile(r"[-+]?(?:0|[1-9][0-9]{0,17})\Z")
_FLOAT: Final = re.compile(
    r"[-+]?(?:\.[0-9]{1,40}|(?:0|[1-9][0-9]{0,39})(?:\.[0-9]{0,40})?)(?:[eE][-+]?[0-9]{1,4})?\Z"
)
_MERGE: Final = "<<"
_KEY: Final = "?"  # stands in a path for a key that is not known, or no text
_MAY_BE_NAMED: Final = (yaml.ScalarEvent, yaml.CollectionStartEvent)
_PLAIN_TAGS: Final = frozenset(
    {None, "!", "tag:yaml.org,2002:str", "tag:yaml.org,2002:map", "tag:yaml.org,2002:seq"}
)


class Position(msgspec.Struct, frozen=True, gc=False):
    """A place in the text, counted from 1."""

    line: int
    column: int


START: Final = Position(1, 1)


class Node(msgspec.Struct, frozen=True, gc=False):
    """A value, where it starts, how many values it holds, and its members: for a mapping by key,
    each with the key's own place. Never cyclic, so left to reference counting.
    """

    value: object
    at: Position
    size: int = 1
    members: Mapping[str, tuple[Position, Node]] | Sequence[Node] = ()


class Document:
    """One YAML document: `data` as plain values, and the `problems` found in its form."""

    def __init__(self, name: str, root: Node, problems: list[Problem]) -> None:
        self.name = name
        self.problems = problems
        self._root = root

    @property
    def data(self) -> object:
        """Mappings with text keys, lists, text, numbers, true, false and None."""
        return self._root.value

    def problem(self, path: KeyPath, message: str, *, at_key: bool = False) -> Problem:
        """A problem at the value of `path`, or at its key; where there is neither, at the nearest
        value around it.
        """
        at = self.position(path, at_key=at_key)
        return Problem(
            file=self.name,
            line=at.line,
            column=at.column,
            path=spell(path),
            message=clean(message),
        )

    def position(self, path: KeyPath, *, at_key: bool = False) -> Position:
        """Where the value of `path` starts, or its key; see `problem`."""
        node, key_at = self._root, self._root.at
        for key in path:
            if isinstance(node.members, Mapping) and key in node.members:
                key_at, node = node.members[str(key)]
            elif isinstance(node.members, list) and key in range(len(node.members)):
                node = node.members[int(key)]
                key_at = node.at
            else:
                return node.at
        return key_at if at_key else node.at


def read(text: str, name: str, loader: Any = LOADER) -> Document:
    """The text's one document. `name` is what the messages call the file.

    Raises FleetFileError where there is no document to go on with: not YAML, too deep, too large.
    """
    text = text.removeprefix("\ufeff")
    if found := _UNPRINTABLE.search(text):
        raise _failure(
            name,
            position_of(text[: found.start()]),
            f"the character U+{ord(found.group()):04X} may not stand in a YAML file: take it out",
        )
    composer = _Composer(name, yaml.parse(text, Loader=loader))
    try:
        return composer.document()
    except yaml.MarkedYAMLError as error:
        raise _not_yaml(name, text, error) from None


def position_of(before: str) -> Position:
    """The position that follows the text `before`."""
    return Position(before.count("\n") + 1, len(before) - (before.rfind("\n") + 1) + 1)


class _Composer:
    """Builds nodes from the parser's events; recurses at most DEPTH_LIMIT deep."""

    def __init__(self, name: str, events: Iterator[yaml.Event]) -> None:
        self._name = name
        self._events = events
        self._path: list[str | int] = []
        self._anchors: dict[str, Node] = {}
        self._problems: list[Problem] = []

    def document(self) -> Document:
        root: Node | None = None
        for event in self._events:
            if isinstance(event, yaml.NodeEvent):
                root = self._node(event)
            elif isinstance(event, yaml.DocumentStartEvent) and root is not None:
                at = _marked(event.start_mark)
                raise _failure(self._name, at, "a second document: a fleet file is one document")
        return Document(self._name, root or Node(None, START), self._problems)

    def _member(self, key: str | int, event: yaml.Event | None = None) -> Node:
        """The node that starts with `event`, else with the next one, as the member `key`."""
        self._path.append(key)
        node = self._node(event or next(self._events))
        self._path.pop()
        return node

    def _node(self, event: yaml.Event) -> Node:
        at = _marked(event.start_mark)
        if isinstance(event, yaml.ScalarEvent):
            node = Node(_scalar(event), at)
        elif isinstance(event, yaml.AliasEvent):
            return self._aliased(event, at)
        elif len(self._path) >= DEPTH_LIMIT:
            raise _failure(self._name, at, f"nests deeper than {DEPTH_LIMIT} levels")
        elif isinstance(event, yaml.SequenceStartEvent):
            node = self._sequence(at)
        else:
            node = self._mapping(at)
        if node.size > SIZE_LIMIT:
            raise _failure(self._name, at, f"holds more than {SIZE_LIMIT:,} values")
        if isinstance(event, _MAY_BE_NAMED):
            if event.tag not in _PLAIN_TAGS:
                self._report(at, "a YAML tag (!…) is not read here: leave it out")
            if event.anchor is not None:
                self._anchors[event.anchor] = node
        return node

    def _aliased(self, event: yaml.AliasEvent, at: Position) -> Node:
        """The anchor's own node, so that what is wrong in it is shown where it is written."""
        node = self._anchors.get(event.anchor or "")
        if node is None:
            raise _failure(self._name, at, "this alias (*…) has no anchor (&…) before it")
        return node

    def _sequence(self, at: Position) -> Node:
        items: list[Node] = []
        while not isinstance(event := next(self._events), yaml.SequenceEndEvent):
            items.append(self._member(len(items), event))
        return Node([item.value for item in items], at, 1 + _sizes(items), items)

    def _mapping(self, at: Position) -> Node:
        members: dict[str, tuple[Position, Node]] = {}
        merged: list[Node] = []
        while not isinstance(event := next(self._events), yaml.MappingEndEvent):
            if _is_merge(event):
                merged += self._merge_sources(self._member(_MERGE))
                continue
            key, key_at = self._member(_KEY, event).value, _marked(event.start_mark)
            if not isinstance(key, str):
                self._report(key_at, "a key must be text: put it in quotes")
                self._member(_KEY)
                continue
            value = self._member(key)
            if key in members:
                first, _ = members[key]
                message = f"stands here twice (first on line {first.line}): remove one"
                self._report(key_at, message, key)
            else:
                members[key] = key_at, value
        size = 1 + _sizes(value for _, value in members.values()) + _sizes(merged)
        if size <= SIZE_LIMIT:
            _merge(members, merged)
        return Node({key: value.value for key, (_, value) in members.items()}, at, size, members)

    def _merge_sources(self, node: Node) -> Sequence[Node]:
        sources = [node] if isinstance(node.members, Mapping) else node.members
        if sources and all(isinstance(source.members, Mapping) for source in sources):
            return sources
        self._report(node.at, "a merge key takes a mapping or a list of them", _MERGE)
        return ()

    def _report(self, at: Position, message: str, *keys: str) -> None:
        path = spell((*self._path, *keys))
        problem = Problem(
            file=self._name, line=at.line, column=at.column, path=path, message=message
        )
        self._problems.append(problem)


def _merge(members: dict[str, tuple[Position, Node]], merged: Iterable[Node]) -> None:
    """Add what is not written: the first source that has a key counts (yaml.org/type/merge)."""
    for source in merged:
        if isinstance(source.members, Mapping):
            for key, member in source.members.items():
                members.setdefault(key, member)


def _is_merge(event: yaml.Event) -> bool:
    return isinstance(event, yaml.ScalarEvent) and event.value == _MERGE and bool(event.implicit[0])


def _scalar(event: yaml.ScalarEvent) -> object:
    text: str = event.value
    if not event.implicit[0]:
        return text
    if text in _WORDS:
        return _WORDS[text]
    if text[0] in _NUMBER_START:
        if _INT.match(text):
            return int(text)
        if _FLOAT.match(text):
            return float(text)
    return text


def _sizes(nodes: Iterable[Node]) -> int:
    return sum(node.size for node in nodes)


def _marked(mark: Any) -> Position:
    return Position(mark.line + 1, mark.column + 1) if mark else START


def _failure(name: str, at: Position, message: str) -> FleetFileError:
    return FleetFileError(
        [Problem(file=name, line=at.line, column=at.column, path="", message=clean(message))]
    )


def _not_yaml(name: str, text: str, error: yaml.MarkedYAMLError) -> FleetFileError:
    at = _marked(error.problem_mark or error.context_mark)
    lines = text.splitlines() or [""]
    if at.line > len(lines):  # what ends too early ends on the last line
        at = Position(len(lines), len(lines[-1]) + 1)
    if lines[at.line - 1][at.column - 1 : at.column] == "\t":
        return _failure(name, at, "not YAML: a tab; YAML indents with spaces")
    context = ""
    if error.context:
        context = f" ({error.context} that starts on line {_marked(error.context_mark).line})"
    advice = "check the indentation, colons, brackets and quotes here"
    return _failure(name, at, f"not YAML: {error.problem or 'malformed'}{context}; {advice}")
