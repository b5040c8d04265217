"""Secrets that come in by every door are looked for in all that goes out, all at once."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import yaml
from nats.aio.client import Client
from nats.aio.msg import Msg

from agentdash.demo.kubesim import KubeSim
from agentdash.tui.app import Dashboard
from controller.attach import find_snapshot
from controller.engine.clock import SystemClock
from controller.engine.hub import Hub
from controller.model.secret import SecretRef
from controller.model.settings import NatsCredentials, NatsSettings
from support.live import PATIENCE_S, Daemon, daemon, fleet_text, streams, until
from support.nats_server import RealNats

NAMES = ["research"]
NAMESPACE = "tenant-acme"
PASSWORD, TOKEN, IN_URL, PRINTED, ELSEWHERE = (
    f"canary-{place}-4711" for place in ("password", "token", "url", "plugin", "environment")
)
CANARY = "canary-"
USERS = f"authorization {{ users: [ {{ user: agentdash, password: {PASSWORD} }} ] }}"
CRASHING = """
from controller.engine.loop import Engine
from agentdash.cli import main

async def crash(self):
    raise RuntimeError("a fault of the program")

Engine._full_tick = crash
raise SystemExit(main())
"""


class World:
    """Servers that only the right secrets open, and the files that lead to these secrets."""

    def __init__(self, folder: Path, url: str, sim: KubeSim, client: Client) -> None:
        self.folder, self.url, self.client = folder, url, client
        self.fleet, self.kubeconfig = folder / "fleet.yaml", folder / "kubeconfig"
        self.journal = folder / "journal" / "day.jsonl"
        login = ", credentials: {user: agentdash, password: {env: NATS_PASSWORD}}"
        text = fleet_text(url, NAMES, nats_options=login)
        self.fleet.write_text(text, "utf-8")
        self.wrong = folder / "wrong.yaml"
        self.wrong.write_text(text.replace("nats://", f"nats://mara:{IN_URL}@"), "utf-8")
        config = sim.kubeconfig()
        credential = {
            "apiVersion": "client.authentication.k8s.io/v1",
            "kind": "ExecCredential",
            "status": {"token": TOKEN},
        }
        code = f"import sys; print({PRINTED!r}, file=sys.stderr); print({json.dumps(credential)!r})"
        plugin = {"apiVersion": credential["apiVersion"], "command": sys.executable}
        config["users"][0]["user"] = {"exec": plugin | {"args": ["-c", code]}}
        self.kubeconfig.write_text(yaml.safe_dump(config), "utf-8")

    async def said(self, *arguments: object, fleet: Path | None = None, **environment: str) -> str:
        """All that a verb prints, on both streams."""
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "agentdash", "-f", fleet or self.fleet),
            *("--kubeconfig", self.kubeconfig, *map(str, arguments)),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            env=os.environ | environment,
        )
        out, _ = await asyncio.wait_for(process.communicate(), PATIENCE_S)
        return out.decode()

    async def picture(self) -> str:
        """The dashboard on what the controller has published, as SVG."""
        password = SecretRef(env="NATS_PASSWORD")
        settings = NatsSettings(
            servers=(self.url,), credentials=NatsCredentials(user="agentdash", password=password)
        )
        clock = SystemClock()
        snapshot = await find_snapshot(settings, clock, PATIENCE_S)
        assert snapshot is not None
        hub = Hub()
        hub.publish(snapshot)
        app = Dashboard(hub, clock=clock.now, on_ready=lambda: None, engine_error=lambda: None)
        async with app.run_test(size=(160, 45)) as pilot:
            await pilot.pause()
            overview = app.export_screenshot()
            await pilot.press("colon", *"info", "enter")
            await pilot.pause()
            return overview + app.export_screenshot()


@pytest.fixture
async def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[World]:
    monkeypatch.setenv("NATS_PASSWORD", PASSWORD)
    monkeypatch.setenv("OPENAI_API_KEY", ELSEWHERE)
    with RealNats(tmp_path / "nats", USERS) as server:
        with_login = server.url.replace("nats://", f"nats://agentdash:{PASSWORD}@")
        async with (
            streams(with_login, NAMES) as client,
            KubeSim(speed=50, admin_token=TOKEN, refuse_anonymous=True) as sim,
        ):
            await sim.create_namespace(NAMESPACE)
            await sim.create_deployment("research", NAMESPACE)
            yield World(tmp_path, server.url, sim, client)


def logged(running: Daemon) -> str:
    return "".join(running.text)


async def test_no_secret_goes_out_by_any_door(world: World) -> None:
    seen: dict[str, str] = {}
    published: list[bytes] = []

    async def overhear(message: Msg) -> None:
        published.append(message.data)

    for subject in ("agentdash.>", "$KV.agentdash.>"):
        await world.client.subscribe(subject, cb=overhear)
    async with daemon(world.fleet, world.kubeconfig, "--journal", str(world.journal)) as running:
        await running.ready()
        for _ in range(3):
            await world.client.jetstream().publish("tasks.research", b"work")
        await running.pass_ticks(3)
        for door in ("/metrics", "/readyz", "/healthz"):
            seen[door] = (await running.get(door))[1]
        seen["the dashboard's picture"] = await world.picture()
        for view in ("overview", "attention", "info"):
            seen[f"--once {view}"] = await world.said("--once", view)
        seen["doctor"] = await world.said("doctor")
        seen["plan"] = await world.said("plan", "--json")
        seen["manifests"] = await world.said("manifests", "--image", "agentdash:1")
    seen["the log"] = logged(running)
    seen["the journal"] = world.journal.read_text("utf-8")
    seen["what is published and stored"] = b"\n".join(published).decode(errors="replace")
    seen["a fleet file with a secret in it"] = await world.said("plan", fleet=world.wrong)
    assert "holds a user or password" in seen["a fleet file with a secret in it"]
    # secrets that are refused are not repeated either
    wrong = f"{CANARY}wrong"
    seen["doctor, refused"] = await world.said("doctor", NATS_PASSWORD=wrong)
    seen["--once, refused"] = await world.said("--once", "info", NATS_PASSWORD=wrong)
    crashing = ("-c", CRASHING)
    async with daemon(world.fleet, world.kubeconfig, program=crashing) as broken:
        await until(lambda: "a fault of the program" in logged(broken))
        broken.process.terminate()
        await broken.process.wait()
    seen["a crash"] = logged(broken)

    assert {door for door, text in seen.items() if len(text) < 20} <= {"/readyz", "/healthz"}
    assert "Traceback" in seen["a crash"]
    for door, text in seen.items():
        start = text.find(CANARY)
        assert "usage: " not in text, door
        assert start < 0, f"{door}: {text[max(start - 200, 0) : start + 60]}"
