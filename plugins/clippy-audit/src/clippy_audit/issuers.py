"""Who issues which tokens, and how they begin.

The prefixes are those that the issuers document and that their secret scanning partners look for.  Lengths are a little
below the documented ones, so that a longer token or a cut one is still found.  Every pattern of :data:`TOKENS` begins
with a letter or digit of its own, so that the search can be sorted by it.
"""

from __future__ import annotations

_W = r"[A-Za-z0-9_-]"  # url-safe base64
_A = r"[A-Za-z0-9]"
_H = r"[0-9a-f]"
_B = r"[A-Za-z0-9+/]"  # base64

TOKENS: dict[str, tuple[str, ...]] = {
    # models
    "anthropic": (rf"sk-ant-{_W}{{16,}}+",),
    "openrouter": (rf"sk-or-{_W}{{16,}}+",),
    "langfuse": (rf"sk-lf-{_W}{{16,}}+",),
    "helicone": (rf"sk-helicone-{_W}{{16,}}+",),
    "openai": (
        rf"sk-(?:proj|svcacct|admin|service|None)-{_W}{{16,}}+",
        rf"sess-{_A}{{30,}}+",
        rf"ek_{_A}{{28,}}+",
        rf"openai-insecure-api-key\.{_W}{{16,}}+",  # a protocol of a websocket
    ),
    "google": (
        rf"AIza{_W}{{30,}}+",
        rf"AQ\.{_W}{{30,}}+",
        rf"GOCSPX-{_W}{{20,}}+",
        r"ya29\.[A-Za-z0-9_.-]{16,}+",
        rf"1//0{_W}{{30,}}+",
    ),
    "huggingface": (rf"hf_{_A}{{28,}}+", rf"api_org_{_A}{{28,}}+"),
    "groq": (rf"gsk_{_A}{{28,}}+",),
    "xai": (rf"xai-{_A}{{28,}}+",),
    "perplexity": (rf"pplx-{_A}{{28,}}+",),
    "replicate": (rf"r8_{_A}{{28,}}+",),
    "fireworks": (rf"fw_{_A}{{20,}}+", rf"fpk_{_A}{{20,}}+"),
    "together": (rf"tgp_v\d_{_W}{{28,}}+",),
    "cerebras": (rf"csk-{_A}{{28,}}+",),
    "nvidia": (rf"nvapi-{_W}{{28,}}+",),
    "voyage": (rf"pa-{_W}{{40,}}+", rf"al-{_W}{{40,}}+"),
    "jina": (rf"jina_{_W}{{40,}}+",),
    "langsmith": (r"lsv2_(?:pt|sk)_[A-Za-z0-9_]{28,}+", rf"ls__{_A}{{28,}}+"),
    "llamacloud": (rf"llx-{_A}{{32,}}+",),
    "pinecone": (r"pcsk_[A-Za-z0-9_]{30,}+",),
    "databricks": (rf"d(?:api|kea|ose|sapi){_H}{{32,}}+(?:-\d{{1,2}})?",),
    "anyscale": (rf"esecret_{_A}{{20,}}+",),
    "tavily": (rf"tvly-(?:dev-|prod-)?{_W}{{20,}}+",),
    "firecrawl": (rf"fc-{_H}{{30,}}+",),
    "runpod": (rf"rpa_{_A}{{30,}}+",),
    "logfire": (r"pylf_v\d+_[A-Za-z0-9_]{30,}+",),
    "e2b": (rf"e2b_{_H}{{36,}}+",),
    "mem0": (rf"m0-{_A}{{36,}}+",),
    "brave": (rf"BSA{_W}{{24,}}+",),
    "wandb": (rf"wandb_v\d_{_W}{{28,}}+",),
    "yandex": (rf"AQVN{_W}{{30,}}+", rf"y[0-3]_{_W}{{40,}}+"),
    # clouds and their services
    "aws": (
        r"A(?:KI|SI|BI|CC)A[A-Z0-9]{16}(?![A-Za-z0-9])",
        rf"ABSK{_B}{{80,}}+={{0,2}}",
        rf"bedrock-api-key-{_B}{{28,}}+={{0,2}}",
    ),
    "digitalocean": (rf"do[opr]_v1_{_H}{{40,}}+",),
    "docker": (rf"dckr_(?:pat|oat)_{_W}{{20,}}+",),
    "heroku": (rf"HRKU-{_W}{{30,}}+",),
    "fly": (rf"fo1_{_W}{{30,}}+", rf"fm[12][ra]?_{_B}{{40,}}+={{0,2}}"),
    "netlify": (rf"nf[pcou]_{_A}{{32,}}+",),
    "vercel": (rf"vc[pkira]_{_A}{{20,}}+",),
    "supabase": (rf"sbp_{_A}{{30,}}+", rf"sb_secret_{_W}{{20,}}+"),
    "planetscale": (r"pscale_(?:tkn|pw|oauth)_[A-Za-z0-9_.=-]{28,}+",),
    "cloudflare": (rf"v1\.0-{_H}{{20,}}+-{_H}{{100,}}+", rf"cf(?:ut|at|k)_{_A}{{36,}}+"),
    "vault": (rf"hv[sbr]\.{_W}{{20,}}+",),
    "doppler": (r"dp\.(?:pt|st|ct|sa|scim|audit)\.[A-Za-z0-9_.-]{28,}+",),
    "pulumi": (rf"pul-{_H}{{36,}}+",),
    "infisical": (rf"st\.{_H}{{20,}}+\.{_H}{{20,}}+\.{_H}{{20,}}+",),
    "1password": (r"ops_eyJ[A-Za-z0-9_-]{40,}+={0,2}",),
    "render": (rf"rnd_{_A}{{24,}}+",),
    "neon": (rf"napi_{_A}{{40,}}+",),
    "tailscale": (rf"tskey-[a-z]{{2,12}}-{_A}{{8,}}+(?:-{_A}{{16,}}+)?",),
    "alibaba": (rf"LTAI{_A}{{16,}}+",),
    "scaleway": (r"SCW[A-Z0-9]{17}(?![A-Za-z0-9])",),
    "tencent": (rf"AKID{_A}{{28,}}+",),
    # code and packages
    "github": (rf"gh[pousr]_{_A}{{28,}}+", r"github_pat_[A-Za-z0-9_]{40,}+"),
    "gitlab": (
        r"gl(?:pat|dt|ptt|rt|rtr|cbt|imt|ft|agent|soat|oas|ffct|wt)-[A-Za-z0-9_.-]{16,}+",
        rf"GR1348941{_W}{{16,}}+",
    ),
    "atlassian": (r"AT(?:ATT|CTT|BB)[A-Za-z0-9][A-Za-z0-9_=-]{20,}+",),
    "buildkite": (rf"bku[ai]_{_H}{{36,}}+",),
    "circleci": (r"CCIP(?:AT|RJ)_[A-Za-z0-9_]{36,}+",),
    "npm": (rf"npm_{_A}{{30,}}+",),
    "pypi": (rf"pypi-AgE{_W}{{16,}}+", rf"pypi-{_W}{{60,}}+"),
    "rubygems": (rf"rubygems_{_H}{{40,}}+",),
    "crates": (rf"cio{_A}{{32}}(?![A-Za-z0-9])",),
    "nuget": (r"oy2[a-z0-9]{43}(?![A-Za-z0-9])",),
    # messages
    "slack": (rf"xox[a-z](?:\.xox[a-z])?-{_W}{{10,}}+", rf"xapp-\d-{_W}{{10,}}+"),
    "sendgrid": (rf"SG\.{_W}{{16,}}+\.{_W}{{16,}}+",),
    "mailgun": (rf"key-{_H}{{32}}(?![A-Za-z0-9])",),
    "resend": (r"re_[A-Za-z0-9]{8}_[A-Za-z0-9]{20,}+",),
    "brevo": (rf"xkeysib-{_H}{{32,}}+[A-Za-z0-9-]*+", rf"xsmtpsib-{_H}{{32,}}+[A-Za-z0-9-]*+"),
    "twilio": (rf"SK{_H}{{32}}(?![A-Za-z0-9])",),
    # money and commerce
    "stripe": (
        rf"sk_(?:live|test|prod)_{_A}{{10,}}+",
        rf"rk_(?:live|test|prod)_{_A}{{10,}}+",
        rf"whsec_{_B}{{20,}}+={{0,2}}",
    ),
    "paypal": (rf"access_token\$(?:production|sandbox)\${_A}{{13,}}+\${_A}{{28,}}+",),
    "shopify": (r"shp(?:at|ca|pa|ss|tka)_[A-Za-z0-9]{28,}+",),
    "square": (rf"sq0(?:atp|csp|idp)-{_W}{{20,}}+", rf"EAAA[A-Z]{_W}{{54,}}+"),
    "facebook": (rf"EAA[A-Z]{_A}{{60,}}+",),
    # tools
    "notion": (rf"secret_{_A}{{36,}}+", rf"ntn_{_A}{{36,}}+"),
    "linear": (rf"lin_(?:api|oauth|wh)_{_A}{{28,}}+",),
    "contentful": (rf"CFPAT-{_W}{{36,}}+",),
    "dropbox": (rf"sl\.(?:[a-z]\.)?{_W}{{60,}}+",),
    "adafruit": (rf"aio_{_A}{{28}}(?![A-Za-z0-9])",),
    "airtable": (rf"pat{_A}{{14}}\.{_H}{{40,}}+",),
    "figma": (rf"fig[dor]_{_W}{{30,}}+",),
    "postman": (rf"PMAK-{_H}{{24}}-{_H}{{30,}}+",),
    "grafana": (rf"glsa_{_A}{{28,}}+_{_A}{{8}}", rf"glc_{_B}{{28,}}+={{0,2}}"),
    "newrelic": (rf"NR(?:AK|AA|II|RA|JS|IQ)-{_A}{{20,}}+",),
    "sentry": (r"sntry[su]_[A-Za-z0-9_+/=-]{28,}+",),
    "dynatrace": (rf"dt0[a-z]\d\d\.{_A}{{20,}}+\.{_A}{{50,}}+",),
    "posthog": (rf"ph[xs]_{_A}{{28,}}+",),
    "typeform": (r"tfp_[A-Za-z0-9_.-]{28,}+",),
    "hubspot": (rf"pat-(?:na|eu|ap)\d-{_H}{{8}}-{_W}{{20,}}+",),
    "mapbox": (rf"sk\.eyJ{_W}{{16,}}+\.{_W}{{10,}}+",),
    "twitter": (r"AAAAAAAAA[A-Za-z0-9%]{60,}+",),
    "age": (r"AGE-SECRET-KEY-1[A-Z0-9]{50,}+",),
    # Bounded where it may begin anywhere in a run, so that a row of "-eyJ" costs no more than its length.
    "jwt": (rf"eyJ(?:(?<!{_W}eyJ){_W}{{8,}}+|{_W}{{8,400}}+)\.{_W}{{8,}}+(?:\.{_W}*+){{0,3}}",),
    # prefixes that many issuers share
    "secret": (rf"sk_{_W}{{28,}}+",),
    "key": (rf"sk-{_W}{{16,}}+",),
}
"""The patterns of each kind of token, tried in this order; none can go back over what it has read."""

