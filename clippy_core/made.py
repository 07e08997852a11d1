"""What a host is made of at present, for everybody to look at."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from clippy_hookspecs import RouteInfo

    from .chains import Chains
    from .config import Config
    from .discovery import Discovered
    from .faults import Faults
    from .registry import ServicesView
    from .serving import Serving


class Made:
    """The part of a host that shows the tables which serve it now."""

    _serving: Serving

    @property
    def config(self) -> Config:
        """What the configuration says."""
        return self._serving.current.config

    @property
    def discovered(self) -> Discovered:
        """What became of each plugin that is installed or given."""
        return self._serving.current.discovered

    @property
    def chains(self) -> Chains:
        """The compiled chains."""
        return self._serving.current.chains

    @property
    def faults(self) -> Faults:
        """The failures of plugins that were skipped."""
        return self.chains.faults

    @property
    def services(self) -> ServicesView:
        """The services, as a sync program sees them."""
        return self._serving.current.views[True]

    @property
    def plugins(self) -> Mapping[str, object]:
        """The active plugins by name."""
        return self._serving.current.plugins

    @property
    def routes(self) -> Mapping[str, RouteInfo]:
        """The routes of the configuration by name, the default one first."""
        from clippy_hookspecs import RouteInfo

        routes = sorted(self.config.host.routes.items(), key=lambda item: not item[1].default)
        return MappingProxyType({name: RouteInfo(name, route.api, route.base_url) for name, route in routes})

    @property
    def owns_retries(self) -> bool:
        """Whether a plugin decides what happens after a failure, so that an SDK must not do it as well."""
        return bool(self.chains.on_error)
