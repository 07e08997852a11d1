"""The plugin: finds live streams by their request's id and does to them what their flow can do."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from attrs import asdict, define, field
from attrs.validators import ge
from clippy_hookspecs import Host, Request, RequestContext, StatusTable, hookimpl
from clippy_stream_monitor import Meter, Streams

from .control import Control, runtime_folder
from .progress import Progress, progress_of

MOST_ROWS = 200
_COLUMNS = ("id", "state", "model", "for, s", "tokens", "tokens a second", "percentage")


@define(eq=False)
class StreamController:
    """Pauses, resumes, limits and cancels live streams, and tells how far they are.

    Every method may be called from any task and thread.  A stream's id is that of its request's context:
    ``stream.context.id`` of our own client, ``response.extensions["clippy"].id`` under an SDK.  What has ended is still
    found for a while, and nothing happens to it; any other id raises :class:`UnknownStream`.
    """

    keep: int = field(default=64, validator=ge(0), metadata={"doc": "ended streams that can still be asked for"})
    control: bool = field(
        default=False,
        metadata={"doc": "let `clippy streams` of the same user reach this process, through a unix socket"},
    )
    folder: Path | None = field(
        default=None,
        metadata={"doc": "where that socket lies; by default in the user's runtime folder; a short path"},
    )
    _streams: Streams = field(init=False, repr=False)

    @_streams.default
    def _none_yet(self) -> Streams:
        return Streams(self.keep)

    @property
    def observes_only(self) -> bool:
        """It changes no request and no answer: cached answers do not depend on it."""
        return True

    # --- what programs call -------------------------------------------------------------------------------------------

    def live(self) -> tuple[Progress, ...]:
        """The streams that have not ended, the oldest first."""
        return tuple(map(progress_of, self._streams.living()))

    def progress(self, request_id: str) -> Progress:
        """How far it is."""
        return progress_of(self._streams.get(request_id))

    def expect(self, request_id: str, tokens: int | None) -> None:
        """Say how many tokens its answer will have, so that its percentage is known; None takes that back.

        Only the caller can know: a request's ``max_tokens`` is where an answer is cut and not how long it will be.
        Raises ValueError for a number that is not above zero.
        """
        if tokens is not None and tokens <= 0:
            raise ValueError(f"an answer of {tokens} tokens cannot be expected; give a number above 0, or None")
        self._streams.get(request_id).expected = tokens

    def pause(self, request_id: str) -> None:
        """Stop reading after the current chunk: the provider's sending blocks once what lies between is full."""
        self._streams.get(request_id).flow.pause()

    def resume(self, request_id: str) -> None:
        """Go on reading."""
        self._streams.get(request_id).flow.resume()

    def limit(self, request_id: str, chunks_per_second: float | None) -> None:
        """Read at most so fast; None as fast as it comes.  Raises ValueError for a rate that is not above zero."""
        self._streams.get(request_id).flow.limit(chunks_per_second)

    def cancel(self, request_id: str, reason: str = "cancelled", by: str = "program") -> None:
        """Close the upstream connection; whoever reads the stream gets an error with this *reason*.

        *by* is who does it, as ``AuditRecord.ended_by`` says.
        """
        self._streams.get(request_id).flow.cancel(reason, by)

    async def status_tables(self) -> tuple[StatusTable]:
        """The streams that have not ended, the oldest first, at most 200."""
        rows = tuple(
            (one.id, one.state, one.model, round(one.seconds, 3), one.tokens, one.rate, one.percentage)
            for one in self.live()[:MOST_ROWS]
        )
        return (StatusTable("live streams", _COLUMNS, rows),)

    # --- what the host calls ------------------------------------------------------------------------------------------

    @hookimpl
    def pre_request(self, request: Request, ctx: RequestContext) -> None:
        """A stream is asked for: from now on it can be found."""
        if ctx.stream:
            self._streams.add(Meter.of(ctx, request.model))

    @hookimpl
    @contextmanager
    def lifespan(self, host: Host) -> Iterator[None]:
        """Listen for ``clippy streams`` while the host is open, if that is wanted."""
        if not self.control:
            yield
            return
        control = Control(self.folder or runtime_folder(), self._asked)
        control.open()
        try:
            yield
        finally:
            control.close()

    @hookimpl
    def register_commands(self, cli: Any) -> None:
        """``clippy streams``: the same from another process."""
        from .commands import streams_group

        cli.add_command(streams_group(self.folder or runtime_folder()))

    def _asked(self, what: str, request_id: str) -> dict[str, Any]:
        """What another process of the same user asks."""
        if what == "list":
            return {"streams": [asdict(stream) for stream in self.live()]}
        if what == "cancel":
            self.cancel(request_id, "cancelled by clippy streams", "operator")
        elif what == "pause":
            self.pause(request_id)
        elif what == "resume":
            self.resume(request_id)
        elif what != "show":
            raise LookupError(f"there is no command {what!r}")
        return {"streams": [asdict(self.progress(request_id))]}
