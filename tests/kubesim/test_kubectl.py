"""kubectl works against the simulator: get, describe, scale, annotate, apply, rollout, watch."""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
import yaml

from tests.kubesim.conftest import World

KUBECTL = shutil.which("kubectl")
pytestmark = pytest.mark.skipif(KUBECTL is None, reason="no kubectl on PATH")
Run = Callable[..., Awaitable[str]]


@pytest.fixture
def kubectl(world: World, tmp_path: Path) -> Run:
    config = tmp_path / "kubeconfig"
    world.sim.write_kubeconfig(config)
    environment = {**os.environ, "KUBECONFIG": str(config), "HOME": str(tmp_path)}

    async def run(*arguments: str, text: str = "") -> str:
        process = await asyncio.create_subprocess_exec(
            str(KUBECTL),
            "--namespace=tenant-a",
            *arguments,
            env=environment,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        out, err = await asyncio.wait_for(process.communicate(text.encode()), 20)
        assert process.returncode == 0, err.decode()
        return out.decode()

    return run


async def test_scale_rollout_get_and_describe(world: World, kubectl: Run) -> None:
    assert "scaled" in await kubectl("scale", "deploy/research", "--replicas=2")
    assert "successfully rolled out" in await kubectl("rollout", "status", "deploy/research")
    header, row = (await kubectl("get", "deploy")).splitlines()
    assert header.split() == ["NAME", "READY", "UP-TO-DATE", "AVAILABLE", "AGE"]
    assert row.split()[:4] == ["research", "2/2", "2", "2"]
    pods = (await kubectl("get", "po", "--no-headers")).splitlines()
    assert [line.split()[1:3] for line in pods] == [["1/1", "Running"]] * 2
    name = world.pods()[0].key[1]
    described = await kubectl("describe", "pod", name)
    assert "Controlled By:  ReplicaSet/research-" in described
    assert "Successfully assigned" in described
    assert "2 desired | 2 updated | 2 total | 2 available" in await kubectl(
        "describe", "deploy/research"
    )


async def test_annotate_label_and_delete(world: World, kubectl: Run) -> None:
    await kubectl("annotate", "deploy/research", "note=seen")
    await kubectl("label", "deploy/research", "tier=growth")
    assert "research" in await kubectl("get", "deploy", "--selector=tier=growth")
    assert await kubectl("get", "deploy", "--output=jsonpath={.items[0].metadata.annotations.note}")
    assert "deleted" in await kubectl("delete", "deploy/research")
    assert not list(await kubectl("get", "deploy", "--output=name"))


async def test_apply_creates_and_then_changes(kubectl: Run) -> None:
    body = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "api"},
        "spec": {
            "replicas": 1,
            "selector": {"matchLabels": {"app": "api"}},
            "template": {
                "metadata": {"labels": {"app": "api"}},
                "spec": {
                    "containers": [
                        {"name": "c", "image": "i:1", "env": [{"name": "A", "value": "1"}]}
                    ]
                },
            },
        },
    }
    arguments = ("apply", "--validate=false", "--filename=-")
    assert "created" in await kubectl(*arguments, text=yaml.safe_dump(body))
    assert "unchanged" in await kubectl(*arguments, text=yaml.safe_dump(body))
    changed = yaml.safe_dump(body).replace("value: '1'", "value: '2'")
    assert "configured" in await kubectl(*arguments, text=changed)
    path = "--output=jsonpath={.spec.template.spec.containers[0].env[0].value}"
    assert await kubectl("get", "deploy/api", path) == "2"


async def test_get_nodes_events_and_short_names(world: World, kubectl: Run) -> None:
    await world.scale(1)
    await world.until(lambda: world.ready() == 1)
    assert (await kubectl("get", "no", "--no-headers")).count("Ready") == 3
    assert "ScalingReplicaSet" in await kubectl("get", "ev")
    kinds = "quota,sa,cm,lease,pdb,hpa,pc,rs,roles,rolebindings,ns"
    assert "serviceaccount/default" in await kubectl("get", kinds)


async def test_get_with_a_watch_follows_a_deployment(world: World, tmp_path: Path) -> None:
    config = tmp_path / "kubeconfig"
    world.sim.write_kubeconfig(config)
    process = await asyncio.create_subprocess_exec(
        str(KUBECTL),
        "--namespace=tenant-a",
        "get",
        "deploy",
        "--watch",
        "--no-headers",
        env={**os.environ, "KUBECONFIG": str(config), "HOME": str(tmp_path)},
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    async with asyncio.timeout(20):
        assert (await process.stdout.readline()).split()[1] == b"0/0"
        await world.scale(1)
        while (await process.stdout.readline()).split()[1] != b"1/1":
            continue
    process.terminate()
    await process.wait()
