"""A fixed list of 114 questions to a Kubernetes API, with stable words for what differs by run.

`ask` returns one list of steps per topic: {"step", "why", "request", "response"}. What differs
between runs (uid, resourceVersion, time stamps, addresses, names with random suffixes) is replaced
by stable words. A topic whose precondition is not met ends with a step "unmet"; the others go on.
The recorded answers come from a real Kubernetes 1.36.
"""

from __future__ import annotations

import functools
import http.client
import json
import re
import threading
import time
import urllib.parse
from collections.abc import Callable
from typing import Any

MERGE, STRATEGIC, JSONPATCH, APPLY = (
    f"application/{kind}"
    for kind in (
        "merge-patch+json",
        "strategic-merge-patch+json",
        "json-patch+json",
        "apply-patch+yaml",
    )
)
KEPT_HEADERS = (
    "content-type",
    "retry-after",
    "warning",
    "content-encoding",
    "cache-control",
    "location",
)


Step = dict[str, Any]


class Api:
    """One connection for each request."""

    def __init__(self, server: str, token: str | None) -> None:
        self.url, self.token = urllib.parse.urlsplit(server), token

    def connection(self, timeout: float) -> http.client.HTTPConnection:
        return http.client.HTTPConnection(self.url.hostname or "", self.url.port, timeout=timeout)

    def call(
        self,
        method: str,
        path: str,
        body: object = None,
        token: str | None = "",
        timeout: float = 30,
        **headers: str,
    ) -> tuple[dict[str, str], http.client.HTTPResponse, bytes]:
        sent = {"Accept": "application/json"}
        if body is not None:
            sent["Content-Type"] = "application/json"
        sent.update({name.replace("_", "-"): value for name, value in headers.items()})
        token = self.token if token == "" else token
        raw = body if isinstance(body, (bytes, type(None))) else json.dumps(body).encode()
        wire = self.connection(timeout)
        try:
            wire.request(
                method, path, raw, sent | ({"Authorization": f"Bearer {token}"} if token else {})
            )
            answer = wire.getresponse()
            return sent, answer, answer.read()
        finally:
            wire.close()


class Recorder:
    """Asks an Api the questions and keeps the answers by topic."""

    def __init__(self, api: Api) -> None:
        self.api = api
        self.topics: dict[str, list[Step]] = {}

    def get(self, path: str) -> dict[str, Any]:
        return json.loads(self.api.call("GET", path)[2])

    def step(  # noqa: PLR0917 - a question reads as a sentence: topic, name, why, method, path
        self,
        topic: str,
        name: str,
        why: str,
        method: str,
        path: str,
        body: object = None,
        *,
        lines: bool = False,
        **options: Any,
    ) -> tuple[int, Any]:
        sent, answer, raw = self.api.call(method, path, body, **options)
        got_headers = {
            key.lower(): value for key, value in answer.getheaders() if key.lower() in KEPT_HEADERS
        }
        response: dict[str, Any] = {"status": answer.status, "headers": got_headers}
        parsed: Any = None
        if lines:
            parsed = [json.loads(line) for line in raw.splitlines() if line.strip()]
            response["lines"] = parsed
        elif raw[:1] in b"{[":
            parsed = json.loads(raw)
            response["body"] = parsed
        else:
            response["text"] = raw.decode(errors="replace")
        shown = body.decode() if isinstance(body, bytes) else body
        self.topics.setdefault(topic, []).append(
            {
                "step": name,
                "why": why,
                "request": {"method": method, "path": path, "headers": sent}
                | ({} if body is None else {"body": shown}),
                "response": json.loads(json.dumps(response)),
            }
        )
        return answer.status, parsed


class Stable:
    """Replaces what differs between runs by numbered words, in order of appearance."""

    UID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
    TIME = re.compile(r"(?!2006-01-02)\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{6})?Z")
    POD = re.compile(r"\b(research|browser|greedy|giant|idle)-([0-9a-f]{8,10})(-[a-z0-9]{5})?\b")
    ADDRESS = re.compile(r"\b10\.\d+\.\d+\.\d+\b")
    DROPPED = ("managedFields",)

    def __init__(self) -> None:
        self.seen: dict[str, dict[str, str]] = {}

    def word(self, kind: str, value: str) -> str:
        known = self.seen.setdefault(kind, {})
        return known.setdefault(value, f"<{kind}-{len(known) + 1}>")

    def text(self, value: str) -> str:
        value = self.UID.sub(lambda found: self.word("uid", found[0]), value)
        value = self.TIME.sub(lambda found: "<microtime>" if found[1] else "<time>", value)
        value = self.POD.sub(
            lambda found: (
                f"{found[1]}-"
                + self.word("hash", found[2])
                + (f"-{self.word('suffix', found[3])}" if found[3] else "")
            ),
            value,
        )
        value = re.sub(r"\bkube-api-access-[a-z0-9]{5}\b", "kube-api-access-<suffix>", value)
        value = re.sub(
            r"(?<=\.)18[0-9a-f]{14}\b|(?<=\"research\.)[a-z0-9]{5}(?=\")|(?<=^research\.)[a-z0-9]{5}$",
            "<suffix>",
            value,
        )
        return self.ADDRESS.sub("<address>", value)

    def value(self, value: Any, key: str = "") -> Any:  # noqa: PLR0911 - one return per case
        if isinstance(value, dict):
            return {
                self.text(name): self.value(inner, name)
                for name, inner in value.items()
                if name not in self.DROPPED
            }
        if isinstance(value, list):
            return [self.value(inner, key) for inner in value]
        if key == "resourceVersion" and isinstance(value, str) and value not in ("", "0"):
            return "<version>"
        if key == "continue" and isinstance(value, str) and value:
            return "<continue>"
        if key == "token" and isinstance(value, str):
            return "<token>"
        if isinstance(value, str):
            value = re.sub(r'(\\?"resourceVersion\\?":\\?")\d+', r"\1<version>", value)
            value = re.sub(r"resourceVersion=\d+", "resourceVersion=<version>", value)
            value = re.sub(r"continue=[A-Za-z0-9_%=-]{20,}", "continue=<continue>", value)
            value = re.sub(r"current: \d+", "current: <version>", value)
            return self.text(value)
        return value


