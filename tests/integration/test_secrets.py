"""Secrets that come in by every door are looked for in all that goes out, all at once."""

from __future__ import annotations

import asyncio
import base64
import gc
import json
import os
import ssl
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Callable, Coroutine
from concurrent.futures import FIRST_COMPLETED, Future, wait
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple, Self, TypeVar
from urllib.parse import urlsplit

import nkeys
import pytest
import yaml
from nats.aio.client import Client
from nats.aio.msg import Msg

from agentdash.cli import main
from agentdash.tui.app import Dashboard
from controller.attach import find_snapshot
from controller.config import parse
from controller.engine.supervise import Hub, SystemClock
from fakes.cluster import SimCluster
from fakes.rbac import Rbac
from support.live import PATIENCE_S, daemon, fleet_text, streams, until
from support.nats_server import RealNats
from support.tcp_proxy import TcpProxy
from tests.integration.nats.operator_mode import Operator as SigningOperator

T = TypeVar("T")
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


class Search(NamedTuple):
    """The servers once they run, whether the verbs are done, and what went out by each door."""

    world: Future[World]
    verbs_are_done: threading.Event
    seen: dict[str, str]


class Beside:
    """An event loop in another thread, on which the servers run: verbs handle signals, which only
    the main thread may do.
    """

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def start(self, work: Coroutine[Any, Any, T]) -> Future[T]:
        return asyncio.run_coroutine_threadsafe(work, self._loop)


@pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")
@pytest.mark.parametrize(
    ("login", "access"),
    [
        (by_password, by_plugin),
        (by_token, by_static_token),
        (by_nkey, by_client_key),
        (by_creds, by_static_token),
    ],
)
def test_no_secret_goes_out_by_any_door(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    login: Callable[[Path], Login],
    access: Callable[[Path], Access],
) -> None:
    made, met = login(tmp_path), access(tmp_path)
    for name, secret in made.environment.items():
        monkeypatch.setenv(name, secret)
    monkeypatch.setenv("OPENAI_API_KEY", ELSEWHERE)
    search = Search(Future(), threading.Event(), {})
    with Beside() as beside:
        serving = beside.start(serve(tmp_path, made, met, search))
        try:
            wait((search.world, serving), return_when=FIRST_COMPLETED)
            if search.world.done():
                search.seen.update(said_by_verbs(search.world.result(), monkeypatch, capfd))
        finally:
            search.verbs_are_done.set()
            serving.result()
    judge(search.seen, search.world.result().secrets)
    gc.collect()  # what a process would leave to its end


def said_by_verbs(
    world: World, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> dict[str, str]:
    """All that verbs print, on both streams."""

    def said(*arguments: object, fleet: Path = world.fleet) -> str:
        main(["-f", str(fleet), "--kubeconfig", str(world.kubeconfig), *map(str, arguments)])
        return "".join(capfd.readouterr())

    seen = {f"--once {view}": said("--once", view) for view in ("overview", "attention", "info")}
    seen["doctor"] = said("doctor")
    seen["plan"] = said("plan", "--json")
    seen["manifests"] = said("manifests", "--image", "agentdash:1")
    seen["a fleet file with a secret in it"] = said("plan", fleet=world.wrong)
    assert "holds a user or password" in seen["a fleet file with a secret in it"]
    assert "fail  kubernetes" not in seen["doctor"], seen["doctor"]
    # secrets that are refused are not repeated either
    if wrong := world.login.wrong:
        monkeypatch.setenv("NATS_SECRET", wrong)
        seen["doctor, refused"] = said("doctor")
        assert "refuses our credentials" in seen["doctor, refused"]
    return seen


async def serve(folder: Path, login: Login, access: Access, search: Search) -> None:
    """Servers and a daemon, until the verbs are done."""
    published: list[bytes] = []
    seen = search.seen

    async def overhear(message: Msg) -> None:
        published.append(message.data)

    async with opened(folder, login, access) as world:
        for subject in ("agentdash.>", "$KV.agentdash.>"):
            await world.client.subscribe(subject, cb=overhear)
        journal = ("--journal", str(world.journal))
        async with daemon(world.fleet, world.kubeconfig, *journal) as running:
            await running.ready()
            for _ in range(3):
                await world.client.jetstream().publish("tasks.research", b"work")
            await running.pass_ticks(3)
            for door in ("/metrics", "/readyz", "/healthz"):
                seen[door] = (await running.get(door))[1]
            seen["the dashboard's picture"] = await world.picture()
            search.world.set_result(world)
            while not search.verbs_are_done.is_set():
                await asyncio.sleep(0.05)
        seen["the log"] = "".join(running.text)
        seen["the journal"] = world.journal.read_text("utf-8")
        seen["what is published and stored"] = b"\n".join(published).decode(errors="replace")
        crashing = ("-c", CRASHING)
        async with daemon(world.fleet, world.kubeconfig, program=crashing) as broken:
            await until(lambda: "a fault of the program" in "".join(broken.text))
            broken.process.terminate()
            await broken.process.wait()
        seen["a crash"] = "".join(broken.text)


def judge(seen: dict[str, str], secrets: tuple[str, ...]) -> None:
    """Look for the secrets in all that went out."""
    assert {door for door, text in seen.items() if len(text) < 20} <= {"/readyz", "/healthz"}
    assert "Traceback" in seen["a crash"]
    for door, text in seen.items():
        assert "usage: " not in text, door
        for secret in secrets:
            start = text.find(secret)
            assert start < 0, f"{door}: {text[max(start - 200, 0) : start + 60]}"
