"""The verbs by which operators ask for something, as processes, on a real nats-server and a
Kubernetes API; on a terminal and without one.
"""

from __future__ import annotations

import asyncio
import json
import os
import pty
import re
import sys
import time
import tty
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from nats.aio.client import Client

from agentdash.demo.cluster.objects import DEPLOYMENTS
from controller.engine.supervise import SystemClock
from controller.exit_codes import ExitCode
from controller.model.intents import IntentKind, Intents, Operator, Scope
from controller.model.settings import NatsSettings
from controller.nats.bucket import Bucket
from controller.nats.desk import BucketDesk
from controller.nats.intents import read_intents
from controller.nats.session import NatsSession
from fakes.cluster import SimCluster
from support.asked import a_pause
from support.forked import agentdash
from support.live import PATIENCE_S, daemon, streams, until
from support.nats_server import RealNats

NAMES = ["research", "browser"]
NAMESPACE = "tenant-acme"
FLEET = """\
version: 1
nats: {{servers: ['{url}']}}
controller: {{interval: 200ms}}
tenants:
  acme: {{tier: growth, namespace: tenant-acme}}
  globex: {{tier: growth, namespace: tenant-globex}}
  initech: {{tier: growth, namespace: tenant-initech, budget: {{tokens_per_day: 1000}}}}
pools:
  - &pool
    name: research
    tenant: acme
    queue: {{stream: TASKS, consumer: research}}
    replicas: {{min: 0, max: 10}}
    cooldown: 0s
    behavior: {{scaleDown: {{stabilizationWindowSeconds: 0}}}}
  - <<: *pool
    name: browser
    queue: {{stream: TASKS, consumer: browser}}
"""
ANN = {"SUDO_USER": "ann", "SSH_CONNECTION": "192.0.2.7 50000 198.51.100.1 22"}
BEN = {"SUDO_USER": "ben", "SSH_CONNECTION": ""}


class Ended(NamedTuple):
    code: int | None
    out: str
    err: str

    @property
    def answer(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.out)
        return found


class Live:
    def __init__(self, folder: Path, server: RealNats, sim: SimCluster, client: Client) -> None:
        self.fleet = folder / "fleet.yaml"
        self.kubeconfig = folder / "kubeconfig"
        self.server = server
        self.sim = sim
        self.client = client
        self.fleet.write_text(FLEET.format(url=server.url), "utf-8")
        sim.write_kubeconfig(self.kubeconfig)

    def command(self, verb: str, *options: object) -> list[str]:
        place = ("-f", self.fleet, "--kubeconfig", self.kubeconfig)
        return [sys.executable, "-m", "agentdash", *map(str, (verb, *options, *place))]

    async def run(self, verb: str, *options: object, who: dict[str, str] | None = None) -> Ended:
        """Without a terminal."""
        words = self.command(verb, *options)
        return Ended(*await agentdash(*words[3:], **(ANN if who is None else who)))

    async def ask(self, *answers: str, verb: tuple[object, ...]) -> Ended:
        """On a terminal, with these answers to its questions."""
        ours, theirs = pty.openpty()
        tty.setraw(ours)
        process = await asyncio.create_subprocess_exec(
            *self.command(str(verb[0]), *verb[1:]),
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            env=os.environ | ANN,
        )
        os.close(theirs)
        loop, shown = asyncio.get_running_loop(), bytearray()
        ended = asyncio.Event()

        def read() -> None:
            try:
                chunk = os.read(ours, 4096)
            except OSError:  # the other end is closed
                chunk = b""
            shown.extend(chunk)
            if not chunk:
                loop.remove_reader(ours)
                ended.set()

        loop.add_reader(ours, read)
        for number, answer in enumerate(answers, start=1):
            await until(lambda n=number: shown.count(b"? ") >= n or b"confirm: " in shown)
            os.write(ours, f"{answer}\n".encode())
        await asyncio.wait_for(asyncio.gather(process.wait(), ended.wait()), PATIENCE_S)
        os.close(ours)
        return Ended(process.returncode, shown.decode(), "")

    async def intents(self) -> Intents:
        async with NatsSession(NatsSettings(servers=(self.server.url,)), SystemClock()) as session:
            await until(lambda: session.connected)
            return (await read_intents(Bucket(session, "agentdash"))).intents

    def replicas(self, name: str) -> int:
        stored = self.sim.store.get(DEPLOYMENTS, NAMESPACE, name)
        assert stored is not None
        return int(stored.object["spec"]["replicas"])

    async def publish(self, name: str, count: int) -> None:
        for _ in range(count):
            await self.client.jetstream().publish(f"tasks.{name}", b"work")


