"""A snapshot as one line of JSON, its frame, and a snapshot made from frames again. The live feed,
what outlasts a process, the journal's stream and its file are made of these lines.

UnreadableLineError        the line cannot be read
└── MissedSnapshotError    it continues a snapshot that is not there
OtherVersionError          a controller's frames are of a version that cannot be read

A `whole` line, a key frame, has all of a snapshot and its histories, a `change` line what differs
from the line before, and a `tick` line stands where nothing but time went on.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from functools import cache
from operator import attrgetter
from typing import Any, Final, NamedTuple, TypeAlias, TypeVar

import msgspec
from msgspec import UNSET, UnsetType
from msgspec.structs import replace

from controller.model.ids import PoolKey
from controller.model.settings import LeaseView
from controller.model.snapshot import (
    ClusterNode,
    Finding,
    History,
    Link,
    LoopStats,
    ModelView,
    PoolView,
    QueueRates,
    Role,
    RoomView,
    ScaleEvent,
    Snapshot,
    TenantView,
    Timeline,
)
from controller.model.text import clean
from controller.model.value import (
    Cut,
    Interval,
    Moment,
    NotJsonError,
    UndecodableError,
    Value,
    cut_for,
    is_within,
    odd_data,
    range_in_words,
)

KEY_FRAME: Final = b'{"kind":"whole",'
"""How the line of a key frame begins."""
MOST_LINE_BYTES: Final = 64 * 2**20
"""A longer line is refused: a whole snapshot of 10,000 pools has 15 MB."""


class UnreadableLineError(ValueError):
    """The line cannot be read; the text says why."""


class MissedSnapshotError(UnreadableLineError):
    """The line continues a snapshot that is not there: a whole one is needed."""


class OtherVersionError(Exception):
    """A snapshot of another version, which this one cannot read."""


# -- versions -----------------------------------------------------------------------------------


class SnapshotVersion(NamedTuple):
    """Each part is from 0 to 65,535."""

    major: int
    minor: int

    def __str__(self) -> str:
        """`4.2`."""
        return f"{self.major}.{self.minor}"

    @property
    def is_readable(self) -> bool:
        """Whether this version can read it, as far as the number says."""
        return self.major == SNAPSHOT_VERSION.major

    @property
    def is_newer(self) -> bool:
        """Whether it may have fields that this version does not know."""
        return self > SNAPSHOT_VERSION


SNAPSHOT_VERSION: Final = SnapshotVersion(2, 4)
"""The minor number goes up with each new field, the major one when older lines cannot be read."""


def words_for_controller(theirs: SnapshotVersion) -> str:
    """Why a controller's snapshots cannot be shown, and what to do."""
    todo = "update this agentdash" if theirs > SNAPSHOT_VERSION else "update the controller"
    return (
        f"this controller speaks snapshot version {theirs}, this dashboard {SNAPSHOT_VERSION}:"
        f" {todo}"
    )


def words_for_journal(theirs: SnapshotVersion) -> str:
    """Why a journal's snapshots cannot be shown, and what to do."""
    todo = "update agentdash" if theirs > SNAPSHOT_VERSION else "an older agentdash reads it"
    return f"is of snapshot version {theirs}, this agentdash reads {SNAPSHOT_VERSION}: {todo}"


# -- lines --------------------------------------------------------------------------------------

_LinkTimes: TypeAlias = tuple[tuple[Moment, Moment | None], ...]


class HeadChange(Value):
    """The fields of a snapshot that differ, of those that have no place of their own in a line."""

    interval_s: Interval | UnsetType = UNSET
    fleet: str | UnsetType = UNSET
    context: str | UnsetType = UNSET
    role: Role | UnsetType = UNSET
    links: tuple[Link, ...] | UnsetType = UNSET
    models: tuple[ModelView, ...] | UnsetType = UNSET
    room: RoomView | UnsetType = UNSET
    findings: tuple[Finding, ...] | UnsetType = UNSET
    process: str | UnsetType = UNSET
    attached: bool | UnsetType = UNSET
    journal: str | UnsetType = UNSET
    frozen_by: tuple[str, ...] | UnsetType = UNSET
    lease: LeaseView | UnsetType | None = UNSET


