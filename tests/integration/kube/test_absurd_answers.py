"""Answers that no API server gives: each makes its source unknown, and none ends the process."""

from __future__ import annotations

import asyncio
import ssl
import subprocess
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from controller.kube.access import Access
from controller.kube.client import MOST_ANSWER_BYTES, Client
from controller.kube.cluster import Cluster
from controller.kube.errors import ApiError, KubeError, TooLargeError, UnreachableError
from controller.kube.watch import LIMITS, ListLimits, WatchTarget, pages
from controller.model.readings import Absent, Fresh, Stale, Why
from support.ports import free_port

A = frozenset({"tenant-a"})
DEEP = "[" * 100_000 + "]" * 100_000
PODS = WatchTarget(kind="pods", path="/api/v1/namespaces/tenant-a/pods")


async def listed(client: Client, limits: ListLimits = LIMITS) -> None:
    async for _ in pages(client, PODS, limits=limits):
        pass


def replicas(cluster: Cluster, pool: Any) -> int | None:
    reading = cluster.workloads.workload(pool)
    return reading.value.replicas if isinstance(reading, Fresh) else None


@pytest.mark.parametrize("kind", ["deployments", "pods", "resourcequotas", "events", "nodes"])
async def test_a_list_nested_too_deep_is_unreadable_and_the_next_one_counts(
    api: Any, kind: str
) -> None:
    api.deployment("tenant-a", "research", 1)
    text = f'{{"metadata":{{"resourceVersion":"1"}},"items":[{DEEP}]}}'
    api.once[f"list {kind}"].append(api.lines(text))
    async with api.cluster("tenant-a", wait=False) as cluster:
        await api.until(lambda: api.count(f"list {kind}") == 2)
        assert await cluster.synced(5.0)
        assert replicas(cluster, api.pool()) == 1


async def client_of(api: Any) -> Client:
    return await api.client()


