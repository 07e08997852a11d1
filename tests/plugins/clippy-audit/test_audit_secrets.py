"""Secrets of every known kind are gone from every place they turn up in.

The keys are random and valid nowhere; they are put together here so that no file holds anything that looks like one.
"""

from __future__ import annotations

import base64
import json
import random
import string
import uuid
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote

import pytest
from clippy_audit import redact, redact_headers, redact_url, redact_value
from clippy_hookspecs import Headers
from hypothesis import given
from hypothesis import strategies as st

CORPUS = Path(__file__).parents[4] / "shared" / "data" / "secrets-dev.jsonl"

LETTERS = string.ascii_letters
ALNUM = string.ascii_letters + string.digits
SMALL = string.ascii_lowercase + string.digits
BIG = string.ascii_uppercase + string.digits
URL_SAFE = ALNUM + "-_"
HEX = "0123456789abcdef"
DIGITS = string.digits

Rng = random.Random


def some(alphabet: str, length: int, rng: Rng) -> str:
    return "".join(rng.choice(alphabet) for _ in range(length))


def shaped(*parts: str | tuple[str, int]) -> Callable[[Rng], str]:
    """A generator of keys: texts as they are, (alphabet, length) at random."""
    return lambda rng: "".join(part if isinstance(part, str) else some(*part, rng) for part in parts)


