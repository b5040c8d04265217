"""Credentials and addresses: renewed tokens, wrong kubeconfigs, redirects, proxies."""

from __future__ import annotations

import asyncio
import gc
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from controller.kube.access import REREAD_S, Access, environment_proxy, in_cluster, kubeconfig
from controller.kube.client import Client
from controller.kube.cluster import Cluster
from controller.kube.errors import ApiError, ConfigError, KubeError, TimedOutError
from controller.model.readings import Fresh
from controller.model.settings import KubernetesSettings
from integration.kube.conftest import QuickClock

UNTRUSTED = """
clusters: [{name: a, cluster: {server: "https://127.0.0.1:1", certificate-authority: /nowhere}}]
contexts: [{name: a, context: {cluster: a, user: b}}]
users: [{name: b, user: {token: x}}]
current-context: a
"""


def only(token: str, api: Any) -> None:
    """From now on the server accepts only this token."""

    async def check(request: web.Request) -> Any:
        if request.headers.get("Authorization") != f"Bearer {token}":
            return await api.status(401, "Unauthorized", "Unauthorized")(request)
        kind = request.path.rsplit("/", 1)[-1]
        if "watch" in request.query:
            return await api._watch(request, kind, "tenant-a")
        if kind == "version":
            return web.json_response({})
        return api._list(request, kind, "tenant-a")

    for verb in ("list", "watch"):
        for kind in ("deployments", "pods", "events"):
            api.always[f"{verb} {kind}"] = check
    api.always["version"] = check


async def test_a_renewed_token_file_needs_no_restart(api: Any, tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("one\n")
    only("one", api)
    api.deployment("tenant-a", "research", 1)
    async with Cluster.connect(api.settings(tokenFile=str(token)), api.clock) as cluster:
        cluster.set_namespaces(frozenset({"tenant-a"}))
        assert await cluster.synced(5.0)
        token.write_text("two\n")
        only("two", api)
        api.deployment("tenant-a", "research", 2)
        api.drop_all()

        def seen() -> bool:
            reading = cluster.workloads.workload(api.pool())
            return isinstance(reading, Fresh) and reading.value.replicas == 2

        await api.until(seen)
        assert api.count("list deployments") == 1, "the watch resumed with the new token"


async def test_after_a_401_the_request_is_sent_once_more(api: Any) -> None:
    api.once["version"].append(api.status(401, "Unauthorized", "Unauthorized"))
    access = await Access.load(api.settings())
    client = Client(access, api.clock)
    await client.call("GET", "/version", kind="version")
    assert (api.count("version"), access.generation) == (2, 2)
    api.always["version"] = api.status(401, "Unauthorized", "Unauthorized")
    with pytest.raises(ApiError) as refused:
        await client.call("GET", "/version", kind="version")
    assert refused.value.status == 401
    assert api.count("version") == 4
    await client.close()


async def test_many_401_at_once_read_the_credentials_once(api: Any) -> None:
    api.once["version"].extend([api.status(401, "Unauthorized", "Unauthorized")] * 8)
    access = await Access.load(api.settings())
    client = Client(access, api.clock)
    await asyncio.gather(*(client.call("GET", "/version", kind="version") for _ in range(8)))
    assert access.generation == 2
    await client.close()


class Login:
    """A login by hand that counts its calls."""

    def __init__(self) -> None:
        self.asked: list[bool] = []
        self.error: ConfigError | None = None

    async def __call__(self, configuration: Any, reload: bool) -> str:
        self.asked.append(reload)
        if self.error:
            raise self.error
        configuration.api_key["BearerToken"] = f"Bearer {len(self.asked)}\n"
        return "hand"


async def test_credentials_are_read_again_each_minute_and_kept_if_that_fails() -> None:
    login, now = Login(), 0.0
    access = Access(login, lambda: now)
    await access.keep_current()
    await access.keep_current()
    assert login.asked == [False]
    now += REREAD_S
    login.error = ConfigError("token file is gone")
    await access.keep_current()
    assert access.configuration.api_key["BearerToken"] == "Bearer 1"
    assert access.reread_failure == "token file is gone"
    await access.keep_current()
    assert len(login.asked) == 2, "not again with every request"
    now += REREAD_S
    login.error = None
    await access.keep_current()
    assert (access.reread_failure, access.configuration.api_key["BearerToken"]) == ("", "Bearer 3")


async def test_an_exec_plugin_is_asked_for_the_token(api: Any) -> None:
    said = {
        "apiVersion": "client.authentication.k8s.io/v1",
        "kind": "ExecCredential",
        "status": {"token": "from-plugin"},
    }
    plugin = {
        "apiVersion": said["apiVersion"],
        "command": sys.executable,
        "args": ["-c", f"print('''{json.dumps(said)}''')"],
    }
    only("from-plugin", api)
    client = await api.client(exec=plugin)
    await client.call("GET", "/version", kind="version")
    await client.close()


def hanging(folder: Path) -> dict[str, Any]:
    """A plugin that starts another program, writes both numbers down and never answers."""
    code = (
        "import os, pathlib, subprocess, time; child = subprocess.Popen(['sleep', '30']);"
        f"new = pathlib.Path({str(folder)!r}) / 'new';"
        "new.write_text(f'{os.getpid()} {child.pid}');"
        "new.rename(new.with_name('pids')); time.sleep(30)"
    )
    version = "client.authentication.k8s.io/v1"
    return {"apiVersion": version, "command": sys.executable, "args": ["-c", code]}


def runs(process: str) -> bool:
    try:
        state = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="needs /proc")
