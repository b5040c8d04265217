"""Secrets that come in by every door are looked for in all that goes out, all at once."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import ssl
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

import nkeys
import pytest
import yaml
from nats.aio.client import Client
from nats.aio.msg import Msg

from agentdash.tui.app import Dashboard
from controller.attach import find_snapshot
from controller.config import parse
from controller.engine.supervise import Hub, SystemClock
from fakes.cluster import SimCluster
from fakes.rbac import Rbac
from support.live import PATIENCE_S, Daemon, daemon, fleet_text, streams, until
from support.nats_server import RealNats
from support.tcp_proxy import TcpProxy
from tests.integration.nats.operator_mode import Operator as SigningOperator

NAMES = ["research"]
NAMESPACE = "tenant-acme"
PASSWORD, TOKEN, IN_URL, PRINTED, ELSEWHERE = (
    f"canary-{place}-4711" for place in ("password", "token", "url", "plugin", "environment")
)
CANARY = "canary-"
CRASHING = """
from controller.engine.loop import Engine
from agentdash.cli import main

async def crash(self):
    raise RuntimeError("a fault of the program")

Engine._full_tick = crash
raise SystemExit(main())
"""


class Login(NamedTuple):
    """A way to log in to NATS: of the server its configuration, of a fleet file `credentials`, of
    the helper of a test the beginning of its URL, or a creds file.

    `secrets` must be seen nowhere. `wrong` is another secret, which is refused, and may be seen
    nowhere either.
    """

    server: str
    credentials: str
    environment: dict[str, str]
    secrets: tuple[str, ...]
    wrong: str
    url: str = "nats://"
    creds: Path | None = None


def by_password(_: Path) -> Login:
    return Login(
        f"authorization {{ users: [ {{ user: agentdash, password: {PASSWORD} }} ] }}",
        "{user: agentdash, password: {env: NATS_SECRET}}",
        {"NATS_SECRET": PASSWORD},
        (),
        f"{CANARY}wrong",
        f"nats://agentdash:{PASSWORD}@",
    )


def by_token(_: Path) -> Login:
    return Login(
        f"authorization {{ token: {TOKEN} }}",
        "{token: {env: NATS_SECRET}}",
        {"NATS_SECRET": TOKEN},
        (),
        f"{CANARY}wrong",
        f"nats://{TOKEN}@",
    )


def by_nkey(_: Path) -> Login:
    seed, wrong = (
        nkeys.encode_seed(os.urandom(32), nkeys.PREFIX_BYTE_USER).decode() for _ in range(2)
    )
    public = nkeys.from_seed(bytearray(seed.encode())).public_key.decode()
    helper = "{ user: helper, password: helper }"
    return Login(
        f"authorization {{ users: [ {{ nkey: {public} }}, {helper} ] }}",
        "{nkey: {env: NATS_SECRET}}",
        {"NATS_SECRET": seed},
        (seed, wrong),
        wrong,
        "nats://helper:helper@",
    )


def by_creds(folder: Path) -> Login:
    operator, path = SigningOperator(), folder / "user.creds"
    path.write_text(operator.creds(), "utf-8")
    _, jwt, _, _, _, seed, _ = path.read_text("utf-8").splitlines()
    return Login(operator.server_config(), f"{{file: '{path}'}}", {}, (jwt, seed), "", creds=path)


class Access(NamedTuple):
    """A way to log in to Kubernetes: the user of a kubeconfig, the secrets in it, and the TLS that
    the server asks for.
    """

    user: dict[str, object]
    secrets: tuple[str, ...]
    tls: ssl.SSLContext | None = None
    ca: Path | None = None


def by_plugin(_: Path) -> Access:
    credential = {
        "apiVersion": "client.authentication.k8s.io/v1",
        "kind": "ExecCredential",
        "status": {"token": TOKEN},
    }
    code = f"import sys; print({PRINTED!r}, file=sys.stderr); print({json.dumps(credential)!r})"
    plugin = {"apiVersion": credential["apiVersion"], "command": sys.executable}
    return Access({"exec": plugin | {"args": ["-c", code]}}, ())


def by_static_token(_: Path) -> Access:
    return Access({"token": TOKEN}, ())


def by_client_key(folder: Path) -> Access:
    """A client certificate, which the server asks for, beside the token."""
    ca, server, client = (folder / name for name in ("ca", "server", "client"))
    certificate(ca)
    for each in (server, client):
        certificate(each, signed_by=ca)
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=ca.with_suffix(".pem"))
    tls.verify_mode = ssl.CERT_REQUIRED
    tls.load_cert_chain(server.with_suffix(".pem"), server.with_suffix(".key"))
    key = client.with_suffix(".key").read_bytes()
    data = {
        "client-certificate-data": client.with_suffix(".pem").read_bytes(),
        "client-key-data": key,
    }
    encoded = {name: base64.b64encode(each).decode() for name, each in data.items()}
    secrets = (*key.decode().splitlines()[1:-1], encoded["client-key-data"])
    return Access(encoded | {"token": TOKEN}, secrets, tls, ca.with_suffix(".pem"))


def certificate(name: Path, signed_by: Path | None = None) -> None:
    """A key and a certificate, a CA's own or for 127.0.0.1."""
    by = ()
    if signed_by is not None:
        by = (
            *("-CA", signed_by.with_suffix(".pem"), "-CAkey", signed_by.with_suffix(".key")),
            *("-addext", "subjectAltName=IP:127.0.0.1"),
        )
    key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-batch")
    made = ("-keyout", name.with_suffix(".key"), "-out", name.with_suffix(".pem"))
    subprocess.run(
        ["openssl", "req", "-x509", *key, *made, "-days", "2", "-subj", f"/CN={name.name}", *by],
        check=True,
        capture_output=True,
    )


