"""What a verb waits for, said to the person if it takes long."""

from __future__ import annotations

from contextlib import AbstractContextManager

from agentdash.output import waiting_for
from controller.model.settings import NatsSettings
from controller.model.text import clean


def waiting_for_nats(settings: NatsSettings, *others: str) -> AbstractContextManager[None]:
    """Say that NATS is waited for, by its servers, and `others`, if it takes over a second."""
    servers = clean(", ".join(settings.servers))
    return waiting_for(" and ".join((f"NATS ({servers})", *others)))
