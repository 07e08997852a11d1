"""The hooks, in the order in which they are called.  The docstrings are the reference.

Each answers five questions: what it is for, when it is called, what a return means, whether it may await, and what
happens when it fails.  ``def`` and ``async def`` both work in sync and async hosts unless a hook says otherwise.
"""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager, AbstractContextManager
from typing import TYPE_CHECKING, Any

from .policy import hook

if TYPE_CHECKING:
    from .context import RequestContext
    from .decisions import Answer, ErrorDecision, Join
    from .errors import ErrorInfo
    from .records import AuditRecord, CacheEntry, Event, Failure, Outcome, Selector
    from .services import Host, ServiceRegistry
    from .types import Chunk, Request, Response

# --- the life of the host -------------------------------------------------------------------------------------------


@hook(combine="all", on_failure="raise")
def lifespan(host: Host) -> AbstractContextManager[Any] | AbstractAsyncContextManager[Any]:
    """Open and close what the plugin holds: files, connections, threads.

    Called when the host opens (on its first request, or by ``with host``), once for each event loop that uses it.
    Returns a context manager, plain or async (decorate with ``@contextmanager`` or ``@asynccontextmanager`` below
    ``@hookimpl``); the host enters it at once and leaves it when it closes, in reverse order of entering.
    Itself a plain ``def``; an async context manager may await.
    A failure on entering stops the host from opening; a failure on leaving is logged and the rest is still closed.
    """
    raise AssertionError("a specification is not called")


@hook(combine="all", on_failure="raise", may_await=False)
def register_services(services: ServiceRegistry) -> None:
    """Offer a service to other plugins: ``services.offer(TokenCounter, self)``.

    Called once when the host is built, before anything is opened.
    The return value is ignored; the outermost plugin that offers a Protocol wins.
    May not await.
    A failure stops the host from being built.
    """


@hook(combine="all", on_failure="skip", may_await=False)
def register_commands(cli: Any) -> None:
    """Add commands to the ``clippy`` command line: ``cli`` is its click group.

    Called when a command is asked for that the distribution tells of: an entry point of the group ``clippy.commands``
    is its name and the function (``module:function``, ``module:Class.method``) whose docstring is its help.  A list of
    commands is made from these, and no plugin is imported for it; but one made for a contract before 0.1.2 that tells
    of none is asked whenever all commands are wanted.  A command that needs the plugins and services of the
    configuration uses ``with cli.host() as host:``, an open Host, and ``cli.run(awaitable)`` for what that offers as
    ``async``.
    The return value is ignored.
    May not await.
    A failure is reported and the command line works without these commands.
    """


@hook(combine="all", on_failure="skip", may_await=False)
def register_routes(app: Any) -> None:
    """Add pages to the gateway: ``app.route(method, path, handler)``.

    Called when a gateway starts.
    The return value is ignored.
    May not await.
    A failure is reported and the gateway works without these pages.
    """


# --- the way in ------------------------------------------------------------------------------------------------------


@hook(combine="fold", on_failure="raise")
def pre_request(request: Request, ctx: RequestContext) -> Request | Answer | None:
    """Look at a request before anything else happens to it: identity, limits, guards, redaction.

    Called once for each request, outermost plugin first.
    A Request replaces it, an Answer ends it here without asking anybody, None leaves it as it is; raising a Refusal
    tells the caller no.
    May await.
    A failure ends the request with a PluginError: a half-redacted request must not leave.
    """


@hook(combine="first", on_failure="skip")
def cache_lookup(key: str, request: Request, ctx: RequestContext) -> CacheEntry | Join | None:
    """Answer a request from what is stored.

    Called after pre_request for requests that may be cached, outermost plugin first; what returns Join is asked last.
    ``key`` stands for everything that can change the answer, the caller's scope included.
    A CacheEntry is delivered like a live answer, Join shares the flight that is under way, None is a miss.
    Asked with ``ctx.stale_within`` above 0, after a failure, an entry may be that many seconds past its time.
    May await.
    A failure is a miss.
    """


@hook(combine="fold", on_failure="skip")
def compress_context(request: Request, budget: int | None, ctx: RequestContext) -> Request | None:
    """Make the conversation fit.

    Called before the first attempt and again after a switch to another route.  ``budget`` is the number of input tokens
    the route allows, None if nobody knows.
    A Request replaces it, None leaves it.  The host then checks that no tool result lost its call.
    May await.
    A failure sends the conversation as it is; a result that breaks the pairing is dropped with a log line.
    """


@hook(combine="fold", on_failure="raise")
def pre_attempt(request: Request, ctx: RequestContext) -> Request | None:
    """Prepare one upstream attempt: its headers, its place in a pool, its span.

    Called before each attempt, ``ctx.attempt`` counts them.  What it returns holds for this attempt only.
    A Request replaces it, None leaves it.  Raising AttemptRefused makes the attempt fail without being sent.
    May await.
    A failure ends the request with a PluginError.
    """


