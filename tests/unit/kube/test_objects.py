"""Kubernetes objects as values: one that cannot be believed is refused, and hides no other."""

from __future__ import annotations

import json
from typing import Any

import pytest

from controller.kube.pods import counted, pod_record
from controller.kube.watch import RefusedObject
from controller.kube.wire import unix_seconds
from controller.kube.workloads import SuspectWorkload, workload_record
from controller.model.ids import WorkloadKind, WorkloadName
from controller.model.observation import Pod, PodPhase, Workload
from controller.model.readings import Why
from controller.model.scarcity import Resources

WHEN = "2026-11-21T10:00:00Z"


def deployment(**parts: Any) -> bytes:
    base: dict[str, Any] = {
        "metadata": {"name": "research", "resourceVersion": "7", "uid": "u"},
        "spec": {"replicas": 3},
        "status": {},
    }
    for part, fields in parts.items():
        base[part] = base[part] | fields
    return json.dumps(base).encode()


def pod(*, meta: dict[str, Any] | None = None, node: str = "node-0", **status: Any) -> bytes:
    owner = {"kind": "ReplicaSet", "name": "research-85fcf8dd4d", "controller": True}
    metadata = {
        "name": "research-85fcf8dd4d-abcde",
        "labels": {"pod-template-hash": "85fcf8dd4d"},
        "ownerReferences": [owner],
        "creationTimestamp": WHEN,
    }
    found = {"metadata": metadata | (meta or {}), "spec": {"nodeName": node}, "status": status}
    return json.dumps(found).encode()


def phase_of(raw: bytes) -> tuple[PodPhase, str, str]:
    record = pod_record(raw)
    assert record is not None
    assert isinstance(record.found, Pod)
    return record.found.phase, record.found.reason, record.found.message


def workload_of(raw: bytes) -> Workload:
    record = workload_record(raw)
    assert record is not None
    assert isinstance(record.found, Workload)
    return record.found


def waiting(reason: str, message: str = "", restarts: int = 0) -> list[dict[str, Any]]:
    state = {"waiting": {"reason": reason, "message": message}}
    return [{"name": "agent", "restartCount": restarts, "state": state}]


def condition(type_: str, status: str, **more: Any) -> dict[str, Any]:
    return {"type": type_, "status": status, "lastTransitionTime": WHEN, **more}


def test_a_deployment_without_replicas_asks_for_one() -> None:
    assert workload_of(deployment(spec={"replicas": None})).replicas == 1
    assert workload_of(b'{"metadata":{"name":"research"}}').replicas == 1


def test_zero_replicas_stay_zero() -> None:
    assert workload_of(deployment(spec={"replicas": 0})).replicas == 0


@pytest.mark.parametrize("replicas", [-1, 2**31, 10**12, 2**63])
@pytest.mark.parametrize("part", ["spec", "status"])
def test_an_absurd_number_of_replicas_is_refused(part: str, replicas: int) -> None:
    record = workload_record(deployment(**{part: {"replicas": replicas}}))
    assert record is not None
    assert isinstance(record.found, RefusedObject)
    assert record.found.why is Why.IMPLAUSIBLE
    assert str(replicas) in record.found.detail


def test_replicas_of_another_type_are_refused_by_name() -> None:
    record = workload_record(deployment(spec={"replicas": "ten"}))
    assert record is not None
    assert record.name == "research"
    assert isinstance(record.found, RefusedObject)
    assert record.found.why is Why.UNREADABLE


@pytest.mark.parametrize("raw", [b"{}", b"null", b'{"metadata":null}', b'"x"', b"[", b"\xff"])
def test_an_object_without_a_name_is_unnamed_and_raises_nothing(raw: bytes) -> None:
    assert workload_record(raw) is None
    assert pod_record(raw) is None


def test_a_deployment_that_is_being_deleted_is_no_target() -> None:
    record = workload_record(deployment(metadata={"deletionTimestamp": WHEN}))
    assert record is not None
    assert record.found is None


def test_what_the_template_requests_is_what_a_replica_takes() -> None:
    resources = {"requests": {"cpu": "250m", "memory": "512Mi"}}
    template = {"spec": {"containers": [{"resources": resources}]}}
    asked = workload_of(deployment(spec={"template": template})).requests
    assert asked == Resources(cpu_milli=250, memory_bytes=512 * 2**20)
    assert workload_of(deployment()).requests == Resources()


