"""What shells complete in a line of agentdash: argcomplete follows the parser, and the names of
pools and tenants come from the fleet file that the line names.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

SHELLS: Final = ("bash", "zsh", "fish")


class FleetNames(NamedTuple):
    """The names that a fleet file has."""

    pools: Sequence[str] = ()
    tenants: Sequence[str] = ()


def script(shell: str) -> str:
    """What a shell reads to complete lines of agentdash."""
    from argcomplete.shell_integration import shellcode

    return shellcode(["agentdash"], shell=shell)


def complete(parser: argparse.ArgumentParser, names: Callable[[Path], FleetNames]) -> None:
    """Answer a shell that asks what a word can become, and end the process; return at once where
    none asks. `names` reads a fleet file.
    """
    from argcomplete.finders import CompletionFinder

    for action in _actions(parser):
        completer = _completer(action.metavar, names)
        if completer is not None:
            action.completer = completer  # type: ignore[attr-defined]
    nothing: Any = None  # argcomplete's own default would offer files for every text
    CompletionFinder()(parser, always_complete_options=False, default_completer=nothing)


def _actions(parser: argparse.ArgumentParser) -> Iterator[argparse.Action]:
    for action in parser._actions:  # noqa: SLF001 - argparse has no public list of them
        yield action
        if isinstance(action, argparse._SubParsersAction):  # noqa: SLF001 - as above
            for each in action.choices.values():
                yield from _actions(each)


def _completer(metavar: object, names: Callable[[Path], FleetNames]) -> object:
    """What gives the values of an argument that is called so; None where anything can stand."""
    from argcomplete.completers import FilesCompleter

    from agentdash.tui.names import ONCE_VIEWS, THEME_NAMES

    def of_fleet(parsed_args: argparse.Namespace, **_: object) -> dict[str, str]:
        pools, tenants = names(parsed_args.fleet)
        return {each: "tenant" for each in tenants if metavar != "TENANT/POOL"} | {
            each: "pool" for each in pools if metavar != "TENANT"
        }

    match metavar:
        case "FILE":
            return FilesCompleter()
        case "VIEW" | "THEME":
            return lambda **_: ONCE_VIEWS if metavar == "VIEW" else THEME_NAMES
        case "TENANT/POOL" | "TENANT" | "SCOPE":
            return of_fleet
    return None
