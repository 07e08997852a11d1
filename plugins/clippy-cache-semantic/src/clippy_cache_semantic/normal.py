"""The same words in another dress: capitals, punctuation, politeness, contractions, number words, order of clauses."""

# ruff: noqa: E501 (lists of words)

from __future__ import annotations

import re
import unicodedata

from .polite import asked

_CODE = re.compile(r"[`{}<>=\\\[\]|_#^~]|::|->|//|\w\(|\w\.\w+\(|\d\s*[+*/^]\s*\d|\.[a-z]+/|\n\s+")
"""Signs of code, formulas, paths and markup, where capitals, marks and blanks say something."""

_MARKS = str.maketrans("‘’‚‛“”„‟`´–—‐‑‒−…", "''''\"\"\"\"''------ ")
_CONTRACTIONS = (
    (re.compile(r"\b(can)'?t\b"), "can not"),
    (re.compile(r"\bcannot\b"), "can not"),
    (re.compile(r"\bwon't\b"), "will not"),
    (re.compile(r"\bshan't\b"), "shall not"),
    (re.compile(r"\b(do|does|did|is|are|was|were|has|have|had|would|could|should|must|need|might)n'?t\b"), r"\1 not"),
    (re.compile(r"\b(what|who|where|when|how|why|that|there|it|he|she|here)'?s\b(?<!its)"), r"\1 is"),
    (re.compile(r"\b(what|who|where|when|how|why|they|we|you)'re\b"), r"\1 are"),
    (re.compile(r"\bi'?m\b"), "i am"),
    (re.compile(r"\b(i|we|you|they|he|she)'d\b"), r"\1 would"),
    (re.compile(r"\b(i|we|you|they|he|she|it)'ll\b"), r"\1 will"),
    (re.compile(r"\b(i|we|you|they|who|what)'ve\b"), r"\1 have"),
    (re.compile(r"\bwanna\b"), "want to"),
    (re.compile(r"\bgonna\b"), "going to"),
    (re.compile(r"\bgotta\b"), "have to"),
    (re.compile(r"\blemme\b"), "let me"),
    (re.compile(r"\bgimme\b"), "give me"),
    (re.compile(r"\b(i|you|they|we)ve\b"), r"\1 have"),
    (re.compile(r"\b(you|they)re\b"), r"\1 are"),
)
_CHAT = (
    (
        re.compile(r"\b(do|did|can|could|would|will|should|have|are|r|if|that|thank|when|for|with) u(?![\w'/.-])"),
        r"\1 you",
    ),
    (re.compile(r"(?<![\w'/.-])ur(?=\s+(?!(?:a|an|the)\b)[a-z])"), "your"),
    (re.compile(r"(?<![\w'/.-])r(?=\s+(?:u|ur|you|your|the|these|those|they|we|my|there|our)\b)"), "are"),
    (re.compile(r"(?<![\w'/.-])(?:cuz|coz|bcuz|bcz|b/c)(?!\w)"), "because"),
    (re.compile(r"(?<![\w'/.-])(?:tmrw|tmr|2moro|tomoz)(?!\w)"), "tomorrow"),
    (re.compile(r"(?<![\w'/.-])(?:ppl)(?!\w)"), "people"),
    (re.compile(r"(?<![\w'/.-])b4(?!\w)"), "before"),
    (re.compile(r"(?<![\w'/.-])w/o(?=\s)"), "without"),
    (re.compile(r"(?<![\w'/.-])w/(?=\s)"), "with"),
)
"""As people write in chats.  Only where the letters are small: U and R are names."""
_THOUSANDS = re.compile(r"(?<=\d),(?=\d{3}(?!\d))")
_DROPPED = re.compile(
    r"(?<!\d)!|[?;\"()]|'(?!\w)|(?<!\w)'|[,:.](?!\d)(?!\w)|(?<!\d)[,:](?=\d)|(?<=\w)-(?=[a-z])|(?<=[a-z])-(?=\w)|(?<=\s)-(?=\s)|(?<=[a-z])[,:](?=\w)"
)
_AUXILIARY = (
    (re.compile(r"^(how) (?:can|could|would|might|may) (i|we|you|one|someone)\b"), r"\1 do \2"),
    (re.compile(r"^(who|whom) (?:should|can|could|would|shall) (i|we)\b"), r"who do \2"),
    (re.compile(r"^(where) (?:can|could|would) (i|we)\b"), r"\1 do \2"),
    (re.compile(r"^how to\b"), "how do i"),
    (re.compile(r"^(how|what|where|when|why) (?:do|does|would|can|could|should) one\b"), r"\1 do i"),
)
_FRONTED = re.compile(
    r"^((?:in|on|at|for|from|with|without|during|after|before|to|under|over|within|since|until|by|about|inside|outside|"
    r"through|via|as|of|between|among|near|if|when|while|once|because|given|using)\b[^,?]{2,80}),\s*"
    r"((?:how|what|who|whom|whose|when|where|why|which|is|are|was|were|do|does|did|can|could|will|would|should|may|might|must|has|have|am|shall)\b[^,]*?)([?.!\s]*)$"
)
_UNITS = {word: value for value, word in enumerate(["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve", "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen"])}  # fmt: skip
_TENS = {
    word: 10 * value
    for value, word in enumerate(["twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"], 2)
}
_SCALES = {"hundred": 100, "thousand": 1000, "million": 10**6, "billion": 10**9}
_NUMBER = "|".join((*_UNITS, *_TENS, *_SCALES))
_NUMBER_WORDS = re.compile(
    rf"\b(?:a (?=(?:hundred|thousand|million|billion)\b))?(?:{_NUMBER})(?:(?:[\s-]|\sand\s)(?:{_NUMBER}))*\b"
)