class HistoryTail(Value):
    """What a history has at its end that it had not before; as much is gone in front."""

    recent: Timeline = Timeline()
    day: Timeline = Timeline()


class WholeParts(Value):
    """A snapshot: its `head` has all but the others. `keys` stands in lines before version 1.4."""

    head: Snapshot
    pools: tuple[PoolView, ...] = ()
    keys: tuple[PoolKey, ...] | None = None
    queues: tuple[QueueRates, ...] = ()
    tenants: tuple[TenantView, ...] | None = None
    nodes: tuple[ClusterNode, ...] = ()
    histories: Mapping[PoolKey, History] = {}
    tenant_histories: Mapping[str, History] = {}
    events: tuple[ScaleEvent, ...] = ()


class WholeLine(Value, tag_field="kind", tag="whole"):
    """All of a snapshot, and its version; `changed` is False if only time went on."""

    version: int
    at: Moment
    change: WholeParts
    changed: bool = True
    minor: int = 0


class TickLine(Value, tag_field="kind", tag="tick"):
    """Nothing but time went on; `link_times` has the links' new times in order, if any."""

    sequence: int
    at: Moment
    loop: LoopStats = LoopStats()
    link_times: _LinkTimes = ()


class ChangeLine(Value, tag_field="kind", tag="change"):
    """What differs from the line before.

    - `pools`, `queues`, `tenants`, `nodes`: those that differ. `keys`, `tenant_names` and
      `node_names`: all of them in order, None where they are the same ones.
    - `tails` are of histories that went on, `histories` those that became others; and so for
      tenants.
    - `events`: those that are new; of the ones before, the newest `events_kept` remain.
    """

    sequence: int
    at: Moment
    loop: LoopStats = LoopStats()
    link_times: _LinkTimes = ()
    head: HeadChange = HeadChange()
    pools: tuple[PoolView, ...] = ()
    keys: tuple[PoolKey, ...] | None = None
    queues: tuple[QueueRates, ...] = ()
    tenants: tuple[TenantView, ...] | None = None
    tenant_names: tuple[str, ...] | None = None
    nodes: tuple[ClusterNode, ...] = ()
    node_names: tuple[str, ...] | None = None
    histories: Mapping[PoolKey, History] = {}
    tails: Mapping[PoolKey, HistoryTail] = {}
    tenant_histories: Mapping[str, History] = {}
    tenant_tails: Mapping[str, HistoryTail] = {}
    events: tuple[ScaleEvent, ...] = ()
    events_kept: int = 0


AnyLine: TypeAlias = WholeLine | ChangeLine | TickLine
_DECODER: Final = msgspec.json.Decoder(AnyLine)
_ENCODER: Final = msgspec.json.Encoder()
_HEAD_FIELDS: Final = HeadChange.__struct_fields__
_PARTS: Final = tuple(each for each in WholeParts.__struct_fields__ if each not in {"head", "keys"})
"""What of a snapshot has a place of its own in a whole line."""
_NO_PARTS: Final[Mapping[str, Any]] = {
    name: {} if name.endswith("histories") else () for name in _PARTS
}
_HISTORIES: Final = (("histories", "tails"), ("tenant_histories", "tenant_tails"))
_SERIES: Final = Timeline.__struct_fields__
_MOST_SHIFT: Final = 4
_AT_A_TIME: Final = 100
_Each = TypeVar("_Each")
_Name = TypeVar("_Name", bound=str)
_key_of: Final[Callable[[PoolView], PoolKey]] = attrgetter("key")
_name_of: Final[Callable[[Any], str]] = attrgetter("name")
_place_of: Final[Callable[[QueueRates], tuple[PoolKey, int]]] = attrgetter("pool", "number")
_LISTS: Final[Mapping[str, tuple[str, Callable[[Any], Any]]]] = {
    "pools": ("keys", _key_of),
    "tenants": ("tenant_names", _name_of),
    "nodes": ("node_names", _name_of),
}
"""What a change has of each list: those that differ, and where all of them are named."""


