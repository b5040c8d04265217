"""`agentdash plan` and `agentdash why` as processes, on a real nats-server and a Kubernetes API."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import NamedTuple

import pytest
from nats.aio.client import Client

from controller.exit_codes import ExitCode
from fakes.cluster import SimCluster
from support import forked
from support.live import PATIENCE_S, fleet_text, streams
from support.nats_server import RealNats

NAMES = ["research", "browser"]
NAMESPACE = "tenant-acme"
PROBE = """
import atexit, json, sys
def tell():
    heavy = {"textual", "rich", "kubernetes", "nats", "pydantic", "yaml", "aiohttp", "msgspec"}
    print(json.dumps(sorted(heavy & set(sys.modules))), file=sys.__stderr__)
atexit.register(tell)
from agentdash.cli import main
sys.exit(main(sys.argv[1:]))
"""


class Ended(NamedTuple):
    code: int | None
    out: str
    err: list[str]

    @property
    def loaded(self) -> set[str]:
        return set(json.loads(self.err[-1]))


async def agentdash(*arguments: object) -> Ended:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        PROBE,
        *map(str, arguments),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        out, err = await asyncio.wait_for(process.communicate(), PATIENCE_S)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    return Ended(process.returncode, out.decode(), err.decode().splitlines())


class Live:
    def __init__(self, folder: Path, server: RealNats, sim: SimCluster, client: Client) -> None:
        self.fleet = folder / "fleet.yaml"
        self.kubeconfig = folder / "kubeconfig"
        self.server = server
        self.sim = sim
        self.client = client
        self.fleet.write_text(fleet_text(server.url, NAMES, maximum=4), "utf-8")
        sim.write_kubeconfig(self.kubeconfig)

    async def publish(self, name: str, count: int) -> None:
        for _ in range(count):
            await self.client.jetstream().publish(f"tasks.{name}", b"work")

    async def run(self, verb: str, *options: object) -> Ended:
        code, out, err = await forked.agentdash(*self.words(verb, *options))
        return Ended(code, out, err.splitlines())

    def words(self, verb: str, *options: object) -> tuple[object, ...]:
        return verb, "-f", self.fleet, "--kubeconfig", self.kubeconfig, *options


@pytest.fixture
async def live(tmp_path: Path) -> AsyncIterator[Live]:
    with RealNats(tmp_path / "nats") as server:
        async with streams(server.url, NAMES) as client, SimCluster(speed=50) as sim:
            await sim.create_namespace(NAMESPACE)
            for name in NAMES:
                await sim.create_deployment(name, NAMESPACE)
            yield Live(tmp_path, server, sim, client)


async def test_a_live_plan_says_what_would_be_done_and_writes_nothing(live: Live) -> None:
    await live.publish("research", 7)
    ended = await agentdash(*live.words("plan", "--json", "--fresh"))
    assert ended.code == ExitCode.OK, ended.err
    answer = json.loads(ended.out)
    numbers = {
        each["pool"]: (each["current"], each["next"], each["wanted"], each["bound"])
        for each in answer["pools"]
    }
    assert numbers == {"acme/research": (0, 4, 7, "max"), "acme/browser": (0, 0, 0, "demand")}
    assert "--fresh: planned without memory" in ended.err[0]
    assert live.sim.requests.writes() == []
    assert not ended.loaded & {"textual", "rich"}


async def test_a_live_why_names_the_rules_and_the_number_without_max(live: Live) -> None:
    await live.publish("research", 7)
    ended = await agentdash(*live.words("why", "acme/research"))
    assert ended.code == ExitCode.OK, ended.err
    assert "7 pending + 0 in flight" in ended.out
    assert ended.out.endswith("without max: 7\n")
    assert "acme/browser" not in ended.out
    assert live.sim.requests.writes() == []
    assert not ended.loaded & {"textual", "rich"}


async def test_a_server_that_cannot_be_reached_is_named_and_the_plan_is_blind(live: Live) -> None:
    live.server.kill()
    ended = await live.run("plan", "--json")
    assert ended.code == ExitCode.UNREACHABLE
    assert any(line.startswith("agentdash: nats is ") for line in ended.err)
    codes = [each["reasons"][0]["code"] for each in json.loads(ended.out)["pools"]]
    assert codes == ["queue_unknown", "queue_unknown"]


async def test_without_a_kubeconfig_nothing_is_planned(live: Live) -> None:
    live.kubeconfig.unlink()
    ended = await live.run("plan")
    assert (ended.code, ended.out) == (ExitCode.UNREACHABLE, "")
    assert "kubeconfig" in ended.err[0]


@pytest.mark.parametrize("verb", ["plan", "why"])
async def test_help_loads_nothing_heavy(verb: str) -> None:
    ended = await agentdash(verb, "--help")
    assert (ended.code, ended.loaded) == (ExitCode.OK, set())


@pytest.mark.parametrize("verb", [("plan",), ("why", "acme/research")])
async def test_from_a_file_neither_screen_nor_client_is_loaded(
    verb: tuple[str, ...], tmp_path: Path
) -> None:
    fleet, ticks = tmp_path / "fleet.yaml", tmp_path / "ticks.jsonl"
    fleet.write_text(fleet_text("nats://127.0.0.1:9", NAMES), "utf-8")
    ticks.write_text('{"version": 1, "now": 1, "observation": {"pools": {"acme/research": {}}}}\n')
    ended = await agentdash(*verb, "-f", fleet, "--observations", ticks)
    assert ended.code == ExitCode.OK
    assert "acme/research" in ended.out
    assert not ended.loaded & {"textual", "rich", "kubernetes", "nats", "aiohttp"}


def offline(folder: Path, ticks: int = 1) -> tuple[str, ...]:
    """The arguments after `plan` or `why` that make it read a file."""
    fleet, observations = folder / "fleet.yaml", folder / "ticks.jsonl"
    fleet.write_text(fleet_text("nats://127.0.0.1:9", NAMES), "utf-8")
    line = '{"version": 1, "now": 1, "observation": {"pools": {"acme/research": {}}}}\n'
    observations.write_text(line * ticks)
    return "-f", str(fleet), "--observations", str(observations), "--all"


async def test_a_reader_that_closes_the_pipe_ends_it_without_a_word(tmp_path: Path) -> None:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "agentdash", "plan", *offline(tmp_path, ticks=5000)),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    assert process.stderr is not None
    await process.stdout.readline()
    process._transport.get_pipe_transport(1).close()  # type: ignore[attr-defined]  # as `head` does
    assert await asyncio.wait_for(process.wait(), PATIENCE_S) == -signal.SIGPIPE
    assert await process.stderr.read() == b""


async def redirected(redirection: str, *arguments: str) -> Ended:
    """A process whose streams a shell has redirected, as in `>&-`."""
    process = await asyncio.create_subprocess_exec(
        *("sh", "-c", f'exec "$@" {redirection}', "sh", sys.executable, "-m", "agentdash"),
        *arguments,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        out, err = await asyncio.wait_for(process.communicate(), PATIENCE_S)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    return Ended(process.returncode, out.decode(), err.decode().splitlines())


FAILURES = {
    ">&-": "it is closed",
    ">/dev/full": "No space left on device",
    "1</dev/null": "Bad file descriptor",
}


@pytest.mark.parametrize(
    ("redirection", "verb"),
    [
        (">&-", "plan"),
        (">&-", "--help"),
        (">/dev/full", "plan --json"),
        (">/dev/full", "schema fleet"),
        ("1</dev/null", "why acme/research"),
        ("1</dev/null", "example"),
    ],
)
async def test_an_output_that_cannot_be_written_is_reported_with_exit_code_3(
    tmp_path: Path, redirection: str, verb: str
) -> None:
    arguments = verb.split()
    if arguments[0] in {"plan", "why"}:
        arguments += offline(tmp_path)
    ended = await redirected(redirection, *arguments)
    assert (ended.code, ended.out) == (ExitCode.UNREACHABLE, "")
    why = FAILURES[redirection]
    assert ended.err[-1] == f"agentdash: standard output cannot be written: {why}"
    assert not any("Traceback" in line or "Exception" in line for line in ended.err)


@pytest.mark.parametrize(
    ("redirection", "why"), [("<&-", "it is closed"), ("0>/dev/null", "Bad file descriptor")]
)
async def test_an_input_that_cannot_be_read_is_reported_with_exit_code_3(
    tmp_path: Path, redirection: str, why: str
) -> None:
    _, fleet, *_ = offline(tmp_path)
    ended = await redirected(redirection, "plan", "-f", fleet, "--observations", "-")
    assert (ended.code, ended.out) == (ExitCode.UNREACHABLE, "")
    assert ended.err == [f"agentdash: standard input cannot be read: {why}"]


@pytest.mark.parametrize("redirection", ["2>&-", "2>/dev/full"])
async def test_without_a_standard_error_the_answer_is_complete_and_the_exit_code_right(
    tmp_path: Path, redirection: str
) -> None:
    ended = await redirected(redirection, "plan", *offline(tmp_path), "--json")
    assert ended.code == ExitCode.OK
    assert [each["pool"] for each in json.loads(ended.out)["pools"]] == ["acme/research"]
    ended = await redirected(redirection, "plan", "-f", str(tmp_path / "nowhere.yaml"))
    assert (ended.code, ended.out) == (ExitCode.USAGE, "")


async def test_a_live_look_works_with_closed_streams(live: Live) -> None:
    arguments = ("plan", "-f", str(live.fleet), "--kubeconfig", str(live.kubeconfig), "--json")
    ended = await redirected("<&-", *arguments)
    assert ended.code == ExitCode.OK, ended.err
    assert len(json.loads(ended.out)["pools"]) == 2
    ended = await redirected(">&- <&-", *arguments)
    assert ended.code == ExitCode.UNREACHABLE
    assert ended.err[-1] == "agentdash: standard output cannot be written: it is closed"


async def test_a_live_plan_names_intents_for_pools_that_the_fleet_does_not_have(
    live: Live,
) -> None:
    bucket = await live.client.jetstream().create_key_value(bucket="agentdash")
    await bucket.put("intent.freeze.acme.reserch", b'{"version": 1, "who": "ann"}')
    ended = await live.run("plan", "--json")
    assert ended.code == ExitCode.OK, ended.err
    assert (
        "agentdash: intents.asked[0].scope.pool: the fleet has no pool acme/reserch; "
        "nearest: acme/research, acme/browser"
    ) in ended.err
    assert len(json.loads(ended.out)["pools"]) == 2
