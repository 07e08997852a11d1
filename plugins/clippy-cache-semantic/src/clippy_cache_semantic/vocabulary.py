"""The words that the rules of this package know by name: those that tie, measure, say when and ask.

From general knowledge of English; nothing here is taken from a set of data.
"""

# ruff: noqa: E501 (lists of words)

from __future__ import annotations

import re

from .letters import words

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
    "exactly actually currently usually normally typically generally really simply basically",
    "possible possibly possibility able available allow allowed permitted supposed specific particular various etc anyway specifically",
    "way need want like wish try know tell help wonder ask question process procedure method step happen thing sure ok okay",
    "go going get make take give use set put look looking offer exist person people actual exact main such per kind sort type quite very",
    "around everyday ever properly correctly easily best",
)
"""Words of content that hardly ever tell two questions apart."""

STRICT = words(
    "before after until till since except without against off outside beyond despite instead per only all every each both either",
    "first last next previous more less most least else down",
)
"""Small words that change what is asked: they must stand on both sides."""
MEASURING = words("under over above below within beneath beyond between up by")
"""The same, where a number follows."""
FACING = (
    ("before", "after"), ("over", "under"), ("above", "below"), ("inside", "outside"), ("in", "out"), ("on", "off"), ("up", "down"),
    ("into", "out"), ("with", "without"), ("more", "less"), ("most", "least"), ("first", "last"), ("previous", "next"),
)  # fmt: skip
"""Small words that face each other: what one side has of such a pair the other side may not have turned round."""

ARTICLES = words("a an the my our your his her its their this that these those")
OPENING = words("if when because since while although though once unless so but whenever whether")
"""Words that a clause begins with."""
ARTICLE = frozenset("a")
LETTER_BEFORE = {"", *words("from to by and or with into minus plus times over in of on for than is")}
"""Where one of these or nothing follows, *a* is a letter and no article."""
NEGATIVE = words("not no never without nor neither none nothing nobody nowhere hardly barely")
MONTHS = (
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
DAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
WHEN = words(
    " ".join((*MONTHS, *DAYS)),
    "today tomorrow yesterday tonight morning afternoon evening night noon midnight weekend weekday spring summer autumn winter",
    "christmas easter am pm",
)
"""Days, months, seasons and times of day."""
SMALL = sorted(word for word in FUNCTION | STRICT | WHEN | {day + "s" for day in WHEN} if len(word) > 2)
LETTERS_ONLY = re.compile(r"[^\W\d_]{3,}")
SHORT = {month[:3]: month for month in MONTHS if month != "may"} | {day[:3]: day for day in DAYS}
SHORT |= {"sept": "september", "tues": "tuesday", "thur": "thursday", "thurs": "thursday"}
del SHORT["sat"], SHORT["sun"], SHORT["mar"]  # words of their own
UNIT_NAMES = (
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
UNITS = {word: names.split()[0] for names in UNIT_NAMES for word in names.split()}
"""Units of measure by their spellings."""
LETTERS = frozenset(["g", "t", "m", "l", "h", "s", "c", "f", "k", "w", "v", "in"])
"""Units of one letter or that are also words: only right behind a number."""
ORDINALS = dict(
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
PARTS = {
    "half": "0.5",
    "quarter": "0.25",
    "dozen": "12",
    "twice": "2x",
    "double": "2x",
    "triple": "3x",
    "thrice": "3x",
}

PHRASES = tuple(
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
REWORDED = (
    (re.compile(r"^([a-z][\w+#.]*)\s?:\s+([^:]+?)([?.!\s]*)$"), r"\2 in \1\3"),
    (re.compile(r"\b([a-z]{2,})-(off|up|in|out|down|on|over|back)\b"), r"\1\2"),
    (
        re.compile(
            r"^(?:(?:can|could|would|will) you )?(?:explain|define) (?:to me |for me )?(?:the (?:term|meaning of|concept of) |what )?(?!how\b|why\b|when\b|where\b|who\b)(.+?)(?: (?:is|are|means?))?([\s?.!]*)$"
        ),
        r"what is \1\2",
    ),
    (re.compile(r"^(?:(?:can|could|would|will) you )?explain (?:to me )?(?=(?:how|why|when|where|who)\b)"), ""),
    (
        re.compile(
            r"^what steps (?:(?:do|should|must|can|would) (?:i|we|you|one) (?:need to |have to )?(?:follow|take)|are (?:needed|required|necessary)) to\b"
        ),
        "how do i",
    ),
    (
        re.compile(
            r"\b(i|we|you|to|one) (set|sign|log|back|check|turn|switch|shut|sort|pick|fill)(up|in|on|off|out|down)\b"
        ),
        r"\1 \2 \3",
    ),
    (re.compile(r"\b(log|sign)(s|ged|ging|ned|ing)? into\b"), r"\1\2 in to"),
    (
        re.compile(
            r"^(?:for )?how long (?:do|does|did|will|would|can|may) (.+?) (?:stay|remain) (?!(?:in|on|at|up|down|out|off|for|with|to|from|by|under|over|of|around|behind|here|there|inside|outside|between|within|after|before|until|if|when|and|or)\b)(?=[a-z])"
        ),
        r"how long is \1 ",
    ),
    (re.compile(r"\bin order to\b"), "to"),
    (re.compile(r"\bcapital city\b"), "capital"),
    (re.compile(r"\b(status|error) code (?=\d)"), r"\1 "),
    (
        re.compile(
            r"\b(csv|pdf|json|xml|zip|html|docx?|xlsx?|jpe?g|png|gif|svg|txt|yaml|mp3|mp4)(?: file| document)s?\b"
        ),
        r"\1",
    ),
    (
        re.compile(
            r"\b(phone|telephone|order|account|tracking|serial|model|invoice|flight|ticket|house|room|reference|ref) no\b\.?"
        ),
        r"\1 number",
    ),
)
"""The same asked in a way of its own: other words for what, how and which one."""
MUST = re.compile(
    r"\b(?:must|need|needs|(?:have|has|had) to|required?|obliged|obligatory|mandatory|compulsory|necessary)\b"
)
MAY = re.compile(r"\b(?:can|could|may|might|able|possible|allowed?|permitted)\b")
"""What must be and what may be."""
KINDS = (
    ("how many", "count", "number amount quantity"), ("how much (?:time|longer)|how many (?:seconds|minutes|hours|days|weeks|months|years)", "how long", ""), ("how much", "how much", "cost price fee charge rate amount pay much total"),
    ("how long (?:has|have|had) (?!(?:i|we|you|they) got\\b)", "how long so far", ""), ("how long", "how long", "time duration length period long take last second minute hour day week month year seconds minutes hours days weeks months years"), ("how often", "how often", "frequency often times"), ("how old", "how old", "age old"),
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
QUANTITIES = {
    "count", "how much", "how long", "how often", "how old", "how far", "how high", "how big", "how fast",
}  # fmt: skip
"""Kinds of question that ask for a number."""
KIND = re.compile(
    "|".join(
        f"(?P<k{n}>\\b(?:{pattern})\\b)"
        for n, (pattern, _, _) in sorted(enumerate(KINDS), key=lambda one: -len(one[1][0]))
    )
)
YES_NO = re.compile(
    r"^(?:is|are|was|were|do|does|did|can|could|will|would|should|may|might|must|has|have|had|am|shall)\b"
)
POSSIBLE_HOW = re.compile(r"^(?:is there (?:a|any) way|(?:would|do) (?:you )?(?:know how))\b")
