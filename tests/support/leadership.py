"""A leadership that a test gives and takes."""

from __future__ import annotations

from collections.abc import Callable

from controller.model.settings import LeaseView


class FakeLeadership:
    def __init__(self, *, leads: bool = False, holder: str = "other/1") -> None:
        self.leads = leads
        self.problem = ""
        self._holder = holder
        self._lapsed = False
        self._callbacks: list[Callable[[bool], None]] = []

    def may_write(self) -> bool:
        return self.leads and not self._lapsed

    def view(self) -> LeaseView:
        return LeaseView(
            name="the lease",
            holder="us/2" if self.leads else self._holder,
            is_ours=self.leads,
            problem=self.problem,
        )

    def on_change(self, callback: Callable[[bool], None]) -> None:
        self._callbacks.append(callback)

    def gain(self) -> None:
        self.leads = True
        self._tell()

    def lose(self) -> None:
        self.leads = False
        self._tell()

    def lapse(self) -> None:
        """The last renewal is too long ago, but nobody else has taken the lease."""
        self._lapsed = True

    def renew(self) -> None:
        self._lapsed = False

    def _tell(self) -> None:
        for callback in self._callbacks:
            callback(self.leads)
