"""The daemon as the printed Pod runs it: another user without a home and without capabilities, on a
tree that cannot be written, but for the folder of the journal.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from controller.exit_codes import ExitCode
from controller.manifests.objects import USER
from fakes.cluster import SimCluster
from support.live import Daemon, fleet_text, streams, until
from support.nats_server import RealNats

ROOT: Final = Path(__file__).parents[2]
ENTER: Final = """\
set -e
# what the interpreter is made of, where a private home hides it from other users
mkdir "$WORK/base" && mount --bind "$BASE" "$WORK/base"
private=$(getent passwd 0 | cut -d: -f6)
if [ "${BASE#"$private"/}" != "$BASE" ]; then
  mount -t tmpfs -o mode=0755 tmpfs "$private"
  mkdir -p "$BASE" && mount --bind "$WORK/base" "$BASE"
fi
mount -t tmpfs -o mode=0700,uid=$ID,gid=$ID tmpfs "$WORK/state"
mount -o remount,bind,ro /
cd /
exec setpriv --reuid "$ID" --regid "$ID" --clear-groups --no-new-privs --bounding-set=-all \\
  env -i PATH=/usr/bin:/bin PYTHONPATH="$SOURCE" PYTHONDONTWRITEBYTECODE=1 "$@"
"""


def can_enter() -> bool:
    """Whether we may make a place of our own, as root may in most containers."""
    if os.geteuid() != 0 or not (shutil.which("unshare") and shutil.which("setpriv")):
        return False
    asked = ["unshare", "--mount", "sh", "-c", "mount -o remount,bind,ro /"]
    return subprocess.run(asked, capture_output=True, check=False).returncode == 0


pytestmark = pytest.mark.skipif(not can_enter(), reason="needs root, unshare and setpriv")


@pytest.fixture
def place() -> Iterator[Path]:
    """A folder that every user may read."""
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        folder.chmod(0o755)
        (folder / "state").mkdir()
        yield folder


async def start(place: Path, *arguments: str) -> asyncio.subprocess.Process:
    given = {"WORK": place, "BASE": sys.base_prefix, "SOURCE": ROOT, "ID": USER}
    return await asyncio.create_subprocess_exec(
        *("unshare", "--mount", "sh", "-c", ENTER, "sh", sys.executable),
        *arguments,
        env={**os.environ, **{name: str(value) for name, value in given.items()}},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )


async def test_it_scales_and_writes_nothing_but_its_journal(place: Path) -> None:
    with RealNats(place / "nats") as server:
        async with streams(server.url, ["research"]) as client, SimCluster(speed=500.0) as sim:
            await sim.create_namespace("tenant-acme")
            await sim.create_deployment("research", "tenant-acme")
            sim.write_kubeconfig(place / "kubeconfig")
            (place / "kubeconfig").chmod(0o644)
            journal = f"controller: {{journal: {{path: {place}/state/day.jsonl}}, "
            text = fleet_text(server.url, ["research"]).replace("controller: {", journal)
            (place / "fleet.yaml").write_text(text, "utf-8")
            process = await start(
                place, "-m", "agentdash", "-f", f"{place}/fleet.yaml",
                "--kubeconfig", f"{place}/kubeconfig", "--controller-only",
                "--listen", "127.0.0.1:0",
            )  # fmt: skip
            running = Daemon(process)
            listening = asyncio.create_task(running.listen())
            try:
                await until(lambda: running.said("started"))
                await client.jetstream().publish("tasks.research", b"work")
                await until(lambda: running.said("scaled"))
                status = Path(f"/proc/{process.pid}/status").read_text("utf-8")
                _, metrics = await running.get("/metrics")
                seen_by_it = Path("/proc", str(process.pid), "root")
                written = list((seen_by_it / f"{place}/state".lstrip("/")).iterdir())
            finally:
                if process.returncode is None:
                    process.terminate()
                await listening
                await process.communicate()  # to the end of its output too, which closes the pipes
    assert process.returncode == ExitCode.OK, running.text
    assert f"Uid:\t{USER}\t{USER}\t{USER}\t{USER}" in status
    assert "CapBnd:\t0000000000000000" in status
    assert [each.name for each in written] == ["day.jsonl"]
    assert 'kind="journal' not in metrics, "the journal is written"


async def test_without_a_home_and_a_kubeconfig_it_says_so_in_words(place: Path) -> None:
    (place / "fleet.yaml").write_text(fleet_text("nats://127.0.0.1:1", ["research"]), "utf-8")
    process = await start(place, "-m", "agentdash", "plan", "-f", f"{place}/fleet.yaml")
    _, said = await asyncio.wait_for(process.communicate(), 30)
    assert process.returncode == ExitCode.UNREACHABLE, said
    assert b"no cluster was found" in said
    assert b"Traceback" not in said


async def test_nothing_can_be_written_there(place: Path) -> None:
    code = f"import pathlib; pathlib.Path({str(ROOT / 'x')!r}).touch()"
    process = await start(place, "-c", code)
    _, said = await asyncio.wait_for(process.communicate(), 30)
    assert b"Read-only file system" in said
