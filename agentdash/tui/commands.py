"""The `:` command line: its commands, how a line is parsed, and how it is completed."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from agentdash.operate import EVERYTHING, VERBS, Reach, Verb, reach_of, usage
from agentdash.tui.names import HELP_VIEW, ONCE_VIEWS, THEME_NAMES
from agentdash.tui.table import View
from agentdash.tui.tables import views
from controller.model.ids import PoolKey
from controller.model.intents import Scope


@dataclass(frozen=True, slots=True)
class Command:
    """One command. `takes` is what follows it: NAME of a pool or tenant, POOL, TENANT, TIME, or one
    of its `choices`. `operates`: it is for people who may change something. What is not `listed` is
    an old name.
    """

    name: str
    aliases: tuple[str, ...]
    help: str
    takes: str = ""
    operates: bool = False
    choices: tuple[str, ...] = ()
    listed: bool = True


def _command_of(view: View) -> Command:
    return Command(view.name, view.aliases, view.help, takes="NAME", listed=view.listed)


REQUESTS: Final = {
    name: (verb, name == verb.back)
    for verb in VERBS.values()
    for name in (verb.name, verb.back)
    if name
}
_VIEWS: Final = tuple(each for each in views().values() if each.help and each.name != "why")
COMMANDS: Final = (
    *(_command_of(each) for each in _VIEWS if each.listed),
    Command("pool", ("why", "describe"), "its page: why, queues, pods", takes="POOL"),
    Command("history", ("hi",), "15 min and 24 h of it"),
    Command("tenant", (), "show only this tenant; 0: all", takes="TENANT"),
    Command("undo", (), "take back your last change", operates=True),
    *(
        Command(name, (), f"{usage(verb, takes_back=back).partition(' ')[2]}", operates=True)
        for name, (verb, back) in REQUESTS.items()
    ),
    Command("at", (), "11:50, -15m; `:-5m` is enough", takes="TIME"),
    Command("live", (), "back from the past"),
    Command("theme", ("skin",), "other colours", takes="NAME", choices=THEME_NAMES),
    Command("help", ("h",), "keys of the view"),
    Command("quit", ("q", "q!"), "leave"),
    *(_command_of(each) for each in _VIEWS if not each.listed),
)
# what is of now and here alone, and what says the same
_NOT_PRINTED: Final = {
    "logs": "`kubectl logs` prints those of a pod",
    "history": "--once pools --json has the last 15 minutes of each pool",
}
# what may follow a request without a name
_NO_NAMES: Final = frozenset({"until", "why", "keep", "-"})
# what ends a part of a pool's key
_PART_ENDS: Final = "/-_."


@dataclass(frozen=True, slots=True)
class ParsedCommand:
    """What a line says: the command's name, the key of the pool or the name of the tenant, the time
    or the choice if it takes one, and the filter for the table it opens, if the line has one. A
    command that asks for something has the `words` that follow it.
    """

    name: str
    pool: str = ""
    tenant: str = ""
    filter: str | None = None
    choice: str = ""
    time: str = ""
    words: tuple[str, ...] = ()

    @property
    def request(self) -> tuple[Verb, bool] | None:
        """What it asks for, and whether it takes that back; None for a command that only looks."""
        return REQUESTS.get(self.name)


class OnceView(NamedTuple):
    """A view to be printed once, and what was typed for the pool or tenant that it is of."""

    name: str
    of: str = ""


class UnknownCommandError(ValueError):
    """The line is no command. The message names the nearest command or pool."""


def parse(  # noqa: PLR0911 - one for each thing that a command takes
    text: str, pools: Sequence[str], selected: str = "", tenants: Sequence[str] = ()
) -> ParsedCommand:
    """A line; `selected` is its pool if it names none. Raises UnknownCommandError."""
    words, slash, tail = text.strip().partition("/")
    filter_text = tail.strip() if slash else None
    # the key of a pool contains a slash too: `pods acme/coder`
    first, *rest = words.split() or [""]
    if first[:1] == "-" and first[1:2].isdigit():  # `-5m` is `at -5m`
        first, rest = "at", [first, *rest]
    command = _command(first)
    if command is None:
        names = [name for each in COMMANDS for name in (each.name, *each.aliases)]
        raise UnknownCommandError(f"no command {first!r}{_nearest(first, names)}")
    if command.name in REQUESTS:
        return ParsedCommand(command.name, words=tuple(text.split()[1:]))
    if command.choices:
        return ParsedCommand(command.name, choice=_choice(command, " ".join(rest)))
    named = " ".join(rest) + (slash + tail if slash and not words.endswith(" ") else "")
    match command.takes:
        case "TIME":
            if not rest:
                raise UnknownCommandError(
                    f"which time? :{command.name} 11:50, :{command.name} -15m"
                )
            return ParsedCommand(command.name, time=" ".join(rest))
        case "POOL":
            pool = _pool(named.strip() or selected, pools)
            return ParsedCommand("pool", pool=pool)
        case "TENANT":
            name = named.strip()
            if name and name not in tenants:
                near = _nearest(name, tenants, _listed(tenants))
                raise UnknownCommandError(f"no tenant {name!r}{near}")
            return ParsedCommand(command.name if name else "tenants", tenant=name)
        case "NAME" if rest:
            tenant, pool = _named(named.strip(), tenants, pools)
            return ParsedCommand(command.name, pool=pool, tenant=tenant)
    return ParsedCommand(command.name, filter=filter_text)


def _named(
    wanted: str, tenants: Sequence[str], pools: Sequence[str], pods: Sequence[str] = ()
) -> tuple[str, str]:
    """The tenant of this name, else the pool meant. Raises UnknownCommandError."""
    if wanted in tenants:
        return wanted, ""
    try:
        return "", _pool(wanted, pools)
    except UnknownCommandError:
        near = _nearest(wanted, [*tenants, *pools, *pods], _listed(tenants))
        what = "pod, pool or tenant" if pods else "pool or tenant"
        raise UnknownCommandError(f"no {what} {wanted!r}{near}") from None


def once_view(text: str) -> OnceView:
    """The view of this name or alias, to be printed once. Raises UnknownCommandError."""
    word, _, name = text.strip().partition(" ")
    if instead := _NOT_PRINTED.get(word):
        raise UnknownCommandError(f"no view {word!r} is printed: {instead}")
    for view in views().values():
        if view.printed and word in {view.name, *view.aliases}:
            return OnceView(view.name, name.strip())
    if word in {HELP_VIEW, "h"} and not name:
        return OnceView(HELP_VIEW)
    every = f"the views are {', '.join(ONCE_VIEWS)}"
    raise UnknownCommandError(f"no view {text!r}{_nearest(text, ONCE_VIEWS, every)}")


def scope_named(
    wanted: str, tenants: Sequence[str], pools: Sequence[str], pods: Sequence[str] = ()
) -> Scope:
    """The tenant of this name; else the pool that is meant: by its key, its name, or a part of the
    key that no other has; `pods` could have been meant too. Raises UnknownCommandError.
    """
    tenant, pool = _named(wanted, tenants, pools, pods)
    return Scope(tenant=tenant) if tenant else Scope(pool=PoolKey(pool))


def scope_asked(
    words: Sequence[str],
    verb: Verb,
    pools: Sequence[str],
    tenants: Sequence[str],
    under_cursor: Scope | None,
) -> tuple[Scope, Sequence[str]]:
    """What the words of a request name, and the words that follow; without a name, what is under
    the cursor. Raises UnknownCommandError.
    """
    first, rest = (words[0], words[1:]) if words else ("", ())
    if not first or first in _NO_NAMES or first.isdigit():
        if under_cursor is None:
            raise UnknownCommandError(f"for what? {usage(verb)}")
        scope, rest = under_cursor, words
    elif first == EVERYTHING:
        scope = Scope()
    elif first in tenants:
        scope = Scope(tenant=first)
    else:
        try:
            scope = Scope(pool=_pool(first, pools))
        except UnknownCommandError:
            if Reach.TENANT in verb.reach and "/" not in first:
                near = _nearest(first, [*tenants, *pools])
                raise UnknownCommandError(f"no pool or tenant {first!r}{near}") from None
            raise
    if reach_of(scope) not in verb.reach:
        raise UnknownCommandError(f"{verb.name} is for a {verb.reach[0]}: {usage(verb)}")
    return scope, rest


def complete(
    text: str, pools: Sequence[str], tenants: Sequence[str] = (), *, operates: bool = False
) -> tuple[str, ...]:
    """The whole lines that this text can be completed to, the best one first; `operates`: with the
    commands that change something. A command that enter would run at once, by its short name, comes
    first. Names of pools that only contain the text are offered where no part of a name begins so.
    """
    first, blank, rest = text.lstrip().partition(" ")
    if not blank:
        found = [
            command
            for command in COMMANDS
            if command.name.startswith(first) and command.listed
            if operates or not command.operates
        ]
        found.sort(key=lambda command: first not in {command.name, *command.aliases})
        return tuple(command.name for command in found)
    command = _command(first)
    if command is not None and command.choices:
        start = rest.strip().lower()
        return tuple(f"{first} {each}" for each in command.choices if each.startswith(start))
    if command is None or not (command.takes or command.name in REQUESTS):
        return ()
    names = {"TENANT": list(tenants), "POOL": list(pools), "TIME": []}.get(
        command.takes, [*tenants, *pools]
    )
    if command.name in REQUESTS:
        reach = REQUESTS[command.name][0].reach
        names = list(pools) if Reach.POOL in reach else []
        names += tenants if Reach.TENANT in reach else ()
        names += [EVERYTHING] if Reach.FLEET in reach else []
    wanted = rest.strip().lower()
    inside = [key for key in names if wanted in key.lower()]
    # `s` begins the second part of `acme/scout`
    begins = re.compile(rf"(?:^|[{re.escape(_PART_ENDS)}]){re.escape(wanted)}")
    starting = [key for key in inside if begins.search(key.lower())]
    return tuple(f"{first} {key}" for key in starting or inside)


def _command(word: str) -> Command | None:
    """The command of this name, or the only one that begins so."""
    named = [each for each in COMMANDS if word == each.name]
    named = named or [each for each in COMMANDS if word in each.aliases]
    others = [each for each in COMMANDS if word and each.listed and each.takes != "TENANT"]
    begun = [each for each in others if each.name.startswith(word)]
    begun = begun or [each for each in others if any(a.startswith(word) for a in each.aliases)]
    found = named or (begun if len(begun) == 1 else [])
    return found[0] if found else None


def _choice(command: Command, word: str) -> str:
    if word in command.choices:
        return word
    *others, last = command.choices
    every = f"there are {', '.join(others)} and {last}"
    if not word:
        raise UnknownCommandError(f"which {command.name}? {every}")
    nearest = _nearest(word, command.choices, every)
    raise UnknownCommandError(f"no {command.name} {word!r}{nearest}")


def theme_named(word: str) -> str:
    """The word, if it is the name of a theme. Raises UnknownCommandError."""
    return _choice(next(each for each in COMMANDS if each.name == "theme"), word)


def _nearest(word: str, names: Sequence[str], otherwise: str = "? lists all") -> str:
    """The name that the word is nearly; of a pool's key, its last part may be."""
    import difflib  # the command line reads the views' names and must begin fast

    parts = {name.rpartition("/")[2]: name for name in reversed(names)}
    close = [parts[each] for each in difflib.get_close_matches(word, parts, n=1, cutoff=0.6)]
    close = close or difflib.get_close_matches(word, names, n=1, cutoff=0.6)
    return f"; try {close[0]}" if close else f"; {otherwise}"


def _listed(tenants: Sequence[str]) -> str:
    more = ", ..." * (len(tenants) > 8)
    return f"the tenants are {', '.join(tenants[:8])}{more}" if tenants else "there is none"


def _pool(wanted: str, pools: Sequence[str]) -> str:
    if wanted in pools:
        return wanted
    if not wanted:
        raise UnknownCommandError("which pool? :pool NAME")
    named = [key for key in pools if key.rpartition("/")[2] == wanted]
    inside = named or [key for key in pools if wanted.lower() in key.lower()]
    if len(inside) == 1:
        return inside[0]
    if inside:
        raise UnknownCommandError(f"{wanted!r} can be {', '.join(inside[:3])}")
    raise UnknownCommandError(f"no pool {wanted!r}{_nearest(wanted, pools)}")
