"""Programs of Python that begin as forks of one process, in which agentdash is loaded already: a
new interpreter takes most of a second of the processor until it has loaded that.
"""

from __future__ import annotations

import asyncio
import atexit
import ctypes
import gc
import importlib
import json
import os
import runpy
import select
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import NamedTuple

LOADED = (
    *("agentdash.cli", "agentdash.worker.lifecycle", "agentdash.verbs.tasks"),
    *("agentdash.verbs.worker", "agentdash.task_lists", "agentdash.verbs.live"),
    *("agentdash.verbs.once", "agentdash.verbs.operate", "agentdash.verbs.ticks"),
    *("controller.config.document", "controller.wiring", "controller.daemon"),
)
PATIENCE_S = 20.0
PR_SET_PDEATHSIG = 1


class Forked:
    """As asyncio.subprocess.Process, with pipes for its output."""

    def __init__(self, pid: int, told: asyncio.StreamReader, asked: asyncio.StreamWriter) -> None:
        self.pid = pid
        self.returncode: int | None = None
        self.stdout, self.stderr = asyncio.StreamReader(), asyncio.StreamReader()
        self._ended = asyncio.create_task(self._reap(told, asked))

    async def _reap(self, told: asyncio.StreamReader, asked: asyncio.StreamWriter) -> int:
        status = await told.readline()
        asked.close()
        self.returncode = os.waitstatus_to_exitcode(int(status))
        return self.returncode

    async def wait(self) -> int:
        return await asyncio.shield(self._ended)

    async def communicate(self) -> tuple[bytes, bytes]:
        out, error, _ = await asyncio.gather(self.stdout.read(), self.stderr.read(), self.wait())
        return out, error

    def send_signal(self, number: int) -> None:
        if self.returncode is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


async def forked(
    *arguments: str, cwd: Path | None = None, env: Mapping[str, str] = os.environ
) -> Forked:
    """`python -m` these arguments, or `python -c` code, with an empty standard input."""
    loop = asyncio.get_running_loop()
    asked = socket.socket(socket.AF_UNIX)
    asked.connect(_server())
    (read_out, out), (read_error, error) = os.pipe(), os.pipe()
    words = json.dumps([arguments, str(cwd or Path.cwd()), dict(env)]).encode() + b"\n"
    files = [os.open(os.devnull, os.O_RDONLY), out, error]
    socket.send_fds(asked, [b"+"], files)
    asked.sendall(words)
    for each in files:
        os.close(each)
    told, answered = await asyncio.open_connection(sock=asked)
    process = Forked(int(await told.readline()), told, answered)
    for stream, end in ((process.stdout, read_out), (process.stderr, read_error)):
        await loop.connect_read_pipe(
            lambda stream=stream: asyncio.StreamReaderProtocol(stream),  # type: ignore[misc]
            os.fdopen(end, "rb", 0),
        )
    return process


class Printed(NamedTuple):
    code: int
    out: str
    err: str


async def agentdash(*arguments: object, cwd: Path | None = None, **environment: str) -> Printed:
    """A verb, with its output, which is no terminal."""
    process = await forked(
        "agentdash", *map(str, arguments), cwd=cwd, env={**os.environ, **environment}
    )
    try:
        out, err = await asyncio.wait_for(process.communicate(), PATIENCE_S)
    finally:
        process.kill()
    return Printed(await process.wait(), out.decode(), err.decode())


@cache
def _server() -> str:
    """The address of this process's own server, which ends with it."""
    folder = tempfile.TemporaryDirectory(prefix="forked")
    address = f"{folder.name}/socket"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    server = subprocess.Popen(
        [sys.executable, "-m", "support.forked", address],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=environment,
        start_new_session=True,
    )
    assert server.stdin is not None
    assert server.stdout is not None
    assert server.stdout.readline() == b"ready\n"

    def end() -> None:
        server.communicate()
        folder.cleanup()

    atexit.register(end)
    return address


def _serve(address: str) -> None:
    """Fork for each connection, and say there how the fork ended; returns in the forks, and when
    standard input ends.
    """
    for name in LOADED:
        importlib.import_module(name)
    gc.collect()
    gc.freeze()
    woken, wake = os.pipe()
    os.set_blocking(woken, False)
    os.set_blocking(wake, False)
    signal.set_wakeup_fd(wake)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    running: dict[int, socket.socket] = {}
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(address)
        listening.listen(100)
        os.write(1, b"ready\n")
        while True:
            ready, _, _ = select.select([0, listening, woken], [], [])
            if woken in ready:
                os.read(woken, 1000)
                while running and (found := os.waitpid(-1, os.WNOHANG))[0]:
                    with running.pop(found[0]) as asked:
                        asked.sendall(b"%d\n" % found[1])
            if listening in ready:
                asked, _ = listening.accept()
                _, files, _, _ = socket.recv_fds(asked, 1, 3)
                with asked.makefile("rb") as lines:
                    words = lines.readline()
                pid = os.fork()
                if not pid:
                    break
                running[pid] = asked
                asked.sendall(b"%d\n" % pid)
                for each in files:
                    os.close(each)
            if 0 in ready:
                os._exit(0)
    for open_here in (*running.values(), asked):
        open_here.close()
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    _become(*json.loads(words), files)


def _become(arguments: list[str], cwd: str, environment: dict[str, str], files: list[int]) -> None:
    if sys.platform == "linux":  # tests that are killed leave no fork behind
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    for number, each in enumerate(files):
        os.dup2(each, number)
        os.close(each)
    sys.stdin, sys.stdout = os.fdopen(0), os.fdopen(1, "w")
    sys.stderr = os.fdopen(2, "w", buffering=1)
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(environment)
    sys.argv = [*arguments]
    if arguments[0] == "-c":
        del sys.argv[1]
        exec(arguments[1], {"__name__": "__main__"})
    else:
        runpy.run_module(arguments[0], run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    _serve(sys.argv[1])