@pytest.mark.parametrize("cpu", ["-1", "lots", "9223372036854775.808", str(2**63)])
def test_requests_that_cannot_be_believed_make_their_deployment_suspect(cpu: str) -> None:
    template = {"spec": {"containers": [{"resources": {"requests": {"cpu": cpu}}}]}}
    record = workload_record(deployment(spec={"template": template}))
    assert record is not None
    assert isinstance(record.found, SuspectWorkload)
    assert record.found.why is Why.IMPLAUSIBLE
    assert record.found.detail.startswith("spec.template requests: ")
    assert record.found.workload.replicas == 3
    assert record.found.workload.requests == Resources()


def test_requests_that_only_together_are_too_much_are_suspect() -> None:
    half = {"resources": {"requests": {"memory": str(2**62)}}}
    record = workload_record(deployment(spec={"template": {"spec": {"containers": [half, half]}}}))
    assert record is not None
    assert isinstance(record.found, SuspectWorkload)


def test_a_pod_whose_requests_cannot_be_believed_counts_as_one_pod() -> None:
    found = json.loads(pod(phase="Pending"))
    found["spec"]["containers"] = [{"resources": {"requests": {"cpu": str(2**63)}}}]
    record = pod_record(json.dumps(found).encode())
    assert record is not None
    assert record.takes == Resources(replicas=1)


def test_only_annotations_for_autoscalers_are_kept_and_cleaned() -> None:
    written = {
        "autoscaling.keda.sh/paused": "true",
        "autoscaling.keda.sh/paused-replicas": "3",
        "autoscaling.keda.sh/paused-scale-in": "\x1b[31m",
        "agentdash.dev/freeze": "x" * 5000,
        "kubectl.kubernetes.io/last-applied-configuration": "{}",
    }
    kept = workload_of(deployment(metadata={"annotations": written})).annotations
    assert kept.pop("agentdash.dev/freeze").endswith("x…")
    assert kept == {
        "autoscaling.keda.sh/paused": "true",
        "autoscaling.keda.sh/paused-replicas": "3",
        "autoscaling.keda.sh/paused-scale-in": "\ufffd[31m",
    }
    assert workload_of(deployment()).annotations == {}


def managed(manager: str, time: str, *fields: str, **more: Any) -> dict[str, Any]:
    owned = {"f:spec": {f"f:{field}": {} for field in fields}}
    return {"manager": manager, "operation": "Update", "time": time, "fieldsV1": owned, **more}


def test_of_the_managers_of_fields_the_last_that_set_the_size_is_kept() -> None:
    entries = [
        managed("kubectl-create", "2026-11-22T10:00:05Z", "replicas", "template"),
        managed("argocd-controller", "2026-11-22T10:00:07Z", "replicas"),
        managed("kubectl-edit", "2026-11-22T10:00:09Z", "template"),
        managed("agentdash", "2026-11-22T10:00:06Z", "replicas", subresource="scale"),
    ]
    assert workload_of(deployment(metadata={"managedFields": entries})).sized_by == (
        "argocd-controller"
    )


@pytest.mark.parametrize(
    "entries",
    [
        None,
        [],
        [managed("kubectl-edit", "2026-11-22T10:00:09Z", "template")],
        [{"manager": "kube-controller-manager", "fieldsV1": {"f:status": {"f:replicas": {}}}}],
        [{"manager": "old", "fieldsV1": None}],
    ],
)
def test_a_size_whose_manager_is_not_noted_has_none(entries: object) -> None:
    assert workload_of(deployment(metadata={"managedFields": entries})).sized_by == ""


def test_the_message_names_a_quota_before_a_stuck_rollout() -> None:
    stuck = condition("Progressing", "False", message="deadline exceeded")
    quota = condition("ReplicaFailure", "True", message="exceeded quota: tenant")
    assert workload_of(deployment(status={"conditions": [stuck]})).message == "deadline exceeded"
    both = workload_of(deployment(status={"conditions": [stuck, quota]}))
    assert both.message == "exceeded quota: tenant"


def test_a_condition_without_a_failure_gives_no_message() -> None:
    well = [
        condition("ReplicaFailure", "False", message="old"),
        condition("Progressing", "True", message="fine"),
    ]
    assert workload_of(deployment(status={"conditions": well})).message == ""


def test_text_from_outside_is_cleaned() -> None:
    evil = "\x1b[31m\u202e[@click=app.quit]"
    found = workload_of(
        deployment(
            metadata={"labels": {evil: evil}},
            status={"conditions": [condition("ReplicaFailure", "True", message=evil)]},
        )
    )
    ((key, value),) = found.labels.items()
    for text in (key, value, found.message):
        assert "\x1b" not in text
        assert "\u202e" not in text
    starting = pod(phase="Pending", containerStatuses=waiting(evil, evil))
    assert "\x1b" not in "".join(phase_of(starting)[1:])
    named = pod_record(pod(meta={"name": evil}, phase="Pending"))
    assert named is not None
    assert "\x1b" not in named.name


