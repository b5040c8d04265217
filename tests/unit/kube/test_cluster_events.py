"""The cluster's warnings by pool: which pool each belongs to, how many are kept, clean text."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest

from controller.kube.rivals import KEPT_PER_POOL, WARNING_KEPT_S, WarningView
from controller.model.ids import WorkloadKind, WorkloadName

RESEARCH = WorkloadName("research")


def event(
    name: str = "e", kind: str = "Pod", about: str = "research-85fcf8dd4d-bcdfg", **more: Any
) -> msgspec.Raw:
    found = {
        "metadata": {"name": name},
        "type": "Warning",
        "involvedObject": {"kind": kind, "name": about},
        "reason": "FailedScheduling",
        "message": "0/3 nodes are available",
        "eventTime": "1970-01-12T13:46:40.000000Z",
        **more,
    }
    return msgspec.Raw(json.dumps(found).encode())


def at(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat()


@pytest.fixture
def view(clock: Any) -> WarningView:
    return WarningView(clock)


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        ("Deployment", "research"),
        ("ReplicaSet", "research-85fcf8dd4d"),
        ("Pod", "research-85fcf8dd4d-bcdfg"),
    ],
)
def test_a_warning_about_any_object_of_a_pool_belongs_to_the_pool(
    view: WarningView, kind: str, name: str
) -> None:
    view.put(event(kind=kind, about=name))
    (found,) = view.newest(RESEARCH)
    assert (found.reason, found.object_name, found.at, found.count) == (
        "FailedScheduling",
        name,
        1_000_000.0,
        1,
    )


@pytest.mark.parametrize(("kind", "name"), [("StatefulSet", "research"), ("Pod", "research-12")])
def test_a_warning_about_a_stateful_set_or_its_pod_belongs_to_it(
    view: WarningView, kind: str, name: str
) -> None:
    view.put(event(kind=kind, about=name))
    (found,) = view.newest(WorkloadName("research", WorkloadKind.STATEFUL_SET))
    assert found.object_name == name
    assert view.newest(RESEARCH) == ()


@pytest.mark.parametrize(
    ("kind", "name"), [("Node", "research"), ("Pod", "research-0"), ("ReplicaSet", "research")]
)
def test_a_warning_about_another_object_belongs_to_no_pool(
    view: WarningView, kind: str, name: str
) -> None:
    view.put(event(kind=kind, about=name))
    assert view.newest(RESEARCH) == ()


def test_the_recorded_warnings_find_their_pools(
    view: WarningView, clock: Any, recorded: Any
) -> None:
    clock.wall = 0.0  # the recorded times are text
    for step in ("events-failed-create", "events-failed-scheduling"):
        for found in json.loads(recorded.body("limits", step))["items"]:
            text = json.dumps(found).replace("<hash-1>", "85fcf8dd4d").replace("<hash-3>", "bcd")
            text = text.replace("<suffix-5>", "vwxz2")
            view.put(msgspec.Raw(text.encode()))
    assert "exceeded quota: tenant" in view.newest(RESEARCH)[0].message
    assert "Insufficient cpu" in view.newest(WorkloadName("giant"))[0].message


def test_the_newest_few_are_kept_newest_first(view: WarningView) -> None:
    for number in range(KEPT_PER_POOL + 3):
        view.put(event(f"e{number}", message=f"m{number}", eventTime=at(999_000 + number)))
    assert [found.message for found in view.newest(RESEARCH)] == ["m7", "m6", "m5", "m4", "m3"]


def test_a_repeated_warning_is_counted_not_kept_twice(view: WarningView) -> None:
    view.put(event())
    view.put(event(series={"count": 4, "lastObservedTime": at(1_000_000)}))
    (found,) = view.newest(RESEARCH)
    assert found.count == 4


def test_an_hour_later_it_is_forgotten(view: WarningView, clock: Any) -> None:
    view.put(event())
    assert len(view.newest(RESEARCH)) == 1
    clock.advance(WARNING_KEPT_S + 1)
    assert view.newest(RESEARCH) == ()


def test_deleted_warnings_and_those_missing_in_a_new_list_are_forgotten(view: WarningView) -> None:
    view.put(event("a"))
    view.put(event("b"))
    view.remove(event("a"))
    assert len(view.newest(RESEARCH)) == 1
    view.replace([])
    assert view.newest(RESEARCH) == ()
    view.remove(event("b"))


def test_normal_and_odd_events_are_skipped(view: WarningView) -> None:
    view.put(event(type="Normal"))
    view.put(event(involvedObject=None))
    view.put(msgspec.Raw(b'{"metadata":{"name":"x"},"count":"many"}'))
    view.remove(msgspec.Raw(b"{}"))
    assert view.newest(RESEARCH) == ()


def test_text_from_the_cluster_is_cleaned(view: WarningView) -> None:
    view.put(event(message="\x1b]0;owned\x07 \u202e", reason="\x1b[2J"))
    (found,) = view.newest(RESEARCH)
    assert not {"\x1b", "\x07", "\u202e"} & set(found.message + found.reason)