ISSUED: dict[str, Callable[[Rng], str]] = {
    "openai": shaped("sk-", (ALNUM, 48)),
    "openai project": shaped("sk-proj-", (URL_SAFE, 74), "T3BlbkFJ", (URL_SAFE, 74)),
    "openai service": shaped("sk-svcacct-", (URL_SAFE, 120)),
    "openai ephemeral": shaped("ek_", (HEX, 32)),
    "openai of a websocket": shaped("openai-insecure-api-key.", (URL_SAFE, 40)),
    "openai admin": shaped("sk-admin-", (URL_SAFE, 90)),
    "anthropic": shaped("sk-ant-api03-", (URL_SAFE, 93), "AA"),
    "anthropic oauth": shaped("sk-ant-oat01-", (URL_SAFE, 80)),
    "openrouter": shaped("sk-or-v1-", (HEX, 64)),
    "deepseek": shaped("sk-", (HEX, 32)),
    "litellm": shaped("sk-", (ALNUM, 22)),
    "google": shaped("AIza", (URL_SAFE, 35)),
    "google oauth": shaped("ya29.a0A", (URL_SAFE, 100)),
    "google client": shaped("GOCSPX-", (URL_SAFE, 28)),
    "aws id": shaped("AKIA", (BIG, 16)),
    "aws session id": shaped("ASIA", (BIG, 16)),
    "huggingface": shaped("hf_", (LETTERS, 34)),
    "groq": shaped("gsk_", (ALNUM, 52)),
    "xai": shaped("xai-", (ALNUM, 80)),
    "perplexity": shaped("pplx-", (ALNUM, 48)),
    "replicate": shaped("r8_", (ALNUM, 37)),
    "fireworks": shaped("fw_", (ALNUM, 24)),
    "together": shaped("tgp_v1_", (URL_SAFE, 43)),
    "cerebras": shaped("csk-", (SMALL, 48)),
    "nvidia": shaped("nvapi-", (URL_SAFE, 64)),
    "jina": shaped("jina_", (ALNUM, 60)),
    "tavily": shaped("tvly-", (ALNUM, 32)),
    "elevenlabs": shaped("sk_", (HEX, 48)),
    "helicone": shaped("sk-helicone-", (SMALL, 7), "-", (SMALL, 7), "-", (SMALL, 7), "-", (SMALL, 7)),
    "langsmith": shaped("lsv2_pt_", (HEX, 32), "_", (HEX, 10)),
    "langfuse": lambda rng: f"sk-lf-{uuid.UUID(int=rng.getrandbits(128))}",
    "pinecone": shaped("pcsk_", (ALNUM, 6), "_", (ALNUM, 50)),
    "databricks": shaped("dapi", (HEX, 32), "-2"),
    "github": shaped("ghp_", (ALNUM, 36)),
    "github server": shaped("ghs_", (ALNUM, 36)),
    "github fine-grained": shaped("github_pat_", (ALNUM, 22), "_", (ALNUM, 59)),
    "gitlab": shaped("glpat-", (URL_SAFE, 20)),
    "slack bot": shaped("xoxb-", (DIGITS, 12), "-", (DIGITS, 12), "-", (ALNUM, 24)),
    "slack app": shaped("xapp-1-A", (BIG, 10), "-", (DIGITS, 13), "-", (HEX, 64)),
    "stripe": shaped("sk_live_", (ALNUM, 24)),
    "stripe long": shaped("sk_live_51", (ALNUM, 97)),
    "stripe restricted": shaped("rk_live_", (ALNUM, 24)),
    "stripe webhook": shaped("whsec_", (ALNUM, 32)),
    "twilio": shaped("SK", (HEX, 32)),
    "sendgrid": shaped("SG.", (URL_SAFE, 22), ".", (URL_SAFE, 43)),
    "npm": shaped("npm_", (ALNUM, 36)),
    "pypi": shaped("pypi-AgEIcHlwaS5vcmc", (URL_SAFE, 60)),
    "docker": shaped("dckr_pat_", (URL_SAFE, 27)),
    "digitalocean": shaped("dop_v1_", (HEX, 64)),
    "linear": shaped("lin_api_", (ALNUM, 40)),
    "notion": shaped("secret_", (ALNUM, 43)),
    "notion new": shaped("ntn_", (ALNUM, 46)),
    "telegram": shaped((DIGITS, 10), ":AA", (URL_SAFE, 33)),
    "discord": shaped("M", (ALNUM, 23), ".", (URL_SAFE, 6), ".", (URL_SAFE, 38)),
    "jwt": shaped("eyJ", (URL_SAFE, 30), ".eyJ", (URL_SAFE, 80), ".", (URL_SAFE, 43)),
    "grafana": shaped("glsa_", (ALNUM, 32), "_", (HEX, 8)),
    "shopify": shaped("shpat_", (HEX, 32)),
    "vault": shaped("hvs.", (URL_SAFE, 90)),
    "atlassian": shaped("ATATT3x", (URL_SAFE, 180)),
    "mailgun": shaped("key-", (HEX, 32)),
    "tailscale": shaped("tskey-auth-", (ALNUM, 17), "-", (ALNUM, 32)),
    "buildkite": shaped("bkua_", (HEX, 40)),
    "circleci": shaped("CCIPAT_", (ALNUM, 22), "_", (HEX, 40)),
    "contentful": shaped("CFPAT-", (URL_SAFE, 43)),
    "dropbox": shaped("sl.u.", (URL_SAFE, 130)),
    "adafruit": shaped("aio_", (ALNUM, 28)),
    "wandb": shaped("wandb_v1_", (ALNUM, 60)),
    "yandex": shaped("AQVN", (URL_SAFE, 36)),
    "braintree": shaped("access_token$production$", (SMALL, 16), "$", (HEX, 32)),
    "novita": shaped("sk_", (URL_SAFE, 43)),
}
OPAQUE: dict[str, Callable[[Rng], str]] = {
    "32 letters": shaped((ALNUM, 32)),
    "40 letters": shaped((ALNUM, 40)),
    "aws secret": shaped((ALNUM + "/+", 40)),
    "hexadecimal": shaped((HEX, 32)),
    "long hexadecimal": shaped((HEX, 64)),
    "two parts": shaped((HEX, 32), ".", (ALNUM, 16)),
    "base64": lambda rng: base64.b64encode(rng.randbytes(48)).decode(),
}
PASSWORDS: dict[str, Callable[[Rng], str]] = {
    "random": shaped((ALNUM, 14)),
    "with a word": shaped("hunter2-", (ALNUM, 16)),
    "with signs": shaped("P@ss", (ALNUM, 6), "!", (ALNUM, 3)),
}

