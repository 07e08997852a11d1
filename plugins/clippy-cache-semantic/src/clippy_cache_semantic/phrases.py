"""Words that WordNet does not have or does not connect, as everyday questions use them.

From general knowledge of English: what questions to services, shops, offices and programs are made of.
"""

# ruff: noqa: E501 (lists of words)

from __future__ import annotations

from pathlib import Path

_HERE = Path(__file__).parent

GROUPS = tuple((_HERE / "same.txt").read_text(encoding="utf-8").splitlines())
"""What is asked for in these words is the same thing, in most questions; a word may be in several groups."""

OPPOSITES = tuple((_HERE / "opposite.txt").read_text(encoding="utf-8").splitlines())
"""Opposites beside those of WordNet: each word before the stroke is one of each word after it."""

IRREGULAR = {
    form: word
    for line in (
        "be am is are was were been being", "have has had having", "do does did done doing", "go goes went gone",
        "get got gotten getting", "take took taken", "make made", "pay paid", "buy bought", "bring brought", "sell sold",
        "send sent", "spend spent", "lend lent", "lose lost", "find found", "tell told", "say said", "think thought",
        "know knew known", "see saw seen", "give gave given", "come came", "become became", "begin began begun",
        "write wrote written", "drive drove driven", "fly flew flown", "eat ate eaten", "drink drank drunk", "break broke broken",
        "choose chose chosen", "speak spoke spoken", "steal stole stolen", "wear wore worn", "grow grew grown",
        "keep kept", "leave left", "mean meant", "meet met", "run ran", "win won", "hold held", "build built",
        "catch caught", "teach taught", "sleep slept", "feel felt", "sit sat", "stand stood", "understand understood",
        "show shown", "forget forgot forgotten", "rise rose risen", "fall fell fallen", "hide hid hidden", "sing sang sung",
        "beat beaten", "bend bent", "bite bit bitten", "bleed bled", "blow blew blown", "breed bred", "burn burnt", "deal dealt",
        "dig dug", "draw drew drawn", "dream dreamt", "feed fed", "fight fought", "flee fled", "forgive forgave forgiven",
        "freeze froze frozen", "hang hung", "hear heard", "lay laid", "lead led", "learn learnt", "mistake mistook mistaken",
        "overcome overcame", "prove proven", "ride rode ridden", "ring rang rung", "seek sought", "shake shook shaken", "shoot shot",
        "shrink shrank shrunk", "sink sank sunk", "slide slid", "spell spelt", "spill spilt", "spin spun", "stick stuck",
        "sting stung", "strike struck stricken", "swear swore sworn", "sweep swept", "swim swam swum", "swing swung",
        "tear tore torn", "throw threw thrown", "undo undid undone", "undertake undertook undertaken", "wake woke woken",
        "withdraw withdrew withdrawn", "withhold withheld",
        "analysis analyses", "bacterium bacteria", "cactus cacti", "crisis crises", "criterion criteria", "curriculum curricula",
        "diagnosis diagnoses", "fungus fungi", "goose geese", "hypothesis hypotheses", "index indices indexes", "matrix matrices",
        "nucleus nuclei", "phenomenon phenomena", "thesis theses", "vertex vertices",
        "child children", "person people", "man men", "woman women", "foot feet", "tooth teeth", "mouse mice", "wife wives",
        "good better", "bad worse", "life lives", "leaf leaves", "die dying died", "lie lying", "tax taxes taxed taxable",
    )
    for word, *forms in [line.split()]
    for form in forms
}  # fmt: skip
