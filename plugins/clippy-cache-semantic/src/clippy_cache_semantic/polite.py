"""What only surrounds a question: greetings, hesitation, wishes to be told, thanks.

Each is taken away only where it can be nothing else.  "Hello, how ..." greets; "Hello in Spanish" and "Hello lyrics" speak
of the word, and "All dogs", "Right angle" and "Team building" begin with what is asked about.  So a greeting needs a
mark behind it or the beginning of a question, and thanks at the end are none behind "say" or "the".  Where the text
speaks of politeness, or gives another text to work on, nothing is taken away: no guard looks at what is gone.
"""

# ruff: noqa: E501 (lists of words)

from __future__ import annotations

import re

_ASKING = r"(?:how|what|who|whom|whose|when|where|why|which|if|whether)\b"
_OPENS = (
    rf"(?:{_ASKING}|(?:is|are|am|was|were|do|does|did|can|could|will|would|should|shall|may|might|must|has|have|had|i|we|my|our|any|someone|"
    r"please|pls|plz|kindly|tell|explain|let|show|give|help|need|just|quick|question|hope|hoping|trying|apologies|excuse|sorry|hi|hello|hey|so)\b)"
)
"""What a question, or another greeting, begins with."""
_MARK = r"(?:\s*[,;.!?]+(?:\s+-+(?=\s))?|\s+-+(?=\s)|-+(?=\s))\s*"
"""Neither a colon, behind which a text may be given, nor what joins two words: "Well-being"."""
_MAYBE = rf"(?:{_MARK})?\s*"
_GAP = rf"(?:{_MARK}|\s+(?={_OPENS}))"
"""Behind what surrounds a question: a mark, or the question itself."""
_PLEASED = (
    r"(?:an?|my|your|his|her|our|their|every\w+|some(?:one|body)|any(?:one|body)|yourself|both|people|women|men|\d+)\b"
)
"""Whom one pleases: "How do you please a crowd?"."""
_YOU = r"(?:you|anyone|someone|anybody|somebody)"
_SOFT = r"(?:please |kindly |possibly |just |be able to |be so kind as to )*"
_TELL = (
    rf"(?:(?:help|let) (?:me|us) (?:figure out|work out|find out|see)(?= {_ASKING})|(?:show|teach|remind|inform) (?:me|us)(?= {_ASKING})"
    rf"|(?:(?:tell|let|help|advise) (?:me|us)|explain to (?:me|us))(?: (?:know|understand))?|help(?={_MARK}))"
)
_LEARN = r"(?:know|ask(?: you)?|find out|figure out|work out|learn|understand|check)"
_ALL = "team|all|everyone|everybody|folks|guys|friends"
_WHOM = rf"(?:again|there|{_ALL}|friend|mate|both|sir|madam|to you(?: all)?|support)"
_WEEKDAY = "(?:mon|tues|wednes|thurs|fri|satur|sun)day"
_DULL = r"(?:quick|short|small|silly|stupid|dumb|daft|basic|simple|random|general|brief)"
_BEFORE = re.compile(
    "^(?:" + "|".join((
        rf"(?:hi|hiya|hello|hey|heya|howdy|yo|g'day|greetings|good (?:morning|afternoon|evening|day))(?:,? {_WHOM}\b)*(?:\s*[;.!?]+\s*|\s+-+\s+|[\s,]+(?={_OPENS}))",
        rf"(?:morning|afternoon|evening|{_ALL}|happy (?:{_WEEKDAY}|new year))(?: {_WHOM}\b)*\s*[,.!]+\s*(?={_OPENS})",
        rf"dear (?:sir or madam|sirs?|madam|(?:\w+ ){{0,2}}(?:team|all|everyone|support|service|colleagues?|friends?)){_GAP}",
        rf"(?:sorry|apologies|excuse me|forgive me) (?:to (?:bother|disturb|trouble) you|for (?:bothering|disturbing|troubling) you|for (?:asking|the bother)|if this is an? (?:\w+ ){{1,2}}question)(?:{_MARK}| )(?:but )?",
        rf"(?:um+|uh+|erm+|hmm+)(?:(?:,|\.{{2,}}|\s+-+)\s+|\s+(?=(?:so )?{_ASKING}))",
        rf"(?:well|so|ok|okay|right|sorry|excuse me|pardon me|apologies|help|please help|just curious|out of curiosity){_GAP}",
        rf"(?:(?:i|we) (?:have|have got|had) )?(?:just )?(?:an? |another |one )?(?:{_DULL} (?:question|query|one)|question|query)(?: for you)?(?:(?:{_MARK}|\s*:\s*)(?:but )?| but )(?={_OPENS})",
        rf"(?:i )?(?:hope|trust|hoping) (?:you|all|this|everything|everyone)\b[^,.!?]{{0,30}}\b(?:well|good|fine|ok|okay|great|safe|day|week|weekend){_MARK}",
        rf"(?:i )?(?:just )?need (?:some |a bit of |your )?help(?: please)?{_MARK}",
        rf"if (?:you (?:do not mind|can|could|would)(?: me asking)?|i (?:may|might|can)(?: ask)?|possible|it is not too much (?:trouble|to ask)){_MARK}",
        r"(?:please|pls|plz|kindly)(?:\s*[,.!]+\s*|\s+(?!(?:please|me|mr|mrs|is|was|in|into|and|or|by|as|of|for|mean|means|meaning|vs|versus)\b)(?=\w))",
        rf"(?:can|could|would|will|may|might) {_YOU} {_SOFT}{_TELL}\b(?: please)?{_MAYBE}",
        rf"(?:can|could|would|will) you (?:please|pls|plz|kindly)\b(?! {_PLEASED})\s*",
        rf"(?:please |do )?(?:tell|let) me know\b{_MAYBE}|tell me\b{_MAYBE}",
        rf"(?:please )?(?:show|teach|explain to) me (?={_ASKING})",
        rf"(?:can|could|may|might) i (?:please |just )?ask(?: you)?{_GAP}",
        rf"(?:do|does) (?:{_YOU}) (?:happen to )?know\b\s*",
        rf"any idea\b{_MAYBE}|any chance (?:that )?you (?:can|could|might) (?:tell me|know)\b\s*",
        rf"would you mind (?:telling me|letting me know|explaining|showing me)\s+(?={_ASKING}|the\b)",
        rf"(?:i|we) (?:just |really )?(?:would (?:like|love)|want|wanted|wish|need) to (?:know\b{_MAYBE}|ask(?: you)?{_GAP})",
        rf"(?:(?:i|we) )?(?:just )?(?:would (?:like|love)|want|wanted|need|(?:am |are |was |were )?(?:trying|hoping|looking)) to {_LEARN}\s+(?={_ASKING})",
        r"(?:i|we) (?:was|am|were|are) hoping (?:that )?you (?:can|could|would|might) (?:please )?(?:tell me|let me know)\b\s*",
        r"i would be (?:very |really |most )?(?:grateful|glad|happy|thankful) if you (?:could|would|can) (?:please )?(?:tell me|let me know)\b\s*",
        rf"(?:i (?:was |am )?|just )(?:just )?(?:wonder|wondering)\b(?: if you (?:could|can|would|might) (?:please )?(?:tell me|let me know))?{_MAYBE}",
        rf"i (?:am not (?:quite )?sure|do not (?:really )?know|have no idea) (?={_ASKING}[^,;:.?!]*[.?!\s]*$)",
    )) + ")"
)  # fmt: skip
_THANKFUL = (
    r"(?: (?:a lot|a million|again|so much|very much|in advance|mate|guys|all|everyone|folks|team))*"
    r"(?: for (?:your|any|the|all your) (?:\w+ )?(?:help|time|support|assistance|answer|reply|patience))?(?: in advance)?"
)
_THANKS = rf"(?:(?:many )?thanks|thank you|thx){_THANKFUL}"
_BEHIND = re.compile(
    rf"(?<![\s,:;.!?-])(?P<mark>[\s,:;.!?-]+)(?:(?P<word>please|pls|plz|kindly|{_THANKS}|if possible|if you (?:do not mind|can|could)|(?:best |kind |many )?regards|please and thank you|much appreciated)"
    rf"|(?P<said>(?:cheers|ta|ty|tia){_THANKFUL}"
    r"|if i (?:may|might|can) ask|if you (?:do not mind|would)(?: me asking)?|any (?:help|advice|ideas?|pointers|tips|thoughts)(?: (?:is|are|would be|will be))?(?: (?:much|greatly|really))?(?: (?:appreciated|welcome|please))?"
    r"|(?:i am )?look(?:ing)? forward to (?:your|hearing)(?: \w+){1,3}|have an? (?:nice|good|great|lovely|pleasant) (?:day|one|week|weekend|evening|afternoon)"
    r"|do you (?:happen to )?know|does any(?:one|body) know|can (?:you|any(?:one|body)|some(?:one|body)) (?:please )?help(?: me)?(?: out)?(?: please)?|please (?:help|advise)|help(?: please)?|(?:just )?(?:curious|wondering)|asking for a friend|i would appreciate (?:any|your|the|some) \w+|(?:i )?hope you can help))[\s,:;.!?-]*$"
)
"""Words may follow the question as they are; sentences, and words that are more than thanks, only behind a mark."""
_TITLE = re.compile(
    r"\b(?:show|series|sitcom|movie|film|musical|play|song|single|track|album|band|book|novel|game|episode|called|named|titled|entitled|sang|sings|recorded|directed)$"
)
"""Behind these comes a name, if no sentence ends between: "the show Cheers", "the movie, Help"."""
_SPEAKS_OF = re.compile(
    r"\b(?:say|says|saying|said|word|phrase|term|write|writes|spell|spells|pronounce|translate|means?|like|with|as|a|an|the|of|or|and|to|for|in|by|called|named|not|than|is|are|between|from)[\s'\"]*$"
)
"""Behind these a thank you is what is spoken of."""
_INNER = re.compile(
    r"(?<=\s)(?<!\bsay\s)(?<!\bword\s)(?<!\bdoes\s)(?<!\bphrase\s)(?<!\bterm\s)(?<!\bspell\s)(?<!\btranslate\s)(?<!\bpronounce\s)(?<!\bto\s)(?<!^is\s)"
    rf"(?:please|kindly|pls|plz)(?=\s(?!(?:means?|in|into|and|or|is|as)\b|{_PLEASED}))|,\s*(?:um+|uh+|erm+|hmm+)(?=\s*,)"
)
"""Hesitation within only between marks: um is a unit and a university, uh another one, er a ward and a word of many languages."""