NO_RIGHT_TO_WRITE = """
authorization {users: [{user: u, password: p, permissions: {publish: {deny: ["$KV.>"]}}}]}
no_auth_user: u
"""


@pytest.fixture
async def live(tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[Live]:
    with RealNats(tmp_path / "nats", getattr(request, "param", "")) as server:
        async with streams(server.url, NAMES) as client, SimCluster(speed=50) as sim:
            await sim.create_namespace(NAMESPACE)
            for name in NAMES:
                await sim.create_deployment(name, NAMESPACE)
            yield Live(tmp_path, server, sim, client)


async def test_a_pause_is_stated_written_obeyed_listed_and_undone(live: Live) -> None:
    async with daemon(live.fleet, live.kubeconfig) as running:
        await until(lambda: running.said("started"))
        await live.publish("research", 3)
        await until(lambda: live.replicas("research") == 3)
        await running.pass_ticks(2)  # the verb goes by what the controller has seen and told
        ended = await live.run(
            "pause", "acme", "--until", "2h", "--why", "OPS-902", "--yes", "--json"
        )
        assert ended.code == ExitCode.OK, ended.err
        assert ended.answer["statement"] == "2 pools, 3 replicas idle now go"
        assert (ended.answer["written"], ended.answer["kind"]) == (True, "pause")
        await until(lambda: live.replicas("research") == 0)
        [pause] = (await live.intents()).of(IntentKind.PAUSE)
        assert (pause.who.split("@")[0], pause.why) == ("ann", "OPS-902")

        listed = await live.run("intents")
        assert "tenant acme pause paused" in listed.out
        assert "from 192.0.2.7" in listed.out
        assert "OPS-902" in listed.out

        undone = await live.run("undo", "--yes")
        assert undone.code == ExitCode.OK, undone.err
        assert "undo tenant acme: 2 pools, 3 replicas start now" in undone.out
        await until(lambda: live.replicas("research") == 3)
    audit = (await live.run("intents", "--audit", "--json")).answer["changes"]
    assert [(each["kind"], each["after"] is None, each["undoes"]) for each in audit] == [
        ("pause", False, None),
        ("pause", True, ended.answer["revision"]),
    ]
    again = await live.run("undo", "--yes")
    assert again.code == ExitCode.REFUSED
    assert "has changed nothing that could be taken back" in again.err


async def test_a_dry_run_says_it_and_writes_nothing(live: Live) -> None:
    ended = await live.run("cap", "acme/research", "2", "--why", "-", "--until", "-", "--dry-run")
    assert ended.code == ExitCode.OK, ended.err
    assert ended.out.startswith("cap acme/research: 1 pool, nothing changes now: ")
    assert ended.out.endswith(
        "; at most 2 replicas; until it is taken back; undo: agentdash undo\n"
    )
    without_why = await live.run("cap", "acme/research", "20", "--dry-run")
    assert without_why.code == ExitCode.OK, without_why.err
    assert "nothing changes now: its max is 10; at most 20 replicas" in without_why.out
    frozen = await live.run("freeze", "acme/research", "--why", "a move", "--dry-run")
    assert re.search(r"frozen by \S+@\S+ \(a move\): it stays at", frozen.out), frozen.out
    names = [stream.config.name for stream in await live.client.jetstream().streams_info()]
    assert names == ["TASKS"]


async def test_what_has_no_end_on_the_command_line_ends_in_two_hours(live: Live) -> None:
    begin = time.time()
    ended = await live.run("freeze", "--all", "--why", "upgrade", "--dry-run", "--json")
    assert ended.code == ExitCode.OK, ended.err
    until = ended.answer["intent"]["until"]
    assert begin + 7200 <= until <= time.time() + 7200
    endless = ("freeze", "--all", "--until", "-", "--why", "upgrade", "--dry-run", "--json")
    assert (await live.run(*endless)).answer["intent"]["until"] is None


async def test_the_second_operator_is_told_who_was_first_and_replaces_in_so_many_words(
    live: Live,
) -> None:
    asked = ("pin", "acme/research", "2", "--until", "-", "--why", "launch", "--yes")
    assert (await live.run(*asked)).code == ExitCode.OK
    second = await live.run("pin", "acme/research", "4", "--why", "no", "--yes", who=BEN)
    assert (second.code, second.out) == (ExitCode.REFUSED, "")
    assert "the pin of acme/research: 2 spares kept ready, until it is taken back, by ann@" in (
        second.err
    )
    assert "(launch); --replace puts this one in its place" in second.err
    third = await live.run(
        "pin", "acme/research", "4", "--why", "no", "--yes", "--replace", who=BEN
    )
    assert third.code == ExitCode.OK, third.err
    assert "in place of: the pin of acme/research: 2 spares" in third.out
    [pin] = (await live.intents()).of(IntentKind.PIN)
    assert (pin.amount, pin.who.split("@")[0]) == (4, "ben")
    undone = await live.run("undo", "--yes")
    assert undone.code == ExitCode.REFUSED
    assert "ben@" in undone.err
    assert [each.amount for each in (await live.intents()).of(IntentKind.PIN)] == [4]


WRONG: dict[tuple[str, ...], str] = {
    ("freeze", "acme/reserch"): "the fleet has no pool acme/reserch; nearest: acme/research",
    ("hold", "acmee"): "the fleet has no tenant acmee; nearest: acme",
    ("hold", "research"): "the fleet has no tenant research; nearest: acme/research",
    ("pin", "acme", "1"): "acme is a tenant: name one of its pools (acme/research, acme/b",
    ("budget", "globex", "8M"): "the fleet file gives globex no tokens_per_day",
    ("budget", "initech"): "budget takes either TOKENS, such as 8M, or --withdraw",
    ("pause", "acme", "--until", "soon"): '--until: "soon" must be a duration such as 2h',
    ("pause", "acme", "--until", "1999-01-01"): "is in the past",
    ("cap", "acme/research", "-1"): "",
    ("pause",): "one of these is missing: SCOPE, --all",
    ("budget", "acme/research", "8M"): "a day's budget belongs to a tenant",
    ("pause", "acme", "--all"): "not allowed with",
}


async def test_what_cannot_be_is_a_usage_error_and_writes_nothing(live: Live) -> None:
    for verb, said in WRONG.items():
        ended = await live.run(*verb, "--why", "-", "--yes")
        assert (ended.code, ended.out) == (ExitCode.USAGE, "")
        assert said in ended.err
    assert await live.intents() == Intents()


async def test_without_a_terminal_it_needs_yes_and_a_reason(live: Live) -> None:
    unsure = await live.run("freeze", "--all", "--why", "upgrade")
    assert unsure.code == ExitCode.USAGE
    assert "--yes" in unsure.err
    for why in ((), ("--why", " ")):
        reasonless = await live.run("freeze", "--all", "--yes", *why)
        assert reasonless.code == ExitCode.USAGE
        assert "--why" in reasonless.err
    assert await live.intents() == Intents()


async def test_on_a_terminal_it_asks_and_the_more_it_concerns_the_more_is_typed(
    live: Live,
) -> None:
    for verb, answers, written in (
        (("pause", "acme"), ["OPS-1", "n"], 0),
        (("pause", "acme/research", "--why", "-"), ["y"], 1),
        (("freeze", "--all", "--why", "-"), ["y"], 1),
        (("freeze", "--all", "--why", "-"), ["fleet.yaml"], 2),
    ):
        before = len(list(await live.intents()))
        ended = await live.ask(*answers, verb=verb)
        is_refused = written == before
        assert ended.code == (ExitCode.REFUSED if is_refused else ExitCode.OK), ended.out
        assert ("not confirmed: nothing was changed" in ended.out) is is_refused
        assert len(list(await live.intents())) == written


async def test_what_is_not_there_cannot_be_taken_back_and_the_wider_one_is_named(
    live: Live,
) -> None:
    assert (await live.run("pause", "acme", "--why", "cost", "--yes")).code == ExitCode.OK
    ended = await live.run("resume", "acme/research", "--why", "-", "--yes")
    assert ended.code == ExitCode.REFUSED
    assert "there is no such thing to take back: the pause of acme/research" in ended.err
    assert "but the pause of tenant acme: paused" in ended.err
    assert (await live.run("resume", "acme", "--why", "-", "--yes", who=BEN)).code == ExitCode.OK
    assert await live.intents() == Intents()


async def test_a_days_budget_ends_at_the_tenants_reset_and_is_taken_back(live: Live) -> None:
    ended = await live.run("budget", "initech", "8M", "--why", "deal", "--yes", "--json")
    assert ended.code == ExitCode.OK, ended.err
    intent = ended.answer["intent"]
    assert (intent["amount"], intent["until"] % 86_400) == (8_000_000, 0.0)
    back = await live.run("budget", "initech", "--withdraw", "--why", "-", "--yes")
    assert back.code == ExitCode.OK, back.err
    assert await live.intents() == Intents()


async def test_what_cannot_be_read_can_be_taken_away(live: Live) -> None:
    bucket = await live.client.jetstream().create_key_value(bucket="agentdash")
    for record in (b"?", b'{"version":1,"until":1e300}', b'{"version":1,"until":253402300800}'):
        await bucket.put("intent.freeze", record)
        listed = await live.run("intents")
        assert (listed.code, "freeze cannot be read" in listed.out) == (0, True)
        [told] = (await live.run("intents", "--json")).answer["intents"]
        assert (told["kind"], bool(told["problem"])) == ("freeze", True)
        again = await live.run("freeze", "--all", "--why", "-", "--yes")
        assert again.code == ExitCode.REFUSED
        assert "cannot be read; --replace puts this one in its place" in again.err
        thawed = await live.run("thaw", "--all", "--why", "broken", "--yes")
        assert thawed.code == ExitCode.OK, thawed.err
        assert await live.intents() == Intents()
        assert "nothing stands" in (await live.run("intents")).out
    # a bucket that others have made keeps what its owner wants it to keep, and one is told
    listed = await live.run("intents", "--audit")
    assert "keeps only the last change of each intent" in listed.err


@pytest.mark.parametrize("live", [NO_RIGHT_TO_WRITE], indirect=True)
async def test_without_the_right_to_write_it_is_refused_in_words(live: Live) -> None:
    ended = await live.run("pause", "acme", "--why", "-", "--yes")
    assert ended.code == ExitCode.REFUSED
    assert "our NATS user may not publish to $kv.agentdash.intent.pause.acme" in ended.err
    assert "nothing was changed; the docs list the rights" in ended.err
    assert "Traceback" not in ended.err


async def test_a_server_that_is_away_is_named(live: Live) -> None:
    live.server.kill()
    verbs = (("pause", "acme", "--why", "-", "--yes"), ("intents",), ("undo", "--yes"))
    for ended in await asyncio.gather(*(live.run(*verb) for verb in verbs)):
        assert ended.code == ExitCode.UNREACHABLE
        assert "agentdash: nats is disconnected" in ended.err


async def test_without_kubernetes_it_is_written_and_said_to_be_unknown(live: Live) -> None:
    text = live.kubeconfig.read_text("utf-8")
    live.kubeconfig.write_text(text.replace(live.sim.url, "http://127.0.0.1:9"), "utf-8")
    ended = await live.run("freeze", "--all", "--why", "API is down", "--yes")
    assert ended.code == ExitCode.OK, ended.err
    assert "2 not known well enough to say" in ended.out
    assert len((await live.intents()).of(IntentKind.FREEZE)) == 1


async def test_where_a_controller_runs_the_machine_of_the_operator_needs_no_kubeconfig(
    live: Live,
) -> None:
    async with daemon(live.fleet, live.kubeconfig) as running:
        await live.publish("research", 3)
        await until(lambda: live.replicas("research") == 3)
        await running.pass_ticks(2)
        live.kubeconfig.unlink()
        ended = await live.run("pause", "acme/research", "--why", "-", "--yes")
    assert ended.code == ExitCode.OK, ended.err
    assert ended.out.startswith("pause acme/research: 1 pool, 3 replicas idle now go; paused;")

    ended = await live.run("resume", "acme/research", "--why", "-", "--yes")
    assert ended.code == ExitCode.UNREACHABLE
    assert ended.err.startswith("agentdash: no controller answers, and ")
    assert "no such kubeconfig" in ended.err
    assert ended.err.endswith("nothing was changed\n")


async def test_on_a_terminal_it_says_which_server_it_waits_for(live: Live) -> None:
    live.server.kill()
    for verb in (("intents",), ("submit", "acme/research", "sum up")):
        ended = await live.ask(verb=verb)
        assert f"agentdash: waiting for NATS ({live.server.url})" in ended.out


async def test_a_read_only_fleet_asks_for_nothing(live: Live) -> None:
    text = live.fleet.read_text("utf-8")
    read_only = text.replace("interval: 200ms", "interval: 200ms, read_only: true")
    live.fleet.write_text(read_only, "utf-8")
    ended = await live.run("freeze", "--all", "--why", "-", "--yes")
    assert ended.code == ExitCode.REFUSED
    assert "read-only" in ended.err
    assert (await live.run("freeze", "--all", "--why", "-", "--dry-run")).code == ExitCode.OK
    assert await live.intents() == Intents()


async def test_one_who_is_overtaken_while_the_question_stands_is_told(live: Live) -> None:
    """The revision that was shown is the one that is replaced, and no other."""
    async with NatsSession(NatsSettings(servers=(live.server.url,)), SystemClock()) as session:
        await until(lambda: session.connected)
        desk = BucketDesk(Bucket(session, "agentdash"), Operator(who="eve@desk"))
        pause = a_pause(scope=Scope(pool="acme/research"), why="mine")
        first = await desk.put(pause, replaces=None)
        verb = ("resume", "acme/research", "--why", "-", "--yes")
        process = asyncio.create_task(live.run(*verb))
        revision = first.revision
        while not process.done():
            revision = (await desk.put(pause, replaces=revision)).revision
        ended = await process
    assert ended.code == ExitCode.REFUSED, (ended.out, ended.err)
    assert "eve@desk was first" in ended.err
    assert [each.who for each in (await live.intents()).of(IntentKind.PAUSE)] == ["eve@desk"]


async def test_help_loads_nothing_heavy() -> None:
    probe = (
        "import sys\nfrom agentdash.cli import main\n"
        "try: main(['pause', '--help'])\nexcept SystemExit: pass\n"
        "heavy = {'textual', 'rich', 'kubernetes', 'nats', 'pydantic', 'yaml', 'msgspec'}\n"
        "sys.exit(bool(heavy & set(sys.modules)))"
    )
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", probe, stdout=asyncio.subprocess.DEVNULL
    )
    assert await asyncio.wait_for(process.wait(), PATIENCE_S) == 0


async def test_a_pause_that_has_outlived_its_bucket_is_taken_back(live: Live) -> None:
    """The controller goes by what it has seen, and nobody else knows of it any longer."""
    async with daemon(live.fleet, live.kubeconfig) as running:
        await running.ready()
        await live.publish("research", 3)
        await until(lambda: live.replicas("research") == 3)
        asked = await live.run("pause", "acme", "--why", "upgrade", "--yes")
        assert asked.code == ExitCode.OK, asked.err
        await until(lambda: live.replicas("research") == 0)
        await live.client.jetstream().delete_stream("KV_agentdash")
        await running.pass_ticks(20)
        assert live.replicas("research") == 0
        resumed = await live.run("resume", "acme", "--yes")
        assert resumed.code == ExitCode.OK, resumed.err
        await until(lambda: live.replicas("research") == 3)
        again = await live.run("resume", "acme", "--yes")
        assert again.code == ExitCode.REFUSED
        assert "there is no such thing to take back" in again.err
