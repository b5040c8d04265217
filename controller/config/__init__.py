"""Reads the fleet file: from YAML to settings, or to a list of all its problems."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import msgspec
from pydantic import ValidationError

from controller.config import checks, messages, windows
from controller.config import document as documents
from controller.config.document import Document, FleetFileError, Problem
from controller.config.schema import FleetFile
from controller.model.settings import Settings
from controller.model.text import clean

__all__ = ["FleetFileError", "Problem", "json_schema", "load", "parse"]

MAX_BYTES: Final = 16 * 2**20
"""10,000 pools with most keys have half as many."""
_TOO_LARGE: Final = f"is larger than {MAX_BYTES // 2**20} MiB, the most a fleet file may have"


def load(path: Path) -> Settings:
    """The settings of a fleet file, with notices about keys that have no effect yet. Each call
    reads the file again.

    Raises FleetFileError with all problems, also if the file cannot be read.
    """
    name = clean(path)
    content = _content(path, name)
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as error:
        at = documents.position_of(content[: error.start].decode("utf-8"))
        raise _whole_file(name, "is not UTF-8 here: save it as UTF-8", at) from None
    return parse(text, name)


def parse(text: str, name: str) -> Settings:
    """The settings of a fleet file's text. `name` is the file's name in messages.

    Raises FleetFileError with all problems, in the file's order.
    """
    document = _document(text, name)
    settings = _settings(document)
    notices = checks.notices(document, settings.fleet)
    return msgspec.structs.replace(settings, notices=tuple(notices))


def _document(text: str, name: str) -> Document:
    name = clean(name)
    if len(text) > MAX_BYTES:
        raise _whole_file(name, _TOO_LARGE)
    document = documents.read(text, name)
    if document.data is None:
        raise _whole_file(name, "is empty: a fleet file has at least version and nats")
    return document


def _settings(document: Document) -> Settings:
    found = [
        *document.problems,
        *checks.problems(document),
    ]
    try:
        file = FleetFile.model_validate(document.data)
    except ValidationError as error:
        raise FleetFileError([*found, *messages.problems(error, document)]) from None
    found += windows.problems([pool.schedules for pool in file.pools], document)
    if found:
        raise FleetFileError(found)
    return file.value()


def json_schema() -> dict[str, Any]:
    """The fleet file's JSON Schema (draft 2020-12), for editors and other checkers."""
    schema = FleetFile.model_json_schema(by_alias=True)
    for section in (schema, *schema["$defs"].values()):
        for field in section["properties"].values():  # their texts are wrapped in the source
            field["description"] = " ".join(field["description"].split())
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **schema,
        "title": "agentdash fleet file",
        "description": "Pools of agents: their tenants, their queues and how they scale.",
    }


def _content(path: Path, name: str) -> bytes:
    try:
        with path.expanduser().open("rb") as file:
            content = file.read(MAX_BYTES + 1)
    except (OSError, RuntimeError, ValueError) as error:
        # RuntimeError: ~ without a home directory; ValueError: a null character in the path
        reason = error.strerror if isinstance(error, OSError) else error
        raise _whole_file(name, f"cannot be read: {reason}") from None
    if len(content) > MAX_BYTES:
        raise _whole_file(name, _TOO_LARGE)
    return content


def _whole_file(
    name: str, message: str, at: documents.TextPosition = documents.START
) -> FleetFileError:
    problem = Problem(file=name, line=at.line, column=at.column, path="", message=clean(message))
    return FleetFileError([problem])
