"""Each planted fault is one: in a real host the broken plugin does what its sound twin does not."""

from __future__ import annotations

import planted_shows_cache  # noqa: F401 (fills SHOWN)
import planted_shows_observer  # noqa: F401 (fills SHOWN)
import planted_shows_plugin  # noqa: F401 (fills SHOWN)
import planted_shows_retry  # noqa: F401 (fills SHOWN)
import planted_shows_state  # noqa: F401 (fills SHOWN)
import planted_shows_text  # noqa: F401 (fills SHOWN)
import pytest
from planted import ALSO_SOUND, PLANTED, SOUND
from planted_shows import SHOWN

FAULTS = [(suite, what) for suite, variants in PLANTED.items() for what in variants]


@pytest.mark.parametrize(("suite", "what"), FAULTS)
def test_the_broken_plugin_misbehaves_and_its_sound_twin_does_not(suite, what):
    """One probe, two plugins, two results."""
    shown = SHOWN[suite, what]
    assert shown.sound != shown.broken
    assert shown.sound == shown.probe(SOUND[suite])
    assert shown.broken == shown.probe(PLANTED[suite][what])


@pytest.mark.parametrize(("suite", "which"), [(suite, which) for suite, more in ALSO_SOUND.items() for which in more])
def test_a_sound_plugin_of_another_build_has_none_of_the_faults(suite, which):
    """All probes of its suite find it sound, except the one that damages a file, which it does not have."""
    for (of, what), shown in SHOWN.items():
        if of == suite and not (which.startswith("in memory") and what == "raises on a damaged file"):
            assert shown.sound == shown.probe(ALSO_SOUND[suite][which]), what


def test_every_suite_has_its_sound_twin_and_at_least_four_faults():
    """And every fault is shown."""
    assert PLANTED.keys() == SOUND.keys()
    assert all(len(variants) >= 4 for variants in PLANTED.values())
    assert SHOWN.keys() == set(FAULTS)
