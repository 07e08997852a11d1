"""One host under every HTTP client of a program that does not know of it: what ``clippy run`` does in the program.

httpx and httpx2 ask their client for the transport of each request; that is the one place where a host is put in
between.  So it does not matter how a client was made: by an SDK, as a subclass, with a transport or proxies of its own,
before an event loop ran.  Nothing of the client is changed, and what it closes is what it opened.

Of the program's requests only those to models go through the host, see :meth:`Instrument.concerns`.  Left alone are
clients that a host of the program's own is under already, and clients that the host or a plugin makes: a plugin that
asks a model would otherwise be asked about its own question.
"""

from __future__ import annotations

import functools
import json
import os
import sys
import threading
from types import ModuleType
from typing import TYPE_CHECKING, Any

from .import_watch import ImportWatch, Then
from .in_front import host_of

if TYPE_CHECKING:
    from .host import Host

VARIABLE = "CLIPPY_RUN"
"""Environment variable with the arguments of ``clippy run``, for the program's interpreter and its children."""
_SDK_HEADER = "x-stainless-lang"
"""Both official SDKs, and the others that come from the same generator, send this with every request."""


def begin() -> None:
    """Watch this interpreter's imports, and put a host under the clients of the modules that come."""
    said = json.loads(os.environ.get(VARIABLE, "{}"))
    ImportWatch(Instrument(said.get("config"), said.get("folder"), said.get("every", False)).wanted).start()


class Instrument:
    """The host of one process, made when the first request or SDK client needs it, and what is put under clients.

    *config* is the configuration's file; without one it is looked for from *folder* on upwards.  With *every* all
    requests go through the host, not only those to models.
    """

    def __init__(self, config: str | None = None, folder: str | None = None, every: bool = False) -> None:
        self._config, self._folder, self._every = config, folder, every
        self._lock = threading.Lock()
        self._host: Host | None = None
        os.register_at_fork(after_in_child=self._renew_lock)

    def wanted(self, module: str) -> Then | None:
        """What to do when *module* has been imported."""
        if module in ("httpx", "httpx2"):
            return self.put_under_clients
        return self.take_over_retries if module.endswith("._base_client") else None

    def host(self) -> Host:
        """The host that the configuration describes.  Raises ConfigError."""
        if self._host is None:
            from .config import read_config
            from .host import Host

            with self._lock:
                if self._host is None:
                    self._host = Host(None, config=read_config(self._config, cwd=self._folder))
        return self._host

    def concerns(self, module: ModuleType, request: Any) -> bool:
        """Whether a request is one to a model: an SDK's, or a POST to a wire API's address whose body names a model.

        An address alone says too little: ``POST .../messages`` is also how a chat program sends a message, and that may
        neither be answered from a cache nor be sent twice.
        """
        if self._every or _SDK_HEADER in request.headers:
            return True
        from .jsonio import loads
        from .wire import find

        _, endpoint = find(request.method, request.url.path)
        if request.method != "POST" or endpoint.body != "json":
            return False
        try:
            body = loads(request.content)
        except (module.RequestNotRead, ValueError):  # a body that is still to be made, or that is no JSON
            return False
        return isinstance(body, dict) and isinstance(body.get("model"), str)

    # --- what is done to modules --------------------------------------------------------------------------------------

    def put_under_clients(self, module: ModuleType) -> None:
        """Let the clients of httpx or httpx2 ask us for the transport of each request."""
        for kind in (module.Client, module.AsyncClient):
            if not hasattr(kind, "_transport_for_url"):
                version = getattr(module, "__version__", "of this version")
                _say(f"{module.__name__} {version} is not known; its clients run without plugins")
                return
            self._patch(module, kind)

    def _patch(self, module: ModuleType, kind: Any) -> None:
        init, transport_for_url = kind.__init__, kind._transport_for_url  # noqa: SLF001

        @functools.wraps(init)
        def noted(client: Any, *args: Any, **kwargs: Any) -> None:
            init(client, *args, **kwargs)
            if _called_by_us():
                client._clippy_own = True  # noqa: SLF001

        @functools.wraps(transport_for_url)
        def under_host(client: Any, url: Any) -> Any:
            inner = transport_for_url(client, url)
            if getattr(client, "_clippy_own", False) or host_of(inner) is not None:  # the program's own
                return inner
            known: dict[int, _Between] = client.__dict__.setdefault("_clippy_between", {})
            between = known.setdefault(id(inner), _Between(self, module, inner))
            between.instead_of = getattr(client, "_clippy_instead_of", 0)
            return between

        kind.__init__, kind._transport_for_url = noted, under_host  # noqa: SLF001

    def take_over_retries(self, module: ModuleType) -> None:
        """Let an SDK's clients leave retries to the host while a plugin owns them, as ``wrap`` does.

        *module* is where SDKs of the generator have their ``BaseClient`` and its sync and async kinds, which make or
        take an HTTP client; one of another make is left as it is.
        """
        base = getattr(module, "BaseClient", None)
        if "max_retries" not in getattr(base, "__annotations__", {}):
            return
        for kind in vars(module).values():
            if isinstance(kind, type) and kind is not base and issubclass(kind, base) and "__init__" in vars(kind):  # type: ignore[arg-type]
                self._silence(kind)

    def _silence(self, kind: Any) -> None:
        init = kind.__init__

        @functools.wraps(init)
        def without_retries(client: Any, *args: Any, **kwargs: Any) -> None:
            init(client, *args, **kwargs)
            if client.max_retries and not _called_by_us() and self.host().owns_retries:
                client._client._clippy_instead_of = client.max_retries  # noqa: SLF001
                client.max_retries = 0

        kind.__init__ = without_retries

    def _renew_lock(self) -> None:
        self._lock = threading.Lock()  # the parent's may be held by a thread that is not here


class _Between:
    """A client's transport, with the host in front of it for the requests that concern it.

    ``instead_of`` are the retries of an SDK that the host takes over.
    """

    def __init__(self, instrument: Instrument, module: ModuleType, inner: Any) -> None:
        self._instrument, self._module = instrument, module
        self._clippy_inner = inner
        self._under_host: Any = None
        self.instead_of = 0

    def handle_request(self, request: Any) -> Any:
        return self._for(request, "transport").handle_request(request)

    async def handle_async_request(self, request: Any) -> Any:
        return await self._for(request, "async_transport").handle_async_request(request)

    def _for(self, request: Any, make: str) -> Any:
        if not self._instrument.concerns(self._module, request):
            return self._clippy_inner
        if self._under_host is None:
            from . import transports

            host = self._instrument.host()
            self._under_host = getattr(transports, make)(host, self._module, self._clippy_inner)
        self._under_host.gave_up.instead_of = self.instead_of
        return self._under_host

    def __getattr__(self, name: str) -> Any:
        return getattr(self._clippy_inner, name)


def _called_by_us() -> bool:
    """Whether the core is among the callers: then it is the host or a plugin that makes a client."""
    frame = sys._getframe(2)  # noqa: SLF001
    while frame is not None:
        name = frame.f_globals.get("__name__", "")
        if name.startswith("clippy_core.") and name != __name__:
            return True
        frame = frame.f_back  # type: ignore[assignment]
    return False


def _say(text: str) -> None:
    sys.stderr.write(f"clippy run: {text}\n")
