"""Secrets. They are read from files or environment variables, and printed as stars."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit, urlunsplit

from controller.model.value import Value

STARS: Final = "********"


class Secret:
    """A secret value. `str`, `repr` and `format` give stars; only `reveal` gives the value."""

    __slots__ = ("__value",)

    def __init__(self, value: str) -> None:
        self.__value = value

    def reveal(self) -> str:
        """The secret value, for the call that sends it."""
        return self.__value

    def __repr__(self) -> str:
        return STARS

    __str__ = __repr__

    def __format__(self, _spec: str) -> str:
        return STARS

    def __reduce__(self) -> str:
        raise TypeError("a secret is neither pickled nor copied")


class SecretUnreadableError(Exception):
    """The file or variable that should hold a secret cannot be read. The message names the file or
    variable and never shows what is in it.
    """


class SecretRef(Value):
    """Where a secret is kept: either `file`, a path, or `env`, the name of a variable."""

    file: str | None = None
    env: str | None = None

    def read(self) -> Secret:
        """Read the secret at each call, because a mounted file may change. Raises
        SecretUnreadableError.
        """
        if self.env is not None:
            value = os.environ.get(self.env)
            if value is None:
                raise SecretUnreadableError(f"environment variable {self.env} is not set")
            return Secret(value)
        path = Path(self.file or "").expanduser()
        try:
            return Secret(path.read_text(encoding="utf-8").strip())
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "not text"
            raise SecretUnreadableError(f"{path}: {reason}") from None


def without_userinfo(url: str) -> str:
    """The URL without user, password, query and fragment, as it may be shown."""
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    return urlunsplit((parts.scheme, host, parts.path, "", ""))
