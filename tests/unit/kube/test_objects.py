"""Kubernetes objects as values: one that cannot be believed is refused, and hides no other."""

from __future__ import annotations

import json
from typing import Any

import msgspec

from controller.kube.pods import PodRecord, PodView, counted
from controller.kube.watch import Refused
from controller.kube.wire import unix_seconds
from controller.kube.workloads import Found, WorkloadView
from controller.model.ids import WorkloadKind, WorkloadName
from controller.model.observation import Pod, PodPhase, Workload
from controller.model.readings import Why
from controller.model.scarcity import Resources
from support.table import tabled

CREATED = 1_772_452_800.0
EVIL = "\x1b[31m\u202e[@click=app.quit]"


def stamp(after_s: int) -> str:
    return f"2026-03-02T12:{after_s // 60:02d}:{after_s % 60:02d}Z"


def workload(raw: bytes, kind: WorkloadKind = WorkloadKind.DEPLOYMENT) -> Found | None:
    seen = WorkloadView(lambda _: None, kind).read(msgspec.Raw(raw))
    assert seen is not None
    assert seen.name == "research"
    return seen.found


def deployment(**parts: Any) -> bytes:
    base: dict[str, Any] = {
        "metadata": {"name": "research", "resourceVersion": "7", "uid": "u"},
        "spec": {"replicas": 3},
        "status": {},
    }
    for part, fields in parts.items():
        base[part] = base[part] | fields
    return json.dumps(base).encode()


def read(kind: WorkloadKind = WorkloadKind.DEPLOYMENT, **parts: Any) -> Workload:
    found = workload(deployment(**parts), kind)
    assert isinstance(found, Workload), found
    return found


def asking(*requests: dict[str, str]) -> dict[str, Any]:
    containers = [{"resources": {"requests": each}} for each in requests]
    return {"template": {"spec": {"containers": containers}}}


def condition(kind: str, status: str, at: int = 0, **more: Any) -> dict[str, Any]:
    return {"type": kind, "status": status, "lastTransitionTime": stamp(at), **more}


@tabled(("spec", "replicas"), [({"replicas": None}, 1), ({"replicas": 0}, 0)])
def test_only_no_replicas_at_all_means_one(spec: dict[str, Any], replicas: int) -> None:
    assert read(spec=spec).replicas == replicas
    bare = workload(b'{"metadata":{"name":"research"}}')
    assert isinstance(bare, Workload)
    assert bare.replicas == 1


@tabled(
    ("parts", "why", "detail"),
    [
        *(
            ({part: {"replicas": absurd}}, Why.IMPLAUSIBLE, f"{part}.replicas is {absurd}")
            for part in ("spec", "status")
            for absurd in (-1, 2**31, 2**63)
        ),
        ({"spec": {"replicas": "ten"}}, Why.UNREADABLE, "Expected `int | null`"),
        *(
            ({"spec": asking({"cpu": odd})}, Why.IMPLAUSIBLE, "spec.template requests: ")
            for odd in ("-1", "lots", "9223372036854775.808", str(2**63))
        ),
        (
            {"spec": asking({"memory": str(2**62)}, {"memory": str(2**62)})},
            Why.IMPLAUSIBLE,
            "spec.template requests: ",
        ),
    ],
)
def test_what_cannot_be_believed_is_refused_by_name(
    parts: dict[str, Any], why: Why, detail: str
) -> None:
    found = workload(deployment(**parts))
    assert isinstance(found, Refused)
    assert (found.why, found.last) == (why, None)
    assert found.detail.startswith(detail)


@tabled("raw", [b"{}", b"null", b'{"metadata":null}', b'"x"', b"[", b"\xff"])
def test_an_object_without_a_name_is_unnamed_and_raises_nothing(raw: bytes) -> None:
    assert WorkloadView(lambda _: None).read(msgspec.Raw(raw)) is None
    assert PodView(lambda _: None).read(msgspec.Raw(raw)) is None


