"""What the views keep: each pool by itself, and our own writes at once."""

from __future__ import annotations

import json
from typing import Any

import msgspec

from controller.kube.pods import PodView
from controller.kube.watch import Refused
from controller.kube.wire import DELETION_COST
from controller.kube.workloads import WorkloadView
from controller.model.ids import WorkloadName
from controller.model.observation import Pods, Workload
from controller.model.readings import Why
from controller.model.scarcity import Resources
from support.table import tabled
from support.world import VirtualClock


def raw(found: dict[str, Any]) -> msgspec.Raw:
    return msgspec.Raw(json.dumps(found).encode())


def deployment(name: str, replicas: object = 1, version: str = "10", **meta: Any) -> msgspec.Raw:
    metadata = {"name": name, "uid": f"uid-{name}", "resourceVersion": version, **meta}
    return raw({"metadata": metadata, "spec": {"replicas": replicas}})


def pod(name: str, deployment: str = "research", **status: Any) -> msgspec.Raw:
    metadata = {
        "name": name,
        "labels": {"pod-template-hash": "abc"},
        "ownerReferences": [
            {"kind": "ReplicaSet", "name": f"{deployment}-abc", "controller": True}
        ],
    }
    return raw(
        {"metadata": metadata, "spec": {"nodeName": "n"}, "status": status or {"phase": "Pending"}}
    )


def replicas(view: WorkloadView, name: str) -> int:
    found = view.get(name)
    assert isinstance(found, Workload)
    return found.replicas


def refused(view: WorkloadView) -> Workload | None:
    """What still counts of a refused workload."""
    found = view.get("a")
    assert isinstance(found, Refused)
    return found.last


def pods(view: PodView, name: str) -> Pods:
    found = view.get(WorkloadName(name))
    assert isinstance(found, Pods)
    return found


class Changes(list[str]):
    """The names of the workloads that changed."""

    def note(self, workload: WorkloadName) -> None:
        self.append(workload.name)

    def take(self) -> list[str]:
        taken, self[:] = list(self), []
        return taken


def test_a_deployment_that_cannot_be_read_hides_no_other() -> None:
    changes = Changes()
    view = WorkloadView(changes.note)
    view.replace([raw({}), deployment("bad", -5), deployment("text", "x"), deployment("good", 4)])
    bad, text = view.get("bad"), view.get("text")
    assert isinstance(bad, Refused)
    assert bad.why is Why.IMPLAUSIBLE
    assert isinstance(text, Refused)
    assert replicas(view, "good") == 4
    assert changes == ["bad", "text", "good"]


def asking(cpu: str, replicas: int = 8, version: str = "10", uid: str = "u") -> msgspec.Raw:
    containers = [{"resources": {"requests": {"cpu": cpu}}}]
    return raw(
        {
            "metadata": {"name": "a", "uid": uid, "resourceVersion": version},
            "spec": {"replicas": replicas, "template": {"spec": {"containers": containers}}},
        }
    )


@tabled("odd", ["-1", "lots", str(2**63)])
def test_requests_that_cannot_be_believed_are_those_read_last(odd: str) -> None:
    changes = Changes()
    view = WorkloadView(changes.note)
    view.put(asking("250m"))
    view.put(asking(odd, replicas=7, version="11"))
    found = view.get("a")
    assert isinstance(found, Refused)
    assert found.last is not None
    assert (found.last.replicas, found.last.requests.cpu_milli) == (7, 250)
    view.put(asking(odd, replicas=6, version="12"))
    found = view.get("a")
    assert isinstance(found, Refused)
    assert found.last is not None
    assert (found.last.replicas, found.last.requests.cpu_milli) == (6, 250)
    view.put(asking("1", version="13"))
    assert replicas(view, "a") == 8
    assert changes == ["a"] * 4


def test_an_older_suspect_event_does_not_undo_our_write() -> None:
    view = WorkloadView(Changes().append)
    view.put(asking("250m", replicas=1, version="10"))
    view.applied("a", "u", 5, "20")
    view.put(asking("-1", replicas=1, version="15"))
    assert replicas(view, "a") == 5


