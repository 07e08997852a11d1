"""What looks like a secret and is none stays as it is."""

from __future__ import annotations

import pytest
from clippy_audit import redact
from hypothesis import given
from hypothesis import strategies as st

LOOK_ALIKES = r"""
commit 3f786850e387550fdab836ed7e6dc881de23001b fixes it
getpass.getpass("Password: ")
arn:aws:secretsmanager:eu-west-1:123456789012:secret:prod/db-AbCdEf
pwd: /srv/project
password: *anchor
pw: 12.5
das Passwort ist falsch
密码是必填项
<option value="token">the token</option>
they were identified by 'name and number'
secret: !vault |
secret -> hash
| token | a unit of text | string |
| api_key | `OPENAI_API_KEY` |
| secret_key | 32 bytes | hex |
**Password:** at least 8 characters
**Token:** the smallest unit
<meta name="keywords" content="password manager, api key">
variable "token" { default = null }
api_key: &default null
mot de passe oublié ?
sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08
md5 d41d8cd98f00b204e9800998ecf8427e
id 123e4567-e89b-12d3-a456-426614174000
request id req_011CSHoEeqs5C35K2UUqR7Fy
chatcmpl-B9MHDbslfkBeAs8l4bebGdFOJ6PeG
msg_013Zva2CMHLNnjNJJKqJ2EF
toolu_01A09q90qw90lq917835lq9
resp_67ccd2bed1ec8190b14f964abc0542670bb6a6b452d3795b
run_abc123DEF456ghi789JKL012
asst_abc123abc123abc123abc123
file-BK7bzQj3FfZFXr7DbL6xJwfo
org-abcdefghijklmnop12345678
proj_abcDEF1234567890abcdef12
ft:gpt-4o-mini-2024-07-18:acme::9abcDEF1
gen-1234567890-AbCdEfGhIjKlMnOpQrSt
use scikit-learn (sk-learn) 1.5
<div class="sk-circle-fade-dot sk-folding-cube-2 sk-spinner-container-fluid">
.sk-toggleable__content-arrow:before { content: "x" }
div.sk-estimator-doc-link.fitted
model gpt-4o-mini-2024-07-18
claude-3-5-sonnet-20241022
anthropic.claude-3-5-sonnet-20240620-v1:0
The token count is 4096 tokens
max_tokens=1024, secret sauce recipe
max_completion_tokens: 4096
"usage": {"prompt_tokens": 12, "total_tokens": 46, "completion_tokens_details": {"reasoning_tokens": 0}}
{"token": "Hello", "logprob": -0.31725305, "bytes": [72, 101], "top_logprobs": []}
{"token": " the", "logprob": -0.1}
Bearer authentication is used
Basic authentication is used here
Use a bearer token for authentication
Authorization: Bearer <token>
Authorization: Bearer YOUR_API_KEY
Authorization: Bearer $OPENAI_API_KEY
Authorization: Bearer ${TOKEN}
Authorization: Bearer {api_key}
-H "Authorization: Bearer $OPENAI_API_KEY"
f"Bearer {self.api_key}"
OPENAI_API_KEY=sk-...
OPENAI_API_KEY=sk-xxxxxxxxxxxxxxxxxxxxxxxx
OPENAI_API_KEY=your-api-key-here
OPENAI_API_KEY=<your key>
export OPENAI_API_KEY=${OPENAI_API_KEY}
OPENAI_API_KEY=
api_key: YOUR_API_KEY
api_key = os.environ['OPENAI_API_KEY']
api_key = os.getenv("OPENAI_API_KEY")
api_key=settings.openai_api_key
api_key=api_key
client = OpenAI(api_key=None)
const apiKey = process.env.OPENAI_API_KEY;
"api_key": "${API_KEY}"
"api_key": "{{ secrets.API_KEY }}"
"api_key": "sk-..."
"api_key": "***"
"api_key": "test"
"api_key": null
password: string
"password": {"type": "string", "minLength": 8}
"required": ["username", "password"]
Password: must be at least 8 characters
{"errors": {"password": "This field is required."}}
{"password": ["This password is too short. It must contain at least 8 characters."]}
password = getpass.getpass()
password=password
login(username=username, password=password)
The password is required and must not be shared
Forgot password? Click here.
the password policy says: rotate every 90 days
I forgot my password, can you help?
password reset link sent
What is the secret of a good cake?
secret: the recipe is older than you
Keep your API key secret.
key: value
the key is to listen
primary key is user_id
cache_key=3f786850e387550fdab836ed7e6dc881de23001b
"cache_key": "sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
idempotency-key: 123e4567-e89b-12d3-a456-426614174000
"Idempotency-Key": "stainless-python-retry-123e4567-e89b-12d3-a456-426614174000"
sort_key=created_at
foreign key (user_id) references users
"next_page_token": "CAUQAA"
pageToken=CDIQAA
"nextToken": "AAAAbbbb1111CCCC2222dddd"
version 1.2.3.4
page 10.0.0 released
v1.2.3.4-beta
Chrome/120.0.0.0 Safari/537.36
numpy==1.2.3.4
host a.b.c.d:443
localhost:8080
http://127.0.0.1:8000/v1
0.0.0.0:80
data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==
0x7ffeefbff5c8
<object at 0x7f3c2c1d5e50>
call_abc123DEF456ghi789JKL012
math: 3.14159 26535 89793
ISBN 978-3-16-148410-0
2026-11-22T10:38:00.123456Z
1700000000123456789
order 1234567890123456
task-runner sk-SK locale
密码必须足够长
请输入密码：
git@github.com:owner/repo.git
https://github.com/owner/repo
https://medium.com/@user/post-1234
https://example.org:8443/a@b
npm i react@18.2.0
icon@2x.png
@app.route("/x")
user@host
std::vector<int>::iterator
abc::def
12:30:45
eyJ is how a JWT begins
-----BEGIN PUBLIC KEY-----
-----BEGIN PRIVATE KEY-----
The file starts with "-----BEGIN PRIVATE KEY-----" and then base64.
It has -----BEGIN RSA PRIVATE KEY----- at its top and -----END RSA PRIVATE KEY----- at its end, and nothing else
look for -----BEGIN PRIVATE KEY----- in the logs, please; internationalization can wait
-----BEGIN PRIVATE KEY-----\nMIIE...\n-----END PRIVATE KEY-----
access_token$production is a prefix
tid=42;exp=none;st=ok
tid=1234567890;exp=1731000000;user=bob
Authorization: hmac username:signature
Authorization: HMAC is used here
Authorization: see section:authentication-of-requests
{"value":"hello","name":"x-api-key"}
{"value":"gpt-4o-mini-2024-07-18","name":"model"}
{"value": 4096, "name": "max_tokens"}
{"value": "3f786850e387550fdab836ed7e6dc881de23001b", "key": "cache_key"}
the value: 12, name: token
auth: oauth2/google
auth = oidc/keycloak-v2
"auth": "saml2/okta1"
auth: github-app/acme-2
mot de passe : obligatoire
{"mot de passe": "obligatoire"}
"passwort": "muss mindestens 8 Zeichen haben"
Passwort: erforderlich
contraseña: obligatoria
senha: "obrigatória"
wachtwoord: verplicht
00:1A:2B:3C:4D:5E
bytes de:ad:be:ef:00:01 at the start of the frame
-----BEGIN CERTIFICATE-----
the AKIA prefix
AKIAIOSFODNN7EXAMPLE
aws_secret_access_key = wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY
x-ratelimit-remaining-tokens: 149984
x-request-id: req_1a2b3c4d5e6f7a8b9c0d1e2f3a4b5c6d
x-ratelimit-limit-requests: 10000
openai-organization: user-abcdefghijklmnop
anthropic-version: 2023-06-01
content-type: application/json
Incorrect API key provided: sk-proj-********************wxyz. You can find your API key at https://platform.openai.com/account/api-keys.
Invalid API key
No auth credentials found
Your authentication token is invalid
token_type=bearer
grant_type=client_credentials&scope=read
"token_endpoint": "https://example.org/oauth/token"
"secretName": "my-secret"
secretKeyRef: {name: openai, key: api-key}
key_id: 1234
Cookie: none
cookies are delicious
accept the cookie policy: yes
PWD=/srv/project
author: Jane
authors = ["Bob"]
passed=3 failed=0
pass: 3, fail: 1
bypass: true
/etc/passwd: permission denied
compass = north
keyboard: qwerty
monkey: banana
hotkey: ctrl+shift+p
tokenizer=cl100k_base
token_limit: 128000
stop_token = "</s>"
eos_token: "<|endoftext|>"
pad_token_id=0
bos_token_id: 1
csrf: enabled
authentication: oauth2
auth: none
auth=basic
security: [{"bearerAuth": []}]
type: http, scheme: bearer
sk-learn, sk-image and sk-video
disk-usage-report-2024-final-version
risk-assessment-2024-q3-final-draft-v2
npm_config_registry=https://mirror.example.org/npm
npm_lifecycle_event=test
pypi-publish-action-release-v1
hf_hub_download(repo_id="x")
hf_transformers_model_v2_large_uncased_finetuned
xai-explainability-toolkit
gsk_pharma_report
fw_version=1.2.3
r8_something
pk_live_51H8abcDEFghiJKLmnoPQRst
cus_NffrFeUfNV2Hib
pi_3MtwBwLkdIwHu7ix28a3tqPa
price_1MoBy5LkdIwHu7ixZhnattbh
ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAABgQC7 user
https://hooks.example.com/services
https://docs.python.org/3/library/re.html#re.compile
What is 2 + 12345678?
+12%
5.000.000 downloads
SG.1
docker run -u 1000:1000 img
ls -a
tar -p
https://x.org/search?q=api+key&key=name
https://x.org/?code=404
error code: ERR_INVALID_ARG_TYPE_12345
signature = inspect.signature(f)
"signature": "(self, x)"
The key is AbstractBaseClass
"key": "uploads/2024/IMG_1234.jpg"
S3 key: models/llama-3-8b/ckpt-0001.bin
etag: "33a64df551425fcc55e4d42a148795d9f25f9d4e"
traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01
The access token expires in 3600 seconds
access_token: string
password: <hidden>
password: [REDACTED]
passwords: never reuse them
secrets: inherit
"scopes": ["api_key:read"]
hunter2 is a joke
jwt: json web token
'JWT' header
token: a unit of text
Token: a piece of a word.
"tokens": [15496, 995]
one token = 4 characters
price per token: 0.000003
secret = load_secret("name")
token = next(tokens)
token = await get_token()
key = hash(prompt)
for key, value in items:
api_key_env = "OPENAI_API_KEY"
api_key = { env = "OPENAI_API_KEY" }
--api-key KEY
--password PROMPT
Usage: tool --token TOKEN --verbose
-p 8080:80
curl -u $USER:$PASS https://x
postgres://user:password@localhost/db
postgresql://${USER}:${PASS}@db/x
https://user:<password>@example.org
redis://localhost:6379/0
postgres://localhost/db
https://user@example.org/x
postgresql://app@db.example.org/prod
sk_learn_pipeline_with_many_steps_and_words
session 123 45 6789
order 219099999
naïve@2x.png
well‑known non‑breaking 1990‑1995
{"token": {"value": "cat", "logprob": -0.1}}
{"password": {"type": "string", "minLength": 12}}
<th>Password</th><th>Email</th>
code=invalid_grant_2024_error&x=1
密码: 必须足够长
パスワード: 必須です
""".strip().splitlines()


