"""Calls providers with faults through the official SDKs, and counts what the callers got.

    python tests/support/campaign_faults.py --n 20000 --faults 0.2 --bare
    python tests/support/campaign_faults.py --n 2000 --faults 0.3 --loopback
    python tests/support/campaign_faults.py --n 20000 --burst
    python tests/support/campaign_faults.py --outage

In each of sync threads, asyncio and trio, N requests are made, plain and streamed, of OpenAI's and Anthropic's SDK;
every attempt draws its fault from the mix of ``fault_provider``.  On the virtual clock nothing waits and there are no
sockets; ``--loopback`` sends all over sockets, with short timeouts.  ``--burst`` lets the faults come in bursts and
gives the host a second route.  ``--outage`` calls a provider that is down a thousand times, with the budget alone and
with the breaker.  ``--bare`` makes the same calls by the SDKs alone as well.

Exit status 1 if a goal is missed: what share must succeed and be recovered, and that failures which no repetition helps
are sent once.
"""

from __future__ import annotations

import argparse
import random
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import anthropic
import anyio
import httpx2
import openai
from attrs import define, field
from clippy_breaker import CircuitBreaker
from clippy_errors import ErrorClassifier
from clippy_fallback import Fallback
from clippy_retry import RetryPolicy

sys.path.insert(0, str(Path(__file__).parent))

from fault_calls import CALLS, OF_ONE_ROUTE, Call, Sdks
from fault_provider import Fates

import clippy_core
from clippy_core.driven import drive
from clippy_core.testing import FakeProvider, FakeServer, VirtualClock

COLOURS = ("threads", "asyncio", "trio")
WORKERS = 8
READ_TIMEOUT = 1.0
"""Seconds over loopback, where a read timeout really takes them; far more than an answer does."""
EXPECTED = (openai.OpenAIError, anthropic.AnthropicError, httpx2.HTTPError, ValueError)
"""What the SDKs raise for failed calls; ValueError for JSON that breaks off."""
GOALS = {0.2: 0.9995, 0.3: 0.995}
BURST_GOAL, RECOVERED_GOAL = 0.999, 0.99


