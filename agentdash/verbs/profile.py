"""`agentdash profile`: the resource profile that an agent needs, by its tools."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from agentdash.output import note, tell
from agentdash.verbs.agents import AgentError, load_agent
from agentdash.worker.tools import declared_tools
from controller.exit_codes import ExitCode
from controller.model.text import clean_name

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
_ROOM: Final = {
    "compute": "1 CPU and 2Gi, at most 2 and 4Gi",
    "standard": "500m and 1Gi, at most 1 CPU and 2Gi",
    "lightweight": "250m and 512Mi, at most 500m and 1Gi",
}
_WORD: Final = re.compile(r"[a-z]+")


def show_profile(tools: Sequence[str]) -> ExitCode:
    """Print the profile and the tools that decide it. `module:function` among them is an agent and
    stands for the tools that it declares. Raises OutputError.
    """
    try:
        profile, why = suggested([name for tool in tools for name in _named(tool)])
    except AgentError as error:
        note(str(error))
        return ExitCode.USAGE
    tell(f"profile: {profile}  # {why}; requests {_ROOM[profile]}")
    return ExitCode.OK


def _named(tool: str) -> tuple[str, ...]:
    """The tools of an agent, or this one. Raises AgentError."""
    if ":" not in tool:
        return (tool,)
    tools = declared_tools(load_agent(tool))
    if tools is None:
        raise AgentError(
            f"{clean_name(tool)} does not declare its tools: write "
            "@agentdash.worker.uses_tools(...) above it, or name the tools here"
        )
    return tools


def suggested(tools: Sequence[str]) -> tuple[str, str]:
    """The profile, and why: by the words in the tools' names, such as `mcp__playwright_click`."""
    for profile, words, kind in (
        ("compute", _BROWSERS_AND_BUILDS, "browser or build tools"),
        ("standard", _FILES_AND_GIT, "git or files"),
    ):
        found = [tool for tool in tools if words.intersection(_WORD.findall(tool.lower()))]
        if found:
            return profile, f"{kind}: {', '.join(clean_name(tool) for tool in found)}"
    return "lightweight", "text only"