def deployment(
    name: str, namespace: str, replicas: int, cpu: str = "250m", memory: str = "512Mi"
) -> dict[str, Any]:
    labels = {"app": name, "agentdash.dev/pool": name}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "namespace": namespace, "labels": labels},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": {"app": name}},
            "template": {
                "metadata": {"labels": labels},
                "spec": {
                    "terminationGracePeriodSeconds": 5,
                    "containers": [
                        {
                            "name": "agent",
                            "image": "registry.example/agent:1",
                            "resources": {
                                "requests": {"cpu": cpu, "memory": memory},
                                "limits": {"cpu": cpu, "memory": memory},
                            },
                        }
                    ],
                },
            },
        },
    }


class UnmetError(Exception):
    """The precondition of the next question is not met: the topic ends here."""


def wait(what: str, check: Callable[[], Any], seconds: float = 60) -> Any:
    deadline = time.monotonic() + seconds
    while True:
        try:
            if found := check():
                return found
        except (KeyError, ValueError, OSError) as error:
            found = error
        if time.monotonic() > deadline:
            raise UnmetError(f"{what}: not within {seconds:.0f} s ({found!r})")
        time.sleep(0.02)


APPS, CORE, COORDINATION = (
    "/apis/apps/v1/namespaces/tenant-a",
    "/api/v1/namespaces/tenant-a",
    "/apis/coordination.k8s.io/v1/namespaces/tenant-a",
)
SCALE = f"{APPS}/deployments/research/scale"


def discovery(recorder: Recorder, step: Callable[..., Any]) -> None:
    """Discovery: what kubectl and clients ask first."""
    step("version", "server version", "GET", "/version")
    for path in ("/livez", "/readyz"):
        step(path.strip("/"), "plain text health", "GET", path)
    step("api-groups-old", "kubectl falls back to this", "GET", "/apis")
    step("core-resources", "verbs and short names of core/v1", "GET", "/api/v1")
    step("apps-resources", "verbs and short names of apps/v1", "GET", "/apis/apps/v1")
    step(
        "aggregated",
        "what a current kubectl asks first",
        "GET",
        "/apis",
        Accept="application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList",
    )
    step("unknown-path", "404 outside every group", "GET", "/apis/nothing.example/v1/things")


def tenants(recorder: Recorder, step: Callable[..., Any]) -> None:
    """Tenants: namespaces, quota, priority classes."""
    api = recorder.api
    step(
        "create-namespace",
        "201",
        "POST",
        "/api/v1/namespaces",
        {
            "apiVersion": "v1",
            "kind": "Namespace",
            "metadata": {"name": "tenant-a", "labels": {"agentdash.dev/tier": "growth"}},
        },
    )
    step(
        "create-namespace-again",
        "409 AlreadyExists",
        "POST",
        "/api/v1/namespaces",
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "tenant-a"}},
    )
    step(
        "create-quota",
        "ResourceQuota",
        "POST",
        f"{CORE}/resourcequotas",
        {
            "apiVersion": "v1",
            "kind": "ResourceQuota",
            "metadata": {"name": "tenant"},
            "spec": {"hard": {"pods": "8", "requests.cpu": "4", "requests.memory": "16Gi"}},
        },
    )
    step(
        "create-priority-class",
        "PriorityClass",
        "POST",
        "/apis/scheduling.k8s.io/v1/priorityclasses",
        {
            "apiVersion": "scheduling.k8s.io/v1",
            "kind": "PriorityClass",
            "metadata": {"name": "growth"},
            "value": 500,
            "description": "growth tier",
        },
    )
    wait(
        "namespace's service account",
        lambda: api.call("GET", f"{CORE}/serviceaccounts/default")[1].status == 200,
    )


