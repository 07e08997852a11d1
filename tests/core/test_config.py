"""The configuration: where values come from, who wins, and how everything that is wrong is said at once."""

from __future__ import annotations

import datetime
import enum
import os
import pickle
import tomllib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, Protocol

import pytest
from attrs import Factory, define, field, frozen, validators
from clippy_hookspecs import ConfigError
from hypothesis import given, settings
from hypothesis import strategies as st

from clippy_core.config import Config, Order, Secret, config_of, load_config, read_config
from clippy_core.config_show import rows, settings_of
from clippy_core.config_sources import Setting, merge
from clippy_core.config_structure import structure
from clippy_core.host import Host

KNOWN = ("cache-sqlite", "retry", "audit")


class Level(enum.Enum):
    LOW = "low"
    HIGH = "high"


class Ticker(Protocol):
    def now(self) -> float: ...


@frozen
class Limits:
    rows: int = field(default=1, validator=validators.gt(0))
    name: str = "n"


@define(eq=False)
class SqliteCache:
    """A plugin with a setting of every kind."""

    path: Path = field(default=Path("x.db"), metadata={"doc": "the file"})
    ttl: float = field(default=3600.0, validator=validators.ge(0), metadata={"doc": "seconds"})
    size: int = 10
    exact: bool = False
    label: str = "l"
    level: Literal["minimal", "detailed"] = "minimal"
    mode: Level = Level.LOW
    limit: float | None = None
    either: int | str = 0
    names: list[str] = field(factory=list)
    numbers: tuple[int, ...] = ()
    pair: tuple[str, int] = ("a", 1)
    weights: dict[str, float] = field(factory=dict)
    labels: Mapping[str, str] = field(factory=dict)
    kinds: frozenset[str] = frozenset()
    limits: Limits = field(factory=Limits)
    more: list[Limits] = field(factory=list)
    since: datetime.date | None = None
    noted: Annotated[int, "a note"] = 0
    order: Sequence[str] = ()
    anything: Any = None
    token: str = field(default="", repr=False)
    clock: Ticker | None = field(default=None, repr=False)
    made: Callable[[], int] | None = None
    _hidden: int = 0
    state: dict[str, int] = field(init=False, repr=False, factory=dict)


def made(**settings: Any) -> SqliteCache:
    return structure(SqliteCache, settings, "plugins.cache-sqlite", environ={})


def faults_of(cls: type[Any] = SqliteCache, environ: Mapping[str, str] | None = None, **settings: Any) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        structure(cls, settings, "p", environ=environ or {})
    return list(caught.value.faults)


def load(folder: Path, text: str = "", environ: Mapping[str, str] | None = None, **overrides: Any) -> Config:
    (folder / ".git").mkdir(exist_ok=True)
    if text:
        (folder / "clippy.toml").write_text(text)
    return load_config(None, environ or {}, overrides, cwd=folder, known=KNOWN)


def faults_in(folder: Path, text: str = "", environ: Mapping[str, str] | None = None, **overrides: Any) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load(folder, text, environ, **overrides)
    return list(caught.value.faults)


# --- values ----------------------------------------------------------------------------------------------------------


def test_a_table_becomes_an_instance_with_the_types_of_its_fields() -> None:
    """Paths, enums, nested classes and containers arrive as what the fields say."""
    cache = made(
        path="a/b.db",
        ttl=60,
        level="detailed",
        mode="high",
        limit=3,
        names=["x"],
        numbers=[1, 2],
        pair=["b", 2],
        weights={"a": 1},
        kinds=["k"],
        limits={"rows": 5},
        more=[{"rows": 6}, {}],
        since=datetime.date(2026, 1, 2),
        noted=4,
        order=["o"],
        anything={"deep": [1]},
        hidden=7,
    )
    assert Path("a/b.db") == cache.path
    assert (cache.ttl, type(cache.ttl)) == (60.0, float)
    assert cache.mode is Level.HIGH
    assert (cache.level, cache.limit, cache.names, cache.numbers) == ("detailed", 3.0, ["x"], (1, 2))
    assert (cache.pair, cache.weights, cache.kinds) == (("b", 2), {"a": 1.0}, frozenset({"k"}))
    assert (cache.limits, cache.more) == (Limits(5), [Limits(6), Limits()])
    assert (cache.since, cache.noted, tuple(cache.order)) == (datetime.date(2026, 1, 2), 4, ("o",))
    assert (cache.anything, cache._hidden) == ({"deep": [1]}, 7)


