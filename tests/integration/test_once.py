"""`agentdash --once` as a process, on a real nats-server and a Kubernetes API."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from agentdash.cli import main
from agentdash.demo.cluster.objects import DEPLOYMENTS, PODS
from controller.exit_codes import ExitCode
from fakes.cluster import SimCluster
from support.forked import Printed, agentdash
from support.live import daemon, fleet_text, streams, until
from support.nats_server import RealNats

NAMES = ["research", "browser"]
NAMESPACE = "tenant-acme"


class Place:
    def __init__(self, folder: Path, server: RealNats, sim: SimCluster) -> None:
        self.fleet = folder / "fleet.yaml"
        self.kubeconfig = folder / "kubeconfig"
        self.server = server
        self.sim = sim
        self.fleet.write_text(fleet_text(server.url, NAMES, maximum=4), "utf-8")
        sim.write_kubeconfig(self.kubeconfig)

    async def once(self, *arguments: object) -> Printed:
        return await agentdash(
            "-f", self.fleet, "--kubeconfig", self.kubeconfig, "--once", *arguments
        )


@pytest.fixture
async def place(tmp_path: Path) -> AsyncIterator[Place]:
    with RealNats(tmp_path / "nats") as server:
        async with streams(server.url, NAMES) as client, SimCluster(speed=50) as sim:
            await sim.create_namespace(NAMESPACE)
            for name in NAMES:
                await sim.create_deployment(name, NAMESPACE)
            for _ in range(7):
                await client.jetstream().publish("tasks.research", b"work")
            yield Place(tmp_path, server, sim)


async def test_without_a_controller_it_looks_once_and_writes_nothing(place: Place) -> None:
    printed = await place.once("pools", "--json")
    assert printed.code == ExitCode.OK, printed.err
    answer = json.loads(printed.out)
    pools = {each["pool"]: each for each in answer["pools"]}
    numbers = [pools["acme/research"][name] for name in ("replicas", "next", "wanted", "pending")]
    assert numbers == [0, 4, 7, 7]
    assert answer["fleet"] == "fleet.yaml"
    assert "no controller answers" in printed.err
    assert place.sim.requests.writes() == []


async def test_views_are_printed_in_every_form_without_colours(place: Place) -> None:
    for view in ("overview", "health", "doctor"):
        printed = await place.once(view, "--width", "80")
        # the doctor may find faults here: nothing grants the rights that it looks for
        codes = (ExitCode.OK, ExitCode.FAILED) if view == "doctor" else (ExitCode.OK,)
        assert printed.code in codes, printed.err
        assert "\x1b" not in printed.out
        assert max(map(len, printed.out.splitlines())) <= 80
    plain = await place.once("queues", "--plain")
    [heading, *rows] = [line.split("\t") for line in plain.out.splitlines()]
    assert dict(zip(heading, rows[0], strict=True))["PENDING"] == "7"
    table = await place.once("qu", "--csv")
    assert [row["pending"] for row in csv.DictReader(io.StringIO(table.out))] == ["7", "0"]


async def test_the_rules_of_one_pool_are_printed(place: Place) -> None:
    printed = await place.once("why research", "--csv")
    assert printed.code == ExitCode.OK, printed.err
    rows = list(csv.DictReader(io.StringIO(printed.out)))
    assert {row["pool"] for row in rows} == {"acme/research"}
    assert (rows[0]["replicas"], rows[-1]["step"], rows[-1]["replicas"]) == ("7", "decided", "4")
    unknown = await place.once("why nosuch")
    assert (unknown.code, unknown.out) == (ExitCode.USAGE, "")
    assert "no pool or tenant 'nosuch'" in unknown.err


async def test_a_pod_is_printed_with_its_containers_and_its_events(place: Place) -> None:
    made = place.sim.store.get(DEPLOYMENTS, NAMESPACE, "browser")
    assert made is not None
    place.sim.registry.patch(made, {"spec": {"replicas": 1}})

    def ready() -> list[str]:
        pods = [each.object for each in place.sim.store.each(PODS, NAMESPACE)]
        running = (each for each in pods if each["status"].get("phase") == "Running")
        return [each["metadata"]["name"] for each in running]

    await until(ready)
    pods = ready()
    printed = await place.once(f"pods {pods[0]}", "--json")
    assert printed.code == ExitCode.OK, printed.err
    answer = json.loads(printed.out)
    assert [each["name"] for each in answer["pods"]] == pods
    [container] = answer["containers"]
    assert (container["container"], container["state"], container["restarts"]) == (
        "agent",
        "running",
        0,
    )
    assert "Scheduled" in [each["reason"] for each in answer["events"]]
    text = await place.once(f"pods acme/browser/{pods[0]}", "--width", "100")
    assert " containers [1]" in text.out.splitlines()
    unknown = await place.once("pods nosuch")
    assert (unknown.code, unknown.out) == (ExitCode.USAGE, "")
    assert "no pod, pool or tenant 'nosuch'" in unknown.err


async def test_help_is_printed_without_a_fleet_and_with_the_keys_that_a_person_chose(
    tmp_path: Path,
) -> None:
    chosen = tmp_path / "agentdash" / "keys.toml"
    chosen.parent.mkdir()
    chosen.write_text('[keys]\nwhy = "w"\n', "utf-8")
    printed = await agentdash("--once", "help", "--plain", XDG_CONFIG_HOME=str(tmp_path))
    assert printed.code == ExitCode.OK, printed.err
    assert "look\tw\texplain the pool's number" in printed.out.splitlines()


async def test_what_was_asked_for_is_printed_without_a_cluster(place: Place) -> None:
    fleet = ("-f", place.fleet)
    where = (*fleet, "--kubeconfig", place.kubeconfig)
    asked = await agentdash(
        "pin", "acme/research", "2", "--until", "2h", "--why", "OPS-881", *where, "--yes"
    )
    assert asked.code == ExitCode.OK, asked.err
    printed = await agentdash(*fleet, "--kubeconfig", "/nosuch", "--once", "audit", "--json")
    assert printed.code == ExitCode.OK, printed.err
    [change] = json.loads(printed.out)["audit"]
    found = [change[name] for name in ("kind", "scope", "before", "after", "why")]
    assert found == ["pin", "acme/research", "nothing", "2 spares kept ready", "OPS-881"]
    place.server.kill()
    lost = await agentdash(*fleet, "--once", "audit")
    assert (lost.code, lost.out) == (ExitCode.UNREACHABLE, "")


async def test_the_checks_are_printed_with_what_they_found(place: Place) -> None:
    printed = await place.once("doctor", "--json")
    found = json.loads(printed.out)["doctor"]
    failed = any(each["level"] in {"fail", "skip"} for each in found)
    assert printed.code == (ExitCode.FAILED if failed else ExitCode.OK)
    assert any(each["check"] == "workloads" for each in found)


async def test_a_running_controller_is_asked_first(place: Place) -> None:
    async with daemon(place.fleet, place.kubeconfig):
        await until(place.sim.requests.writes)
        while True:  # the snapshot after the write comes a moment after it
            printed = await place.once("events", "--json")
            assert (printed.code, printed.err) == (ExitCode.OK, "")
            if events := json.loads(printed.out)["events"]:
                break
    event = events[0]
    assert (event["pool"], event["before"]) == ("acme/research", 0)


async def test_a_server_that_cannot_be_reached_is_named(place: Place) -> None:
    place.server.kill()
    printed = await place.once("pools", "--plain")
    assert printed.code == ExitCode.UNREACHABLE
    assert "agentdash: nats is " in printed.err
    assert "blind" in printed.out


def test_wrong_usage_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    for arguments, words in (
        (("--once", "pool5"), "no view 'pool5'; try pool"),
        (("--json",), "--json needs --once VIEW"),
        (("--width", "80"), "--width needs --once VIEW"),
        (("--once", "pools", "--json", "--csv"), "--json and --csv do not go together"),
        (("--once", "pools", "--csv", "--width", "80"), "--csv and --width do not go"),
        (("--once", "pools", "--width", "7"), "from 40 to 10000"),
        (("--once", "polls"), "no view 'polls'; try pools"),
        (("--once", "pools", "plan"), "it takes no verb"),
        (("--once", "pools", "--controller-only"), "use one of them"),
    ):
        with pytest.raises(SystemExit, match=str(int(ExitCode.USAGE))):
            raise SystemExit(main(list(arguments)))
        printed = capsys.readouterr()
        assert printed.out == ""
        assert words in printed.err
