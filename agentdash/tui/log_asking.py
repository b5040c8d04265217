"""Asks for the last lines of a pod when a person wants to see them: no snapshot brings them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agentdash.tui.operating import NotDoneError, Operating

if TYPE_CHECKING:
    from agentdash.tui.pod_log import PodRef
    from agentdash.tui.shown_app import ShownApp
    from agentdash.tui.view_stack import ViewStack


class LogAsking:
    """Fills the view of a pod's log. `operator` is None where nobody can be asked."""

    def __init__(self, app: ShownApp, views: ViewStack, operator: Operating | None) -> None:
        self._app = app
        self._views = views
        self._operator = operator

    async def ask(self, pod: PodRef | None) -> None:
        """Show the log of the pod under the cursor; the view is filled when the answer comes."""
        app = self._app
        row = None if pod is None else app.frame.row(pod.pool)
        if pod is None or row is None:
            app.flash("no pod under the cursor")
            return
        if app.shows_the_past:
            app.flash(f"a log is of now; {app.keys.key_of('still')} goes back to it")
            return
        self._views.logs.show_pod(pod)
        app.run_worker(self._load(row.view.namespace, pod.name), group="logs", exclusive=True)
        await self._views.go_to(self._views.logs)

    async def _load(self, namespace: str, pod: str) -> None:
        view = self._views.logs
        if self._operator is None:
            view.show_problem("this dashboard cannot ask for it")
        else:
            try:
                view.show_log(await self._operator.pod_log(namespace, pod))
            except NotDoneError as error:
                view.show_problem(str(error))
        if self._views.top is view:
            self._app.draw()
            view.select_newest()