def test_a_deployment_that_is_being_deleted_is_no_target() -> None:
    assert workload(deployment(metadata={"deletionTimestamp": stamp(0)})) is None


def test_only_annotations_for_autoscalers_are_kept_and_cleaned() -> None:
    written = {
        "autoscaling.keda.sh/paused": "true",
        "autoscaling.keda.sh/paused-replicas": "3",
        "autoscaling.keda.sh/paused-scale-in": "\x1b[31m",
        "agentdash.dev/freeze": "x" * 5000,
        "kubectl.kubernetes.io/last-applied-configuration": "{}",
    }
    kept = read(metadata={"annotations": written}).annotations
    assert kept.pop("agentdash.dev/freeze").endswith("x…")
    assert kept == {
        "autoscaling.keda.sh/paused": "true",
        "autoscaling.keda.sh/paused-replicas": "3",
        "autoscaling.keda.sh/paused-scale-in": "\ufffd[31m",
    }
    assert read().annotations == {}


def managed(manager: str, time: str, *fields: str, **more: Any) -> dict[str, Any]:
    owned = {"f:spec": {f"f:{field}": {} for field in fields}}
    return {"manager": manager, "operation": "Update", "time": time, "fieldsV1": owned, **more}


@tabled(
    ("entries", "manager"),
    [
        (
            [
                managed("kubectl-create", stamp(5), "replicas", "template"),
                managed("argocd-controller", stamp(7), "replicas"),
                managed("kubectl-edit", stamp(9), "template"),
                managed("agentdash", stamp(6), "replicas", subresource="scale"),
            ],
            "argocd-controller",
        ),
        (None, ""),
        ([], ""),
        ([managed("kubectl-edit", stamp(9), "template")], ""),
        ([{"manager": "controller", "fieldsV1": {"f:status": {"f:replicas": {}}}}], ""),
        ([{"manager": "old", "fieldsV1": None}], ""),
    ],
)
def test_of_the_managers_of_fields_the_last_that_set_the_size_is_kept(
    entries: object, manager: str
) -> None:
    assert read(metadata={"managedFields": entries}).sized_by == manager


STUCK = condition("Progressing", "False", message="deadline exceeded")
QUOTA = condition("ReplicaFailure", "True", message="exceeded quota: tenant")


@tabled(
    ("conditions", "message"),
    [
        ([STUCK], "deadline exceeded"),
        ([STUCK, QUOTA], "exceeded quota: tenant"),
        ([condition("ReplicaFailure", "False"), condition("Progressing", "True")], ""),
    ],
)
def test_the_message_names_a_quota_before_a_stuck_rollout(
    conditions: list[Any], message: str
) -> None:
    assert read(status={"conditions": conditions}).message == message


def test_text_from_outside_is_cleaned() -> None:
    found = read(
        metadata={"labels": {EVIL: EVIL}},
        status={"conditions": [condition("ReplicaFailure", "True", message=EVIL)]},
    )
    seen = PodView(lambda _: None).read(
        msgspec.Raw(pod(meta={"name": EVIL}, phase="Pending", containerStatuses=waits(EVIL, EVIL)))
    )
    assert seen is not None
    assert seen.found is not None
    assert isinstance(seen.found.found, Pod)
    ((key, value),) = found.labels.items()
    texts = (key, value, found.message, seen.name, seen.found.found.reason)
    for text in (*texts, seen.found.found.message):
        assert not {"\x1b", "\u202e"} & set(text)


SET = WorkloadKind.STATEFUL_SET