def deployments(recorder: Recorder, step: Callable[..., Any]) -> None:
    """Deployments and scale."""
    get = recorder.get
    step(
        "create",
        "201 with defaults filled in",
        "POST",
        f"{APPS}/deployments",
        deployment("research", "tenant-a", 0),
    )
    step(
        "create-second",
        "another one",
        "POST",
        f"{APPS}/deployments",
        deployment("browser", "tenant-a", 0, "500m", "1Gi"),
    )
    wait(
        "deployment seen by its controller",
        lambda: get(f"{APPS}/deployments/research")["status"].get("observedGeneration"),
    )
    step("get", "with status", "GET", f"{APPS}/deployments/research")
    step(
        "list-selector",
        "label selector",
        "GET",
        f"{APPS}/deployments?labelSelector="
        + urllib.parse.quote("agentdash.dev/pool in (research,nothing)"),
    )
    step(
        "list-empty",
        "no match: an empty list, not an error",
        "GET",
        f"{APPS}/deployments?labelSelector=app%3Dnothing",
    )
    step(
        "list-bad-selector",
        "400",
        "GET",
        f"{APPS}/deployments?labelSelector=" + urllib.parse.quote("a in (b"),
    )
    _, page = step("list-page-1", "limit and continue", "GET", "/apis/apps/v1/deployments?limit=1")
    step(
        "list-page-2",
        "the rest",
        "GET",
        f"/apis/apps/v1/deployments?limit=1&continue={page['metadata']['continue']}",
    )
    step(
        "list-bad-continue",
        "400 for a broken continue token",
        "GET",
        "/apis/apps/v1/deployments?limit=1&continue=garbage",
    )
    step(
        "list-version-0",
        "resourceVersion=0 is served from the watch cache",
        "GET",
        f"{APPS}/deployments?resourceVersion=0",
    )
    step(
        "list-metadata",
        "PartialObjectMetadataList",
        "GET",
        f"{APPS}/deployments",
        Accept="application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1",
    )
    step(
        "list-table",
        "what kubectl get asks",
        "GET",
        f"{APPS}/deployments",
        Accept="application/json;as=Table;v=v1;g=meta.k8s.io,application/json",
    )
    step("get-missing", "404", "GET", f"{APPS}/deployments/nothing")
    step(
        "list-missing-namespace",
        "a namespace that does not exist lists empty",
        "GET",
        "/apis/apps/v1/namespaces/nothing/deployments",
    )


def scale(recorder: Recorder, step: Callable[..., Any]) -> None:
    _, current = step("get", "the scale subresource", "GET", SCALE)
    version = current["metadata"]["resourceVersion"]
    step(
        "patch-dry-run",
        "dryRun=All: validated, not stored",
        "PATCH",
        f"{SCALE}?dryRun=All",
        {"metadata": {"resourceVersion": version}, "spec": {"replicas": 3}},
        Content_Type=MERGE,
    )
    step(
        "patch",
        "merge patch with the observed version",
        "PATCH",
        f"{SCALE}?fieldManager=agentdash",
        {"metadata": {"resourceVersion": version}, "spec": {"replicas": 3}},
        Content_Type=MERGE,
    )
    step(
        "patch-stale",
        "409 Conflict: the version has moved on",
        "PATCH",
        SCALE,
        {"metadata": {"resourceVersion": version}, "spec": {"replicas": 4}},
        Content_Type=MERGE,
    )
    step(
        "patch-same",
        "no change asked",
        "PATCH",
        SCALE,
        {"spec": {"replicas": 3}},
        Content_Type=MERGE,
    )
    step("put-stale", "409 on replace", "PUT", SCALE, current)
    step(
        "patch-negative",
        "422 Invalid",
        "PATCH",
        SCALE,
        {"spec": {"replicas": -1}},
        Content_Type=MERGE,
    )
    step(
        "patch-string",
        "wrong type",
        "PATCH",
        SCALE,
        {"spec": {"replicas": "many"}},
        Content_Type=MERGE,
    )
    step(
        "patch-huge",
        "beyond int32",
        "PATCH",
        SCALE,
        {"spec": {"replicas": 2**31}},
        Content_Type=MERGE,
    )
    step(
        "patch-unknown-field-strict",
        "fieldValidation=Strict",
        "PATCH",
        f"{SCALE}?fieldValidation=Strict",
        {"spec": {"replicsa": 3}},
        Content_Type=MERGE,
    )
    step(
        "patch-unknown-field-warn",
        "a Warning header by default",
        "PATCH",
        SCALE,
        {"spec": {"replicsa": 3}},
        Content_Type=MERGE,
    )
    step(
        "patch-wrong-uid",
        "409: another object of that name",
        "PATCH",
        SCALE,
        {"metadata": {"uid": "00000000-0000-0000-0000-000000000000"}, "spec": {"replicas": 4}},
        Content_Type=MERGE,
    )
    step(
        "patch-json",
        "JSON patch with a test",
        "PATCH",
        SCALE,
        [
            {"op": "test", "path": "/spec/replicas", "value": 3},
            {"op": "replace", "path": "/spec/replicas", "value": 3},
        ],
        Content_Type=JSONPATCH,
    )
    step(
        "patch-json-test-fails",
        "422 when the test fails",
        "PATCH",
        SCALE,
        [{"op": "test", "path": "/spec/replicas", "value": 9}],
        Content_Type=JSONPATCH,
    )
    step(
        "patch-missing",
        "404",
        "PATCH",
        f"{APPS}/deployments/nothing/scale",
        {"spec": {"replicas": 1}},
        Content_Type=MERGE,
    )
    step(
        "patch-no-content-type",
        "415",
        "PATCH",
        SCALE,
        {"spec": {"replicas": 1}},
        Content_Type="application/json",
    )
    step("patch-garbage", "400", "PATCH", SCALE, b"{not json", Content_Type=MERGE)
    step(
        "apply",
        "server-side apply of replicas by another manager: 409 with the managers' names",
        "PATCH",
        f"{APPS}/deployments/research?fieldManager=other",
        {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": "research"},
            "spec": {"replicas": 7},
        },
        Content_Type=APPLY,
    )