async def test_an_exec_plugin_that_hangs_is_ended_with_all_that_it_started(
    api: Any, tmp_path: Path
) -> None:
    settings = api.settings(exec=hanging(tmp_path))
    access = Access(kubeconfig(settings.kubeconfig, None))
    reading = asyncio.create_task(access.renew(0))
    await api.until((tmp_path / "pids").exists, 20.0)
    processes = (tmp_path / "pids").read_text().split()
    assert all(map(runs, processes))
    reading.cancel()  # a request's own time-out is shorter than that of the plugin
    await api.until(lambda: not any(map(runs, processes)))
    with pytest.raises(asyncio.CancelledError):
        await reading


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="needs /proc")
async def test_a_plugin_without_an_answer_is_a_failure_in_words(api: Any, tmp_path: Path) -> None:
    settings = api.settings(exec=hanging(tmp_path))
    access = Access(kubeconfig(settings.kubeconfig, None), timeout_s=0.5)
    with pytest.raises(ConfigError, match="does the kubeconfig's exec plugin wait for input"):
        await access.renew(0)
    left = [each for each in gc.get_objects() if isinstance(each, asyncio.SubprocessTransport)]
    assert all(each.is_closing() for each in left), "its pipes are closed when we are told"


@pytest.mark.parametrize(
    "says",
    [
        "canary-7f3a, no JSON",
        '{"kind": "ExecCredential", "token": "canary-7f3a"}',
        '{"apiVersion": "v0", "kind": "E", "status": {"token": "canary-7f3a"}}',
        '{"apiVersion": "client.authentication.k8s.io/v1", "kind": "E", "status": ["canary-7f3a"]}',
    ],
)
async def test_what_a_plugin_prints_is_never_repeated(
    api: Any, caplog: pytest.LogCaptureFixture, says: str
) -> None:
    caplog.set_level("DEBUG")
    version = "client.authentication.k8s.io/v1"
    code = f"print({says!r})"
    plugin = {"apiVersion": version, "command": sys.executable, "args": ["-c", code]}
    only("another", api)
    client = await api.client(exec=plugin)
    with pytest.raises(ApiError) as refused:
        await client.call("GET", "/version", kind="version")
    assert refused.value.status == 401
    assert "our credentials are refused" in client.link.link().detail
    for said in (str(refused.value), client.link.link().detail, caplog.text):
        assert "canary" not in said
    await client.close()


async def test_in_a_pod_the_service_account_is_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "127.0.0.1")
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", "6443")
    access = Access(in_cluster(str(tmp_path)))
    with pytest.raises(ConfigError, match="token"):
        await access.renew(0)
    (tmp_path / "token").write_text("one")
    (tmp_path / "ca.crt").write_text("pem")
    await access.renew(0)
    assert (access.context, access.configuration.host) == ("in-cluster", "https://127.0.0.1:6443")
    (tmp_path / "token").write_text("two")
    await access.renew(1)
    assert access.configuration.api_key["BearerToken"] == "bearer two"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (None, "no such kubeconfig"),
        ("", "kubeconfig"),
        ("[]", "kubeconfig"),
        ("{", "kubeconfig"),
        ("contexts: []", "kubeconfig"),
        (UNTRUSTED, "/nowhere"),
    ],
)
async def test_a_kubeconfig_that_cannot_be_used_says_which_and_why(
    tmp_path: Path, text: str | None, words: str
) -> None:
    path = tmp_path / "kubeconfig"
    if text is not None:
        path.write_text(text)
    with pytest.raises(ConfigError) as wrong:
        await Access.load(KubernetesSettings(kubeconfig=str(path)))
    assert str(path) in wrong.value.detail
    assert words in wrong.value.detail


async def test_a_context_that_is_not_there_names_the_way_to_find_one(api: Any) -> None:
    path = api.settings().kubeconfig
    with pytest.raises(ConfigError, match="get-contexts"):
        await Access.load(KubernetesSettings(kubeconfig=path, context="prodction"))


