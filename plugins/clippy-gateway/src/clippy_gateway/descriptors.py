"""Open files: those that a process may have at first are too few for the connections of a gateway."""

from __future__ import annotations

import logging

log = logging.getLogger("clippy.gateway")

_PLENTY = 65_536
"""Containers often allow 2^30, and programs that close every number there may be would take minutes over it."""


def allow_connections(concurrency: int) -> None:
    """Raise the limit of open files to 65536, or more if *concurrency* needs it, and say where that cannot be had.

    Systems give 1024 for the sake of programs that still call ``select``, and far more to who asks (systemd's notes on
    its ``LimitNOFILE``).  A request takes two: its caller's connection, and one to a provider.
    """
    try:
        import resource
    except ImportError:  # Windows has no such limit
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    endless = resource.RLIM_INFINITY
    needed = 2 * concurrency
    wanted = max(soft, needed) if hard == endless else min(hard, max(soft, needed, _PLENTY))
    if soft not in (endless, wanted):
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
            soft = wanted
        except (OSError, ValueError):
            pass  # macOS has another limit behind an endless one
    if soft != endless and soft < needed:
        log.warning(
            "this process may have %d files open, and plugins.gateway.limits.concurrency = %d takes %d: allow it more "
            "(systemd: LimitNOFILE=, containers: --ulimit nofile=, a shell: ulimit -n), or say less",
            soft, concurrency, needed,
        )  # fmt: skip
