from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from controller.config import load
from controller.config.document import FleetSource, file_state
from controller.engine.intents import FleetFileWatch
from controller.engine.supervise import SystemClock
from controller.model.snapshot import INVALID_FILE
from support.live import fleet_text, until

URL = "nats://127.0.0.1:4222"


def text(*pools: str, url: str = URL) -> str:
    return fleet_text(url, list(pools))


@pytest.fixture(autouse=True)
def looks_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("controller.engine.intents.FILE_LOOK_EVERY_S", 0.02)


@asynccontextmanager
async def following(path: Path) -> AsyncIterator[FleetFileWatch]:
    source = FleetSource(path, lambda: load(path), file_state(path))
    watch = FleetFileWatch(source, load(path), SystemClock())
    running = asyncio.create_task(watch.run())
    try:
        yield watch
    finally:
        running.cancel()


def pools(watch: FleetFileWatch) -> list[str]:
    return [pool.name for pool in watch.settings.fleet.pools]


async def test_a_changed_file_is_taken_over_and_an_unchanged_one_is_not(tmp_path: Path) -> None:
    path = tmp_path / "fleet.yaml"
    path.write_text(text("research"), "utf-8")
    async with following(path) as watch:
        os.utime(path)  # written with the same content
        watch.reread()
        await asyncio.sleep(0.2)
        assert not watch.changed.is_set()
        path.write_text(text("research", "browser"), "utf-8")
        await until(watch.changed.is_set, 5.0)
        assert pools(watch) == ["research", "browser"]
        assert list(watch.findings()) == []


async def test_a_link_that_leads_elsewhere_is_a_change_as_in_a_mounted_config_map(
    tmp_path: Path,
) -> None:
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "fleet.yaml").write_text(text(name), "utf-8")
    (tmp_path / "..data").symlink_to("first")
    path = tmp_path / "fleet.yaml"
    path.symlink_to("..data/fleet.yaml")
    async with following(path) as watch:
        (tmp_path / "..data_tmp").symlink_to("second")
        (tmp_path / "..data_tmp").rename(tmp_path / "..data")
        await until(watch.changed.is_set, 5.0)
        assert pools(watch) == ["second"]


@pytest.mark.parametrize("wrong", ["version: 1\npols: []\n", None])
async def test_a_file_with_a_fault_keeps_the_last_good_one_and_says_where_it_is(
    tmp_path: Path, wrong: str | None, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "fleet.yaml"
    path.write_text(text("research"), "utf-8")
    async with following(path) as watch:
        if wrong is None:
            path.unlink()
        else:
            path.write_text(wrong, "utf-8")
        await until(lambda: list(watch.findings()), 5.0)
        [(_, subject, kind, words)] = watch.findings()
        assert (subject, kind) == ("fleet file", INVALID_FILE)
        expected = "No such file" if wrong is None else "fleet.yaml:2:1: pols: "
        assert expected in words
        assert wrong is None or 'did you mean "pools"' in words
        assert pools(watch) == ["research"]
        assert not watch.changed.is_set()
        watch.reread()
        watch.reread()
        await asyncio.sleep(0.2)
        path.write_text(text("research", "browser"), "utf-8")
        await until(watch.changed.is_set, 5.0)
        assert list(watch.findings()) == []
    assert caplog.text.count("fleet file not taken over") == 1


async def test_changed_connections_need_a_restart_and_the_pools_do_not(tmp_path: Path) -> None:
    path = tmp_path / "fleet.yaml"
    path.write_text(text("research"), "utf-8")
    async with following(path) as watch:
        path.write_text(text("browser", url="nats://127.0.0.1:5222"), "utf-8")
        await until(watch.changed.is_set, 5.0)
        assert pools(watch) == ["browser"]
        assert watch.settings.nats.servers == (URL,)
        [(_, _, kind, words)] = watch.findings()
        assert (kind, words.partition(":")[0]) == ("restart", "nats changed")
        path.write_text(text("browser"), "utf-8")
        await until(lambda: not list(watch.findings()), 5.0)
