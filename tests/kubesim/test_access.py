"""A service account may do what its roles say and nothing else."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from agentdash.demo.kubesim.controllers.victims import DELETION_COST
from tests.kubesim.conftest import APPS, CORE, MERGE, World

Start = Callable[..., Awaitable[World]]
RBAC = "/apis/rbac.authorization.k8s.io/v1"
SUBJECT = {"kind": "ServiceAccount", "name": "scaler", "namespace": "tenant-a"}


async def _account(world: World, *rules: dict[str, Any], everywhere: bool = False) -> str:
    """The token of a new service account with these rules, in its namespace or everywhere."""
    await world.call("POST", f"{CORE}/serviceaccounts", {"metadata": {"name": "scaler"}})
    kind = "ClusterRole" if everywhere else "Role"
    place = RBAC if everywhere else f"{RBAC}/namespaces/tenant-a"
    role = {"metadata": {"name": "scaler"}, "rules": list(rules)}
    await world.call("POST", f"{place}/{kind.lower()}s", role)
    binding = {
        "metadata": {"name": "scaler"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": "scaler"},
        "subjects": [SUBJECT],
    }
    await world.call("POST", f"{place}/{kind.lower()}bindings", binding)
    _, issued = await world.call("POST", f"{CORE}/serviceaccounts/scaler/token", {"spec": {}})
    return f"Bearer {issued['status']['token']}"


async def test_a_role_allows_its_verbs_on_its_resources(world: World) -> None:
    rule = {"apiGroups": ["apps"], "resources": ["deployments/scale"], "verbs": ["patch"]}
    token = await _account(world, rule)
    path = f"{APPS}/deployments/research"
    body = {"spec": {"replicas": 1}}
    allowed, _ = await world.call("PATCH", f"{path}/scale", body, Authorization=token, **MERGE)
    read, _ = await world.call("GET", path, Authorization=token)
    whole, refused = await world.call("PATCH", path, body, Authorization=token, **MERGE)
    assert (allowed, read, whole) == (200, 403, 403)
    assert 'cannot patch resource "deployments" in API group "apps"' in refused["message"]


async def test_a_deletion_cost_needs_the_right_to_patch_pods(world: World) -> None:
    watch = {"apiGroups": [""], "resources": ["pods"], "verbs": ["list", "watch"]}
    patch = {"apiGroups": [""], "resources": ["pods"], "verbs": ["patch"]}
    await world.scale(1)
    await world.until(lambda: len(world.pods()) == 1)
    [pod] = world.pods()
    body = {"metadata": {"annotations": {DELETION_COST: "-2147483648"}}}
    path = f"{CORE}/pods/{pod.key[1]}"
    token = await _account(world, watch)
    status, refused = await world.call("PATCH", path, body, Authorization=token, **MERGE)
    assert status == 403
    assert 'cannot patch resource "pods"' in refused["message"]
    role = f"{RBAC}/namespaces/tenant-a/roles/scaler"
    await world.call("PATCH", role, {"rules": [watch, patch]}, **MERGE)
    status, marked = await world.call("PATCH", path, body, Authorization=token, **MERGE)
    assert (status, marked["metadata"]["annotations"][DELETION_COST]) == (200, "-2147483648")
    body["metadata"]["annotations"][DELETION_COST] = None  # type: ignore[assignment]
    _, reset = await world.call("PATCH", path, body, Authorization=token, **MERGE)
    assert DELETION_COST not in reset["metadata"].get("annotations", {})


async def test_resource_names_narrow_a_rule(world: World) -> None:
    rule = {
        "apiGroups": ["apps"],
        "resources": ["deployments"],
        "verbs": ["get"],
        "resourceNames": ["research"],
    }
    token = await _account(world, rule)
    assert (await world.call("GET", f"{APPS}/deployments/research", Authorization=token))[0] == 200
    assert (await world.call("GET", f"{APPS}/deployments/other", Authorization=token))[0] == 403


async def test_a_cluster_role_reaches_every_namespace_and_the_whole_cluster(world: World) -> None:
    rule = {"apiGroups": ["*"], "resources": ["*"], "verbs": ["list"]}
    token = await _account(world, rule, everywhere=True)
    for path in ("/api/v1/nodes", "/api/v1/namespaces/default/pods", "/api/v1/pods"):
        assert (await world.call("GET", path, Authorization=token))[0] == 200
    assert (await world.call("GET", "/api/v1/nodes/node-0", Authorization=token))[0] == 403


async def test_a_token_ends_with_its_account(world: World) -> None:
    token = await _account(world)
    await world.call("DELETE", f"{CORE}/serviceaccounts/scaler")
    status, body = await world.call("GET", f"{CORE}/pods", Authorization=token)
    assert (status, body["reason"]) == (401, "Unauthorized")


@pytest.mark.parametrize(("refuse", "wanted"), [(True, 403), (False, 200)])
async def test_without_a_token_a_request_is_the_administrators_or_refused(
    start: Start, refuse: bool, wanted: int
) -> None:
    world = await start(admin_token="secret", refuse_anonymous=refuse)
    assert (await world.call("GET", f"{CORE}/pods"))[0] == wanted
    assert (await world.call("GET", f"{CORE}/pods", Authorization="Bearer secret"))[0] == 200
    assert (await world.call("GET", f"{CORE}/pods", Authorization="Bearer wrong"))[0] == 401
    assert (await world.call("GET", "/version"))[0] == 200


async def test_the_kubeconfig_carries_address_and_token(start: Start, tmp_path: Any) -> None:
    world = await start(admin_token="secret")
    path = tmp_path / "kubeconfig"
    world.sim.write_kubeconfig(path)
    assert path.stat().st_mode & 0o077 == 0
    config = world.sim.kubeconfig()
    assert config["clusters"][0]["cluster"]["server"] == world.sim.url
    assert config["users"][0]["user"]["token"] == "secret"
