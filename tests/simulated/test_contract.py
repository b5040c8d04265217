"""What our client asks is answered as by a real Kubernetes 1.36, whose answers are recorded: equal
in all that the client reads, and without a field that the real answer does not have.

Not asked here: questions of kubectl and of other clients (PUT, JSON patch, apply, tables, eviction,
discovery, HPA objects, validation). Our PATCH of a Lease is compared with the recorded PUT.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from fnmatch import fnmatch
from pathlib import Path
from typing import Any, Final

import aiohttp
import msgspec
import pytest

from agentdash.demo.cluster.api import MERGE_PATCH
from controller.kube import wire
from fakes.cluster import ColdStart, SimCluster
from fakes.rbac import Rbac
from support.table import tabled

RECORDED: Final = Path(__file__).parent.parent / "fixtures" / "kubernetes"
TOKEN: Final = "contract-admin"
APPS: Final = "/apis/apps/v1/namespaces/tenant-a"
CORE: Final = "/api/v1/namespaces/tenant-a"
Json = Any

STEPS: Final[dict[str, Json]] = {
    f"{path.stem}/{step['step']}": step
    for path in sorted(RECORDED.glob("*.json"))
    for step in json.loads(path.read_text("utf-8"))
}
READ: Final[dict[str, type[wire.WireObject]]] = {
    "Deployment": wire.WireDeployment,
    "Pod": wire.WirePod,
    "ResourceQuota": wire.WireQuota,
    "Node": wire.WireNode,
    "Event": wire.WireEvent,
    "Scale": wire.WireScale,
    "Namespace": wire.WireIdentified,
}
"""How the client reads each kind; all of any other kind is compared."""
MANAGED: Final = "managedFields"
"""The recording leaves them out."""
RACING: Final = "controllers are at work while the question is asked"
NOT_COMPARED: Final = {
    "scale/patch-same": ("status", RACING),
    "pods/list-starting": ("status", RACING),
    "pods/scale-down-by-one": ("status", RACING),
    "limits/deployment-replica-failure": ("status.*eplicas", RACING),
    "watch/changes": ("status", RACING),
    "watch/without-version": ("status", RACING),
    "limits/nodes": ("metadata.labels", "its nodes are of another kind"),
}
# What differs between two equal clusters, as the recording has it.
NEUTRAL: Final = (
    (r"<(uid|hash|suffix)-\d+>", r"<\1>"),
    (r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", "<uid>"),
    (r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{6})?Z|<microtime>", "<time>"),
    (r'"resourceVersion": ?"\d+"', '"resourceVersion": "<version>"'),
    (r'"continue": ?"[^"]+"', '"continue": "<continue>"'),
    (r'"token": ?"[^"]+"', '"token": "<token>"'),
    (r'"pod-template-hash": ?"[^"]+"', '"pod-template-hash": "<hash>"'),
    (r"\b(research|browser|giant|idle)-[0-9a-f]{8,10}\b", r"\1-<hash>"),
    (r"(?<=<hash>)-[a-z0-9]{5}\b", "-<suffix>"),
    (r"\.18[0-9a-f]{14}\b", ".<suffix>"),
    (r"\bnode-\d+\b", "<node>"),
    (r"\b10\.\d+\.\d+\.\d+\b", "<address>"),
    (r"\bkwok\b", "<kind of node>"),
)


def neutral(value: Json) -> Json:
    text = json.dumps(value)
    for pattern, word in NEUTRAL:
        text = re.sub(pattern, word, text)
    return json.loads(text)


class Client:
    """Asks recorded questions, with the names and versions of this run."""

    def __init__(self, url: str, session: aiohttp.ClientSession) -> None:
        self._url, self._session = url, session
        self.answers: dict[str, Json] = {}

    async def ask(self, key: str, *, token: str = TOKEN, **names: str) -> Json:
        """Ask it as recorded; `names` stand for `<version>`, `<continue>` and a pod."""
        asked = STEPS[key]["request"]
        path, body = asked["path"], json.dumps(asked.get("body"))
        body = body.replace("<microtime>", "2026-01-01T00:00:00.000000Z")
        for name in ("version", "continue"):
            path = path.replace(f"<{name}>", names.get(name, ""))
            body = body.replace(f"<{name}>", names.get(name, ""))
        path = re.sub(r"research-<hash-1>-<suffix-\d>", names.get("pod", ""), path)
        path = path.replace("configmaps", "pods")  # the client asks for no config maps
        path = re.sub("timeoutSeconds=25", "timeoutSeconds=5", path)
        found = await self.call(asked["method"], path, json.loads(body), token=token)
        self.answers[key] = found
        return found.get("body", found.get("lines"))

    async def call(self, method: str, path: str, body: Json = None, token: str = TOKEN) -> Json:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        if method == "PATCH":
            headers["Content-Type"] = MERGE_PATCH
        asked = self._session.request(
            method, self._url + path, json=body if method != "GET" else None, headers=headers
        )
        async with asked as answer:
            text, shown = await answer.text(), {"status": answer.status}
        if "watch=1" in path and answer.status == 200:
            return shown | {"lines": [json.loads(line) for line in text.splitlines()]}
        return shown | {"body": json.loads(text)}

    async def until(self, path: str, met: Callable[[Json], object]) -> Json:
        async with asyncio.timeout(20):
            while not met(found := (await self.call("GET", path))["body"]):
                await asyncio.sleep(0.02)
        return found


async def tenants_and_sizes(client: Client) -> None:
    for step in ("create-namespace", "create-namespace-again", "create-quota"):
        await client.ask(f"tenants/{step}")
    await client.ask("discovery/version")
    for step in ("create", "create-second"):
        await client.ask(f"deployments/{step}")
    for name in ("research", "browser"):
        await client.until(f"{APPS}/deployments/{name}", lambda found: has(found, "Available"))
    page = {"continue": ""}
    for step in (
        *("get", "list-selector", "list-empty", "list-page-1", "list-page-2", "get-missing"),
        *("list-missing-namespace",),
    ):
        found = await client.ask(f"deployments/{step}", **page)
        page = {"continue": found["metadata"].get("continue", "")}
    version = client.answers["deployments/get"]["body"]["metadata"]["resourceVersion"]
    for step in ("patch", "patch-stale", "patch-same", "patch-missing"):
        await client.ask(f"scale/{step}", version=version)
    await client.ask("pods/list-starting")


async def pods_and_limits(client: Client) -> None:
    path = f"{CORE}/pods?labelSelector=app%3Dresearch"
    research = f"{APPS}/deployments/research"
    await client.until(research, lambda found: found["status"].get("readyReplicas") == 3)
    names = [each["metadata"]["name"] for each in (await client.ask("pods/list-ready"))["items"]]
    await client.ask("pods/deletion-cost", pod=names[1])
    await client.ask("pods/scale-down-by-one")
    left = await client.until(path, lambda found: len(found["items"]) == 2)
    kept = [each["metadata"]["name"] for each in left["items"]]
    observed = {
        "annotated_pod_was_the_one_deleted": names[1] not in kept,
        "others_kept": kept == [name for name in names if name != names[1]],
    }
    client.answers["pods/deletion-cost-outcome"] = {"body": observed}
    await client.ask("limits/scale-beyond-quota")
    await client.until(research, lambda found: has(found, "ReplicaFailure"))
    for step in ("deployment-replica-failure", "quota-used", "events-failed-create", "scale-back"):
        await client.ask(f"limits/{step}")
    await client.ask("limits/create-namespace-b")
    giant = json.dumps(STEPS["deployments/create"]["request"]["body"])
    for before, after in (
        ("research", "giant"),
        ("tenant-a", "tenant-b"),
        ("250m", "64"),
        ("512Mi", "512Gi"),
        ('"replicas": 0', '"replicas": 1'),
    ):
        giant = giant.replace(before, after)
    b = "/apis/apps/v1/namespaces/tenant-b/deployments"
    await client.call("POST", b, json.loads(giant))
    events = "/api/v1/namespaces/tenant-b/events?fieldSelector=reason%3DFailedScheduling"
    await client.until(events, lambda found: found["items"])
    for step in ("pod-unschedulable", "events-failed-scheduling", "nodes"):
        await client.ask(f"limits/{step}")


async def leases_and_events(client: Client) -> None:
    for step in ("get-missing", "create", "create-again"):
        held = await client.ask(f"leases/{step}")
    lease = "/apis/coordination.k8s.io/v1/namespaces/tenant-a/leases/agentdash"
    held = (await client.call("GET", lease))["body"]["metadata"]["resourceVersion"]
    for step, holder in (("renew", "one"), ("renew-stale", "two")):
        spec = {"holderIdentity": holder, "renewTime": "2026-01-01T00:00:02.000000Z"}
        body = {"metadata": {"resourceVersion": held}, "spec": spec}
        client.answers[f"leases/{step}"] = await client.call("PATCH", lease, body)
    await client.ask("leases/delete")
    for step in ("create-v1", "patch-series", "list-core"):
        await client.ask(f"events/{step}")


async def rights(client: Client, rbac: Rbac) -> None:
    rule = {"apiGroups": ["apps"], "resources": ["deployments"], "verbs": ["get", "list", "watch"]}
    name = {"metadata": {"name": "watcher"}}
    rbac.create("roles", "tenant-a", name | {"rules": [rule]})
    subject = {"kind": "ServiceAccount", "name": "watcher", "namespace": "tenant-a"}
    role = {"kind": "Role", "name": "watcher"}
    rbac.create("rolebindings", "tenant-a", name | {"roleRef": role, "subjects": [subject]})
    token = rbac.account("tenant-a", "watcher")
    for step in ("scale", "list", "watch"):
        await client.ask(f"access/forbidden-{step}", token=token)
    for step in ("may-i-list", "may-i-scale"):
        await client.ask(f"access/{step}", token=token)
    await client.ask("access/no-token", token="")
    await client.ask("access/bad-token", token="nonsense")


async def watches(client: Client, sim: SimCluster) -> None:
    async def version(path: str) -> str:
        found = (await client.call("GET", path))["body"]
        return str(found["metadata"]["resourceVersion"])

    deployments = f"{APPS}/deployments"
    since = {"version": await version(deployments)}
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(client.ask("watch/changes", **since))
        await client.call("PATCH", f"{deployments}/browser/scale", {"spec": {"replicas": 1}})
    await client.until(f"{deployments}/browser", lambda found: found["status"].get("readyReplicas"))
    await client.ask("watch/without-version")
    idle = json.dumps(STEPS["deployments/create"]["request"]["body"]).replace("research", "idle")
    await client.call("POST", deployments, json.loads(idle))
    since = {"version": await version(f"{CORE}/pods")}
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(client.ask("pod-life/scale-0-1-0", **since))
        await client.call("PATCH", f"{deployments}/idle/scale", {"spec": {"replicas": 1}})
        await client.until(
            f"{deployments}/idle", lambda found: found["status"].get("readyReplicas")
        )
        await client.call("PATCH", f"{deployments}/idle/scale", {"spec": {"replicas": 0}})
    found = await client.ask("pod-life/events")
    found["items"] = [
        each
        for each in found["items"]
        if each["involvedObject"]["name"].startswith("idle")
        and each["source"].get("component") != "kubelet"  # the recording's kubelets wrote none
    ]
    page = (await client.call("GET", f"{CORE}/events?limit=1"))["body"]["metadata"]
    sim.faults.expire_history()
    await client.ask("expired/watch", version=since["version"])
    key = "expired/continue"
    path = f"{CORE}/events?limit=1&continue={page['continue']}"
    client.answers[key] = await client.call("GET", path)


def has(found: Json, kind: str) -> bool:
    return any(each["type"] == kind for each in found["status"].get("conditions", ()))


@asynccontextmanager
async def asked() -> AsyncIterator[Client]:
    # fast starts, but a second to stop, because the recording's pods were still ending, too
    cold_start = ColdStart(median_s=0.2, sigma=0.1, stop_s=1.0)
    async with (
        SimCluster(seed=7, cold_start=cold_start) as sim,
        aiohttp.ClientSession() as session,
    ):
        client, rbac = Client(sim.url, session), Rbac(sim, TOKEN)
        await tenants_and_sizes(client)
        await pods_and_limits(client)
        await leases_and_events(client)
        await rights(client, rbac)
        await watches(client, sim)
        yield client


@pytest.fixture(scope="module")
def answers() -> dict[str, Json]:
    async def ask() -> dict[str, Json]:
        async with asked() as client:
            return client.answers

    return asyncio.run(ask())


def reading(item: Json, kind: str) -> Json:
    """What the client reads of an object."""
    if kind not in READ:
        return item
    metadata = {name: item["metadata"][name] for name in item["metadata"] if name != MANAGED}
    item = item | {"metadata": metadata}
    return msgspec.to_builtins(READ[kind].of(json.dumps(item).encode()))


def read(key: str, answer: Json) -> Json:
    """What the client reads of an answer, apart from what is not compared."""
    body = neutral(answer.get("body"))
    if answer.get("status") == 410:
        return [body["code"], body["reason"]]  # config maps are refused in other words
    if answer.get("status", 0) >= 400 or body.get("kind") == "Status":
        return body
    dropped, _ = NOT_COMPARED.get(key, ("", ""))
    body = without(body, dropped)
    kind = body.get("kind", "")
    if not kind.endswith("List"):
        return reading(body, kind)
    continues = "continue" in body["metadata"] and not key.startswith("limits/events")
    items = [reading(each, kind.removesuffix("List")) for each in body["items"]]
    return [continues, *sorted(items, key=json.dumps)]


def without(item: Json, dropped: str) -> Json:
    """The object, or each of a list, without one part; the last name is a pattern."""
    if not dropped:
        return item
    if "items" in item:
        return item | {"items": [without(each, dropped) for each in item["items"]]}
    head, _, rest = dropped.partition(".")
    if rest:
        return item | {head: without(item[head], rest)}
    return {name: each for name, each in item.items() if not fnmatch(name, head)}


WATCHED: Final = ("watch/changes", "watch/without-version", "pod-life/scale-0-1-0", "expired/watch")
ASKED: Final = (
    *(f"tenants/{each}" for each in ("create-namespace", "create-namespace-again", "create-quota")),
    *(f"deployments/{each}" for each in ("create", "create-second", "get", "get-missing")),
    *(f"deployments/list-{each}" for each in ("selector", "empty", "page-1", "page-2")),
    "deployments/list-missing-namespace",
    *(f"scale/{each}" for each in ("patch", "patch-stale", "patch-same", "patch-missing")),
    *(f"pods/{each}" for each in ("list-starting", "list-ready", "scale-down-by-one")),
    *("pods/deletion-cost", "pods/deletion-cost-outcome"),
    *("limits/scale-beyond-quota", "limits/deployment-replica-failure", "limits/quota-used"),
    *("limits/events-failed-create", "limits/scale-back", "limits/create-namespace-b"),
    *("limits/pod-unschedulable", "limits/events-failed-scheduling", "limits/nodes"),
    *(f"leases/{each}" for each in ("get-missing", "create", "create-again", "renew", "delete")),
    *("leases/renew-stale", "events/create-v1", "events/patch-series", "events/list-core"),
    *(f"access/forbidden-{each}" for each in ("scale", "list", "watch")),
    *(f"access/{each}" for each in ("may-i-list", "may-i-scale", "no-token", "bad-token")),
    *("pod-life/events", "expired/continue", "discovery/version", *WATCHED),
)


@tabled("key", [key for key in ASKED if key not in WATCHED])
def test_what_the_client_reads_of_an_answer_is_what_was_recorded(
    answers: dict[str, Json], key: str
) -> None:
    step = STEPS[key]
    recorded = step.get("response", {"body": step.get("observed")})
    assert answers[key].get("status") == recorded.get("status")
    if key == "discovery/version":
        assert re.match(r"v1\.\d+", answers[key]["body"]["gitVersion"])
        return
    assert read(key, answers[key]) == read(key, recorded)


@tabled("key", WATCHED)
def test_what_the_client_reads_of_a_watch_is_what_was_recorded(
    answers: dict[str, Json], key: str
) -> None:
    """The recorded lines come in their order; there may be more between them."""
    given, recorded = (
        list(lines_of(key, each["lines"])) for each in (answers[key], STEPS[key]["response"])
    )
    assert {kind for kind, _ in given} == {kind for kind, _ in recorded}
    left = iter(given)
    for line in recorded:
        assert any(line == each for each in left), line


def lines_of(key: str, lines: Json) -> Iterator[tuple[str, Json]]:
    seen: Json = None
    for line in neutral(lines):
        item = line["object"]
        if line["type"] == "ERROR":
            read_of: Json = [item["code"], item["reason"]]
        elif line["type"] == "BOOKMARK":
            read_of = item["metadata"]["resourceVersion"]
        else:
            dropped, _ = NOT_COMPARED.get(key, ("", ""))
            read_of = reading(without(item, dropped), item["kind"])
        # how often a status changes is not compared
        if (line["type"], read_of) != seen and item.get("metadata", {}).get("name") != "research":
            yield line["type"], read_of
        seen = (line["type"], read_of)


@tabled("key", [key for key in ASKED if key not in NOT_COMPARED])
def test_no_answer_has_a_field_that_the_real_one_does_not_have(
    answers: dict[str, Json], key: str
) -> None:
    recorded = STEPS[key].get("response", {"body": STEPS[key].get("observed")})
    given = answers[key]
    if "lines" in given:
        assert paths(given["lines"]) - paths(recorded["lines"]) <= PHASES
    else:
        assert paths(given["body"]) - paths(recorded["body"]) == set()


_STATUS: Final = "[].object.status"
PHASES: Final = {
    *(f"{_STATUS}.conditions[].{each}" for each in ("reason", "message")),
    *(f"{_STATUS}.containerStatuses[].state.waiting{each}" for each in ("", ".reason")),
}
"""The recording's kubelets reported no phase between scheduled and Ready."""


def paths(value: Json, path: str = "") -> set[str]:
    if isinstance(value, dict):
        kept = {key: inner for key, inner in value.items() if key != MANAGED}
        found = {f"{path}.{key}" for key in kept}
        return found.union(*(paths(inner, f"{path}.{key}") for key, inner in kept.items()))
    if isinstance(value, list):
        return set().union(*(paths(inner, f"{path}[]") for inner in value))
    return set()


def test_every_question_that_is_asked_is_one_of_the_recorded(answers: dict[str, Json]) -> None:
    assert set(answers) == set(ASKED)
    assert set(ASKED) <= set(STEPS)
    assert set(NOT_COMPARED) <= set(ASKED)
    assert len(STEPS) == 114


@pytest.mark.parametrize(
    ("part", "other"), [("replicas", 4), ("observedGeneration", 9), ("conditions", [])]
)
def test_the_comparison_finds_a_difference(part: str, other: Json) -> None:
    recorded = STEPS["deployments/get"]["response"]
    wrong = json.loads(json.dumps(recorded))
    place = "spec" if part == "replicas" else "status"
    wrong["body"][place][part] = other
    assert read("deployments/get", wrong) != read("deployments/get", recorded)
