"""The printed Dockerfile, step by step, without a container runtime: what its comment says to do
first, each of its instructions, and the entry point as the image's user on files that cannot be
written. It installs all that the lock file names, which takes most of a minute and a package index:
`.ci/run` asks for it, by AGENTDASH_TEST_IMAGE=1.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from agentdash import __version__
from agentdash.verb_table import VERBS
from controller.exit_codes import ExitCode
from controller.manifests.objects import USER, dockerfile
from support.image import Image, missing

ROOT = Path(__file__).parents[3]
SOURCE = ("pyproject.toml", "README.md", "LICENSE", "requirements.lock", "agentdash", "controller")
UNREACHED = ("No matching distribution found", "Could not find a version", "Max retries exceeded")

pytestmark = pytest.mark.timeout(400)


def commands() -> list[str]:
    """What the Dockerfile's comment says to run, in order."""
    lines = dockerfile(__version__).splitlines()
    return [line.removeprefix("#   ") for line in lines if line.startswith("#   ")]


@pytest.fixture
def image(tmp_path: Path) -> Image:
    """The image of a copy of the source, made as the comment says."""
    if not os.environ.get("AGENTDASH_TEST_IMAGE"):
        pytest.skip("AGENTDASH_TEST_IMAGE=1 installs all that the lock file names")
    if reason := missing():
        pytest.skip(reason)
    checkout = tmp_path / "checkout"
    checkout.mkdir()
    for name in SOURCE:
        if (ROOT / name).is_dir():
            ignored = shutil.ignore_patterns("__pycache__")
            shutil.copytree(ROOT / name, checkout / name, ignore=ignored)
        else:
            shutil.copy(ROOT / name, checkout / name)
    try:
        subprocess.run(
            [sys.executable, "-m", *shlex.split(commands()[0])],
            cwd=checkout,
            capture_output=True,
            text=True,
            check=True,
        )
        return Image(dockerfile(__version__), checkout, tmp_path)
    except subprocess.CalledProcessError as error:
        if any(words in error.stderr for words in UNREACHED):
            pytest.skip(f"no package index can be reached: {error.stderr[-500:]}")
        raise AssertionError(f"{error}\n{error.stderr}") from error


def test_the_image_starts_without_root_where_no_file_can_be_written(image: Image) -> None:
    assert image.user == f"{USER}:{USER}"
    assert image.run("id", "-u", read_only=True).stdout == f"{USER}\n"
    written = image.run("touch", "/tmp/x", read_only=True)
    assert "Read-only file system" in written.stderr
    told = image.run(*image.entry, "--version", read_only=True)
    assert (told.returncode, told.stdout) == (0, f"agentdash {__version__}\n"), told.stderr

    entry = shlex.join(image.entry)
    script = f"{entry} example | exec {entry} -f /dev/stdin --controller-only"
    stopped = image.run("sh", "-c", script, read_only=True)
    assert stopped.returncode == ExitCode.UNREACHABLE, "it is in no Pod and has no kubeconfig"
    assert "kubeconfig" in stopped.stderr
    assert "Traceback" not in stopped.stderr, "the controller has all that it imports"

    python = image.entry[0].replace("bin/agentdash", "bin/python")
    assert "No module named pip" in image.run(python, "-m", "pip").stderr
    writable = image.run("find", "/opt", "-writable", "-not", "-type", "l")
    assert (writable.returncode, writable.stdout) == (0, "")


@pytest.mark.parametrize(
    "text",
    [
        (ROOT / "docs/pages/on-a-cluster.md").read_text("utf-8"),
        next(each for each in VERBS if each.name == "manifests").examples,
    ],
    ids=["docs", "help"],
)
def test_where_the_image_is_built_the_wheel_is_made_first(text: str) -> None:
    wheel, build = (command.partition(" -t ")[0] for command in commands())
    lines = [line.strip() for line in text.splitlines()]
    [at] = [number for number, line in enumerate(lines) if line.startswith(build)]
    assert lines[at - 1].partition("#")[0].strip() == wheel