# -- from snapshots to lines --------------------------------------------------------------------


def whole_line(snapshot: Snapshot, before: Snapshot | None) -> bytes:
    """The line with all of the snapshot, encoded in parts, so that other threads run too."""
    encode, pools = _ENCODER.encode, snapshot.pools
    parts = (pools[at : at + _AT_A_TIME] for at in range(0, len(pools), _AT_A_TIME))
    is_changed = before is None or not isinstance(_difference(before, snapshot), TickLine)
    change = {
        "head": replace(snapshot, **_NO_PARTS),
        **{name: getattr(snapshot, name) for name in _PARTS},
        "pools": msgspec.Raw(b"[%s]" % b",".join(encode(part)[1:-1] for part in parts)),
        "histories": {key: msgspec.Raw(encode(each)) for key, each in snapshot.histories.items()},
    }
    # the index finds these lines, and their times, by how they begin
    major, minor = SNAPSHOT_VERSION
    begin = {"kind": "whole", "version": major, "minor": minor, "at": float(snapshot.at)}
    return encode(begin | {"changed": is_changed, "change": change}) + b"\n"


def change_line(before: Snapshot, after: Snapshot) -> bytes:
    """What differs between two snapshots of one process; the same object is the same."""
    line = _difference(before, after)
    return whole_line(after, None) if line is None else _ENCODER.encode(line) + b"\n"


def is_tick_line(line: bytes) -> bool:
    """Whether nothing but time went on."""
    return line.startswith(b'{"kind":"tick",')


def is_whole_line(line: bytes) -> bool:
    """Whether it is a key frame."""
    return line.startswith(KEY_FRAME)


def _difference(before: Snapshot, after: Snapshot) -> ChangeLine | TickLine | None:
    """None where the snapshots are of different processes."""
    if before.epoch != after.epoch:
        return None
    known, times = _link_times(before), _link_times(after)
    timeless = replace(after, links=_with_times(after.links, known))
    differing = {
        name: getattr(after, name)
        for name in _HEAD_FIELDS
        if getattr(timeless, name) != getattr(before, name)
    }
    parts: dict[str, Any] = {"queues": _differing(before.queues, after.queues, _place_of)[0]}
    for name, (names, key) in _LISTS.items():
        parts[name], parts[names] = _differing(getattr(before, name), getattr(after, name), key)
    for name, tails in _HISTORIES:
        parts[name], parts[tails] = _new_histories(getattr(before, name), getattr(after, name))
    events, events_kept = _new_events(before.events, after.events)
    tick = TickLine(
        sequence=after.sequence,
        at=after.at,
        loop=after.loop,
        link_times=() if times == known else times,
    )
    quiet = ChangeLine(**msgspec.structs.asdict(tick), events_kept=len(before.events))
    parts["tenants"] = parts["tenants"] or None
    head = HeadChange(**differing)
    line = replace(quiet, head=head, events=events, events_kept=events_kept, **parts)
    return tick if line == quiet else line


def _differing(
    before: tuple[_Each, ...], after: tuple[_Each, ...], key: Callable[[_Each], Any]
) -> tuple[tuple[_Each, ...], tuple[Any, ...] | None]:
    """Those that differ, and the keys of all in order; None where they are the same ones."""
    if after is before:
        return (), None
    known = {key(each): each for each in before}
    keys = tuple(map(key, after))
    found = (
        each
        for name, each in zip(keys, after, strict=True)
        if (had := known.get(name)) is not each and had != each
    )
    return tuple(found), None if keys == tuple(known) else keys


def _new_events(
    before: tuple[ScaleEvent, ...], after: tuple[ScaleEvent, ...]
) -> tuple[tuple[ScaleEvent, ...], int]:
    """The events at the front that are new, and how many of the others remain. Newest first."""
    if before is after:
        return (), len(before)
    for number, event in enumerate(after):
        if before and event is before[0]:
            kept = len(after) - number
            if all(map(lambda one, other: one is other, after[number:], before)):
                return after[:number], kept
            break
    return after, 0