ANYWHERE = (
    "my key is {s} please fix",
    "{s}",
    "“{s}”",
    "`{s}`",
    "({s})",
    "<{s}>",
    "a,{s},b",
    "| key | {s} |",
    "key={s}.Thanks",
    "token:{s}",
    "密钥是{s}。",
    "\x1b[31m{s}\x1b[0m",
    '{{"note": "{s}"}}',
    '{{"a": "keys:\\n{s}\\n"}}',
    '{{"b": "{{\\"body\\": \\"{{\\\\\\"note\\\\\\": \\\\\\"{s}\\\\\\"}}\\"}}"}}',
    "value=&quot;{s}&quot;",
    "https://x.example/cb?next=https%3A%2F%2Fy%2F%3Fapi_key%3D{s}%26x%3D1",
    "GET https://api.example.org/v1?key={s}&x=1",
    "  File \"a.py\", line 3, in f\n    client = C(api_key='{s}')\nValueError: boom",
    "openai.AuthenticationError: Incorrect API key provided: {s}. You can find",
    "2026-01-01T00:00:00Z ERROR auth failed key={s} status=401",
)
UNDER_A_NAME = (
    "Authorization: Bearer {s}",
    "authorization: bearer {s}",
    "Authorization: {s}",
    "Authorization: Token {s}",
    "Proxy-Authorization: Bearer {s}",
    '{{"headers": {{"authorization": "BEARER {s}"}}}}',
    "{{'Authorization': 'Bearer {s}'}}",
    "[('authorization', 'Bearer {s}')]",
    "[(b'Authorization', b'Bearer {s}'), (b'a', b'b')]",
    "> Authorization: Bearer {s}\r\n> Accept: */*",
    'curl https://x -H "Authorization: Bearer {s}" -d "{{}}"',
    "curl -H 'x-goog-api-key: {s}' https://x",
    "x-api-key: {s}",
    "api-key: {s}",
    "X-Auth-Token: {s}",
    "Ocp-Apim-Subscription-Key: {s}",
    "headers={{'api-key': '{s}'}}",
    "https://x/v1?api_key={s}",
    "https://x/v1?a=1&access_token={s}&b=2",
    "https://x/v1?key={s}",
    "/cb?token={s}",
    "https://x.blob.core.windows.net/c/b?sv=2022&sig={s}&se=2026",
    "https://s3/x?X-Amz-Signature={s}&X-Amz-Expires=1",
    '{{"api_key": "{s}"}}',
    '{{\\"api_key\\": \\"{s}\\"}}',
    '{{"apiKey":"{s}"}}',
    '{{"client_secret": "{s}"}}',
    '{{"access_token":"{s}","token_type":"Bearer","expires_in":3599}}',
    '{{"name": "COHERE_API_KEY", "value": "{s}"}}',
    "- name: COHERE_API_KEY\n  value: {s}",
    '{{"api_keys": ["{s}"]}}',
    "MISTRAL_API_KEY={s}",
    "AZURE_OPENAI_KEY='{s}'",
    'export COHERE_API_KEY="{s}"',
    "AWS_SECRET_ACCESS_KEY={s}",
    "aws_secret_access_key = {s}",
    '$env:TOGETHER_API_KEY = "{s}"',
    "ENV API_KEY {s}",
    "WANDB_API_KEY={s} python train.py",
    "openai:\n  api_key: {s}\n  model: x",
    "session_token: '{s}'",
    "access_token={s}&token_type=bearer",
    "--api-key {s} --model x",
    "--api-key={s}",
    "--token {s}",
    'client = OpenAI(api_key="{s}")  # remove',
    "OpenAI(api_key='{s}', base_url='https://x')",
    "api_key=SecretStr('{s}')",
    'os.environ["TOGETHER_API_KEY"] = "{s}"',
    'os.environ.setdefault("X_API_KEY", "{s}")',
    "const apiKey = '{s}';",
    'api_key: str = "{s}"',
    'apiKey := "{s}"',
    ':api_key=>"{s}"',
    "{{APIKey:{s} Org:x}}",
    "<apiKey>{s}</apiKey>",
    '<add key="ApiKey" value="{s}" />',
    'name="api_key"\r\n\r\n{s}\r\n--b',
    "//registry.npmjs.org/:_authToken={s}",
    "DefaultEndpointsProtocol=https;AccountName=x;AccountKey={s};EndpointSuffix=core.windows.net",
    "Endpoint=sb://x/;SharedAccessKeyName=R;SharedAccessKey={s}",
    "Invalid API key provided: {s}",
    "Cookie: session={s}; theme=dark",
    "Set-Cookie: sid={s}; HttpOnly; Path=/",
    "{{'Cookie': 'session={s}'}}",
    "cookies={{'session': '{s}'}}",
    "curl -b 'session={s}' https://x",
    '"api_key":\n    "{s}"',
    "api_key = (\n    '{s}'\n)",
    "api_key: >-\n  {s}\nmodel: x",
    "api_key: !!str {s}",
    "api_key: &key '{s}'",
    "**API Key:** {s}",
    "**API key**: `{s}`",
    "| API_KEY | `{s}` |",
    "API_KEY -> {s}",
    '<meta name="csrf-token" content="{s}">',
    '{{"value":"{s}","name":"x-api-key"}}',
    '[{{"name": "model", "value": "m"}}, {{"value": "{s}", "enabled": true, "key": "COHERE_API_KEY"}}]',
    "{{'name': 'x-api-key', 'type': 'text', 'value': '{s}'}}",
    "{{value: '{s}', header: 'api-key'}}",
    "- value: {s}\n  name: COHERE_API_KEY",
    '<env value="{s}" name="COHERE_API_KEY"/>',
    '<parameter name="api_key">{s}</parameter>',
    "<parameter=api_key>\n{s}\n</parameter>",
    "set -gx COHERE_API_KEY {s}",
    "setenv COHERE_API_KEY {s}",
    "我的API密钥是{s}",
    "secret_key_base: {s}",
    'variable "api_key" {{\n  type = string\n  default = "{s}"\n}}',
    '{{"client_secret": {{"value": "{s}", "expires_at": 1}}}}',
    '{{\\"api_key\\": {{\\"value\\": \\"{s}\\"}}}}',
    "api_key:\n  value: {s}",
    'api_key = """{s}"""',
    "access_token = '''{s}'''",
    "API_KEY <- '{s}'",
    "access_token={s}&state=1",
    "La clé API est {s}",
    "clave de API: {s}",
    "Der API-Schlüssel ist {s}",
    "APIキー：{s}",
)
BESIDE_A_NAME = (
    "**API key:**\n\n{s}",
    "here is my api key:\n{s}",
    "<dict><key>api_key</key><string>{s}</string></dict>",
    "<tr><td>API key</td>\n<td>{s}</td></tr>",
    "the provided API key ({s}) is invalid",
    "API-Key {s} is invalid",
    "got access token {s} from the store",
    "setx COHERE_API_KEY {s}",
)
PASSWORD_PLACES = (
    "postgresql://app:{s}@db.example.org/prod",
    "redis://:{s}@cache.example.org:6379/0",
    "mongodb+srv://u:{s}@c.mongodb.net/x?retryWrites=true",
    "mysql+pymysql://root:{s}@10.0.0.1/x",
    "https://user:{s}@example.org/x",
    "DATABASE_URL=postgres://a:{s}@h/db",
    'could not connect to "postgresql://app:{s}@db/prod": timeout',
    '{{"dsn": "postgres:\\/\\/a:{s}@h\\/d"}}',
    "password: {s}",
    "password={s}",
    '"password": "{s}"',
    "User(name='bob', password='{s}')",
    "DB_PASSWORD={s}",
    "db_pass: {s}",
    "passwd: {s}",
    "Server=x;User Id=sa;Password={s};Database=d",
    "<password>{s}</password>",
    "user=bob password={s} host=x",
    "--password {s}",
    "PGPASSWORD={s} psql",
    "username=a&password={s}&x=1",
    "services:\n  db:\n    password: {s}\n",
    "spring.datasource.password={s}",
    "machine x login y password {s}",
    "curl -u bob:{s} https://x",
    "auth=('bob', '{s}')",
    "my password is {s}",
    "sshpass -p {s} ssh x",
    "IDENTIFIED BY PASSWORD '{s}'",
    "JWT_SECRET={s}",
    "密码：{s}",
    "mot de passe : {s}",
    "Kennwort: {s}",
    "das Passwort lautet {s}",
    "la password è {s}",
    "비밀번호는 {s} 입니다",
    "CREATE USER 'a'@'%' IDENTIFIED BY '{s}';",
    "password: |\n  {s}\nuser: x",
    "password: !!str {s}",
    "password: &pw {s}",
    'password:\n  "{s}"',
    'variable "db_password" {{ default = "{s}" }}',
    "**Password:** {s}",
    "builder.password('{s}').build()",
    '{{"adminPassword": {{"value": "{s}"}}}}',
    'password = """{s}"""',
    "lösenord: {s}",
    "adgangskode: {s}",
    "Passord: {s}",
    "şifre: {s}",
    "mật khẩu: {s}",
    "κωδικός: {s}",
    "كلمة المرور: {s}",
    "पासवर्ड: {s}",
    "รหัสผ่าน: {s}",
)


