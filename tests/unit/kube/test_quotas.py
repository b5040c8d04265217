"""What quotas leave beside the pods of others; what cannot be believed is not fresh."""

from __future__ import annotations

import json
from typing import Any

import msgspec

from controller.kube.supply import QuotaView, added, quota_reading
from controller.kube.watch import believed
from controller.model.readings import Absent, Fresh, Reading, Stale, Why
from controller.model.scarcity import Resources
from controller.model.value import INT64_MAX
from support.table import tabled

MI = 2**20
HARD = Resources(replicas=10, cpu_milli=8000, memory_bytes=512 * MI)
OTHERS = Resources(replicas=3, cpu_milli=1000, memory_bytes=600 * MI)
CPU_ONLY = Resources(replicas=5, cpu_milli=4000)
THREE, BOTH = Resources(replicas=3), Resources(replicas=3, cpu_milli=4000)
NONE = Resources(replicas=0, cpu_milli=0, memory_bytes=0)


def quota(name: str = "tenant", hard: object = None, **spec: Any) -> msgspec.Raw:
    found = {"metadata": {"name": name}, "spec": {"hard": hard or {}, **spec}}
    return msgspec.Raw(json.dumps(found).encode())


def fresh(value: Resources, at: float = 100.0) -> Reading[Resources]:
    return Fresh(value=value, at=at)


def test_an_amount_may_have_either_name_and_the_smaller_one_counts() -> None:
    view = QuotaView()
    view.put(quota(hard={"pods": "20", "count/pods": "12", "requests.cpu": "8", "cpu": "9"}))
    assert view.hard == Resources(replicas=12, cpu_milli=8000)
    view.put(quota(hard={"memory": "1Gi", "requests.memory": "2Gi", "limits.cpu": "1"}))
    assert view.hard == Resources(memory_bytes=1024 * MI)
    view.put(quota(hard={"pods": "0", "cpu": 0}))
    assert view.hard == Resources(replicas=0, cpu_milli=0)


def test_of_several_quotas_the_least_of_each_amount_counts() -> None:
    view = QuotaView()
    view.put(quota("a", {"pods": "20", "requests.cpu": "4"}))
    view.put(quota("b", {"pods": "5", "requests.cpu": "40", "memory": "1Mi"}))
    assert view.hard == Resources(replicas=5, cpu_milli=4000, memory_bytes=MI)
    view.remove(quota("b"))
    assert view.hard == Resources(replicas=20, cpu_milli=4000)
    view.replace([])
    assert view.hard == Resources()


@tabled("scope", [{"scopes": ["BestEffort"]}, {"scopeSelector": {"matchExpressions": []}}])
def test_a_quota_of_some_pods_only_is_no_limit_for_all(scope: dict[str, Any]) -> None:
    view = QuotaView()
    view.put(quota(hard={"pods": "0"}, **scope))
    assert view.hard == Resources()


def read(view: QuotaView) -> Reading[Resources]:
    return quota_reading(believed(Fresh(value=view.hard, at=100.0)), fresh(NONE))


@tabled(
    ("hard", "why", "where", "still"),
    [
        ({"pods": "many"}, Why.UNREADABLE, ": pods 'many' is ", THREE),
        ({"pods": "-1"}, Why.IMPLAUSIBLE, ": pods '-1' is negative", THREE),
        ({"pods": str(INT64_MAX + 1)}, Why.IMPLAUSIBLE, ": pods ", THREE),
        (
            {"cpu": str(INT64_MAX)},
            Why.IMPLAUSIBLE,
            ": cpu ",
            Resources(replicas=5, cpu_milli=4000),
        ),  # in thousandths
        ({"pods": []}, Why.UNREADABLE, ": ", BOTH),
        ("text", Why.UNREADABLE, ": ", BOTH),
    ],
)
def test_a_quota_that_cannot_be_believed_hides_no_other_and_keeps_its_last_good_amounts(
    hard: object, why: Why, where: str, still: Resources
) -> None:
    view = QuotaView()
    view.put(quota("odd", hard))
    alone = read(view)
    assert isinstance(alone, Absent)
    assert (alone.why, alone.at) == (why, 100.0)
    assert alone.detail.startswith(f"ResourceQuota odd{where}")
    view.put(quota("good", {"pods": "5"}))
    beside = read(view)
    assert isinstance(beside, Stale)
    assert (beside.value, beside.why) == (Resources(replicas=5), why)
    view.put(quota("odd", {"pods": "3", "cpu": "4"}))
    assert view.hard == BOTH
    view.put(quota("odd", hard))
    kept = read(view)
    assert isinstance(kept, Stale)
    assert kept.value == still
    same = view.hard
    view.put(quota("odd", hard))
    assert view.hard is same
    view.remove(quota("odd"))
    assert view.hard == Resources(replicas=5)


def test_an_amount_that_cannot_be_believed_leaves_the_others_in_force() -> None:
    view = QuotaView()
    view.put(quota(hard={"pods": "5", "cpu": "4", "memory": "1Mi"}))
    view.put(quota(hard={"pods": "-1", "cpu": "2", "memory": "1Mi"}))
    found = read(view)
    assert isinstance(found, Stale)
    assert found.value == Resources(replicas=5, cpu_milli=2000, memory_bytes=MI)
    view.put(quota(hard={"pods": "6"}))
    assert read(view) == fresh(Resources(replicas=6))


def test_what_others_take_is_subtracted_down_to_zero() -> None:
    reading = quota_reading(fresh(HARD, 100.0), fresh(OTHERS, 90.0))
    left = Resources(replicas=7, cpu_milli=7000, memory_bytes=0)
    assert reading == Fresh(value=left, at=90.0)
    only_pods = quota_reading(fresh(Resources(replicas=10)), fresh(OTHERS))
    assert only_pods == Fresh(value=Resources(replicas=7), at=100.0)


def test_without_a_quota_there_is_no_limit_even_if_the_pods_are_unknown() -> None:
    lost = Absent(why=Why.VIEW_INCOMPLETE)
    assert quota_reading(fresh(Resources()), lost) == fresh(Resources())


def test_quotas_that_were_never_read_set_no_limit_and_lost_ones_still_bind() -> None:
    refused = Absent(why=Why.REFUSED, detail="forbidden")
    assert quota_reading(refused, fresh(OTHERS)) is refused
    lost = Stale(value=HARD, at=50.0, why=Why.DISCONNECTED)
    reading = quota_reading(lost, fresh(OTHERS))
    assert isinstance(reading, Stale)
    assert (reading.value.replicas, reading.at, reading.why) == (7, 50.0, Why.DISCONNECTED)


def test_where_the_pods_are_unknown_the_whole_quota_is_left() -> None:
    unseen = quota_reading(fresh(HARD), Absent(why=Why.VIEW_INCOMPLETE))
    assert isinstance(unseen, Stale)
    assert (unseen.value, unseen.why) == (HARD, Why.VIEW_INCOMPLETE)
    old = quota_reading(fresh(HARD), Stale(value=OTHERS, at=40.0, why=Why.TIMED_OUT))
    assert isinstance(old, Stale)
    assert (old.value.replicas, old.at) == (7, 40.0)


def test_a_sum_stays_within_what_kubernetes_can_count() -> None:
    most = added([Resources(replicas=1, memory_bytes=INT64_MAX)] * 3)
    assert most == Resources(replicas=3, cpu_milli=0, memory_bytes=INT64_MAX)
