"""A provider of language models for the demo: OpenAI's protocol over HTTP, with real limits."""

from agentdash.demo.provider.admission import ProviderModel
from agentdash.demo.provider.server import DemoProvider

__all__ = ["DemoProvider", "ProviderModel"]