def pods(recorder: Recorder, step: Callable[..., Any]) -> None:
    """Pods."""
    get = recorder.get

    def ready(wanted: int) -> bool:
        return get(f"{APPS}/deployments/research")["status"].get("readyReplicas", 0) == wanted

    step(
        "list-starting",
        "seen right after the scale-up (phases vary)",
        "GET",
        f"{CORE}/pods?labelSelector=app%3Dresearch&limit=1",
    )
    wait("three ready pods", lambda: ready(3))
    step(
        "list-ready",
        "with owner references, conditions and container states",
        "GET",
        f"{CORE}/pods?labelSelector=app%3Dresearch",
    )
    step(
        "list-table",
        "kubectl get pods",
        "GET",
        f"{CORE}/pods",
        Accept="application/json;as=Table;v=v1;g=meta.k8s.io,application/json",
    )
    step(
        "list-field-selector",
        "by node or phase",
        "GET",
        f"{CORE}/pods?fieldSelector=status.phase%3DRunning&limit=1",
    )
    step(
        "list-bad-field-selector",
        "400: not a selectable field",
        "GET",
        f"{CORE}/pods?fieldSelector=spec.nonsense%3D1",
    )
    step(
        "replicasets",
        "the layer between",
        "GET",
        f"{APPS}/replicasets?labelSelector=app%3Dresearch",
    )
    pods = [
        pod["metadata"]["name"] for pod in get(f"{CORE}/pods?labelSelector=app%3Dresearch")["items"]
    ]
    step(
        "deletion-cost",
        "annotate the idle pod so that it goes first",
        "PATCH",
        f"{CORE}/pods/{pods[1]}",
        {"metadata": {"annotations": {"controller.kubernetes.io/pod-deletion-cost": "-100"}}},
        Content_Type=MERGE,
    )
    step(
        "scale-down-by-one", "3 -> 2", "PATCH", SCALE, {"spec": {"replicas": 2}}, Content_Type=MERGE
    )
    wait(
        "two pods left", lambda: len(get(f"{CORE}/pods?labelSelector=app%3Dresearch")["items"]) == 2
    )
    left = [
        pod["metadata"]["name"] for pod in get(f"{CORE}/pods?labelSelector=app%3Dresearch")["items"]
    ]
    recorder.topics["pods"].append(
        {
            "step": "deletion-cost-outcome",
            "why": "which pod the ReplicaSet chose",
            "observed": {
                "annotated_pod_was_the_one_deleted": pods[1] not in left,
                "others_kept": sorted(set(pods) - {pods[1]}) == sorted(left),
            },
        }
    )
    step(
        "delete-with-precondition-wrong-uid",
        "409: not the pod meant",
        "DELETE",
        f"{CORE}/pods/{left[0]}",
        {
            "apiVersion": "v1",
            "kind": "DeleteOptions",
            "preconditions": {"uid": "00000000-0000-0000-0000-000000000000"},
        },
    )
    step(
        "create-pdb",
        "PodDisruptionBudget",
        "POST",
        "/apis/policy/v1/namespaces/tenant-a/poddisruptionbudgets",
        {
            "apiVersion": "policy/v1",
            "kind": "PodDisruptionBudget",
            "metadata": {"name": "research"},
            "spec": {"minAvailable": 2, "selector": {"matchLabels": {"app": "research"}}},
        },
    )
    wait(
        "disruption budget seen by its controller",
        lambda: (
            get("/apis/policy/v1/namespaces/tenant-a/poddisruptionbudgets/research")
            .get("status", {})
            .get("observedGeneration")
        ),
    )
    eviction = {
        "apiVersion": "policy/v1",
        "kind": "Eviction",
        "metadata": {"name": left[0], "namespace": "tenant-a"},
    }
    step(
        "evict-blocked",
        "429 with the budget's name",
        "POST",
        f"{CORE}/pods/{left[0]}/eviction",
        eviction,
    )
    step(
        "delete-pdb",
        "200",
        "DELETE",
        "/apis/policy/v1/namespaces/tenant-a/poddisruptionbudgets/research",
    )
    step("evict", "201", "POST", f"{CORE}/pods/{left[0]}/eviction", eviction)
    step(
        "evict-missing",
        "404",
        "POST",
        f"{CORE}/pods/nothing/eviction",
        eviction | {"metadata": {"name": "nothing", "namespace": "tenant-a"}},
    )
    step("get-terminating", "deletionTimestamp and grace period", "GET", f"{CORE}/pods/{left[0]}")


