"""Which process leads a fleet."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from controller.model.lease import LeaseRecord, LeaseView, SeenLease


class LeaseError(Exception):
    """The lease could not be read or written; the message is clean and may be shown.

    LeaseError
    ├── LeaseAwayError      no usable answer: a write may or may not have happened
    ├── LeaseRefusedError   we may not do this; the message names the right that is missing
    └── LeaseConflictError  it is not as it was read: another process wrote or deleted it
    """


class LeaseAwayError(LeaseError):
    """There is no usable answer: a write may or may not have happened."""


class LeaseRefusedError(LeaseError):
    """We may not do this: nothing was written."""


class LeaseConflictError(LeaseError):
    """The lease is not as it was read: nothing was written."""


class Lease(Protocol):
    """The record of the process that leads a fleet, replaced by compare-and-set.

    It only stores: who may take it and when is decided by `engine/elector.py`.
    """

    @property
    def name(self) -> str:
        """What it is and where, in words."""
        ...

    async def read(self) -> SeenLease | None:
        """The lease as it is stored now; None if there is none. Raises LeaseError."""
        ...

    async def write(self, record: LeaseRecord, *, replaces: SeenLease | None) -> SeenLease:
        """Store the record in place of what was read, or where there was none; returns the lease
        as it is then. Raises LeaseError.
        """
        ...

    async def watch(self, on_change: Callable[[], None]) -> None:
        """Call back soon after each change, until cancelled. Changes may be missed; nothing is
        raised.
        """
        ...


class Leadership(Protocol):
    """Whether this process leads its fleet."""

    def may_write(self) -> bool:
        """Whether a write may begin now. It may end with time alone."""
        ...

    def view(self) -> LeaseView:
        """The lease for people."""
        ...

    def on_change(self, callback: Callable[[bool], None]) -> None:
        """Call back on the event loop with True when this process has become the leader, with False
        when another one has, or nobody.
        """
        ...