async def test_a_refusal_without_end_is_read_only_at_its_beginning(api: Any) -> None:
    ended = asyncio.Event()

    async def refuse(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(status=500)
        await response.prepare(request)
        try:
            while True:
                await response.write(b"[" * 2**16)
        finally:
            ended.set()

    api.always["version"] = refuse
    client = await client_of(api)
    with pytest.raises(ApiError):
        await client.call("GET", "/version", kind="version")
    async with asyncio.timeout(5):
        await ended.wait()
    await client.close()


async def test_an_answer_without_end_is_cut_off_at_the_limit(api: Any) -> None:
    sent = 0
    ended = asyncio.Event()

    async def endless(request: web.Request) -> web.StreamResponse:
        nonlocal sent
        response = web.StreamResponse()
        await response.prepare(request)
        try:
            while True:
                await response.write(bytes(2**20))
                sent += 2**20
        finally:
            ended.set()

    api.always["list pods"] = endless
    client = await client_of(api)
    with pytest.raises(TooLargeError, match="67,108,864 are read at most"):
        await listed(client)
    async with asyncio.timeout(5):
        await ended.wait()
    assert sent < MOST_ANSWER_BYTES + 32 * 2**20
    await client.close()


@pytest.mark.parametrize(
    "case",
    [
        (ListLimits(pages=5), 0, "more than the 5 pages"),
        (ListLimits(objects=20), 3, "more than the 20 objects"),
        (ListLimits(size_bytes=4_000), 3, "more than the 4,000 bytes"),
    ],
)
async def test_a_list_without_end_is_left_at_a_limit_that_is_named(
    api: Any, case: tuple[ListLimits, int, str]
) -> None:
    limits, items, words = case

    async def endless(_request: web.Request) -> web.StreamResponse:
        found = [{"metadata": {"name": f"pod-{number}"}} for number in range(items)]
        meta = {"resourceVersion": "7", "continue": "again"}
        return web.json_response({"metadata": meta, "items": found})

    api.always["list pods"] = endless
    client = await client_of(api)
    with pytest.raises(TooLargeError, match=words):
        await listed(client, limits)
    assert api.count("list pods") <= 50
    await client.close()


async def test_lists_without_end_share_the_limit_and_give_it_back(api: Any) -> None:
    most = 0

    async def endless(_request: web.Request) -> web.StreamResponse:
        nonlocal most
        most = max(most, client.listing)
        found = [{"metadata": {"name": f"pod-{number}"}} for number in range(3)]
        meta = {"resourceVersion": "7", "continue": "again"}
        return web.json_response({"metadata": meta, "items": found})

    api.always["list pods"] = endless
    client = await client_of(api)
    lists = (listed(client, ListLimits(objects=20)) for _ in range(4))
    failed = await asyncio.gather(*lists, return_exceptions=True)
    assert [type(each) for each in failed] == 4 * [TooLargeError]
    assert 10 < most <= 20
    assert client.listing == 0
    await client.close()


def test_the_limits_are_far_above_real_clusters() -> None:
    limits = LIMITS
    assert limits.objects > 150_000
    assert limits.pages * 500 > limits.objects
    assert limits.size_bytes > 100_000 * 5_000


async def test_a_list_that_is_too_large_is_unknown_and_read_again_rarely(api: Any) -> None:
    async def huge(_request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Length": str(600 * 10**6)})
        await response.prepare(_request)
        return response

    api.always["list pods"] = huge
    async with api.cluster("tenant-a", wait=False) as cluster:
        await api.until(lambda: api.count("list pods") == 2)
        unknown = cluster.workloads.pods(api.pool())
    assert isinstance(unknown, Absent)
    assert unknown.why is Why.UNREADABLE
    assert "600,000,000 bytes or more" in unknown.detail
    assert any(60 <= seconds <= 120 for seconds in api.clock.slept)


class SecondLook:
    """Sees what the readings are while an empty list is doubted."""

    def __init__(self, cluster: Cluster, pool: Any) -> None:
        self.seen: list[object] = []
        self._cluster = cluster
        self._pool = pool

    async def empty(self, _request: web.Request) -> web.StreamResponse:
        self.seen.append(self._cluster.workloads.pods(self._pool))
        return web.json_response({"metadata": {"resourceVersion": "900"}, "items": []})


async def test_an_empty_list_of_pods_that_were_there_is_believed_at_the_second_look_only(
    api: Any,
) -> None:
    for number in range(5):
        api.pod("tenant-a", f"research-{number}", "research")
    async with api.cluster("tenant-a") as cluster:
        look = SecondLook(cluster, api.pool())
        api.once["list pods"].append(look.empty)
        api.once["watch pods"].append(api.status(410, "Expired", "too old"))
        await api.until(lambda: api.count("watch pods") == 1)
        api.drop_all()
        await api.until(lambda: api.count("list pods") == 3)
        await api.until(lambda: isinstance(cluster.workloads.pods(api.pool()), Fresh))
        again = cluster.workloads.pods(api.pool())
        assert isinstance(again, Fresh)
        assert again.value.ready == 5, "one empty answer changed nothing"
        api.once["list pods"].extend([look.empty, look.empty])
        api.once["watch pods"].append(api.status(410, "Expired", "too old"))
        api.drop_all()
        await api.until(lambda: api.count("list pods") == 5)
        await api.until(lambda: isinstance(cluster.workloads.pods(api.pool()), Fresh))
        gone = cluster.workloads.pods(api.pool())
        assert isinstance(gone, Fresh)
        assert gone.value.ready == 0, "two empty answers are believed"
    doubted = look.seen[-1]
    assert isinstance(doubted, Stale)
    assert (doubted.why, doubted.value.ready) == (Why.VIEW_INCOMPLETE, 5)
    assert doubted.detail == "the list of pods came back empty, and 5 were known; it is read again"


async def test_pods_that_were_seen_to_end_need_no_second_look(api: Any) -> None:
    api.pod("tenant-a", "research-1", "research")
    async with api.cluster("tenant-a") as cluster:
        await api.until(lambda: api.count("watch pods") == 1)
        api.delete("pods", "tenant-a", "research-1")
        await api.until(lambda: cluster.workloads.pods(api.pool()).value.ready == 0)
        api.once["watch pods"].append(api.status(410, "Expired", "too old"))
        api.drop_all()
        await api.until(lambda: api.count("list pods") == 2)
        await api.until(lambda: api.count("watch pods") == 3)
        assert api.count("list pods") == 2


CANARY = "canary-7f3a"


@pytest.mark.parametrize("proxied", [False, True])
async def test_a_secret_in_an_address_is_never_repeated(
    api: Any, caplog: pytest.LogCaptureFixture, *, proxied: bool
) -> None:
    caplog.set_level("DEBUG")
    secret = f"http://mara:{CANARY}@127.0.0.1:{free_port()}"
    # a token is not sent there without encryption, so this user has none
    settings = api.settings("http://api.example:6443" if proxied else secret, username="mara")
    access = await Access.load(settings)
    if proxied:
        access.configuration.proxy = secret
    client = Client(access, api.clock)
    with pytest.raises(KubeError) as failed:
        await client.call("GET", "/version", kind="version")
    await client.close()
    said = f"{failed.value} {failed.value.detail} {client.link.link()} {caplog.text}"
    assert CANARY not in said


@pytest.fixture
def stranger(tmp_path: Path) -> ssl.SSLContext:
    """A server's TLS with a certificate that nobody trusts."""
    key, certificate = tmp_path / "key.pem", tmp_path / "cert.pem"
    made = ("-subj", "/CN=127.0.0.1", "-keyout", key, "-out", certificate)
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", *made],
        check=True,
        capture_output=True,
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    return context


async def test_a_certificate_of_another_authority_is_named_without_secrets(
    api: Any, stranger: ssl.SSLContext
) -> None:
    server = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0, ssl=stranger)
    port = server.sockets[0].getsockname()[1]
    settings = api.settings(f"https://127.0.0.1:{port}", token=CANARY)
    client = Client(await Access.load(settings), api.clock)
    async with server:
        with pytest.raises(UnreachableError) as failed:
            await client.call("GET", "/version", kind="version")
    await client.close()
    assert "certificate" in failed.value.detail
    assert CANARY not in failed.value.detail
