"""The words a person may type for a view or a theme.

The parser of the command line offers them in `--help`, so nothing heavy is imported here.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

DEFAULT_UNTIL: Final = "2h"
"""When an intent ends whose end nobody types, so that no intent is forgotten."""
NO_END: Final = "-"
"""What a person types for an intent that stays until it is taken back."""
VIEW_NAMES: Final = tuple(
    sorted(
        (each.stem for each in Path(__file__).with_name("tables").glob("[a-z]*.py")),
        key=lambda name: (name != "overview", name),
    )
)
"""The views that have a file of tables, which may define other names for them too."""
HELP_VIEW: Final = "help"
"""The view that is the same for every fleet, so that nothing is read or asked for."""
ONCE_VIEWS: Final = (*(name for name in VIEW_NAMES if name != "logs"), HELP_VIEW)
"""The views that are printed; `why`, and all others too, may be of one pool or tenant."""
THEME_NAMES: Final = ("agentdash", "midnight", "paper", "colour-blind")
