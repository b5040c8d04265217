"""What `agentdash manifests` prints, as text and as objects."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from agentdash.cli import main
from controller.config import parse
from controller.manifests import rights
from controller.manifests.objects import KINDS, Installation, Manifest, ManifestError, stream
from controller.manifests.rights import Right
from controller.manifests.workload import manifests
from controller.model.ids import WorkloadKind
from controller.model.servers import CUSTOM_GROUP, EXTERNAL_GROUP, RESOURCE_GROUP
from support.manifests import plain
from support.table import tabled

ROOT = Path(__file__).parents[3]
FLEET = """\
version: 1
nats:
  servers: [nats://nats.queues.svc:4222, tls://10.1.2.3]
  credentials: {user: agentdash, password: {env: NATS_PASSWORD}}
  tls: {ca: /etc/agentdash/ca.pem}
kubernetes: {context: production, selector: "agentdash.dev/managed=true"}  # the laptop’s
prometheus: {url: http://prometheus:9090}
controller:
  journal: {path: /var/lib/agentdash/day.jsonl, max_bytes: 1Gi}
  lease: {namespace: agentdash}
tenants:
  acme: {tier: enterprise, namespace: tenant-acme, quota: {replicas: 20, cpu: "16", memory: 64Gi}}
  globex: {tier: starter, quota: {replicas: 5, cpu: 2500m}}
pools:
  - name: research
    tenant: acme
    queue: {stream: TASKS, consumer: research}
    replicas: {min: 0, max: 20}
  - name: browser
    tenant: globex
    queue: {stream: TASKS, consumer: browser}
    replicas: {min: 0, max: 5}
    signals: {cases: {external: {name: firestore_active}}}
    metrics:
      - {type: Resource, resource: {name: cpu, target: {type: Utilization, averageUtilization: 75}}}
      - type: Pods
        pods: {metric: {name: sessions}, target: {type: AverageValue, averageValue: 3}}
"""
OPTIONS = Installation(image="registry.example/agentdash:1")


@cache
def objects(text: str = FLEET, options: Installation = OPTIONS) -> list[Any]:
    return list(yaml.safe_load_all(printed(text, options)))


@cache
def printed(text: str = FLEET, options: Installation = OPTIONS) -> str:
    return stream(manifests(parse(text, "fleet.yaml"), text, options))


def the(kind: str, name: str = "agentdash", namespace: str = "", text: str = FLEET) -> Any:
    [found] = [
        each
        for each in objects(text)
        if (each["kind"], each["metadata"]["name"]) == (kind, name)
        and namespace in {"", each["metadata"].get("namespace")}
    ]
    return found


def test_the_text_is_yaml_of_exactly_the_objects_and_always_the_same() -> None:
    made = manifests(parse(FLEET, "fleet.yaml"), FLEET, OPTIONS)
    assert objects() == [plain(each.body) for each in made]
    assert printed() == stream(made)
    assert [each["kind"] for each in objects()] == sorted(
        (each["kind"] for each in objects()), key=KINDS.index
    )


@tabled(
    "text",
    [
        "a\nb\n",
        "a\n\n  b",
        " a\nb\n",
        "a\n\n\n",
        "a\tb\nc\r\n",
        "",
        "é\nü\n",
        "a: b",
        "- x",
        "*",
        "#",
        "null",
        "1e3",
        "\x1b[0m",
        "a\n# b\n",
    ],
)
def test_any_text_comes_back_as_it_was(text: str) -> None:
    body = {"kind": "X", "text": text, "list": [text, "y"], "deep": [{"a": [text]}, {text: 1}]}
    assert yaml.safe_load(stream([Manifest("a\nb", body)])) == body


@tabled("text", ["2246608055486e63", "1e3", "-1.5E+2", "0o17", "12345678", "no"])
def test_text_that_a_yaml_library_may_take_for_another_kind_is_quoted(text: str) -> None:
    """The hash of a fleet file was once a float to the API server."""
    body = {"kind": "X", "text": text, "list": [text], "deep": [{"a": [{"b": text}]}]}
    lines = stream([Manifest("", body)]).splitlines()
    found = [line for line in lines if text in line]
    assert len(found) == 3
    for line in found:
        assert f"'{text}'" in line or f'"{text}"' in line


def test_each_rule_has_its_reason_above_it() -> None:
    lines = printed().splitlines()
    rules = [number for number, line in enumerate(lines) if line.startswith("- apiGroups:")]
    assert len(rules) > 20
    for number in rules:
        assert lines[number - 1].startswith("# "), lines[number]


def test_the_roles_have_no_wildcard_and_nothing_about_secrets() -> None:
    roles = [each for each in objects() if each["kind"] in {"Role", "ClusterRole"}]
    granted = {
        (verb, name)
        for role in roles
        for rule in role["rules"]
        for verb in rule["verbs"]
        for name in rule["resources"]
    }
    assert not [each for each in granted if "*" in each[0] or each[1].startswith(("*", "secrets"))]
    assert {verb for verb, _ in granted} <= {"get", "list", "watch", "patch", "create"}
    [everywhere] = [role for role in roles if role["kind"] == "ClusterRole"]
    nodes, namespaces = everywhere["rules"]
    assert (nodes["resources"], namespaces["resources"]) == (["nodes"], ["namespaces"])
    tenants = {pool.namespace for pool in parse(FLEET, "fleet.yaml").fleet.pools}
    assert namespaces["resourceNames"] == sorted(tenants)


def test_metrics_are_named_one_by_one_only_where_a_pool_has_them() -> None:
    def groups(namespace: str) -> dict[str, list[str]]:
        rules = the("Role", namespace=namespace)["rules"]
        return {rule["apiGroups"][0]: rule["resources"] for rule in rules}

    theirs = groups("globex")
    assert theirs[EXTERNAL_GROUP] == ["firestore_active"]
    assert theirs[CUSTOM_GROUP] == ["pods/sessions"]
    assert theirs[RESOURCE_GROUP] == ["pods"]
    assert not any("metrics" in group for group in groups("tenant-acme"))


def test_a_read_only_controller_gets_no_right_to_write() -> None:
    text = FLEET.replace("controller:", "controller:\n  read_only: true", 1)
    verbs = {
        verb
        for each in objects(text)
        if each["kind"] in {"Role", "ClusterRole"}
        for rule in each["rules"]
        for verb in rule["verbs"]
    }
    assert verbs == {"get", "list", "watch"}


def test_the_lease_may_only_be_created_and_that_one_changed() -> None:
    rules = the("Role", "agentdash-lease")["rules"]
    assert {tuple(rule["verbs"]): rule.get("resourceNames") for rule in rules} == {
        ("get", "patch"): ["agentdash"],
        ("watch",): ["agentdash"],
        ("create",): None,
    }
    in_nats = FLEET.replace("lease: {namespace: agentdash}", "lease: {store: nats}")
    assert "leases" not in printed(in_nats)


def test_the_pod_has_no_power() -> None:
    pod = the("Deployment")["spec"]["template"]["spec"]
    [container] = pod["containers"]
    assert pod["securityContext"]["runAsNonRoot"]
    assert pod["securityContext"]["runAsUser"] == 65532
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert the("Deployment")["spec"]["replicas"] == 2
    assert the("PodDisruptionBudget")["spec"]["maxUnavailable"] == 1


def test_its_command_line_is_one_that_agentdash_has(tmp_path: Path) -> None:
    [container] = the("Deployment")["spec"]["template"]["spec"]["containers"]
    missing = [each.replace("/etc/", f"{tmp_path}/") for each in container["args"]]
    assert main(missing) == 2, "the fleet file is not there, and nothing else is wrong"


def test_secrets_are_named_and_mounted_where_the_fleet_file_says() -> None:
    pod = the("Deployment")["spec"]["template"]["spec"]
    [container] = pod["containers"]
    variables = {each["name"]: each.get("valueFrom") for each in container["env"]}
    assert variables["NATS_PASSWORD"] == {
        "secretKeyRef": {"name": "agentdash", "key": "NATS_PASSWORD"}
    }
    at = {each["mountPath"]: each for each in container["volumeMounts"]}
    volumes = {each["name"]: each for each in pod["volumes"]}
    secret = volumes[at["/etc/agentdash"]["name"]]["secret"]
    assert secret["items"] == [{"key": "ca.pem", "path": "ca.pem"}]
    assert at["/etc/agentdash"]["readOnly"]
    assert "readOnly" not in at["/var/lib/agentdash"]
    command = "kubectl -n agentdash create secret generic agentdash --from-file=NATS_PASSWORD"
    assert f"#   {command} --from-file=ca.pem\n" in printed()
    assert not [each for each in objects() if each["kind"] == "Secret"]


def test_the_fleet_file_is_as_written_but_for_the_laptops_context() -> None:
    text = the("ConfigMap")["data"]["fleet.yaml"]
    assert text == FLEET.replace("context: production", "context: null")
    assert parse(text, "fleet.yaml").kubernetes.context is None


def test_a_changed_fleet_file_makes_new_pods() -> None:
    def mark(text: str) -> str:
        template = the("Deployment", text=text)["spec"]["template"]
        return str(template["metadata"]["annotations"]["agentdash.dev/fleet"])

    assert mark(FLEET) != mark(FLEET.replace("replicas: 20", "replicas: 21"))


def test_a_tenants_namespace_is_never_printed() -> None:
    assert [each["metadata"]["name"] for each in objects() if each["kind"] == "Namespace"] == [
        "agentdash"
    ]
    beside = Installation(image="x", namespace="tenant-acme")
    assert not [each for each in objects(options=beside) if each["kind"] == "Namespace"]


def test_quotas_and_priorities_are_those_of_the_fleet_file() -> None:
    hard = {
        each["metadata"]["namespace"]: each["spec"]["hard"]
        for each in objects()
        if each["kind"] == "ResourceQuota"
    }
    assert hard == {
        "tenant-acme": {"pods": "20", "requests.cpu": "16", "requests.memory": "64Gi"},
        "globex": {"pods": "5", "requests.cpu": "2500m"},
    }
    values = {
        each["metadata"]["name"]: (each["value"], each["preemptionPolicy"])
        for each in objects()
        if each["kind"] == "PriorityClass"
    }
    assert values == {
        "agentdash-enterprise": (1000, "Never"),
        "agentdash-starter": (100, "Never"),
    }


def test_tenants_of_one_namespace_share_a_quota_only_where_all_have_one() -> None:
    text = FLEET.replace(
        "globex: {tier: starter,", "globex: {tier: starter, namespace: tenant-acme,"
    )
    assert the("ResourceQuota", text=text)["spec"]["hard"] == {
        "pods": "25",
        "requests.cpu": "18500m",
    }


def test_the_network_leads_to_the_servers_of_the_fleet_file_and_nowhere_else() -> None:
    spec = the("NetworkPolicy")["spec"]
    assert spec["policyTypes"] == ["Ingress", "Egress"]
    to = [(rule.get("to"), [each["port"] for each in rule["ports"]]) for rule in spec["egress"]]
    named = "kubernetes.io/metadata.name"

    def inside(namespace: str) -> list[Any]:
        return [{"namespaceSelector": {"matchLabels": {named: namespace}}}]

    assert to == [
        (inside("kube-system"), [53, 53]),
        (None, [443, 6443]),
        (inside("queues"), [4222]),
        ([{"ipBlock": {"cidr": "10.1.2.3/32"}}], [4222]),
        (inside("agentdash"), [9090]),
    ]
    [ingress] = spec["ingress"]
    assert ingress["ports"] == [{"port": 9464, "protocol": "TCP"}]


def test_agents_find_each_other_by_a_headless_service() -> None:
    spec = the("Service", "agents", "globex")["spec"]
    assert spec == {"clusterIP": "None", "selector": {"agentdash.dev/managed": "true"}}


@tabled(
    ("change", "words"),
    [
        (("/etc/agentdash/ca.pem", "ca.pem"), "nats.tls.ca is ca.pem"),
        (("/etc/agentdash/ca.pem", "/etc/ca.pem"), "a folder of its own"),
        (("/var/lib/agentdash/", "/etc/agentdash/"), "cannot be written"),
        (("ca: /etc/agentdash/ca.pem", "ca: /a/x.pem, cert: /b/x.pem, key: /b/k.pem"), "two files"),
        (("controller:", f"# {'x' * 2**20}\ncontroller:"), "a ConfigMap at most 1,048,576"),
    ],
)
def test_what_cannot_run_in_a_pod_is_refused_in_words(change: tuple[str, str], words: str) -> None:
    with pytest.raises(ManifestError, match=words):
        printed(FLEET.replace(*change))


def test_what_is_too_large_for_a_config_map_is_printed_without_it() -> None:
    text = FLEET.replace("controller:", f"# {'x' * 2**20}\ncontroller:")
    with pytest.raises(ManifestError, match=r"--only Namespace,.*Deployment") as refused:
        printed(text)
    kinds = str(refused.value).rpartition(" ")[2].split(",")
    made = manifests(parse(text, "fleet.yaml"), text, OPTIONS, kinds)
    assert {"Role", "Deployment"} <= {each.kind for each in made}
    assert "ConfigMap" not in {each.kind for each in made}


def test_without_pools_there_is_nothing_to_print() -> None:
    text = FLEET[: FLEET.index("pools:")]
    with pytest.raises(ManifestError, match="no pools"):
        printed(text)


def test_only_prints_these_kinds_and_a_wrong_kind_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "fleet.yaml"
    path.write_text(FLEET, "utf-8")
    assert main(["manifests", "-f", str(path), "--only", "role,ConfigMap"]) == 0
    found = list(yaml.safe_load_all(capsys.readouterr().out))
    assert {each["kind"] for each in found} == {"Role", "ConfigMap"}
    with pytest.raises(SystemExit):
        main(["manifests", "-f", str(path), "--only", "Rolle"])
    assert "did you mean Role?" in capsys.readouterr().err


def test_the_readme_has_each_right_with_its_verbs_and_reason() -> None:
    text = (ROOT / "docs/pages/on-a-cluster.md").read_text("utf-8")
    rows = [row for row in text.splitlines() if row.startswith("| `")]

    def told(right: Right) -> bool:
        words = [f"`{name}`" for name in right.resources] + [", ".join(right.verbs), right.reason]
        return any(all(word in row for word in words) for row in rows)

    workloads = rights.workload_rights(WorkloadKind, read_only=False)
    of_all = (rights.WRITING, rights.LOOKING, rights.NODES, rights.NAMESPACES)
    every = (*workloads, *rights.READING, *of_all)
    assert not [right for right in every if not told(right)]


def test_the_dockerfile_installs_only_what_the_lock_has_the_hash_of(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["manifests", "--dockerfile"]) == 0
    text = capsys.readouterr().out
    assert "--require-hashes" in text
    assert "index-url" not in text
