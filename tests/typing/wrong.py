"""What a type checker must find: each line with a comment is wrong in the way that the comment names.  Never run."""

from __future__ import annotations

import openai
from attrs import define
from clippy_hookspecs import (
    Chunk,
    ErrorInfo,
    Message,
    Request,
    RequestContext,
    Response,
    Retry,
    StashKey,
    TextFilter,
    TokenCounter,
    evolve,
    hookimpl,
)

import clippy_core

COUNT = StashKey[int]("wrong.count")


@define(eq=False)
class Wrong:
    """A plugin with the slips that people make."""

    @hookimpl
    def pre_request(self, request: Request, ctx: RequestContext) -> Request | None:
        request.model = "other"  # misc
        ctx.stash[COUNT] = "three"  # misc
        _ = ctx.scop  # attr-defined
        return evolve(request, modle="other")  # call-arg

    @hookimpl
    def on_error(self, error: ErrorInfo, ctx: RequestContext) -> Retry | None:
        if error.category == "tranisent":  # comparison-overlap
            return None
        return Retry(after="3")  # arg-type

    @hookimpl(tryfrist=True)  # call-overload untyped-decorator
    def on_chunk(self, chunk: Chunk, ctx: RequestContext) -> Chunk | None:
        return Chunk("txt", "a")  # arg-type


class Quiet(TextFilter):
    """A filter that forgets what it holds back."""

    def filter(self, text: str, final: bool, ctx: RequestContext) -> str:  # override
        return text


class Words:
    """A counter without its second method."""

    def count(self, text: str, model: str = "") -> int:
        return 0


counter: TokenCounter = Words()  # assignment


def call(host: clippy_core.Host) -> None:
    """Calls that cannot work."""
    answer: Response = host.wrap(openai.OpenAI())  # assignment
    clippy_core.Client(host).chat(Message("user"))  # arg-type
    clippy_core.Client(host).chat("Hi", tools=["clock"])  # list-item
    clippy_core.Host.from_config(7)  # arg-type
    with host.scope(tenant=1):  # arg-type
        _ = answer.txt  # attr-defined
