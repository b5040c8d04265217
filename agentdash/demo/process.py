"""Starts the demo's world as a child process, and ends it so that nothing is left."""

from __future__ import annotations

import asyncio
import shutil
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Final

import msgspec

from agentdash.demo.protocol import Failed, Ready
from agentdash.demo.report import WorldReport

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
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "agentdash.demo",
        str(home),
        *arguments,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        start_new_session=True,
        limit=REPORT_LIMIT_BYTES,
    )
    try:
        world = RunningWorld(await _ready(process))
        # its warnings are read so that it never blocks on a full pipe; they are not shown
        errors = asyncio.create_task(_drain(process), name="demo errors")
        try:
            yield world
        finally:
            world.report = await _end(process)
            errors.cancel()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
        shutil.rmtree(home, ignore_errors=True)


async def _ready(process: asyncio.subprocess.Process) -> Ready:
    if process.stdout is None or process.stderr is None:
        raise DemoError("the demo's world was started without pipes")
    try:
        async with asyncio.timeout(WORLD_START_S):
            line = await process.stdout.readline()
            if not line:
                errors = (await process.stderr.read()).decode(errors="replace")
                raise DemoError(f"the demo's world ended at its start:\n{errors[-2000:]}")
    except TimeoutError:
        raise DemoError(f"the demo's world was not ready within {WORLD_START_S:.0f} s") from None
    said = msgspec.json.decode(line, type=Ready | Failed)
    if isinstance(said, Failed):
        raise DemoError(said.error)
    return said


async def _drain(process: asyncio.subprocess.Process) -> None:
    if process.stderr is not None:
        while await process.stderr.read(65536):
            pass


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
