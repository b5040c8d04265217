"""What is announced about a pool to those who look at its Deployment."""

from __future__ import annotations

from controller.model.value import Value


class Announcement(Value):
    """`reason` is one CamelCase word for the kind of news; `note` says it to people."""

    reason: str
    note: str
    is_warning: bool = False
