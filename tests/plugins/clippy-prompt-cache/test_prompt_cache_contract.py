"""The suite that every plugin must pass."""

from clippy_prompt_cache import PromptCache

from clippy_core.testing import PluginContract


class TestAsInstalled(PluginContract):
    def make(self) -> PromptCache:
        return PromptCache()


class TestWithEverythingOn(PluginContract):
    def make(self) -> PromptCache:
        return PromptCache(plan="auto", min_tokens=0, key_hosts=("fake.test",), lint=True, content=True)
