"""Its test."""

from __future__ import annotations

import pytest

from .lifespan import Plugin
from .trial import trial


def test_there_is_a_folder_while_the_host_is_open() -> None:
    """It is gone afterwards, and comes again with the next host."""
    plugin = Plugin()
    for _ in range(2):
        with trial(plugin):
            folder = plugin.folder
            assert folder.is_dir()
        assert not folder.exists()
    with pytest.raises(RuntimeError):
        assert plugin.folder