def _new_histories(
    before: Mapping[_Name, History], after: Mapping[_Name, History]
) -> tuple[dict[_Name, History], dict[_Name, HistoryTail]]:
    """Histories that became others, and the tails of those that went on."""
    others: dict[_Name, History] = {}
    tails: dict[_Name, HistoryTail] = {}
    for key, history in after.items() if after is not before else ():
        had = before.get(key)
        if had is history:
            continue
        recent = None if had is None else _tail(had.recent, history.recent)
        day = None if had is None else _tail(had.day, history.day)
        if recent is None or day is None:
            others[key] = history
        else:
            tails[key] = HistoryTail(recent=recent, day=day)
    return others, tails


def _tail(before: Timeline, after: Timeline) -> Timeline | None:
    """The numbers that came at the series' ends; None where a series is another one."""
    if before == after:
        return Timeline()
    pairs = {name: (getattr(before, name), getattr(after, name)) for name in _SERIES}
    kept = {name: pair for name, pair in pairs.items() if pair[0] or pair[1]}
    lengths = {len(series) for pair in kept.values() for series in pair}
    if len(lengths) != 1:
        return None
    for shift in range(1, min(_MOST_SHIFT, *lengths) + 1):
        if all(had[shift:] == has[:-shift] for had, has in kept.values()):
            return Timeline(**{name: has[-shift:] for name, (_, has) in kept.items()})
    return None


def _link_times(snapshot: Snapshot) -> _LinkTimes:
    return tuple((link.since, link.last_good_at) for link in snapshot.links)


def _with_times(links: tuple[Link, ...], times: _LinkTimes) -> tuple[Link, ...]:
    """The links with these times; the same, where there are not as many."""
    if len(times) != len(links):
        return links
    return tuple(
        replace(link, since=since, last_good_at=good)
        for link, (since, good) in zip(links, times, strict=True)
    )


# -- from lines to snapshots --------------------------------------------------------------------

_WHOLE: Final = re.compile(
    rb'\{"kind":"whole","version":([0-9]{1,9}),(?:"minor":([0-9]{1,9}),)?"at":([0-9.e+-]{1,32}),'
)


class ReadSnapshot(NamedTuple):
    """The snapshot of a line; `changed` is False if only time went on since the one before."""

    snapshot: Snapshot
    changed: bool


class LineStart(NamedTuple):
    """How the line of a whole snapshot begins."""

    version: SnapshotVersion
    at: float


def line_start(line: bytes) -> LineStart | None:
    """Version and time of a whole snapshot's line, of any version; None for others."""
    found = _WHOLE.match(line)
    if found is None:
        return None
    try:
        at = float(found[3])
    except ValueError:
        return None
    version = SnapshotVersion(int(found[1]), int(found[2] or 0))
    return LineStart(version, at) if is_within(at, Moment) else None


def read_line(
    line: bytes | bytearray,
    before: Snapshot | None,
    version: SnapshotVersion = SNAPSHOT_VERSION,
    *,
    is_clean: bool = False,
) -> ReadSnapshot:
    """The snapshot of a line after `before`'s, of the `version` they stand on. `is_clean`: a
    controller of ours wrote it, so nothing is looked at. Raises UnreadableLineError.
    """
    try:
        return _snapshot_of(_read(line, version, is_clean=is_clean), before)
    except (NotJsonError, UndecodableError) as error:
        raise UnreadableLineError(str(error)) from None
    except UnicodeDecodeError:
        raise UnreadableLineError("is not UTF-8") from None
    except RecursionError:
        raise UnreadableLineError("is nested too deeply") from None
    except msgspec.ValidationError as error:
        if version != SNAPSHOT_VERSION:
            raise UnreadableLineError(words_for_journal(version)) from None
        raise UnreadableLineError(
            f"is no line of a journal: {clean(range_in_words(error), 160)}"
        ) from None
    except msgspec.DecodeError as error:
        raise UnreadableLineError(f"is not JSON: {clean(error, 160)}") from None