def test_a_tilde_is_the_home_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Paths in a configuration are written as in a shell."""
    monkeypatch.setenv("HOME", str(tmp_path))
    assert made(path="~/c.db").path == tmp_path / "c.db"


@pytest.mark.parametrize(
    ("setting", "value", "sentence"),
    [
        ("ttl", "abc", "p.ttl: expected float, got 'abc'"),
        ("ttl", True, "p.ttl: expected float, got True"),
        ("ttl", -1, "p.ttl: must be >= 0: -1.0"),
        ("ttl", 10**400, "p.ttl: expected float, got 1000"),
        ("size", True, "p.size: expected int, got True"),
        ("size", 3.0, "p.size: expected int, got 3.0"),
        ("size", "3", "p.size: expected int, got '3'"),
        ("exact", 1, "p.exact: expected bool, got 1"),
        ("exact", "true", "p.exact: expected bool, got 'true'"),
        ("label", 3, "p.label: expected str, got 3"),
        ("label", ["x"], "p.label: expected str, got ['x']"),
        ("path", 3, "p.path: expected path, got 3"),
        ("path", "", "p.path: expected path, got ''"),
        ("level", "detaild", "p.level: expected one of 'minimal', 'detailed', got 'detaild'; did you mean detailed?"),
        ("level", 1, "p.level: expected one of 'minimal', 'detailed', got 1"),
        ("mode", "hi", "p.mode: expected one of 'low', 'high', got 'hi'"),
        ("limit", "x", "p.limit: expected float, got 'x'"),
        ("either", 1.5, "p.either: expected int or str, got 1.5"),
        ("names", "abc", "p.names: expected list of str, got 'abc'"),
        ("names", {"a": 1}, "p.names: expected list of str, got a table"),
        ("numbers", [1, "x"], "p.numbers.1: expected int, got 'x'"),
        ("pair", ["a"], "p.pair: expected list of 2: str, int, got ['a']"),
        ("weights", {"a": "x"}, "p.weights.a: expected float, got 'x'"),
        ("weights", [1], "p.weights: expected table of float, got [1]"),
        ("limits", 3, "p.limits: expected a table, got 3"),
        ("limits", {"rows": 0}, "p.limits.rows: must be > 0: 0"),
        ("limits", {"rowz": 1}, "p.limits.rowz: unknown setting; did you mean rows?"),
        ("more", [{}, {"rows": "x"}], "p.more.1.rows: expected int, got 'x'"),
        ("since", "2026-01-02", "p.since: expected date, got '2026-01-02'"),
        ("since", datetime.datetime(2026, 1, 2), "p.since: expected date, got datetime"),
        ("noted", "x", "p.noted: expected int, got 'x'"),
        ("pth", "x", "p.pth: unknown setting; did you mean path?"),
        ("state", {}, "p.state: unknown setting"),
        ("clock", 1, "p.clock: unknown setting"),
        ("made", 1, "p.made: unknown setting"),
    ],
)
def test_a_wrong_value_is_named_with_its_path_and_the_expected_type(setting: str, value: Any, sentence: str) -> None:
    """One fault, one sentence."""
    faults = faults_of(**{setting: value})
    assert len(faults) == 1
    assert faults[0].startswith(sentence)


def test_all_faults_come_at_once() -> None:
    """Unknown keys, wrong types and what validators say, of every field and every level."""
    faults = faults_of(ttl=-1, size="x", limits={"rows": 0, "nme": "x"}, more=[{"rows": 0}, {"name": 1}], zzz=1)
    assert [fault.partition(":")[0] for fault in faults] == [
        "p.zzz",
        "p.size",
        "p.limits.nme",
        "p.limits.rows",
        "p.more.0.rows",
        "p.more.1.name",
        "p.ttl",
    ]


def test_a_required_setting_that_is_missing_is_a_fault() -> None:
    """The sentence says what it is."""

    @define(eq=False)
    class Needy:
        url: str
        port: int = 1

    assert faults_of(Needy, port="x") == ["p.url: is required: str", "p.port: expected int, got 'x'"]


def test_validators_may_look_at_other_fields_and_converters_run() -> None:
    """A validator gets a plugin that has the other values; what it refuses is a fault of its own field."""

    @define(eq=False)
    class Range:
        low: int = 0
        high: int = field(default=1)
        names: tuple[str, ...] = field(default=(), converter=lambda names: tuple(sorted(names)))
        later: list[int] = field(factory=list)

        @high.validator
        def _check(self, _: Any, value: int) -> None:
            if value <= self.low:
                raise ValueError(f"must be above low, {self.low}")

    assert faults_of(Range, low=5, high=4) == ["p.high: must be above low, 5"]
    assert structure(Range, {"names": ["b", "a"]}, environ={}).names == ("a", "b")


def test_what_the_constructor_says_about_its_values_is_a_fault_of_the_table() -> None:
    """Checks over several fields end up with the plugin's path; without a table they are the plugin's own failure."""

    @define(eq=False)
    class Picky:
        a: int = 0

        def __attrs_post_init__(self) -> None:
            raise ValueError("a and b do not go together")

    assert faults_of(Picky, a=1) == ["p: a and b do not go together"]
    with pytest.raises(ValueError, match="do not go"):
        structure(Picky, {}, "p", environ={})


_junk = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.dates(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)
_names = st.sampled_from(["ttl", "size", "label", "names", "limits", "zz", "level", "mode", "pair", "weights", "path"])


@settings(deadline=None)
@given(st.dictionaries(_names, _junk))
def test_no_value_whatever_makes_structuring_fail_otherwise_than_with_faults(table: dict[str, Any]) -> None:
    """Either an instance or a ConfigError whose sentences all have a path."""
    faults: tuple[str, ...] = ("p.",)
    try:
        cache = structure(SqliteCache, table, "p", environ={})
    except ConfigError as error:
        faults = error.faults
    else:
        assert set(table) <= {setting.name for setting in settings_of(type(cache))}
    assert faults
    assert all(fault.startswith("p.") for fault in faults)


@settings(deadline=None)
@given(
    ttl=st.floats(min_value=0, allow_nan=False, allow_infinity=False),
    size=st.integers(),
    label=st.text(),
    names=st.lists(st.text()),
    weights=st.dictionaries(st.text(), st.floats(allow_nan=False)),
)
def test_right_values_arrive_unchanged(ttl: float, size: int, label: str, names: list[str], weights: Any) -> None:
    """Nothing is coerced on the way."""
    cache = made(ttl=ttl, size=size, label=label, names=names, weights=weights)
    assert (cache.ttl, cache.size, cache.label, cache.names, cache.weights) == (ttl, size, label, names, weights)


# --- secrets ---------------------------------------------------------------------------------------------------------


def test_a_reference_is_looked_up_in_the_environment_and_kept_as_a_secret() -> None:
    """It is the value itself, and its repr shows nothing."""
    cache = structure(SqliteCache, {"token": {"env": "T"}, "size": {"env": "N"}}, environ={"T": "sk-123", "N": "12"})
    assert cache.token == "sk-123"
    assert f"Bearer {cache.token}" == "Bearer sk-123"
    assert isinstance(cache.token, Secret)
    assert "sk-123" not in repr(cache.token)
    assert cache.size == 12
    assert pickle.loads(pickle.dumps(cache.token)) == "sk-123"


def test_a_reference_is_taken_as_it_is_and_not_read_as_toml() -> None:
    """A key that looks like a quoted text or a number keeps every character."""
    assert structure(SqliteCache, {"token": {"env": "T"}}, environ={"T": '"q"'}).token == '"q"'
    assert structure(SqliteCache, {"token": {"env": "T"}}, environ={"T": "0123"}).token == "0123"


def test_a_reference_to_nothing_is_a_fault() -> None:
    """Unset and empty are told apart; the name says what to set."""
    assert faults_of(token={"env": "T"}) == [
        "p.token: the environment variable T is not set; set it, or give the value another way"
    ]
    assert "T is empty" in faults_of(environ={"T": ""}, token={"env": "T"})[0]


def test_a_table_with_a_key_called_env_is_no_reference() -> None:
    """Where a table is wanted ``env`` is a key as any other."""
    assert made(labels={"env": "prod"}).labels == {"env": "prod"}


def test_no_fault_shows_a_secret() -> None:
    """Neither a wrong type nor a validator's own words."""

    @define(eq=False)
    class Keyed:
        key: str = field(default="", validator=validators.matches_re("sk-.*"))
        number: int = 0
        spare: str = field(default="", validator=validators.max_len(3))
        tokens: list[str] = field(factory=list)
        old_keys: list[str] = field(factory=list)

    environ = {"K": "hunter2-hunter2"}
    told = faults_of(Keyed, environ, key="hunter2", number={"env": "K"}, spare={"env": "K"})
    assert len(told) == 3
    assert not any("hunter2" in fault for fault in told)
    assert faults_of(Keyed, key=12345) == ["p.key: expected str"]
    assert faults_of(Keyed, old_keys=[12345]) == ["p.old_keys.0: expected str"]
    assert faults_of(Keyed, tokens=[12345]) == ["p.tokens.0: expected str, got 12345"]


