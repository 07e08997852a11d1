"""What a text says, as far as rules can tell: its words of content, names, numbers, negations and kind of question."""

# ruff: noqa: E501 (lists of words)

from __future__ import annotations

import re
from functools import cached_property, lru_cache
from itertools import pairwise

from attrs import define, field, frozen

from .letters import slips, words
from .lexicon import english
from .normal import asked, looks_like_code, lowered, normalised, plain

_TOKEN = re.compile(r"[£$€¥]?\d+(?:[.:]\d+)*|[^\W\d_]+(?:'[^\W\d_]+)?|[%#@&+]")
_CODE_TOKEN = re.compile(
    r"`[^`]+`|\b\w+[_./:\\]\w[\w./:\\]*|--?\w[\w-]+(?<=\w)|\b\w+\(\)?|\b[a-z]+[A-Z]\w*|[<>=!]=|->|=>|&&|\|\||[{}\[\]<>=]"
)
_JOINED = re.compile(r"\b(non|un|re|pre|post|anti|semi|self|ex|co|multi)[- ](?=[a-z]{3})")

FUNCTION = words(
    "a an the this that these those it its i me my mine myself we us our ours you your yours he him his she her hers they them",
    "their theirs someone somebody anyone anybody one ones something anything any some there here",
    "am is are was were be been being do does did doing done has have had having can could will would shall should may might must",
    "while because though although ought what who whom whose which when where why how much many if whether and or but so as than then also too just let lets",
    "in on at of for by to from with about into onto up upon through via under over above below between inside within out during",
    "s t d ll ve re m not no never without nor neither none",
)
"""Words that tie others together; negations among them have a guard of their own."""

FILLER = words(
    "please thanks thank hi hello hey kindly exactly actually currently usually normally typically generally really simply basically",
    "possible possibly possibility able available allow allowed supposed specific particular various etc anyway specifically",
    "way need want like wish try know tell help wonder ask question process procedure method step happen thing sure right ok okay",
    "go going get make take give use set put look looking offer exist person people actual exact main such per kind sort type quite very",
    "around everyday ever properly correctly easily best",
)
"""Words of content that hardly ever tell two questions apart."""

STRICT = words(
    "before after until till since except without against off outside beyond despite instead per only all every each both either",
    "first last next previous more less most least else down",
)
"""Small words that change what is asked: they must stand on both sides."""
_MEASURING = words("under over above below within beneath beyond between up by")
"""The same, where a number follows."""
FACING = (
    ("before", "after"), ("over", "under"), ("above", "below"), ("inside", "outside"), ("in", "out"), ("on", "off"), ("up", "down"),
    ("into", "out"), ("with", "without"), ("more", "less"), ("most", "least"), ("first", "last"), ("previous", "next"),
)  # fmt: skip
"""Small words that face each other: what one side has of such a pair the other side may not have turned round."""