def limits(recorder: Recorder, step: Callable[..., Any]) -> None:
    """Quota and scheduling."""
    api, get = recorder.api, recorder.get
    step(
        "scale-beyond-quota",
        "accepted: the quota bites at the pods",
        "PATCH",
        SCALE,
        {"spec": {"replicas": 12}},
        Content_Type=MERGE,
    )
    wait(
        "ReplicaFailure condition",
        lambda: any(
            item["type"] == "ReplicaFailure"
            for item in get(f"{APPS}/deployments/research")["status"].get("conditions", ())
        ),
    )
    step(
        "deployment-replica-failure",
        "condition ReplicaFailure with the quota's words",
        "GET",
        f"{APPS}/deployments/research",
    )
    step("quota-used", "status.used", "GET", f"{CORE}/resourcequotas/tenant")
    step(
        "pod-over-quota",
        "403 Forbidden: exceeded quota",
        "POST",
        f"{CORE}/pods",
        {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": "one-more"},
            "spec": {
                "containers": [
                    {
                        "name": "agent",
                        "image": "registry.example/agent:1",
                        "resources": {"requests": {"cpu": "4", "memory": "1Gi"}},
                    }
                ]
            },
        },
    )
    step(
        "events-failed-create",
        "the ReplicaSet's event",
        "GET",
        f"{CORE}/events?fieldSelector=reason%3DFailedCreate&limit=1",
    )
    step("scale-back", "12 -> 1", "PATCH", SCALE, {"spec": {"replicas": 1}}, Content_Type=MERGE)
    step(
        "create-namespace-b",
        "a tenant without quota",
        "POST",
        "/api/v1/namespaces",
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "tenant-b"}},
    )
    wait(
        "namespace's service account",
        lambda: (
            api.call("GET", "/api/v1/namespaces/tenant-b/serviceaccounts/default")[1].status == 200
        ),
    )
    api.call(
        "POST",
        "/apis/apps/v1/namespaces/tenant-b/deployments",
        deployment("giant", "tenant-b", 1, "64", "512Gi"),
    )

    def unscheduled() -> list[Any]:
        items = get("/api/v1/namespaces/tenant-b/pods?labelSelector=app%3Dgiant")["items"]
        return [pod for pod in items if pod["status"].get("conditions")]

    wait("condition of the pod that fits nowhere", unscheduled)
    step(
        "pod-unschedulable",
        "PodScheduled=False with the scheduler's words",
        "GET",
        "/api/v1/namespaces/tenant-b/pods?labelSelector=app%3Dgiant",
    )
    wait(
        "FailedScheduling event",
        lambda: get("/api/v1/namespaces/tenant-b/events?fieldSelector=reason%3DFailedScheduling")[
            "items"
        ],
    )
    step(
        "events-failed-scheduling",
        "the scheduler's event",
        "GET",
        "/api/v1/namespaces/tenant-b/events?fieldSelector=reason%3DFailedScheduling&limit=1",
    )
    step("nodes", "capacity, allocatable, conditions", "GET", "/api/v1/nodes?limit=1")
    step(
        "cordon",
        "spec.unschedulable",
        "PATCH",
        "/api/v1/nodes/node-0",
        {"spec": {"unschedulable": True}},
        Content_Type=STRATEGIC,
    )
    step(
        "uncordon",
        "and back",
        "PATCH",
        "/api/v1/nodes/node-0",
        {"spec": {"unschedulable": None}},
        Content_Type=STRATEGIC,
    )


def leases(recorder: Recorder, step: Callable[..., Any]) -> None:
    """Leases and events."""
    get = recorder.get
    lease = {
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "metadata": {"name": "agentdash"},
        "spec": {
            "holderIdentity": "one",
            "leaseDurationSeconds": 15,
            "acquireTime": "2026-01-01T00:00:00.000000Z",
            "renewTime": "2026-01-01T00:00:00.000000Z",
            "leaseTransitions": 0,
        },
    }
    step("get-missing", "404 before the first", "GET", f"{COORDINATION}/leases/agentdash")
    _, held = step("create", "201", "POST", f"{COORDINATION}/leases", lease)
    step("create-again", "409 AlreadyExists", "POST", f"{COORDINATION}/leases", lease)
    renewed = json.loads(json.dumps(held))
    renewed["spec"]["renewTime"] = "2026-01-01T00:00:02.000000Z"
    step("renew", "PUT with the version read", "PUT", f"{COORDINATION}/leases/agentdash", renewed)
    renewed["spec"]["holderIdentity"] = "two"
    step("renew-stale", "409 Conflict", "PUT", f"{COORDINATION}/leases/agentdash", renewed)
    step(
        "renew-without-version",
        "PUT without resourceVersion",
        "PUT",
        f"{COORDINATION}/leases/agentdash",
        lease,
    )
    bad = get(f"{COORDINATION}/leases/agentdash")
    bad["spec"]["leaseDurationSeconds"] = 0
    step("invalid", "422", "PUT", f"{COORDINATION}/leases/agentdash", bad)
    bad["spec"]["leaseDurationSeconds"], bad["spec"]["renewTime"] = 15, "yesterday"
    step("bad-time", "400", "PUT", f"{COORDINATION}/leases/agentdash", bad)
    bad["spec"]["renewTime"] = "2026-01-01T00:00:02Z"
    step(
        "whole-second-time",
        "is a time without fraction a MicroTime?",
        "PUT",
        f"{COORDINATION}/leases/agentdash",
        bad,
    )
    step("delete", "200", "DELETE", f"{COORDINATION}/leases/agentdash")


