"""The services of one host, and their adaptation to the colour of who asks."""

from __future__ import annotations

import inspect
from typing import Any

from .driven import about_to_wait
from .portal import Portal


class Registry:
    """What ``register_services`` gets: the first offer of a Protocol wins, and plugins are asked outermost first."""

    def __init__(self) -> None:
        self._offers: dict[type[Any], object] = {}

    def offer(self, protocol: type[Any], provider: object) -> None:
        """Offer *provider* for *protocol*.

        Raises TypeError, with the names, if *provider* lacks methods of the Protocol.
        """
        missing = [name for name in _methods(protocol) if not callable(getattr(provider, name, None))]
        if missing:
            what = f"{type(provider).__name__} is offered as {protocol.__name__} and lacks {', '.join(missing)}"
            raise TypeError(what)
        self._offers.setdefault(protocol, provider)

    def add(self, offers: Registry) -> None:
        """Take over another's offers, for what nobody has offered yet."""
        for protocol, provider in offers._offers.items():
            self._offers.setdefault(protocol, provider)

    def find(self, protocol: type[Any]) -> object | None:
        """The provider as it was offered."""
        return self._offers.get(protocol)


class ServicesView:
    """The services as one colour sees them: async methods can be awaited, whatever they are written in.

    A provider that really waits may bring ``blocking``, the same for threads without an event loop: its methods are
    ``async def`` too and block instead of suspending.  A sync host then needs no portal for it, which is several times
    faster, and works where the thread happens to run an event loop of somebody else's.
    """

    def __init__(self, registry: Registry, portal: Portal, sync: bool) -> None:
        self._registry, self._portal, self._sync = registry, portal, sync
        self._adapted: dict[type[Any], Any] = {}

    def get(self, protocol: Any, *default: Any) -> Any:
        """The provider of *protocol*; without one *default*, or LookupError if there is no default."""
        if protocol in self._adapted:
            return self._adapted[protocol]
        provider = self._registry.find(protocol)
        if provider is None:
            if default:
                return default[0]
            raise LookupError(f"no plugin offers {protocol.__name__}; install one that does, or ask with a default")
        self._adapted[protocol] = adapted = self._adapt(protocol, provider)
        return adapted

    def _adapt(self, protocol: type[Any], provider: Any) -> Any:
        waiting = [name for name in _methods(protocol) if inspect.iscoroutinefunction(getattr(protocol, name))]
        foreign = {name: self._method(getattr(provider, name)) for name in waiting if self._is_foreign(provider, name)}
        blocking = getattr(provider, "blocking", None)
        if self._sync and blocking is not None:
            foreign = {name: self._unless_here(getattr(blocking, name), getattr(provider, name)) for name in foreign}
        return _Adapted(provider, foreign) if foreign else provider

    def _unless_here(self, blocking: Any, method: Any) -> Any:
        """What never suspends for the threads of a sync host, and what waits for the async hooks on its portal."""

        async def either(*arguments: Any, **named: Any) -> Any:
            return await (method if self._portal.here() else blocking)(*arguments, **named)

        return either

    def _is_foreign(self, provider: Any, name: str) -> bool:
        """Whether a method cannot just be awaited here: it blocks, or it really waits and a host must know that."""
        is_async = inspect.iscoroutinefunction(getattr(provider, name))
        return not is_async or not getattr(provider, "inline", False)

    def _method(self, method: Any) -> Any:
        is_async = inspect.iscoroutinefunction(method)
        if is_async and not self._sync:

            async def waiting(*arguments: Any, **named: Any) -> Any:
                await about_to_wait()
                return await method(*arguments, **named)

            return waiting
        if is_async:

            async def on_portal(*arguments: Any, **named: Any) -> Any:
                if self._portal.here():  # an async hook of a sync host asks: it is on the portal already
                    return await method(*arguments, **named)
                return self._portal.run(method(*arguments, **named))

            return on_portal
        if self._sync:

            async def in_place(*arguments: Any, **named: Any) -> Any:
                return method(*arguments, **named)

            return in_place

        import anyio.to_thread  # a sync program needs no anyio

        async def in_thread(*arguments: Any, **named: Any) -> Any:
            await about_to_wait()
            return await anyio.to_thread.run_sync(lambda: method(*arguments, **named))

        return in_thread


class _Adapted:
    """A provider with some of its methods replaced."""

    def __init__(self, provider: Any, methods: dict[str, Any]) -> None:
        self._provider = provider
        self.__dict__.update(methods)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._provider, name)


def _methods(protocol: type[Any]) -> list[str]:
    return [name for name, value in vars(protocol).items() if not name.startswith("_") and inspect.isfunction(value)]
