"""Tool calls and their results."""


def pairing_fault(before: object, after: object) -> str | None:
    return None
