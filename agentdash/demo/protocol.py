"""What the demo's world and the process that started it say to each other, one JSON line each."""

from __future__ import annotations

import msgspec


class Ready(msgspec.Struct, frozen=True, kw_only=True, tag="ready"):
    """The world runs: where its fleet file and its kubeconfig lie, and what serves them."""

    fleet: str
    kubeconfig: str
    nats_pid: int
    kubernetes_url: str


class Failed(msgspec.Struct, frozen=True, kw_only=True, tag="failed"):
    """The world could not start, in words for the user."""

    error: str
