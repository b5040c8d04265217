"""The fleet file of autoscalers that were read as pools."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec
import yaml

from controller.config.autoscalers import Imported, document_of, problems_of, queue_to_set
from controller.config.foreign import Entry, Remark


def one_a_target(found: Iterable[Imported]) -> list[Imported]:
    """Of several autoscalers that scale one workload the first becomes a pool; the others are its
    rivals and become none. What the fleet file's reader refuses beside the others becomes none too.
    """
    owners: dict[tuple[str, str], str] = {}
    names: set[tuple[str, str]] = set()
    made = []
    for each in found:
        if each.pool is not None:
            rival = owners.setdefault((each.namespace, each.target), each.title)
            if rival != each.title:
                words = f"{rival} scales {each.target} too: only one of them can be a pool"
                made.append(_without_pool(each, "spec.scaleTargetRef", words))
                continue
            made.append(each._replace(pool=_of_its_own_name(each.pool, names)))
        else:
            made.append(each)
    return _that_load(made)


def _of_its_own_name(pool: Entry, names: set[tuple[str, str]]) -> Entry:
    """The pool under a name free in its tenant: workloads of two kinds may share theirs."""
    name, number = pool["name"], 2
    workload = {} if "statefulset" in pool else {"deployment": pool.get("deployment", name)}
    while (pool["tenant"], pool["name"]) in names:
        pool = {**pool, **workload, "name": f"{name[:60]}-{number}"}
        number += 1
    names.add((pool["tenant"], pool["name"]))
    if pool["queue"] == queue_to_set(pool["tenant"], name):
        pool = {**pool, "queue": queue_to_set(pool["tenant"], pool["name"])}
    return pool


def _without_pool(one: Imported, key: str, words: str) -> Imported:
    remark = Remark(one.file, one.line, key, f"not imported: {words}")
    return one._replace(pool=None, remarks=(*one.remarks, remark))


def _that_load(found: list[Imported]) -> list[Imported]:
    """Without the pools that the fleet file's reader refuses beside the others."""
    while True:
        pools = [each for each in found if each.pool is not None]
        entries = [each.pool for each in pools if each.pool is not None]
        problems = problems_of(entries, _tenants(found)) if len(entries) > 1 else []
        if not problems:
            return found
        (number, *_), words = problems[0]
        refused = pools[number if isinstance(number, int) else 0]
        found = [_without_pool(each, "pool", words) if each is refused else each for each in found]


def _tenants(found: Iterable[Imported]) -> dict[str, Entry]:
    zones = {each.namespace: each.timezone for each in found if each.pool and each.timezone}
    return {name: {"tier": "growth", "timezone": zone} for name, zone in zones.items()}


def fleet_text(found: Sequence[Imported], unread: Sequence[Remark]) -> str:
    """The fleet file, with a comment for all that has no counterpart, beside its pool."""
    url = next((each.prometheus for each in found if each.pool and each.prometheus), "")
    entries = [each.pool for each in found if each.pool is not None]
    head = document_of(entries, _tenants(found), url)
    lines = [
        "# Made by agentdash import. Set nats.servers; read the remarks beside the pools:",
        "#   (lost) has no counterpart, so the pool behaves otherwise; (check) is to be looked at.",
        *_dumped({key: value for key, value in head.items() if key != "pools"}),
        "pools:" if entries else "pools: []",
    ]
    for each in found:
        if each.pool is not None:
            entry = [f"  {line}" for line in _dumped([each.pool])]
            lines += ["", f"  # {each.title}: {each.state}", *_comments(each.remarks, "  "), *entry]
    left = [each for each in found if each.pool is None]
    if left or unread:
        lines += ["", "# Not imported:", *_comments(unread, "")]
    for each in left:
        lines += [f"# {each.title}", *_comments(each.remarks, "")]
    return "\n".join(lines) + "\n"


def _comments(remarks: Iterable[Remark], indent: str) -> list[str]:
    kinds = {True: "lost", False: "check"}
    return [f"{indent}#   ({kinds[each.is_lost]}) {each}" for each in remarks]


class _Dumper(yaml.SafeDumper):
    """Quotes each text that is no plain name: PyYAML writes those of YAML 1.1, and `1e+20` is a
    number in YAML 1.2, in which a fleet file is read.
    """


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    style = None if re.fullmatch(r"[A-Za-z_][\w./ -]*", text) else '"'
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _text)


def _dumped(data: Any) -> list[str]:
    text: str = yaml.dump(
        msgspec.to_builtins(data), Dumper=_Dumper, sort_keys=False, width=100, allow_unicode=True
    )
    return text.rstrip("\n").split("\n")
