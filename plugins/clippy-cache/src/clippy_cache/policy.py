"""The plugin: says what caches may do for each request, and counts what they did."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any, ClassVar

import platformdirs
from attrs import define, evolve, field
from attrs.validators import ge, gt, in_, optional
from clippy_hookspecs import (
    AuditRecord,
    CacheEntry,
    Host,
    Refusal,
    Request,
    RequestContext,
    Response,
    StatusTable,
    hookimpl,
)
from clippy_sqlite import follow_forks

from .asking import asked, explained, uncounted
from .books import Books
from .directives import Directives, parse
from .forms import fault_of, wanted_form
from .keeping import keeps
from .ledger import Ledger
from .ledger_file import stored_key
from .notes import NOTES, Notes
from .plans import SHARES, Plan, Rule, Share, plan_for
from .showing import tables_of
from .statistics import Statistics

HEADER = "X-Clippy-Cache"
_parsed = lru_cache(maxsize=256)(parse)


def _doc(text: str) -> dict[str, Any]:
    return {"doc": text}


@define(eq=False)
class CachePolicy:
    """Says what caches may do for each request, and counts what they did."""

    ttl: float | None = field(
        default=None,
        validator=optional(gt(0)),
        metadata=_doc(
            "seconds that an answer is given again; none: what each cache is set to, which always is the most"
        ),
    )
    max_temperature: float | None = field(
        default=None,
        validator=optional(ge(0)),
        metadata=_doc("temperature above which nothing is looked up or kept; a call that names none has 1; none: any"),
    )
    tools: bool = field(default=True, metadata=_doc("whether answers that call a tool are kept"))
    max_bytes: int | None = field(
        default=None,
        validator=optional(gt(0)),
        metadata=_doc(
            "bytes of an answer's text and tool arguments above which it is not kept; none: each cache's own"
        ),
    )
    share: Share = field(
        default="caller",
        validator=in_(SHARES),
        metadata=_doc(
            "who may get an answer again: the caller, the users of its tenant, or everyone; no request says it"
        ),
    )
    tags: tuple[str, ...] = field(
        default=(), converter=tuple, metadata=_doc("names that every stored answer gets, to be dropped by")
    )
    rules: tuple[Rule, ...] = field(
        default=(),
        converter=tuple,
        metadata=_doc(
            "tables of such settings for a `model` and a `route`, which may be patterns; the first that fits holds"
        ),
    )
    keep_statistics: bool | Path = field(
        default=True,
        metadata=_doc(
            "where programs add up what caches did: true for cache-statistics.db in clippy's folder of the user's "
            "data, a file's path, or false for this process's memory only"
        ),
    )
    _plan: Plan = field(init=False, repr=False)
    _plain: bool = field(init=False, repr=False)
    _books: Books = field(init=False, repr=False, factory=Books)
    _ledger: Ledger | None = field(init=False, repr=False, default=None)
    _host: Host | None = field(init=False, repr=False, default=None)
    _keeping: tuple[Mapping[str, object] | None, bool] = field(init=False, repr=False, default=(None, False))

    directives: ClassVar[tuple[str, ...]] = ("cache",)

    def __attrs_post_init__(self) -> None:
        self._plan = Plan(
            ttl=self.ttl,
            max_temperature=self.max_temperature,
            tools=self.tools,
            max_bytes=self.max_bytes,
            share=self.share,
            tags=self.tags,
        )
        self._plain = self._plan == Plan() and not self.rules
        self._begin()
        if self.path is not None:
            follow_forks(self, CachePolicy._rest, CachePolicy._resume, CachePolicy._begin)

    def _begin(self) -> None:
        """With nothing counted: a new process's."""
        self._books, path = Books(), self.path
        self._ledger = None if path is None else Ledger(path, self._books.read)

    def _rest(self) -> None:
        if self._ledger is not None:
            self._ledger.rest()

    def _resume(self) -> None:
        if self._ledger is not None:
            self._ledger.resume()

    @property
    def path(self) -> Path | None:
        """The file that programs add up their statistics in, None if they do not."""
        said = self.keep_statistics
        if isinstance(said, bool):
            return _default_path() if said else None
        return said.expanduser()

    @property
    def observes_only(self) -> bool:
        """It changes neither requests nor answers: stored answers do not depend on it."""
        return True

    def statistics(self) -> Statistics:
        """What caches did in this process since the plugin was made."""
        return Statistics.of(self._books.read())

    async def status_tables(self) -> tuple[StatusTable, ...]:
        """What caches did since this program began: hits by kind and cache, misses by reason."""
        return tables_of(self.statistics())

    @hookimpl
    @contextmanager
    def lifespan(self, host: Host) -> Iterator[None]:
        """Writes what is counted to the file while a host is open."""
        ledger, self._host = self._ledger, host
        if ledger is not None:
            ledger.start()
        try:
            yield
        finally:
            self._host = None
            if ledger is not None:
                # In a process forked meanwhile this is its own ledger, not the one that was started.
                (self._ledger or ledger).stop()

    # --- what caches may do -------------------------------------------------------------------------------------------

    @hookimpl
    def pre_request(self, request: Request, ctx: RequestContext) -> None:
        """What the settings, the block and the header say, each over the one before.

        Raises Refusal for a header that cannot be obeyed: it may have been meant to keep something out of caches.
        """
        words, block = ctx.directives.get("cache"), asked.get()
        if words is None and block is None and self._plain:
            return
        plan = self._plan
        if self.rules:
            plan = plan_for(plan, self.rules, request.model, ctx.route.name)
        control = plan.applied(ctx.cache_control, request)
        said = _directives(words, block) if words is not None else block
        ctx.cache_control = said.applied(control) if said is not None else control
        only = said is not None and said.only_if_cached
        if only or not plan.tools or plan.max_bytes is not None:
            ctx.stash[NOTES] = Notes(only_if_cached=only, tools=plan.tools, max_bytes=plan.max_bytes)

    @hookimpl(tryfirst=True)
    def compress_context(self, ctx: RequestContext) -> None:
        """No cache had it: what may only come from one ends here, before anybody asks a model to shorten it."""
        notes = self._noted(ctx)
        if notes.only_if_cached:
            raise _missed(notes, ctx)

    @hookimpl(trylast=True)
    def pre_attempt(self, request: Request, ctx: RequestContext) -> None:
        """Notes what the answer must be, once nobody else holds the attempt back."""
        notes = self._noted(ctx)
        if notes.only_if_cached:
            raise _missed(notes, ctx)
        if not notes.chat and request.endpoint.chat:
            notes.form, notes.chat = wanted_form(request), True

    def _noted(self, ctx: RequestContext) -> Notes:
        """What is noted of a request that no cache answered; an equal one may store its answer from here on."""
        notes = ctx.stash.setdefault(NOTES, Notes)
        if notes.was_known is None:
            notes.was_known = self._books.knows(ctx.key)
        return notes

    @hookimpl
    def on_response(self, response: Response, ctx: RequestContext) -> None:
        """Withdraws what must not be kept: an answer that is not what was asked for, or not what the settings allow."""
        notes = ctx.stash.get(NOTES)
        if notes is None or not notes.chat or not ctx.cache_control.store:
            return
        why = notes.fault_of(response) or fault_of(response, notes.form)
        if why is not None:
            notes.withdrawn = why
            ctx.cache_control = evolve(ctx.cache_control, store=False, reason=ctx.cache_control.reason or why)

    @hookimpl(trylast=True)
    def cache_store(self, key: str, entry: CacheEntry, request: Request, ctx: RequestContext) -> None:
        """Notes that caches were given an answer, and what its key was made of."""
        notes = ctx.stash.get(NOTES)
        if notes is None:
            return
        if self._host is not None and not self._some_keep(self._host.plugins):
            notes.withdrawn = "no cache is active"
            return
        notes.stored = key
        if self._ledger is not None:
            self._ledger.store(stored_key(key, entry.stored_at, request.model[:200], ctx.key_fields()))

    def _some_keep(self, plugins: Mapping[str, object]) -> bool:
        """Whether a cache is among the *plugins* of our host, which makes another mapping when they change."""
        known, some = self._keeping
        if known is not plugins:
            self._keeping = plugins, some = plugins, any(map(keeps, plugins.values()))
        return some

    # --- what they did ------------------------------------------------------------------------------------------------

    @hookimpl
    def audit(self, record: AuditRecord, ctx: RequestContext) -> None:
        """Counts the request, unless a command made it."""
        notes, given = ctx.stash.get(NOTES), record.provenance
        if uncounted.get():
            pass  # What it stored is written all the same.
        elif given is not None and given.source == "cache":
            self._books.hit(record, ctx, given)
        else:
            self._books.miss(record, ctx, notes)
        if self._ledger is not None:
            self._ledger.changed(record.time)

    @hookimpl
    def register_commands(self, cli: Any) -> None:
        from .commands import cache_group

        cli.add_command(cache_group(cli, self.path))


def _default_path() -> Path:
    return platformdirs.user_data_path("clippy", appauthor=False) / "cache-statistics.db"


def _directives(words: str, block: Directives | None) -> Directives:
    """What a header says, within what a block says around it.  Raises Refusal."""
    try:
        said = _parsed(words)
        return said if block is None else said.within(block)
    except ValueError as error:
        raise Refusal(f"{HEADER}: {error}", 400, "cache_directive") from error


def _missed(notes: Notes, ctx: RequestContext) -> Refusal:
    """As RFC 9111, section 5.2.1.7, has it: a 504."""
    notes.refused = True
    if ctx.parent is None and (told := explained.get()) is not None:
        told.append((ctx.key, ctx.key_fields()))
    return Refusal("no cache has an answer to this request, and it said only-if-cached", 504, "not_cached")
