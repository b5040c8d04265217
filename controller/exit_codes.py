"""Exit codes. Scripts and service managers rely on them, so they are an API."""

from __future__ import annotations

from enum import IntEnum


class ExitCode(IntEnum):
    """How a process ended."""

    OK = 0
    """It did what it was asked to do, or it was asked to stop."""
    FAILED = 1
    """It failed because of a fault in agentdash; the log has the details. Of `doctor`: something
    does not work. Of `result` and `submit --wait`: the task ended, and not as done. Of `result` and
    `cancel`: there is no such task.
    """
    USAGE = 2
    """The command line, the fleet file or the observations are wrong; it named every error."""
    UNREACHABLE = 3
    """Something that it needs is missing: a kubeconfig, a secret, an address to listen on, a
    standard input that can be read, a standard output that can be written.
    """
    UNSUPPORTED = 4
    """The NATS server is too old, or has no JetStream."""
    REFUSED = 5
    """What was asked for was not done and nothing was changed: another operator was first, our NATS
    user may not, there is nothing to take back, or the answer to the question was no.
    """