def events(recorder: Recorder, step: Callable[..., Any]) -> None:
    """Events in the current form."""
    get = recorder.get
    target = get(f"{APPS}/deployments/research")
    step(
        "create-v1",
        "events.k8s.io/v1, what current clients write",
        "POST",
        "/apis/events.k8s.io/v1/namespaces/tenant-a/events",
        {
            "apiVersion": "events.k8s.io/v1",
            "kind": "Event",
            "metadata": {"name": "research.17f0c0ffee"},
            "eventTime": "2026-01-01T00:00:00.000000Z",
            "reportingController": "agentdash.dev/controller",
            "reportingInstance": "one",
            "action": "Scale",
            "reason": "ScaledUp",
            "type": "Normal",
            "regarding": {
                "apiVersion": "apps/v1",
                "kind": "Deployment",
                "name": "research",
                "namespace": "tenant-a",
                "uid": target["metadata"]["uid"],
            },
            "note": "scaled from 1 to 3: 12 tasks waiting",
        },
    )
    step(
        "create-v1-incomplete",
        "422 names what is missing",
        "POST",
        "/apis/events.k8s.io/v1/namespaces/tenant-a/events",
        {
            "apiVersion": "events.k8s.io/v1",
            "kind": "Event",
            "metadata": {"name": "research.17f0c0ffef"},
            "note": "x" * 10,
        },
    )
    step(
        "create-v1-long-note",
        "422 beyond 1 kB",
        "POST",
        "/apis/events.k8s.io/v1/namespaces/tenant-a/events",
        {
            "apiVersion": "events.k8s.io/v1",
            "kind": "Event",
            "metadata": {"name": "research.17f0c0fff0"},
            "eventTime": "2026-01-01T00:00:00.000000Z",
            "reportingController": "agentdash.dev/controller",
            "reportingInstance": "one",
            "action": "Scale",
            "reason": "ScaledUp",
            "type": "Normal",
            "regarding": {"kind": "Deployment", "name": "research", "namespace": "tenant-a"},
            "note": "x" * 1025,
        },
    )
    step(
        "generate-name-with-dot",
        "422: a generateName may not end in a dot",
        "POST",
        "/apis/events.k8s.io/v1/namespaces/tenant-a/events",
        {
            "apiVersion": "events.k8s.io/v1",
            "kind": "Event",
            "metadata": {"generateName": "research."},
            "note": "x",
        },
    )
    series = {"series": {"count": 2, "lastObservedTime": "2026-01-01T00:00:30.000000Z"}}
    step(
        "patch-series",
        "a repeated event is counted, not written again",
        "PATCH",
        "/apis/events.k8s.io/v1/namespaces/tenant-a/events/research.17f0c0ffee",
        series,
        Content_Type=MERGE,
    )
    step(
        "list-core",
        "the same seen through core/v1",
        "GET",
        f"{CORE}/events?fieldSelector=reason%3DScaledUp",
    )


