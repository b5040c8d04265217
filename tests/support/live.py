"""A small live world for integration tests: a real nats-server and a daemon process."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import nats
import nats.errors
from nats.aio.client import Client
from nats.js.api import AckPolicy, ConsumerConfig, StreamConfig

from support.forked import Forked, forked

PATIENCE_S = 20.0
NEW = ("-m", "agentdash")
"""A daemon as it runs elsewhere, for those who measure it."""

POOL = """\
  - name: {name}
    tenant: acme
    queue: {{stream: {stream}, consumer: {name}}}
    replicas: {{min: {minimum}, max: {maximum}}}
    cooldown: {cooldown}
    behavior: {{scaleDown: {{stabilizationWindowSeconds: 1}}}}
"""


def fleet_text(
    nats_url: str | Sequence[str],
    names: list[str],
    *,
    namespace: str = "tenant-acme",
    minimum: int = 0,
    maximum: int = 10,
    cooldown: str = "2s",
    interval: str = "200ms",
    per_stream: int | None = None,
    nats_options: str = "",
) -> str:
    """A fleet of one tenant. `nats_options` are further keys of `nats`, as ", replicas: 3"."""
    servers = [nats_url] if isinstance(nats_url, str) else list(nats_url)
    pools = "".join(
        POOL.format(
            name=name,
            stream=stream_of(number, per_stream),
            minimum=minimum,
            maximum=maximum,
            cooldown=cooldown,
        )
        for number, name in enumerate(names)
    )
    return (
        f"version: 1\nnats: {{servers: {servers}{nats_options}}}\n"
        f"controller: {{interval: {interval}}}\n"
        f"tenants:\n  acme: {{tier: growth, namespace: {namespace}}}\npools:\n{pools}"
    )


def stream_of(number: int, per_stream: int | None) -> str:
    return "TASKS" if per_stream is None else f"TASKS-{number // per_stream}"


@asynccontextmanager
async def streams(
    nats_url: str,
    names: list[str],
    per_stream: int | None = None,
    *,
    credentials: Path | None = None,
) -> AsyncIterator[Client]:
    """A connection to a server that has a consumer for each name, so many in a stream; all in
    stream TASKS unless given. `credentials` is a creds file to log in with.
    """

    async def quiet(_: Exception) -> None:
        """The tests look at what the product says, not at what this client does."""

    client = await nats.connect(
        nats_url, error_cb=quiet, max_reconnect_attempts=-1, user_credentials=credentials
    )
    stream = client.jetstream()
    for name in dict.fromkeys(stream_of(number, per_stream) for number in range(len(names))):
        subjects = [f"{name.lower()}.>"]
        await stream.add_stream(
            StreamConfig(name=name, subjects=subjects, max_consumers=len(names) + 10)
        )
    for number, name in enumerate(names):
        await stream.add_consumer(
            stream_of(number, per_stream),
            ConsumerConfig(
                durable_name=name,
                filter_subject=f"{stream_of(number, per_stream).lower()}.{name}",
                ack_policy=AckPolicy.EXPLICIT,
                ack_wait=300,
            ),
        )
    try:
        yield client
    finally:
        await client.close()


class Daemon:
    """`agentdash --controller-only` as a process; its log lines are read as they come."""

    def __init__(self, process: asyncio.subprocess.Process | Forked) -> None:
        self.process = process
        self.lines: list[dict[str, object]] = []
        self.text: list[str] = []

    @property
    def url(self) -> str:
        [started] = [line for line in self.lines if line["message"] == "started"]
        return str(started["serving"])

    def said(self, message: str) -> list[dict[str, object]]:
        return [line for line in self.lines if line["message"] == message]

    async def get(self, path: str) -> tuple[int, str]:
        async with aiohttp.ClientSession() as session, session.get(self.url + path) as answer:
            return answer.status, await answer.text()

    async def ready(self) -> None:
        """Wait until it says that it is."""
        async with asyncio.timeout(PATIENCE_S):
            while not self.said("started") or (await self.get("/readyz"))[0] != 200:
                await asyncio.sleep(0.05)

    async def not_ready(self, why: str, *, only: bool = False) -> None:
        """Wait until it says that it is not, for this reason, or for this one `only`."""
        async with asyncio.timeout(PATIENCE_S):
            while True:
                status, text = (await self.get("/readyz")) if self.said("started") else (0, "")
                causes = text.splitlines()[:-1]  # the last line is the role
                found = [why in each for each in causes]
                if status == 503 and (all(found) if only else any(found)):
                    return
                await asyncio.sleep(0.05)

    async def ticks(self) -> int:
        """How many ticks it has counted so far; 0 before the first snapshot, which adds the row."""
        _, text = await self.get("/metrics")
        rows = [row for row in text.splitlines() if row.startswith("agentdash_ticks_total ")]
        return int(float(rows[0].split()[1])) if rows else 0

    async def pass_ticks(self, count: int) -> None:
        """Wait until so many more ticks have ended."""
        enough = await self.ticks() + count
        async with asyncio.timeout(PATIENCE_S):
            while await self.ticks() < enough:
                await asyncio.sleep(0.02)

    async def listen(self) -> None:
        assert self.process.stderr is not None
        while line := await self.process.stderr.readline():
            text = line.decode()
            self.text.append(text)
            if text.startswith("{"):
                self.lines.append(json.loads(text))


@asynccontextmanager
async def daemon(
    fleet: Path,
    kubeconfig: Path,
    *options: str,
    program: Sequence[str | Path] = ("agentdash",),
) -> AsyncIterator[Daemon]:
    """A daemon that is stopped with the block: a fork of a process that has loaded agentdash, which
    runs a module or `-c` code as `program`; or `NEW`, a new Python.
    """
    place = ("-f", str(fleet), "--kubeconfig", str(kubeconfig), "--listen", "127.0.0.1:0")
    arguments = (*place, "--controller-only", *options)
    process: asyncio.subprocess.Process | Forked
    if program is NEW:
        words = (sys.executable, *program, *arguments)
        process = await asyncio.create_subprocess_exec(*words, stderr=asyncio.subprocess.PIPE)
    else:
        process = await forked(*map(str, program), *arguments)
    running = Daemon(process)
    listening = asyncio.create_task(running.listen())
    try:
        yield running
        if process.returncode is None:
            process.send_signal(signal.SIGTERM)
        await asyncio.wait_for(process.wait(), PATIENCE_S)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
        await listening


async def until(what: Callable[[], object], seconds: float = PATIENCE_S) -> None:
    """Wait for a condition of another process."""
    async with asyncio.timeout(seconds):
        while not what():
            await asyncio.sleep(0.02)
