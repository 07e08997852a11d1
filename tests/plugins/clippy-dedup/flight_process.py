"""One of several processes that ask the same: its callers are threads, its answers one line of JSON.

    python flight_process.py STORE URL CALLERS ABOARD

Makes the file ABOARD when its callers are in their flight.
"""

from __future__ import annotations

import json
import sys
import threading
import time
from pathlib import Path
from typing import Any

import httpx
from attrs import define, field
from clippy_dedup import Dedup
from clippy_hookspecs import AuditRecord, hookimpl
from clippy_state_sqlite import SqliteState

import clippy_core

BODY = {"model": "m", "temperature": 0, "messages": [{"role": "user", "content": "Hello"}]}


@define(eq=False)
class Outcomes:
    """What became of each request."""

    said: list[str] = field(factory=list)

    @hookimpl
    def audit(self, record: AuditRecord) -> None:
        self.said.append(record.outcome)


def main() -> None:
    store, url, callers, aboard = sys.argv[1:]
    outcomes, answers = Outcomes(), []
    plugins: dict[str, Any] = {"dedup": Dedup(), "state-sqlite": SqliteState(path=Path(store)), "outcomes": outcomes}
    host = clippy_core.Host(plugins, config={"salt_path": f"{store}.salt"})

    def call(stream: bool) -> None:
        with host.wrap(httpx.Client(timeout=60)) as client:
            headers = {"authorization": "Bearer k"}
            answer = client.post(f"{url}/chat/completions", json={**BODY, "stream": stream}, headers=headers)
            answers.append([answer.status_code, stream, answer.text])

    threads = [threading.Thread(target=call, args=(number % 2 == 1,)) for number in range(int(callers))]
    for thread in threads:
        thread.start()
    while host._own.flights is None:  # the first request makes them
        time.sleep(0.005)
    flights = host._own.flights._flights
    while sum(len(flight.waiting) for flight in [*flights.values()]) < int(callers) - 1:
        time.sleep(0.005)
    Path(aboard).touch()
    for thread in threads:
        thread.join()
    host.close()
    print(json.dumps({"answers": answers, "outcomes": outcomes.said}))


if __name__ == "__main__":
    main()