# --- sources ---------------------------------------------------------------------------------------------------------


def test_argument_wins_over_environment_over_file_over_default(tmp_path: Path) -> None:
    """Each source adds to the one below it, key by key, and each value remembers its own."""
    text = "abandoned_after = 1\n[plugins.cache-sqlite]\nttl = 1\nsize = 1\nlabel = 'f'\n"
    environ = {"CLIPPY_CACHE_SQLITE__TTL": "2", "CLIPPY_CACHE_SQLITE__SIZE": "2", "CLIPPY_ABANDONED_AFTER": "2"}
    config = load(tmp_path, text, environ, plugins={"cache-sqlite": {"ttl": 3}})
    cache = config.structure(SqliteCache, "cache-sqlite")
    assert (cache.ttl, cache.size, cache.label, cache.exact) == (3.0, 2, "f", False)
    assert config.host.abandoned_after == 2.0
    assert config.origin("plugins.cache-sqlite.ttl") == "argument"
    assert config.origin("plugins.cache-sqlite.size") == "environment CLIPPY_CACHE_SQLITE__SIZE"
    assert config.origin("plugins.cache-sqlite.label") == "clippy.toml"
    assert config.origin("plugins.cache-sqlite.exact") == "default"
    assert {"clippy.toml", "environment CLIPPY_CACHE_SQLITE__SIZE", "argument"} == set(
        config.origin("plugins.cache-sqlite").split(", ")
    )


def test_the_tool_table_of_pyproject_is_read(tmp_path: Path) -> None:
    """``[tool.clippy]`` is the same as a file of its own."""
    (tmp_path / "pyproject.toml").write_text("[tool.clippy]\ndisable = ['audit']\n[tool.clippy.plugins.retry]\na = 1\n")
    config = load(tmp_path)
    assert config.host.disable == ("audit",)
    assert config.table("retry") == {"a": 1}
    assert config.origin("disable") == "pyproject.toml [tool.clippy]"


def test_the_nearest_file_upwards_counts_and_clippy_toml_before_pyproject(tmp_path: Path) -> None:
    """A pyproject.toml without our table is passed over; the repository's root ends the search."""
    inner = tmp_path / "repository" / "a" / "b"
    inner.mkdir(parents=True)
    (tmp_path / "clippy.toml").write_text("disable = ['retry']")
    (tmp_path / "repository" / ".git").mkdir()
    assert None is load_config(None, {}, cwd=inner, known=KNOWN).file
    (tmp_path / "repository" / "pyproject.toml").write_text("[tool.clippy]\ntrace = true")
    (tmp_path / "repository" / "a" / "pyproject.toml").write_text("[project]\nname = 'clippy-user'")
    assert load_config(None, {}, cwd=inner, known=KNOWN).host.trace
    (tmp_path / "repository" / "clippy.toml").write_text("trace = false")
    assert not load_config(None, {}, cwd=inner, known=KNOWN).host.trace


