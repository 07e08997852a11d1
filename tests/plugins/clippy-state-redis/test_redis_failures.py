"""A server that is gone, hangs or refuses is one clear error, at once, and is not stormed; no secret is ever shown."""

from __future__ import annotations

import gc
import logging
import re
import socket
import threading
import traceback
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest
from calling import COLOURS
from clippy_hookspecs import ConfigError, StateStore
from clippy_state_redis import RedisState, StateUnavailable
from patience import PATIENCE
from redis_server import RedisServer
from sdk_certificates import make_authority

from clippy_core import Host
from clippy_core.driven import drive

START = Callable[..., RedisServer]
OPEN = Callable[..., Any]
SECRETS = ("hunter2", "s3cret-user")


@contextmanager
def refusing(said: bytes = b"") -> Iterator[tuple[int, list[object]]]:
    """A port that answers every command with *said*, or hangs up; the list has one item for each connection."""
    seen: list[object] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            while True:
                try:
                    connection, address = listener.accept()
                except OSError:
                    return
                seen.append(address)
                with connection:
                    connection.settimeout(PATIENCE)
                    while said and (asked := connection.recv(10_000)):
                        connection.sendall(said * len(re.findall(rb"^\*\d+\r$", asked, re.MULTILINE)))

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield listener.getsockname()[1], seen
        listener.shutdown(socket.SHUT_RDWR)
    thread.join(PATIENCE)


def failure(store: Any, colour: str, *call: Any) -> str:
    """What the error of a call says, once nothing of it was found to be secret."""
    with pytest.raises(StateUnavailable) as caught:
        store.ask(colour, *(call or ("get", "key")))
    shown = "".join(traceback.format_exception(caught.value)) + repr(caught.value)
    assert not [secret for secret in SECRETS if secret in shown]
    assert isinstance(caught.value, ConnectionError)
    return str(caught.value)