def access(recorder: Recorder, step: Callable[..., Any]) -> None:
    """Rights of service accounts."""
    api = recorder.api
    for kind, body in (
        (
            "serviceaccounts",
            {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "watcher"}},
        ),
    ):
        api.call("POST", f"{CORE}/{kind}", body)
    rbac = "/apis/rbac.authorization.k8s.io/v1/namespaces/tenant-a"
    api.call(
        "POST",
        f"{rbac}/roles",
        {
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "Role",
            "metadata": {"name": "watcher"},
            "rules": [
                {
                    "apiGroups": ["apps"],
                    "resources": ["deployments"],
                    "verbs": ["get", "list", "watch"],
                }
            ],
        },
    )
    api.call(
        "POST",
        f"{rbac}/rolebindings",
        {
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "RoleBinding",
            "metadata": {"name": "watcher"},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "watcher"},
            "subjects": [{"kind": "ServiceAccount", "name": "watcher", "namespace": "tenant-a"}],
        },
    )
    _, issued = step(
        "token",
        "TokenRequest",
        "POST",
        f"{CORE}/serviceaccounts/watcher/token",
        {
            "apiVersion": "authentication.k8s.io/v1",
            "kind": "TokenRequest",
            "spec": {"expirationSeconds": 600},
        },
    )
    token = issued["status"]["token"]
    wait(
        "role in force",
        lambda: api.call("GET", f"{APPS}/deployments?limit=1", token=token)[1].status == 200,
    )
    step(
        "forbidden-scale",
        "403 with user, verb, resource",
        "PATCH",
        SCALE,
        {"spec": {"replicas": 2}},
        token=token,
        Content_Type=MERGE,
    )
    step(
        "forbidden-list",
        "403 on a list in another namespace",
        "GET",
        "/apis/apps/v1/namespaces/tenant-b/deployments",
        token=token,
    )
    step(
        "forbidden-watch",
        "403 on a watch",
        "GET",
        f"{CORE}/pods?watch=1&timeoutSeconds=2",
        token=token,
    )
    step("no-token", "anonymous", "GET", f"{APPS}/deployments", token=None)
    step("bad-token", "401", "GET", f"{APPS}/deployments", token="nonsense")

    def review(verb: str, resource: str, sub: str = "") -> dict[str, Any]:
        attributes = {
            "namespace": "tenant-a",
            "verb": verb,
            "group": "apps",
            "resource": resource,
        }
        return {
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SelfSubjectAccessReview",
            "spec": {"resourceAttributes": attributes | ({"subresource": sub} if sub else {})},
        }

    step(
        "may-i-list",
        "SelfSubjectAccessReview: allowed",
        "POST",
        "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews",
        review("list", "deployments"),
        token=token,
    )
    step(
        "may-i-scale",
        "SelfSubjectAccessReview: denied",
        "POST",
        "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews",
        review("patch", "deployments", "scale"),
        token=token,
    )


def watch(recorder: Recorder, step: Callable[..., Any]) -> None:
    """Watches."""
    api, get = recorder.api, recorder.get
    start = get(f"{APPS}/deployments")["metadata"]["resourceVersion"]

    def change_later() -> None:
        time.sleep(0.5)
        api.call(
            "PATCH",
            f"{APPS}/deployments/browser/scale",
            {"spec": {"replicas": 1}},
            Content_Type=MERGE,
        )

    changer = threading.Thread(target=change_later)
    changer.start()
    step(
        "changes",
        "from a version on: MODIFIED ... until timeoutSeconds",
        "GET",
        f"{APPS}/deployments?watch=1&resourceVersion={start}&allowWatchBookmarks=true&timeoutSeconds=4",
        lines=True,
    )
    changer.join()
    step(
        "initial-events",
        "a streaming list: ADDED ..., then the bookmark that ends it",
        "GET",
        f"{APPS}/deployments?watch=1&sendInitialEvents=true&allowWatchBookmarks=true&resourceVersionMatch=NotOlderThan&timeoutSeconds=2",
        lines=True,
    )
    step(
        "without-version",
        "no resourceVersion: synthetic ADDED first",
        "GET",
        f"{APPS}/deployments?watch=1&timeoutSeconds=1",
        lines=True,
    )
    step(
        "future-version",
        "a version that does not exist yet",
        "GET",
        f"{APPS}/deployments?watch=1&resourceVersion=999999999&timeoutSeconds=2",
        lines=True,
    )
    step(
        "list-future-version",
        "504 Timeout with a cause",
        "GET",
        f"{APPS}/deployments?resourceVersion=999999999&resourceVersionMatch=NotOlderThan",
    )
    step(
        "bad-version",
        "400",
        "GET",
        f"{APPS}/deployments?watch=1&resourceVersion=abc&timeoutSeconds=2",
    )


def pod_life(recorder: Recorder, step: Callable[..., Any]) -> None:
    """The life of one pod, seen by a watch."""
    api, get = recorder.api, recorder.get
    api.call("POST", f"{APPS}/deployments", deployment("idle", "tenant-a", 0))
    start = get(f"{CORE}/pods")["metadata"]["resourceVersion"]

    def live_and_die() -> None:
        time.sleep(0.5)
        api.call(
            "PATCH", f"{APPS}/deployments/idle/scale", {"spec": {"replicas": 1}}, Content_Type=MERGE
        )
        wait(
            "idle pod ready",
            lambda: get(f"{APPS}/deployments/idle")["status"].get("readyReplicas") == 1,
        )
        api.call(
            "PATCH", f"{APPS}/deployments/idle/scale", {"spec": {"replicas": 0}}, Content_Type=MERGE
        )

    changer = threading.Thread(target=live_and_die)
    changer.start()
    step(
        "scale-0-1-0",
        "ADDED unscheduled, scheduled, Running and Ready, marked for deletion, DELETED",
        "GET",
        f"{CORE}/pods?watch=1&labelSelector=app%3Didle&resourceVersion={start}&timeoutSeconds=5",
        lines=True,
    )
    changer.join()
    step("events", "what the controllers said of it", "GET", f"{CORE}/events?limit=500")
    recorder.topics["pod-life"][-1]["response"]["body"]["items"] = [
        item
        for item in recorder.topics["pod-life"][-1]["response"]["body"]["items"]
        if item["involvedObject"]["name"].startswith("idle")
    ]