class World:
    """Servers that only the right secrets open, and the files that lead to these secrets."""

    def __init__(
        self, folder: Path, url: str, client: Client, login: Login, secrets: tuple[str, ...]
    ) -> None:
        self.folder, self.client, self.login = folder, client, login
        self.secrets = (CANARY, *login.secrets, *secrets)
        self.fleet, self.kubeconfig = folder / "fleet.yaml", folder / "kubeconfig"
        self.journal = folder / "journal" / "day.jsonl"
        options = f", credentials: {login.credentials}"
        text = fleet_text(url, NAMES, nats_options=options)
        self.fleet.write_text(text, "utf-8")
        self.wrong = folder / "wrong.yaml"
        self.wrong.write_text(text.replace("nats://", f"nats://mara:{IN_URL}@"), "utf-8")

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
        settings = parse(self.fleet.read_text("utf-8"), "fleet.yaml").nats
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


@asynccontextmanager
async def opened(folder: Path, login: Login, access: Access) -> AsyncIterator[World]:
    with RealNats(folder / "nats", login.server) as server:
        url = server.url.replace("nats://", login.url)
        async with (
            streams(url, NAMES, credentials=login.creds) as client,
            SimCluster(speed=50) as sim,
            AsyncExitStack() as stack,
        ):
            Rbac(sim, TOKEN)
            await sim.create_namespace(NAMESPACE)
            await sim.create_deployment("research", NAMESPACE)
            config = sim.kubeconfig()
            config["users"][0]["user"] = access.user
            if access.tls is not None:
                port = urlsplit(sim.url).port
                assert port is not None
                front = TcpProxy("127.0.0.1", port, tls=access.tls)
                await stack.enter_async_context(front)
                config["clusters"][0]["cluster"] = {
                    "server": f"https://127.0.0.1:{front.port}",
                    "certificate-authority": str(access.ca),
                }
            world = World(folder, server.url, client, login, access.secrets)
            world.kubeconfig.write_text(yaml.safe_dump(config), "utf-8")
            yield world


def logged(running: Daemon) -> str:
    return "".join(running.text)


@pytest.mark.parametrize(
    ("login", "access"),
    [
        (by_password, by_plugin),
        (by_token, by_static_token),
        (by_nkey, by_client_key),
        (by_creds, by_static_token),
    ],
)
async def test_no_secret_goes_out_by_any_door(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    login: Callable[[Path], Login],
    access: Callable[[Path], Access],
) -> None:
    made = login(tmp_path)
    for name, secret in made.environment.items():
        monkeypatch.setenv(name, secret)
    monkeypatch.setenv("OPENAI_API_KEY", ELSEWHERE)
    async with opened(tmp_path, made, access(tmp_path)) as world:
        await search(world)


async def search(world: World) -> None:
    """Look for the secrets in all that goes out."""
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
    if wrong := world.login.wrong:
        seen["doctor, refused"] = await world.said("doctor", NATS_SECRET=wrong)
        seen["--once, refused"] = await world.said("--once", "info", NATS_SECRET=wrong)
        assert "refuses our credentials" in seen["doctor, refused"]
    crashing = ("-c", CRASHING)
    async with daemon(world.fleet, world.kubeconfig, program=crashing) as broken:
        await until(lambda: "a fault of the program" in logged(broken))
        broken.process.terminate()
        await broken.process.wait()
    seen["a crash"] = logged(broken)

    assert {door for door, text in seen.items() if len(text) < 20} <= {"/readyz", "/healthz"}
    assert "Traceback" in seen["a crash"]
    assert "fail  kubernetes" not in seen["doctor"], seen["doctor"]
    for door, text in seen.items():
        assert "usage: " not in text, door
        for secret in world.secrets:
            start = text.find(secret)
            assert start < 0, f"{door}: {text[max(start - 200, 0) : start + 60]}"
