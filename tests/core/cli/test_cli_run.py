"""``clippy run``: the program is what it is under Python, and its calls of models go through one host."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from running import CLIPPY_RUN, PYTHON, Folder

from clippy_core.cli.run import START
from clippy_core.testing import FakeServer, Reply

ASK = """
    import httpx

    def ask(client=httpx, text="Hi", **more):
        body = {"model": "m", "messages": [{"role": "user", "content": text}]}
        return client.post(URL + "/chat/completions", json=body, **more).json()["choices"][0]["message"]["content"]
"""


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    """With three plugins: each of some forty programs would import all thirty, in twice the time."""
    return Folder(tmp_path, "cache-memory,errors,retry")


@pytest.fixture
def asking(folder: Folder) -> FakeServer:
    """A provider, and a module ``asking`` with a function that asks it."""
    with FakeServer(Reply("Hello")) as server:
        folder.write("asking.py", f"URL = {server.base_url!r}\n")
        with (folder.path / "asking.py").open("a") as file:
            file.write(ASK.replace("\n    ", "\n"))
        yield server  # type: ignore[misc]


# --- the program is what it is ---------------------------------------------------------------------------------------

ITSELF = """
    import sys

    print(sys.argv, __name__, __file__, __spec__ and __spec__.name, sys.path, sys.flags, sys.warnoptions)
    print([name for name in vars() if not name.startswith("_")], vars(sys.modules["__main__"]) is vars())
"""
ENDS = """
    import os, signal, sys

    def end(how):
        if how == "exit":
            sys.exit(3)
        if how == "words":
            sys.exit("it is over")
        if how == "error":
            raise ValueError("no")
        if how == "interrupt":
            signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs are born without it
            os.kill(os.getpid(), signal.SIGINT)
        if how == "terminate":
            os.kill(os.getpid(), signal.SIGTERM)
        if how == "nested":
            try:
                end("error")
            except ValueError as error:
                raise RuntimeError("then") from error

    if __name__ == "__main__":
        end(*sys.argv[1:])
