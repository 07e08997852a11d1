"""``python -m clippy_core.cli``, for an interpreter whose scripts are not on the path."""

from . import main

main()
