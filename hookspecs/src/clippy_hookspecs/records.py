"""What became of things: failures, outcomes, stored answers, audit records, events."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

from attrs import field, frozen
from attrs.validators import ge, gt, in_, optional

from .blocks import Usage
from .headers import Headers
from .types import Provenance, Request, Response

if TYPE_CHECKING:
    from .errors import ErrorInfo


@frozen
class Scope:
    """On whose behalf a call is made.  None means not said, which is different from an empty name."""

    tenant: str | None = None
    user: str | None = None
    session: str | None = None


@frozen
class CacheEntry:
    """What a cache keeps: the provider's own answer, before any plugin changed it.

    ``events`` are the raw bytes of the provider's stream events, () for an answer that was not streamed.  Times are
    unix seconds; ``expires_at`` None means the cache decides.  ``origin`` is the id of the request that was answered.
    ``response.raw`` is the answer's JSON body; :mod:`clippy_hookspecs.stored` writes and reads entries.  ``note`` says
    why a cache gives it to a request that is not the very one that it was stored for: it is shown in the provenance, no
    other cache is given the entry, and it is not written.
    """

    response: Response
    events: tuple[bytes, ...] = field(default=(), repr=False)
    stored_at: float = 0.0
    expires_at: float | None = None
    tags: tuple[str, ...] = ()
    origin: str = ""
    note: str = ""


@frozen
class CacheControl:
    """What caches may do for one request.  A plugin sets ``ctx.cache_control``; the host obeys it for every cache.

    ``lookup`` and ``store``: whether a stored answer may be given, and this one kept (*no-cache* and *no-store* of
    RFC 9111); ``reason`` says why not.  They are read when caches are asked, so that ``store`` may be withdrawn up to
    on_response.  ``ttl`` is seconds from when the answer is stored, None leaves it to the caches, which may all keep it
    shorter.  ``stale_if_error`` asks them to keep it so many seconds longer, for :class:`Stale`.  ``negative_ttl``
    above 0 has a provider's failure stored for so many seconds, if nothing repairs it: for failures that an equal
    request would meet again.  ``tags`` go with the entry.  ``share`` says who else may get it: *caller* those of the
    same scope and credentials, *tenant* every user of the tenant, *everyone* all; looked up and stored as such, and
    fixed once pre_request is over.  ``join``: whether equal requests under way may share this one's answer; None leaves
    it to who asks.  ``max_age``: a stored answer older than so many seconds is none; None: of any age.  A status from
    400 to 499 is shared and kept for those of the caller only: it may be about another's credentials.  ``max_stale``: a
    stored answer more than so many seconds past its time is none, whoever decides for :class:`Stale`; None: it is for
    them to say.
    """

    lookup: bool = True
    store: bool = True
    ttl: float | None = field(default=None, validator=optional(gt(0)))
    stale_if_error: float = field(default=0.0, validator=ge(0))
    negative_ttl: float = field(default=0.0, validator=ge(0))
    tags: tuple[str, ...] = ()
    share: Literal["caller", "tenant", "everyone"] = field(
        default="caller", validator=in_(("caller", "tenant", "everyone"))
    )
    join: bool | None = None
    reason: str | None = None
    max_age: float | None = field(default=None, validator=optional(ge(0)))
    max_stale: float | None = field(default=None, validator=optional(ge(0)))


@frozen
class Selector:
    """Which stored entries to drop: by key, by tag, by model, or all within one scope.  Empty means everything.

    The parts that it gives must all fit.  A tag fits whole; ``key_prefix`` and ``tag_prefix`` fit what begins so.
    ``model`` is the one that the request named.  A scope fits what was stored for it and within it: what it
    says must be equal, what it leaves out may be anything, so that a tenant's users and sessions belong to the tenant,
    and a user's entries in every tenant to the user.  A scope that says nothing is that of calls without a scope, and
    not everybody's.
    """

    key: str | None = None
    tag: str | None = None
    scope: Scope | None = None
    model: str | None = None
    key_prefix: str | None = None
    tag_prefix: str | None = None

    def names(self, key: str, tags: Sequence[str] = (), scope: Scope = Scope(), model: str | None = None) -> bool:
        """Whether an entry of this key is meant, which has these tags and was stored for *scope* and *model*."""
        return (
            self.key in (None, key)
            and (self.key_prefix is None or key.startswith(self.key_prefix))
            and (self.tag is None or self.tag in tags)
            and (self.tag_prefix is None or any(tag.startswith(self.tag_prefix) for tag in tags))
            and (self.model is None or self.model == (model or ""))
            and (self.scope is None or self.scope == scope or (self.scope != Scope() and self._covers(scope)))
        )

    def _covers(self, scope: Scope) -> bool:
        asked = self.scope or scope
        return (
            asked.tenant in (None, scope.tenant)
            and asked.user in (None, scope.user)
            and asked.session in (None, scope.session)
        )


@frozen
class StoredEntry:
    """What a cache says of an entry that it keeps.  Times are unix seconds, ``size`` is bytes of its cap."""

    key: str
    size: int
    stored_at: float
    expires_at: float
    model: str | None = None
    tags: tuple[str, ...] = ()
    scope: Scope = field(factory=Scope)


@frozen
class Failure:
    """What went wrong, as it was seen, before anybody has judged it.

    ``phase``: *connect* (no byte was sent), *request* (sent, no answer yet), *response* (an answer with an error in
    it) or *stream* (a stream that broke).  ``body`` is at most the first 64 KiB.  ``now`` is unix seconds, for dates in
    headers.  ``committed`` says that a part of the answer had already passed the commit point.
    """

    status: int | None = None
    headers: Headers = field(factory=Headers)
    body: bytes = field(default=b"", repr=False)
    exception: BaseException | None = None
    phase: Literal["connect", "request", "response", "stream"] = "response"
    committed: bool = False
    api: str = ""
    url: str = ""
    model: str | None = None
    now: float = 0.0


@frozen
class Outcome:
    """How one upstream attempt ended.

    ``sent``: whether the transport was asked to send it, though it may not have reached anybody.  False for one that a
    plugin refused in pre_attempt, or that was over before: it cost nothing, and says nothing about the provider.
    """

    state: Literal["ok", "error", "cancelled"]
    error: ErrorInfo | None = None
    status: int | None = None
    usage: Usage | None = None
    duration: float = 0.0
    first_token: float | None = None
    sent: bool = True


@frozen
class HookCall:
    """One call of one implementation: how long it took and what it did (passed, changed, answered, hit, failed ...).

    ``at`` is when it ended, as ``time.perf_counter_ns`` tells it; 0 where several are one line, as of on_chunk.
    """

    plugin: str
    hook: str
    action: str
    ns: int = 0
    calls: int = 1
    at: int = 0


@frozen
class AttemptRecord:
    """One upstream attempt, for the audit record.  Times in seconds; ``sent`` as in :class:`Outcome`."""

    number: int
    route: str
    status: int | None = None
    error: ErrorInfo | None = None
    waited: float = 0.0
    duration: float = 0.0
    sent: bool = True


@frozen
class AuditRecord:
    """What became of one request; made exactly once, whatever happened.

    ``time`` is unix seconds at the start, durations are seconds.  ``request`` and ``response`` hold content: they are
    given only to a plugin with a true ``reads_content`` attribute, and never for a request refused in pre_request.
    ``unread`` is the part of the duration in which nothing of a stream was read: its reader was busy with what it had,
    or the flow was paused or paced.
    """

    id: str
    outcome: Literal["answered", "cached", "refused", "failed", "cancelled", "abandoned"]
    time: float
    duration: float
    api: str = ""
    method: str = "POST"
    url: str = ""
    model: str | None = None
    stream: bool = False
    scope: Scope = field(factory=Scope)
    route: str | None = None
    parent: str | None = None
    status: int | None = None
    attempts: tuple[AttemptRecord, ...] = ()
    usage: Usage | None = None
    finish_reason: str | None = None
    first_token: float | None = None
    provenance: Provenance | None = None
    error: ErrorInfo | None = None
    trace: tuple[HookCall, ...] = ()
    request: Request | None = field(default=None, repr=False)
    response: Response | None = field(default=None, repr=False)
    unread: float = 0.0


EventKind = Literal["request", "attempt", "head", "bytes", "chunk_in", "chunk_out", "hook", "closed"]


@frozen
class Event:
    """Something a recorder may want to see.  ``at`` is nanoseconds of the host's clock.

    ``kind``: request, attempt, head, bytes, chunk_in, chunk_out, hook, closed; ``data`` is what the kind says: the
    Request as it came, the Request sent with its very bytes in ``raw``, the (status, Headers) of an answer, the bytes,
    the Chunk, the HookCall, the Outcome.  ``value`` is what a hook returned, None where that was nothing; on_chunk is
    told by its chunks.  Of a request it is the one that its caller wrote, where the host first told it anew in the wire
    API of its route.
    """

    kind: EventKind
    at: int
    data: Any = None
    value: Any = None
