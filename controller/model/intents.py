"""What operators asked for. Kept apart from the fleet file: an intent has a person, a reason and an
end.
"""

from __future__ import annotations

from controller.model.value import Value


class Intents(Value):
    """The intents in force."""