"""


@pytest.mark.parametrize(
    "command",
    [
        ("program.py", "a", "--b", "-c", "--help", "", "--", "-m"),
        ("./program.py",),
        ("-m", "package", "--help", "-m", "x"),
        ("-m", "package.part"),
        ("folder",),
        ("missing.py",),
        ("-m", "missing"),
    ],
    ids=" ".join,
)
def test_a_program_cannot_tell_how_it_was_started(folder: Folder, command: tuple[str, ...]) -> None:
    """Arguments, names, the path, the globals: as under Python, for a file, a module, a package and a folder."""
    for name in ("program.py", "package/__main__.py", "package/__init__.py", "package/part.py", "folder/__main__.py"):
        folder.write(name, ITSELF)
    bare = folder.run(*command, by=PYTHON)
    assert folder.run(*command) == bare
    assert bool(bare.out) == ("missing" not in " ".join(command))


@pytest.mark.parametrize("how", ["exit", "words", "error", "interrupt", "terminate", "nested"])
def test_a_program_ends_as_it_would(folder: Folder, how: str) -> None:
    """Exit codes, tracebacks, signals."""
    folder.write("program.py", ENDS)
    bare = folder.run("program.py", how, by=PYTHON)
    assert bare.code != 0
    assert folder.run("program.py", how) == bare


def test_the_environments_own_start_is_kept(folder: Folder) -> None:
    """A ``sitecustomize`` that is there already is imported, and stays the module of that name."""
    folder.write("site/sitecustomize.py", "START = 'theirs'\n")
    folder.write("program.py", "import sitecustomize\nprint(sitecustomize.START, sitecustomize.__name__)\n")
    environ = {"PYTHONPATH": str(folder.path / "site")}
    assert folder.answered("program.py", environ=environ).out == "theirs sitecustomize\n"


def test_a_broken_start_of_the_environment_is_told_as_ever(folder: Folder, asking: FakeServer) -> None:
    """Python says so and goes on, and so do we."""
    folder.write("site/sitecustomize.py", "raise ValueError('theirs')\n")
    folder.write("program.py", "from asking import ask\nprint(ask())\n")
    ran = folder.run("program.py", environ={"PYTHONPATH": str(folder.path / "site")})
    assert (ran.code, ran.out, len(ran.traced)) == (0, "Hello\n", 1)
    assert "Error in sitecustomize" in ran.err
    assert "ValueError: theirs" in ran.err


def test_an_interpreter_of_another_environment_is_left_alone(folder: Folder) -> None:
    """A program may start one that has no clippy."""
    other = getattr(sys, "_base_executable", sys.executable)
    folder.write("program.py", f"import subprocess\nsubprocess.run([{other!r}, '-c', 'print(1)'], check=True)\n")
    assert folder.answered("program.py").out == "1\n"


# --- what goes through the host --------------------------------------------------------------------------------------


def test_clients_of_both_modules_go_through_one_host(folder: Folder, asking: FakeServer) -> None:
    """Sync, async, made by a function, as a subclass, before the loop: one question, asked once."""
    folder.write(
        "program.py",
        """
        import asyncio
        import httpx, httpx2
        from asking import URL, ask

        BODY = {"model": "m", "messages": [{"role": "user", "content": "Hi"}]}

        class Mine(httpx2.Client):
            def send(self, request, **more):
                return super().send(request, **more)

        class Unmade(httpx.Client):
            def __init__(self):
                super().__init__()
                self._transport = httpx.HTTPTransport()

        async def main(*clients):
            for client in clients:
                async with client:
                    print((await client.post(URL + "/chat/completions", json=BODY)).json()["object"])

        print(ask(httpx), ask(httpx2), ask(httpx.Client()), ask(httpx2.Client()), ask(Mine()), ask(Unmade()))
        asyncio.run(main(httpx.AsyncClient(), httpx2.AsyncClient()))
        """,
    )
    ran = folder.answered("program.py")
    assert ran.out == "Hello Hello Hello Hello Hello Hello\n" + "chat.completion\n" * 2
    assert [one["outcome"] for one in ran.traced] == ["answered"] + ["cached"] * 7
    assert asking.calls == 1


def test_transports_of_the_programs_own_stay_below_the_host(folder: Folder) -> None:
    """One for everything, one mounted for a host, one that can do both colours, one that comes later."""
    folder.write(
        "program.py",
        """
        import asyncio
        import httpx
        from asking import ask
        import asking

        asking.URL = "http://model.test/v1"
        ANSWER = {"object": "chat.completion", "model": "m", "choices": [{"index": 0, "finish_reason": "stop",
                  "message": {"role": "assistant", "content": "Mine"}}]}
        mine = httpx.MockTransport(lambda request: httpx.Response(200, json=ANSWER))

        late = httpx.Client()
        late._transport = mine
        print(ask(httpx.Client(transport=mine), "1"), ask(httpx.Client(mounts={"all://": mine}), "2"), ask(late, "3"))

        async def main():
            async with httpx.AsyncClient(transport=mine) as client:
                body = {"model": "m", "messages": [{"role": "user", "content": "4"}]}
                print((await client.post("http://model.test/v1/chat/completions", json=body)).json()["object"])

        asyncio.run(main())
        """,
    )
    folder.write("asking.py", "URL = ''\n" + ASK.replace("\n    ", "\n"))
    ran = folder.answered("program.py")
    assert ran.out == "Mine Mine Mine\nchat.completion\n"
    assert [one["outcome"] for one in ran.traced] == ["answered"] * 4


OTHERS = """
    import httpx, httpx2
    from asking import URL

    for module in (httpx, httpx2):
        with module.Client(base_url=URL) as client:
            client.get("/models")
            client.get("/models/m")
            client.post("/channels/1/messages", json={"content": "Hi"})
            client.post("/messages", json=["model"])
            client.post("/messages", json={"model": 1})
            client.post("/messages", data={"model": "m"})
            client.post("/chat/completions", content=iter([b'{"model": "m"}']))
            client.put("/chat/completions", json={"model": "m"})
            client.post("/tasks", json={"model": "m"})
"""


def test_what_calls_no_model_passes_by(folder: Folder, asking: FakeServer) -> None:
    """A message to a person has an address like one to a model: answered from a cache it would not be sent."""
    folder.write("program.py", OTHERS)
    assert folder.answered("program.py").traced == []
    assert asking.calls == 18


def test_everything_goes_through_the_host_on_request(folder: Folder, asking: FakeServer) -> None:
    """For a program whose model has an address that nobody knows."""
    folder.write("program.py", OTHERS)
    assert len(folder.answered("--every-request", "program.py").traced) == 18


def test_a_program_that_has_a_host_keeps_it(folder: Folder, asking: FakeServer) -> None:
    """A wrapped client, a transport of ours, our own client with an HTTP client of the program's: one record each."""
    folder.write(
        "program.py",
        """
        import clippy_core, httpx
        from asking import URL, ask

        routes = {"main": {"base_url": URL, "key": "none", "model": "m"}}
        with clippy_core.Host(config={"routes": routes}) as host:
            print(ask(host.wrap(httpx.Client()), "1"))
            print(ask(httpx.Client(transport=clippy_core.transport(host)), "2"))
            for number, http in enumerate((None, httpx.Client())):
                with clippy_core.Client(host, http) as client:
                    print(client.chat(f"mine {number}").text)
        """,
    )
    ran = folder.answered("program.py")
    assert ran.out == "Hello\n" * 4
    assert len(ran.traced) == asking.calls == 4


