"""Which signals end a server in good order."""

from __future__ import annotations

import signal


def ending_signals() -> tuple[signal.Signals, ...]:
    """SIGTERM, SIGINT, and SIGHUP (the terminal was closed), unless that was ignored from the start, as by nohup."""
    hup = getattr(signal, "SIGHUP", None)
    both = (signal.SIGTERM, signal.SIGINT)
    return both if hup is None or signal.getsignal(hup) is signal.SIG_IGN else (*both, hup)