@tabled(
    ("spec", "first", "one_by_one"),
    [
        ({}, 0, True),
        ({"ordinals": None, "podManagementPolicy": "OrderedReady"}, 0, True),
        ({"ordinals": {"start": 7}, "podManagementPolicy": "Parallel"}, 7, False),
    ],
)
def test_a_stateful_set_is_read_like_a_deployment_with_its_ordinals_and_its_order(
    spec: dict[str, Any], first: int, one_by_one: bool
) -> None:
    status = {"replicas": 2, "readyReplicas": 1, "observedGeneration": 2}
    found = read(SET, metadata={"generation": 3}, spec=spec, status=status)
    assert (found.replicas, found.current, found.ready) == (3, 2, 1)
    assert (found.generation, found.observed_generation) == (3, 2)
    assert (found.first_ordinal, found.one_by_one) == (first, one_by_one)


def test_a_stateful_set_with_an_impossible_first_ordinal_is_refused() -> None:
    found = workload(deployment(spec={"ordinals": {"start": -1}}), SET)
    assert isinstance(found, Refused)
    assert found.detail == "spec.ordinals.start is -1"


OWNER = {"kind": "ReplicaSet", "name": "research-85fcf8dd4d", "controller": True}
SET_OWNER = {"kind": "StatefulSet", "name": "research-v2", "controller": True}


def pod(*, meta: dict[str, Any] | None = None, node: str = "node-0", **status: Any) -> bytes:
    metadata = {
        "name": "research-85fcf8dd4d-abcde",
        "labels": {"pod-template-hash": "85fcf8dd4d"},
        "ownerReferences": [OWNER],
        "creationTimestamp": stamp(0),
    }
    found = {"metadata": metadata | (meta or {}), "spec": {"nodeName": node}, "status": status}
    return json.dumps(found).encode()


def record(raw: bytes) -> PodRecord:
    seen = PodView(lambda _: None).read(msgspec.Raw(raw))
    assert seen is not None
    assert seen.found is not None
    return seen.found


def read_pod(raw: bytes) -> Pod:
    found = record(raw).found
    assert isinstance(found, Pod), found
    return found


def waits(reason: str, message: str = "", restarts: int = 0) -> list[dict[str, Any]]:
    state = {"waiting": {"reason": reason, "message": message}}
    return [{"name": "agent", "restartCount": restarts, "state": state}]


def ended(code: int, reason: str = "") -> list[dict[str, Any]]:
    return [{"name": "a", "state": {"terminated": {"exitCode": code, "reason": reason}}}]


def running(*started: int, restarts: int = 0) -> list[dict[str, Any]]:
    return [
        {"name": "a", "restartCount": restarts, "state": {"running": {"startedAt": stamp(at)}}}
        for at in started
    ]


READY, UNREADY = condition("Ready", "True", 19), condition("Ready", "False", 40)
SCHEDULED = condition("PodScheduled", "True", 2)
LOOP = waits("CrashLoopBackOff", "back-off 5m0s", 7)


UNSCHEDULABLE = condition("PodScheduled", "False", 3, reason="Unschedulable")
NOT_READY = condition("Ready", "False", 5, reason="Unready", message="agent")
PULLING = waits("ContainerCreating") + waits("ImagePullBackOff", "none")
REFUSED = waits("RunContainerError", "no", 1)
DELETED = {"deletionTimestamp": stamp(90), "deletionGracePeriodSeconds": 30}
PHASES: list[tuple[dict[str, Any], PodPhase, str, int]] = [
    ({"node": ""}, PodPhase.UNSCHEDULED, "", 0),
    (
        {"node": "", "conditions": [UNSCHEDULABLE]},
        PodPhase.UNSCHEDULED,
        "Unschedulable",
        3,
    ),
    (
        {"conditions": [SCHEDULED], "containerStatuses": waits("ErrImagePull")},
        PodPhase.STARTING,
        "ErrImagePull",
        2,
    ),
    ({"containerStatuses": PULLING}, PodPhase.STARTING, "ImagePullBackOff", 0),
    (
        {"conditions": [SCHEDULED, UNREADY], "containerStatuses": LOOP},
        PodPhase.CRASHING,
        "CrashLoopBackOff",
        40,
    ),
    ({"initContainerStatuses": LOOP}, PodPhase.CRASHING, "CrashLoopBackOff", 0),
    ({"containerStatuses": REFUSED}, PodPhase.CRASHING, "RunContainerError", 0),
    (
        {"containerStatuses": ended(137, "OOMKilled")},
        PodPhase.CRASHING,
        "OOMKilled",
        0,
    ),
    (
        {"conditions": [READY], "containerStatuses": running(7, restarts=3)},
        PodPhase.READY,
        "",
        19,
    ),
    (
        {"phase": "Running", "conditions": [NOT_READY], "containerStatuses": running(7)},
        PodPhase.RUNNING,
        "Unready",
        7,
    ),
    (
        {"phase": "Failed", "reason": "Evicted", "message": "disk", "conditions": [UNREADY]},
        PodPhase.FAILED,
        "Evicted",
        40,
    ),
    ({"meta": DELETED, "conditions": [SCHEDULED, READY]}, PodPhase.TERMINATING, "", 60),
]