def test_the_search_ends_at_home_and_before_a_folder_of_everybody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stranger's file in a shared folder cannot send the program's requests elsewhere."""
    home = tmp_path / "home"
    (home / "project").mkdir(parents=True)
    (tmp_path / "clippy.toml").write_text("trace = true")
    monkeypatch.setenv("HOME", str(home))
    assert None is load_config(None, {}, cwd=home / "project", known=KNOWN).file
    monkeypatch.setenv("HOME", str(tmp_path / "elsewhere"))
    assert tmp_path / "clippy.toml" == load_config(None, {}, cwd=home / "project", known=KNOWN).file
    if os.name == "posix":
        home.chmod(0o777)
        assert None is load_config(None, {}, cwd=home / "project", known=KNOWN).file


def test_a_working_directory_that_is_gone_has_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A program may outlive the folder it was started in."""
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    assert load_config(None, {}, known=KNOWN).file is None


def test_a_file_may_be_named(tmp_path: Path) -> None:
    """By argument before CLIPPY_CONFIG before the search; a name without a file is a fault."""
    (tmp_path / ".git").mkdir()
    for name in ("one.toml", "two.toml", "clippy.toml"):
        (tmp_path / name).write_text(f"disable = ['{name}']")
    environ = {"CLIPPY_CONFIG": str(tmp_path / "two.toml")}
    assert load_config(tmp_path / "one.toml", environ, cwd=tmp_path, known=KNOWN).host.disable == ("one.toml",)
    assert load_config(None, environ, cwd=tmp_path, known=KNOWN).host.disable == ("two.toml",)
    assert load_config(None, {}, cwd=tmp_path, known=KNOWN).host.disable == ("clippy.toml",)
    with pytest.raises(ConfigError, match=r"three\.toml: there is no such file; the CLIPPY_CONFIG names it"):
        load_config(None, {"CLIPPY_CONFIG": str(tmp_path / "three.toml")}, cwd=tmp_path, known=KNOWN)
    (tmp_path / "pyproject.toml").write_text("[project]\n")
    with pytest.raises(ConfigError, match=r"pyproject\.toml \[tool\.clippy\]: there is no such table"):
        load_config(tmp_path / "pyproject.toml", {}, cwd=tmp_path, known=KNOWN)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"a = = 1", "clippy.toml: is not valid TOML: Invalid value (at line 1, column 5)"),
        (b"a = '\xff'", "clippy.toml: cannot be read"),
        (b"plugins = ['a']\n[plugins.retry]\nx = 1", "beside the table write allow = [...]"),
        (b"order = ['a']\norder.on_error = ['b']", "beside the table write [order] with default = [...]"),
    ],
)
def test_a_file_that_cannot_be_read_is_a_fault_that_says_where(tmp_path: Path, content: bytes, sentence: str) -> None:
    """With the place in the file and what to do, never a traceback."""
    (tmp_path / "clippy.toml").write_bytes(content)
    faults = faults_in(tmp_path)
    assert len(faults) == 1
    assert sentence in faults[0]


@define(eq=False)
class Keyed:
    key: str = field(validator=validators.min_len(16))


def test_a_length_is_not_told_as_if_it_were_the_value() -> None:
    assert faults_of(Keyed, key="short") == ["p.key: its length must be >= 16, not 5"]


def test_a_file_in_the_present_folder_is_named_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("bad.toml").write_text("a = = 1")
    with pytest.raises(ConfigError) as caught:
        load_config(Path("bad.toml"), {}, cwd=tmp_path, known=KNOWN)
    assert str(caught.value).count("bad.toml") == 1


def test_a_file_with_a_byte_order_mark_is_read(tmp_path: Path) -> None:
    """Some editors write one."""
    (tmp_path / "clippy.toml").write_bytes(b"\xef\xbb\xbftrace = true")
    assert load(tmp_path).host.trace


def test_the_sources_of_faults_are_named(tmp_path: Path) -> None:
    """Every fault of file, environment and arguments, in one error, each beginning with its source."""
    faults = faults_in(
        tmp_path,
        "abandoned_after = 'x'\ntrust_header = true\n[plugins]\nretry = 3\n",
        {"CLIPPY_TRUST_HEADERS": "perhaps", "CLIPPY_CACHE_SQLITEE__TTL": "1"},
        deadlines={"total": -1},
    )
    assert set(faults) == {
        "environment CLIPPY_CACHE_SQLITEE__TTL: no plugin is called cache-sqlitee; did you mean cache-sqlite?",
        "clippy.toml: plugins.retry: expected a table, got 3",
        "clippy.toml: abandoned_after: expected float, got 'x'",
        "clippy.toml: trust_header: unknown setting; did you mean trust_headers?",
        "environment CLIPPY_TRUST_HEADERS: trust_headers: expected bool, got 'perhaps'",
        "argument: deadlines.total: must be > 0: -1.0",
    }


def test_a_wrong_setting_leaves_the_others_standing(tmp_path: Path) -> None:
    """``read_config`` is for those who must go on: doctor and config show."""
    (tmp_path / "clippy.toml").write_text("abandoned_after = 'x'\ntrace = true")
    config = read_config(None, {}, cwd=tmp_path, known=KNOWN)
    assert (config.host.abandoned_after, config.host.trace) == (60.0, True)
    assert len(config.faults) == 1


def test_settings_of_a_plugin_are_checked_with_their_sources(tmp_path: Path) -> None:
    """The sentence of the file and that of the environment differ in their first words."""
    config = load(
        tmp_path,
        "[plugins.cache-sqlite]\nttl = 'abc'\npth = 'x'\nlabel = 'l'",
        {"CLIPPY_CACHE_SQLITE__LIMITS__ROWS": "many"},
    )
    with pytest.raises(ConfigError) as caught:
        config.structure(SqliteCache, "cache-sqlite")
    assert set(caught.value.faults) == {
        "clippy.toml: plugins.cache-sqlite.ttl: expected float, got 'abc'",
        "clippy.toml: plugins.cache-sqlite.pth: unknown setting; did you mean path?",
        "environment CLIPPY_CACHE_SQLITE__LIMITS__ROWS: plugins.cache-sqlite.limits.rows: expected int, got 'many'",
    }


