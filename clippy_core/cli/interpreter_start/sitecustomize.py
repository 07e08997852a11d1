"""What ``clippy run`` adds to a program: Python imports this by itself before the program, and in its child processes.

The environment's own ``sitecustomize``, which this one stands before, is imported as if this were not there.
"""

from __future__ import annotations

import importlib
import os
import sys


def _begin() -> None:
    here = os.path.dirname(os.path.abspath(__file__))  # noqa: PTH100, PTH120 - pathlib would be imported for this alone
    sys.path[:] = [entry for entry in sys.path if os.path.abspath(entry) != here]  # noqa: PTH100
    try:
        _import_the_next()
    finally:
        _instrument()


def _import_the_next() -> None:
    this = sys.modules.pop(__name__)
    try:
        importlib.import_module(__name__)
    except ModuleNotFoundError as error:
        if error.name != __name__:
            raise
        sys.modules[__name__] = this


def _instrument() -> None:
    try:
        from clippy_core.instrument import begin
    except ModuleNotFoundError as error:
        if error.name != "clippy_core":
            raise
        return  # an interpreter of another environment, started by the program
    begin()


_begin()
