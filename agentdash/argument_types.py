"""What an argument of the command line may be. Each raises ArgumentTypeError with the reason."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from agentdash.tui.commands import OnceView


def address(text: str) -> tuple[str, int]:
    """HOST and PORT."""
    from controller.notation.quantity import read_whole

    host, colon, port = text.rpartition(":")
    try:
        number = read_whole(port)
    except ValueError:
        number = -1
    if not colon or not 0 <= number <= 65535:
        raise argparse.ArgumentTypeError(f"{text!r} is not HOST:PORT, such as 127.0.0.1:9464")
    return host.strip("[]") or "127.0.0.1", number


def views() -> str:
    """The views that `--once` prints, for a help text."""
    from agentdash.tui.names import ONCE_VIEWS

    return ", ".join(ONCE_VIEWS)


def view(text: str) -> OnceView:
    """A view that `--once` prints."""
    from agentdash.tui.commands import UnknownCommandError, once_view

    try:
        return once_view(text)
    except UnknownCommandError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def theme(text: str) -> str:
    """The name of a theme."""
    from agentdash.tui.commands import UnknownCommandError, theme_named

    try:
        return theme_named(text)
    except UnknownCommandError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def width(text: str) -> int:
    """A number of columns."""
    from controller.notation.quantity import read_whole

    try:
        number = read_whole(text)
    except ValueError:
        number = 0
    if not 40 <= number <= 10_000:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of columns from 40 to 10000")
    return number


def duration(text: str) -> float:
    """Seconds."""
    from controller.notation.quantity import read_decimal, read_duration

    for read in (read_decimal, read_duration):
        try:
            seconds = float(read(text))
        except ValueError:
            continue
        if 0 < seconds < 1e9:
            return seconds
    raise argparse.ArgumentTypeError(f"{text!r} is not a duration, such as 60s or 2m")


def speed(text: str) -> float:
    """How many times faster than real."""
    from controller.notation.quantity import read_decimal

    try:
        speed = float(read_decimal(text))
    except ValueError:
        speed = 0.0
    if not 0.1 <= speed <= 100:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 0.1 to 100")
    return speed


def seed(text: str) -> int:
    """The seed of a random load."""
    from controller.notation.quantity import read_whole

    try:
        return read_whole(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number") from None