# --- the environment -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("setting", "text", "value"),
    [
        ("ttl", "60", 60.0),
        ("size", "60", 60),
        ("label", "60", "60"),
        ("label", '"60"', "60"),
        ("label", "a = b # c", "a = b # c"),
        ("label", "two\nlines", "two\nlines"),
        ("label", "", ""),
        ("label", "true", "true"),
        ("path", "/var/cache/x.db", Path("/var/cache/x.db")),
        ("level", "detailed", "detailed"),
        ("mode", "high", Level.HIGH),
        ("exact", "1", True),
        ("exact", "off", False),
        ("exact", "true", True),
        ("limit", "1.5", 1.5),
        ("either", "5", 5),
        ("either", "five", "five"),
        ("names", "a,b", ["a", "b"]),
        ("names", '["a", "b"]', ["a", "b"]),
        ("names", "", []),
        ("numbers", "1, 2", (1, 2)),
        ("weights", "{a = 1}", {"a": 1.0}),
        ("limits", "{rows = 3}", Limits(3)),
        ("since", "2026-01-02", datetime.date(2026, 1, 2)),
        ("token", '{env = "OTHER"}', "sk-1"),
        ("anything", "[1]", [1]),
    ],
)
def test_a_variable_is_read_as_its_setting_wants_it(tmp_path: Path, setting: str, text: str, value: Any) -> None:
    """TOML where it is some, the plain text where a text is wanted."""
    environ = {f"CLIPPY_CACHE_SQLITE__{setting.upper()}": text, "OTHER": "sk-1"}
    assert value == getattr(load(tmp_path, "", environ).structure(SqliteCache, "cache-sqlite"), setting)


def test_variables_of_the_host(tmp_path: Path) -> None:
    """Lists with commas or as TOML, tables by two underscores, names of routes with their hyphens."""
    config = load(
        tmp_path,
        "[routes.my-route]\nmodel = 'm'\n",
        {
            "CLIPPY_PLUGINS": "retry,audit",
            "CLIPPY_DISABLE": '["audit"]',
            "CLIPPY_ORDER": "retry",
            "CLIPPY_ORDER__ON_ERROR": '["audit"]',
            "CLIPPY_DEADLINES__TOTAL": "30",
            "CLIPPY_ROUTES__MY_ROUTE__KEY": "sk-1",
            "CLIPPY_ROUTES__NEW_ONE__BASE_URL": "http://x",
            "CLIPPY_AUDIT__CONTENT": "true",
            "CLIPPY_AUDIT__PATH": "x.jsonl",
            "CLIPPY_AUDIT__ON_FAILURE": "raise",
            "CLIPPY_ON_FAILURE__CACHE_SQLITE": "disable",
            "CLIPPY_PLUGINS__RETRY__ATTEMPTS": "3",
            "CLIPPY_TRACE": "1",
            "CLIPPY_SALT_PATH": "",
            "CLIPPY_CONF_DIR": "of Rust's linter",
            "CLIPPY_CONFIG": str(tmp_path / "clippy.toml"),
            "CLIPPY_RUN": "{}",
            "CLIPPYX__Y": "of somebody else",
        },
    )
    host = config.host
    assert (host.allow, host.disable) == (("retry", "audit"), ("audit",))
    assert (host.order.of("pre_request"), host.order.of("on_error")) == (("retry",), ("audit",))
    assert (host.deadlines.total, host.audit.content, host.trace, host.salt_path) == (30.0, True, True, None)
    assert (host.routes["my-route"].model, host.routes["my-route"].key) == ("m", "sk-1")
    assert host.routes["new-one"].base_url == "http://x"
    assert host.on_failure == {"cache-sqlite": "disable", "audit": "raise"}
    assert config.table("retry") == {"attempts": "3"}
    assert config.table("audit") == {"path": "x.jsonl", "on_failure": "raise"}


@pytest.mark.parametrize(
    ("variable", "sentence"),
    [
        (
            "CLIPPY_NOBODY__TTL",
            "no plugin is called nobody; there are audit, cache-sqlite, retry",
        ),
        ("CLIPPY_RETRYY__X", "no plugin is called retryy; did you mean retry?"),
        ("CLIPPY_DEADLINE__TOTAL", "no plugin is called deadline; did you mean deadlines?"),
        ("CLIPPY_CACHE-SQLITE__TTL", "sets nothing; write CLIPPY_CACHE_SQLITE__TTL"),
        ("CLIPPY_ON-FAILURE__RETRY", "sets nothing; write CLIPPY_ON_FAILURE__RETRY"),
        ("CLIPPY_CACHE-SQLITE_TTL", "sets nothing; a setting of cache-sqlite is written CLIPPY_CACHE_SQLITE__TTL"),
        ("CLIPPY_RETRY____ATTEMPTS", "sets nothing; a setting of retry is written CLIPPY_RETRY__ATTEMPTS"),
        ("CLIPPY_LOKED", "sets nothing; did you mean CLIPPY_LOCKED?"),
        ("CLIPPY__LOCKED", "sets nothing; did you mean CLIPPY_LOCKED?"),
        ("CLIPPY_DISABEL", "sets nothing; did you mean CLIPPY_DISABLE?"),
        ("CLIPPY_TRAEC", "sets nothing; did you mean CLIPPY_TRACE?"),
        ("CLIPPY_DEADLINES_TOTAL", "sets nothing; did you mean CLIPPY_DEADLINES__TOTAL?"),
        ("CLIPPY_PLUGINS__RETRY", "names no setting of retry; write CLIPPY_RETRY__SETTING"),
        ("CLIPPY_DEADLINES__TOTALL", "deadlines.totall: unknown setting; did you mean total?"),
        ("CLIPPY_ORDER__ON_EROR", "order.on_eror: unknown setting; did you mean on_error?"),
    ],
)
def test_a_variable_that_looks_like_ours_and_is_not_is_a_fault(tmp_path: Path, variable: str, sentence: str) -> None:
    """A slip in a name would otherwise be a setting that silently does nothing."""
    assert [f"environment {variable}: {sentence}"] == faults_in(tmp_path, "", {variable: "1"})


