"""The plugin: a meter for each stream."""

from __future__ import annotations

from attrs import define, field
from attrs.validators import ge
from clippy_hookspecs import Chunk, Request, RequestContext, hookimpl

from .meter import METER, Meter, Metrics
from .streams import Streams


@define(eq=False)
class StreamMonitor:
    """Measures every stream: first token, gaps, rates, usage."""

    keep: int = field(
        default=64, validator=ge(0), metadata={"doc": "ended streams whose figures can still be asked for"}
    )
    _streams: Streams = field(init=False, repr=False)

    @_streams.default
    def _none_yet(self) -> Streams:
        return Streams(self.keep)

    @property
    def observes_only(self) -> bool:
        """It looks at answers and changes none: cached answers do not depend on it."""
        return True

    def metrics(self, request_id: str) -> Metrics:
        """What can be said of this request's stream, also for a while after its end.  Raises UnknownStream."""
        return self._streams.get(request_id).metrics()

    def live(self) -> tuple[Metrics, ...]:
        """The streams that have not ended, the oldest first."""
        return tuple(meter.metrics() for meter in self._streams.living())

    def ended(self) -> tuple[Metrics, ...]:
        """The streams that have ended lately, the newest last."""
        return tuple(meter.metrics() for meter in self._streams.ended())

    @hookimpl
    def pre_request(self, request: Request, ctx: RequestContext) -> None:
        """A stream is asked for: count it."""
        if ctx.stream:
            meter = Meter.of(ctx, request.model)
            meter.fed = True
            self._streams.add(meter)

    @hookimpl(trylast=True)
    def pre_attempt(self, ctx: RequestContext) -> None:
        """The first token is waited for from here."""
        meter = ctx.stash.get(METER)
        if meter is not None:
            meter.start()

    @hookimpl(trylast=True)
    def on_chunk(self, chunk: Chunk, ctx: RequestContext) -> None:
        """Count what the provider sent, before any other plugin changes it."""
        meter = ctx.stash.get(METER)
        if meter is not None:
            meter.saw(chunk)
