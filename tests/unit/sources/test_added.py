"""A metric source is added by one file: the one that CONTRIBUTING.md shows."""

from __future__ import annotations

import re
from pathlib import Path

import msgspec
import pytest

import controller.sources
from controller.config import parse
from controller.engine.observe import MetricPolls
from controller.model.fleet import ExternalSeries, Signal
from controller.model.observation import Series
from controller.model.readings import Absent, Fresh, Stale, Why
from controller.model.settings import Settings
from controller.sources import open_sources
from support.live import fleet_text
from support.world import VirtualClock, make_fleet, make_pool

ROOT = Path(__file__).parents[3]
SOURCE = re.compile(r"```python\n(.*?)```", re.DOTALL)


def settings(path: Path) -> Settings:
    """A fleet with one pool, whose signal is the number in this file."""
    signal = Signal(name="length", source=ExternalSeries(name=str(path)))
    pool = msgspec.structs.replace(make_pool("research"), signals=(signal,))
    found = parse(fleet_text("nats://127.0.0.1:4222", ["research"]), "fleet.yaml")
    return msgspec.structs.replace(found, fleet=make_fleet(pool))


async def test_a_source_of_one_file_is_read_kept_and_its_failures_are_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown = SOURCE.search((ROOT / "CONTRIBUTING.md").read_text("utf-8"))
    assert shown is not None
    folder, number = tmp_path / "added", tmp_path / "number"
    folder.mkdir()
    (folder / "files.py").write_text(shown[1])
    monkeypatch.setattr(controller.sources, "__path__", [*controller.sources.__path__, str(folder)])
    clock = VirtualClock()
    fleet = settings(number)
    pool = fleet.fleet.pools[0].key
    async with open_sources(fleet, clock) as sources:
        assert [source.name for source in sources] == ["files"]
        polls = MetricPolls(sources, clock, interval_s=1.0)
        async with polls.reading():
            await polls.first_read(5.0)
            missing = polls.readings(pool)["length"]
            assert isinstance(missing, Absent)
            assert missing.why is Why.OBJECT_MISSING
            (finding,) = polls.findings()
            assert finding.subject == "files"
            for text, kind in (("12.5", Fresh), ("many", Stale), ("7", Fresh)):
                number.write_text(text)
                await clock.advance(1.0)
                while not isinstance(polls.readings(pool)["length"], kind):
                    await clock.advance(1.0)
            last = polls.readings(pool)["length"]
            assert isinstance(last, Fresh)
            assert last.value == Series(values_milli=(7000,))
            assert not list(polls.findings())