def test_a_variable_like_nothing_of_ours_is_a_fault_that_lists_what_there_is(tmp_path: Path) -> None:
    """Who reads it must be told that we do not."""
    (fault,) = faults_in(tmp_path, "", {"CLIPPY_WHATEVER": ""})
    assert fault.startswith("environment CLIPPY_WHATEVER: sets nothing; unset it, or write a plugin's setting as ")
    assert "CLIPPY_PLUGIN__SETTING; there are CLIPPY_ABANDONED_AFTER, CLIPPY_ALLOW, " in fault


@pytest.mark.parametrize(
    ("text", "environ"),
    [
        ("[routes.main]\nkey = {env = 'CLIPPY_MY_KEY'}\n", {}),
        ("[plugins.audit]\nkeys = [{env = 'CLIPPY_MY_KEY'}]\n", {}),
        ("", {"CLIPPY_ROUTES__MAIN__KEY": '{env = "CLIPPY_MY_KEY"}'}),
    ],
)
def test_a_variable_that_the_configuration_names_is_the_configurations(
    tmp_path: Path, text: str, environ: dict[str, str]
) -> None:
    """``{env = "CLIPPY_..."}`` makes a name somebody's; without it the same name is nobody's."""
    assert load(tmp_path, text, {**environ, "CLIPPY_MY_KEY": "sk-1"}).faults == ()
    load(tmp_path, "", {"CLIPPY_MY_KEY": "sk-1"}, routes={"main": {"key": {"env": "CLIPPY_MY_KEY"}}})
    bare = tmp_path / "bare"
    bare.mkdir()
    assert len(faults_in(bare, "", {"CLIPPY_MY_KEY": "sk-1"})) == 1


# --- the host's settings ---------------------------------------------------------------------------------------------


def test_the_allow_list_has_two_spellings(tmp_path: Path) -> None:
    """``plugins`` where there is no table of that name, ``allow`` beside tables, ``off`` for none."""
    assert load(tmp_path, "plugins = ['retry']").host.allow == ("retry",)
    assert load(tmp_path, "allow = ['retry']\n[plugins.retry]\na = 1").host.allow == ("retry",)
    assert load(tmp_path, "plugins = 'off'").host.allow == "off"
    assert load(tmp_path, "allow = ['retry']\n[plugins.retry]\na = 1", {"CLIPPY_PLUGINS": "off"}).host.allow == "off"
    assert load(tmp_path, "allow = ['retry']", plugins=["audit"]).host.allow == ("audit",)
    assert faults_in(tmp_path, "plugins = 'on'") == ["clippy.toml: allow: expected 'off' or list of str, got 'on'"]


def test_order_is_a_list_or_lists_by_hook(tmp_path: Path) -> None:
    """A hook's own list stands instead of the default one."""
    assert Order(("b", "a")) == load(tmp_path, "order = ['b', 'a']").host.order
    order = load(tmp_path, "[order]\ndefault = ['b']\non_error = ['a']").host.order
    assert (order.of("on_error"), order.of("on_chunk")) == (("a",), ("b",))
    assert faults_in(tmp_path, "[order]\non_eror = ['a']") == [
        "clippy.toml: order.on_eror: unknown setting; did you mean on_error?"
    ]
    assert faults_in(tmp_path, "[order]\non_error = 'a'") == [
        "clippy.toml: order.on_error: expected list of str, got 'a'"
    ]


def test_failures_of_a_plugin_may_be_set_in_its_own_table(tmp_path: Path) -> None:
    """The host reads it; the plugin gets it only if it has such a setting."""
    config = load(tmp_path, "on_failure = {retry = 'skip', audit = 'skip'}\n[plugins.retry]\non_failure = 'raise'")
    assert config.host.on_failure == {"retry": "raise", "audit": "skip"}
    assert isinstance(config.structure(Limits, "retry"), Limits)
    assert faults_in(tmp_path, "[plugins.retry]\non_failure = 'rais'") == [
        "clippy.toml: plugins.retry.on_failure: expected one of 'raise', 'skip', 'disable', got 'rais'; "
        "did you mean raise?"
    ]


def test_routes_are_checked_whole(tmp_path: Path) -> None:
    """Addresses, numbers, deadlines; one default; keys and headers are secrets."""
    text = """
        [routes.a]
        default = true
        key = {env = "K"}
        headers = {X-Key = "hunter2"}
        models = {fast = "small"}
        context_tokens = 1000
        deadlines = {idle = 3}
    """
    route = load(tmp_path, text, {"K": "sk-9"}).host.routes["a"]
    assert (
        route.key,
        route.headers["X-Key"],
        route.models["fast"],
        route.context_tokens,
        route.deadlines.idle,
    ) == ("sk-9", "hunter2", "small", 1000, 3.0)
    assert "hunter2" not in repr(route)
    assert "sk-9" not in repr(route)
    wrong = "[routes.a]\nbase_url = 'ftp://x'\ncontext_tokens = 0\nkey = {env = 'NONE'}\nmodel = 3\n[routes.b]\nx = 1"
    assert [fault.partition(": ")[2].partition(": ")[0] for fault in faults_in(tmp_path, wrong)] == [
        "routes.a.key",
        "routes.a.model",
        "routes.a.base_url",
        "routes.a.context_tokens",
        "routes.b.x",
    ]
    assert (
        "only one route can be the default, a and b"
        in faults_in(tmp_path, "[routes.a]\ndefault = true\n[routes.b]\ndefault = true")[0]
    )