def test_the_recorded_deployment_hit_by_a_quota_says_so(recorded: Any) -> None:
    found = workload_of(recorded.body("limits", "deployment-replica-failure"))
    assert (found.replicas, found.current, found.ready) == (12, 7, 1)
    assert found.message.endswith(
        "exceeded quota: tenant, requested: pods=1, used: pods=8, limited: pods=8"
    )


def test_the_recorded_pod_that_fits_nowhere_has_the_schedulers_message(recorded: Any) -> None:
    (raw,) = json.loads(recorded.body("limits", "pod-unschedulable"))["items"]
    phase, reason, message = phase_of(json.dumps(raw).encode())
    assert (phase, reason) == (PodPhase.UNSCHEDULED, "Unschedulable")
    assert message.startswith("0/3 nodes are available: 3 Insufficient cpu")


def test_the_recorded_life_of_a_pod(recorded: Any) -> None:
    lines = recorded.answer("pod-life", "scale-0-1-0")["lines"]
    phases = [phase_of(json.dumps(line["object"]).encode())[0] for line in lines]
    assert phases == [
        PodPhase.UNSCHEDULED,
        PodPhase.STARTING,
        PodPhase.READY,
        PodPhase.TERMINATING,
        PodPhase.TERMINATING,
        PodPhase.TERMINATING,
    ]


def test_a_pod_without_a_node_yet_is_unscheduled_without_a_message() -> None:
    assert phase_of(pod(node="", phase="Pending")) == (PodPhase.UNSCHEDULED, "", "")


@pytest.mark.parametrize("reason", ["ContainerCreating", "ImagePullBackOff", "ErrImagePull"])
def test_a_container_that_waits_is_starting_and_says_why(reason: str) -> None:
    found = pod(phase="Pending", containerStatuses=waiting(reason, "because"))
    assert phase_of(found) == (PodPhase.STARTING, reason, "because")


def test_the_container_with_the_uncommon_reason_gives_the_message() -> None:
    statuses = waiting("ContainerCreating") + waiting("ImagePullBackOff", "no such image")
    found = pod(phase="Pending", containerStatuses=statuses)
    assert phase_of(found) == (PodPhase.STARTING, "ImagePullBackOff", "no such image")


@pytest.mark.parametrize("where", ["containerStatuses", "initContainerStatuses"])
def test_a_crash_loop_is_crashing(where: str) -> None:
    found = pod(phase="Running", **{where: waiting("CrashLoopBackOff", "back-off 5m0s", 7)})
    assert phase_of(found) == (PodPhase.CRASHING, "CrashLoopBackOff", "back-off 5m0s")


def test_a_restart_that_waits_is_crashing() -> None:
    found = pod(phase="Running", containerStatuses=waiting("RunContainerError", "no", restarts=1))
    assert phase_of(found)[0] is PodPhase.CRASHING


def test_a_container_that_just_died_is_crashing() -> None:
    died = {
        "name": "a",
        "restartCount": 0,
        "state": {"terminated": {"exitCode": 137, "reason": "OOMKilled"}},
    }
    assert phase_of(pod(phase="Running", containerStatuses=[died]))[:2] == (
        PodPhase.CRASHING,
        "OOMKilled",
    )


def test_restarts_in_the_past_do_not_make_a_ready_pod_crash() -> None:
    running = {"name": "a", "restartCount": 3, "state": {"running": {}}}
    ready = condition("Ready", "True")
    record = pod_record(pod(phase="Running", conditions=[ready], containerStatuses=[running]))
    assert record is not None
    assert isinstance(record.found, Pod)
    assert (record.found.phase, record.found.restarts) == (PodPhase.READY, 3)
    assert record.found.ready_at == unix_seconds(WHEN)


def test_running_and_not_ready() -> None:
    unready = condition("Ready", "False", reason="ContainersNotReady", message="agent")
    found = pod(
        phase="Running", conditions=[unready], containerStatuses=[{"state": {"running": {}}}]
    )
    assert phase_of(found) == (PodPhase.RUNNING, "ContainersNotReady", "agent")


def test_failed_and_deleted_pods() -> None:
    assert phase_of(pod(phase="Failed", reason="Evicted", message="disk")) == (
        PodPhase.FAILED,
        "Evicted",
        "disk",
    )
    gone = pod(
        meta={"deletionTimestamp": WHEN}, phase="Running", conditions=[condition("Ready", "True")]
    )
    assert phase_of(gone)[0] is PodPhase.TERMINATING


