"""The colours, after Okabe and Ito: people with red-green colour blindness can tell them apart."""

from __future__ import annotations

from importlib.resources import files
from typing import Final

from textual.theme import Theme

STYLE_SHEETS: Final = ("app.tcss", "overview.tcss", "why.tcss", "tables.tcss")

THEME: Final = Theme(
    name="agentdash",
    primary="#56b4e9",
    secondary="#0072b2",
    warning="#e69f00",
    error="#ff8a5c",
    success="#4fc9a4",
    accent="#f0e442",
    foreground="#d6dbe1",
    background="#10151c",
    surface="#10151c",
    panel="#1c2630",
    dark=True,
    variables={
        "quiet": "#8795a3",
        "border-line": "#3d4b59",
        "cursor-background": "#24435c",
        "cursor-background-blur": "#1c2630",
        "alert-background": "#4a2c12",
    },
)


def stylesheet() -> str:
    """All style sheets of the package `styles`, as one text."""
    folder = files("styles")
    return "\n".join(folder.joinpath(name).read_text(encoding="utf-8") for name in STYLE_SHEETS)
