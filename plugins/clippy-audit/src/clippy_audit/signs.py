"""How texts say that a value follows: the nouns that name secrets, and what stands between a name and its value."""

from __future__ import annotations

import re

# Searched in small letters: without IGNORECASE the engine skips every place that no noun can begin at.
NOUN = re.compile(
    r"(?:pass(?:w?ord|w(?:or)?d|phrase|code|wort)?|pwd|pat|secret(?:[_-]?(?:key[_-]?)?base)?|sig(?:nature)?|sas|senha|set-cookie|token"
    r"|key(?:[_-]?(?:id|data))?|cookie|credential|code|contrase[ñn]a|auth(?:orization)?|assertion|jwt|bearer"
    r"|p(?:w|sk)|passe(?<=mot.de.passe)|by(?<=identified by)|kennwort"
    r"|twoord(?<=wachtwoord)|密码|密碼|口令|密钥|パスワード|비밀번호|пароль|hasło"
    r"|senord(?<=lösenord)|adgangskode|salasana|heslo|jelszó|kata sandi|şifre|khẩu(?<=mật khẩu)|κωδικός|סיסמה|पासवर्ड"
    r"|كلمة (?:ال)?(?:مرور|سر)|รหัสผ่าน"
    r"|cl[ée] api|c(?:lave|have) (?:de )?api|ключ api|api(?:-| )?schlüssel|api ?(?:キー|키))s?(?![a-z0-9])"
)
# Those that would begin with a new letter are known by a later one: each first letter costs time in every text.
# One of these is in every noun; most texts hold none, and then the pattern has nothing to look for.
STEMS = (
    "pass", "pwd", "pat", "secret", "sig", "sas", "senha", "token", "key", "cookie", "credential", "code", "contrase",
    "auth", "assertion", "jwt", "bearer", "kennwort", "wachtwoord", "pw", "psk",
    "identified", "senord", "adgangskode", "salasana", "heslo", "kata sandi", "passord", "cle api", "clave", "chave",
)  # fmt: skip
FOREIGN_STEMS = (
    "密码", "密碼", "口令", "密钥", "パスワード", "비밀번호", "пароль", "hasło", "jelszó", "şifre", "khẩu", "κωδικός",
    "סיסמה", "पासवर्ड", "كلمة", "รหัสผ่าน", "clé api", "ключ api", "schlüssel", "キー", "키",
)  # fmt: skip
_TYPE = r"(?:str|string|String|bytes|SecretStr|Optional\[str\]|str[ ]\|[ ]None|&str|const[ ]char[ ]\*)"
# What may stand between the sign and the value: the end of a line before a string of its own, and what YAML says of it.
_BREAK = r"[ \t]{0,8}\r?\n[ \t]{1,40}(?=[bruBRU]?[\"'])"
_YAML = r"!!?[a-z]{1,12}[ ]{1,4}(?=\S)|&[\w-]{1,20}[ ]{1,4}|[|>][+-]?[ ]{0,2}\r?\n[ ]{1,20}"
SIGN = re.compile(
    rf"""
    (?P<xml>(?:["']|[ ][^<>\n]{{0,60}})?>(?<![-=]>)\s{{0,8}})
  | (?P<pair>["']\s{{0,3}},?\s{{0,20}}["']?value["']?\s{{0,3}}[:=]\s{{0,3}})   # {{"name": "API_KEY", "value": "..."}}
  | (?P<inner>\\*+["']\s{{0,3}}:\s{{0,3}}\{{\s{{0,40}}\\*+["']value\\*+["']\s{{0,3}}:\s{{0,3}})  # "key": {{"value":
  | (?P<meta>["']\s{{1,3}}content=(?=["']))                                   # <meta name="token" content="...">
  | (?P<block>["']\s{{0,3}}\{{\s{{0,40}}(?:[a-z]{{1,20}}[ ]{{0,20}}=[^\n{{}}]{{0,80}}\n\s{{0,40}}){{0,6}}
      default[ ]{{0,20}}=[ ]{{0,8}})                                           # variable "key" {{ default = "..." }}
  | (?P<apart>["'`*]{{0,3}}[ \t]{{0,8}}:\*{{0,2}}[ \t]{{0,8}}(?:\r?\n[ \t]{{0,8}}){{1,2}}`?(?=[\w+/=.~-]{{12}})
      | [ ]\((?=[\w-]{{12}}) | </[a-z]{{1,12}}>\s{{0,20}}<[a-z]{{1,12}}>)      # below; (...); <key>it</key><string>...
  | (?P<cell>`?[ \t]{{0,8}}\|[ \t]{{0,8}}`?)                                  # | API_KEY | ... | in a table
  | (?P<call>\([ ]{{0,2}}(?=["']))                                           # .apiKey("...")
  | (?P<yaml>["']?:?\r?\n[ ]{{0,20}}value:[ ])                                  # - name: API_KEY, then value: ...
  | (?P<form>"\r?\n\r?\n)                                                      # name="api_key" in a multipart body
  | (?P<tuple>\\*+["'][ ]{{0,2}},\s{{0,2}}(?=[bruBRU]?\\*+["']))               # ("authorization", "Bearer ...")
  | (?P<colon>\\*+["'`”’*]{{0,3}}[\])]?[ \t]{{0,8}}:(?:\*\*)?[ \t]{{0,8}}(?:{_BREAK}|{_YAML})?)
      (?!=|[ ]?{_TYPE}[ ]?=|//|:)
  | (?P<equals>\\*+["'`”’]{{0,3}}[\])]?[ \t]{{0,8}}(?::[ ]?{_TYPE}[ ]?)?(?::=|=>|<-|=|：|＝|:)
      (?![=~])[ \t]{{0,8}}(?:SecretStr\(|\(?{_BREAK})?)
  | (?P<phrase>[ ](?:(?:->|→|provided|given|used|is|was|ist|lautet|es|est|è|é|jest|это|becomes
      |set[ ]to|to|value|for[ ]\S{{1,40}}[ ]is)
      [ ]?:?[ ]){{1,2}}["'`]? | (?:是|为|為|は|는|은)[：:]?[ ]?["'`]?)
  | (?P<space>[ \t]{{1,4}}|["'][ ]{{1,4}}["'])
    """,
    re.VERBOSE | re.IGNORECASE,
)
