"""A snapshot as one line of JSON in a journal, and a snapshot made from lines again.

UnreadableLineError    the line cannot be read

A `whole` line has all of a snapshot, a `change` line what differs from the line before, and a
`tick` line stands where nothing but time went on.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from typing import Any, Final, NamedTuple, TypeAlias

import msgspec
from msgspec import UNSET, UnsetType
from msgspec.structs import replace

from controller.model.decoding import Cut, NotJsonError, cut_for, read_json_line
from controller.model.ids import PoolKey
from controller.model.lease import LeaseView
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
)
from controller.model.text import clean
from controller.model.value import INT64_MAX, Interval, Moment, Value, is_within
from controller.record.history_tails import HistoryTail, MissingHistoryError, joined, split
from controller.record.snapshot_changes import (
    SNAPSHOT_VERSION,
    MissedSnapshotError,
    SnapshotChange,
    SnapshotVersion,
    changed,
    difference,
    whole,
    words_for_journal,
)

MOST_LINE_BYTES: Final = 64 * 2**20
"""A longer line is refused: a whole snapshot of 10,000 pools has 15 MB."""

# what a line from outside may have that has to be looked at: characters beyond plain ASCII, escaped
# characters, and numbers of 17 digits or with an exponent
_ODD_CHARACTERS: Final = re.compile(r"[^ -~]")
_ESCAPES: Final = re.compile(r"\\[^\"\\/]")
_LARGE_NUMBERS: Final = re.compile(r"(?<![0-9.])[0-9]{17}|[0-9][eE]\+?[0-9]")
# a time beyond the year 3000, whose name says that it is one: `"at":`, `"oldest_at":`
_LARGE_TIMES: Final = re.compile(r'(?:at|since|until|epoch)"\s*:\s*-?[0-9]{11}')
_TIMES: Final = frozenset({"at", "since", "until", "epoch"})
_NO_TIME: Final = "has a time that is none"
_AS_ZEROS: Final = bytes.maketrans(b"123456789E", b"000000000e")
_TICK: Final = b'{"kind":"tick",'
_WHOLE: Final = re.compile(
    rb'\{"kind":"whole","version":([0-9]{1,9}),(?:"minor":([0-9]{1,9}),)?"at":([0-9.e+-]{1,32}),'
)


_LinkTimes: TypeAlias = tuple[tuple[float, float | None], ...]


class UnreadableLineError(ValueError):
    """The line cannot be read; the text says why."""


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


class WholeLine(Value, tag_field="kind", tag="whole"):
    """All of a snapshot. `changed` is False if it differs from the one before in its time only.
    `version` and `minor` are those of snapshots.
    """

    version: int
    at: float
    change: SnapshotChange
    changed: bool = True
    minor: int = 0


class ChangeLine(Value, tag_field="kind", tag="change"):
    """What differs from the line before, as in `SnapshotChange`. `tails` are of histories that
    went on, `histories` those that became others, and so for tenants. `link_times` are the links'
    `since` and `last_good_at`, in their order; empty where all are the same.
    """

    sequence: int
    at: float
    loop: LoopStats = LoopStats()
    link_times: _LinkTimes = ()
    head: HeadChange = HeadChange()
    pools: tuple[PoolView, ...] = ()
    keys: tuple[PoolKey, ...] | None = None
    queues: tuple[QueueRates, ...] = ()
    tenants: tuple[TenantView, ...] | None = None
    nodes: tuple[ClusterNode, ...] = ()
    node_names: tuple[str, ...] | None = None
    histories: Mapping[PoolKey, History] = {}
    tails: Mapping[PoolKey, HistoryTail] = {}
    tenant_histories: Mapping[str, History] = {}
    tenant_tails: Mapping[str, HistoryTail] = {}
    events: tuple[ScaleEvent, ...] = ()
    events_kept: int = 0


class TickLine(Value, tag_field="kind", tag="tick"):
    """A tick in which nothing but time went on."""

    sequence: int
    at: float
    loop: LoopStats = LoopStats()
    link_times: _LinkTimes = ()


class ReadSnapshot(NamedTuple):
    """The snapshot of a line; `changed` is False if only time went on since the one before."""

    snapshot: Snapshot
    changed: bool


_AnyLine = WholeLine | ChangeLine | TickLine
_DECODER: Final = msgspec.json.Decoder(_AnyLine)
_ENCODER: Final = msgspec.json.Encoder()
_HEAD_FIELDS: Final = HeadChange.__struct_fields__


def whole_line(snapshot: Snapshot, before: Snapshot | None) -> bytes:
    """The line with all of the snapshot. The parts are encoded one by one, so that other threads
    may run between them.
    """
    change = whole(snapshot)
    encode = _ENCODER.encode
    is_changed = before is None or not isinstance(_difference(before, snapshot), TickLine)
    parts = {
        "head": change.head,
        "pools": [msgspec.Raw(encode(view)) for view in change.pools],
        "keys": change.keys,
        "queues": change.queues,
        "tenants": change.tenants,
        "nodes": change.nodes,
        "histories": {key: msgspec.Raw(encode(each)) for key, each in change.histories.items()},
        "tenant_histories": change.tenant_histories,
        "events": [msgspec.Raw(encode(event)) for event in change.events],
    }
    # the index finds these lines, and their times, by how they begin
    major, minor = SNAPSHOT_VERSION
    line: dict[str, object] = {"kind": "whole", "version": major}
    line |= {"minor": minor} if minor else {}
    return encode(line | {"at": float(snapshot.at), "changed": is_changed, "change": parts}) + b"\n"


def change_line(before: Snapshot, after: Snapshot) -> bytes:
    """The line with what differs between two snapshots of one process."""
    line = _difference(before, after)
    return whole_line(after, None) if line is None else _ENCODER.encode(line) + b"\n"


def is_tick_line(line: bytes) -> bool:
    """Whether nothing but time went on."""
    return line.startswith(_TICK)


def _difference(before: Snapshot, after: Snapshot) -> ChangeLine | TickLine | None:
    """None where the snapshots are of different processes."""
    change = difference(before, after)
    if change.base is None:
        return None
    known, times = _link_times(before), _link_times(after)
    link_times = () if times == known else times
    timeless = replace(after, links=_with_times(after.links, known))
    head = HeadChange(
        **{
            name: getattr(after, name)
            for name in _HEAD_FIELDS
            if getattr(timeless, name) != getattr(before, name)
        }
    )
    histories, tails = split(before.histories, change.histories)
    of_tenants, tenant_tails = split(before.tenant_histories, change.tenant_histories)
    line = ChangeLine(
        sequence=after.sequence,
        at=after.at,
        loop=after.loop,
        link_times=link_times,
        head=head,
        pools=change.pools,
        keys=change.keys,
        queues=change.queues,
        tenants=change.tenants,
        nodes=change.nodes,
        node_names=change.node_names,
        histories=histories,
        tails=tails,
        tenant_histories=of_tenants,
        tenant_tails=tenant_tails,
        events=change.events,
        events_kept=change.events_kept,
    )
    quiet = ChangeLine(
        sequence=line.sequence,
        at=line.at,
        loop=line.loop,
        link_times=link_times,
        events_kept=len(before.events),
    )
    if line == quiet:
        return TickLine(sequence=line.sequence, at=line.at, loop=line.loop, link_times=link_times)
    return line


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


class LineStart(NamedTuple):
    """How the line of a whole snapshot begins."""

    version: SnapshotVersion
    at: float


def line_start(line: bytes) -> LineStart | None:
    """The version and the time of a whole snapshot's line, of any version; None for any other
    line.
    """
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
    line: bytes, before: Snapshot | None, version: SnapshotVersion = SNAPSHOT_VERSION
) -> ReadSnapshot:
    """The snapshot of a line, which follows the line of `before`. `version` is that of the whole
    snapshot on which they stand. Raises UnreadableLineError.
    """
    try:
        read = _read(line, version)
        snapshot, is_changed = _snapshot_of(read, before)
    except NotJsonError as error:
        raise UnreadableLineError(str(error)) from None
    except UnicodeDecodeError:
        raise UnreadableLineError("is not UTF-8") from None
    except RecursionError:
        raise UnreadableLineError("is nested too deeply") from None
    except msgspec.ValidationError as error:
        if version != SNAPSHOT_VERSION:
            raise UnreadableLineError(words_for_journal(version)) from None
        raise UnreadableLineError(f"is no line of a journal: {clean(error, 160)}") from None
    except msgspec.DecodeError as error:
        raise UnreadableLineError(f"is not JSON: {clean(error, 160)}") from None
    except MissedSnapshotError:
        raise UnreadableLineError("continues a snapshot that is not there") from None
    return ReadSnapshot(snapshot, is_changed)


def _read(line: bytes, version: SnapshotVersion) -> _AnyLine:
    text = line.decode("utf-8")
    if _has_odd_characters(text):
        plain, _ = read_json_line(line)
    elif version.is_newer or _has_large_numbers(line, text):
        plain = msgspec.json.decode(line)
    else:
        read: _AnyLine = _DECODER.decode(line)
        return read
    if version.is_newer:
        plain = _known_fields()(plain)
    _refuse_absurd(plain)
    converted: _AnyLine = msgspec.convert(plain, _AnyLine)
    return converted


@cache
def _known_fields() -> Cut:
    return cut_for(_AnyLine)


# the quick looks come first: a step in time reads megabytes
def _has_odd_characters(text: str) -> bool:
    if not (text.isascii() and text.isprintable()):
        odd = set(_ODD_CHARACTERS.findall(text))
        if any(clean(character) != character for character in odd):
            return True
    return "\\" in text and _ESCAPES.search(text) is not None


def _has_large_numbers(line: bytes, text: str) -> bool:
    digits = line.translate(_AS_ZEROS, b"+")
    if (b"0e0" in digits or b"0" * 17 in digits) and _LARGE_NUMBERS.search(text) is not None:
        return True
    return b"0" * 11 in digits and _LARGE_TIMES.search(text) is not None


def _refuse_absurd(plain: Any) -> None:
    match plain:
        case dict():
            for name, each in plain.items():
                if isinstance(each, int | float) and is_time(name) and not is_within(each, Moment):
                    raise UnreadableLineError(_NO_TIME)
                _refuse_absurd(each)
        case list():
            for each in plain:
                _refuse_absurd(each)
        case int() | float() if not -INT64_MAX <= plain <= INT64_MAX:
            raise UnreadableLineError("has a number that no fleet has")


def is_time(name: str) -> bool:
    """Whether a value of this name is a time in Unix seconds."""
    return name in _TIMES or name.endswith("_at")


def _snapshot_of(line: _AnyLine, before: Snapshot | None) -> tuple[Snapshot, bool]:
    if isinstance(line, WholeLine):
        version = SnapshotVersion(line.version, line.minor)
        if not version.is_readable:
            raise UnreadableLineError(words_for_journal(version))
        if line.change.base is not None:
            raise UnreadableLineError("is no whole snapshot")
        snapshot, is_changed = changed(None, line.change), line.changed
    elif before is None:
        raise UnreadableLineError("continues a snapshot that is not there")
    elif isinstance(line, TickLine):
        links = _with_times(before.links, line.link_times)
        snapshot = replace(before, sequence=line.sequence, at=line.at, loop=line.loop, links=links)
        is_changed = False
    else:
        snapshot, is_changed = _after_change(line, before), True
    times = (each for pair in _link_times(snapshot) for each in pair if each is not None)
    if not all(is_within(each, Moment) for each in (snapshot.at, snapshot.epoch, *times)):
        raise UnreadableLineError(_NO_TIME)
    return snapshot, is_changed


def _after_change(line: ChangeLine, before: Snapshot) -> Snapshot:
    differing = {
        name: value for name in _HEAD_FIELDS if (value := getattr(line.head, name)) is not UNSET
    }
    try:
        histories = joined(before.histories, line.histories, line.tails)
        of_tenants = joined(before.tenant_histories, line.tenant_histories, line.tenant_tails)
    except MissingHistoryError:
        raise UnreadableLineError("continues a history that is not there") from None
    links = before.links if line.head.links is UNSET else line.head.links
    differing["links"] = _with_times(links, line.link_times)
    change = SnapshotChange(
        head=replace(before, sequence=line.sequence, at=line.at, loop=line.loop, **differing),
        base=before.sequence,
        pools=line.pools,
        keys=line.keys,
        queues=line.queues,
        tenants=line.tenants,
        room=None if line.head.room is UNSET else line.head.room,
        nodes=line.nodes,
        node_names=line.node_names,
        histories=histories,
        tenant_histories=of_tenants,
        events=line.events,
        events_kept=line.events_kept,
    )
    return changed(before, change)
