"""Which field names hold a secret, and how sure a name alone makes us."""

from __future__ import annotations

import re
from enum import IntEnum
from functools import lru_cache


class Trust(IntEnum):
    """How much a value must look like a secret before it is taken for one, from most to least."""

    NONE = 0
    """The name says nothing."""
    BARE = 1
    """``key``, ``sig``: a secret in a query string or a table of credentials, and hardly elsewhere."""
    WEAK = 2
    """``token``, ``OPENAI_KEY``: often a secret, but also a unit of text or a name."""
    KEY = 3
    """``api_key``, ``access_token``: whatever a machine generated."""
    SECRET = 4
    """``password``, ``client_secret``: whatever is not prose or a stand-in."""
    HEADER = 5
    """``authorization``: the credentials of a header, with their scheme."""
    COOKIE = 6
    """``cookie``, ``set-cookie``: pairs of names and values."""


_SECRETS = (
    "password",
    "passwd",
    "passphrase",
    "passcode",
    "pwd",
    "secret",
    "secretkey",
    "secretaccesskey",
    "secrettoken",
)
_KEYS = tuple(
    f"{what}key" for what in (
        "api", "access", "private", "signing", "encryption", "master", "account", "sharedaccess", "subscription",
        "functions", "function", "auth", "service", "servicerole", "consumer", "app", "application", "license", "hmac",
        "jwt", "admin", "ssh", "gpg", "deploy", "webhook", "accesskeyid", "ingest", "storageaccount", "ssl", "tls",
        "rsa", "decryption",
    )
) + tuple(
    f"{what}token" for what in (
        "access", "refresh", "auth", "authentication", "authorization", "session", "security", "id", "bearer", "csrf",
        "xsrf", "api", "bot", "user", "deploy", "personalaccess", "oauth", "jwt", "verification", "reset", "service",
        "admin", "app", "client", "hub", "hf", "github", "gitlab", "npm", "vault", "device", "push", "registration",
        "gh", "slack", "private", "job", "runner",
    )
) + (
    "accesskeyid", "credential", "clientassertion", "jwt", "sas", "sharedaccesssignature", "keydata", "authcode",
    "secretbase", "secretkeybase", "webhooksecret", "xamzsignature", "xgoogsignature",
)  # fmt: skip
# Tokens that are text, places in a list, or numbers; keys that find something instead of opening it.
_NO_TOKEN = (
    "max", "min", "num", "total", "prompt", "completion", "input", "output", "page", "next", "previous", "prev",
    "continuation", "sync", "stop", "eos", "bos", "pad", "unk", "sep", "cls", "mask", "special", "first", "last",
    "cached", "reasoning", "per", "budget", "thinking", "count", "start", "end", "cursor", "resume", "scroll", "new",
    "audio", "image", "text", "vocab", "cancellation", "cost", "each", "every", "this",
)  # fmt: skip
_NO_KEY = (
    "cache", "primary", "foreign", "sort", "partition", "public", "publishable", "idempotency", "object", "hash",
    "index", "lookup", "dedup", "group", "row", "column", "map", "dict", "routing", "shard", "range", "unique", "json",
    "composite", "candidate", "host", "known", "hot", "arrow", "enter", "shortcut", "translation", "message", "parent",
    "natural", "surrogate", "config", "feature", "issue", "project", "registry", "item", "data", "query", "stash",
    "state", "event", "trace", "record", "field", "attribute", "label", "entry", "bucket", "s3", "on", "mon", "tur",
    "don", "idempotent", "prompt", "context", "span", "compare", "search", "filter", "order", "ordering",
)  # fmt: skip
_PROVIDERS = frozenset((
    "openai", "azure", "anthropic", "claude", "gemini", "google", "mistral", "cohere", "together", "fireworks",
    "deepseek", "groq", "xai", "grok", "perplexity", "replicate", "openrouter", "huggingface", "nvidia", "voyage",
    "jina", "cerebras", "sambanova", "bedrock", "aws", "gcp", "moonshot", "dashscope", "qwen", "zhipu", "minimax",
    "ai21", "stability", "eleven", "deepgram", "assemblyai", "pinecone", "qdrant", "weaviate", "langsmith",
    "langfuse", "helicone", "tavily", "serp", "brave", "exa", "firecrawl", "stripe", "twilio", "sendgrid",
    "github", "gitlab", "slack", "notion", "linear", "databricks", "wandb", "portkey", "litellm", "cloudflare",
    "datadog", "sentry", "supabase", "algolia", "mapbox", "ocpapim", "xi", "lepton", "novita", "hyperbolic",
    "nebius",
))  # fmt: skip
_PASS = re.compile(r"(?:[a-z0-9]*[_.-]|^)pass$|[a-z]Pass$|(?:^|[_-])PASS$")
_ENVIRONMENT = re.compile(r"[A-Z0-9]+(?:_[A-Z0-9]+)*_(?:KEY|PAT)$")
_LONGEST = 64  # characters of a name that are looked at, from its end
_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+|[^\W\d_A-Za-z]+")
_FOREIGN = (
    "密码",
    "密碼",
    "口令",
    "密钥",
    "パスワード",
    "비밀번호",
    "contraseña",
    "contrasena",
    "passwort",
    "kennwort",
    "wachtwoord",
    "motdepasse",
    "senha",
    "пароль",
    "hasło",
    "lösenord",
    "senord",
    "passord",
    "adgangskode",
    "salasana",
    "heslo",
    "jelszó",
    "katasandi",
    "şifre",
    "khẩu",
    "κωδικός",
    "סיסמה",
    "पासवर्ड",
    "كلمةالمرور",
    "كلمةمرور",
    "كلمةالسر",
    "كلمةسر",
    "รหัสผ่าน",
)
_FOREIGN_KEYS = ("cléapi", "cleapi", "claveapi", "clavedeapi", "chaveapi", "chavedeapi", "ключapi", "apischlüssel",
                 "apiキー", "api키")  # fmt: skip
