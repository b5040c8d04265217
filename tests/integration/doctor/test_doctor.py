"""What `agentdash doctor` says of a healthy fleet, and of each thing that can be wrong with one."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import nats
import pytest

from agentdash.cli import main
from agentdash.demo.cluster.nodes import new_node
from agentdash.demo.cluster.objects import AUTOSCALERS, DEPLOYMENTS, SCALED_OBJECTS
from controller.config import parse
from controller.doctor import examine as module
from controller.doctor.examine import OF_KUBERNETES, OF_NATS, OTHERS, examine
from controller.doctor.of_pools import Qos, qos, unavailable
from controller.engine.supervise import SystemClock
from controller.kube.wire import WireAmounts, WireContainer, WireResourceRequirements
from controller.model.settings import Settings
from controller.model.snapshot import Diagnosis, Level, Report
from fakes.cluster import ApiFault, SimCluster
from fakes.gitops import add_apply
from fakes.rbac import Rbac
from support.live import fleet_text, streams
from support.nats_server import RealNats
from support.size_writers import APPLY, MERGE, Ask, as_agentdash
from support.stateful import create_statefulset

NAMESPACE = "tenant-acme"
PATH = f"/apis/apps/v1/namespaces/{NAMESPACE}/deployments/research"
PROBE = {"readinessProbe": {"httpGet": {"path": "/readyz", "port": 9465}}}


class World:
    """A real nats-server and a simulated cluster with one pool that is as it should be."""

    def __init__(self, sim: SimCluster, server: RealNats, folder: Path) -> None:
        self.sim, self.server, self.folder = sim, server, folder
        self.text = fleet_text(server.url, ["research"])

    def settings(self, **changes: str) -> Settings:
        text = self.text
        for before, after in changes.items():
            text = text.replace(before, after)
        found = parse(text, "fleet.yaml")
        path = self.folder / "kubeconfig"
        if not path.exists():
            self.sim.write_kubeconfig(path)
        kubernetes = msgspec.structs.replace(found.kubernetes, kubeconfig=str(path))
        return msgspec.structs.replace(found, kubernetes=kubernetes)

    async def report(self, **changes: str) -> Report:
        return await examine(self.settings(**changes), SystemClock())

    async def add(self, resource: Any, body: dict[str, Any]) -> None:
        self.sim.registry.create(resource, NAMESPACE, body)


def lines(report: Report, check: str) -> list[tuple[str, str, str]]:
    return [(line.level, line.text, line.todo) for line in report.lines if line.check == check]


def bad(report: Report) -> set[tuple[str, str]]:
    return {(line.check, line.level) for line in report.lines if line.level is not Level.OK}


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with opened(tmp_path) as found:
        yield found


@asynccontextmanager
async def opened(folder: Path) -> AsyncIterator[World]:
    with RealNats(folder / "nats") as server:
        async with streams(server.url, ["research"]) as client, SimCluster() as sim:
            add_apply(sim)
            await client.jetstream().create_key_value(bucket="agentdash")
            await sim.create_namespace(NAMESPACE, quota={"pods": "20"})
            await deploy(sim, "research")
            yield World(sim, server, folder)


async def deploy(sim: SimCluster, name: str, **container: Any) -> None:
    amounts = {"requests": {"cpu": "250m", "memory": "512Mi"}}
    whole = {"name": "agent", "image": "agent:1", "resources": amounts, **PROBE, **container}
    spec = {
        "replicas": 0,
        "strategy": {"rollingUpdate": {"maxUnavailable": 0}},
        "selector": {"matchLabels": {"app": name}},
        "template": {"metadata": {"labels": {"app": name}}, "spec": {"containers": [whole]}},
    }
    stored = sim.store.get(DEPLOYMENTS, NAMESPACE, name)
    if stored is not None:
        sim.store.delete(stored)
    sim.registry.create(DEPLOYMENTS, NAMESPACE, {"metadata": {"name": name}, "spec": spec})


def asking(session: aiohttp.ClientSession) -> Ask:
    """Asks the simulated API."""

    async def ask(method: str, path: str, body: Any, kind: str) -> dict[str, Any]:
        headers = {"Content-Type": kind}
        async with session.request(method, path, json=body, headers=headers) as answer:
            answer.raise_for_status()
            return dict(await answer.json())

    return ask


async def test_a_healthy_fleet_has_one_good_line_for_each_check(world: World) -> None:
    report = await world.report()
    assert bad(report) == set(), report
    every = [OF_NATS.name, OF_KUBERNETES.name, *(check.name for check in OTHERS)]
    assert [line.check for line in report.lines] == every
    assert not report.has_failure
    assert not world.sim.requests.writes() or {
        each.path for each in world.sim.requests.writes()
    } == {"/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"}


async def test_missing_streams_and_consumers_are_named_with_the_command_that_makes_them(
    world: World,
) -> None:
    report = await world.report(**{"consumer: research": "consumer: other"})
    [(level, text, todo)] = lines(report, "queues")
    assert (level, "TASKS/other" in text) == ("fail", True)
    assert "nats consumer add TASKS other" in todo
    report = await world.report(**{"stream: TASKS": "stream: GONE"})
    [(level, text, todo)] = lines(report, "queues")
    assert (level, "nats stream add GONE" in todo) == ("fail", True)
    assert lines(report, "clock of nats")[0][0] == "skip"
    assert report.has_failure


async def test_a_journals_stream_is_looked_at_where_the_fleet_file_asks_for_one(
    world: World,
) -> None:
    asked = {"controller: {": "controller: {journal: {path: /tmp/j.jsonl, stream: {}}, "}
    report = await world.report(**asked)
    [(level, text, todo)] = lines(report, "stores")
    assert (level, text) == ("warn", "agentdash_journal does not exist yet")
    assert todo == "nothing: the first leader creates it"
    client = await nats.connect(world.server.url)
    try:
        js = client.jetstream()
        await js.add_stream(name="agentdash_journal", subjects=["elsewhere"])
        [(level, text, todo)] = lines(await world.report(**asked), "stores")
        assert (level, "does not take agentdash.journal" in text) == ("fail", True)
        assert todo == "nats stream edit agentdash_journal --subjects agentdash.journal"
        await js.update_stream(name="agentdash_journal", subjects=["agentdash.>"])
    finally:
        await client.close()
    assert [level for level, _, _ in lines(await world.report(**asked), "stores")] == ["ok"]
    assert not [line for line in lines(await world.report(), "stores") if "journal" in line[1]]


async def test_a_consumer_that_limits_deliveries_is_a_warning_with_the_command(
    world: World,
) -> None:
    client = await nats.connect(world.server.url)
    try:
        js = client.jetstream()
        config = (await js.consumer_info("TASKS", "research")).config
        await js.add_consumer("TASKS", replace(config, max_deliver=2))
    finally:
        await client.close()
    report = await world.report()
    [(level, text, todo)] = lines(report, "queues")
    assert (level, "TASKS/research has max_deliver 2" in text) == ("warn", True)
    assert "nats consumer edit TASKS research --max-deliver=-1" in todo
    assert not report.has_failure


@pytest.mark.parametrize(
    ("change", "level", "words", "todo"),
    [
        ({"ack_policy": "none"}, "fail", "AckPolicy none", "TASKS research --pull --ack explicit"),
        ({"ack_policy": "all"}, "fail", "AckPolicy all", "nats consumer rm TASKS research"),
        ({"max_ack_pending": 9}, "warn", "hands out 9 tasks at once", "--max-pending=10"),
    ],
)
async def test_a_consumer_that_loses_tasks_or_hands_out_too_few_is_named(
    world: World, change: dict[str, Any], level: str, words: str, todo: str
) -> None:
    client = await nats.connect(world.server.url)
    try:
        js = client.jetstream()
        config = (await js.consumer_info("TASKS", "research")).config
        await js.delete_consumer("TASKS", "research")
        await js.add_consumer("TASKS", replace(config, **change))
    finally:
        await client.close()
    [(found, text, what)] = lines(await world.report(), "queues")
    assert (found, words in text, todo in what) == (level, True, True), (text, what)


@pytest.mark.parametrize(
    ("change", "loses", "todo"),
    [
        ({"max_age": 3600.0}, "after 1h (max_age)", "--max-age=0s"),
        ({"max_msgs": 1000}, "beyond 1,000 (max_msgs)", "--discard=new"),
        ({"max_bytes": 1 << 20}, "beyond 1,048,576 (max_bytes)", "--discard=new"),
        ({"max_msgs": 1000, "discard": "new"}, "", ""),
        (
            {"max_msgs_per_subject": 5, "discard": "new"},
            "beyond 5 (max_msgs_per_subject)",
            "--max-msgs-per-subject=-1",
        ),
    ],
)
async def test_a_stream_that_throws_tasks_away_is_a_warning(
    world: World, change: dict[str, Any], loses: str, todo: str
) -> None:
    client = await nats.connect(world.server.url)
    try:
        js = client.jetstream()
        config = (await js.stream_info("TASKS")).config
        await js.update_stream(replace(config, **change))
    finally:
        await client.close()
    [(level, text, what)] = lines(await world.report(), "queues")
    if loses:
        assert (level, text.startswith(f"TASKS throws its oldest tasks away {loses}")) == (
            "warn",
            True,
        ), text
        assert what == f"nats stream edit TASKS {todo}"
    else:
        assert level == "ok"


@pytest.mark.parametrize(
    ("env", "words", "todo"),
    [
        ({"QUEUES": "TASKS/other"}, "AGENTDASH_QUEUES of agent is TASKS/other", "=TASKS/research"),
        ({"POOL": "research", "QUEUES": ""}, "AGENTDASH_QUEUES of agent is not set", "-c agent"),
        ({"QUEUES": "TASKS/research", "SLOTS": "4"}, "says 1: replicas are", "AGENTDASH_SLOTS=1"),
        (
            {"QUEUES": "TASKS/research", "GRACE": "26s"},
            "killed 30 s after SIGTERM, and its workers need 31 s",
            '{"spec":{"template":{"spec":{"terminationGracePeriodSeconds":31}}}}',
        ),
        ({"QUEUES": " TASKS/research", "SLOTS": "1", "GRACE": "25"}, "", ""),
        ({"QUEUES": None, "SLOTS": None, "GRACE": None}, "", ""),  # they come from elsewhere
    ],
)
async def test_workers_that_are_told_other_things_than_the_fleet_file_says_are_named(
    world: World, env: dict[str, str | None], words: str, todo: str
) -> None:
    variables = [
        {"name": f"AGENTDASH_{name}"} | ({} if value is None else {"value": value})
        for name, value in env.items()
    ]
    await deploy(world.sim, "research", env=variables)
    [(level, text, what)] = lines(await world.report(), "workers")
    assert (level, words in text, todo in what) == ("warn" if words else "ok", True, True), text
    if words:
        assert what.startswith("kubectl -n tenant-acme ")


async def test_a_paused_deployment_is_named_with_the_command_that_resumes_it(world: World) -> None:
    async with aiohttp.ClientSession(world.sim.url) as session:
        await asking(session)("PATCH", PATH, {"spec": {"paused": True}}, MERGE)
    [(level, text, todo)] = lines(await world.report(), "workers")
    assert (level, text) == ("warn", "research is paused: a new template starts no pods")
    assert todo == "kubectl -n tenant-acme rollout resume deployment/research"


async def test_a_class_of_nodes_that_selects_none_is_named(world: World) -> None:
    new_node(world.sim.registry, "plain", "4")
    classes = (
        "{{plain: {{selector: kubernetes.io/hostname=plain}}, gpu: {{selector: kind=gpu{most}}}}}"
    )
    for most, level in (("", "fail"), (", nodes: {max: 3}", "warn")):
        capacity = f"version: 1\ncapacity: {{node_classes: {classes.format(most=most)}}}"
        [(found, text, todo)] = lines(await world.report(**{"version: 1": capacity}), "nodes")
        assert (found, "no node is of class gpu (kind=gpu)" in text) == (level, True), text
        assert todo.startswith("kubectl get nodes --show-labels")


async def test_a_lease_in_a_namespace_that_does_not_exist_is_a_failure(world: World) -> None:
    nowhere = {"controller: {": "controller: {lease: {namespace: nowhere}, "}
    [(level, text, todo)] = lines(await world.report(**nowhere), "lease")
    assert (level, "there is no namespace nowhere" in text) == ("fail", True)
    assert todo.startswith("kubectl create namespace nowhere")


async def test_what_those_that_stand_by_differ_in_and_a_consumer_without_a_group_are_named(
    world: World,
) -> None:
    standby = "standby: [{name: spare, tenant: acme, pools: [research], most: 2}]"
    changes = {"version: 1": f"version: 1\n{standby}"}
    await world.sim.create_deployment("spare", NAMESPACE)
    report = await world.report(**changes)
    [(level, text, todo)] = lines(report, "queues")
    assert (level, "TASKS/research has no priority group agents" in text) == ("warn", True)
    assert "priority_policy prioritized" in todo
    stored = world.sim.store.get(DEPLOYMENTS, NAMESPACE, "spare")
    assert stored is not None
    stored.object["spec"]["template"]["spec"]["containers"][0]["image"] = "other:1"
    texts = [text for _, text, _ in lines(await world.report(**changes), "workloads")]
    assert any("acme/spare stands by for acme/research" in each for each in texts)
    assert any("differ in image" in each for each in texts)


async def test_a_missing_deployment_and_a_selector_that_leaves_it_out_are_failures(
    world: World,
) -> None:
    for change in (
        {"    tenant: acme": "    tenant: acme\n    deployment: other"},
        {"version: 1": "version: 1\nkubernetes: {selector: a=b}"},
    ):
        report = await world.report(**change)
        [(level, text, _)] = lines(report, "workloads")
        assert (level, "there is no readable Deployment" in text) == ("fail", True)


async def test_a_pool_that_is_a_stateful_set_is_looked_up_as_one(world: World) -> None:
    changes = {"    tenant: acme": "    tenant: acme\n    statefulset: db"}
    [(level, text, todo)] = lines(await world.report(**changes), "workloads")
    assert (level, "there is no readable StatefulSet db" in text) == ("fail", True)
    assert "mend statefulset" in todo
    create_statefulset(world.sim, "db", NAMESPACE)
    [(level, text, _)] = lines(await world.report(**changes), "workloads")
    assert (level, "db has no readiness probe" in text) == ("warn", True)
    target = {"apiVersion": "apps/v1", "kind": "StatefulSet", "name": "db"}
    spec = {"scaleTargetRef": target, "maxReplicas": 3}
    await world.add(AUTOSCALERS, {"metadata": {"name": "mine"}, "spec": spec})
    [(level, text, _)] = lines(await world.report(**changes), "rivals")
    assert (level, "HorizontalPodAutoscaler mine scales db" in text) == ("fail", True)


async def test_missing_requests_are_named_with_the_class_of_service(world: World) -> None:
    await deploy(world.sim, "research", resources={})
    [(level, text, todo)] = lines(await world.report(), "workloads")
    assert (level, "BestEffort" in text) == ("warn", True)
    assert "kubectl -n tenant-acme set resources deployment/research --requests" in todo
    target = "{type: Utilization, averageUtilization: 75}"
    metric = f"{{type: Resource, resource: {{name: cpu, target: {target}}}}}"
    report = await world.report(**{"    cooldown": f"    metrics: [{metric}]\n    cooldown"})
    assert lines(report, "workloads")[0][0] == "fail", "a share of nothing"


async def test_a_missing_readiness_probe_is_a_warning(world: World) -> None:
    await deploy(world.sim, "research", readinessProbe=None)
    report = await world.report()
    [(level, text, _)] = lines(report, "workloads")
    assert (level, "no readiness probe" in text) == ("warn", True)
    assert not report.has_failure, "it works without"


@pytest.mark.parametrize(
    ("manager", "apply", "words", "todo"),
    [
        ("argocd-controller", False, "(Argo CD) owns spec.replicas of research", "ignoreDiff"),
        ("kustomize-controller", True, "(Flux) owns spec.replicas of research", "manifests of its"),
        ("helm", False, "(Helm) owns spec.replicas of research", "out of the chart"),
        ("kubectl", True, "owns spec.replicas of research", "before that, applying without"),
    ],
)
async def test_what_would_restore_a_pools_size_is_named_until_agentdash_has_set_it(
    world: World, manager: str, words: str, todo: str, *, apply: bool
) -> None:
    assert [level for level, _, _ in lines(await world.report(), "owners")] == ["ok"]
    async with aiohttp.ClientSession(world.sim.url) as session:
        ask = asking(session)
        body: dict[str, Any] = {"spec": {"replicas": 2}}
        if apply:
            body |= {"apiVersion": "apps/v1", "kind": "Deployment"}
            body["metadata"] = {"name": "research"}
        kind = APPLY if apply else MERGE
        await ask("PATCH", f"{PATH}?fieldManager={manager}&force={str(apply).lower()}", body, kind)
        [(level, text, what)] = lines(await world.report(), "owners")
        assert (level, words in text, todo in what) == ("warn", True, True), (text, what)
        await as_agentdash(ask, PATH, 3)
        assert [level for level, _, _ in lines(await world.report(), "owners")] == ["ok"]


async def test_a_person_who_set_a_size_once_restores_nothing(world: World) -> None:
    async with aiohttp.ClientSession(world.sim.url) as session:
        body = {"spec": {"replicas": 2}}
        await asking(session)("PATCH", f"{PATH}?fieldManager=kubectl-edit", body, MERGE)
    assert [level for level, _, _ in lines(await world.report(), "owners")] == ["ok"]


@pytest.mark.parametrize(
    ("strategy", "words"),
    [
        ({"rollingUpdate": None}, "stops up to 2 of 10 pods at once, as its maxUnavailable is 25%"),
        ({"rollingUpdate": {"maxUnavailable": 3}}, "stops up to 3 of 10 pods at once"),
        ({"rollingUpdate": None, "type": "Recreate"}, "stops all its pods at once"),
    ],
)
async def test_a_rollout_that_stops_busy_workers_is_a_warning(
    world: World, strategy: dict[str, Any], words: str
) -> None:
    async with aiohttp.ClientSession(world.sim.url) as session:
        await asking(session)("PATCH", PATH, {"spec": {"strategy": strategy}}, MERGE)
    report = await world.report()
    [(level, text, todo)] = lines(report, "rollouts")
    assert (level, words in text) == ("warn", True), text
    assert "maxUnavailable 0" in todo
    assert not report.has_failure


@pytest.mark.parametrize(
    ("share", "replicas", "lost"),
    [
        (0, 10, 0),
        (2, 10, 2),
        (20, 10, 10),
        (-1, 10, 0),
        ("0%", 10, 0),
        ("25%", 3, 0),  # rounded down
        ("25%", 4, 1),
        ("100%", 4, 4),
        ("x%", 4, 0),
        ("", 4, 0),
    ],
)
def test_the_pods_that_a_rolling_update_may_stop_are_those_of_kubernetes(
    share: int | str, replicas: int, lost: int
) -> None:
    assert unavailable(share, replicas) == lost


@pytest.mark.parametrize("kind", ["HorizontalPodAutoscaler", "ScaledObject"])
async def test_another_autoscaler_of_a_pool_is_named(world: World, kind: str) -> None:
    target = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "research"}
    spec: dict[str, Any] = {"scaleTargetRef": target}
    if kind == "ScaledObject":
        await world.add(SCALED_OBJECTS, {"metadata": {"name": "mine"}, "spec": spec})
    else:
        await world.add(
            AUTOSCALERS, {"metadata": {"name": "mine"}, "spec": spec | {"maxReplicas": 3}}
        )
    [(level, text, todo)] = lines(await world.report(), "rivals")
    assert (level, f"{kind} mine scales research" in text) == ("fail", True)
    assert todo.startswith(f"kubectl -n {NAMESPACE} delete {kind} mine")


async def test_a_quota_below_the_pools_max_is_named_in_numbers(world: World) -> None:
    report = await world.report(**{"max: 10": "max: 21"})
    [(level, text, _)] = lines(report, "quotas")
    assert level == "warn"
    assert "allows 20 pods" in text
    assert "asks for 21" in text


async def test_each_missing_right_is_a_line_and_only_needed_ones_are_failures(
    tmp_path: Path,
) -> None:
    async with opened(tmp_path) as world:
        Rbac(world.sim, "admin")
        header = {"Authorization": "Bearer admin"}
        async with aiohttp.ClientSession(world.sim.url, headers=header) as session:
            root = f"/api/v1/namespaces/{NAMESPACE}/serviceaccounts"
            await session.post(root, json={"metadata": {"name": "x"}})
            async with session.post(f"{root}/x/token", json={"spec": {}}) as answer:
                token = (await answer.json())["status"]["token"]
            rbac = f"/apis/rbac.authorization.k8s.io/v1/namespaces/{NAMESPACE}"
            rule = {"apiGroups": ["apps"], "resources": ["deployments"], "verbs": ["get", "list"]}
            await session.post(f"{rbac}/roles", json={"metadata": {"name": "x"}, "rules": [rule]})
            bound = {
                "metadata": {"name": "x"},
                "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "x"},
                "subjects": [{"kind": "ServiceAccount", "name": "x", "namespace": NAMESPACE}],
            }
            await session.post(f"{rbac}/rolebindings", json=bound)
        config = world.sim.kubeconfig()
        config["users"][0]["user"] = {"token": token}
        (tmp_path / "kubeconfig").write_text(json.dumps(config), "utf-8")
        report = await world.report()
    found = {text: level for level, text, _ in lines(report, "rights")}
    assert (
        found[
            "we may not watch deployments (apps) in tenant-acme, which is needed for: what to "
            "scale and how it is"
        ]
        == "fail"
    )
    assert any(
        level == "warn" and text.startswith("we may not list nodes in the whole cluster")
        for text, level in found.items()
    )
    assert not [text for text in found if "we may not list deployments " in text]
    assert lines(report, "lease")[0][0] == "fail"
    assert lines(report, "quotas")[0][0] == "skip"


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "CONNECT_S", 0.3)


async def test_what_does_not_answer_is_one_failure_and_the_rest_is_skipped(
    world: World, hasty: None
) -> None:
    text = world.text.replace(world.server.url, "nats://127.0.0.1:1")
    world.text = text
    report = await world.report()
    assert lines(report, "nats")[0][0] == "fail"
    assert {name for name, level in bad(report) if level == "skip"} == {
        "queues",
        "stores",
        "copies",
        "clock of nats",
    }
    world.folder.joinpath("kubeconfig").write_text("{}", "utf-8")
    report = await world.report()
    assert lines(report, "kubernetes")[0][0] == "fail"
    assert lines(report, "rights")[0][0] == "skip"


async def test_a_check_that_hangs_ends_at_its_deadline_beside_the_others(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "CHECK_S", 2.5)
    world.sim.faults.add(ApiFault(path="/deployments", hang=True))
    report = await world.report()
    assert lines(report, "workloads") == [("skip", "no answer within 2.5 s", "")]
    assert lines(report, "lease")[0][0] == "ok"


async def test_tenants_that_share_our_inbox_are_a_warning(world: World) -> None:
    two = {"tenants:\n": "tenants:\n  globex: {tier: growth}\n"}
    [(level, _, todo)] = lines(await world.report(**two), "inbox")
    assert (level, "nats.inbox" in todo) == ("warn", True)


async def test_a_bucket_with_other_copies_than_the_fleet_file_says_is_a_warning(
    world: World,
) -> None:
    three = {"']}": "'], replicas: 3}"}
    [(level, text, todo)] = lines(await world.report(**three), "copies")
    assert level == "warn"
    assert text.startswith("KV_agentdash is kept by 1 servers and nats.replicas says 3")
    assert todo == "nats stream edit KV_agentdash --replicas 3, or mend nats.replicas"


async def test_a_domain_that_does_not_answer_is_a_failure(world: World) -> None:
    [(level, text, todo)] = lines(await world.report(**{"']}": "'], domain: hub}"}), "nats")
    assert level == "fail"
    assert text == "no JetStream of domain hub answers"
    assert "nats.domain" in todo


async def test_a_server_without_jetstream_is_a_failure(world: World, tmp_path: Path) -> None:
    with RealNats(tmp_path / "bare", jetstream=False) as bare:
        [(level, text, todo)] = lines(await world.report(**{world.server.url: bare.url}), "nats")
    assert (level, "JetStream is not enabled" in text, "-js" in todo) == ("fail", True, True)


async def test_a_clock_that_is_wrong_is_told_with_its_distance(world: World) -> None:
    ahead = SystemClock(wall=lambda: time.time() + 60.0)
    report = await examine(world.settings(), ahead)
    for check in ("clock of nats", "clock of kubernetes"):
        [(level, text, _)] = lines(report, check)
        assert level == "warn"
        assert " s behind ours" in text


def test_the_class_of_service_is_that_of_kubernetes() -> None:
    def pod(requests: dict[str, str] | None, limits: dict[str, str] | None) -> Qos:
        made = WireResourceRequirements(
            requests=WireAmounts(**requests) if requests else None,
            limits=WireAmounts(**limits) if limits else None,
        )
        return qos([WireContainer(resources=made)])

    both = {"cpu": "500m", "memory": "1Gi"}
    assert pod(None, None) is Qos.BEST_EFFORT
    assert pod(both, None) is Qos.BURSTABLE
    assert pod({"cpu": "0.5"}, both) is Qos.GUARANTEED
    assert pod({"cpu": "0.4"}, both) is Qos.BURSTABLE
    assert pod(None, both) is Qos.GUARANTEED


def test_the_command_ends_with_1_where_something_does_not_work(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], hasty: None
) -> None:
    path = tmp_path / "fleet.yaml"
    path.write_text(fleet_text("nats://127.0.0.1:1", ["research"]), "utf-8")
    place = ["-f", str(path), "--kubeconfig", str(tmp_path / "none")]
    assert main(["doctor", *place]) == 1
    assert capsys.readouterr().out.startswith("fail  nats ")
    assert main(["doctor", *place, "--json"]) == 1
    [line, *_] = json.loads(capsys.readouterr().out)["lines"]
    assert (line["check"], line["level"]) == ("nats", "fail")


@pytest.mark.parametrize(
    ("level", "codes"), [(Level.OK, (0, 0)), (Level.WARN, (0, 1)), (Level.SKIP, (1, 1))]
)
def test_a_warning_fails_the_command_where_it_is_strict(
    level: Level, codes: tuple[int, int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "fleet.yaml"
    path.write_text(fleet_text("nats://127.0.0.1:1", ["research"]), "utf-8")
    report = Report(lines=(Diagnosis(check="lease", level=level, text="x", subject="", todo=""),))
    monkeypatch.setattr("agentdash.verbs.live.find_faults", lambda _: report)
    assert (
        main(["doctor", "-f", str(path)]),
        main(["doctor", "--strict", "-f", str(path)]),
    ) == codes