@pytest.mark.parametrize("colour", COLOURS)
def test_no_server_is_an_error_at_once(colour: str, open_store: OPEN) -> None:
    """It names the address and what the system said."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # and nobody listens
        port = taken.getsockname()[1]
        said = failure(open_store(f"redis://s3cret-user:hunter2@127.0.0.1:{port}/3"), colour)
    assert said.startswith(f"Redis at 127.0.0.1:{port}/3: Error 111 connecting")


@pytest.mark.parametrize("colour", COLOURS)
def test_a_server_that_hangs_is_an_error_after_the_timeout(colour: str, start_server: START, open_store: OPEN) -> None:
    """On a connection that is open already and on a new one; when it goes on, it is asked again."""
    server = start_server()
    store = open_store(server.url, timeout=1.0, connect_timeout=1.0)
    store.ask(colour, "put", "key", "1", 60.0)
    server.hang()
    assert "no answer in time" in failure(store, colour)
    assert "not asked again" in failure(store, colour)
    store.clock.advance(1.5)
    assert "no answer in time" in failure(store, colour)
    server.go_on()
    store.clock.advance(1.5)
    assert store.ask(colour, "get", "key") == "1"


def test_an_outage_is_two_lines_in_the_log(
    start_server: START, open_store: OPEN, caplog: pytest.LogCaptureFixture
) -> None:
    """However many calls fail in it: when it begins, and when the server answers again."""
    server = start_server()
    store = open_store(server.url)
    server.stop()
    for _ in range(5):
        failure(store, "sync")
        store.clock.advance(0.6)
    server.start()
    store.clock.advance(1.5)
    store.sync("put", "k", "v", 60.0)
    store.sync("get", "k")
    began, ended = [one.getMessage() for one in caplog.records if one.name == "clippy.state-redis"]
    assert began.startswith(f"Redis at 127.0.0.1:{server.port}: Error 111")
    assert ended == f"Redis at 127.0.0.1:{server.port} answers again"


def test_a_server_that_hangs_holds_up_no_event_loop(start_server: START, open_store: OPEN) -> None:
    """Other tasks go on while a call waits for its timeout."""
    server, ticks = start_server(), []
    store = open_store(server.url, timeout=1.0)

    async def wait(store: Any) -> None:
        await store.put("key", "1", 60.0)
        server.hang()
        async with anyio.create_task_group() as group:

            async def tick() -> None:
                while True:
                    ticks.append(1)
                    await anyio.sleep(0.005)

            group.start_soon(tick)
            with pytest.raises(StateUnavailable, match="no answer in time"):
                await store.get("key")
            group.cancel_scope.cancel()

    store.run(wait)
    assert len(ticks) > 2
    server.go_on()


@pytest.mark.parametrize("colour", ["sync", "asyncio"])
def test_a_server_that_failed_is_not_stormed(colour: str, open_store: OPEN) -> None:
    """While the pause lasts nobody connects, and after it one of many callers does."""
    with refusing() as (port, seen):
        store = open_store(f"redis://127.0.0.1:{port}", max_connections=8)
        failure(store, colour)
        assert len(seen) == 1
        for pauses in (2, 3, 4):
            _fifty_calls(store, colour)
            assert len(seen) == pauses - 1
            store.clock.advance(1.5)
            _fifty_calls(store, colour)
            assert len(seen) == pauses


def _fifty_calls(store: Any, colour: str) -> None:
    def one(_: object) -> str:
        return failure(store, "sync")

    if colour == "sync":
        with ThreadPoolExecutor(8) as threads:
            assert len([*threads.map(one, range(50))]) == 50
        return

    async def all_at_once(store: Any) -> None:
        async with anyio.create_task_group() as group:

            async def call() -> None:
                with pytest.raises(StateUnavailable):
                    await store.get("key")

            for _ in range(50):
                group.start_soon(call)

    store.run(all_at_once)


@pytest.mark.parametrize("colour", COLOURS)
def test_a_restarted_server_is_used_again(colour: str, start_server: START, open_store: OPEN) -> None:
    """Its scripts are unknown to it and are sent again; what was kept is gone, and old reservations do nothing."""
    server = start_server()
    store = open_store(server.url)
    assert store.ask(colour, "add", "n", 3, 60.0) == 3
    held = store.ask(colour, "reserve", "b", 6.0, 10.0, 60.0)
    server.restart()
    assert store.ask(colour, "add", "n", 1, 60.0) == 1
    store.ask(colour, "settle", held, 6.0, 60.0)
    store.ask(colour, "refund", held)
    assert store.ask(colour, "reserve", "b", 10.0, 10.0, 60.0) is not None
    server.ask("FLUSHALL")
    server.ask("SCRIPT", "FLUSH")
    assert store.ask(colour, "lease", "l", "ada", 60.0) is True
    assert store.ask(colour, "reserve", "b", 10.0, 10.0, 60.0) is not None


def test_a_server_that_ends_under_many_callers_is_used_again(start_server: START, open_store: OPEN) -> None:
    """Each call gives its own answer or the one error, and afterwards all work."""
    server = start_server()
    store = open_store(server.url, pause=0.0)

    async def many(store: Any) -> None:
        stop = anyio.Event()
        failed = []

        async def call(number: int) -> None:
            while not stop.is_set():
                try:
                    await store.put(f"k{number}", str(number), 60.0)
                    assert await store.get(f"k{number}") in (str(number), None)
                except StateUnavailable as error:
                    failed.append(error)
                    await anyio.sleep(0.01)

        async with anyio.create_task_group() as group:
            for number in range(20):
                group.start_soon(call, number)
            await anyio.sleep(0.05)
            await anyio.to_thread.run_sync(server.stop)
            while not failed:
                await anyio.sleep(0.01)
            await anyio.to_thread.run_sync(server.start)
            stop.set()
        for number in range(20):
            await store.put(f"k{number}", str(number), 60.0)

    store.run(many)
    assert [store.sync("get", f"k{number}") for number in range(20)] == [str(number) for number in range(20)]


# --- servers that refuse ----------------------------------------------------------------------------------------------


def test_a_wrong_password_is_said_and_not_shown(
    start_server: START, open_store: OPEN, caplog: pytest.LogCaptureFixture
) -> None:
    """Nor by the log, the plugin's repr or the configuration's error; the right one works."""
    server = start_server("--requirepass", "right")
    caplog.set_level(logging.DEBUG)
    wrong = f"redis://default:hunter2@127.0.0.1:{server.port}"
    for colour in COLOURS:
        store = open_store(wrong)
        assert "it refuses the credentials" in failure(store, colour)
        assert not any(secret in caplog.text + repr(store.plugin) + repr(store.plugin._server) for secret in SECRETS)
    assert "it refuses the credentials" in failure(open_store(server.url), "sync")
    assert open_store(f"redis://:right@127.0.0.1:{server.port}").sync("add", "n", 1, 60.0) == 1


def test_a_replica_is_refused(start_server: START, open_store: OPEN) -> None:
    """It could be read, but what is read there may be old."""
    primary = start_server()
    replica = start_server("--replicaof", "127.0.0.1", str(primary.port))
    for colour in COLOURS:
        said = failure(open_store(replica.url), colour, "lease", "l", "ada", 60.0)
        assert "it is a read-only replica; let url name the primary" in said


@pytest.mark.parametrize("colour", ["sync", "asyncio"])
def test_a_server_that_became_a_replica_is_looked_up_again(colour: str, start_server: START, open_store: OPEN) -> None:
    """No connection to it is kept, so that the next one goes to the address that the name has then."""
    server = start_server()
    store = open_store(server.url)

    async def work(store: Any) -> None:
        await store.put("k", "v", 60.0)
        assert server.connections() == 1
        server.ask("REPLICAOF", "127.0.0.1", 1)
        with pytest.raises(StateUnavailable, match="read-only replica"):
            await store.put("k", "v", 60.0)
        if colour == "asyncio":
            await anyio.sleep(0.01)
        assert server.has_connections(0)

    if colour == "sync":
        store.host.open()
        drive(work(store.host.services.get(StateStore)))
    else:
        store.run(work)


def test_a_server_that_is_still_loading_is_said_to_be(start_server: START, open_store: OPEN) -> None:
    """And used as soon as it has loaded."""
    server = start_server("--enable-debug-command", "yes")
    server.ask("DEBUG", "POPULATE", "20000")
    server.ask("SAVE")
    server.stop()
    server.options = ("--key-load-delay", "500", "--loading-process-events-interval-bytes", "1024")
    server.start(ready=False)
    store = open_store(server.url)
    assert "it is still loading its data" in failure(store, "asyncio")
    server.ask("CONFIG", "SET", "key-load-delay", "0")


def test_a_full_server_says_so(start_server: START, open_store: OPEN) -> None:
    """It evicts nothing; what needs no memory still works."""
    server = start_server()
    store = open_store(server.url)
    store.sync("lease", "l", "ada", 60.0)
    held = store.sync("reserve", "b", 1.0, 10.0, 60.0)
    server.ask("CONFIG", "SET", "maxmemory", "1")
    for call in (("put", "k", "v", 60.0), ("add", "n", 1, 60.0), ("reserve", "b", 1.0, 10.0, 60.0)):
        for colour in COLOURS:
            assert "its memory is full" in failure(store, colour, *call)
    store.sync("release", "l", "ada")
    store.sync("refund", held)
    server.ask("CONFIG", "SET", "maxmemory", "0")
    assert store.sync("reserve", "b", 10.0, 10.0, 60.0) is not None
    assert store.sync("lease", "l", "bob", 60.0) is True


def test_a_server_that_hangs_up_is_explained(open_store: OPEN) -> None:
    """As one in protected mode does; redis-py does not pass on what it says before."""
    for colour in COLOURS:
        with refusing() as (port, _):
            assert "is in protected mode or has too many clients" in failure(
                open_store(f"redis://127.0.0.1:{port}"), colour
            )


@pytest.mark.parametrize(
    ("said", "explained"),
    [
        (b"-MOVED 3999 127.0.0.1:6381\r\n", "it is one node of a cluster, which is not followed"),
        (b"-MISCONF Redis is configured to save RDB snapshots\r\n", "it cannot save to its disk"),
        (b"-MASTERDOWN Link with MASTER is down\r\n", "Link with MASTER is down"),
        (b"-BUSY Redis is busy running a script\r\n", "busy running a script"),
        (b"HTTP/1.1 400 Bad Request\r\n", "Protocol Error"),
    ],
)
def test_what_else_a_server_says_is_passed_on(said: bytes, explained: str, open_store: OPEN) -> None:
    """In our words where there is something to do about it."""
    for colour in COLOURS:
        with refusing(said) as (port, _):
            store = open_store(f"redis://127.0.0.1:{port}")
            assert explained in failure(store, colour)
            store.host.close()


def test_a_user_without_rights_is_told_so(start_server: START, open_store: OPEN) -> None:
    """A user with the rights that the README lists can do everything."""
    server = start_server()
    readme = (Path(__file__).parents[3] / "plugins" / "clippy-state-redis" / "README.md").read_text(encoding="utf-8")
    listed = readme.partition("The user needs `")[2].partition("`")[0].split()
    server.ask("ACL", "SETUSER", "weak", "on", ">hunter2", "~*", "-@all", "+get", "+select")
    server.ask("ACL", "SETUSER", "able", "on", ">hunter2", "~mine|*", "-@all", *listed)
    weak = open_store(f"redis://weak:hunter2@127.0.0.1:{server.port}")
    assert "access list" in failure(weak, "sync", "add", "n", 1, 60.0)
    able = open_store(f"redis://able:hunter2@127.0.0.1:{server.port}/1", prefix="mine")
    for colour in COLOURS:
        store = [able.ask(colour, "put", "k", "1", 60.0), able.ask(colour, "swap", "k", "1", "2", 60.0)]
        store += [able.ask(colour, "get", "k"), able.ask(colour, "add", colour, 2, 60.0)]
        assert store == [None, True, "2", 2]
        held = [able.ask(colour, "reserve", "b", 1.0, 3.0, 0.001), able.ask(colour, "reserve", "b", 1.0, 2.0, 60.0)]
        able.ask(colour, "settle", held[1], 1.0, 60.0)
        able.ask(colour, "refund", able.ask(colour, "reserve", "b", 1.0, 9.0, 60.0))
        assert able.ask(colour, "lease", "l", "ada", 60.0) is True
        able.ask(colour, "release", "l", "ada")
        server.ask("SELECT", 1)
        with server.client(db=1) as client:
            client.delete("mine|u:b")


def test_keys_of_another_program_are_not_touched(start_server: START, open_store: OPEN) -> None:
    """It says which setting helps."""
    server = start_server()
    server.ask("LPUSH", "clippy|l:x", "theirs")
    assert "set another prefix" in failure(open_store(server.url), "sync", "lease", "x", "ada", 60.0)
    assert server.ask("LRANGE", "clippy|l:x", 0, -1) == ["theirs"]


def test_every_operation_stays_in_one_slot_of_a_cluster(start_server: START, open_store: OPEN) -> None:
    """Whatever braces are in a key: a node that has all slots can do everything."""
    server = start_server("--cluster-enabled", "yes")
    server.ask("CLUSTER", "ADDSLOTSRANGE", 0, 16383)
    while "cluster_state:ok" not in str(server.ask("CLUSTER", "INFO")):
        anyio.run(anyio.sleep, 0.02)
    store = open_store(server.url)
    held = store.sync("reserve", "}{b", 1.0, 3.0, 60.0)
    store.sync("settle", held, 2.0, 60.0)
    assert store.sync("reserve", "}{b", 1.5, 3.0, 60.0) is None
    store.sync("put", "{}", "1", 60.0)
    assert [store.sync("swap", "{}", "1", "2", 60.0), store.sync("lease", "{", "ada", 60.0)] == [True, True]


# --- urls -------------------------------------------------------------------------------------------------------------


def with_tls(start_server: START, folder: Path) -> tuple[RedisServer, int, str]:
    """A server that speaks TLS, at which port, and the option of a url that trusts it."""
    made = make_authority(folder / "certificates").file.parent
    files = ("--tls-cert-file", str(made / "server.pem"), "--tls-key-file", str(made / "server.key"))
    server = start_server(
        "--tls-port", "0", *files, "--tls-ca-cert-file", str(made / "ca.pem"), "--tls-auth-clients", "no"
    )
    return server, server.listen_with_tls(), f"ssl_ca_certs={made / 'ca.pem'}"


def test_tls_is_checked(start_server: START, open_store: OPEN, tmp_path: Path) -> None:
    """With the authority named in the url it works; a certificate that nobody vouches for is an error."""
    _, tls, trust = with_tls(start_server, tmp_path)
    for colour in COLOURS:
        trusting = open_store(f"rediss://127.0.0.1:{tls}/2?{trust}")
        assert trusting.ask(colour, "add", colour, 1, 60.0) == 1
        assert "certificate verify failed" in failure(open_store(f"valkeys://127.0.0.1:{tls}"), colour)


@pytest.mark.parametrize("amid", [False, True], ids=["at rest", "amid a call"])
def test_a_server_that_does_not_say_farewell_leaves_no_connection_open(
    start_server: START, open_store: OPEN, tmp_path: Path, amid: bool
) -> None:
    """TLS waits for the other side when it closes, and a loop that ends does not."""
    server, tls, trust = with_tls(start_server, tmp_path)
    store = open_store(f"rediss://127.0.0.1:{tls}?{trust}")

    async def work(store: Any) -> None:
        await store.put("key", "1", 60.0)
        server.hang()
        if amid:
            with anyio.move_on_after(0.01):
                await store.get("key")

    store.run(work)
    server.go_on()
    store.plugin._server._loops.clear()  # which keeps a loop that has ended until there is another
    with warnings.catch_warnings(record=True) as left:
        warnings.simplefilter("always")
        gc.collect()
    assert [] == [str(one.message) for one in left]


@pytest.mark.parametrize(
    "url",
    [
        "hunter2",
        "http://s3cret-user:hunter2@127.0.0.1",
        "redis://:hunter2/with@127.0.0.1:6379",
        "redis://:hunter2#x@127.0.0.1",
        "redis://:x@127.0.0.1:hunter2",
        "redis://127.0.0.1/hunter2",
        "redis://[hunter2",
        "redis://127.0.0.1:6379/0?password=hunter2",
        "redis://127.0.0.1:6379/0?ssl_keyfile=hunter2",
        "unix:///hunter2",
    ],
)
def test_a_url_that_is_none_is_a_fault_of_the_configuration(url: str) -> None:
    """The message says what is expected and quotes nothing."""
    with pytest.raises(ConfigError) as caught:
        Host({"state-redis": RedisState}, config={"plugins": {"state-redis": {"url": url}}})
    shown = "".join(traceback.format_exception(caught.value))
    assert "plugins.state-redis.url: " in str(caught.value)
    assert not [secret for secret in SECRETS if secret in shown]


def test_special_characters_in_a_password_are_percent_encoded(start_server: START, open_store: OPEN) -> None:
    """As the error says that they must be."""
    server = start_server("--requirepass", "a/b#c?d@e%f")
    assert open_store(f"valkey://:a%2Fb%23c%3Fd%40e%25f@127.0.0.1:{server.port}").sync("get", "k") is None


def test_a_prefix_has_no_braces() -> None:
    """They would say to a cluster that all keys belong to one server, and a stroke ends the prefix."""
    for prefix in ("a{b}", "a|b", ""):
        with pytest.raises(ConfigError, match="prefix"):
            Host({"state-redis": RedisState}, config={"plugins": {"state-redis": {"prefix": prefix}}})
