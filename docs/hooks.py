"""Pages that are made from the product when the site is built: the fleet file from its schema, the
verbs from their parser, the findings, the exit codes; and the pictures of the console.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

from agentdash.cli import EXAMPLES, parser_of_verbs
from controller.config import json_schema
from controller.engine.show.findings import FINDINGS, FindingKind

ROOT = Path(__file__).parent.parent


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages and pictures that are not in the folder of pages."""
    pages = {
        "reference/fleet-file.md": "\n".join(fleet_file(json_schema())),
        "reference/verbs.md": "\n".join(verbs(parser_of_verbs())),
        "reference/findings.md": "\n".join(findings(FINDINGS)),
        "reference/exit-codes.md": exit_codes(EXAMPLES),
    }
    for name, text in pages.items():
        files.append(File.generated(config, name, content=text))
    for picture in sorted((ROOT / "screenshots").glob("*.svg")):
        name = f"screenshots/{picture.name}"
        files.append(File.generated(config, name, abs_src_path=str(picture)))
    return files


def fleet_file(schema: Mapping[str, Any]) -> Iterator[str]:
    """A table for each section of the fleet file."""
    yield "# The fleet file\n"
    yield (
        "`agentdash example` prints one with comments; `agentdash schema fleet` prints the schema "
        "for an editor.\n"
    )
    sections = {"the file": schema, **schema.get("$defs", {})}
    for name, section in sections.items():
        properties = section.get("properties", {})
        if not properties:
            continue
        yield f"## {name}\n"
        if "description" in section:
            yield f"{section['description']}\n"
        yield "| key | values | default | meaning |\n|---|---|---|---|"
        for key, value in properties.items():
            default = value.get("default", "required" if key in section.get("required", ()) else "")
            meaning = cell(value.get("description", ""))
            yield f"| `{key}` | {kind(value)} | {cell(default)} | {meaning} |"
        yield ""


def kind(value: Mapping[str, Any]) -> str:
    """What a key may be, in a few words."""
    if "$ref" in value:
        return str(value["$ref"]).rpartition("/")[2]
    if "enum" in value:
        return ", ".join(f"`{each}`" for each in value["enum"])
    several = value.get("anyOf") or value.get("oneOf") or value.get("allOf")
    if several:
        return " or ".join(dict.fromkeys(kind(each) for each in several))
    if value.get("type") == "array":
        return f"list of {kind(value.get('items', {}))}"
    return str(value.get("type", "any"))


def cell(value: object) -> str:
    """A text that fits into a table."""
    text = "" if value is None else str(value)
    return " ".join(text.replace("|", "\\|").replace("<", "&lt;").split())


def findings(kinds: Mapping[str, FindingKind]) -> Iterator[str]:
    """A row for each kind of finding; a number in its words is shown as …"""
    yield (
        "# Findings\n\n"
        "A finding says how urgent it is, what it is about, since when, and what is wrong."
        " `:attention` lists them, worst first; `agentdash_finding{severity,subject,kind}` is 1"
        " while one stands.\n\n| kind | urgency | what it says | what to do |\n|---|---|---|---|"
    )
    for name, each in kinds.items():
        words = "the reason, as `agentdash why` has it" if "{reason}" in each.words else each.words
        words = cell(re.sub(r"\{[^{}]+\}", "…", words).replace("{{}}", "{}"))
        yield f"| `{name}` | {each.severity.value} | {words} | {cell(each.to_do)} |"
    yield (
        "\nA finding about a source (`queue`, `nodes`, `quotas`, a metric) says which reading is"
        " unknown or old and why; until it is read again, nothing is taken away because of it."
        " `history_regressed` means that a queue or a bucket is not the one it was: it is believed"
        " after a window. A kind that is a key of the fleet file says that the key has no effect.\n"
    )


def verbs(parser: argparse.ArgumentParser) -> Iterator[str]:
    """The help of every verb, as the command line prints it."""
    yield "# Verbs\n"
    yield f"```\n{parser.format_help().rstrip()}\n```\n"
    yield from _verbs_of(parser, "##")


def _verbs_of(parser: argparse.ArgumentParser, level: str) -> Iterator[str]:
    for action in parser._actions:  # noqa: SLF001 - argparse has no public list of them
        if not isinstance(action, argparse._SubParsersAction):  # noqa: SLF001 - as above
            continue
        for verb in action.choices.values():
            yield f"{level} {verb.prog}\n\n```\n{verb.format_help().rstrip()}\n```\n"
            yield from _verbs_of(verb, f"{level}#")


def exit_codes(text: str) -> str:
    """The exit codes, as `--help` prints them."""
    codes = text.partition("exit codes:\n")[2].partition("for developers")[0]
    return f"# Exit codes\n\n```\n{codes.rstrip()}\n```\n"
