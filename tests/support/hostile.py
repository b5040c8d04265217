"""A process that reads what a hostile peer sends, and says by how many MB (10^6 bytes) it grew.

python -m support.hostile frame|answer FILE, list KUBECONFIG, nats URL
"""

from __future__ import annotations

import asyncio
import os
import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

from controller.engine.supervise import SystemClock
from controller.kube.access import Access
from controller.kube.client import Client
from controller.kube.watch import WatchTarget, pages
from controller.model.ids import PoolKey
from controller.model.settings import KubernetesSettings, NatsSettings
from controller.nats.desk import ask_outlook
from controller.nats.feed import Part, snapshot_of
from controller.nats.jetstream import UnreadableAnswerError
from controller.nats.session import NatsSession
from controller.record.frames import SNAPSHOT_VERSION


def grown_mb(*arguments: str) -> tuple[float, str]:
    """By how much the process grew, at its peak, and how it refused what it read."""
    path = os.pathsep.join(filter(None, sys.path))
    done = subprocess.run(
        (sys.executable, "-m", "support.hostile", *arguments),
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        check=False,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    grown, _, words = done.stdout.partition(" ")
    return float(grown), words.strip()


def peak_mb() -> float:
    found = re.search(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text())
    assert found is not None
    return int(found[1]) * 1024 / 1e6


async def read(kind: str, what: str) -> None:
    match kind:
        case "frame":
            snapshot_of(Path(what).read_bytes(), Part(SNAPSHOT_VERSION, 1, 1, 0, 0, 1, b""), None)
        case "answer":
            data = Path(what).read_bytes()

            async def request(*_: object, **__: object) -> bytes:
                return data

            session = cast("Any", SimpleNamespace(request=request))
            await ask_outlook(session, "agentdash", PoolKey("acme/research"))
        case "list":
            access = await Access.load(KubernetesSettings(kubeconfig=what))
            client = Client(access, SystemClock())
            try:
                async for _ in pages(client, WatchTarget(kind="pods", path="/api/v1/pods")):
                    pass
            finally:
                await client.close()
        case _:
            async with NatsSession(NatsSettings(servers=(what,)), SystemClock()) as session:
                while "announces" not in session.link().detail:
                    await asyncio.sleep(0.01)
                raise UnreadableAnswerError(session.link().detail)


def main() -> None:
    before, words = peak_mb(), "was read"
    try:
        asyncio.run(read(*sys.argv[1:]))
    except Exception as error:  # noqa: BLE001 - who started it looks at the words
        words = str(error)
    print(f"{peak_mb() - before:.1f} {words}")


if __name__ == "__main__":
    main()
