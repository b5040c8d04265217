"""What a person prefers on this machine: keys and settings, read from the configuration folder.

PreferencesError     everything that is wrong with the files
"""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Final, NamedTuple

from agentdash.tui.actions import DEFAULT_KEYS, Keymap, KeysError, read_keys
from agentdash.tui.commands import UnknownCommandError, theme_named
from agentdash.tui.names import THEME_NAMES
from controller.model.text import clean, quote

_FOLDER: Final = "agentdash"
_KEYS: Final = "keys.toml"
_SETTINGS: Final = "settings.toml"
_THEME_LINE: Final = re.compile(r"^theme\s*=.*$", re.MULTILINE)


class PreferencesError(Exception):
    """Wrong preferences; the text has a line for each thing to correct."""


_NO_HOME: Final = "without a home directory nothing is remembered"


class Preferences(NamedTuple):
    """How the dashboard is to be. `ascii_only` draws no other characters. `remember_theme` keeps a
    theme's name for the next time; it gives the reason if it cannot.
    """

    keys: Keymap = DEFAULT_KEYS
    theme: str = THEME_NAMES[0]
    remember_theme: Callable[[str], str | None] = lambda _: _NO_HOME
    ascii_only: bool = False


def read_preferences(environment: Mapping[str, str]) -> Preferences:
    """The preferences of this person; a file that is not there changes nothing.

    Raises PreferencesError.
    """
    folder = _folder(environment)
    if folder is None:
        return Preferences()
    problems: list[str] = []
    keys, theme, settings = DEFAULT_KEYS, THEME_NAMES[0], folder / _SETTINGS
    try:
        keys = _keys(folder / _KEYS)
    except PreferencesError as error:
        problems.append(str(error))
    try:
        theme = _theme(settings)
    except PreferencesError as error:
        problems.append(str(error))
    if problems:
        raise PreferencesError("\n".join(problems))
    return Preferences(keys, theme, partial(_remember_theme, settings))


def _keys(path: Path) -> Keymap:
    text = _text(path)
    if text is None:
        return DEFAULT_KEYS
    try:
        return read_keys(text)
    except KeysError as error:
        raise _wrong(path, *error.problems) from None


def _theme(path: Path) -> str:
    text = _text(path)
    if text is None:
        return THEME_NAMES[0]
    try:
        values = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise _wrong(path, f"it is no TOML: {clean(error)}") from None
    problems = [
        f"unknown key {quote(name)}: there is only theme" for name in values if name != "theme"
    ]
    theme = values.get("theme", THEME_NAMES[0])
    try:
        theme_named(theme if isinstance(theme, str) else clean(theme))
    except UnknownCommandError as error:
        problems.append(f"theme: {clean(error)}")
    if problems:
        raise _wrong(path, *problems)
    return str(theme)


def _remember_theme(path: Path, name: str) -> str | None:
    """Write the theme's name into the settings; the file is never half written."""
    line = f'theme = "{name}"'
    try:
        before = _text(path) or ""
        text, found = _THEME_LINE.subn(line, before, count=1)
        path.parent.mkdir(parents=True, exist_ok=True)
        beside = path.with_name(f".{path.name}.{os.getpid()}")
        beside.write_text(text if found else f"{line}\n{before}", "utf-8")
        beside.replace(path)
    except PreferencesError as error:
        return str(error)
    except OSError as error:
        return f"{clean(path)} cannot be written: {error.strerror}"
    return None


def _folder(environment: Mapping[str, str]) -> Path | None:
    """Where the files are; None without a home directory."""
    configured, home = environment.get("XDG_CONFIG_HOME", ""), environment.get("HOME", "")
    # the specification: a path that is not absolute is to be ignored
    if configured.startswith(os.sep):
        return Path(configured) / _FOLDER
    return Path(home) / ".config" / _FOLDER if home else None


def _text(path: Path) -> str | None:
    """The text of a file; None where there is none. Raises PreferencesError."""
    try:
        return path.read_text("utf-8")
    except (FileNotFoundError, NotADirectoryError):
        return None
    except UnicodeDecodeError:
        raise _wrong(path, "it is no text in UTF-8") from None
    except OSError as error:
        raise _wrong(path, f"it cannot be read: {error.strerror}") from None


def _wrong(path: Path, *problems: str) -> PreferencesError:
    return PreferencesError("\n".join(f"{clean(path)}: {each}" for each in problems))