_NEGATIVE = words("not no never without nor neither none nothing nobody nowhere hardly barely")
_MONTHS = (
    "january",
    "february",
    "march",
    "april",
    "may",
    "june",
    "july",
    "august",
    "september",
    "october",
    "november",
    "december",
)
_DAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
WHEN = words(
    " ".join((*_MONTHS, *_DAYS)),
    "today tomorrow yesterday tonight morning afternoon evening night noon midnight weekend weekday spring summer autumn winter",
    "christmas easter am pm",
)
"""Days, months, seasons and times of day."""
_SMALL = sorted(word for word in FUNCTION | STRICT | WHEN | {day + "s" for day in WHEN} if len(word) > 2)
_LETTERS_ONLY = re.compile(r"[^\W\d_]{3,}")
_SHORT = {month[:3]: month for month in _MONTHS if month != "may"} | {day[:3]: day for day in _DAYS}
_SHORT |= {"sept": "september", "tues": "tuesday", "thur": "thursday", "thurs": "thursday"}
del _SHORT["sat"], _SHORT["sun"], _SHORT["mar"]  # words of their own
_UNIT_NAMES = (
    "kg kilo kilos kilogram kilograms kilogramme kilogrammes", "g gram grams gramme grammes", "mg milligram milligrams", "lb lbs pound pounds", "oz ounce ounces",
    "stone stones", "t ton tons tonne tonnes", "km kilometre kilometres kilometer kilometers", "m metre metres meter meters", "cm centimetre centimetres centimeter centimeters",
    "mm millimetre millimetres millimeter millimeters", "mi mile miles", "ft foot feet", "in inch inches", "yd yard yards", "l litre litres liter liters",
    "ml millilitre millilitres milliliter milliliters", "gal gallon gallons", "pt pint pints", "kb kilobyte kilobytes", "mb megabyte megabytes", "gb gigabyte gigabytes",
    "tb terabyte terabytes", "bit bits", "byte bytes", "ms millisecond milliseconds", "s sec secs second seconds", "min mins minute minutes", "h hr hrs hour hours",
    "day days", "week weeks wk", "month months", "year years yr yrs", "decade decades", "century centuries", "c celsius centigrade", "f fahrenheit", "kelvin k",
    "% percent", "usd dollar dollars bucks $", "eur euro euros €", "gbp quid sterling £", "yen jpy ¥", "cent cents", "pence penny", "w watt watts", "kw kilowatt kilowatts", "kwh", "v volt volts",
    "mph", "kph kmh", "cup cups", "tablespoon tablespoons tbsp", "teaspoon teaspoons tsp", "acre acres", "hectare hectares", "calorie calories kcal",
    "person people persons", "user users", "am", "pm",
)  # fmt: skip
UNITS = {word: names.split()[0] for names in _UNIT_NAMES for word in names.split()}
"""Units of measure by their spellings."""
_LETTERS = frozenset(["g", "t", "m", "l", "h", "s", "c", "f", "k", "w", "v", "in"])
"""Units of one letter or that are also words: only right behind a number."""
_ORDINALS = dict(
    zip(
        [
            "first",
            "second",
            "third",
            "fourth",
            "fifth",
            "sixth",
            "seventh",
            "eighth",
            "ninth",
            "tenth",
            "eleventh",
            "twelfth",
        ],
        range(1, 13),
        strict=True,
    )
)
_PARTS = {
    "half": "0.5",
    "quarter": "0.25",
    "dozen": "12",
    "twice": "2x",
    "double": "2x",
    "triple": "3x",
    "thrice": "3x",
}

_PHRASES = tuple(
    (re.compile(rf"\b{verb}(\s(?:\w+\s){{0,3}}?){particle}\b"), f"{word}\\1")
    for verb, particle, word in (
        (r"(?:turn|switch|shut)(?:s|ed|ing)?", "off", "disable"), (r"(?:turn|switch)(?:s|ed|ing)?", "on", "enable"),
        (r"(?:set|setting)(?:s)?", "up", "create"), (r"sign(?:s|ed|ing)?", "up", "register"), (r"(?:log|sign)(?:s|ged|ged|ned|ed|ging|ing)?", "in", "login"),
        (r"(?:log|sign)(?:s|ged|ed|ging|ing)?", "out", "logout"), (r"(?:get|getting|got)", "rid of", "remove"), (r"carr(?:y|ies|ied|ying)", "over", "transfer"),
        (r"(?:find|found|finding)", "out", "know"), (r"look(?:s|ed|ing)?", "for", "find"), (r"fill(?:s|ed|ing)?", "(?:in|out)", "complete"),
        (r"(?:get|getting|got)", "money back", "refund"), (r"(?:give|gave|giving)", "up", "quit"), (r"sort(?:s|ed|ing)?", "out", "solve"),
        (r"put(?:ting)?", "off", "postpone"), (r"call(?:s|ed|ing)?", "off", "cancel"), (r"(?:speed|sped)(?:ing)?", "up", "accelerate"), (r"back(?:s|ed|ing)?", "up", "backup"),
        (r"(?:send|sent|sending)", "back", "return"), (r"(?:pick|collect)(?:s|ed|ing)?", "up", "collect"), (r"throw(?:s|n|ing)?", "away", "discard"),
    )
)  # fmt: skip
_KINDS = (
    ("how many", "count", "number amount quantity"), ("how much (?:time|longer)", "how long", ""), ("how much", "how much", "cost price fee charge rate amount pay much total"),
    ("how long", "how long", "time duration length period long take last"), ("how often", "how often", "frequency often times"), ("how old", "how old", "age old"),
    ("how far", "how far", "distance far"), ("how tall|how high", "how high", "height tall high"), ("how big|how large", "how big", "size big large"),
    ("how (?:fast|quick|quickly|soon)", "how fast", "speed fast quick soon"),
    ("how come", "why", "reason"), ("how", "how", "way method step process procedure instruction"), ("why", "why", "reason cause"),
    ("what time|what date|what day|which day|what year|which year|when", "when", "time date day deadline year when"),
    ("where|what place|which place|what location", "where", "place location address find country city"), ("who|whom|which person", "who", "person name people country team company"), ("whose", "whose", ""),
    ("what is the (?:price|cost|fee|charge|rate)|what are the (?:prices|costs|fees|charges|rates)|what (?:price|fee)|what (?:do|does) .{1,40} (?:cost|charge)", "how much", ""),
    ("what is the (?:best |easiest |right |correct )?(?:way|process|procedure|method)|what (?:are|is) the steps?|what (?:do|should|must|can|would) (?:i|we|you) (?:need to |have to )?do to", "how", ""),
    ("what is the (?:reason|cause)", "why", ""), ("what is the (?:number|amount) of", "count", ""), ("what is the (?:deadline|date|time)", "when", ""), ("what is the address", "where", ""),
    ("what is the (?:age|minimum age)", "how old", ""), ("what|which", "what", ""),
)  # fmt: skip
_KIND = re.compile(
    "|".join(
        f"(?P<k{n}>\\b(?:{pattern})\\b)"
        for n, (pattern, _, _) in sorted(enumerate(_KINDS), key=lambda one: -len(one[1][0]))
    )
)
_YES_NO = re.compile(
    r"^(?:is|are|was|were|do|does|did|can|could|will|would|should|may|might|must|has|have|had|am|shall)\b"
)
_POSSIBLE_HOW = re.compile(r"^(?:is there (?:a|any) way|(?:would|do) (?:you )?(?:know how))\b")