def _read(line: bytes | bytearray, version: SnapshotVersion, *, is_clean: bool) -> AnyLine:
    plain = None if is_clean else odd_data(bytes(line).removesuffix(b"\n"))
    if plain is None and version.is_newer:
        plain = msgspec.json.decode(line)
    if plain is None:
        read: AnyLine = _DECODER.decode(line)
        return read
    known = _known_fields()(plain) if version.is_newer else plain
    converted: AnyLine = msgspec.convert(known, AnyLine)
    return converted


@cache
def _known_fields() -> Cut:
    return cut_for(AnyLine)


def _snapshot_of(line: AnyLine, before: Snapshot | None) -> ReadSnapshot:
    if isinstance(line, WholeLine):
        version = SnapshotVersion(line.version, line.minor)
        if not version.is_readable:
            raise UnreadableLineError(words_for_journal(version))
        parts = {name: getattr(line.change, name) for name in _PARTS}
        parts["tenants"] = line.change.tenants or ()
        snapshot, is_changed = replace(line.change.head, **parts), line.changed
    elif before is None:
        raise MissedSnapshotError("continues a snapshot that is not there")
    elif isinstance(line, TickLine):
        links = _with_times(before.links, line.link_times)
        snapshot = replace(before, sequence=line.sequence, at=line.at, loop=line.loop, links=links)
        is_changed = False
    else:
        snapshot, is_changed = _after_change(line, before), True
    return ReadSnapshot(snapshot, is_changed)


def _after_change(line: ChangeLine, before: Snapshot) -> Snapshot:
    differing = {
        name: value for name in _HEAD_FIELDS if (value := getattr(line.head, name)) is not UNSET
    }
    differing["links"] = _with_times(differing.get("links", before.links), line.link_times)
    for name, (names, key) in _LISTS.items():
        found = getattr(line, name) or ()
        differing[name] = _all(getattr(before, name), found, getattr(line, names), key)
    for name, tails in _HISTORIES:
        of_name = getattr(before, name), getattr(line, name), getattr(line, tails)
        differing[name] = _histories(*of_name)
    queues = before.queues
    if line.queues or line.keys is not None:
        rates = {_place_of(each): each for each in (*before.queues, *line.queues)}
        order = {view.key: number for number, view in enumerate(differing["pools"])}
        kept = (each for each in rates.values() if each.pool in order)
        queues = tuple(sorted(kept, key=lambda each: (order[each.pool], each.number)))
    events = before.events
    if line.events or line.events_kept != len(before.events):
        events = (*line.events, *before.events[: line.events_kept])
    return replace(
        before,
        sequence=line.sequence,
        at=line.at,
        loop=line.loop,
        queues=queues,
        events=events,
        **differing,
    )


def _all(
    before: tuple[_Each, ...],
    differing: Iterable[_Each],
    keys: tuple[Any, ...] | None,
    key: Callable[[_Each], Any],
) -> tuple[_Each, ...]:
    """All of them after the change; the same ones where nothing differs."""
    if not differing and keys is None:
        return before
    known = {key(each): each for each in before}
    known.update((key(each), each) for each in differing)
    return tuple(known[name] for name in (known if keys is None else keys) if name in known)


def _histories(
    before: Mapping[_Name, History],
    others: Mapping[_Name, History],
    tails: Mapping[_Name, HistoryTail],
) -> Mapping[_Name, History]:
    """All histories after the change. Raises UnreadableLineError."""
    if not others and not tails:
        return before
    after = {**before, **others}
    for key, tail in tails.items():
        known = before.get(key)
        if known is None:
            raise UnreadableLineError("continues a history that is not there")
        after[key] = History(
            recent=_after_tail(known.recent, tail.recent), day=_after_tail(known.day, tail.day)
        )
    return after


def _after_tail(before: Timeline, tail: Timeline) -> Timeline:
    added = {name: series for name in _SERIES if (series := getattr(tail, name))}
    return replace(
        before,
        **{name: getattr(before, name)[len(each) :] + each for name, each in added.items()},
    )
