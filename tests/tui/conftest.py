"""How pictures are compared: one SVG file for each test, all in one folder."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest
from pytest_textual_snapshot import SVGImageExtension
from syrupy.assertion import SnapshotAssertion
from syrupy.location import PyTestLocation
from textual.app import App
from textual.pilot import Pilot

from tui import plain

SCREENSHOTS = Path(__file__).parents[2] / "screenshots"


def pytest_configure(config: pytest.Config) -> None:
    """Syrupy warns about files outside a folder for each module; ours are in one folder."""
    config.addinivalue_line("filterwarnings", r"ignore:\s*Can not relate snapshot:UserWarning")


class FlatScreenshots(SVGImageExtension):
    """One file in `screenshots/` for each test, named after the test."""

    def serialize(self, data: Any, **options: Any) -> str:
        """Keep the spaces at both ends of a text: some viewers drop even non-breaking spaces."""
        svg = str(super().serialize(data, **options))
        return svg.replace("<text ", '<text xml:space="preserve" ')

    @classmethod
    def dirname(cls, *, test_location: PyTestLocation) -> str:
        del test_location
        return str(SCREENSHOTS)

    @classmethod
    def get_snapshot_name(cls, *, test_location: PyTestLocation, index: Any = 0) -> str:
        del index
        return test_location.methodname.removeprefix("test_").replace("_", "-")


@pytest.fixture
def picture(
    snapshot: SnapshotAssertion,
    request: pytest.FixtureRequest,
    monkeypatch: pytest.MonkeyPatch,
) -> Callable[..., bool]:
    """`snap_compare` with the pictures in `screenshots/`."""
    monkeypatch.setattr("pytest_textual_snapshot.SVGImageExtension", FlatScreenshots)
    compare: Callable[..., bool] = request.getfixturevalue("snap_compare")

    def same(app: App[None], press: Iterable[str] = (), **options: Any) -> bool:
        prepare = options.pop("run_before", None)

        async def before(pilot: Pilot[None]) -> None:
            await pilot.pause()
            if prepare is not None:
                await prepare(pilot)
            await plain.press(pilot, *press)

        equal = compare(app, run_before=before, **options)
        assert not app.return_code, "the dashboard failed while its picture was taken"
        return equal

    return same


@pytest.fixture(autouse=True)
def plain_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Remove the colour and animation settings of the person who runs the tests."""
    for name in ("NO_COLOR", "COLORTERM", "TEXTUAL_ANIMATIONS", "TEXTUAL_FPS", "TEXTUAL_THEME"):
        monkeypatch.delenv(name, raising=False)
