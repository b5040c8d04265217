"""Who is at the keyboard: the person that an intent is asked for by."""

from __future__ import annotations

import getpass
import os
import socket

from controller.model.intents import Operator
from controller.model.text import clean_name

_NOBODY = "unknown"


def operator() -> Operator:
    """The person as `user@host`, and the address that they have logged in from by SSH.

    Behind `sudo` it is the user who called it. Whoever may write to NATS can write any name there:
    this one is for people to find each other, not to hold against them.
    """
    user = os.environ.get("SUDO_USER") or os.environ.get("LOGNAME") or _login_name()
    origin, _, _ = os.environ.get("SSH_CONNECTION", "").partition(" ")
    who = f"{clean_name(user)}@{clean_name(socket.gethostname())}"
    return Operator(who=who, origin=clean_name(origin))


def _login_name() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # a user without a name, as in many containers
        return _NOBODY
