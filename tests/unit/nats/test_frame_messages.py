"""Frames as messages, of the live feed and of the journal's stream: what comes out is what went in,
whatever is lost.
"""

from __future__ import annotations

import zlib
from random import Random

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from controller.model.snapshot import (
    ClusterNode,
    History,
    Snapshot,
    TenantView,
    Timeline,
)
from controller.nats.feed import FrameError, Part, frame_of, messages_of, read_part, snapshot_of
from controller.nats.journal_stream import line_with, part_id
from controller.record.chain import Assembly, hash_of
from controller.record.frames import (
    SNAPSHOT_VERSION,
    AnyLine,
    MissedSnapshotError,
    OtherVersionError,
    change_line,
    whole_line,
)
from support.newer import grown
from support.past import next_snapshot
from support.table import tabled
from tui import fleet_scenarios, scenarios

LEAST_PAYLOAD = 400


def key_frame(snapshot: Snapshot, most: int = 2**20) -> list[bytes]:
    return messages_of(frame_of(whole_line(snapshot, None), snapshot, 0), most)


def change(before: Snapshot, after: Snapshot, most: int = 2**20) -> list[bytes]:
    base = before.sequence if before.epoch == after.epoch else 0
    return messages_of(frame_of(change_line(before, after), after, base), most)


def read(messages: list[bytes], before: Snapshot | None = None) -> Snapshot:
    assembly = Assembly()
    for message in messages:
        part = read_part(message)
        data = assembly.add(part[:4], part.number, part.parts, part.data)
    assert data is not None
    return snapshot_of(data, part, before)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10_000), payload=st.integers(LEAST_PAYLOAD, 100_000))
def test_a_follower_of_the_changes_sees_every_snapshot(seed: int, payload: int) -> None:
    choose = Random(seed)
    snapshot = scenarios.mixed_fleet()
    follower = read(key_frame(snapshot, payload))
    for _ in range(12):
        before, snapshot = snapshot, next_snapshot(snapshot, choose)
        messages = change(before, snapshot, payload)
        assert max(map(len, messages)) <= payload
        follower = read(messages, follower)
        assert {key: follower.histories[key] for key in snapshot.histories} == snapshot.histories
        assert replace(follower, histories=snapshot.histories) == snapshot


def test_a_quiet_tick_of_1000_pools_is_small() -> None:
    before = scenarios.many_pools(1000, 1)
    after = replace(before, sequence=2, at=before.at + 1)
    assert sum(map(len, change(before, after))) < 200


def test_of_1000_tenants_and_nodes_only_what_changed_is_sent_and_one_that_goes_is_gone() -> None:
    tenants = tuple(
        TenantView(name=f"tenant-{n:04d}", tier="gold", namespace="n", pools=1) for n in range(1000)
    )
    nodes = tuple(ClusterNode(name=f"node-{n:04d}", node_class="spot") for n in range(1000))
    before = replace(scenarios.mixed_fleet(), tenants=tenants, nodes=nodes)
    spends, closed = replace(tenants[7], usd_per_hour=1.5), replace(nodes[7], closed="cordoned")
    after = replace(
        before,
        sequence=before.sequence + 1,
        tenants=(*tenants[:7], spends, *tenants[8:]),
        nodes=(*nodes[:7], closed, *nodes[8:]),
    )
    messages = change(before, after)
    assert sum(map(len, messages)) < 600
    assert read(messages, before) == after
    for kept in (slice(1, None), slice(0), slice(None, None, -1)):
        later = replace(
            after, sequence=after.sequence + 1, tenants=tenants[kept], nodes=nodes[kept]
        )
        assert read(change(after, later), after) == later


def test_a_change_of_a_snapshot_that_is_not_there_is_refused() -> None:
    first = scenarios.mixed_fleet()
    second, third = replace(first, sequence=4822), replace(first, sequence=4823)
    for before in (first, None):
        with pytest.raises(MissedSnapshotError, match="4822"):
            read(change(second, third), before)


def test_parts_without_the_one_before_spoil_their_frame_and_no_other() -> None:
    parts = [read_part(message) for message in key_frame(scenarios.mixed_fleet(), LEAST_PAYLOAD)]
    assert len(parts) > 3
    assembly = Assembly()

    def add(part: Part) -> bool:
        return assembly.add(part[:4], part.number, part.parts, part.data) is not None

    assert not any(map(add, (parts[0], *parts[2:])))
    assert not any(map(add, parts[1:]))
    assert not any(map(add, parts[:2])), "what is left unfinished is dropped"
    assert list(map(add, parts)) == [False] * (len(parts) - 1) + [True]


@tabled(
    "message",
    [
        b"",
        b"AGDS",
        b"AGDS\0\2\0\0",
        b"HTTP/1.1 200 OK and so on, long enough for a header",
        b"AGDS\0\2\0\0" + b"\xff" * 40,
    ],
)
def test_what_is_no_part_is_refused(message: bytes) -> None:
    with pytest.raises(FrameError):
        read_part(message)


