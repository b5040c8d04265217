"""The themes. Colour only repeats a word or a glyph; the default's are after Okabe and Ito."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.resources import files
from typing import Any, Final

from textual.theme import Theme

STYLE_SHEETS: Final = ("app.tcss", "overview.tcss", "why.tcss", "tables.tcss")
# midnight is for bright rooms and weak screens: black, and nothing below 7 to 1; in colour-blind,
# blue, grey, white, yellow and orange stay apart whichever cones are missing
_COLOURS: Final = """
                        agentdash  midnight   paper      colour-blind
primary                 #56b4e9    #7cc7ff    #0a559e    #6aaeff
secondary               #0072b2    #5a9fd4    #3b78b5    #3f7fd0
warning                 #e69f00    #ffc24d    #7d4700    #ffe45c
error                   #ff8a5c    #ff9a85    #ae1f14    #ff8a1f
success                 #4fc9a4    #7be0a5    #12633a    #ffffff
accent                  #f0e442    #fff27a    #6b3fa0    #ffffff
foreground              #d6dbe1    #f4f6f8    #1d2329    #bcc4cd
background              #10151c    #000000    #fbfaf6    #101318
panel                   #1c2630    #1a1d21    #e9ecef    #20262e
quiet                   #8795a3    #b3bcc6    #59626b    #939daa
border-line             #3d4b59    #59636e    #a3acb5    #46515e
cursor-background       #24435c    #123a5e    #d3e5f7    #2b3442
cursor-background-blur  #1c2630    #22272d    #e6e9ec    #20262e
alert-background        #4a2c12    #4a2a00    #fbe6c4    #3a3200
"""
# variables of the style sheets, not of Textual
_OWN: Final = frozenset({"quiet", "border-line", "alert-background"})


def _themes() -> Iterator[Theme]:
    names, *rows = (row.split() for row in _COLOURS.strip().splitlines())
    for place, name in enumerate(names, 1):
        colours: dict[str, Any] = {row[0]: row[place] for row in rows}
        own = {each: colours.pop(each) for each in [*colours] if each in _OWN or "cursor" in each}
        dark, surface = name != "paper", colours["background"]
        yield Theme(name=name, dark=dark, surface=surface, variables=own, **colours)


THEMES: Final = tuple(_themes())
"""Two dark ones, one light, and one for people who see fewer colours; the first is the default."""


def stylesheet() -> str:
    """All style sheets of the package `styles`, as one text."""
    folder = files("styles")
    return "\n".join(folder.joinpath(name).read_text(encoding="utf-8") for name in STYLE_SHEETS)