def test_what_a_plugin_sends_is_its_own(folder: Folder, asking: FakeServer) -> None:
    """A plugin that asks a model over HTTP is not asked about its own question, whenever it made its client."""
    folder.write(
        "site/curious.py",
        """
        import httpx
        from attrs import define, field
        from clippy_hookspecs import hookimpl

        @define(eq=False)
        class Curious:
            early: object = field(init=False, factory=httpx.Client)

            @hookimpl
            def pre_request(self, request, ctx):
                from asking import ask
                ask(self.early, "early")
                ask(httpx, "late")
        """,
    )
    folder.write("site/curious-1.dist-info/METADATA", "Metadata-Version: 2.1\nName: curious\nVersion: 1\n")
    folder.write("site/curious-1.dist-info/entry_points.txt", "[clippy]\ncurious = curious:Curious\n")
    folder.write("program.py", "from asking import ask\nprint(ask())\n")
    environ = {"PYTHONPATH": str(folder.path / "site"), "CLIPPY_PLUGINS": "curious"}
    ran = folder.answered("program.py", environ=environ)
    assert ran.out == "Hello\n"
    assert len(ran.traced) == 1
    assert asking.calls == 3


# --- the host --------------------------------------------------------------------------------------------------------


def test_a_wrong_configuration_is_told_before_the_program_starts(folder: Folder) -> None:
    """With every fault, and exit code 2; the program did nothing."""
    folder.write("clippy.toml", "tracee = true\n[plugins.retry]\nattempts = 'many'\n")
    folder.write("program.py", "print('started')\n")
    ran = folder.run("program.py")
    assert (ran.code, ran.out) == (2, "")
    assert "tracee: unknown setting" in ran.err
    assert "plugins.retry.attempts: expected int" in ran.err
    assert "Traceback" not in ran.err


def test_the_configuration_is_that_of_the_folder_where_the_program_was_started(
    folder: Folder, asking: FakeServer
) -> None:
    """The host is made later, when the program may be elsewhere; with --config it is the file of that name."""
    folder.plugins = ""
    folder.write("away/clippy.toml", "allow = ['no-such-plugin']\n")
    folder.write("other.toml", "allow = ['cache-memory']\n")
    folder.write("program.py", "import os\nos.chdir('away')\nfrom asking import ask\nprint(ask(), ask())\n")
    named = (*CLIPPY_RUN[:-1], "--config", "other.toml", "run")
    for by in (CLIPPY_RUN, named):
        for config in ("allow = ['retry']\n", None) if by is CLIPPY_RUN else ("allow = ['retry']\n",):
            (folder.path / "clippy.toml").unlink(missing_ok=True)
            if config is not None:
                folder.write("clippy.toml", config)
            ran = folder.run("program.py", by=by)
            assert (ran.code, ran.out) == (0, "Hello Hello\n"), ran.err
            cached = [one["outcome"] for one in ran.traced].count("cached")
            assert cached == (config is None or by is named)


CHILDREN = """
    import multiprocessing, subprocess, sys
    from asking import ask

    def work(text):
        print(ask(text=text), flush=True)

    if __name__ == "__main__":
        for method in ("fork", "spawn", "forkserver"):
            child = multiprocessing.get_context(method).Process(target=work, args=[method])
            child.start()
            child.join()
            assert child.exitcode == 0
        subprocess.run([sys.executable, "-c", "from asking import ask; print(ask(text='command'))"], check=True)
        for text in ("fork", "spawn", "forkserver", "command"):
            work(text)
"""


def test_child_processes_have_the_host_and_close_it(folder: Folder, asking: FakeServer) -> None:
    """Forked, spawned or started; what a child stored behind its answer is there when the parent asks the same."""
    folder.plugins = "cache-sqlite"
    folder.write("program.py", CHILDREN)
    environ = {"PYTHONWARNINGS": "ignore", "PYTHONPATH": str(folder.path)}
    ran = folder.answered("program.py", environ=environ)
    assert ran.out == "Hello\n" * 8
    assert [one["outcome"] for one in ran.traced] == ["answered"] * 4 + ["cached"] * 4


def test_a_forked_child_of_a_program_with_an_open_host_works(folder: Folder, asking: FakeServer) -> None:
    """The parent's host was in use before the fork; both go on with it."""
    folder.plugins = "cache-sqlite"
    folder.write(
        "program.py",
        """
        import multiprocessing
        from asking import ask

        ask(text="before")
        context = multiprocessing.get_context("fork")
        child = context.Process(target=ask, kwargs={"text": "child"})
        child.start()
        child.join()
        print(child.exitcode, ask(text="before"), ask(text="child"))
        """,
    )
    ran = folder.answered("program.py", environ={"PYTHONWARNINGS": "ignore"})
    assert ran.out == "0 Hello Hello\n"
    assert [one["outcome"] for one in ran.traced] == ["answered", "answered", "cached", "cached"]


def test_the_path_of_children_names_our_folder_once(folder: Folder) -> None:
    """Also when a program that is run runs another."""
    folder.write("program.py", "import os\nprint(os.environ['PYTHONPATH'].split(os.pathsep))\n")
    run = f"import subprocess\nsubprocess.run({[*CLIPPY_RUN, 'program.py']!r}, check=True)\n"
    folder.write("outer.py", run)
    assert folder.answered("outer.py").out == f"{[str(START)]}\n"
