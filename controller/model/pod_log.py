"""The last lines that a pod has written."""

from __future__ import annotations

from controller.model.value import Value


class PodLog(Value):
    """The newest lines of one container, the oldest first, each cleaned and of limited length.

    `is_cut`: there were more bytes than are read, so the newest lines may be missing.
    """

    container: str = ""
    lines: tuple[str, ...] = ()
    is_cut: bool = False
