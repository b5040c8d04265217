"""The themes. Colour only repeats a word or a glyph; the default's are after Okabe and Ito."""

from __future__ import annotations

from importlib.resources import files
from typing import Any, Final

from textual.theme import Theme

STYLE_SHEETS: Final = ("app.tcss", "overview.tcss", "why.tcss", "tables.tcss")


def _theme(name: str, *, dark: bool = True, **colours: Any) -> Theme:
    own = ("quiet", "border_line", "cursor_background", "cursor_background_blur")
    variables = {each.replace("_", "-"): colours.pop(each) for each in (*own, "alert_background")}
    background = colours["background"]
    return Theme(name=name, dark=dark, surface=background, variables=variables, **colours)


THEMES: Final = (
    _theme(
        "agentdash",
        primary="#56b4e9",
        secondary="#0072b2",
        warning="#e69f00",
        error="#ff8a5c",
        success="#4fc9a4",
        accent="#f0e442",
        foreground="#d6dbe1",
        background="#10151c",
        panel="#1c2630",
        quiet="#8795a3",
        border_line="#3d4b59",
        cursor_background="#24435c",
        cursor_background_blur="#1c2630",
        alert_background="#4a2c12",
    ),
    # for bright rooms and weak screens: black, and nothing below 7 to 1
    _theme(
        "midnight",
        primary="#7cc7ff",
        secondary="#5a9fd4",
        warning="#ffc24d",
        error="#ff9a85",
        success="#7be0a5",
        accent="#fff27a",
        foreground="#f4f6f8",
        background="#000000",
        panel="#1a1d21",
        quiet="#b3bcc6",
        border_line="#59636e",
        cursor_background="#123a5e",
        cursor_background_blur="#22272d",
        alert_background="#4a2a00",
    ),
    _theme(
        "paper",
        dark=False,
        primary="#0a559e",
        secondary="#3b78b5",
        warning="#7d4700",
        error="#ae1f14",
        success="#12633a",
        accent="#6b3fa0",
        foreground="#1d2329",
        background="#fbfaf6",
        panel="#e9ecef",
        quiet="#59626b",
        border_line="#a3acb5",
        cursor_background="#d3e5f7",
        cursor_background_blur="#e6e9ec",
        alert_background="#fbe6c4",
    ),
    # blue, grey, white, yellow and orange stay apart whichever cones are missing
    _theme(
        "colour-blind",
        primary="#6aaeff",
        secondary="#3f7fd0",
        warning="#ffe45c",
        error="#ff8a1f",
        success="#ffffff",
        accent="#ffffff",
        foreground="#bcc4cd",
        background="#101318",
        panel="#20262e",
        quiet="#939daa",
        border_line="#46515e",
        cursor_background="#2b3442",
        cursor_background_blur="#20262e",
        alert_background="#3a3200",
    ),
)
"""Two dark ones, one light, and one for people who see fewer colours; the first is the default."""


def stylesheet() -> str:
    """All style sheets of the package `styles`, as one text."""
    folder = files("styles")
    return "\n".join(folder.joinpath(name).read_text(encoding="utf-8") for name in STYLE_SHEETS)