def leaks(template: str, secret: str) -> str | None:
    """What is left of *secret*, or of a half of it, when it stood in *template*; None when it is gone."""
    cleaned = redact(template.format(s=secret))
    half = len(secret) // 2
    pieces = (secret, secret[:half], secret[half:]) if len(secret) > 24 else (secret,)
    return cleaned if any(piece in cleaned for piece in pieces) else None


@pytest.mark.parametrize("kind", ISSUED)
def test_an_issued_token_is_gone_wherever_it_stands(kind: str) -> None:
    """Its prefix is enough: prose, code, JSON in JSON, escaped URLs, log lines, tracebacks."""
    rng = Rng(kind)
    assert [] == [left for place in (*ANYWHERE, *UNDER_A_NAME) if (left := leaks(place, ISSUED[kind](rng)))]


@pytest.mark.parametrize("kind", OPAQUE)
def test_a_key_without_a_form_is_gone_under_a_name_that_says_what_it_is(kind: str) -> None:
    """Headers, fields, variables, options and query parameters give away what has no prefix."""
    rng = Rng(kind)
    assert [] == [left for place in UNDER_A_NAME if (left := leaks(place, OPAQUE[kind](rng)))]


@pytest.mark.parametrize("kind", ["32 letters", "40 letters", "base64"])
def test_a_key_that_no_sign_leads_to_is_gone_where_it_looks_like_nothing_else(kind: str) -> None:
    """A space, a bracket or the end of a line may as well lead to a word, a hash or an address."""
    rng = Rng(kind)
    assert [] == [left for place in BESIDE_A_NAME if (left := leaks(place, OPAQUE[kind](rng)))]
    words = (
        "https://platform.example/api-keys2", "Required-for-v2-endpoints", "ThisIsACamelCaseIdentifierName2",
        "3f786850e387550fdab836ed7e6dc881de23001b", "customer_id_2024_orders", "docs/authentication/v2",
    )  # fmt: skip
    for place in (*BESIDE_A_NAME[1:], "ssh key {s}", "primary key ({s})"):
        place = place.replace("API key", "token").replace("api key", "token").replace("api_key", "token")
        assert [] == [word for word in words if redact(place.format(s=word)) != place.format(s=word)]


