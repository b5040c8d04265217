"""Exit codes are an API: scripts and units decide by them."""

from __future__ import annotations

from enum import IntEnum


class ExitCode(IntEnum):
    """What a process that ended has to say."""

    OK = 0
    """It did what was asked, or was asked to stop."""
    FAILED = 1
    """It failed in a way that is our fault; the log has the details."""
    USAGE = 2
    """The command line, the fleet file or the observations are wrong; every error is named."""
    UNREACHABLE = 3
    """What it needs to begin cannot be had: a kubeconfig, a secret, an address to listen on."""
    UNSUPPORTED = 4
    """The NATS server is too old, or has no JetStream."""
