"""Keys that a person chose: what may stand in keys.toml, and that everything follows from it."""

from __future__ import annotations

from pathlib import Path

import pytest

from agentdash.cli import main
from agentdash.preferences import PreferencesError, read_preferences
from agentdash.tui.actions import ACTIONS, DEFAULT_KEYS, Keymap, KeysError, action_name, read_keys
from support.table import tabled
from tui import scenarios
from tui.dashboards import dashboard
from tui.plain import screen_lines
from tui.terminal import terminal


def problems(text: str) -> str:
    with pytest.raises(KeysError) as caught:
        read_keys(text)
    return "\n".join(caught.value.problems)


def test_no_file_and_an_empty_file_change_nothing(tmp_path: Path) -> None:
    assert read_keys("") == DEFAULT_KEYS
    assert read_preferences({"HOME": str(tmp_path)}).keys == DEFAULT_KEYS
    assert read_preferences({}).keys == DEFAULT_KEYS


def test_every_action_has_one_name_in_each_view() -> None:
    for name in {action_name(each) for each in ACTIONS}:
        named = [each for each in ACTIONS if action_name(each) == name]
        assert len({each.keys for each in named}) == 1
        assert len({each.scope for each in named}) == len(named)


@tabled(
    ("written", "keys"),
    [
        ('"y"', ("y",)),
        ('"ctrl+y"', ("ctrl+y",)),
        ('"ctrl-y"', ("ctrl+y",)),
        ('"Ctrl+Y"', ("ctrl+y",)),
        ('"Y"', ("Y,shift+y",)),
        ('"shift+y"', ("Y,shift+y",)),
        ('"f5"', ("f5",)),
        ('["y", "pgdn"]', None),
        ('["y", "f6"]', ("y", "f6")),
        ('"space"', ("space",)),
    ],
)
def test_keys_are_read_as_people_write_them(written: str, keys: tuple[str, ...] | None) -> None:
    if keys is None:
        assert "pgdn would be both page_down and still" in problems(f"[keys]\nstill = {written}")
    else:
        assert read_keys(f"[keys]\nstill = {written}").keys == {"still": keys}


@tabled(
    ("text", "words"),
    [
        ('[keys]\nstil = "y"', "keys.stil: no such action; did you mean still?"),
        ('[keys]\nstill = "d"', "d would be both still and why: give one of them another"),
        ('[keys]\nstill = "ctrl+p"', "ctrl-p would be both command_palette and still"),
        ('[keys]\nstill = "ctrl+c"', "ctrl-c would be both leave_at_once and still"),
        ('[keys]\nleave_at_once = "y"', "keys.leave_at_once: no such action"),
        ('[keys]\nstill = "ctrl+i"', "a terminal sends the same for tab; write tab"),
        ('[keys]\nstill = "ctrl+5"', "a terminal cannot send it"),
        ('[keys]\nstill = "cmd+y"', 'a terminal cannot send "cmd" reliably'),
        ('[keys]\nstill = "ctrl+shift+y"', "a terminal cannot send it"),
        ('[keys]\nstill = "pagedwn"', '"pagedwn" is no key; did you mean pagedown?'),
        ('[keys]\nstill = ""', '"" is no key'),
        ("[keys]\nstill = 5", "must be a key"),
        ("[keys]\nstill = []", "must be a key"),
        ('[key]\nfreeze = "y"', 'unknown table or key "key": keys stand under [keys]'),
        ("keys = 1", "is no table"),
        ("[keys", "it is no TOML"),
        ('[keys]\n"\\u001b[31m" = "y"', "no such action"),
    ],
)
def test_what_is_wrong_is_said_in_words(text: str, words: str) -> None:
    found = problems(text)
    assert words in found
    assert "\x1b" not in found


def test_every_mistake_is_named_at_once() -> None:
    found = problems('[keys]\nstil = "y"\nfilter = "cmd+f"\nheader = "d"\n').splitlines()
    assert len(found) == 3


def test_two_actions_can_change_places() -> None:
    keymap = read_keys('[keys]\nwhy = "."\nstill = "d"\n')
    assert (keymap.key_of("why"), keymap.key_of("still")) == (".", "d")