MARKED: tuple[tuple[str, str, str], ...] = (
    ("telegram", ":AA", rf"\d{{8,10}}:AA{_W}{{30,}}+"),
    ("azure", "8Q~", r"[A-Za-z0-9_~.]{3}8Q~[A-Za-z0-9_~.-]{30,}+"),
    ("terraform", ".atlasv1.", rf"{_A}{{14}}\.atlasv1\.{_W}{{50,}}+"),
    ("mailchimp", "-us", rf"{_H}{{32}}-us\d{{1,2}}(?![A-Za-z0-9])"),
    ("discord", ".", rf"[MNO]{_W}{{22,27}}\.{_W}{{6}}\.{_W}{{25,}}+"),
    (
        "secret",
        "_",
        rf"(?!p(?:k|ub|ublishable)_)[a-z][a-z0-9]{{1,11}}_(?:live|test|prod|sk|secret|pat|api|apikey|key|token)_{_A}{{20,}}+",
    ),
    ("twilio", "AC", rf"AC{_H}{{32}}(?![A-Za-z0-9])"),
)
"""Kind, what must occur in a run for it to be worth a look, and pattern: tokens with their mark in the middle."""

SHARED = (
    r"sk-(?!ant-|proj-|svcacct-|admin-|or-|lf-|helicone-)|sk_(?!live_|prod_)|pa-|al-|pypi-(?!AgE)|sess-|secret_|BSA|AA"
)
"""Beginnings that ordinary words have as well: CSS classes (``sk-fading-circle``), slugs, package names."""
