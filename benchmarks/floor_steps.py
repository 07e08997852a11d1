"""The steps of the floors of a call, each one thing more than the one before; their programs stand in floor.py."""

from __future__ import annotations

PASSED, HOOKS, OBSERVERS, TIMES, LINES, EVENTS, VALUES, KEY, BOOKS = range(9)
"""What a program does beside sending: all up to its last step."""
STATE, SQLITE, AUDIT, ASKED, FILES, COUNTS, LEDGER, FIELDS = range(9, 17)
"""What the plugins of the default stack do, each with all before it."""

EVERY_STEPS = {
    PASSED: "a transport in between, which reads the answer",
    HOOKS: "+ the 40 calls of hooks, each in a try",
    OBSERVERS: "+ the 225 calls of observers, each in a try",
    TIMES: "+ two looks at the clock for each hook",
    LINES: "+ a HookCall for each hook, in the trace",
    EVENTS: "+ an Event for every fact: the 40, and 5 more",
    VALUES: "+ context, request and answer, undecoded",
    KEY: "+ the request's JSON and its cache key",
    BOOKS: "+ the answer's JSON, outcome, entry, record",
}
STACK_STEPS = {
    PASSED: "a transport in between, which reads the answer",
    BOOKS: "+ values, key, JSON, records; 29 no-ops, timed",
    STATE: "+ memory cache, flight, retry, breaker",
    SQLITE: "+ SQLite: a select; the answer stored behind",
    AUDIT: "+ the audit's line, redacted, in its file",
    ASKED: "+ whose call, options, cancelling; exact JSON",
    FILES: "+ files replaced, or too large",
    COUNTS: "+ what caches and prompts did, counted",
    LEDGER: "+ the caches' counts and keys in a file",
    FIELDS: "+ digests of each part of the key",
}
