"""Which libraries each verb really loads, which the import linter cannot see."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from agentdash.demo.process import NatsServer
from support.live import PATIENCE_S

PROBE = """
import atexit, json, sys
def tell():
    heavy = {"textual", "rich", "kubernetes", "nats", "pydantic", "yaml", "aiohttp"}
    print(json.dumps(sorted(heavy & set(sys.modules))), file=sys.__stderr__)
atexit.register(tell)
from agentdash.cli import main
sys.exit(main(sys.argv[1:]))
"""


def loaded(*arguments: str) -> tuple[int, set[str]]:
    result = subprocess.run(
        [sys.executable, "-c", PROBE, *arguments], capture_output=True, text=True, check=False
    )
    return result.returncode, set(json.loads(result.stderr.splitlines()[-1]))


@pytest.mark.parametrize("arguments", [("--help",), ("demo", "--help"), ("--version",)])
def test_help_loads_nothing_heavy(arguments: tuple[str, ...]) -> None:
    assert loaded(*arguments) == (0, set())


def test_the_example_is_printed_without_anything_heavy() -> None:
    assert loaded("example") == (0, set())


def test_the_schema_loads_no_screen_and_no_client() -> None:
    code, modules = loaded("schema", "fleet")
    assert code == 0
    assert not modules & {"textual", "rich", "kubernetes", "nats"}


async def test_the_daemon_loads_no_screen(tmp_path: Path) -> None:
    server = NatsServer(tmp_path / "nats")
    await server.start()
    try:
        fleet = tmp_path / "fleet.yaml"
        fleet.write_text(f"version: 1\nnats: {{servers: ['{server.url}']}}\n", "utf-8")
        kubeconfig = tmp_path / "kubeconfig"
        kubeconfig.write_text(
            json.dumps(
                {
                    "apiVersion": "v1",
                    "kind": "Config",
                    "current-context": "here",
                    "clusters": [{"name": "here", "cluster": {"server": "http://127.0.0.1:9"}}],
                    "users": [{"name": "me", "user": {"token": "none"}}],
                    "contexts": [{"name": "here", "context": {"cluster": "here", "user": "me"}}],
                }
            ),
            "utf-8",
        )
        daemon = await asyncio.create_subprocess_exec(
            sys.executable,
            "-c",
            PROBE,
            "-f",
            fleet,
            "--kubeconfig",
            kubeconfig,
            "--controller-only",
            "--listen",
            "127.0.0.1:0",
            stderr=asyncio.subprocess.PIPE,
        )
        assert daemon.stderr is not None
        # it has connected to one server and failed to reach the other
        async with asyncio.timeout(PATIENCE_S):
            while b"127.0.0.1:9" not in await daemon.stderr.readline():
                assert daemon.returncode is None
            daemon.send_signal(signal.SIGTERM)
            _, errors = await daemon.communicate()
    finally:
        await server.stop()
    modules = set(json.loads(errors.splitlines()[-1]))
    assert daemon.returncode == 0, errors
    assert {"kubernetes", "nats"} <= modules
    assert not modules & {"textual", "rich"}


def test_the_first_frame_is_drawn_before_the_clients_are_loaded() -> None:
    probe = PROBE.partition("from agentdash.cli")[0] + "import agentdash.launch, agentdash.tui.app"
    ended = subprocess.run(
        [sys.executable, "-c", probe], capture_output=True, text=True, check=True
    )
    heavy = set(json.loads(ended.stderr.splitlines()[-1]))
    assert not heavy & {"nats", "aiohttp", "kubernetes", "pydantic", "yaml"}