@pytest.mark.parametrize("kind", PASSWORDS)
def test_a_password_is_gone_wherever_its_place_says_so(kind: str) -> None:
    """Connection strings, configuration files, command lines, reprs."""
    rng = Rng(kind)
    assert [] == [left for place in PASSWORD_PLACES if (left := leaks(place, PASSWORDS[kind](rng)))]


@pytest.mark.parametrize("place", [*ANYWHERE, *UNDER_A_NAME, *PASSWORD_PLACES])
def test_redacting_twice_changes_nothing_more(place: str) -> None:
    """The marks are not taken for secrets themselves."""
    once = redact(place.format(s=OPAQUE["40 letters"](Rng(place))))
    assert redact(once) == once


@pytest.mark.parametrize("kind", ["openai project", "anthropic", "groq", "xai"])
def test_a_token_that_was_wrapped_is_gone_with_its_next_line(kind: str) -> None:
    """By a terminal, a mail or a program; what else stands in the next line stays."""
    rng = Rng(kind)
    for gap in ("\n", "\\\n", "\r\n    ", '" "', '" + "', '"\n    "', '" +\n  "'):
        token = ISSUED[kind](rng) + "Aa1"
        assert redact(f'is "{token[:-20]}{gap}{token[-20:]}"').startswith('is "[redacted:')
        assert token[-20:] not in redact(f'is "{token[:-20]}{gap}{token[-20:]}"')
    for after in ("in_the_next_line_of_it", "3f786850e387550fdab836ed7e6dc881de23001b", "commit 3F786850e387550fdab8"):
        assert redact(f"is {token}\n{after}").endswith(f"\n{after}")


