"""What a value looks like: a stand-in somebody wrote, a word, a digest, or something a machine generated.

These tests are only asked where a name, a header or a known prefix already says that a secret may stand here; a value
is never judged by its entropy alone, which takes out hashes and ids and misses passwords.
"""

from __future__ import annotations

import re

_STAND_IN = re.compile(
    r"""
    [\s*x.•_#?)\]},;-]*+\Z                              # ***, xxxx, ..., ----, and what closes a call
  | \*[A-Za-z][\w-]*+\Z                                # of YAML: what an anchor has named
  | <[^<>]*+>\Z | \{+[^{}]*+\}+\Z | \$[({].* | \$[A-Za-z_]++\Z | \$env:.* | %[\w()]*[%s]\Z
  | \[[A-Za-z][A-Za-z0-9_:, -]*+\]?\Z                  # [redacted:x], [FILTERED], [secure]
  | (?:null|none|nil|undefined|nan|true|false|yes|no|on|off|str|string|text|bytes|bool|boolean|int|integer|number|float
     |object|array|list|dict|any|optional|required|missing|empty|unset|blank|invalid|expired|password|passwd|pass|secret|token
     |value|hidden|masked|secretstr|changeme|change_me|change-me|var|ref|self|env|prompt|plain|plaintext|n/a|tbd
     |obligatoire|requise?|manquante?|incorrecte?|invalide|expirée?|vide|erforderlich|pflichtfeld|fehlt|falsch|ungültig
     |leer|obligatori[oa]|requerid[oa]|incorrect[oa]|inválid[oa]|vac[ií]o|obrigatóri[oa]|necessári[oa]|obbligatori[oa]
     |richiest[oa]|verplicht|vereist|ongeldig|wymagane|обязательно|неверный|必須|必填|필수
     |basic|bearer|digest|header|cookie|query|apikey|api_key|api-key|oauth2?|openidconnect|mutualtls)\Z
    """,
    re.VERBOSE | re.IGNORECASE | re.ASCII | re.DOTALL,
)
_MASKED = re.compile(
    r"\.\.\.|…|\*\*\*|•••|x{6}|X{6}|\{\{|\$\{|EXAMPLE(?:KEY)?\Z"
    r"|(?:\A|[-_ .:/<])(?i:your|yours|example|placeholder|redacted|dummy|insert|replace|todo|sample|fake|goes[-_ ]here"
    r"|changeme|key[-_ ]here|token[-_ ]here|secret[-_ ]here)(?:\Z|[-_ .:/>])",
    re.ASCII,
)
_WORDS = re.compile(r"[A-Za-z]++(?:[-_. ][A-Za-z]++)*+[-_]?\d{0,3}\Z", re.ASCII)
_PART = r"[A-Z]?[a-z]++(?:[-_.][A-Z]?[a-z]++)*+[-_]?\d{0,2}"
_ROUTE = re.compile(rf"/?{_PART}(?:/{_PART})++/?\Z", re.ASCII)
_PATH = re.compile(r"[A-Za-z_]\w*+(?:\.[A-Za-z_]\w*+)*+\Z", re.ASCII)
_DIGEST = re.compile(
    r"(?:sha\d+[:-])?(?:[0-9a-f]{32}|[0-9a-f]{40}|[0-9a-f]{56}|[0-9a-f]{64}|[0-9a-f]{96}|[0-9a-f]{128})\Z"
    r"|[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}\Z",
    re.IGNORECASE | re.ASCII,
)
_SENTENCE = re.compile(
    r"\b(?:the|an?|is|are|be|been|was|must|should|may|can|cannot|not|too|at|of|for|to|from|with|and|or|in|on|your|this"
    r"|that|please|enter|required|invalid|incorrect|field|least|characters?|digits?"
    r"|doit|être|caractères|obligatoire|muss|darf|nicht|mindestens|zeichen|debe|caracteres|deve|caratteri|moet|tekens)\b",
    re.IGNORECASE | re.ASCII,
)
_UNDIVIDED = re.compile(r"[A-Za-z0-9]{16,}+", re.ASCII)
_NUMBER = re.compile(r"[0-9]++", re.ASCII)
_RISE = re.compile(r"[a-z][A-Z]|[A-Z]{2}[a-z]", re.ASCII)
_DIGIT = re.compile(r"[0-9]", re.ASCII)
_LETTER = re.compile(r"[A-Za-z]", re.ASCII)


def is_stand_in(value: str) -> bool:
    """Whether *value* only stands for a secret: ``YOUR_API_KEY``, ``<token>``, ``${KEY}``, ``sk-...``, ``null``."""
    return bool(_STAND_IN.match(value) or _MASKED.search(value))


def is_words(value: str) -> bool:
    """Whether *value* is plain words joined by dashes, dots, underscores or spaces, as in ``my-api-key``."""
    return bool(_WORDS.match(value)) and not is_random(value, 0)


def is_route(value: str) -> bool:
    """Whether *value* is words joined by slashes, some with a number at their end: ``oauth2/google``."""
    return bool(_ROUTE.match(value))


def is_sentence(value: str) -> bool:
    """Whether *value* is prose: several words, one of them a word that no passphrase would hold."""
    return value.count(" ") >= 2 and bool(_SENTENCE.search(value))


def is_digest(value: str) -> bool:
    """Whether *value* is a hash in hexadecimal or a UUID: what ids and cache keys look like."""
    return bool(_DIGEST.match(value))


def is_code(value: str, after: str) -> bool:
    """Whether an unquoted *value*, followed by the character *after*, is an expression in a program."""
    if after and after in "([":
        return bool(_PATH.match(value))
    return (
        bool(_PATH.match(value)) and "." in value and all(is_words(part.strip("_") or "x") for part in value.split("."))
    )


def is_random(value: str, minimum: int) -> bool:
    """Whether *value* has no spaces, *minimum* characters, and digits among letters or capitals among small letters."""
    if len(value) < minimum or " " in value:
        return False
    if _DIGIT.search(value):
        return bool(_LETTER.search(value))
    # Words in camel case have about one capital in eight letters, random letters one change of case in three.
    rises = len(_RISE.findall(value))
    return rises >= 3 and len(value) <= 7 * rises


def is_mixed(value: str, minimum: int) -> bool:
    """Whether *value* has *minimum* characters, with digits, capitals and small letters among them."""
    return len(value) >= minimum and bool(_DIGIT.search(value)) and value != value.lower() and value != value.upper()


def is_made(value: str) -> bool:
    """Whether *value* is no hash and has a part longer than words are, with letters between its digits.

    For places where anything may stand: names of programs (``Billing2024Overview``) have a number or two at their ends.
    """
    parts = _UNDIVIDED.findall(value)
    return not is_digest(value) and any(len(_NUMBER.findall(part)) >= 2 and _LETTER.search(part) for part in parts)
