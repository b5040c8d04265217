"""Snapshots as changes and as messages: what comes out is what went in, whatever is lost."""

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
    NodeClassView,
    QueueRates,
    RoomView,
    TenantView,
)
from controller.nats.feed import _HEADER, Assembly, FrameError, frames, read_part
from controller.record.snapshot_changes import (
    SNAPSHOT_VERSION,
    MissedSnapshotError,
    OtherVersionError,
    SnapshotChange,
    changed,
    difference,
    whole,
)
from support.newer import grown
from support.past import next_snapshot
from tui import fleet_scenarios, scenarios

LEAST_PAYLOAD = 400


def over_the_wire(change: SnapshotChange, payload: int = LEAST_PAYLOAD) -> SnapshotChange | None:
    assembly, result = Assembly(), None
    for message in frames(change, payload):
        assert len(message) <= payload
        result = assembly.add(read_part(message))
    return result


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10_000), payload=st.integers(LEAST_PAYLOAD, 100_000))
def test_a_follower_of_the_changes_sees_every_snapshot(seed: int, payload: int) -> None:
    choose = Random(seed)
    snapshot = scenarios.mixed_fleet()
    first = over_the_wire(whole(snapshot), payload)
    assert first is not None
    follower = changed(None, first)
    for _ in range(12):
        before, snapshot = snapshot, next_snapshot(snapshot, choose)
        change = over_the_wire(difference(before, snapshot), payload)
        assert change is not None
        follower = changed(follower, change)
        assert follower.pools == snapshot.pools
        assert follower.events == snapshot.events
        assert {key: follower.histories[key] for key in snapshot.histories} == snapshot.histories
        assert replace(follower, histories=snapshot.histories) == snapshot


def test_a_quiet_tick_of_1000_pools_is_small() -> None:
    before = replace(scenarios.many_pools(1000, 1), findings=())
    after = replace(before, sequence=2, at=before.at + 1)
    assert sum(map(len, frames(difference(before, after), 2**20))) < 400


def test_of_1000_tenants_only_the_one_that_changed_is_sent_and_one_that_goes_is_gone() -> None:
    tenants = tuple(
        TenantView(name=f"tenant-{n:04d}", tier="gold", namespace="n", pools=1) for n in range(1000)
    )
    before = replace(scenarios.mixed_fleet(), tenants=tenants)
    spends = replace(tenants[7], usd_per_hour=1.5)
    after = replace(
        before, sequence=before.sequence + 1, tenants=(*tenants[:7], spends, *tenants[8:])
    )
    change = difference(before, after)
    assert (change.tenants, change.tenant_names) == ((spends,), None)
    assert changed(before, change) == after
    for rest in (after.tenants[1:], (), tuple(reversed(after.tenants))):
        later = replace(after, sequence=after.sequence + 1, tenants=rest)
        assert changed(after, difference(after, later)) == later


def test_of_1000_nodes_only_the_one_that_changed_is_sent() -> None:
    nodes = tuple(ClusterNode(name=f"node-{n:04d}", node_class="spot") for n in range(1000))
    classes = (NodeClassView(name="", nodes=tuple(node.name for node in nodes)),)
    room = RoomView(classes=classes)
    before = replace(scenarios.mixed_fleet(), nodes=nodes, room=room)
    cordoned = replace(nodes[7], closed="cordoned")
    after = replace(before, sequence=before.sequence + 1, nodes=(*nodes[:7], cordoned, *nodes[8:]))
    change = difference(before, after)
    assert (change.nodes, change.node_names, change.room) == ((cordoned,), None, None)
    assert changed(before, change) == after
    quiet = difference(after, replace(after, sequence=after.sequence + 1))
    assert sum(map(len, frames(quiet, 2**20))) < 1000


def test_a_change_of_a_snapshot_that_is_not_there_is_refused() -> None:
    first = scenarios.mixed_fleet()
    second, third = replace(first, sequence=4822), replace(first, sequence=4823)
    with pytest.raises(MissedSnapshotError, match="4822"):
        changed(first, difference(second, third))
    with pytest.raises(MissedSnapshotError):
        changed(None, difference(first, second))


def test_the_next_process_begins_with_a_whole_snapshot() -> None:
    first = scenarios.mixed_fleet()
    restarted = replace(first, epoch=first.epoch + 60, sequence=1)
    assert difference(first, restarted).base is None
    assert changed(first, difference(first, restarted)) == restarted


def test_a_part_that_is_lost_spoils_its_change_and_no_other() -> None:
    messages = frames(whole(scenarios.mixed_fleet()), LEAST_PAYLOAD)
    assert len(messages) > 3
    assembly = Assembly()
    assembly.add(read_part(messages[0]))
    with pytest.raises(FrameError, match="part 2 without the one before it"):
        assembly.add(read_part(messages[2]))
    results = [assembly.add(read_part(message)) for message in messages]
    assert [result is not None for result in results] == [False] * (len(messages) - 1) + [True]


