"""What quotas leave beside the pods of others; what cannot be believed is not fresh."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from controller.kube.quotas import NamespaceUsage, QuotaView, quota_reading
from controller.model.readings import Absent, Fresh, Reading, Stale, Why
from controller.model.scarcity import Resources
from controller.model.value import INT64_MAX

MI = 2**20
HARD = Resources(replicas=10, cpu_milli=8000, memory_bytes=512 * MI)
OTHERS = Resources(replicas=3, cpu_milli=1000, memory_bytes=600 * MI)
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
    assert view.refused is None


def test_a_quota_of_zero_is_a_limit() -> None:
    view = QuotaView()
    view.put(quota(hard={"pods": "0", "cpu": 0}))
    assert view.hard == Resources(replicas=0, cpu_milli=0)


@pytest.mark.parametrize(
    ("hard", "why"),
    [
        ({"pods": "many"}, Why.UNREADABLE),
        ({"pods": "-1"}, Why.IMPLAUSIBLE),
        ({"pods": str(INT64_MAX + 1)}, Why.IMPLAUSIBLE),
        ({"cpu": str(INT64_MAX)}, Why.IMPLAUSIBLE),  # in thousandths
        ({"pods": []}, Why.UNREADABLE),
        ("text", Why.UNREADABLE),
    ],
)
def test_a_quota_that_cannot_be_believed_hides_no_other_and_is_named(
    hard: object, why: Why
) -> None:
    view = QuotaView()
    view.put(quota("odd", hard))
    view.put(quota("good", {"pods": "5"}))
    assert view.hard == Resources(replicas=5)
    assert view.refused is not None
    assert view.refused.detail.startswith("ResourceQuota odd: ")
    reading = quota_reading(fresh(view.hard), view.refused, fresh(NONE))
    assert isinstance(reading, Stale)
    assert (reading.value, reading.why) == (Resources(replicas=5), why)
    view.put(quota("odd", {"pods": "3"}))
    assert (view.hard, view.refused) == (Resources(replicas=3), None)


@pytest.mark.parametrize("odd", ["-1", str(2**63), "many"])
def test_an_amount_that_cannot_be_believed_leaves_the_last_good_one_in_force(odd: str) -> None:
    view = QuotaView()
    view.put(quota(hard={"pods": "5", "cpu": "4", "memory": "1Mi"}))
    view.put(quota(hard={"pods": odd, "cpu": "2", "memory": "1Mi"}))
    assert view.hard == Resources(replicas=5, cpu_milli=2000, memory_bytes=MI)
    view.replace([quota(hard={"pods": odd, "cpu": odd})])
    assert view.hard == Resources(replicas=5, cpu_milli=2000)
    assert view.refused is not None
    assert view.refused.detail.startswith(f"ResourceQuota tenant: pods '{odd}' is ")
    view.put(quota(hard={"pods": "6"}))
    assert (view.hard, view.refused) == (Resources(replicas=6), None)


def test_a_quota_that_becomes_unreadable_goes_on_to_bind() -> None:
    view = QuotaView()
    view.put(quota(hard={"pods": "5"}))
    view.put(quota(hard="text"))
    reading = quota_reading(fresh(view.hard), view.refused, fresh(NONE))
    assert isinstance(reading, Stale)
    assert (reading.value.replicas, reading.why) == (5, Why.UNREADABLE)


def test_a_quota_without_any_good_amount_is_no_reading() -> None:
    view = QuotaView()
    view.put(quota(hard={"pods": "-1"}))
    reading = quota_reading(fresh(view.hard), view.refused, fresh(NONE))
    assert reading == Absent(
        why=Why.IMPLAUSIBLE, at=100.0, detail="ResourceQuota tenant: pods '-1' is negative"
    )


def test_a_deleted_quota_no_longer_binds() -> None:
    view = QuotaView()
    view.put(quota(hard={"pods": "5"}))
    view.put(quota(hard={"pods": "-1"}))
    view.remove(quota())
    assert (view.hard, view.refused) == (Resources(), None)


def test_what_the_quotas_allow_is_the_same_object_while_it_is_the_same() -> None:
    view = QuotaView()
    view.put(quota(hard={"pods": "5"}))
    view.put(quota("odd", {"pods": "-1"}))
    hard, refused = view.hard, view.refused
    view.put(quota(hard={"pods": "5"}))
    view.put(quota("odd", {"pods": "-1"}))
    assert view.hard is hard
    assert view.refused is refused


def test_what_others_take_is_subtracted_down_to_zero() -> None:
    reading = quota_reading(fresh(HARD, 100.0), None, fresh(OTHERS, 90.0))
    left = Resources(replicas=7, cpu_milli=7000, memory_bytes=0)
    assert reading == Fresh(value=left, at=90.0)
    only_pods = quota_reading(fresh(Resources(replicas=10)), None, fresh(OTHERS))
    assert only_pods == Fresh(value=Resources(replicas=7), at=100.0)


def test_without_a_quota_there_is_no_limit_even_if_the_pods_are_unknown() -> None:
    lost = Absent(why=Why.VIEW_INCOMPLETE)
    assert quota_reading(fresh(Resources()), None, lost) == fresh(Resources())


def test_quotas_that_were_never_read_set_no_limit_and_lost_ones_still_bind() -> None:
    refused = Absent(why=Why.REFUSED, detail="forbidden")
    assert quota_reading(refused, None, fresh(OTHERS)) is refused
    lost = Stale(value=HARD, at=50.0, why=Why.DISCONNECTED)
    reading = quota_reading(lost, None, fresh(OTHERS))
    assert isinstance(reading, Stale)
    assert (reading.value.replicas, reading.at, reading.why) == (7, 50.0, Why.DISCONNECTED)


def test_where_the_pods_are_unknown_the_whole_quota_is_left() -> None:
    unseen = quota_reading(fresh(HARD), None, Absent(why=Why.VIEW_INCOMPLETE))
    assert isinstance(unseen, Stale)
    assert (unseen.value, unseen.why) == (HARD, Why.VIEW_INCOMPLETE)
    old = quota_reading(fresh(HARD), None, Stale(value=OTHERS, at=40.0, why=Why.TIMED_OUT))
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
    usage.drop("r-1")
    assert usage.of_others(frozenset()) == NONE


def test_our_own_pods_leave_the_sum_of_the_others_the_same_object() -> None:
    usage = NamespaceUsage()
    usage.put("web-1", "web", Resources(replicas=1))
    ours = frozenset({"research"})
    before = usage.of_others(ours)
    usage.put("r-1", "research", Resources(replicas=1))
    usage.put("r-1", "research", Resources(replicas=1, cpu_milli=5))
    usage.drop("r-1")
    assert usage.of_others(ours) is before
    usage.put("web-1", "research", Resources(replicas=1))  # it belongs to us now
    assert usage.of_others(ours) == NONE


def test_a_sum_stays_within_what_kubernetes_can_count() -> None:
    usage = NamespaceUsage()
    for number in range(3):
        usage.put(f"p-{number}", None, Resources(replicas=1, memory_bytes=INT64_MAX))
    assert usage.of_others(frozenset()) == Resources(
        replicas=3, cpu_milli=0, memory_bytes=INT64_MAX
    )