def autoscaling(recorder: Recorder, step: Callable[..., Any]) -> None:
    """Autoscaler objects."""
    get = recorder.get
    hpas = "/apis/autoscaling/v2/namespaces/tenant-a/horizontalpodautoscalers"
    step(
        "create-hpa",
        "defaults filled in",
        "POST",
        hpas,
        {
            "apiVersion": "autoscaling/v2",
            "kind": "HorizontalPodAutoscaler",
            "metadata": {"name": "browser"},
            "spec": {
                "scaleTargetRef": {
                    "apiVersion": "apps/v1",
                    "kind": "Deployment",
                    "name": "browser",
                },
                "minReplicas": 1,
                "maxReplicas": 5,
                "metrics": [
                    {
                        "type": "External",
                        "external": {
                            "metric": {"name": "queue_lag"},
                            "target": {"type": "AverageValue", "averageValue": "5"},
                        },
                    }
                ],
                "behavior": {
                    "scaleDown": {
                        "stabilizationWindowSeconds": 300,
                        "policies": [{"type": "Pods", "value": 5, "periodSeconds": 120}],
                    }
                },
            },
        },
    )
    wait("HPA conditions", lambda: get(f"{hpas}/browser").get("status", {}).get("conditions"), 45)
    step("get-hpa", "conditions when the metric cannot be read", "GET", f"{hpas}/browser")
    step(
        "hpa-min-zero",
        "minReplicas 0: refused without the feature gate?",
        "POST",
        hpas,
        {
            "apiVersion": "autoscaling/v2",
            "kind": "HorizontalPodAutoscaler",
            "metadata": {"name": "zero"},
            "spec": {
                "scaleTargetRef": {
                    "apiVersion": "apps/v1",
                    "kind": "Deployment",
                    "name": "browser",
                },
                "minReplicas": 0,
                "maxReplicas": 5,
                "metrics": [
                    {
                        "type": "External",
                        "external": {
                            "metric": {"name": "queue_lag"},
                            "target": {"type": "AverageValue", "averageValue": "5"},
                        },
                    }
                ],
            },
        },
    )
    step("delete-hpa", "200", "DELETE", f"{hpas}/browser")


def expired(recorder: Recorder, step: Callable[..., Any]) -> None:
    """Versions that were forgotten (config maps are served without a watch cache)."""
    api = recorder.api
    for number in range(3):
        api.call(
            "POST",
            f"{CORE}/configmaps",
            {
                "apiVersion": "v1",
                "kind": "ConfigMap",
                "metadata": {"name": f"page-{number}"},
                "data": {},
            },
        )
    old = json.loads(api.call("GET", f"{CORE}/configmaps?limit=1")[2])["metadata"]

    def compacted() -> bool:
        api.call(
            "PATCH",
            f"{CORE}/configmaps/page-0",
            {"data": {"now": str(time.time())}},
            Content_Type=MERGE,
        )
        return (
            b'"ERROR"'
            in api.call(
                "GET",
                f"{CORE}/configmaps?watch=1&resourceVersion={old['resourceVersion']}&timeoutSeconds=1",
            )[2]
        )

    wait("compaction", compacted, 240)
    step(
        "watch",
        "410 Expired: an ERROR line inside a 200",
        "GET",
        f"{CORE}/configmaps?watch=1&resourceVersion={old['resourceVersion']}&timeoutSeconds=2",
        lines=True,
    )
    step(
        "continue",
        "410 for the rest of an old list, with a token that goes on inconsistently",
        "GET",
        f"{CORE}/configmaps?limit=1&continue={old['continue']}",
    )


def deletion(recorder: Recorder, step: Callable[..., Any]) -> None:
    """Deletions."""
    step(
        "delete-deployment",
        "background propagation",
        "DELETE",
        f"{APPS}/deployments/browser",
        {"apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": "Background"},
    )
    step("delete-again", "404", "DELETE", f"{APPS}/deployments/browser")
    step(
        "delete-foreground",
        "the object stays, marked, until its children are gone",
        "DELETE",
        f"{APPS}/deployments/research",
        {"apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": "Foreground"},
    )
    step("get-foreground", "deletionTimestamp and finalizer", "GET", f"{APPS}/deployments/research")


TOPICS = (
    discovery,
    tenants,
    deployments,
    scale,
    pods,
    limits,
    leases,
    events,
    access,
    watch,
    pod_life,
    autoscaling,
    expired,
    deletion,
)


def ask(server: str, token: str | None = None) -> dict[str, list[Step]]:
    """Ask the API at `server` every question; blocks for about twenty seconds."""
    recorder = Recorder(Api(server, token))
    stable = Stable()
    answers: dict[str, list[Step]] = {}
    for question in TOPICS:
        topic = question.__name__.replace("_", "-")
        try:
            question(recorder, functools.partial(recorder.step, topic))
        except (
            UnmetError,
            LookupError,
            TypeError,
            ValueError,
            OSError,
            http.client.HTTPException,
        ) as error:
            recorder.topics.setdefault(topic, []).append({"step": "unmet", "why": repr(error)})
        answers[topic] = stable.value(recorder.topics[topic])
    return answers