_OBJECT = re.compile(
    r"\b(?:say|spell|pronounce|translate|write) (?:it|that|this|those)\b|\b(?:it|that|this) means?\b"
    r"|\b(?:im)?polite|\b(?:rude|courte|sentiment|gramma|manners\b|sarcas|(?:in)?formal|rhyme|adverb|adjective|prefix|suffix)|\btone\b"
    r"|\b(?:re-?writ|rephras|reword|paraphras|proofread|translat|classif|summari[sz]|summary)"
)
"""Of these the greeting is what is asked about: "Good morning! How do you say that in Welsh?", "Is it rude to ...?"."""
_TASK = re.compile(
    r"(?:please|pls|plz|kindly),? (?=(?:translate|rewrite|re-write|rephrase|reword|paraphrase|proofread|classify|summari[sz]e)\b)"
)
"""Before the verb it can only be addressed to who does it."""
_GIVEN = re.compile(r"(?<!\d):(?!//)\s*[^\s]|:\s+[^\s]|\"\s*[^\s]|(?<!\w)'(?=\w)")
"""A text behind a colon or within quotation marks, which is to be left as it is."""


def asked(text: str) -> str:
    """*text* (lowered) without greeting, thanks and what else only surrounds the question."""
    words = " ".join(text.split())
    if _OBJECT.search(words) is not None:
        return words[task.end() :] if (task := _TASK.match(words)) is not None else words
    bare = words
    while (found := _BEFORE.match(bare)) is not None and found.end() < len(bare):
        bare = bare[found.end() :].lstrip(" ,:;.!?-")
    if _GIVEN.search(bare) is not None:
        return words
    while (found := _BEHIND.search(bare)) is not None:
        rest, mark = bare[: found.start()], found["mark"]
        marked, ended = mark.strip(" -") or (" " in mark and "-" in mark), any(end in mark for end in ".!?")
        if mark == "-" or (not ended and _TITLE.search(rest)):
            break
        if not marked and (found["said"] or rest.count(" ") < 2 or _SPEAKS_OF.search(rest)):
            break
        bare = rest
    bare = _INNER.sub("", bare)
    return bare if len(bare) > 3 else words
