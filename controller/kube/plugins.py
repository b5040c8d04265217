"""Ends credential plugins of a kubeconfig that gave no answer in time.

The official client starts them, and leaves them running when it is cancelled.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

_MARK: Final = b"KUBERNETES_EXEC_INFO="
"""The official client sets this variable for its plugins, and they inherit it to what they start
(kubernetes.aio.config.exec_provider)."""


def end_plugins() -> int:
    """End the plugins below this process, with all that they started; returns how many processes.
    Where there is no /proc, they are left.
    """
    ended = 0
    for process in list(_descendants(os.getpid())):
        if _is_plugin(process):
            with suppress(ProcessLookupError, PermissionError):
                os.kill(process, signal.SIGKILL)
                ended += 1
    return ended


def _descendants(process: int) -> Iterator[int]:
    for children in Path(f"/proc/{process}/task").glob("*/children"):
        with suppress(OSError):
            for child in children.read_text().split():
                yield int(child)
                yield from _descendants(int(child))


def _is_plugin(process: int) -> bool:
    try:
        environment = Path(f"/proc/{process}/environ").read_bytes()
    except OSError:
        return False
    return any(entry.startswith(_MARK) for entry in environment.split(b"\0"))
