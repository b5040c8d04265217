"""Where the fleet file is, how it is read, and whether it is another file than before."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple, TypeAlias

from controller.model.settings import Settings

FileState: TypeAlias = tuple[str, ...]


class FleetSource(NamedTuple):
    """`load` reads the file's settings with what the command line adds to them, and raises
    FleetFileError. `state` is that of the file before it was read the first time.
    """

    path: Path
    load: Callable[[], Settings]
    state: FileState


def file_state(path: Path) -> FileState:
    """Differs when the file was written, replaced, removed, or when a link on the way to it leads
    elsewhere, as in a mounted ConfigMap. Blocks; raises nothing.
    """
    try:
        path = path.expanduser()
        found = path.stat()
        where = os.path.realpath(path)
    except (OSError, RuntimeError, ValueError) as error:
        return ("", str(error))
    numbers = (found.st_dev, found.st_ino, found.st_mtime_ns, found.st_size)
    return (where, *map(str, numbers))