@tabled(("parts", "phase", "why", "since"), PHASES)
def test_a_pod_is_in_the_first_phase_that_fits_says_why_and_since_when(
    parts: dict[str, Any], phase: PodPhase, why: str, since: int
) -> None:
    found = read_pod(pod(**{"phase": "Pending", **parts}))
    assert (found.phase, found.reason) == (phase, why)
    assert found.since == CREATED + since


FINISHED_AT = "2026-03-02T12:00:00Z"
WAITING = {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 40s\x1b[2J"}}
KILLED = {"terminated": {"exitCode": 137, "reason": "OOMKilled", "finishedAt": FINISHED_AT}}
PULL = {"waiting": {"reason": "ImagePullBackOff", "message": "manifest unknown"}}
CREATING = {"waiting": {"reason": "ContainerCreating"}}
CONFIG = {"waiting": {"reason": "CreateContainerConfigError", "message": "no secret k"}}
RUNS = {"running": {"startedAt": FINISHED_AT}}
NONE_READY = [{"type": "Ready", "status": "False", "reason": "ContainersNotReady"}]


def of(name: str, *, kind: str = "containerStatuses", **parts: Any) -> dict[str, Any]:
    """The status of a pod with one container that is not ready."""
    told = {"name": name, "image": "a:1", "ready": False, "restartCount": 0, **parts}
    return {"conditions": NONE_READY, kind: [told]}


@tabled(
    ("told", "why"),
    [
        (
            of("agent", state=WAITING, lastState=KILLED, restartCount=3),
            "container agent has ended 3 times, last with exit 137 (OOMKilled): back-off 40s\ufffd",
        ),
        (of("agent", state=PULL), "the image a:1 of container agent cannot be pulled: manifest"),
        (of("agent", state=CONFIG), "container agent cannot start, CreateContainerConfigError: no"),
        (of("agent", state=KILLED), "container agent has ended with exit 137 (OOMKilled)"),
        (of("agent", state=RUNS), "container agent runs and is not ready yet"),
        (
            of("fetch", state=RUNS, kind="initContainerStatuses"),
            "container fetch still runs, and the others start when it has ended",
        ),
        (
            {"conditions": [{"type": "PodScheduled", "status": "False", "message": "0/3 nodes"}]},
            "no node takes it: 0/3 nodes",
        ),
        ({"conditions": [{"type": "Ready", "status": "True"}]}, ""),
        (of("agent", state=CREATING), "container agent is being created"),
        (
            of("mesh", state=RUNS, kind="initContainerStatuses")
            | of("agent", state=WAITING, lastState=KILLED, restartCount=1),
            "container agent has ended 1 time, last with exit 137 (OOMKilled)",
        ),
        (
            of("agent", state=KILLED) | {"phase": "Failed", "reason": "Evicted", "message": "low"},
            "it has failed, Evicted: low",
        ),
        ({"conditions": NONE_READY}, "it is not ready: ContainersNotReady"),
    ],
)
def test_a_pod_says_in_one_sentence_why_it_is_not_ready(told: dict[str, Any], why: str) -> None:
    mesh = {"name": "mesh", "image": "mesh:1", "restartPolicy": "Always"}
    init = [{"name": "fetch"}, mesh]
    raw = json.loads(pod(**told))
    raw["spec"] |= {"containers": [{"name": "agent"}], "initContainers": init}
    found = read_pod(json.dumps(raw).encode())
    assert found.message.startswith(why)
    assert bool(found.message) == bool(why)


def test_each_step_of_a_pod_has_its_time_and_restarts_in_the_past_change_none() -> None:
    found = read_pod(
        pod(
            phase="Running",
            conditions=[SCHEDULED, READY],
            containerStatuses=running(7, restarts=3) + running(11),
        )
    )
    steps = (found.created_at, found.scheduled_at, found.started_at, found.ready_at)
    assert steps == (CREATED, CREATED + 2, CREATED + 11, CREATED + 19)
    assert found.restarts == 3
    one_waits = running(7) + waits("ContainerCreating")
    assert read_pod(pod(phase="Pending", containerStatuses=one_waits)).started_at is None
    assert read_pod(pod(phase="Pending")).started_at is None


@tabled(
    ("text", "seconds"),
    [
        ("<time>", None),
        (None, None),
        ("1970-01-01T00:01:00.5Z", 60.5),
        ("1970-01-01T00:01:00", 60.0),
    ],
)
def test_text_that_is_no_time_is_none(text: str | None, seconds: float | None) -> None:
    assert unix_seconds(text) == seconds


def test_the_recorded_life_of_a_pod(recorded: Any) -> None:
    lines = recorded.answer("pod-life", "scale-0-1-0")["lines"]
    assert [read_pod(json.dumps(line["object"]).encode()).phase for line in lines] == [
        PodPhase.UNSCHEDULED,
        PodPhase.STARTING,
        PodPhase.READY,
        PodPhase.TERMINATING,
        PodPhase.TERMINATING,
        PodPhase.TERMINATING,
    ]


@tabled(
    ("meta", "owner"),
    [
        ({}, WorkloadName("research")),
        ({"ownerReferences": None}, None),
        ({"labels": None}, None),
        ({"ownerReferences": [OWNER | {"kind": "Job"}]}, None),
        ({"ownerReferences": [OWNER | {"name": "research-other"}]}, None),
        ({"ownerReferences": [OWNER | {"name": "-85fcf8dd4d"}]}, None),
        ({"ownerReferences": [SET_OWNER]}, WorkloadName("research-v2", SET)),
    ],
)
def test_a_pod_belongs_to_the_deployment_that_named_its_replica_set_or_to_its_set(
    meta: dict[str, Any], owner: WorkloadName | None
) -> None:
    assert record(pod(meta=meta, phase="Pending")).workload == owner


def test_a_pod_whose_requests_cannot_be_believed_counts_as_one_pod() -> None:
    found = json.loads(pod(phase="Pending"))
    found["spec"]["containers"] = [{"resources": {"requests": {"cpu": str(2**63)}}}]
    assert record(json.dumps(found).encode()).takes == Resources(replicas=1)


def test_pods_are_counted_by_phase_and_sorted_by_name() -> None:
    phases = [
        PodPhase.READY,
        PodPhase.STARTING,
        PodPhase.RUNNING,
        PodPhase.FAILED,
        PodPhase.CRASHING,
    ]
    pods = counted(Pod(name=f"p{9 - number}", phase=phase) for number, phase in enumerate(phases))
    by_phase = (pods.ready, pods.starting, pods.crashing, pods.unscheduled, pods.terminating)
    assert by_phase == (1, 2, 1, 0, 0)
    assert [pod.name for pod in pods.items] == ["p5", "p6", "p7", "p8", "p9"]