_ALL_CAPITALS = re.compile(r"\b[A-Z]{2,5}\b")


@frozen
class Word:
    """One word of content: as it stands in lower case, the words before and behind it, and whether it is a name.

    ``short``: a name in capitals alone, so more likely initials.
    """

    text: str
    before: str
    behind: str
    name: bool
    filler: bool
    short: bool = False


@define(eq=False, slots=False)
class Reading:
    """A text, read when somebody first asks what it says: most are only compared by their words."""

    text: str
    normal: str = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.normal = normalised(self.text)
        if _ALL_CAPITALS.search(self.text) is not None:
            for word in sorted(self.capitals & FUNCTION):  # US is another word than us
                self.normal = re.sub(rf"\b{word}\b", word.upper(), self.normal)

    @cached_property
    def bare(self) -> str:
        """The question without what surrounds it, in lower case."""
        low = asked(lowered(plain(self.text)))
        low = _JOINED.sub(r"\1", asked(_LETTERS_ONLY.sub(self._spelt, low)))
        for pattern, word in _PHRASES:
            low = pattern.sub(word, low)
        return low

    @cached_property
    def tokens(self) -> tuple[str, ...]:
        """Its words and numbers in their order."""
        return tuple(_TOKEN.findall(self.bare))

    def _spelt(self, match: re.Match[str]) -> str:
        """A small word or a day, month or time of day that was meant, where what stands there is no word nor a name."""
        word = match[0]
        if word in FUNCTION or english().knows(word):
            return word
        mended = _SHORT.get(word) or meant(word)
        # Days and months are written as names are.
        return word if word in self.names and mended.rstrip("s") not in WHEN else mended

    @cached_property
    def names(self) -> frozenset[str]:
        """Words that are written as names are: with capitals, in a text that is not all so, and not where one begins."""
        words = list(re.finditer(r"[^\W\d_]+", plain(self.text)))
        capital = [match for match in words if match[0][0].isupper()]
        if len(capital) > 0.6 * len(words) and len(words) > 3:
            return frozenset()
        text = plain(self.text)
        begins = {match.end() for match in re.finditer(r"(?:^|[.!?:]\s|\n)[\s\"'(]*", text)}
        return frozenset(
            match[0].casefold() for match in capital if match.start() not in begins and match[0] not in ("I", "OK")
        )

    @cached_property
    def capitals(self) -> frozenset[str]:
        """Names of up to five letters, all of them capitals."""
        return frozenset(word.casefold() for word in _ALL_CAPITALS.findall(plain(self.text))) & self.names

    @cached_property
    def words(self) -> tuple[Word, ...]:
        """Its words of content."""
        found, tokens = [], self.tokens
        known = english()
        for at, token in enumerate(tokens):
            if (
                not token[0].isalpha()
                or (token in FUNCTION and not (len(token) == 1 and token in self.names))
                or token in STRICT
                or token in WHEN
                or token.rstrip("s") in WHEN
                or token in _PARTS
            ):
                continue
            previous = tokens[at - 1] if at else ""
            if token in UNITS and previous[-1:].isdigit():
                continue
            forms = known.forms(token)
            filler = token not in self.names and (token in FILLER or (bool(forms) and forms <= FILLER))
            found.append(
                Word(token, previous, tokens[at + 1] if at + 1 < len(tokens) else "", token in self.names, filler)
            )
        return tuple(found)

    @cached_property
    def strict(self) -> frozenset[str]:
        """Small words that must stand on both sides."""
        return frozenset(token for token in self.tokens if token in STRICT) | frozenset(
            token for token, behind in pairwise(self.tokens) if token in _MEASURING and behind[-1].isdigit()
        )

    @cached_property
    def numbers(self) -> tuple[str, ...]:
        """Its numbers in rising order of their spelling, ordinals and parts included."""
        found = []
        for token in self.tokens:
            if token[-1].isdigit():
                found.append(_number(token.lstrip("£$€¥")))
            elif token in _ORDINALS and token not in ("first", "second"):
                found.append(f"{_ORDINALS[token]}")
            elif token in _PARTS:
                found.append(_PARTS[token])
        return tuple(sorted(found))

    @cached_property
    def units(self) -> frozenset[str]:
        """The units of its numbers, and other units that are named."""
        found, before = set(), ""
        for token in self.tokens:
            behind_number = before[-1:].isdigit()
            if token[0] in "£$€¥" and len(token) > 1:
                found.add(UNITS[token[0]])
            if token in UNITS and (
                behind_number or (token not in _LETTERS and UNITS[token] not in ("person", "user", "in"))
            ):
                found.add(UNITS[token])
            before = token
        return frozenset(found - {"am", "pm"})

    @cached_property
    def when(self) -> frozenset[str]:
        """Days, months, seasons and times of day in it."""
        found = {token.rstrip("s") if token.rstrip("s") in WHEN else token for token in self.tokens}
        found &= WHEN
        if "may" in found and "may" not in self.names:
            found.discard("may")
        if "am" in found and not re.search(r"\d\s?am\b", self.bare):
            found.discard("am")
        if found & {"morning", "afternoon", "evening", "night"} and self.numbers:
            half = "am" if "morning" in found else "pm"
            found = found - {"morning", "afternoon", "evening", "night"} | {half}
        return frozenset(found)

    @cached_property
    def negations(self) -> int:
        """How often it says no, without prefixes."""
        return sum(token in _NEGATIVE for token in self.tokens)

    @cached_property
    def code(self) -> frozenset[str]:
        """What looks like code in it, as it is written."""
        return (
            frozenset(_CODE_TOKEN.findall(self.text)) if looks_like_code(self.text) or "_" in self.text else frozenset()
        )

    @cached_property
    def kind(self) -> str:
        """What is asked for: what, how, how much, when, where, why, who, yes or no, or "" where that cannot be told."""
        bare = self.bare
        if _POSSIBLE_HOW.match(bare):
            return ""
        if _YES_NO.match(bare):
            return "yes or no"
        match = _KIND.search(bare)
        if match is None or match.lastgroup is None:
            return ""
        return _KINDS[int(match.lastgroup[1:])][1]

    @cached_property
    def kind_words(self) -> frozenset[str]:
        """Words that only say again what is asked for."""
        return frozenset(word for _, kind, words in _KINDS if kind == self.kind for word in words.split())


@lru_cache(maxsize=4096)
def meant(token: str) -> str:
    """What *token*, no word of English, is with a slip of the pen: a small word or a time of day; else *token*.

    Of short words only two letters that changed places are mended: too many names are near those.
    """
    for word in _SMALL:
        near = sorted(word) == sorted(token) or (len(word) > 4 and word[0] == token[0])
        if near and slips(token, word) == 1:
            return word
    return token


def _number(text: str) -> str:
    if ":" in text:
        return text.removesuffix(":00")
    try:
        return f"{float(text):g}" if text.count(".") < 2 else text
    except ValueError:
        return text
