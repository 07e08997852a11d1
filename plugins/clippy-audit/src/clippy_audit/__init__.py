"""Writes one line for each request, without secrets."""

from attrs import define


@define(eq=False)
class AuditLog:
    """Writes one line for each request, without secrets."""
