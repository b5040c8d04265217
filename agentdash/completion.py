"""`agentdash completion`: scripts for shells, and the answers that they ask agentdash for.

A script hands over the words of the line and gets what the last one can become, one to a line, with
its help after a tab. So what is offered follows from the parser and the fleet file, in every shell.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Final, NamedTuple

ASK: Final = "__complete"
"""The hidden verb of the scripts: the words of the line follow, the last one may be empty."""
FILES: Final = ":files"
"""The answer where the shell's own completion of paths is meant."""

_BASH: Final = """\
# agentdash completion bash >> ~/.bashrc
_agentdash() {
    local IFS=$'\\n' found
    found=$("${COMP_WORDS[0]}" %ASK% "${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null | cut -f1)
    if [ "$found" = "%FILES%" ]; then
        compopt -o default
        COMPREPLY=()
    else
        COMPREPLY=($found)
    fi
}
complete -F _agentdash agentdash
"""
_ZSH: Final = """\
#compdef agentdash
# agentdash completion zsh > a file named _agentdash in a folder of $fpath
_agentdash() {
    local -a answer found
    local each
    answer=("${(@f)$("${words[1]}" %ASK% "${(@)words[2,CURRENT]}" 2>/dev/null)}")
    if [[ "${answer[1]}" == "%FILES%" ]]; then
        _files
        return
    fi
    for each in "${answer[@]}"; do
        [[ -n "$each" ]] && found+=("${${each%%$'\\t'*}//:/\\\\:}:${each#*$'\\t'}")
    done
    _describe agentdash found
}
if [[ "${funcstack[1]}" == _agentdash ]]; then
    _agentdash "$@"
else
    compdef _agentdash agentdash
fi
"""
_FISH: Final = """\
# agentdash completion fish > ~/.config/fish/completions/agentdash.fish
function __agentdash_complete
    set -l typed (commandline -opc)
    set -l last (commandline -ct)
    set -l found ($typed[1] %ASK% $typed[2..-1] "$last" 2>/dev/null)
    if test "$found[1]" = "%FILES%"
        __fish_complete_path "$last"
    else if test (count $found) -gt 0
        printf '%s\\n' $found
    end
end
complete -c agentdash -f -a '(__agentdash_complete)'
"""
SCRIPTS: Final = {
    shell: text.replace("%ASK%", ASK).replace("%FILES%", FILES)
    for shell, text in (("bash", _BASH), ("zsh", _ZSH), ("fish", _FISH))
}
# what stands in the help for names of the fleet file
_NAMES: Final = frozenset({"TENANT/POOL", "TENANT", "SCOPE"})


class FleetNames(NamedTuple):
    """The names that a fleet file has."""

    pools: Sequence[str] = ()
    tenants: Sequence[str] = ()


class _Offer(NamedTuple):
    """One word that the last one can become."""

    word: str
    help: str = ""


def answer(
    parser: argparse.ArgumentParser, words: Sequence[str], names: Callable[[Path], FleetNames]
) -> str:
    """What the last of the words can become, a line each. `names` reads a fleet file; it is asked
    only where a pool or a tenant is meant.
    """
    place = _CursorWord(parser)
    *before, last = words or [""]
    for word in before:
        place.pass_by(word)
    found = place.offers(last, names)
    return "\n".join(f"{each.word}\t{each.help}".rstrip("\t") for each in found)


class _CursorWord:
    """Where in the command line the last word stands."""

    def __init__(self, parser: argparse.ArgumentParser) -> None:
        self._fleet = Path("fleet.yaml")
        self._option: argparse.Action | None = None
        self._only_positionals = False
        self._enter(parser)

    def _enter(self, parser: argparse.ArgumentParser) -> None:
        actions = parser._actions  # noqa: SLF001 - argparse has no public list of them
        self._options = {name: each for each in actions for name in each.option_strings}
        self._positionals = [each for each in actions if not each.option_strings]

    def pass_by(self, word: str) -> None:
        """Go on behind a word that is complete."""
        if self._option is not None:
            self._take(self._option, word)
            self._option = None
        elif word == "--" and not self._only_positionals:
            self._only_positionals = True
        elif word.startswith("-") and word != "-" and not self._only_positionals:
            name, equals, value = word.partition("=")
            option = self._options.get(name)
            if option is not None and equals:
                self._take(option, value)
            elif option is not None and option.nargs is None:
                self._option = option
        elif self._positionals:
            self._pass_positional(word)

    def _pass_positional(self, word: str) -> None:
        first = self._positionals[0]
        if isinstance(first, argparse._SubParsersAction):  # noqa: SLF001 - as above
            if word in first.choices:
                self._enter(first.choices[word])
            return
        if first.nargs not in {"*", "+"}:
            self._positionals = self._positionals[1:]

    def _take(self, option: argparse.Action, value: str) -> None:
        if option.dest == "fleet":
            self._fleet = Path(value)

    def offers(self, last: str, names: Callable[[Path], FleetNames]) -> list[_Offer]:
        """What the last word can become."""
        if self._option is not None:
            return _starting(last, self._values(self._option, names))
        name, equals, value = last.partition("=")
        if equals and name in self._options:
            return _starting(value, self._values(self._options[name], names))
        if last.startswith("-") and not self._only_positionals:
            return _starting(last, self._option_offers())
        return _starting(
            last, self._values(self._positionals[0], names) if self._positionals else ()
        )

    def _option_offers(self) -> Iterable[_Offer]:
        for name, each in self._options.items():
            if each.help != argparse.SUPPRESS:
                yield _Offer(name, _one_line(each.help))

    def _values(
        self, action: argparse.Action, names: Callable[[Path], FleetNames]
    ) -> Iterable[_Offer]:
        if isinstance(action, argparse._SubParsersAction):  # noqa: SLF001 - as above
            # a verb without help is not listed, and is offered all the same
            listed = {each.dest: each.help for each in action._choices_actions}  # noqa: SLF001
            return [
                _Offer(verb, _one_line(listed.get(verb) or parser.description))
                for verb, parser in action.choices.items()
            ]
        if action.choices is not None:
            return [_Offer(str(each)) for each in action.choices]
        known = names(self._fleet) if action.metavar in _NAMES else FleetNames()
        pools, tenants = known
        if action.metavar == "FILE":
            return [_Offer(FILES)]
        if action.metavar in {"VIEW", "THEME"}:
            from agentdash.tui.names import ONCE_VIEWS, THEME_NAMES

            words = ONCE_VIEWS if action.metavar == "VIEW" else THEME_NAMES
            return [_Offer(each) for each in words]
        return [
            *(_Offer(tenant, "tenant") for tenant in tenants if action.metavar != "TENANT/POOL"),
            *(_Offer(pool, "pool") for pool in pools if action.metavar != "TENANT"),
        ]


def _starting(start: str, offers: Iterable[_Offer]) -> list[_Offer]:
    return [each for each in offers if each.word.startswith(start) or each.word == FILES]


def _one_line(text: str | None) -> str:
    return " ".join((text or "").replace("%%", "%").split())
