"""One Prometheus for all of this folder: it takes some seconds before it scrapes anything."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from support.prometheus_server import BINARY, MISSING, RealPrometheus


@pytest.fixture(scope="package")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealPrometheus]:
    if BINARY is None:
        pytest.skip(MISSING)
    with RealPrometheus(tmp_path_factory.mktemp("prometheus")) as running:
        yield running


@pytest.fixture
def prometheus(server: RealPrometheus) -> Iterator[RealPrometheus]:
    """The server as each test may expect it: up, with two agents' backlogs of 5 and 2.5."""
    server.exporter.backlog.clear()
    server.exporter.backlog.labels("research").set(5)
    server.exporter.backlog.labels("etl").set(2.5)
    server.await_scrape()
    yield server
    server.thaw()
