"""How pictures are compared: one SVG file for each test, all in one folder."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from pytest_textual_snapshot import SVGImageExtension
from syrupy.assertion import SnapshotAssertion
from syrupy.location import PyTestLocation
from textual._context import active_app
from textual.app import App
from textual.css.model import RuleSet
from textual.css.stylesheet import Stylesheet
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
    snapshot: SnapshotAssertion, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
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


async def until_quiet(min_sleep: float = 0.0, max_sleep: float = 1.0) -> None:
    """Wait until no task can go on. Textual waits until the process has used no processor for a
    while, which takes long on a busy machine.
    """
    del min_sleep, max_sleep
    loop, app = asyncio.get_running_loop(), active_app.get(None)
    quiet = 0
    while quiet < 3:
        # a change of size waits for a timer
        resizes = app is not None and app._resize_event is not None
        await asyncio.sleep(0.01 if resizes else 0)
        quiet = 0 if resizes or loop._ready else quiet + 1
        if quiet == 2 and app is not None and app.is_running and app.screen_stack:
            app.screen._on_timer_update()  # paint now, not at the next frame


@pytest.fixture(autouse=True)
def no_idling(monkeypatch: pytest.MonkeyPatch) -> None:
    """A test goes on as soon as its dashboard has nothing left to do."""

    async def wait_for_screen(pilot: Pilot[None], timeout: float = 30.0) -> bool:  # noqa: ASYNC109
        await until_quiet()
        return pilot.app._exception is None

    for module in ("app", "pilot"):
        monkeypatch.setattr(f"textual.{module}.wait_for_idle", until_quiet)
    # it would wait for widgets that are removed meanwhile
    monkeypatch.setattr(Pilot, "_wait_for_screen", wait_for_screen)


@pytest.fixture(scope="session", autouse=True)
def parsed_once() -> Iterator[None]:
    """Each dashboard would read all style sheets anew, twice: a twelfth of a test's time."""
    read, known = Stylesheet._parse_rules, dict[Any, list[RuleSet]]()

    def rules(sheet: Stylesheet, *given: Any, **named: Any) -> list[RuleSet]:
        key = (given, *named.items(), *sheet._variables.items())
        if key not in known:
            known[key] = read(sheet, *given, **named)
        return known[key]

    with mock.patch.object(Stylesheet, "_parse_rules", rules):
        yield
