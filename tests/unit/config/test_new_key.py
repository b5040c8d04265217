"""A key of the fleet file is added in two files: its section, and the value that has it."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[3]
SECTION = "controller/config/schema/pools.py"
VALUE = "controller/model/fleet.py"
KEY = '''    greeting: FreeText = Field(default="hello", alias="hello")
    """What its workers say first. Default hello."""
'''
FIELD = '    greeting: str = "hello"\n'
FILE = """\
version: 1
nats: {servers: [nats://localhost]}
tenants: {acme: {tier: growth}}
pools:
  - {name: a, tenant: acme, queue: {stream: S, consumer: a}, replicas: {max: 9}, hello: good day}
  - {name: b, tenant: acme, queue: {stream: S, consumer: b}, replicas: {max: 9}}
"""
USE = """
import sys
from controller.config import FleetFileError, json_schema, parse
print([pool.greeting for pool in parse(sys.argv[1], "fleet.yaml").fleet.pools])
print(json_schema()["$defs"]["PoolEntry"]["properties"]["hello"]["description"])
try:
    parse(sys.argv[1].replace("hello: good day", "helo: 1"), "fleet.yaml")
except FleetFileError as error:
    print(error)
"""


def with_line(path: Path, before: str, new: str) -> None:
    text = path.read_text(encoding="utf-8")
    assert text.count(before) == 1
    path.write_text(text.replace(before, new + before), encoding="utf-8")


def test_a_key_written_in_its_section_and_its_value_is_read_described_and_suggested(
    tmp_path: Path,
) -> None:
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "controller", tmp_path / "controller", ignore=ignored)
    with_line(tmp_path / SECTION, "    slots: Tasks = 1\n", KEY)
    with_line(tmp_path / VALUE, "    min: int = 0\n", FIELD)
    section = tmp_path / SECTION
    imported = "    FreeText,\n    NatsName,\n"
    section.write_text(section.read_text().replace("    NatsName,\n", imported, 1))
    said = subprocess.run(
        [sys.executable, "-c", USE, FILE],
        cwd=tmp_path,
        env={"PYTHONPATH": str(tmp_path), "PYTHONSAFEPATH": "1"},
        capture_output=True,
        text=True,
        check=True,
    ).stdout.splitlines()
    assert said == [
        "['good day', 'hello']",
        "What its workers say first. Default hello.",
        'fleet.yaml:5:82: pools[0].helo: unknown key; did you mean "hello"?',
    ]
