"""Reads YAML as plain data, and remembers the position of every value.

It reads the parser's events: a file of 10,000 pools takes 3 s, of which libyaml 1 s. PyYAML's own
composer takes 8 s, and recurses in C as deep as the text nests; ruamel.yaml, which keeps
positions too, takes 45 s. Scalars have the types of YAML 1.2: `no`, `on`, `1:30`, `010` and dates
are text.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple, TypeAlias

import msgspec
import yaml

from controller.model.settings import Settings
from controller.model.text import clean, quote
from controller.model.value import Value

KeyPath = tuple[str | int, ...]

_PLAIN_KEY: Final = re.compile(r"[A-Za-z0-9_-]{1,63}\Z")


class Problem(Value):
    """One problem; lines and columns count from 1, `path` is empty for the whole file."""

    file: str
    line: int
    column: int
    path: str
    message: str

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}:{self.column}"
        return ": ".join(part for part in (place, self.path, self.message) if part)


_SHOWN_ERRORS: Final = 20


class FleetFileError(Exception):
    """The fleet file cannot be used. `errors` are all its problems, in the file's order; the text
    has one line for each of the first, and how many more there are.
    """

    def __init__(self, errors: Iterable[Problem]) -> None:
        self.errors = tuple(sorted(errors, key=lambda error: (error.line, error.column)))
        more = len(self.errors) - _SHOWN_ERRORS
        shown = [*map(str, self.errors[:_SHOWN_ERRORS]), *([f"and {more:,} more"] * (more > 0))]
        super().__init__("\n".join(shown))


def spell(path: KeyPath) -> str:
    """A key path as people write it, such as `pools[2].replicas.max`."""
    spelled = ""
    for key in path:
        if isinstance(key, int):
            spelled += f"[{key}]"
        else:
            spelled += ("." if spelled else "") + (key if _PLAIN_KEY.match(key) else quote(key))
    return spelled


MAX_DEPTH: Final = 50  # levels of nesting
# values, once aliases and merge keys are unfolded: 10,000 pools with most keys have half as many
MAX_VALUES: Final = 1_000_000

# libyaml, if PyYAML was built with it, is ten times as fast
LOADER: Final[Any] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

# YAML 1.2, 5.1: characters that no YAML text may hold
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
_KEY: Final = "?"  # in a path: a key that is not known yet, or is no text
_PLAIN_TAGS: Final = frozenset(
    {None, "!", "tag:yaml.org,2002:str", "tag:yaml.org,2002:map", "tag:yaml.org,2002:seq"}
)


class TextPosition(msgspec.Struct, frozen=True, gc=False):
    """A position in the text; lines and columns count from 1."""

    line: int
    column: int


START: Final = TextPosition(1, 1)


class YamlNode(msgspec.Struct, frozen=True, gc=False):
    """A value, the position where it starts, the number of values in it, and its members. Those of
    a mapping are by key, each with the key's own position.

    Nodes are never cyclic, so reference counting alone frees them: the parser's own marks, of which
    the garbage collector keeps track, would take 4 s more of 10,000 pools.
    """

    value: object
    at: TextPosition = START
    size: int = 1
    members: Mapping[str, tuple[TextPosition, YamlNode]] | Sequence[YamlNode] = ()


class Document:
    """One YAML document: its `data` as plain values, and the `problems` in its form."""

    def __init__(self, name: str, root: YamlNode, problems: list[Problem]) -> None:
        self.name = name
        self.problems = problems
        self._root = root

    @property
    def data(self) -> object:
        """Mappings whose keys are text, lists, text, numbers, true, false and None."""
        return self._root.value

    def problem(self, path: KeyPath, message: str, *, at_key: bool = False) -> Problem:
        """A problem at the value of `path` or its key, else at the innermost around it."""
        return problem_at(self.name, self.position(path, at_key=at_key), message, path)

    def position(self, path: KeyPath, *, at_key: bool = False) -> TextPosition:
        """The position of the value of `path`, or of its key, chosen as by `problem`."""
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
    """Read a text that has one YAML document. `name` is the file's name in messages.

    Raises FleetFileError for a text that is not YAML, is nested too deeply, or is too large.
    """
    text = text.removeprefix("\ufeff")
    if found := _UNPRINTABLE.search(text):
        raise _failure(
            name,
            position_of(text[: found.start()]),
            f"a YAML file may not have the character U+{ord(found.group()):04X}: take it out",
        )
    composer = _Composer(name, yaml.parse(text, Loader=loader))
    try:
        return composer.document()
    except yaml.MarkedYAMLError as error:
        raise _not_yaml(name, text, error) from None


def position_of(before: str) -> TextPosition:
    """The position right after the text `before`."""
    return TextPosition(before.count("\n") + 1, len(before) - (before.rfind("\n") + 1) + 1)


class _Composer:
    """Builds nodes from the parser's events. It recurses at most MAX_DEPTH deep."""

    def __init__(self, name: str, events: Iterator[yaml.Event]) -> None:
        self._name = name
        self._events = events
        self._path: list[str | int] = []
        self._anchors: dict[str, YamlNode] = {}
        self._problems: list[Problem] = []
        self._values = 0

    def document(self) -> Document:
        root: YamlNode | None = None
        for event in self._events:
            if isinstance(event, yaml.NodeEvent):
                root = self._node(event)
            elif isinstance(event, yaml.DocumentStartEvent) and root is not None:
                message = "a second document begins here: a fleet file is one document"
                raise _failure(self._name, _marked(event.start_mark), message)
        return Document(self._name, root or YamlNode(None), self._problems)

    def _node(self, event: Any) -> YamlNode:
        if isinstance(event, yaml.AliasEvent):
            return self._aliased(event)
        at, before = _marked(event.start_mark), self._values
        self._values += 1
        members: Any = ()
        if isinstance(event, yaml.ScalarEvent):
            value = _scalar(event)
        elif len(self._path) >= MAX_DEPTH:
            raise _failure(self._name, at, f"nests deeper than {MAX_DEPTH} levels")
        elif isinstance(event, yaml.SequenceStartEvent):
            members = self._items()
            value = [item.value for item in members]
        else:
            members = self._members()
            value = {key: member.value for key, (_, member) in members.items()}
        node = YamlNode(value, at, self._values - before, members)
        if node.size > MAX_VALUES:
            raise _failure(self._name, at, f"holds more than {MAX_VALUES:,} values")
        if event.tag not in _PLAIN_TAGS:
            self._report(at, "a YAML tag (!…) is not read here: leave it out")
        if event.anchor is not None:
            self._anchors[event.anchor] = node
        return node

    def _aliased(self, event: yaml.AliasEvent) -> YamlNode:
        """The node of the anchor itself, so that a problem in it is shown where it is written."""
        node = self._anchors.get(event.anchor or "")
        if node is None:
            message = "this alias (*…) has no anchor (&…) before it"
            raise _failure(self._name, _marked(event.start_mark), message)
        self._values += node.size
        return node

    def _items(self) -> list[YamlNode]:
        items: list[YamlNode] = []
        self._path.append(0)
        while not isinstance(event := next(self._events), yaml.SequenceEndEvent):
            self._path[-1] = len(items)
            items.append(self._node(event))
        self._path.pop()
        return items

    def _members(self) -> dict[str, tuple[TextPosition, YamlNode]]:
        members: dict[str, tuple[TextPosition, YamlNode]] = {}
        merged: list[YamlNode] = []
        before = self._values
        self._path.append(_KEY)
        while not isinstance(event := next(self._events), yaml.MappingEndEvent):
            at, self._path[-1] = _marked(event.start_mark), _KEY
            if isinstance(event, yaml.ScalarEvent) and event.value == _MERGE and event.implicit[0]:
                self._path[-1] = _MERGE
                merged += self._merge_sources(self._node(next(self._events)))
                continue
            counted = self._values  # keys do not count
            key, self._values = self._node(event).value, counted
            if isinstance(key, str):
                self._path[-1] = key
            value = self._node(next(self._events))
            if not isinstance(key, str):
                self._report(at, "a key must be text: put it in quotes", of_parent=True)
            elif key in members:
                first = members[key][0].line
                self._report(at, f"stands here twice (first on line {first}): remove one")
            else:
                members[key] = at, value
        self._path.pop()
        if merged and self._values - before <= MAX_VALUES:
            # the mapping's own keys count, then those of the first source (yaml.org/type/merge)
            sources = [source.members for source in merged if isinstance(source.members, Mapping)]
            for key, member in (each for source in sources for each in source.items()):
                members.setdefault(key, member)
        return members

    def _merge_sources(self, node: YamlNode) -> Sequence[YamlNode]:
        sources = [node] if isinstance(node.members, Mapping) else node.members
        if sources and all(isinstance(source.members, Mapping) for source in sources):
            return sources
        self._report(node.at, "a merge key takes a mapping, or a list of mappings")
        return ()

    def _report(self, at: TextPosition, message: str, *, of_parent: bool = False) -> None:
        path = tuple(self._path[: -1 if of_parent else None])
        self._problems.append(problem_at(self._name, at, message, path))


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