_QUESTION = re.compile(
    r"(?:^|[_.-])(?:has|is|no|show|hide|forgot|reset|require|requires|use|with|without|min|max)[_-]?pass", re.I
)


@lru_cache(maxsize=2048)
def trust(name: str) -> Trust:
    """What *name*, of a field, header, variable or option, says about its value.

    ``x-api-key``, ``X_API_KEY``, ``xApiKey`` and ``--x-api-key`` are one name.  A name that ends in something
    else, like ``token_count`` or ``password_policy``, says nothing.
    """
    name = name[-_LONGEST:]
    words = _words(name)
    bare = "".join(words)
    if bare in ("cookie", "setcookie", "xcookie", "sessioncookie"):
        return Trust.COOKIE
    if bare.endswith("authorization"):
        return Trust.HEADER
    if bare.endswith(_FOREIGN) or name.endswith(_FOREIGN):
        return Trust.SECRET
    if bare.endswith(_FOREIGN_KEYS):
        return Trust.KEY
    if bare.endswith(_SECRETS) or _PASS.search(name):
        return Trust.NONE if _QUESTION.search(name) else Trust.SECRET
    last, before = words[-1] if words else "", words[-2] if len(words) > 1 else ""
    if (last == "token" and before in _NO_TOKEN) or (last == "key" and before in _NO_KEY):
        return Trust.NONE
    if bare.endswith(_KEYS):
        return Trust.KEY
    if bare in ("passe", "by"):  # mot de passe, identified by: only the last word of such a name is looked at
        return Trust.SECRET
    if last in ("pw", "psk"):
        return Trust.KEY
    if last in ("token", "auth") or bare in ("bearer", "authn"):
        return Trust.WEAK
    if last == "key" and before:
        return Trust.KEY if not _PROVIDERS.isdisjoint(words) else Trust.WEAK
    if last in ("key", "pat") and _ENVIRONMENT.match(name):
        return Trust.WEAK
    return Trust.BARE if bare in ("key", "sig", "signature", "code") else Trust.NONE


def _words(name: str) -> list[str]:
    """``xApi-KEY`` as x, api, key; ``apikeys`` as api, key.  Plural tokens are counted, not kept: they stay plural."""
    words = [word.lower() for word in _WORD.findall(name)] or [name.lower()]
    last = words[-1]
    if last in ("keys", "secrets", "passwords", "credentials", "apikeys"):
        last = words[-1] = last[:-1]
    elif last == "tokens" and len(words) > 1 and words[-2] in ("access", "api", "auth", "refresh", "bearer"):
        last = words[-1] = "token"
    for noun in ("token", "key"):
        if last.endswith(noun) and last != noun:
            words[-1:] = [last[: -len(noun)], noun]
    return words
