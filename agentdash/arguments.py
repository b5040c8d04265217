"""What an argument of the command line may be. Each raises ArgumentTypeError with the reason."""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable
from decimal import Decimal
from typing import TYPE_CHECKING, Final, TypeVar

if TYPE_CHECKING:
    from agentdash.tui.commands import OnceView

T = TypeVar("T")
_UNITS: Final = {"k": 1_000, "M": 1_000_000, "G": 1_000_000_000}
_NAMESPACE: Final = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")


def address(text: str) -> tuple[str, int]:
    """HOST and PORT."""
    host, colon, port = text.rpartition(":")
    number = _whole(port)
    if not colon or number is None or not 0 <= number <= 65535:
        raise argparse.ArgumentTypeError(f"{text!r} is not HOST:PORT, such as 127.0.0.1:9464")
    return host.strip("[]") or "127.0.0.1", number


def view(text: str) -> OnceView:
    """A view that `--once` prints."""
    from agentdash.tui.commands import once_view

    return _known(once_view, text)


def theme(text: str) -> str:
    """The name of a theme."""
    from agentdash.tui.commands import theme_named

    return _known(theme_named, text)


def _known(find: Callable[[str], T], text: str) -> T:
    try:
        return find(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def width(text: str) -> int:
    """A number of columns."""
    number = _whole(text)
    if number is None or not 40 <= number <= 10_000:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of columns from 40 to 10000")
    return number


def duration(text: str) -> float:
    """Seconds."""
    from controller.notation.quantity import read_duration

    try:
        seconds = read_duration(text)
    except ValueError:
        seconds = float(_decimal(text) or 0)
    if not 0 < seconds < 1e9:
        raise argparse.ArgumentTypeError(f"{text!r} is not a duration, such as 60s or 2m")
    return seconds


def time_to_ready(text: str) -> tuple[float, float | None]:
    """The median time to ready in seconds, and the time within which nine of ten are ready."""
    median, slash, p90 = text.partition("/")
    found = duration(median), duration(p90) if slash else None
    if found[1] is not None and found[1] <= found[0]:
        raise argparse.ArgumentTypeError(f"{text!r}: nine of ten take longer than the median does")
    return found


def speed(text: str) -> float:
    """How many times faster than real."""
    number = _decimal(text)
    if number is None or not Decimal("0.1") <= number <= 100:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 0.1 to 100")
    return float(number)


def whole(text: str) -> int:
    """A whole number."""
    number = _whole(text)
    if number is None:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number")
    return number


def count(text: str) -> int:
    """How many: at least 1."""
    number = _whole(text)
    if number is None or number < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number above 0")
    return number


def usd(text: str) -> float:
    """An amount of money above 0."""
    number = _decimal(text)
    if number is None or number <= 0:
        raise argparse.ArgumentTypeError(f"{text!r} is not an amount of USD above 0, such as 0.50")
    return float(number)


def replicas(text: str) -> int:
    """A number of replicas."""
    from controller.model.value import Replicas, is_within

    number = _whole(text)
    if number is None or not is_within(number, Replicas):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of replicas, such as 3")
    return number


def tokens(text: str) -> int:
    """Tokens of a day, in units or with k, M or G behind them."""
    from controller.model.value import DayTokens, is_within

    unit = _UNITS.get(text[-1:], 1)
    number = _decimal(text[:-1] if unit > 1 else text)
    if number is None or number * unit % 1 or not is_within(int(number * unit), DayTokens):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of tokens, such as 8M")
    return int(number * unit)


def namespace(text: str) -> str:
    """The name of a namespace."""
    if _NAMESPACE.fullmatch(text) is None:
        raise argparse.ArgumentTypeError(
            f"{text!r} is not a namespace: a-z, 0-9 and -, at most 63 characters"
        )
    return text


def kinds(text: str) -> tuple[str, ...]:
    """Kinds of objects between commas."""
    return tuple(_kind(word.strip()) for word in text.split(","))


def _kind(word: str) -> str:
    from controller.manifests.objects import KINDS
    from controller.model.text import nearest

    found = {kind.lower(): kind for kind in KINDS}.get(word.lower())
    if found is None:
        close = nearest(word, KINDS)
        hint = f"; did you mean {close[0]}?" if close else ""
        raise argparse.ArgumentTypeError(f"{word!r} is not one of {', '.join(KINDS)}{hint}")
    return found


def _whole(text: str) -> int | None:
    from controller.notation.quantity import read_whole

    try:
        return read_whole(text)
    except ValueError:
        return None


def _decimal(text: str) -> Decimal | None:
    from controller.notation.quantity import read_decimal

    try:
        return read_decimal(text)
    except ValueError:
        return None