async def test_bindings_footer_help_palette_and_banner_follow() -> None:
    keys = read_keys('[keys]\nstill = "y"\ndown = ["n"]\nhelp = "f1"\ncommand_palette = "f2"\n')
    app = dashboard(scenarios.FakeFeed(scenarios.mixed_fleet()), keys=keys)
    async with app.run_test(size=(100, 30)) as pilot:
        await pilot.pause()
        assert "<y>still" in screen_lines(app)[-2]
        assert "<f1>help" in screen_lines(app)[-2]
        first = app.views.overview.pools.cursor_key
        await pilot.press("j")
        assert app.views.overview.pools.cursor_key == first
        await pilot.press("n")
        assert app.views.overview.pools.cursor_key != first
        await pilot.press("y")
        await pilot.pause()
        assert "press y to go on" in "\n".join(screen_lines(app))
        await pilot.press("full_stop")
        await pilot.pause()
        assert "f1 lists the keys" in screen_lines(app)[-1]
        entries = app.get_system_commands(app.screen)
        assert any("y  keep still" in each.help for each in entries)
        await pilot.press("f1")
        await pilot.pause()
        assert any("y           keep still" in each for each in screen_lines(app))
        await pilot.press("f2")
        await pilot.pause()
        assert app.screen.id == "--command-palette"


async def test_a_key_that_opens_a_view_yields_to_what_a_person_has_chosen_it_for() -> None:
    for keys, view in ((DEFAULT_KEYS, "tasks"), (read_keys('[keys]\nwhy = "w"\n'), "pool")):
        app = dashboard(scenarios.FakeFeed(scenarios.mixed_fleet()), keys=keys)
        async with app.run_test(size=(100, 30)) as pilot:
            await pilot.press("w")
            await pilot.pause()
            assert view == app.view.VIEW


async def test_swapped_keys_do_what_the_footer_says() -> None:
    app = dashboard(
        scenarios.FakeFeed(scenarios.mixed_fleet()),
        keys=read_keys('[keys]\nwhy = "."\nstill = "d"\n'),
    )
    async with app.run_test(size=(100, 30)) as pilot:
        await pilot.press("d")
        await pilot.pause()
        assert app.frame.waiting == 0
        await pilot.press("full_stop")
        await pilot.pause()
        assert app.view.VIEW == "pool"


@pytest.mark.parametrize("keymap", [DEFAULT_KEYS, Keymap({"down": ("n", "f9")})])
async def test_no_key_is_bound_twice_by_textual(keymap: Keymap) -> None:
    app = dashboard(scenarios.FakeFeed(scenarios.mixed_fleet()), keys=keymap)
    async with app.run_test(size=(100, 30)) as pilot:
        await pilot.pause()
        bound = app.screen.active_bindings
        assert ("n" in bound) is (keymap is not DEFAULT_KEYS)
        assert ("j" in bound) is (keymap is DEFAULT_KEYS)


def test_a_wrong_file_ends_with_exit_code_2_and_every_mistake(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "agentdash"
    folder.mkdir()
    (folder / "keys.toml").write_text('[keys]\nstil = "y"\nwhy = "."\n')
    program = (
        "import sys; from agentdash.cli import main; sys.exit(main(['attach', '--nats', 'x']))"
    )
    with terminal(program, environment={"XDG_CONFIG_HOME": str(tmp_path)}) as seen:
        assert seen.finish() == 2
    assert b"keys.toml: keys.stil: no such action; did you mean still?" in seen.output
    assert b"would be both still and why" in seen.output


def test_a_file_that_is_no_text_is_named(tmp_path: Path) -> None:
    folder = tmp_path / ".config" / "agentdash"
    folder.mkdir(parents=True)
    (folder / "keys.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(PreferencesError, match=r"keys\.toml: it is no text in UTF-8"):
        read_preferences({"HOME": str(tmp_path), "XDG_CONFIG_HOME": "relative/is/ignored"})


def test_verbs_that_show_nothing_do_not_read_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "agentdash"
    folder.mkdir()
    (folder / "keys.toml").write_text("[keys")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    assert main(["schema", "fleet"]) == 0