@pytest.mark.parametrize(
    "message",
    [
        b"",
        b"AGDS",
        b"AGDS\0\1\0\0",
        b"HTTP/1.1 200 OK and so on, long enough for a header",
        b"AGDS\0\1\0\0" + b"\xff" * 40,
    ],
)
def test_what_is_no_part_is_refused(message: bytes) -> None:
    with pytest.raises(FrameError):
        read_part(message)


@pytest.mark.parametrize(
    "content",
    [
        b"not compressed",
        zlib.compress(b"\xc1"),
        zlib.compress(msgspec.msgpack.encode({"head": 1})),
        zlib.compress(b"\x91" * 100_000),
        zlib.compress(msgspec.msgpack.encode(whole(scenarios.mixed_fleet())))[:-9],
    ],
    ids=["plain", "no msgpack", "another shape", "nested", "cut"],
)
def test_what_is_no_snapshot_is_refused(content: bytes) -> None:
    head = frames(whole(scenarios.mixed_fleet()), 2**20)[0]
    part = read_part(head)._replace(data=content)
    with pytest.raises(FrameError):
        Assembly().add(part)


def test_a_snapshot_that_grows_without_end_when_it_is_unpacked_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("controller.nats.feed.MOST_SNAPSHOT_BYTES", 10_000)
    part = read_part(frames(whole(scenarios.mixed_fleet()), 2**20)[0])
    with pytest.raises(FrameError, match="of more than 10,000 bytes"):
        Assembly().add(part._replace(data=zlib.compress(bytes(10**6))))


def test_the_rates_of_each_of_a_pools_queues_arrive() -> None:
    before = scenarios.mixed_fleet()
    first, *others = before.pools
    low = QueueRates(pool=first.key, number=1, arrivals_per_minute=1.0)
    rates = [QueueRates(pool=each.key) for each in others]
    before = replace(before, queues=(QueueRates(pool=first.key), low, *rates))
    moved = replace(low, arrivals_per_minute=2.0)
    after = replace(before, sequence=before.sequence + 1)
    after = replace(after, queues=(before.queues[0], moved, *rates))
    change = over_the_wire(difference(before, after))
    assert change is not None
    assert change.queues == (moved,)
    assert changed(before, change).queues == after.queues


# -- versions -----------------------------------------------------------------------------------


def of_version(change: SnapshotChange, major: int, minor: int, content: object = None) -> bytes:
    """The message of that version with this content; without one, that of this version."""
    [message] = frames(change, 2**20)
    head, body = bytearray(message[: _HEADER.size]), message[_HEADER.size :]
    head[4:8] = major.to_bytes(2, "big") + minor.to_bytes(2, "big")
    if content is not None:
        body = zlib.compress(msgspec.msgpack.encode(content))
    return bytes(head) + body


def test_a_newer_minor_version_is_read_without_its_new_fields() -> None:
    change = whole(fleet_scenarios.burst())
    major, minor = SNAPSHOT_VERSION
    message = of_version(change, major, minor + 1, grown(change))
    assert Assembly().add(read_part(message)) == change
    with pytest.raises(FrameError, match="unknown field"):
        Assembly().add(read_part(of_version(change, major, minor, grown(change))))


def test_an_older_minor_version_is_read() -> None:
    change = whole(fleet_scenarios.burst())
    assert Assembly().add(read_part(of_version(change, SNAPSHOT_VERSION.major, 0))) == change


@pytest.mark.parametrize(
    ("major", "todo"), [(2, "update this agentdash"), (0, "update the controller")]
)
def test_another_major_version_is_named_with_what_to_do(major: int, todo: str) -> None:
    message = of_version(whole(scenarios.mixed_fleet()), major, 7)
    ours = f"this dashboard {SNAPSHOT_VERSION}: {todo}"
    said = f"this controller speaks snapshot version {major}.7, {ours}"
    with pytest.raises(OtherVersionError, match=said):
        read_part(message)
    # whatever that version has behind its number
    with pytest.raises(OtherVersionError, match=said):
        read_part(message[:8])


def test_a_newer_snapshot_that_cannot_be_read_names_the_versions() -> None:
    change = whole(scenarios.mixed_fleet())
    major, minor = SNAPSHOT_VERSION
    content = {"head": {"role": "unheard of"}}
    with pytest.raises(OtherVersionError, match=f"version {major}.{minor + 1}, this dashboard"):
        Assembly().add(read_part(of_version(change, major, minor + 1, content)))
