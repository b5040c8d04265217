"""Runs the checks when a person asks for them; they open connections, so none runs by itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from agentdash.tui.operating import NotDoneError, Operating

if TYPE_CHECKING:
    from agentdash.tui.shown_app import ShownApp
    from agentdash.tui.view_stack import ViewStack
    from controller.model.snapshot import Progress

_NOBODY: Final = "this dashboard cannot ask for it; agentdash doctor checks the same"


class DoctorAsking:
    """Fills the doctor's view. `operator` is None where nobody can be asked."""

    def __init__(self, app: ShownApp, views: ViewStack, operator: Operating | None) -> None:
        self._app = app
        self._views = views
        self._operator = operator

    def ask(self) -> None:
        """Check everything now, unless a run is under way; the view is drawn as lines come."""
        if any(each.group == "doctor" and not each.is_finished for each in self._app.workers):
            return
        self._views.doctor.begin()
        self._app.run_worker(self._run(), group="doctor")

    async def _run(self) -> None:
        view = self._views.doctor
        if self._operator is None:
            view.show_problem(_NOBODY)
        else:
            try:
                await self._operator.examine(self._progressed)
            except NotDoneError as error:
                view.show_problem(str(error))
            else:
                view.end(self._app.now)
        self._draw()

    def _progressed(self, progress: Progress) -> None:
        self._views.doctor.show_progress(progress)
        self._draw()

    def _draw(self) -> None:
        if self._views.stack and self._views.top is self._views.doctor:
            self._app.draw()