def test_a_pod_belongs_to_the_deployment_that_named_its_replica_set() -> None:
    record = pod_record(pod(phase="Pending"))
    assert record is not None
    assert record.workload == WorkloadName("research")


@pytest.mark.parametrize(
    "meta",
    [
        {"ownerReferences": None},
        {"labels": None},
        {"ownerReferences": [{"kind": "Job", "name": "research-85fcf8dd4d", "controller": True}]},
        {"ownerReferences": [{"kind": "ReplicaSet", "name": "research-other", "controller": True}]},
        {"ownerReferences": [{"kind": "ReplicaSet", "name": "-85fcf8dd4d", "controller": True}]},
    ],
)
def test_other_pods_belong_to_no_deployment(meta: dict[str, Any]) -> None:
    record = pod_record(pod(meta=meta, phase="Pending"))
    assert record is not None
    assert record.workload is None


def test_a_pod_of_a_stateful_set_belongs_to_it_and_has_an_ordinal() -> None:
    owner = {"kind": "StatefulSet", "name": "research-v2", "controller": True}
    meta = {
        "name": "research-v2-12",
        "labels": {"controller-revision-hash": "research-v2-77d4"},
        "ownerReferences": [owner],
    }
    record = pod_record(pod(meta=meta, phase="Pending"))
    assert record is not None
    assert record.workload == WorkloadName("research-v2", WorkloadKind.STATEFUL_SET)
    assert isinstance(record.found, Pod)
    assert (record.found.ordinal, record.found.generation) == (12, "research-v2-77d4")


@pytest.mark.parametrize(
    ("more", "first"), [({}, 0), ({"ordinals": None}, 0), ({"ordinals": {"start": 7}}, 7)]
)
def test_a_stateful_set_is_read_like_a_deployment_and_has_a_first_ordinal(
    more: dict[str, Any], first: int
) -> None:
    body = {
        "metadata": {"name": "research", "uid": "u", "resourceVersion": "4", "generation": 3},
        "spec": {"replicas": 5, **more},
        "status": {"replicas": 4, "readyReplicas": 3, "observedGeneration": 2},
    }
    record = workload_record(json.dumps(body).encode(), WorkloadKind.STATEFUL_SET)
    assert record is not None
    found = record.found
    assert isinstance(found, Workload)
    assert (found.replicas, found.current, found.ready) == (5, 4, 3)
    assert (found.generation, found.observed_generation) == (3, 2)
    assert found.first_ordinal == first


@pytest.mark.parametrize(
    ("policy", "one_by_one"),
    [
        ({}, True),
        ({"podManagementPolicy": "OrderedReady"}, True),
        ({"podManagementPolicy": "Parallel"}, False),
    ],
)
def test_a_stateful_set_says_whether_its_pods_start_one_after_the_other(
    policy: dict[str, Any], one_by_one: bool
) -> None:
    body = {"metadata": {"name": "research", "uid": "u"}, "spec": {"replicas": 5, **policy}}
    record = workload_record(json.dumps(body).encode(), WorkloadKind.STATEFUL_SET)
    assert record is not None
    assert isinstance(record.found, Workload)
    assert record.found.one_by_one is one_by_one


def test_a_stateful_set_with_an_impossible_first_ordinal_is_refused() -> None:
    body = {"metadata": {"name": "research"}, "spec": {"ordinals": {"start": -1}}}
    record = workload_record(json.dumps(body).encode(), WorkloadKind.STATEFUL_SET)
    assert record is not None
    assert isinstance(record.found, RefusedObject)
    assert record.found.detail == "spec.ordinals.start is -1"


def test_a_pod_that_cannot_be_read_is_refused_in_its_own_pool() -> None:
    record = pod_record(pod(phase=3))
    assert record is not None
    assert record.workload == WorkloadName("research")
    assert isinstance(record.found, RefusedObject)


def test_pods_are_counted_by_phase_and_sorted_by_name() -> None:
    phases = [
        PodPhase.READY,
        PodPhase.STARTING,
        PodPhase.RUNNING,
        PodPhase.FAILED,
        PodPhase.CRASHING,
    ]
    pods = counted(Pod(name=f"p{9 - number}", phase=phase) for number, phase in enumerate(phases))
    assert (pods.ready, pods.starting, pods.crashing, pods.unscheduled, pods.terminating) == (
        1,
        2,
        1,
        0,
        0,
    )
    assert [pod.name for pod in pods.items] == ["p5", "p6", "p7", "p8", "p9"]
