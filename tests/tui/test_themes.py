"""The themes: readable, told apart by people who see fewer colours, chosen and remembered."""

from __future__ import annotations

from collections.abc import Callable
from itertools import combinations
from pathlib import Path

import pytest
from textual.color import Color
from textual.theme import Theme

from agentdash.cli import main
from agentdash.preferences import PreferencesError, read_preferences
from agentdash.tui.names import THEME_NAMES
from agentdash.tui.theme import THEMES
from support.table import tabled
from tui import scenarios
from tui.dashboards import dashboard
from tui.plain import screen_lines, typed

Picture = Callable[..., bool]
SIZE = (120, 36)
TONES = ("primary", "warning", "error", "success", "foreground")
# Machado, Oliveira, Fernandes 2009, severity 1, on linear RGB
MISSING_CONES = {
    "protan": (
        (0.152286, 1.052583, -0.204868),
        (0.114503, 0.786281, 0.099216),
        (-0.003882, -0.048116, 1.051998),
    ),
    "deutan": (
        (0.367322, 0.860646, -0.227968),
        (0.280085, 0.672501, 0.047413),
        (-0.011820, 0.042940, 0.968881),
    ),
    "tritan": (
        (1.255528, -0.076749, -0.178779),
        (-0.078411, 0.930809, 0.147602),
        (0.004733, 0.691367, 0.303900),
    ),
}


def linear(colour: str) -> tuple[float, float, float]:
    red, green, blue = (
        part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4
        for part in Color.parse(colour).normalized
    )
    return red, green, blue


def contrast(one: str, other: str) -> float:
    """As WCAG 2.2 computes it."""
    light, dark = sorted(
        (
            sum(
                part * weight
                for part, weight in zip(linear(each), (0.2126, 0.7152, 0.0722), strict=True)
            )
            for each in (one, other)
        ),
        reverse=True,
    )
    return (light + 0.05) / (dark + 0.05)


def lab(parts: tuple[float, ...]) -> tuple[float, float, float]:
    """Oklab of linear RGB, after Ottosson."""
    red, green, blue = (min(max(each, 0.0), 1.0) for each in parts)
    long = (0.4122214708 * red + 0.5363325363 * green + 0.0514459929 * blue) ** (1 / 3)
    middle = (0.2119034982 * red + 0.6806995451 * green + 0.1073969566 * blue) ** (1 / 3)
    short = (0.0883024619 * red + 0.2817188376 * green + 0.6299787005 * blue) ** (1 / 3)
    return (
        0.2104542553 * long + 0.7936177850 * middle - 0.0040720468 * short,
        1.9779984951 * long - 2.4285922050 * middle + 0.4505937099 * short,
        0.0259040371 * long + 0.7827717662 * middle - 0.8086757660 * short,
    )


def seen_without(cones: str, colour: str) -> tuple[float, float, float]:
    parts = linear(colour)
    rows = MISSING_CONES[cones]
    return lab(tuple(sum(a * b for a, b in zip(row, parts, strict=True)) for row in rows))


def colour_of(theme: Theme, name: str) -> str:
    value = theme.variables.get(name) or getattr(theme, name)
    assert isinstance(value, str)
    return value


def test_the_names_are_those_of_the_themes() -> None:
    assert tuple(theme.name for theme in THEMES) == THEME_NAMES
    assert [theme.dark for theme in THEMES] == [True, True, False, True]


@tabled("theme", THEMES)
def test_every_text_can_be_read(theme: Theme) -> None:
    least = 7.0 if theme.name == "midnight" else 4.5
    for tone in (*TONES, "quiet"):
        text = colour_of(theme, tone)
        assert contrast(text, colour_of(theme, "background")) >= least, tone
        for behind in ("cursor-background", "cursor-background-blur", "panel"):
            assert contrast(text, colour_of(theme, behind)) >= 3.0, (tone, behind)
    alert = contrast(colour_of(theme, "warning"), colour_of(theme, "alert-background"))
    assert alert >= 4.5


