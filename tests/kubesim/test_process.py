"""The simulator as a process of its own: it prints its address, and ends when it is told to."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import aiohttp
import msgspec
import yaml


async def test_it_prints_its_address_serves_and_ends_quietly(tmp_path: Path) -> None:
    config = tmp_path / "kubeconfig"
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "agentdash.demo.kubesim",
        "--speed=50",
        f"--kubeconfig={config}",
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    async with asyncio.timeout(20):
        url = msgspec.json.decode(await process.stdout.readline())["url"]
        async with aiohttp.ClientSession() as session, session.get(f"{url}/readyz") as response:
            assert await response.text() == "ok"
        server = yaml.safe_load(config.read_text())["clusters"][0]["cluster"]["server"]
        assert server == url
        process.terminate()
        _, errors = await process.communicate()
    assert (process.returncode, errors) == (0, b"")