def test_our_write_is_seen_at_once_and_no_older_event_takes_it_back() -> None:
    view = WorkloadView(Changes().append)
    view.put(deployment("a", 1, "10"))
    view.applied("a", "uid-a", 5, "20")
    assert replicas(view, "a") == 5
    known = view.get("a")
    assert isinstance(known, Workload)
    assert known.sized_by == "agentdash"
    view.put(deployment("a", 1, "15"))
    assert replicas(view, "a") == 5
    view.replace([deployment("a", 1, "15")])
    assert replicas(view, "a") == 5
    view.put(deployment("a", 5, "20"))
    view.put(deployment("a", 2, "30"))
    assert replicas(view, "a") == 2


def test_once_the_watch_has_caught_up_only_the_watch_counts() -> None:
    view = WorkloadView(Changes().append)
    view.put(deployment("a", 1, "10"))
    view.applied("a", "uid-a", 5, "20")
    view.put(deployment("a", 5, "20"))
    view.put(deployment("a", 2, "11"))  # the store was restored from a backup
    assert replicas(view, "a") == 2


def test_a_write_that_the_watch_has_overtaken_changes_nothing() -> None:
    view = WorkloadView(Changes().append)
    view.put(deployment("a", 7, "30"))
    view.applied("a", "uid-a", 5, "20")
    assert replicas(view, "a") == 7


def test_versions_that_are_no_numbers_wait_for_the_watch() -> None:
    view = WorkloadView(Changes().append)
    view.put(deployment("a", 1, "v10"))
    view.applied("a", "uid-a", 5, "v20")
    assert replicas(view, "a") == 1
    view.put(deployment("a", 5, "v20"))
    assert replicas(view, "a") == 5


def test_a_write_to_a_namesake_is_not_applied() -> None:
    view = WorkloadView(Changes().append)
    view.put(deployment("a", 1, "10"))
    view.applied("a", "another-uid", 5, "20")
    view.applied("unknown", "uid", 5, "20")
    assert replicas(view, "a") == 1
    assert view.get("unknown") is None


def test_a_pod_that_cannot_be_read_blinds_its_own_pool_only() -> None:
    view = PodView(Changes().append)
    view.replace([pod("r-1", phase=5), pod("b-1", "browser"), raw({"metadata": None})])
    odd = view.get(WorkloadName("research"))
    assert isinstance(odd, Refused)
    assert "r-1" in odd.detail
    assert pods(view, "browser").starting == 1
    view.put(pod("r-1"))
    assert pods(view, "research").starting == 1


def test_what_pods_of_others_take_is_known_with_or_without_a_deployment() -> None:
    view = PodView(Changes().append)
    asks = [{"resources": {"requests": {"cpu": "100m"}}}]
    job = raw({"metadata": {"name": "job"}, "spec": {"containers": asks}, "status": {}})
    done = {"metadata": {"name": "job"}, "spec": {"containers": asks}}
    ours = frozenset({WorkloadName("research")})
    view.replace([pod("r-1"), pod("b-1", "browser"), job])
    taken = Resources(replicas=2, cpu_milli=100, memory_bytes=0)
    assert view.taken_by_others(ours) == taken
    view.put(raw({**done, "status": {"phase": "Succeeded"}}))
    assert view.taken_by_others(ours).cpu_milli == 0, "what has run to its end takes nothing"
    view.put(pod("odd", "browser", phase=5))
    assert view.taken_by_others(ours).replicas == 2, "one that cannot be read is still a pod"
    view.remove(pod("b-1", "browser"))
    assert view.taken_by_others(ours).replicas == 1
    view.replace([pod("r-1")])
    assert view.taken_by_others(ours).replicas == 0
    assert view.taken_by_others(frozenset()).replicas == 1


async def test_the_time_at_which_a_pod_was_marked_stays_until_the_mark_goes() -> None:
    clock = VirtualClock()
    view = PodView(Changes().append, clock=clock)

    def show(cost: str, **status: Any) -> float | None:
        found = json.loads(bytes(pod("a", **status)))
        found["metadata"]["annotations"] = {DELETION_COST: cost}
        view.put(raw(found))
        [seen] = pods(view, "research").items
        return seen.marked_at

    assert show("5") is None
    assert show("-2147483648") == clock.now()
    marked_at = clock.now()
    await clock.advance(9.0)
    assert show("-2147483648", phase="Running") == marked_at
    clock.step(3600.0)
    view.shift(clock.follow_step())
    assert [each.marked_at for each in pods(view, "research").items] == [marked_at + 3600.0]
    assert show("-2147483648") == marked_at + 3600.0
    assert show("0") is None
    view.shift(60.0)
    assert show("-2147483648") == clock.now()