@define(eq=False)
class Campaign:
    """Requests of one colour to providers with faults, under a host or bare."""

    colour: str
    n: int
    fates: Fates
    loopback: bool = False
    more: dict[str, Any] | None = field(factory=dict)
    """Plugins beside the classifier and the policy; None makes the calls by the SDKs alone."""
    calls: Sequence[Call] = CALLS
    answered: set[str] = field(init=False, factory=set)
    odd: list[str] = field(init=False, factory=list)
    """What a call raised that no SDK raises for a failed call."""
    took: float = field(init=False, default=0.0)
    _clock: VirtualClock | None = field(init=False, default=None)
    _prompts: Iterator[str] = field(init=False)
    _lock: threading.Lock = field(init=False, factory=threading.Lock)

    def run(self) -> Campaign:
        began = time.monotonic()
        self._prompts = (f"request {number} of {self.n}" for number in range(self.n))
        with ExitStack() as closing:
            origins = self._origins(closing)
            if self.colour == "threads":
                self._in_threads(origins)
            else:
                anyio.run(self._on_loop, origins, backend=self.colour)
        self.took = time.monotonic() - began
        return self

    def _origins(self, closing: ExitStack) -> tuple[Any, str, str]:
        """What the clients send through, None for sockets; the address of each route."""
        if not self.loopback:
            self._clock = VirtualClock()
            provider = FakeProvider(self.fates, clock=self._clock)
            return provider, "http://first.test", "http://second.test"
        servers = [
            closing.enter_context(FakeServer(FakeProvider(self.fates), max_requests=10**6, lifetime=3600.0))
            for _ in range(2)
        ]
        return None, servers[0].origin, servers[1].origin

    def _clients(self, provider: Any, origin: str) -> Sdks:
        sync = self.colour == "threads"
        transport = None
        if provider is not None:
            transport = provider.transport(httpx2) if sync else provider.async_transport(httpx2)
        timeout = httpx2.Timeout(30.0, read=READ_TIMEOUT) if self.loopback else httpx2.Timeout(600.0)
        make = httpx2.Client if sync else httpx2.AsyncClient
        http = [make(transport=transport, timeout=timeout, trust_env=False) for _ in range(2)]
        of_openai = openai.OpenAI if sync else openai.AsyncOpenAI
        of_anthropic = anthropic.Anthropic if sync else anthropic.AsyncAnthropic
        sdks = Sdks(
            of_openai(api_key="sk-1", base_url=f"{origin}/v1", http_client=http[0]),  # type: ignore[arg-type]
            of_anthropic(api_key="sk-2", base_url=origin, http_client=http[1]),  # type: ignore[arg-type]
        )
        return sdks.bare() if self.more is None else sdks

    def _host(self, second: str) -> clippy_core.Host:
        # Over loopback the waits are real, so they are made short.
        policy = RetryPolicy(base=0.01, cap=0.1) if self.loopback else RetryPolicy()
        policy._rng = random.Random(self.fates.seed)
        plugins = {"errors": ErrorClassifier(), "retry": policy, **(self.more or {})}
        routes = {"second": {"base_url": second, "key": "sk-3"}}
        return clippy_core.Host(plugins, config={"routes": routes}, clock=self._clock)

    def _in_threads(self, origins: tuple[Any, str, str]) -> None:
        clients = self._clients(*origins[:2])
        with ExitStack() as closing:
            sdks = clients
            if self.more is not None:
                host = self._host(origins[2])
                closing.callback(host.close)
                sdks = clients.under(host)
            threads = [threading.Thread(target=drive, args=(self._work(sdks),)) for _ in range(WORKERS)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            drive(clients.close())

    async def _on_loop(self, origins: tuple[Any, str, str]) -> None:
        clients = self._clients(*origins[:2])
        host = None if self.more is None else self._host(origins[2])
        sdks = clients if host is None else clients.under(host)
        async with anyio.create_task_group() as group:
            for _ in range(WORKERS):
                group.start_soon(self._work, sdks)
        await clients.close()
        if host is not None:
            await host.aclose()

    async def _work(self, sdks: Sdks) -> None:
        while True:
            with self._lock:
                prompt = next(self._prompts, None)
            if prompt is None:
                return
            call = self.calls[int(prompt.split()[1]) % len(self.calls)]
            try:
                answer = await call(sdks, prompt)
            except EXPECTED:
                continue
            except Exception as error:
                self.odd.append(f"{prompt}: {call.__name__} raised {error!r}")
                continue
            if answer == prompt:
                self.answered.add(prompt)

    # --- what came of it ----------------------------------------------------------------------------------------------

    @property
    def attempts(self) -> float:
        """Upstream attempts for each request."""
        return self.fates.attempts / self.n

    @property
    def success(self) -> float:
        """The share of requests that were answered, of those that could be."""
        return len(self.answered) / (self.n - len(self.finals))

    @property
    def recovered(self) -> float:
        """The share that was answered of the requests that met a transient fault."""
        faulted = [prompt for prompt, met in self.fates.met.items() if met.faults]
        return sum(prompt in self.answered for prompt in faulted) / max(1, len(faulted))

    @property
    def finals(self) -> list[int]:
        """How often each request was sent to one address that met a failure which no repetition helps there."""
        return [max(met.attempts.values()) for met in self.fates.met.values() if met.final is not None]

    def line(self, name: str) -> str:
        """What came of it, in a line."""
        faulted = sum(met.faults > 0 for met in self.fates.met.values())
        repeated = sum(count > 1 for count in self.finals)
        return (
            f"{self.colour:<8} {name:<12} {self.n:>6} requests  "
            f"success {self.success:8.3%}  recovered {self.recovered:7.2%} of {faulted:>5}  "
            f"attempts {self.fates.attempts:>6} x{self.attempts:.3f}  "
            f"final failures {len(self.finals)}, repeated {repeated}  {self.took:.0f} s"
        )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--n", type=int, default=2000, help="requests of each colour")
    parser.add_argument("--seed", default="1", help="decides every fault; times over loopback are not its to decide")
    parser.add_argument("--faults", type=float, default=0.2, help="share of attempts with a transient fault")
    parser.add_argument("--burst", action="store_true", help="20 % faults in bursts, and a second route")
    parser.add_argument("--outage", action="store_true", help="a provider that is down, and a thousand calls")
    parser.add_argument("--loopback", action="store_true", help="over sockets")
    parser.add_argument("--bare", action="store_true", help="the same calls by the SDKs alone as well")
    parser.add_argument("--only", choices=COLOURS, help="one colour")
    options = parser.parse_args()
    missed: list[str] = []
    for colour in COLOURS if options.only is None else (options.only,):
        for name, more in _roofs(options):
            n = 1000 if options.outage else options.n
            fates = Fates(options.seed, options.faults, options.burst, options.outage, 0.02 if options.loopback else 2)
            calls = OF_ONE_ROUTE if options.outage else CALLS
            campaign = Campaign(colour, n, fates, options.loopback, more, calls).run()
            print(campaign.line(name), flush=True)
            missed += [f"{colour}, {name}: {what}" for what in _missed(campaign, options, "breaker" in (more or ()))]
    for goal in missed:
        print(f"MISSED {goal}")
    return 1 if missed else 0


def _roofs(options: argparse.Namespace) -> list[tuple[str, dict[str, Any] | None]]:
    """What the calls are made under: names, and the plugins beside classifier and policy, None for the SDKs alone."""
    if options.outage:
        under = [("budget alone", {}), ("breaker", {"breaker": CircuitBreaker()})]
    else:
        second = {"fallback": Fallback(routes=("second",))} if options.burst else {}
        under = [("clippy", {"breaker": CircuitBreaker(), **second})]
    return [*under, ("bare SDKs", None)] if options.bare else under


def _missed(campaign: Campaign, options: argparse.Namespace, has_breaker: bool) -> list[str]:
    if campaign.more is None:
        return []
    if options.outage:
        most = 60 if has_breaker else campaign.n * 1.05
        sent = campaign.fates.attempts
        return [] if sent <= most else [f"{sent} attempts in an outage, at most {most:.0f} are allowed"]
    goal = BURST_GOAL if options.burst else GOALS.get(options.faults, 0.0)
    found = [] if campaign.success >= goal else [f"success {campaign.success:.3%}, the goal is {goal:.2%}"]
    if campaign.recovered < RECOVERED_GOAL:
        found.append(f"recovered {campaign.recovered:.2%}, the goal is {RECOVERED_GOAL:.0%}")
    if any(count > 1 for count in campaign.finals):
        found.append("a failure that no repetition helps was repeated")
    return [*found, *campaign.odd[:3]]


if __name__ == "__main__":
    sys.exit(main())
