"""Servers for the tests of this plugin."""

from __future__ import annotations

from redis_fixtures import server, shared_server, start_server

__all__ = ["server", "shared_server", "start_server"]
