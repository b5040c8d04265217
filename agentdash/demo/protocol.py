"""What the demo's world tells the process that started it, one JSON line each."""

from __future__ import annotations

import msgspec


class Ready(msgspec.Struct, frozen=True, kw_only=True, tag="ready"):
    """The world runs: its fleet file, its kubeconfig, and its servers."""

    fleet: str
    kubeconfig: str
    nats_pid: int
    kubernetes_url: str


class Failed(msgspec.Struct, frozen=True, kw_only=True, tag="failed"):
    """The world could not start; `error` tells the user why."""

    error: str