@tabled("cones", MISSING_CONES)
def test_tones_of_the_colour_blind_theme_differ_whichever_cones_are_missing(cones: str) -> None:
    theme = THEMES[THEME_NAMES.index("colour-blind")]
    for one, other in combinations(TONES, 2):
        pair = (seen_without(cones, colour_of(theme, each)) for each in (one, other))
        distance = sum((a - b) ** 2 for a, b in zip(*pair, strict=True)) ** 0.5
        assert distance >= 0.1, (cones, one, other, distance)


def test_overview_midnight_120x36(picture: Picture) -> None:
    """Black; every text is bright."""
    app = dashboard(scenarios.FakeFeed(scenarios.mixed_fleet()), theme="midnight")
    assert picture(app, terminal_size=SIZE)


def test_overview_paper_120x36(picture: Picture) -> None:
    """Dark on light; the cursor's row is light blue."""
    app = dashboard(scenarios.FakeFeed(scenarios.mixed_fleet()), theme="paper")
    assert picture(app, terminal_size=SIZE)


def test_overview_colour_blind_120x36(picture: Picture) -> None:
    """Blue, white, yellow and orange; no green and no red."""
    app = dashboard(scenarios.FakeFeed(scenarios.mixed_fleet()), theme="colour-blind")
    assert picture(app, terminal_size=SIZE)


async def test_the_command_changes_the_colours_and_remembers_them() -> None:
    kept: list[str] = []

    def remember(name: str) -> str | None:
        kept.append(name)
        return None if name == "paper" else "the disk is full"

    app = dashboard(scenarios.FakeFeed(scenarios.mixed_fleet()), remember_theme=remember)
    async with app.run_test(size=SIZE) as pilot:
        await pilot.pause()
        before = screen_lines(app)
        await pilot.press(*typed(":theme pa"), "tab", "enter")
        await pilot.pause()
        assert app.theme == "paper"
        assert "theme paper; it is remembered" in screen_lines(app)[-1]
        assert screen_lines(app)[:-1] == before[:-1]
        await pilot.press(*typed(":theme midnight"), "enter")
        await pilot.pause()
        assert "until you leave: the disk is full" in screen_lines(app)[-1]
        await pilot.press(*typed(":theme papr"), "enter")
        await pilot.pause()
        assert "no theme 'papr'; try paper" in "\n".join(screen_lines(app))
    assert (app.theme, kept) == ("midnight", ["paper", "midnight"])


def test_what_is_remembered_is_read_again_and_leaves_the_rest_of_the_file(tmp_path: Path) -> None:
    environment = {"XDG_CONFIG_HOME": str(tmp_path)}
    preferences = read_preferences(environment)
    assert preferences.theme == "agentdash"
    assert preferences.remember_theme("paper") is None
    settings = tmp_path / "agentdash" / "settings.toml"
    settings.write_text("# mine\n" + settings.read_text() + "# and mine\n")
    assert read_preferences(environment).remember_theme("midnight") is None
    assert settings.read_text() == '# mine\ntheme = "midnight"\n# and mine\n'
    assert read_preferences(environment).theme == "midnight"
    assert [each.name for each in settings.parent.iterdir()] == ["settings.toml"]


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "agentdash").write_text("a file")
    problem = read_preferences({"XDG_CONFIG_HOME": str(tmp_path)}).remember_theme("paper")
    assert problem is not None
    assert "settings.toml cannot be written" in problem


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('theme = "papr"', "theme: no theme 'papr'; try paper"),
        ("theme = 5", "no theme '5'"),
        ('colour = "red"', 'unknown key "colour": there is only theme'),
        ("theme", "it is no TOML"),
    ],
)
def test_wrong_settings_are_named_beside_wrong_keys(tmp_path: Path, text: str, words: str) -> None:
    folder = tmp_path / "agentdash"
    folder.mkdir()
    (folder / "settings.toml").write_text(text)
    (folder / "keys.toml").write_text("[keys]\nstill = 5")
    with pytest.raises(PreferencesError) as caught:
        read_preferences({"XDG_CONFIG_HOME": str(tmp_path)})
    keys, settings = str(caught.value).splitlines()
    assert "must be a key" in keys
    assert words in settings


def test_an_unknown_theme_on_the_command_line_is_wrong_usage(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["--theme", "papr"])
    assert caught.value.code == 2
    assert "no theme 'papr'; try paper" in capsys.readouterr().err
