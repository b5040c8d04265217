"""A real Prometheus that scrapes one gauge, which a test can kill, freeze and start again."""

from __future__ import annotations

import shutil
import signal
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path
from typing import Self

from prometheus_client import CollectorRegistry, Gauge, start_http_server

from support.ports import free_port

PATIENCE_S = 30.0
BINARY = shutil.which("prometheus")
MISSING = "there is no prometheus on this machine: apt-get install prometheus"
CONFIG = """\
global: {{scrape_interval: 100ms, scrape_timeout: 100ms}}
scrape_configs:
  - job_name: agents
    static_configs: [{{targets: ["127.0.0.1:{port}"]}}]
"""


class Exporter:
    """Serves `agent_backlog`, by agent, and `scrapes_awaited`."""

    def __init__(self) -> None:
        registry = CollectorRegistry()
        self.backlog = Gauge("agent_backlog", "Tasks waiting.", ["agent"], registry=registry)
        self.awaited = Gauge("scrapes_awaited", "A number to be seen.", registry=registry)
        self._server, self._thread = start_http_server(0, addr="127.0.0.1", registry=registry)
        self.port = self._server.server_port

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class RealPrometheus:
    """`with RealPrometheus(folder) as server:`; `server.exporter.backlog` is what it scrapes."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None
        self._awaited = 0
        self._port = free_port()
        self.url = f"http://127.0.0.1:{self._port}"

    def __enter__(self) -> Self:
        self.exporter = Exporter()
        self._folder.mkdir(parents=True, exist_ok=True)
        config = CONFIG.format(port=self.exporter.port)
        (self._folder / "prometheus.yaml").write_text(config, "utf-8")
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()
        self.exporter.close()

    def start(self) -> None:
        """Start it and wait until it answers; its address and its data stay the same."""
        if BINARY is None:
            raise RuntimeError(MISSING)
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [
                    BINARY,
                    f"--config.file={self._folder / 'prometheus.yaml'}",
                    f"--storage.tsdb.path={self._folder / 'data'}",
                    f"--web.listen-address=127.0.0.1:{self._port}",
                ],
                stdout=log,
                stderr=log,
            )
        self._until(lambda: self._get("/-/ready") is not None, "ready")

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def freeze(self) -> None:
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self._signal(signal.SIGCONT)

    def scraped(self, query: str) -> None:
        """Wait until the query finds something."""
        path = "/api/v1/query?" + urllib.parse.urlencode({"query": query})
        self._until(lambda: b'"value"' in (self._get(path) or b""), query)

    def await_scrape(self) -> None:
        """Wait until what the exporter says now was scraped, by this very process: what an earlier
        one stored before it was killed does not count.
        """
        self._awaited += 1
        self.exporter.awaited.set(self._awaited)
        self.scraped(f"scrapes_awaited == {self._awaited}")

    def _signal(self, number: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    def _get(self, path: str) -> bytes | None:
        try:
            with urllib.request.urlopen(self.url + path, timeout=1.0) as answer:
                return bytes(answer.read())
        except (urllib.error.URLError, OSError):
            return None

    def _until(self, holds: object, what: str) -> None:
        deadline = time.monotonic() + PATIENCE_S
        assert callable(holds)
        while not holds():
            assert self._process is not None
            if self._process.poll() is not None or time.monotonic() > deadline:
                log = (self._folder / "log").read_text("utf-8", "replace")
                raise RuntimeError(f"Prometheus never became {what}:\n{log[-2000:]}")
            time.sleep(0.02)
