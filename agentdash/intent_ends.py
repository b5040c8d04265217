"""When an intent ends whose end nobody types. The parser names it in `--help`, so nothing heavy is
imported here.
"""

from __future__ import annotations

from typing import Final

DEFAULT_UNTIL: Final = "2h"
"""So that no intent is forgotten."""
NO_END: Final = "-"
"""What a person types for an intent that stays until it is taken back."""
