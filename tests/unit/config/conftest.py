"""A small fleet file to vary, and its complaints as lines."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import yaml

from controller.config import FleetFileError, parse

Complain = Callable[[str], list[str]]
Document = dict[str, Any]


@pytest.fixture
def complaints() -> Complain:
    """The complaints about a fleet file, one line each; none if it loads."""

    def complain(text: str) -> list[str]:
        try:
            parse(text, "fleet.yaml")
        except FleetFileError as error:
            return str(error).splitlines()
        return []

    return complain


@pytest.fixture
def fleet() -> Document:
    """The smallest fleet with one pool."""
    return {
        "version": 1,
        "nats": {"servers": ["nats://127.0.0.1:4222"]},
        "tenants": {"acme": {"tier": "growth"}},
        "pools": [
            {
                "name": "research",
                "tenant": "acme",
                "queue": {"stream": "TASKS", "consumer": "acme-research"},
                "replicas": {"max": 20},
            }
        ],
    }


@pytest.fixture
def dump() -> Callable[[object], str]:
    """A document as YAML, keys in their order."""
    return lambda document: yaml.safe_dump(document, sort_keys=False)
