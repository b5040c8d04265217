"""Agents by the names that people type: runs one as a worker, and says which profile it needs."""

from __future__ import annotations

import importlib
import re
import sys
from argparse import Namespace
from collections.abc import Sequence
from typing import Final

from agentdash.output import note, refusal, tell
from agentdash.worker import Agent, Worker, WorkerSettingsError
from agentdash.worker.session import declared_tools
from controller.exit_codes import ExitCode
from controller.logs import log_json
from controller.model.text import clean, clean_name, quote


def load_agent(name: str) -> Agent:
    """The agent `module:function`, from what is installed or the current folder. Raises ToldError
    where there is none.
    """
    module, colon, function = name.partition(":")
    if not (module and colon and function):
        words = f"{quote(name)} is not MODULE:FUNCTION, such as agents:research"
        raise refusal(words, ExitCode.USAGE)
    sys.path.insert(0, "")
    try:
        found = getattr(importlib.import_module(module), function, None)
    except ImportError as error:
        words = f"module {clean(module)} cannot be imported: {clean(error)}; run it where it is "
        raise refusal(f"{words}installed, or in its folder", ExitCode.USAGE) from None
    if found is None:
        raise refusal(f"module {clean(module)} has no {clean(function)}", ExitCode.USAGE)
    if not callable(found):
        words = f"{clean(name)} is no function of a task and a session"
        raise refusal(words, ExitCode.USAGE)
    agent: Agent = found
    return agent


def run_worker(options: Namespace) -> ExitCode:
    """Run the agent `module:function` until SIGTERM or SIGINT, as the environment says."""
    agent = load_agent(options.agent)
    log_json()
    try:
        Worker.from_env(agent).run()
    except WorkerSettingsError as error:
        raise refusal(error, ExitCode.USAGE) from None
    return ExitCode.OK


_BROWSERS_AND_BUILDS: Final = frozenset(
    (
        *("browser", "chrome", "chromium", "firefox", "playwright", "puppeteer", "selenium"),
        *("build", "compile", "docker", "podman", "bazel", "cargo", "cmake", "gradle", "make"),
        *("maven", "npm", "pnpm", "yarn", "webpack", "tests"),
    )
)
_FILES_AND_GIT: Final = frozenset(
    (
        *("bash", "shell", "terminal", "python", "git", "github", "gitlab", "repo", "repository"),
        *("file", "files", "filesystem", "directory", "folder", "workspace"),
        *("read", "write", "edit", "grep", "patch"),
    )
)
_TEXT_ONLY: Final = frozenset(
    (
        *("search", "web", "fetch", "http", "api", "url", "query", "sql", "database", "retrieve"),
        *("mail", "email", "message", "chat", "slack", "calendar", "ticket", "issue", "crm"),
        *("calculate", "calculator", "translate", "summarize", "classify", "extract", "time"),
    )
)
_ROOM: Final = {
    "compute": "1 CPU and 2Gi, at most 2 and 4Gi",
    "standard": "500m and 1Gi, at most 1 CPU and 2Gi",
    "lightweight": "250m and 512Mi, at most 500m and 1Gi",
}
_WORD: Final = re.compile(r"[a-z]+")


def show_profile(options: Namespace) -> ExitCode:
    """Print the profile and the tools that decide it. `module:function` among them is an agent and
    stands for the tools that it declares. Raises OutputError and ToldError.
    """
    tools = [name for tool in options.tools for name in _named(tool)]
    profile, why = suggested(tools)
    known = _BROWSERS_AND_BUILDS | _FILES_AND_GIT | _TEXT_ONLY
    if unknown := [tool for tool in tools if not known.intersection(_words(tool))]:
        names = ", ".join(map(clean_name, unknown))
        note(f"nothing is known of {names}: taken for text only; measure before you rely on it")
    tell(f"profile: {profile}  # {why}; requests {_ROOM[profile]}")
    return ExitCode.OK


def _named(tool: str) -> tuple[str, ...]:
    """The tools of an agent, or this one. Raises ToldError."""
    if ":" not in tool:
        return (tool,)
    tools = declared_tools(load_agent(tool))
    if tools is None:
        words = "does not declare its tools: write @agentdash.worker.uses_tools(...) above it"
        raise refusal(f"{clean_name(tool)} {words}, or name the tools here", ExitCode.USAGE)
    return tools


def suggested(tools: Sequence[str]) -> tuple[str, str]:
    """The profile, and why: by the words in the tools' names, such as `mcp__playwright_click`."""
    for profile, words, kind in (
        ("compute", _BROWSERS_AND_BUILDS, "browser or build tools"),
        ("standard", _FILES_AND_GIT, "git or files"),
    ):
        found = [tool for tool in tools if words.intersection(_words(tool))]
        if found:
            return profile, f"{kind}: {', '.join(clean_name(tool) for tool in found)}"
    return "lightweight", "text only"


def _words(tool: str) -> list[str]:
    return _WORD.findall(tool.lower())