def test_a_call_with_a_secret_is_told_from_one_that_asks_for_it() -> None:
    """A builder is handed the value, a store the name of what it keeps."""
    value = some(ALNUM, 32, Rng("call"))
    for call in ('.apiKey("{}").build()', 'new AzureKeyCredential("{}")', "setPassword('{}')", 'withToken( "{}" )'):
        assert value not in redact(call.format(value))
    for call in ('get_secret("prod-2024-db")', 'load_key("id_rsa_2024_production")', 'password("Enter it: ")'):
        assert redact(call) == call


@pytest.mark.parametrize("newline", ["\n", "\\n", "\\\\n"])
@pytest.mark.parametrize("label", ["PRIVATE KEY", "RSA PRIVATE KEY", "EC PRIVATE KEY", "OPENSSH PRIVATE KEY"])
def test_a_private_key_is_gone_with_its_lines(label: str, newline: str) -> None:
    """As a file, as a JSON string, as a JSON string in a JSON string, and when the end was cut off."""
    rng = Rng(label)
    lines = [some(ALNUM + "+/", 64, rng) for _ in range(6)]
    whole = newline.join([f"-----BEGIN {label}-----", *lines, f"-----END {label}-----"])
    for text in (f"a {whole} b", f'{{"private_key": "{whole}"}}', whole[:-40]):
        cleaned = redact(text)
        assert not any(line in cleaned for line in lines)
    assert redact(f"a {whole} b").startswith("a [redacted:private-key")
    assert redact(f"a {whole} b").endswith("] b")


@pytest.mark.parametrize("scheme", ["hmac", "HMAC", "AWS", "SharedKey", "Acme-Signature"])
def test_a_signature_behind_a_name_is_gone_whatever_the_scheme(scheme: str) -> None:
    """Whether its base64 happens to end with a sign or not."""
    signature = some(ALNUM, 27, Rng(scheme))
    for end in ("", "="):
        assert signature not in redact(f"Authorization: {scheme} user:{signature}{end}")
        assert signature not in redact(f"{{'authorization': '{scheme} user:{signature}{end}'}}")


