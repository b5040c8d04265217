"""Asks what follows for the pool that the why view explains: no snapshot brings it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from agentdash.tui.operating import NotDoneError, Operating
from controller.model.decision import Decision

if TYPE_CHECKING:
    from agentdash.tui.shown_app import ShownApp
    from agentdash.tui.view_stack import ViewStack

_LEAST_S: Final = 2.0
"""It costs the controller some plans, so a pool that changes in each tick is not asked for each."""
_MOST_S: Final = 30.0
"""After so long it is asked again: a limit that other pools share may have moved."""


class AheadAsking:
    """Keeps what the why view says of the next change up to date. `operator` is None where nobody
    can be asked.
    """

    def __init__(self, app: ShownApp, views: ViewStack, operator: Operating | None) -> None:
        self._app = app
        self._views = views
        self._operator = operator
        self._asked: tuple[str, Decision | None] | None = None
        self._asked_at = float("-inf")

    def if_old(self) -> None:
        """Ask where the why view is shown, and the answer is none to the decision that it shows."""
        app, view = self._app, self._views.why
        if self._views.top is not view or self._operator is None or app.shows_the_past:
            return
        row = app.frame.row(view.pool)
        question = (view.pool, None if row is None else row.view.decision)
        age = app.now - self._asked_at
        is_other_pool = self._asked is None or self._asked[0] != view.pool
        if is_other_pool or age > _MOST_S or (question != self._asked and age > _LEAST_S):
            self._asked, self._asked_at = question, app.now
            app.run_worker(self._load(self._operator, view.pool), group="ahead", exclusive=True)

    async def _load(self, operator: Operating, pool: str) -> None:
        view = self._views.why
        try:
            ahead = await operator.look_ahead(pool)
        except NotDoneError as error:
            view.show_ahead(pool, str(error))
        else:
            view.show_ahead(pool, ahead)
        if self._views.top is view:
            self._app.draw()
