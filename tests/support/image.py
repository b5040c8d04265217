"""An image's file system from its Dockerfile, without a container runtime: the stages are folders,
and a command runs in one of them as its root. The base is this machine, of which only the system
and the Python of the tests can be seen.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

PYTHON: Final = Path(sys.base_prefix).resolve()
_SYSTEM: Final = ("/bin", "/sbin", "/lib", "/lib64", "/usr", "/etc", "/dev", "/proc", str(PYTHON))
_UNSHARE: Final = ("unshare", "--mount", "--propagation", "private")


def missing() -> str:
    """Why no image can be made here; empty where it can."""
    if os.geteuid() != 0:
        return "only root can make mounts and become the image's user"
    if (
        shutil.which("unshare") is None
        or subprocess.run([*_UNSHARE, "true"], check=False).returncode
    ):
        return "this system lets no process have mounts of its own"
    return ""


def instructions(dockerfile: str) -> Iterator[tuple[str, str]]:
    """Each instruction's word and the rest, without comments, continued lines as one."""
    lines = [line for line in dockerfile.splitlines() if not line.startswith("#")]
    for line in re.sub(r"\\\n", "", "\n".join(lines)).splitlines():
        if line:
            word, _, rest = line.partition(" ")
            yield word, rest.strip()


class Image:
    """The last stage of a Dockerfile, made from the files of `context`.

    Raises CalledProcessError, with what was printed, if a step fails.
    """

    def __init__(self, dockerfile: str, context: Path, folder: Path) -> None:
        self.user = "0:0"
        self.entry: Sequence[str] = ()
        self._stages: dict[str, Path] = {}
        self._root = folder
        for word, rest in instructions(dockerfile):
            match word:
                case "ARG":
                    assert rest.startswith("BASE="), rest
                case "FROM":
                    base, _, name = rest.partition(" AS ")
                    assert base == "${BASE}", rest
                    self._root = folder / f"{len(self._stages)}"
                    self._stages[name] = _with_system(self._root)
                case "COPY":
                    self._copy(shlex.split(rest), context)
                case "RUN":
                    self.run("sh", "-c", rest).check_returncode()
                case "USER":
                    self.user = rest
                case "ENTRYPOINT":
                    self.entry = json.loads(rest)
                case _:
                    raise AssertionError(f"{word} is not known here: {rest}")

    def run(
        self, *command: str, read_only: bool = False, timeout_s: float = 240
    ) -> subprocess.CompletedProcess[str]:
        """Run a command as the image's user; `read_only` as in the Pod, whose files cannot be
        written.
        """
        root = str(self._root)
        mounts = [f"mount --bind {root} {root}"]
        if read_only:
            mounts.append(f"mount -o remount,bind,ro {root}")
        seen = [each for each in _SYSTEM if Path(each).is_dir() and not Path(each).is_symlink()]
        mounts += [f"mount --rbind {each} {root}{each}" for each in seen]
        inside = shlex.join(["chroot", f"--userspec={self.user}", "--groups=", root, *command])
        script = " && ".join([*mounts, f"exec {inside}"])
        # the machine's settings of pip lead it to its package index
        kept = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}
        path = f"{PYTHON}/bin:/usr/sbin:/usr/bin:/sbin:/bin"
        environment = {**kept, "PATH": path, "HOME": "/nonexistent", "TMPDIR": "/tmp"}
        done = subprocess.run(
            [*_UNSHARE, "sh", "-c", script],
            env=environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=timeout_s,
        )
        print(done.stdout, done.stderr, sep="\n")
        return done

    def _copy(self, words: list[str], context: Path) -> None:
        source = context
        if words[0].startswith("--from="):
            source = self._stages[words.pop(0).removeprefix("--from=")]
        [name, target] = words
        found, to = source / name.lstrip("/"), self._root / target.lstrip("/")
        if found.is_dir():
            shutil.copytree(found, to, symlinks=True)
            return
        to = to / found.name if target.endswith("/") else to
        to.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(found, to)


def _with_system(root: Path) -> Path:
    """The folder with a place for each part of the system that is mounted into it."""
    root.mkdir(mode=0o755)
    for each in map(Path, _SYSTEM):
        place = root / each.relative_to("/")
        if each.is_symlink():
            place.symlink_to(each.readlink())
        elif each.is_dir():
            place.mkdir(parents=True, exist_ok=True)
    (root / "tmp").mkdir(mode=0o755)
    (root / "tmp").chmod(0o1777)
    return root