def test_fields_that_a_service_has_signed_are_gone() -> None:
    """Those of GitHub Copilot, in whatever order; not the fields of a log that look a little like them."""
    rng = Rng("signed")
    tid, mac = some(HEX, 32, rng), some(HEX, 64, rng)
    for fields in (
        f"tid={tid};exp=1731000000;sku=free_seat;st=dotcom;chat=1;8kp=1:{mac}",
        f"tid={tid};ol=x;exp=1731000000;c=1:1:{mac}",
    ):
        for place in ("{}", '{{"token": "{}"}}', "Authorization: Bearer {}", "got {}, and"):
            cleaned = redact(place.format(fields))
            assert tid not in cleaned
            assert mac not in cleaned


def test_the_basic_scheme_is_known_by_what_it_encodes() -> None:
    """A user and a password in base64, with and without the header's name; not the words after "basic"."""
    encoded = base64.b64encode(b"user:pwbQLt3cAYFyMp74").decode()
    assert encoded not in redact(f"Authorization: Basic {encoded}")
    assert encoded not in redact(f"sent basic {encoded} and failed")
    assert redact("Basic authentication is used") == "Basic authentication is used"


def test_the_quotes_inside_a_header_do_not_end_it() -> None:
    """All parameters of a digest or a signature are gone, with the line that goes on after them left as it is."""
    header = 'authorization: Digest username="a", realm="r", nonce="n", response="6629fae49393a05397450978507c4ef1"'
    assert redact(f"{header}\nhost: x.example") == "authorization: Digest [redacted:authorization]\nhost: x.example"


def test_a_secret_that_a_command_sets_is_gone() -> None:
    """``aws configure set`` and ``npm config set`` put the value behind a space."""
    value = some(ALNUM + "/+", 40, random.Random(3))
    assert value not in redact(f"aws configure set aws_secret_access_key {value} --profile x")
    assert redact("they configure set pieces with a token gesture") == "they configure set pieces with a token gesture"


@pytest.mark.parametrize(
    "url",
    ["https://hooks.slack.com/services/T{0}/B{0}/{1}", "https://discord.com/api/webhooks/123456789012345678/{1}{1}"],
)
def test_a_webhook_address_is_a_secret(url: str) -> None:
    """Who knows it may post."""
    rng = Rng(url)
    secret = some(ALNUM, 34, rng)
    assert secret not in redact(f"posting to {url.format(some(BIG, 9, rng), secret)} failed")


ESCAPES: dict[str, Callable[[str], str]] = {
    "as it is": lambda text: text,
    "URL-encoded": lambda text: quote(text, safe=""),
    "in a JSON string": lambda text: json.dumps(text)[1:-1],
    "in a JSON string with every character escaped": lambda text: "".join(f"\\u{ord(c):04x}" for c in text),
    "hexadecimal": lambda text: text.encode().hex(),
    "base64": lambda text: base64.b64encode(text.encode()).decode().rstrip("="),
    "base64 behind a user name": lambda text: base64.b64encode(b"user:" + text.encode()).decode().rstrip("="),
    "split by invisible characters": lambda text: "\u200b".join(text),
}


@pytest.mark.parametrize("form", ESCAPES)
@given(
    literal=st.text("abcdXYZ019-_./+=:@#é", min_size=8, max_size=40), around=st.sampled_from(["", " ", "x", '"', "="])
)
def test_a_configured_key_is_gone_in_every_form(form: str, literal: str, around: str) -> None:
    """Exact matches of the application's own keys go first, whatever they look like."""
    shown = ESCAPES[form](literal)
    cleaned = redact(f"before {around}{shown}{around} after", [literal])
    # In base64 the first and the last character hold bits of what is beside the key.
    core = shown[8:-2] if "user" in form else shown[2:-2] if form == "base64" else shown
    assert core not in cleaned
    assert cleaned.startswith("before ")


@given(st.lists(st.text("ab", min_size=1, max_size=6), min_size=1, max_size=4), st.text("ab ", max_size=60))
def test_no_configured_key_survives_beside_another(literals: list[str], text: str) -> None:
    """Also when they overlap or one begins another."""
    cleaned = redact(text, literals, personal=False)
    outside = cleaned.split("[redacted:configured]")
    assert not any(literal in piece for piece in outside for literal in literals)


