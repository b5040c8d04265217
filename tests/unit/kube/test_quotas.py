"""What quotas leave: the least that binds, beside what others have, and never a guess as a fact."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from controller.kube.quotas import QuotaView, quota_reading
from controller.kube.usage import NamespaceUsage
from controller.model.readings import Absent, Fresh, Reading, Stale, Why
from controller.model.scarcity import Resources

MI = 2**20
HARD = Resources(replicas=10, cpu_milli=8000, memory_bytes=512 * MI)
OTHERS = Resources(replicas=3, cpu_milli=1000, memory_bytes=600 * MI)
NONE = Resources(replicas=0, cpu_milli=0, memory_bytes=0)


def quota(name: str = "tenant", hard: object = None, **spec: Any) -> msgspec.Raw:
    found = {"metadata": {"name": name}, "spec": {"hard": hard or {}, **spec}}
    return msgspec.Raw(json.dumps(found).encode())


def fresh(value: Resources, at: float = 100.0) -> Reading[Resources]:
    return Fresh(value=value, at=at)


def test_pods_and_requests_are_read_by_either_name_and_the_smaller_counts() -> None:
    view = QuotaView()
    view.put(quota(hard={"pods": "20", "count/pods": "12", "requests.cpu": "8", "cpu": "9"}))
    assert view.hard == Resources(replicas=12, cpu_milli=8000)
    view.put(quota(hard={"memory": "1Gi", "requests.memory": "2Gi", "limits.cpu": "1"}))
    assert view.hard == Resources(memory_bytes=1024 * MI)


def test_of_several_quotas_the_least_of_each_amount_counts() -> None:
    view = QuotaView()
    view.put(quota("a", {"pods": "20", "requests.cpu": "4"}))
    view.put(quota("b", {"pods": "5", "requests.cpu": "40", "memory": "1Mi"}))
    assert view.hard == Resources(replicas=5, cpu_milli=4000, memory_bytes=MI)
    view.remove(quota("b"))
    assert view.hard == Resources(replicas=20, cpu_milli=4000)
    view.replace([])
    assert view.hard == Resources()


@pytest.mark.parametrize(
    "scope", [{"scopes": ["BestEffort"]}, {"scopeSelector": {"matchExpressions": []}}]
)
def test_a_quota_of_some_pods_only_is_no_limit_for_all(scope: dict[str, Any]) -> None:
    view = QuotaView()
    view.put(quota(hard={"pods": "0"}, **scope))
    assert view.hard == Resources()
    assert view.odd == ""


def test_nothing_allowed_is_a_limit() -> None:
    view = QuotaView()
    view.put(quota(hard={"pods": "0", "cpu": 0}))
    assert view.hard == Resources(replicas=0, cpu_milli=0)


@pytest.mark.parametrize("hard", [{"pods": "many"}, {"pods": "-1"}, {"pods": []}, "text"])
def test_an_odd_quota_hides_no_other_and_is_named(hard: object) -> None:
    view = QuotaView()
    view.put(quota("odd", hard))
    view.put(quota("good", {"pods": "5"}))
    assert view.hard == Resources(replicas=5)
    assert "odd" in view.odd
    reading = quota_reading(fresh(view.hard), view.odd, fresh(NONE))
    assert isinstance(reading, Stale)
    assert (reading.value, reading.why) == (Resources(replicas=5), Why.UNREADABLE)
    view.put(quota("odd", {"pods": "3"}))
    assert (view.hard, view.odd) == (Resources(replicas=3), "")


def test_what_others_take_is_set_aside_and_never_less_than_nothing_is_left() -> None:
    reading = quota_reading(fresh(HARD, 100.0), "", fresh(OTHERS, 90.0))
    left = Resources(replicas=7, cpu_milli=7000, memory_bytes=0)
    assert reading == Fresh(value=left, at=90.0)
    only_pods = quota_reading(fresh(Resources(replicas=10)), "", fresh(OTHERS))
    assert only_pods == Fresh(value=Resources(replicas=7), at=100.0)


def test_without_a_quota_there_is_no_limit_whatever_the_pods_are() -> None:
    lost = Absent(why=Why.VIEW_INCOMPLETE)
    assert quota_reading(fresh(Resources()), "", lost) == fresh(Resources())


def test_quotas_never_read_are_no_limit_and_lost_ones_are_the_last_known() -> None:
    refused = Absent(why=Why.REFUSED, detail="forbidden")
    assert quota_reading(refused, "", fresh(OTHERS)) is refused
    lost = Stale(value=HARD, at=50.0, why=Why.DISCONNECTED)
    reading = quota_reading(lost, "", fresh(OTHERS))
    assert isinstance(reading, Stale)
    assert (reading.value.replicas, reading.at, reading.why) == (7, 50.0, Why.DISCONNECTED)


def test_where_the_pods_are_not_seen_the_whole_quota_is_the_best_that_is_known() -> None:
    unseen = quota_reading(fresh(HARD), "", Absent(why=Why.VIEW_INCOMPLETE))
    assert isinstance(unseen, Stale)
    assert (unseen.value, unseen.why) == (HARD, Why.VIEW_INCOMPLETE)
    old = quota_reading(fresh(HARD), "", Stale(value=OTHERS, at=40.0, why=Why.TIMED_OUT))
    assert isinstance(old, Stale)
    assert (old.value.replicas, old.at) == (7, 40.0)


def test_usage_is_summed_by_owner_and_follows_every_change() -> None:
    usage = NamespaceUsage()
    usage.put("r-1", "research", Resources(replicas=1, cpu_milli=100))
    usage.put("job", None, Resources(replicas=1, memory_bytes=MI))
    ours = frozenset({"research"})
    assert usage.of_others(ours) == Resources(replicas=1, cpu_milli=0, memory_bytes=MI)
    assert usage.of_others(frozenset()).replicas == 2
    usage.put("web-1", "web", Resources(replicas=1, cpu_milli=50))
    assert usage.of_others(ours).cpu_milli == 50
    usage.put("web-1", "web", None)
    assert usage.of_others(ours).cpu_milli == 0
    usage.drop("job")
    assert usage.of_others(ours) == NONE
    usage.keep(set())
    assert usage.of_others(frozenset()) == NONE