# --- when an attempt ends ---------------------------------------------------------------------------------------------


@hook(combine="first", on_failure="skip", order="inner first")
def classify_error(failure: Failure, ctx: RequestContext) -> ErrorInfo | None:
    """Say what kind of failure this is.

    Called when an attempt failed, before post_attempt and on_error.
    The first ErrorInfo counts; None asks the next.  Without any the failure is ``unknown`` and nobody retries it.
    May await.
    A failure asks the next plugin.
    """


@hook(combine="all", on_failure="skip", order="inner first")
def post_attempt(outcome: Outcome, ctx: RequestContext) -> None:
    """Learn how an attempt ended: breakers, spans and slots end here.

    Called exactly once for each attempt for which pre_attempt was started, also when it was cancelled or another
    plugin's pre_attempt raised; a stream's attempt ends with its terminal event, failure or close.
    The return value is ignored.
    May await.
    A failure is logged.
    """


@hook(combine="first", on_failure="skip", order="inner first")
def on_error(error: ErrorInfo, ctx: RequestContext) -> ErrorDecision | None:
    """Decide what to do about a failed attempt.

    Called after post_attempt, innermost plugin first, so that a retry is asked before the fallback around it.
    Retry(after) sends again, Switch(route) goes elsewhere, Answer(response) answers instead, Stale(within) answers with
    what a cache keeps beyond its time; None asks the next, and if nobody decides the caller gets the failure.
    When ``error.committed`` only Restart and Continue are possible.
    May await.
    A failure asks the next plugin.
    """


# --- the way out -----------------------------------------------------------------------------------------------------


@hook(combine="fold", on_failure="raise", may_await=False, order="inner first")
def on_chunk(chunk: Chunk, ctx: RequestContext) -> Chunk | list[Chunk] | None:
    """See and change each chunk of a stream.

    Called for every chunk, live or replayed, innermost plugin first, and for the host's own ``stop`` and ``end``.
    None passes it on, a Chunk replaces it, a list replaces it by several ([] drops it); each goes down the chain.
    A plugin that holds text back must give it up on ``stop`` and ``end``.
    A plain ``def``: this is the hot path.
    A failure ends the stream with a PluginError.
    """


@hook(combine="fold", on_failure="raise", order="inner first")
def on_response(response: Response, ctx: RequestContext) -> Response | None:
    """See and change the whole answer.

    Called when the answer is complete, innermost plugin first: for a stream when its terminal event has arrived and
    before that is handed on, with the answer assembled from what the plugins made of the chunks.
    A Response replaces it, None leaves it.  For a stream the result is ignored, raising withholds the terminal event.
    May await.
    A failure ends the request with a PluginError, and the answer is not stored.
    """


@hook(combine="all", on_failure="skip")
def cache_store(key: str, entry: CacheEntry, request: Request, ctx: RequestContext) -> None:
    """Keep an answer.

    Called after on_response when the answer is complete, with what the provider sent, before any plugin changed it;
    and after a hit for the caches that were asked before the one that answered, with the entry's own times.
    The return value is ignored.
    May await.
    A failure is logged.
    """


@hook(combine="all", on_failure="skip")
def cache_invalidate(selector: Selector) -> None:
    """Drop stored answers.

    Called by ``host.invalidate``.  Every part that the selector gives must fit; one that gives none names everything.
    ``selector.scope`` names what was stored for it and within it: a tenant's users and sessions belong to the tenant.
    A scope that says nothing is that of calls without a scope, and not everybody's.
    The return value is ignored.
    May await.
    A failure is raised by ``host.invalidate``, whatever the policy, when all caches have been told: an ExceptionGroup.
    So raise if something that was named is still there.
    """


# --- the record ------------------------------------------------------------------------------------------------------


@hook(combine="all", on_failure="skip")
def audit(record: AuditRecord, ctx: RequestContext) -> None:
    """Learn what became of a request: settle what was reserved, then write it down.

    Called exactly once for each request, whatever happened: answered, cached, refused, failed, cancelled, abandoned.
    Plugins that settle go first; one that records says ``trylast``.  ``record.trace`` has every decision.
    The return value is ignored.
    May await, for at most two seconds after a cancellation.
    A failure is logged; a plugin that must not lose a record sets ``on_failure = "raise"``.
    """


@hook(combine="all", on_failure="skip", may_await=False)
def observe(event: Event, ctx: RequestContext) -> None:
    """Record what happens inside, for debuggers and recorders.

    Called for every attempt, head, piece of bytes, chunk in and out, hook call and close.
    The return value is ignored.
    A plain ``def``: this is the hot path; without an implementation it costs one test.
    A plugin with a false ``observes_passed`` need not be told of calls that returned nothing, as nearly all hooks do:
    ``ctx.trace`` has them too, with their times, and an event for each is most of what observing costs.
    A failure is logged once and counted.
    """