def test_a_literal_that_hides_itself_is_found_in_every_form_all_the_same() -> None:
    """The configuration hands over secrets whose repr shows nothing."""

    class Hidden(str):
        __slots__ = ()

        def __repr__(self) -> str:
            return "Hidden('***')"

    literal = Hidden("key'with\nodd signs")
    assert redact(f"{str(literal)!r} idden('***", [literal]) == '"[redacted:configured]" idden(\'***'


def test_values_are_taken_out_by_the_names_above_them() -> None:
    """Dictionaries, lists under a name, pairs of a name and a value, names and values as fields."""
    key = some(ALNUM, 32, Rng(1))
    value = {
        "api_key": key,
        "passwords": ["first-one", "second"],
        "headers": [["x-api-key", key], ["accept", "*/*"]],
        "env": [{"name": "MISTRAL_API_KEY", "value": key}],
        "pin": {"password": 123456, "attempts": 3},
        "nested": json.dumps({"client_secret": key}),
        "usage": {"total_tokens": 12},
        "parameters": {"adminPassword": {"value": "first-one", "type": "string"}, "size": {"value": "small"}},
    }
    cleaned = redact_value(value)
    shown = json.dumps(cleaned)
    assert not any(secret in shown for secret in (key, "first-one", "123456"))
    assert cleaned["headers"][1] == ["accept", "*/*"]
    assert cleaned["usage"] == {"total_tokens": 12}
    assert cleaned["pin"]["attempts"] == 3
    assert cleaned["parameters"]["size"] == {"value": "small"}


def test_a_value_deeper_than_anyone_reads_is_taken_out_whole() -> None:
    """Nesting costs no stack."""
    value: object = "secret"
    for _ in range(5000):
        value = [value]
    assert "[redacted:depth]" in json.dumps(redact_value(value))


def test_header_values_are_taken_out_by_name() -> None:
    """All of a name, in any case; the others are redacted as texts, and the order stays."""
    key = some(ALNUM, 32, Rng(2))
    headers = Headers(
        [("Authorization", f"Bearer {key}"), ("X-Api-Key", "plain"), ("Accept", "*/*"), ("x-api-key", key)]
    )
    cleaned = redact_headers(headers)
    assert [name for name, _ in cleaned.pairs] == ["Authorization", "X-Api-Key", "Accept", "x-api-key"]
    assert [value for _, value in cleaned.pairs] == [
        "[redacted:header]",
        "[redacted:header]",
        "*/*",
        "[redacted:header]",
    ]


def test_a_url_keeps_its_host_and_loses_its_secrets() -> None:
    """An audit has to say who was asked, also when the host is an address."""
    cleaned = redact_url("http://bob:hunter2x@203.0.113.77:8000/users/jane@example.org?api_key=abc123def456")
    assert "203.0.113.77:8000" in cleaned
    assert not any(secret in cleaned for secret in ("hunter2x", "jane@example.org", "abc123def456"))


@pytest.mark.skipif(not CORPUS.exists(), reason="the shared corpora are not beside this checkout")
def test_the_corpus_of_secrets_and_look_alikes() -> None:
    """At least 98 % of the secrets are gone and 97 % of the look-alikes untouched."""
    cases = [json.loads(line) for line in CORPUS.read_text().splitlines()]
    secrets = [case for case in cases if case["label"] == "attack"]
    others = [case for case in cases if case["label"] == "benign"]
    gone = [case for case in secrets if not any(text in redact(case["input"]) for text in case["must_not_contain"])]
    kept = [case for case in others if redact(case["input"]) == case["must_keep"]]
    assert len(gone) >= 0.98 * len(secrets), [case["id"] for case in secrets if case not in gone]
    assert len(kept) >= 0.97 * len(others), [case["id"] for case in others if case not in kept]