@pytest.mark.parametrize("text", LOOK_ALIKES)
def test_a_look_alike_is_untouched(text: str) -> None:
    """Ids, hashes, models, versions, stand-ins, code, prose about passwords, CSS classes, tokens of text."""
    assert redact(text) == text


@given(st.lists(st.sampled_from(LOOK_ALIKES), max_size=6))
def test_look_alikes_beside_each_other_are_untouched(texts: list[str]) -> None:
    """A rule for one line does not reach into the next."""
    text = "\n\n".join(texts)
    assert redact(text) == text


PERSONAL = [
    ("contact jane.roe@example.org today", "jane.roe@example.org"),
    ("<jane+tag@sub.example.co.uk>", "jane+tag@sub.example.co.uk"),
    ("Write to jane.roe@example.org.", "jane.roe@example.org"),
    ("jane@sub.example.co.uk... or call", "jane@sub.example.co.uk"),
    ("call +44 20 7946 0958", "7946 0958"),
    ("phone: (555) 123-4567", "123-4567"),
    ("555-123-4567", "555-123-4567"),
    ("tel. 020 7946 0958", "7946 0958"),
    ("0049 30 901820", "901820"),
    ("IBAN DE89 3704 0044 0532 0130 00", "3704 0044 0532 0130"),
    ("GB33BUKB20201555555555 is my account", "GB33BUKB20201555555555"),
    ("card 4111 1111 1111 1111 exp 12/27", "4111 1111 1111 1111"),
    ("5500-0000-0000-0004", "5500-0000-0000-0004"),
    ("SSN 123-45-6789", "123-45-6789"),
    ("social security number: 457 55 5462", "457 55 5462"),
    ("ssn=219099999", "219099999"),
    ("an <jörg.müller@exämple.de>", "jörg.müller@exämple.de"),
    ("почта иван@пример.рф", "иван@пример.рф"),
    ("to x@xn--e1afmkfd.xn--p1ai now", "x@xn--e1afmkfd.xn--p1ai"),
    ("+49\u201130\u20111234567", "1234567"),
    ("client 203.0.113.77 said", "203.0.113.77"),
    ('"ip": "198.51.100.7"', "198.51.100.7"),
    ("from 2001:db8::8a2e:370:7334", "2001:db8::8a2e:370:7334"),
    ("mac 00:1A:2b:3C:4d:5E", "00:1A:2b:3C:4d:5E"),
]


@pytest.mark.parametrize(("text", "person"), PERSONAL)
def test_personal_data_with_a_form_is_gone(text: str, person: str) -> None:
    """Unless it was asked to stay."""
    assert person not in redact(text)
    assert person in redact(text, personal=False)


def test_check_digits_tell_numbers_from_cards_and_accounts() -> None:
    """A number of the right length with wrong check digits is an order, not a card."""
    text = "order 4111111111111112, contract DE89370400440532013001"
    assert redact(text) == text
