"""Text from a hostile cluster, all the way from an API server to the bytes of a terminal."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from agentdash.demo.cluster.objects import DEPLOYMENTS, EVENTS, PODS, REPLICA_SETS
from fakes.cluster import ColdStart, SimCluster
from support.live import fleet_text, streams, until
from support.nats_server import RealNats
from support.terminal import in_terminal

EVIL = "[@click=app.quit()]x\x1b]52;c;AAAA\x07\u202e\x9b31m"
SHOWN = r"\[@click=app.quit\(\)\]x"
NAMESPACE = "tenant-acme"


def plant(sim: SimCluster) -> None:
    """A label, a pod's name, a container's message and an event's note that mean harm."""
    registry, store = sim.registry, sim.store
    [owner] = store.each(REPLICA_SETS, NAMESPACE)
    metadata = owner.object["metadata"]
    spec: dict[str, Any] = owner.object["spec"]["template"]["spec"]
    registry.create(
        PODS,
        NAMESPACE,
        {
            "metadata": {
                "name": EVIL,
                "labels": owner.object["spec"]["template"]["metadata"]["labels"],
                "ownerReferences": [
                    {
                        "apiVersion": "apps/v1",
                        "kind": "ReplicaSet",
                        "name": metadata["name"],
                        "uid": metadata["uid"],
                        "controller": True,
                    }
                ],
            },
            "spec": spec,
        },
    )
    registry.create(
        EVENTS,
        NAMESPACE,
        {
            "metadata": {"name": "research.1"},
            "type": "Warning",
            "reason": "Evil" + EVIL,
            "message": EVIL,
            "involvedObject": {
                "apiVersion": "apps/v1",
                "kind": "Deployment",
                "name": "research",
                "namespace": NAMESPACE,
            },
        },
    )


def all_waiting(sim: SimCluster) -> bool:
    """Whether each pod's image cannot be pulled, with a message that means harm."""
    pods = list(sim.store.each(PODS, NAMESPACE))
    for pod in pods:
        for container in pod.object["status"].get("containerStatuses", ()):
            waiting = {"reason": "ImagePullBackOff", "message": EVIL}
            found = container | {"state": {"waiting": waiting}}
            sim.registry.set_status(pod, pod.object["status"] | {"containerStatuses": [found]})
    return len(pods) == 3 and all("containerStatuses" in pod.object["status"] for pod in pods)


@pytest.mark.timeout(120)
async def test_hostile_text_of_a_cluster_reaches_the_screen_as_text(tmp_path: Path) -> None:
    fleet, kubeconfig = tmp_path / "fleet.yaml", tmp_path / "kubeconfig"
    with RealNats(tmp_path / "nats") as server:
        fleet.write_text(fleet_text(server.url, ["research"], minimum=3), "utf-8")
        async with (
            streams(server.url, ["research"]),
            SimCluster(cold_start=ColdStart(median_s=1e9)) as sim,
        ):
            sim.write_kubeconfig(kubeconfig)
            await sim.create_namespace(NAMESPACE)
            await sim.create_deployment("research", NAMESPACE, replicas=2, labels={"team": EVIL})
            await until(lambda: list(sim.store.each(REPLICA_SETS, NAMESPACE)))
            found = sim.registry.read(DEPLOYMENTS, NAMESPACE, "research")
            sim.registry.patch(found, {"spec": {"replicas": 3}})
            plant(sim)
            await until(lambda: all_waiting(sim))
            assert sim.store.get(PODS, NAMESPACE, EVIL) is not None
            async with in_terminal("-f", str(fleet), "--kubeconfig", str(kubeconfig)) as terminal:
                await terminal.shows("acme/research")
                await terminal.shows(r"cannot be pulled: \[")
                terminal.keys("d")
                await terminal.shows("labels")
                await terminal.shows(r"team=" + SHOWN)
                await terminal.shows(r"pods starting: the image")
                await terminal.shows(SHOWN + r".* \(")
                assert terminal.process.returncode is None
                terminal.keys("\x03\x03")
    assert terminal.process.returncode == 0
    # Textual itself sets the pointer's shape by an OSC that ends in BEL
    written = re.sub(rb"\x1b\]22;\w+\x07", b"", bytes(terminal.written))
    for harm in (b"\x1b]52", b"\x07", "\u202e".encode(), "\x9b".encode()):
        assert harm not in written
