"""What the command line writes: results on standard output, messages on standard error.

OutputError        standard output cannot be written
ToldError          what is asked for cannot be, and that is said already
"""

from __future__ import annotations

import io
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator, Mapping, MutableMapping
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING, Final, Self, TextIO

from controller.exit_codes import ExitCode
from controller.model.text import clean

if TYPE_CHECKING:
    from controller.model.settings import NatsSettings

# a key is answered within 50 ms even where the frame before it has just been drawn
_FRAMES_OVER_SSH: Final = "20"


class OutputError(Exception):
    """Standard output cannot be written; the text says why."""


class ToldError(Exception):
    """What is asked for cannot be; it is said already, `code` is that of the process."""

    def __init__(self, code: ExitCode) -> None:
        super().__init__(code)
        self.code = code


def refusal(why: object, code: ExitCode) -> ToldError:
    """Say why something cannot be; what is returned is to be raised."""
    note(str(why))
    return ToldError(code)


def tell(text: str) -> None:
    """Write a text and a line break to standard output, at once. Raises OutputError.

    If the reader has closed the pipe, as `head` does, the process ends by SIGPIPE without a word,
    as other filters do.
    """
    stream = sys.stdout
    if stream is None:
        raise OutputError("standard output cannot be written: it is closed")
    if isinstance(stream, io.TextIOWrapper):
        stream.reconfigure(errors="replace")  # an ASCII terminal shows ? for an arrow
    try:
        with by_default(signal.SIGPIPE):
            _write(stream, text)
    except (OSError, ValueError) as error:  # ValueError: the stream was closed by this process
        raise OutputError(f"standard output cannot be written: {_reason(error)}") from error


def complain(text: str) -> None:
    """Write a text and a line break to standard error.

    Where standard error is closed or cannot be written, nothing is left to say it with: the exit
    code alone tells then.
    """
    stream = sys.stderr
    if stream is None:
        return
    try:
        _write(stream, text)
    except (OSError, ValueError):
        return


def note(text: str) -> None:
    """Write a message of agentdash's own to standard error."""
    complain(f"agentdash: {text}")


@contextmanager
def by_default(number: signal.Signals) -> Iterator[None]:
    """While the block runs, this signal does what it does to a process that does not handle it."""
    before = signal.signal(number, signal.SIG_DFL)
    try:
        yield
    finally:
        signal.signal(number, before)


@contextmanager
def waiting_for(what: str, after_s: float = 1.0) -> Iterator[None]:
    """Say what is waited for, if it takes longer than `after_s` and a person looks on."""
    stream = sys.stderr
    if stream is None or not stream.isatty():
        yield
        return
    timer = threading.Timer(after_s, note, (f"waiting for {what} ...",))
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


class Told:
    """How much of `what` is done, on one line of standard error, where a person looks on and it
    takes longer than a second. The line is gone at the end.
    """

    def __init__(self, what: str) -> None:
        self._what = what
        self._shown = False
        self._said_at = time.monotonic()

    def __enter__(self) -> Self:
        return self

    def tell(self, done: int, of: int) -> None:
        """So many are done, of so many."""
        now, stream = time.monotonic(), sys.stderr
        if stream is None or not stream.isatty() or now - self._said_at < 1.0:
            return
        self._said_at, self._shown = now, True
        stream.write(f"\r\x1b[K{done:,} of {of:,} {self._what}")
        stream.flush()

    def __exit__(self, *_: object) -> None:
        if self._shown:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()


def waiting_for_nats(settings: NatsSettings, *others: str) -> AbstractContextManager[None]:
    """Say that NATS is waited for, by its servers, and `others`, if it takes over a second."""
    servers = clean(", ".join(settings.servers))
    return waiting_for(" and ".join((f"NATS ({servers})", *others)))


def why_no_dashboard(environment: Mapping[str, str]) -> str | None:
    """Why there can be no dashboard (keys from standard input, drawn on standard error)."""
    for name, stream in (("input", sys.stdin), ("error", sys.stderr)):
        if stream is None or not stream.isatty():
            return f"standard {name} is no terminal"
    if not environment.get("TERM", ""):
        return "the terminal cannot be drawn on (TERM is not set)"
    return None


def draws_ascii(environment: Mapping[str, str]) -> bool:
    """Whether this terminal has a font of few characters, as the console of Linux has, or none."""
    return environment.get("TERM", "").startswith(("dumb", "linux", "vt1", "vt2", "ansi"))


def fit_terminal(environment: MutableMapping[str, str]) -> None:
    """Draw at most 20 frames a second over SSH, a third of what Textual draws, and in 16 colours
    where there are no more, also if COLORTERM came along; unless the person has set another rate,
    or colours. Call it before Textual is imported, which reads all this then.
    """
    if environment.get("TERM") == "dumb":  # on which Rich draws 80x25, whatever its size
        environment["TERM"] = "vt100"
    if draws_ascii(environment):
        environment.setdefault("TEXTUAL_COLOR_SYSTEM", "standard")
    if environment.get("SSH_CONNECTION"):
        environment.setdefault("TEXTUAL_FPS", _FRAMES_OVER_SSH)


def _write(stream: TextIO, text: str) -> None:
    try:
        stream.write(f"{text}\n")
        stream.flush()
    except OSError:
        _divert(stream)
        raise


def _divert(stream: TextIO) -> None:
    """Send what the stream still holds to the null device: at its exit Python flushes the stream
    again, and would print a traceback of its own.
    """
    nothing = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nothing, stream.fileno())
    finally:
        os.close(nothing)


def _reason(error: Exception) -> str:
    return clean(error.strerror or error if isinstance(error, OSError) else error)