async def test_no_kubeconfig_and_no_cluster_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("KUBECONFIG", raising=False)
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    with pytest.raises(ConfigError, match="name a kubeconfig with --kubeconfig or in KUBECONFIG"):
        await Access.load(KubernetesSettings())


async def test_broken_certificates_are_an_error_of_configuration(tmp_path: Path) -> None:
    authority = tmp_path / "ca.crt"
    authority.write_text("not a certificate")
    config = {
        "clusters": [
            {
                "name": "a",
                "cluster": {
                    "server": "https://127.0.0.1:1",
                    "certificate-authority": str(authority),
                },
            }
        ],
        "users": [{"name": "b", "user": {"token": "x"}}],
        "contexts": [{"name": "a", "context": {"cluster": "a", "user": "b"}}],
        "current-context": "a",
    }
    path = tmp_path / "config"
    path.write_text(json.dumps(config))
    access = Access(kubeconfig(str(path), None))
    await access.renew(0)
    with pytest.raises(ConfigError, match=r"ca\.crt"):
        Client(access, QuickClock())


async def test_a_token_is_not_sent_without_encryption(tmp_path: Path) -> None:
    path = tmp_path / "config"
    path.write_text(UNTRUSTED.replace("https://127.0.0.1:1", "http://10.0.0.1:8080"))
    with pytest.raises(ConfigError, match=r"10\.0\.0\.1 is asked without encryption .* https://"):
        await Access(kubeconfig(str(path), None)).renew(0)
    path.write_text(path.read_text().replace("{token: x}", "{}"))
    await Access(kubeconfig(str(path), None)).renew(0)


async def test_a_redirect_to_another_host_does_not_carry_our_token(api: Any) -> None:
    seen: list[dict[str, str]] = []

    async def elsewhere(request: web.Request) -> web.Response:
        seen.append(dict(request.headers))
        return web.json_response({})

    server = web.Server(elsewhere)
    runner = web.ServerRunner(server)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]

    async def redirect(_request: web.Request) -> web.StreamResponse:
        return web.Response(status=307, headers={"Location": f"http://localhost:{port}/version"})

    api.always["version"] = redirect
    client = await api.client()
    await client.call("GET", "/version", kind="version")
    assert api.last("version").headers["Authorization"] == "Bearer secret"
    assert len(seen) == 1
    assert "Authorization" not in seen[0]
    await client.close()
    await runner.cleanup()


async def test_an_answer_that_breaks_off_is_lost(api: Any) -> None:
    async def cut(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Length": "100"})
        await response.prepare(request)
        await response.write(b"{}")
        assert request.transport is not None
        request.transport.abort()
        return response

    api.always["version"] = cut
    client = await api.client()
    with pytest.raises(KubeError, match="connection lost"):
        await client.call("GET", "/version", kind="version")
    await client.close()


def test_the_environments_proxies_are_used_but_not_for_this_machine(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("https_proxy", "http://proxy:3128")
    monkeypatch.setenv("no_proxy", "api.internal,.svc")
    assert environment_proxy("https://api.example:6443") == "http://proxy:3128"
    assert environment_proxy("https://api.internal:6443") is None
    assert environment_proxy("https://kubernetes.default.svc") is None
    for here in ("https://127.0.0.1:6443", "https://[::1]:6443", "https://localhost"):
        assert environment_proxy(here) is None


@pytest.mark.parametrize(
    ("part", "loaded"),
    [("controller.kube.cluster", "kubernetes."), ("kubernetes.aio.client.api_client", "requests")],
)
def test_of_the_official_package_only_the_asyncio_client_is_run_and_late(
    part: str, loaded: str
) -> None:
    code = f"import sys, controller.kube, {part}; print(*sys.modules, sep='\\n')"
    ended = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert not [each for each in ended.stdout.splitlines() if each.startswith(loaded)]


async def test_a_second_try_has_the_same_deadline(api: Any) -> None:
    class Slow(Login):
        async def __call__(self, configuration: Any, reload: bool) -> str:
            if self.asked:
                await asyncio.Event().wait()
            configuration.host = api.url
            return await super().__call__(configuration, reload)

    api.always["version"] = api.status(401, "Unauthorized", "Unauthorized")
    access = Access(Slow())
    await access.renew(0)
    client = Client(access, api.clock)
    with pytest.raises(TimedOutError):
        await client.call("GET", "/version", kind="version", timeout_s=0.1)
    assert api.count("version") == 1
    await client.close()


async def test_a_netrc_entry_for_the_server_is_ignored(
    api: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login somebody password else\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    client = await api.client()
    await client.call("GET", "/version", kind="version")
    assert api.last("version").headers["Authorization"] == "Bearer secret"
    await client.close()