def test_arguments_may_be_values_that_toml_has_not(tmp_path: Path) -> None:
    """Programs give paths and instances."""
    config = load(tmp_path, salt_path=tmp_path / "salt", plugins={"cache-sqlite": {"limits": Limits(9)}})
    assert tmp_path / "salt" == config.host.salt_path
    assert Limits(9) == config.structure(SqliteCache, "cache-sqlite").limits


def test_a_configuration_may_be_one_table_and_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither files nor variables speak in it, but references are looked up."""
    (tmp_path / "clippy.toml").write_text("trace = true")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CLIPPY_TRACE", "1")
    monkeypatch.setenv("CLIPPY_TEST_KEY", "sk-1")
    config = config_of({"disable": ["audit"], "routes": {"a": {"key": {"env": "CLIPPY_TEST_KEY"}}}})
    assert (config.host.trace, config.host.disable, config.file) == (False, ("audit",), None)
    assert config.host.routes["a"].key == "sk-1"
    with pytest.raises(ConfigError, match="argument: trase: unknown setting; did you mean trace"):
        config_of({"trase": 1})


# --- merging ---------------------------------------------------------------------------------------------------------

_paths = st.lists(st.sampled_from("abc"), min_size=1, max_size=3).map(tuple)
_settings = st.lists(st.builds(Setting, _paths, st.integers(), st.sampled_from(["file", "environment", "argument"])))


@settings(deadline=None)
@given(_settings)
def test_the_last_word_wins_and_every_leaf_has_an_origin(settings: list[Setting]) -> None:
    """Whatever replaces whatever, the origins name exactly the leaves of the tree."""
    tree, origins = merge(settings)
    leaves: dict[tuple[str, ...], Any] = {}

    def walk(table: dict[str, Any], above: tuple[str, ...]) -> None:
        for key, value in table.items():
            if isinstance(value, dict):
                walk(value, (*above, key))
            else:
                leaves[(*above, key)] = value

    walk(tree, ())
    assert leaves.keys() == origins.keys()
    if settings:
        assert settings[-1].value == leaves[settings[-1].path]
        assert settings[-1].origin == origins[settings[-1].path]


def test_an_empty_table_names_a_plugin_and_takes_nothing_away(tmp_path: Path) -> None:
    """``[plugins.retry]`` alone is a mention of it."""
    assert load(tmp_path, "[plugins.retry]").tables == ("retry",)
    assert load(tmp_path, "[plugins.retry]\na = 1", plugins={"retry": {}}).table("retry") == {"a": 1}


# --- showing ---------------------------------------------------------------------------------------------------------


def test_every_kind_of_value_is_shown_as_json_has_it(tmp_path: Path) -> None:
    """Types of JSON, secrets hidden, references as they stand, and text for what JSON has no type for."""
    text = """
        disable = ["audit"]
        [routes.a]
        key = "sk-1"
        headers = {x = "secret"}
        models = {small = "m"}
        [routes.b]
        key = {env = "K"}
        [plugins.retry]
        day = 2026-01-02
        endless = inf
        nested = [{password = "p", n = 1}, [true]]
    """
    shown = {row.path: row.data for row in rows(load(tmp_path, text, {"CLIPPY_RETRY__FROM_ENV": "2.5", "K": "sk-2"}))}
    wanted = {
        "disable": ["audit"], "routes.a.key": "***", "routes.a.headers.x": "***", "routes.a.models.small": "m",
        "routes.b.key": {"env": "K"}, "plugins.retry.day": "2026-01-02", "plugins.retry.endless": "inf",
        "plugins.retry.nested": [{"password": "***", "n": 1}, [True]], "plugins.retry.from_env": 2.5,
    }  # fmt: skip
    assert {path: shown[path] for path in wanted} == wanted


def test_settings_of_a_class_are_listed_for_docs() -> None:
    """Name, type, default as TOML, and the doc; what only programs can give is not there."""
    listed = {setting.name: setting for setting in settings_of(SqliteCache)}
    assert (listed["path"].type, listed["path"].default, listed["path"].doc) == ("path", '"x.db"', "the file")
    assert (listed["ttl"].type, listed["ttl"].default, listed["ttl"].doc) == ("float", "3600.0", "seconds")
    assert listed["level"].type == "one of 'minimal', 'detailed'"
    assert (listed["mode"].type, listed["mode"].default) == ("one of 'low', 'high'", '"low"')
    assert (listed["names"].type, listed["names"].default) == ("list of str", "[]")
    assert (listed["weights"].type, listed["weights"].default) == ("table of float", "{}")
    assert (listed["limit"].type, listed["limit"].default) == ("float", "none")
    assert "hidden" in listed
    assert not {"clock", "made", "state", "_hidden"} & set(listed)


def test_a_default_that_only_an_instance_can_make_is_shown_as_none() -> None:
    """No instance is made to list settings."""

    @define(eq=False)
    class Derived:
        a: int = 1
        b: int = field(default=Factory(lambda self: self.a, takes_self=True))

    assert [setting.default for setting in settings_of(Derived)] == ["1", "none"]


def test_show_has_every_setting_with_its_origin_and_no_secret(tmp_path: Path) -> None:
    """Values as TOML; keys, tokens and headers hidden, references as references."""
    text = """
        order = ["retry"]
        [routes.a]
        key = "hunter2"
        headers = {X-Whatever = "hunter2"}
        [routes.b]
        key = {env = "K"}
        [plugins.cache-sqlite]
        token = "hunter2"
        label = "a \\"quoted\\" text"
        names = ["x", "y"]
        api_keys = ["hunter2"]
    """
    environ = {"K": "hunter2", "CLIPPY_CACHE_SQLITE__TTL": "60", "CLIPPY_ROUTES__C__KEY": "hunter2"}
    shown = {row.path: row for row in rows(load(tmp_path, text, environ), {"cache-sqlite": SqliteCache})}
    assert not any("hunter2" in row.value for row in shown.values())
    assert shown["routes.b.key"].value == '{env = "K"}'
    assert (
        shown["plugins.cache-sqlite.ttl"].value,
        shown["plugins.cache-sqlite.ttl"].origin,
    ) == ("60", "environment CLIPPY_CACHE_SQLITE__TTL")
    assert (shown["plugins.cache-sqlite.size"].value, shown["plugins.cache-sqlite.size"].origin) == ("10", "default")
    assert tomllib.loads(f"value = {shown['plugins.cache-sqlite.label'].value}") == {"value": 'a "quoted" text'}
    assert shown["order.default"].value == '["retry"]'
    assert (shown["deadlines.total"].value, shown["deadlines.total"].origin) == ("none", "default")
    assert "order" not in shown


@define
class Remote:
    """Its url may hold a password."""

    url: str = field(default="", repr=False)


@pytest.mark.parametrize("environ", [{}, {"CLIPPY_RETRY__URL": "x://ada:hunter2@host"}])
def test_what_a_class_keeps_out_of_its_repr_is_not_shown(tmp_path: Path, environ: dict[str, str]) -> None:
    """Whatever its name is; that it is empty is no secret, and where it comes from neither."""
    text = "" if environ else '[plugins.retry]\nurl = "x://ada:hunter2@host"'
    shown = {row.path: row for row in rows(load(tmp_path, text, environ), {"retry": Remote})}
    assert (shown["plugins.retry.url"].value, shown["plugins.retry.url"].data) == ("'***'", "***")
    assert "hunter2" not in str(shown)
    assert {row.path: row.value for row in rows(load(tmp_path, "# nothing"), {"retry": Remote})}[
        "plugins.retry.url"
    ] == '""'
    reference = {row.path: row for row in rows(load(tmp_path, '[plugins.retry]\nurl = {env = "K"}'), {"retry": Remote})}
    assert reference["plugins.retry.url"].value == '{env = "K"}'


def test_one_underscore_too_few_is_a_fault_that_says_so(tmp_path: Path) -> None:
    """CLIPPY_RETRY_ATTEMPTS would silently set nothing."""
    with pytest.raises(ConfigError, match="sets nothing; a setting of retry is written CLIPPY_RETRY__ATTEMPTS"):
        load_config(environ={"CLIPPY_RETRY_ATTEMPTS": "3"}, cwd=tmp_path, known=["retry"])


def test_an_argument_may_hold_tables_of_plugins_and_names_of_them() -> None:
    """In the file's shape; what is neither is a plugin of the program's own."""
    plugins = {"retry": {"attempts": 2}}
    assert Host.from_config(plugins=plugins, allow=["retry"]).plugins["retry"].attempts == 2
    assert list(Host.from_config(plugins=["retry", "errors"]).plugins) == ["errors", "retry"]
    assert dict(Host.from_config(plugins={}).plugins) == {}
    with pytest.raises(ConfigError, match=r"argument: plugins.retry.atempts: unknown setting; did you mean attempts"):
        Host.from_config(plugins={"retry": {"atempts": 2}})


def test_a_route_that_is_not_there_is_told_together_with_the_other_faults() -> None:
    """Also where a table below the plugin's own names it; otherwise it would wait until the others are mended."""
    key = {"key": "gateway-key-of-a-caller", "routes": ["mian"]}
    told: dict[str, Any] = {
        "plugins": {
            "fallback": {"routes": ["mian"], "stal": 1},
            "gateway": {"keys": {"shop": key}, "models": {"gpt-*": "mian"}, "prot": 1},
        },
        "routes": {"main": {"model": "m"}},
    }
    with pytest.raises(ConfigError) as caught:
        Host.from_config(**told)
    faults = str(caught.value)
    for path in ("fallback.stal", "gateway.prot"):
        assert f"plugins.{path}: unknown setting" in faults
    for path in ("fallback.routes", "gateway.keys.shop.routes", "gateway.models"):
        assert f"plugins.{path}: no route called mian is configured; did you mean main" in faults
    for table in told["plugins"].values():
        table.pop("stal", table.pop("prot", None))
    with pytest.raises(ConfigError, match=r"plugins.gateway.keys.shop.routes: no route called mian"):
        Host.from_config(**told)


@pytest.mark.parametrize("fallback", [{"routes": ["mian"]}, {"kinds": {"quota": ["main", "mian"]}}])
def test_a_setting_that_names_a_route_that_is_not_there_stops_the_start(fallback: dict[str, Any]) -> None:
    """Otherwise it would be found out in the outage for which it was written."""
    told: dict[str, Any] = {"plugins": {"fallback": fallback}, "routes": {"main": {"model": "m"}}}
    with pytest.raises(ConfigError, match="no route called mian is configured; did you mean main"):
        Host.from_config(**told)
    told["routes"]["mian"] = {}
    assert "fallback" in Host.from_config(**told).plugins