def _marked(mark: Any) -> TextPosition:
    return TextPosition(mark.line + 1, mark.column + 1) if mark else START


def problem_at(name: str, at: TextPosition, message: str, path: KeyPath = ()) -> Problem:
    """A problem in the file of this name, without a path of the whole file."""
    message = clean(message)
    return Problem(file=name, line=at.line, column=at.column, path=spell(path), message=message)


def _failure(name: str, at: TextPosition, message: str) -> FleetFileError:
    return FleetFileError([problem_at(name, at, message)])


def _not_yaml(name: str, text: str, error: yaml.MarkedYAMLError) -> FleetFileError:
    at = _marked(error.problem_mark or error.context_mark)
    lines = text.splitlines() or [""]
    if at.line > len(lines):  # the text ends too early: show its last line
        at = TextPosition(len(lines), len(lines[-1]) + 1)
    if lines[at.line - 1][at.column - 1 : at.column] == "\t":
        return _failure(name, at, "not YAML: a tab stands here; YAML indents with spaces")
    context = ""
    if error.context:
        context = f" ({error.context} that starts on line {_marked(error.context_mark).line})"
    advice = "check the indentation, colons, brackets and quotes here"
    return _failure(name, at, f"not YAML: {error.problem or 'malformed'}{context}; {advice}")


FileState: TypeAlias = tuple[str, ...]


class FleetSource(NamedTuple):
    """`load` reads the file's settings with what the command line adds to them, and raises
    FleetFileError. `state` is that of the file before it was read the first time.
    """

    path: Path
    load: Callable[[], Settings]
    state: FileState


def file_state(path: Path) -> FileState:
    """Differs when the file was written, replaced, removed, or when a link on the way to it leads
    elsewhere, as in a mounted ConfigMap. Blocks; raises nothing.
    """
    try:
        path = path.expanduser()
        found = path.stat()
        where = os.path.realpath(path)
    except (OSError, RuntimeError, ValueError) as error:
        return ("", str(error))
    numbers = (found.st_dev, found.st_ino, found.st_mtime_ns, found.st_size)
    return (where, *map(str, numbers))