def looks_like_code(text: str) -> bool:
    """Whether capitals, marks and blanks in *text* may say something."""
    return _CODE.search(text) is not None


def plain(text: str) -> str:
    """*text* in one spelling of its characters (Unicode NFKC), quotes and dashes."""
    return unicodedata.normalize("NFKC", text).translate(_MARKS)


def lowered(text: str) -> str:
    """*text* (plain) without capitals and contractions, numbers in digits."""
    for pattern, instead in _CHAT:
        text = pattern.sub(instead, text)
    low = text.casefold()
    for pattern, instead in _CONTRACTIONS:
        low = pattern.sub(instead, low)
    return _NUMBER_WORDS.sub(_digits, _THOUSANDS.sub("", low))


def normalised(text: str) -> str:
    """What texts have in common that differ in dress alone.  Code, formulas and markup keep theirs."""
    if looks_like_code(text):
        return text.strip()
    bare = asked(lowered(plain(text)))
    fronted = _FRONTED.match(bare)
    if fronted is not None:
        bare = f"{fronted[2]} {fronted[1]}"
    bare = " ".join(_DROPPED.sub(" ", bare).split())
    for pattern, instead in _AUXILIARY:
        bare = pattern.sub(instead, bare)
    return bare or text.strip()


def _digits(match: re.Match[str]) -> str:
    """A number in words as digits.  ``one`` alone is more often a pronoun."""
    words = re.split(r"[\s-]+", match[0])
    if words == ["one"]:
        return match[0]
    total = part = 0
    last = 10**12
    for word in words:
        if word in ("and", "a"):
            continue
        if word in _SCALES:
            scale = _SCALES[word]
            part = (part or 1) * scale
            if scale > 100:
                total, part = total + part, 0
            last = scale
            continue
        value = _UNITS.get(word, _TENS.get(word, 0))
        if value >= last:
            return match[0]  # one after the other, not one number: "twenty thirty"
        part, last = part + value, 10 if value >= 20 else 0
    return str(total + part)
