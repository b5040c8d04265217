"""Asks for the audit while a person looks at it: no snapshot brings it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from agentdash.tui.operating import NotDoneError, Operating

if TYPE_CHECKING:
    from agentdash.tui.shown_app import ShownApp
    from agentdash.tui.view_stack import ViewStack

_EVERY_S: Final = 5.0


class AuditAsking:
    """Keeps the audit view up to date. `operator` is None where nobody can be asked."""

    def __init__(self, app: ShownApp, views: ViewStack, operator: Operating | None) -> None:
        self._app = app
        self._views = views
        self._operator = operator
        self._asked_at = float("-inf")

    def if_old(self) -> None:
        """Ask again where the audit is shown and the last answer is some seconds old."""
        if self._is_shown and self._app.now - self._asked_at > _EVERY_S:
            self.ask()

    def changed(self) -> None:
        """Something was changed: what was answered is old."""
        self._asked_at = float("-inf")
        if self._is_shown:
            self.ask()

    def ask(self) -> None:
        """Ask now; the view is drawn when the answer comes."""
        self._asked_at = self._app.now
        self._app.run_worker(self._load(), group="audit", exclusive=True)

    @property
    def _is_shown(self) -> bool:
        return self._views.top is self._views.audit

    async def _load(self) -> None:
        view = self._views.audit
        if self._operator is None:
            view.show_problem("this dashboard cannot ask for it")
        else:
            try:
                audit = await self._operator.audit()
            except NotDoneError as error:
                view.show_problem(str(error))
            else:
                view.show_audit(audit, self._operator.who)
        if self._is_shown:
            self._app.draw()