@tabled(
    "content",
    [
        b"not compressed",
        zlib.compress(b"\xc1"),
        zlib.compress(b'{"head": 1}'),
        zlib.compress(b"[" * 100_000),
        zlib.compress(whole_line(scenarios.mixed_fleet(), None))[:-9],
        b"",
    ],
    ids=["plain", "no text", "another shape", "nested", "cut", "empty"],
)
def test_what_is_no_frame_is_refused(content: bytes) -> None:
    part = read_part(key_frame(scenarios.mixed_fleet())[0])
    with pytest.raises(FrameError):
        snapshot_of(content, part, None)


@tabled("interval_s", [0.0, 301.0, 86_400.0, 1e300])
def test_an_interval_that_no_controller_has_is_refused(interval_s: float) -> None:
    """For three of them a dashboard believes no other controller whose clock is behind."""
    forged = replace(scenarios.mixed_fleet(), interval_s=interval_s)
    with pytest.raises(FrameError, match="interval_s"):
        read(key_frame(forged))


def test_parts_that_never_end_are_dropped() -> None:
    assembly, data = Assembly(), bytes(2**20)
    for number in range(200):
        assert assembly.add("line", number, 4096, data) is None
    assert assembly.add("next", 0, 1, b"short") == b"short"


@pytest.mark.parametrize("most", [1, 5_000], ids=["idle", "busy"])
def test_10000_pools_with_24_hours_of_history_are_read(most: int) -> None:
    """What an idle one has in the wire is the smallest part of what it takes; of one that works,
    each slot has another number.
    """
    snapshot, choose = scenarios.many_pools(10_000), Random(1).choices

    def timeline(slots: int) -> Timeline:
        return Timeline(*[tuple(choose(range(most), k=slots)) for _ in range(4)])

    histories = {each.key: History(timeline(60), timeline(96)) for each in snapshot.pools}
    assert read(key_frame(replace(snapshot, histories=histories))).histories == histories


# -- versions -----------------------------------------------------------------------------------


def of_version(major: int, minor: int, **changes: object) -> list[bytes]:
    """The key frame of that version, with fields that are unknown here; with these changes."""
    line = whole_line(fleet_scenarios.burst(), None)
    plain = grown(msgspec.json.decode(line, type=AnyLine))
    assert isinstance(plain, dict)
    plain |= {"version": major, "minor": minor} | changes
    [message] = messages_of(frame_of(msgspec.json.encode(plain), fleet_scenarios.burst(), 0), 2**20)
    return [b"AGDS" + major.to_bytes(2, "big") + minor.to_bytes(2, "big") + message[8:]]


def test_a_newer_minor_version_is_read_without_its_new_fields() -> None:
    major, minor = SNAPSHOT_VERSION
    assert read(of_version(major, minor + 1)) == fleet_scenarios.burst()
    with pytest.raises(FrameError, match="unknown field"):
        read(of_version(major, minor))


@tabled(
    ("major", "minor", "todo"),
    [
        (SNAPSHOT_VERSION.major + 1, 7, "update this agentdash"),
        (0, 7, "update the controller"),
        (1, 3, "the controller"),
    ],
)
def test_another_version_is_named_with_what_to_do(major: int, minor: int, todo: str) -> None:
    [message] = of_version(major, minor)
    ours = f"this dashboard {SNAPSHOT_VERSION}: "
    said = f"this controller speaks snapshot version {major}.{minor}, {ours}.*{todo}"
    with pytest.raises(OtherVersionError, match=said):
        read_part(message)
    # whatever that version has behind its number
    with pytest.raises(OtherVersionError, match=said):
        read_part(message[:8])


def test_a_newer_snapshot_that_cannot_be_read_names_the_versions() -> None:
    major, minor = SNAPSHOT_VERSION
    with pytest.raises(OtherVersionError, match=f"version {major}.{minor + 1}, this dashboard"):
        read(of_version(major, minor + 1, change={"head": {"role": "unheard of"}}))


# -- messages of a stream -----------------------------------------------------------------------


def line_of(text: str) -> bytes:
    return b'{"kind":"whole","text":"' + text.encode() + b'"}\n'


@tabled("data", [line_of("changed"), b"junk", zlib.compress(line_of("x" * 9000))[:-5], b""])
def test_a_line_whose_hash_is_another_is_none(data: bytes) -> None:
    assert line_with(hash_of(line_of("as it was")), data) is None


@tabled("found", [None, {}, {"Nats-Msg-Id": "x"}, {"Nats-Msg-Id": f"{'a' * 32}-3-3"}])
def test_a_message_of_something_else_is_no_part(found: dict[str, str] | None) -> None:
    assert part_id(found) is None
