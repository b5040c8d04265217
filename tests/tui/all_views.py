"""The views that a person can name."""

from __future__ import annotations

from typing import Final

from agentdash.tui.tables import views

VIEWS: Final = tuple(view for view in views().values() if view.listed)
