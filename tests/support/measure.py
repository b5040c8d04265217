"""Figures beside their targets, and the processes that are measured."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp


def at(values: Sequence[float], part: float) -> float:
    """The nearest-rank percentile."""
    ranked = sorted(values)
    return ranked[min(len(ranked) - 1, int(part * len(ranked)))]


def spread(values_s: Sequence[float]) -> str:
    """Seconds as p50, p99 and the largest, in ms."""
    return (
        f"p50 {at(values_s, 0.5) * 1000:.1f} · p99 {at(values_s, 0.99) * 1000:.1f} · "
        f"max {max(values_s) * 1000:.1f} ms (n {len(values_s)})"
    )


def report(what: str, figure: str, beside: str) -> None:
    """One line for whoever runs the benchmark with `-s`."""
    print(f"\n{what}: {figure}   [{beside}]")


def processor_s(pid: int) -> float:
    """User and system time of a process so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def resident_mb(pid: int) -> float:
    """Resident memory of a process in MiB."""
    fields = Path(f"/proc/{pid}/statm").read_text().split()
    return int(fields[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


class Simulator:
    """The simulated API in a process of its own, asked over HTTP alone."""

    def __init__(self, url: str, session: aiohttp.ClientSession) -> None:
        self.url = url
        self.session = session

    async def call(self, method: str, path: str, body: object = None, kind: str = "") -> bytes:
        headers = {"Content-Type": kind or "application/json"}
        data = None if body is None else json.dumps(body)
        async with self.session.request(
            method, self.url + path, data=data, headers=headers
        ) as answer:
            answer.raise_for_status()
            return await answer.read()

    async def deployment(self, namespace: str, name: str) -> None:
        labels = {"app": name}
        await self.call(
            "POST",
            f"/apis/apps/v1/namespaces/{namespace}/deployments",
            {
                "apiVersion": "apps/v1",
                "kind": "Deployment",
                "metadata": {"name": name, "namespace": namespace, "labels": labels},
                "spec": {
                    "replicas": 0,
                    "selector": {"matchLabels": labels},
                    "template": {
                        "metadata": {"labels": labels},
                        "spec": {
                            "terminationGracePeriodSeconds": 1,
                            "containers": [{"name": "agent", "image": "registry.example/agent:1"}],
                        },
                    },
                },
            },
        )

    async def namespace(self, name: str) -> None:
        body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
        await self.call("POST", "/api/v1/namespaces", body)


@asynccontextmanager
async def simulator(kubeconfig: Path, speed: float = 50.0) -> AsyncIterator[Simulator]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "fakes.process"),
        *("--kubeconfig", kubeconfig, "--speed", str(speed)),
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        assert process.stdout is not None
        url = json.loads(await asyncio.wait_for(process.stdout.readline(), 20))["url"]
        async with aiohttp.ClientSession() as session:
            yield Simulator(url, session)
    finally:
        process.terminate()
        await process.wait()
