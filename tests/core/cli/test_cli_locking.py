"""The lock: what it holds, that nothing else is imported, and what is said when files, versions or the lock changed."""

from __future__ import annotations

import base64
import hashlib
import importlib
import itertools
import json
import os
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import importlib_metadata
import pytest
from clippy_hookspecs import ConfigError
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import clippy_core
from clippy_core.discovery import Found, Plugin
from clippy_core.installed import rescan
from clippy_core.installed_files import Unverifiable, hash_of
from clippy_core.lock import Lock, LockedPlugin, read_lock, write_lock

Run = Callable[..., Any]
NUMBERS = itertools.count()
SOURCE = """
import sys
from attrs import define
from clippy_hookspecs import hookimpl

@define(eq=False)
class Plugin:
    limit: int = 3

    @hookimpl
    def pre_request(self, request, ctx):
        return None
"""


class Site:
    """A folder of the path that wheels are unpacked into, as pip does it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.packages: list[str] = []
        self.distributions: set[str] = set()

    def add(
        self,
        name: str = "one",
        *,
        version: str = "1.0",
        distribution: str = "",
        package: str = "",
        record: bool = True,
        more: dict[str, bytes] | None = None,
        requires: str = "",
    ) -> str:
        """Install one plugin in a package of two modules, and say how the package is called."""
        package = package or f"locked_plugin_{next(NUMBERS)}"
        distribution = distribution or f"temporary-{name}"
        info = f"{distribution.replace('-', '_')}-{version}.dist-info"
        metadata = f"Metadata-Version: 2.1\nName: {distribution}\nVersion: {version}\n"
        files = {
            f"{package}/__init__.py": SOURCE.encode(),
            f"{package}/prompt.txt": b"Be brief.",
            f"{info}/METADATA": (metadata + (f"Requires-Dist: {requires}\n" if requires else "")).encode(),
            f"{info}/entry_points.txt": f"[clippy]\n{name} = {package}:Plugin\n".encode(),
            **(more or {}),
        }
        self.write(files)
        if record:
            self.record(info, files)
        self.packages.append(package)
        self.distributions.add(distribution)
        return package

    def write(self, files: dict[str, bytes]) -> None:
        for path, content in files.items():
            (self.folder / path).parent.mkdir(parents=True, exist_ok=True)
            (self.folder / path).write_bytes(content)

    def record(self, info: str, files: dict[str, bytes]) -> None:
        """What an installer writes: hashes of what it copied, and no hash of what it made itself."""
        lines = [f"{path},sha256={digest(content)},{len(content)}" for path, content in files.items()]
        lines += ["../../../bin/a-script,sha256=abc,3", f"{info}/INSTALLER,,", f"{info}/RECORD,,"]
        (self.folder / info / "INSTALLER").write_text("pip\n")
        (self.folder / info / "RECORD").write_text("\n".join(lines) + "\n")

    def found(self) -> list[Found]:
        """What a scan finds of this folder."""
        importlib.invalidate_caches()
        importlib_metadata.MetadataPathFinder.invalidate_caches()
        return [one for one in rescan() if one.distribution in self.distributions]

    def hash(self) -> str:
        """The hash of the one plugin that is there."""
        (found,) = self.found()
        return hash_of(found)


def digest(content: bytes) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    folder = tmp_path / "site"
    folder.mkdir()
    monkeypatch.syspath_prepend(folder)
    site = Site(folder)
    yield site
    for package in site.packages:
        for module in [name for name in sys.modules if name.partition(".")[0] == package]:
            del sys.modules[module]
    monkeypatch.undo()
    rescan()


def lock(run: Run, site: Site, only: str = "one") -> None:
    """Write the lock of *only*, in the working directory that ``run`` made."""
    site.found()
    result = run("plugins", "lock", only=only)
    assert result.exit_code == 0, result.output


def locked(site: Site, only: str | None = "one", **table: Any) -> clippy_core.Host:
    """A host in locked mode; the lock is in the working directory."""
    site.found()
    allowed = {} if only is None else {"allow": only.split(",")}
    return clippy_core.Host.from_config(locked=True, **{**allowed, **table})


def plugin(host: clippy_core.Host, name: str = "one") -> Plugin:
    (found,) = [one for one in host.discovered.plugins if one.name == name]
    return found


def faults(site: Site, only: str | None = "one", **table: Any) -> str:
    with pytest.raises(ConfigError) as caught:
        locked(site, only, **table)
    return str(caught.value)


# --- writing it ------------------------------------------------------------------------------------------------------


def test_the_lock_has_name_distribution_version_and_hash_and_no_plugin_is_imported(run: Run, site: Site) -> None:
    """One entry for each plugin that would load; writing it runs nobody's code."""
    package = site.add("one")
    site.add("two", version="2.1")
    lock(run, site, "one,two")
    document = json.loads(Path("clippy.lock").read_text())
    assert (document["version"], list(document["plugins"])) == (1, ["one", "two"])
    assert document["plugins"]["two"]["distribution"] == "temporary-two"
    assert document["plugins"]["two"]["version"] == "2.1"
    assert document["plugins"]["two"]["hash"].startswith("sha256:")
    assert package not in sys.modules


def test_the_lock_lies_beside_the_configuration_that_was_read(run: Run, site: Site, tmp_path: Path) -> None:
    """Wherever the command was called."""
    site.add()
    site.found()
    (tmp_path / "elsewhere").mkdir()
    file = tmp_path / "elsewhere" / "clippy.toml"
    file.write_text("trace = true\n")
    assert run("--config", str(file), "plugins", "lock", only="one").exit_code == 0
    assert sorted(path.name for path in file.parent.iterdir()) == ["clippy.lock", "clippy.toml"]


def test_the_same_plugins_give_the_same_bytes_wherever_they_are_installed(run: Run, site: Site, tmp_path: Path) -> None:
    """Neither the folder nor the installer is in the hash; a second lock does not even touch the file."""
    package = site.add(package="the_same_package")
    lock(run, site)
    before = Path("clippy.lock").stat().st_mtime_ns
    first = site.hash()
    lock(run, site)
    assert Path("clippy.lock").stat().st_mtime_ns == before
    site.folder.rename(tmp_path / "moved")
    sys.path.insert(0, str(tmp_path / "moved"))
    site.folder = tmp_path / "moved"
    (site.folder / "temporary_one-1.0.dist-info" / "INSTALLER").write_text("uv")
    (site.folder / package / "__pycache__").mkdir()
    (site.folder / package / "__pycache__" / "__init__.cpython-311.pyc").write_bytes(b"bytecode")
    try:
        assert site.hash() == first
    finally:
        sys.path.remove(str(site.folder))


def test_what_would_not_load_is_left_out_with_its_reason(run: Run, site: Site) -> None:
    """A plugin for another contract is no reason to have no lock."""
    site.add("one")
    site.add("old", requires="clippy-hookspecs<0.1")
    site.found()
    result = run("plugins", "lock", only="one,old")
    assert result.exit_code == 0
    assert "left out: plugin old 1.0: was made for clippy-hookspecs<0.1" in result.stderr
    assert list(json.loads(Path("clippy.lock").read_text())["plugins"]) == ["one"]


def test_what_cannot_be_verified_cannot_be_locked(run: Run, site: Site) -> None:
    """Every one of them is said, and the lock that was there stays."""
    site.add("one")
    lock(run, site)
    before = Path("clippy.lock").read_bytes()
    site.add("two", record=False)
    package = site.add("three")
    (site.folder / package / "__init__.py").write_text("changed = True")
    site.found()
    result = run("plugins", "lock", only="one,two,three")
    assert result.exit_code == 1
    assert "plugin two 1.0: cannot be locked: it has no RECORD" in result.stdout
    assert f"plugin three 1.0: cannot be locked: {package}/__init__.py is not what its RECORD says" in result.stdout
    assert Path("clippy.lock").read_bytes() == before


def test_a_lock_that_cannot_be_written_leaves_the_old_one_and_no_rest(run: Run, site: Site) -> None:
    """A full disk: the new file is beside the old one until it is whole."""
    site.add()
    lock(run, site)
    folder, before = Path.cwd(), Path("clippy.lock").read_bytes()
    real = os.fsync

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    os.fsync = full
    try:
        with pytest.raises(OSError, match="No space"):
            write_lock(folder / "clippy.lock", Lock())
    finally:
        os.fsync = real
    assert [path.name for path in folder.iterdir()] == ["clippy.lock"]
    assert Path("clippy.lock").read_bytes() == before


def test_a_lock_that_is_a_link_is_written_through(run: Run, site: Site, tmp_path: Path) -> None:
    """What the link points to is the file that somebody keeps."""
    Path("clippy.lock").symlink_to(tmp_path / "kept.lock")
    site.add()
    lock(run, site)
    assert Path("clippy.lock").is_symlink()
    assert json.loads((tmp_path / "kept.lock").read_text())["version"] == 1


# --- locked mode -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["argument", "environment", "file"])
def test_locked_mode_loads_what_is_locked_and_imports_nothing_else(
    run: Run, site: Site, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    """By argument, environment or file; the stranger is set aside with a sentence and its code never runs."""
    site.add("one")
    lock(run, site)
    stranger = site.add("stranger")
    site.found()
    if how == "file":
        Path("clippy.toml").write_text("locked = true\n")
    if how == "environment":
        monkeypatch.setenv("CLIPPY_LOCKED", "1")
    host = clippy_core.Host.from_config(**({"locked": True} if how == "argument" else {}))
    assert list(host.plugins) == ["one"]
    assert plugin(host, "stranger").status == "quarantined"
    assert "plugin stranger 1.0: is not in clippy.lock; lock anew" in plugin(host, "stranger").reason
    assert stranger not in sys.modules


def test_without_locked_mode_no_file_is_hashed(run: Run, site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """A lock that lies there costs nothing and forbids nothing."""
    site.add("one")
    lock(run, site)
    site.add("two")
    site.found()

    def never(*_: object) -> None:
        raise AssertionError("a file was hashed")

    monkeypatch.setattr("clippy_core.installed_files._hash", never)
    assert sorted(clippy_core.Host.from_config(allow=["one", "two"]).plugins) == ["one", "two"]


def test_another_version_is_set_aside_and_not_imported(run: Run, site: Site) -> None:
    """The sentence says both versions and what to do."""
    package = site.add("one")
    lock(run, site)
    info = site.folder / "temporary_one-1.0.dist-info"
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: temporary-one\nVersion: 1.1\n")
    info.rename(site.folder / "temporary_one-1.1.dist-info")
    reason = plugin(locked(site, None)).reason
    assert "plugin one 1.1: is not the version in clippy.lock, 1.0; install temporary-one==1.0" in reason
    assert package not in sys.modules


def test_changed_code_with_a_record_to_match_is_set_aside_and_not_imported(run: Run, site: Site) -> None:
    """Somebody who rewrote RECORD as well is found by the lock's own hash."""
    package = site.add("one")
    lock(run, site)
    info = "temporary_one-1.0.dist-info"
    paths = [f"{package}/__init__.py", f"{package}/prompt.txt", f"{info}/METADATA", f"{info}/entry_points.txt"]
    changed = {path: (site.folder / path).read_bytes() for path in paths}
    changed[f"{package}/__init__.py"] += b"\nimport os\n"
    site.write(changed)
    site.record(info, changed)
    reason = plugin(locked(site, None)).reason
    assert "its files are not those in clippy.lock" in reason
    assert "though they are what their RECORD says; install the temporary-one==1.0 that was locked" in reason
    assert package not in sys.modules


def test_a_refused_plugin_that_the_configuration_names_stops_the_start_with_every_fault(run: Run, site: Site) -> None:
    """All of them at once: changed, unlocked and gone."""
    package = site.add("one")
    site.add("gone")
    lock(run, site, "one,gone")
    (site.folder / package / "prompt.txt").write_text("Say yes to everything.")
    site.add("new")
    for file in (site.folder / "temporary_gone-1.0.dist-info").iterdir():
        file.unlink()
    Path("clippy.toml").write_text("[plugins.one]\nlimit = 4\n[plugins.new]\n")
    said = faults(site, None).splitlines()
    assert len(said) == 3
    assert any("plugin gone (temporary-gone 1.0) is not installed" in line for line in said)
    assert any(line.startswith("plugin one 1.0: cannot be verified") and "prompt.txt" in line for line in said)
    assert any(
        line.startswith("plugin new 1.0: is not in clippy.lock") and "named by clippy.toml" in line for line in said
    )


def test_a_locked_plugin_that_is_gone_stops_the_start_unless_it_is_disabled(run: Run, site: Site) -> None:
    """A lock is a promise; the setting that takes a plugin away takes the promise back."""
    site.add("one")
    site.add("two")
    lock(run, site, "one,two")
    for file in (site.folder / "temporary_two-1.0.dist-info").iterdir():
        file.unlink()
    assert "plugin two (temporary-two 1.0) is not installed" in faults(site, None)
    assert list(locked(site, None, disable=["two"]).plugins) == ["one"]
    assert list(locked(site, "one").plugins) == ["one"]


def test_two_distributions_under_one_name_leave_the_locked_one_standing(run: Run, site: Site) -> None:
    """A dependency that brings a plugin of the same name takes nothing away, also where the configuration names it."""
    site.add("one")
    lock(run, site)
    site.add("one", distribution="temporary-impostor", version="9")
    Path("clippy.toml").write_text("[plugins.one]\nlimit = 7\n")
    host = locked(site, "one")
    assert [(p.distribution, p.status) for p in host.discovered.plugins if p.name == "one"] == [
        ("temporary-impostor", "quarantined"),
        ("temporary-one", "loaded"),
    ]
    assert host.plugins["one"].limit == 7  # type: ignore[attr-defined]


def test_a_program_s_own_plugins_need_no_lock(run: Run) -> None:
    """Their code is the program's; the lock is about what was installed beside it."""
    assert clippy_core.Host([], config={"locked": True}).config.host.locked


def test_a_slip_in_the_setting_does_not_open_the_lock(run: Run, site: Site) -> None:
    """``locked = "ture"`` is a fault, and commands that read on import nothing."""
    package = site.add("one")
    site.found()
    Path("clippy.toml").write_text('locked = "ture"\n')
    assert "locked: expected bool" in run("doctor", only="one").stdout
    assert package not in sys.modules


def test_everything_off_needs_no_lock(site: Site, run: Run) -> None:
    """The switch for the worst night works where the lock is what is broken."""
    site.add("one")
    assert dict(locked(site, None, allow="off").plugins) == {}


# --- the lock file is broken -----------------------------------------------------------------------------------------


def test_a_missing_lock_stops_the_start_and_imports_nothing(run: Run, site: Site) -> None:
    """One fault with the whole path and the command, however many plugins the configuration names."""
    package = site.add("one")
    (said,) = faults(site, "one").splitlines()
    assert f"{Path.cwd() / 'clippy.lock'}: there is no such file; write it with clippy plugins lock" in said
    assert package not in sys.modules


def test_no_beginning_of_a_lock_is_a_lock(run: Run, site: Site, tmp_path: Path) -> None:
    """A copy that broke off, at whatever byte, is refused, never read as a lock of fewer plugins."""
    site.add("one")
    site.add("two")
    lock(run, site, "one,two")
    whole = Path("clippy.lock").read_bytes().rstrip()
    file = tmp_path / "part.lock"
    for end in range(len(whole)):
        file.write_bytes(whole[:end])
        with pytest.raises(ConfigError, match="not a whole lock file"):
            read_lock(file)
    file.write_bytes(whole)
    assert sorted(read_lock(file).plugins) == ["one", "two"]


ENTRY = '{"distribution": "d", "version": "1", "hash": "sha256:' + "0" * 64 + '"}'


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("[]", "no version or no plugins"),
        ('{"version": 1}', "no version or no plugins"),
        ('{"version": 2, "plugins": {}}', "is a lock of version 2, and we read 1; upgrade clippy-core"),
        ('{"version": true, "plugins": {}}', "version: expected 1"),
        ('{"version": 1, "plugins": {"a": {"version": "1"}}}', "plugins.a.distribution: is required"),
        ('{"version": 1, "plugins": {"a": ' + ENTRY.replace("sha256", "md5") + "}}", "plugins.a.hash"),
        ('{"version": 1, "plugins": {"a": ' + ENTRY + ', "a": ' + ENTRY + "}}", "a name stands there twice"),
        ('{"version": 1, "plugins": {}}\n<<<<<<< HEAD', "not a whole lock file"),
        ("\xff", "plugins lock"),
    ],
)
def test_a_lock_that_is_no_lock_is_refused_with_what_to_do(tmp_path: Path, text: str, what: str) -> None:
    """A bad merge, another version's file, a hash that is none."""
    file = tmp_path / "clippy.lock"
    file.write_text(text, encoding="latin-1")
    with pytest.raises(ConfigError) as caught:
        read_lock(file)
    assert what in str(caught.value)
    assert "clippy plugins lock" in str(caught.value)


LOCKED = st.builds(LockedPlugin, st.text(), st.text(), st.from_regex(r"sha256:[0-9a-f]{64}", fullmatch=True))


@given(plugins=st.dictionaries(st.text(min_size=1), LOCKED, max_size=4))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50)
def test_what_is_written_is_what_is_read(tmp_path: Path, plugins: dict[str, LockedPlugin]) -> None:
    """Whatever the names are."""
    assert write_lock(tmp_path / "clippy.lock", Lock(1, plugins)) in (True, False)
    assert read_lock(tmp_path / "clippy.lock") == Lock(1, plugins)


# --- --check ---------------------------------------------------------------------------------------------------------


def test_the_check_writes_nothing_and_says_the_differences(run: Run, site: Site) -> None:
    """Exit 0 when the lock is what is installed, 1 with a line for each difference."""
    site.add("one")
    site.add("two")
    lock(run, site, "one,two")
    before = Path("clippy.lock").read_bytes()
    assert run("plugins", "lock", "--check", only="one,two").exit_code == 0
    site.add("three")
    site.found()
    result = run("plugins", "lock", "--check", "--json", only="one,three")
    document = json.loads(result.stdout)
    assert (result.exit_code, document["ok"]) == (1, False)
    assert [line.partition(";")[0] for line in document["differences"]] == [
        "plugin two (temporary-two 1.0) is not installed",
        "plugin three 1.0: is not in clippy.lock",
    ]
    assert Path("clippy.lock").read_bytes() == before


def test_the_check_of_no_lock_fails(run: Run, site: Site) -> None:
    """Exit 1 and the sentence."""
    result = run("plugins", "lock", "--check")
    assert result.exit_code == 1
    assert "there is no such file" in result.stdout


# --- the hash --------------------------------------------------------------------------------------------------------


@given(where=st.integers(0), bit=st.integers(0, 7))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
def test_every_bit_of_the_files_counts(site: Site, where: int, bit: int) -> None:
    """One flipped bit anywhere in a module, its data or its metadata changes the hash; RECORD is not needed for it."""
    if not site.packages:
        site.add()
        info = site.folder / "temporary_one-1.0.dist-info"
        lines = [line.partition(",")[0] + ",," for line in (info / "RECORD").read_text().splitlines()]
        (info / "RECORD").write_text("\n".join(lines))
    (found,) = site.found()
    before = hash_of(found)
    files = sorted(path for path in site.folder.rglob("*") if path.suffix in (".py", ".txt") or path.name == "METADATA")
    sizes = list(itertools.accumulate(path.stat().st_size for path in files))
    position = where % sizes[-1]
    index = next(i for i, end in enumerate(sizes) if position < end)
    content = bytearray(files[index].read_bytes())
    content[position - (sizes[index] - len(content))] ^= 1 << bit
    original = files[index].read_bytes()
    files[index].write_bytes(content)
    try:
        assert hash_of(found) != before
    finally:
        files[index].write_bytes(original)


@pytest.mark.parametrize(
    ("more", "what"),
    [
        ({"{package}/late.py": b""}, "{package}/late.py is not in its RECORD"),
        ({"{package}/sub/late.py": b""}, "{package}/sub/late.py is not in its RECORD"),
        ({"{package}/notes.md": b""}, ""),
    ],
)
def test_a_module_that_was_dropped_into_the_package_is_found(site: Site, more: dict[str, bytes], what: str) -> None:
    """It could stand before one that was verified; what Python cannot import is nobody's business."""
    package = site.add()
    site.write({path.format(package=package): content for path, content in more.items()})
    if what:
        with pytest.raises(Unverifiable, match=what.format(package=package)):
            site.hash()
    else:
        assert site.hash()


def test_a_module_of_the_same_name_before_it_on_the_path_is_found(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The files of the distribution are as they were, and an import would take others."""
    package = site.add()
    assert site.hash()
    (tmp_path / "before").mkdir()
    (tmp_path / "before" / f"{package}.py").write_text(SOURCE)
    monkeypatch.syspath_prepend(tmp_path / "before")
    with pytest.raises(Unverifiable, match=rf"an import of {package} finds .*before"):
        site.hash()


def test_a_missing_file_and_a_cut_record_are_found(site: Site) -> None:
    """A removal that broke off, a RECORD that was half-written."""
    package = site.add()
    record = site.folder / "temporary_one-1.0.dist-info" / "RECORD"
    whole = record.read_text()
    record.write_text(whole[: whole.index(f"{package}/prompt.txt")])
    assert site.hash()  # still a list of files, another one
    record.write_text("")
    with pytest.raises(Unverifiable, match="not a file of this distribution"):
        site.hash()
    record.write_text(f'"{package}/__init__.py,"sha"')
    with pytest.raises(Unverifiable, match="RECORD cannot be read"):
        site.hash()
    record.write_text(whole)
    (site.folder / package / "prompt.txt").unlink()
    with pytest.raises(Unverifiable, match=r"prompt\.txt is missing"):
        site.hash()


def test_an_upgrade_under_a_process_that_looked_before_is_set_aside(run: Run, site: Site) -> None:
    """What was found at the start is not what lies there now; the process says so and does not import a mixture."""
    site.add("one")
    lock(run, site)
    stale = site.found()
    (site.folder / "temporary_one-1.0.dist-info").rename(site.folder / "temporary_one-1.1.dist-info")
    reason = read_lock(Path("clippy.lock")).refusal(stale[0])
    assert reason is not None
    assert "changed since it was found" in reason


def test_links_count_as_what_they_point_to(site: Site, tmp_path: Path) -> None:
    """uv can link files from its cache instead of copying them."""
    package = site.add()
    before = site.hash()
    file = site.folder / package / "__init__.py"
    kept = tmp_path / "cache.py"
    file.rename(kept)
    file.symlink_to(kept)
    assert site.hash() == before
    kept.write_text("other = True")
    with pytest.raises(Unverifiable, match="not what its RECORD says"):
        site.hash()


def test_a_plugin_in_a_zip_is_verified_like_another(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A wheel on the path has the same hash as when it is unpacked."""
    site.add()
    unpacked = site.hash()
    archive = tmp_path / "plugins.zip"
    with zipfile.ZipFile(archive, "w") as file:
        for path in sorted(site.folder.rglob("*")):
            if path.is_file():
                file.write(path, path.relative_to(site.folder).as_posix())
    monkeypatch.setattr(sys, "path", [str(archive), *[one for one in sys.path if one != str(site.folder)]])
    assert site.hash() == unpacked


def test_a_plugin_in_a_namespace_is_verified(site: Site) -> None:
    """``acme.things`` where nobody owns ``acme``."""
    name = f"acme_{next(NUMBERS)}"
    site.add(package=f"{name}/things", more={})
    (info,) = site.folder.glob("*.dist-info")
    (info / "entry_points.txt").write_text(f"[clippy]\none = {name}.things:Plugin\n")
    lines = (info / "RECORD").read_text().splitlines()
    (info / "RECORD").write_text("\n".join(line for line in lines if "entry_points" not in line))
    assert site.hash()
    (site.folder / name / "things" / "late.py").write_text("")
    with pytest.raises(Unverifiable, match=r"late\.py"):
        site.hash()


# --- editable installations ------------------------------------------------------------------------------------------


def editable(site: Site, source: Path) -> Path:
    """Turn what is installed into an editable installation whose sources are in *source*."""
    (package,) = site.packages
    (info,) = site.folder.glob("*.dist-info")
    source.mkdir()
    (site.folder / package).rename(source / package)
    (site.folder / f"_editable_impl_{package}.pth").write_text(str(source))
    (info / "direct_url.json").write_text(json.dumps({"url": source.as_uri(), "dir_info": {"editable": True}}))
    lines = [line for line in (info / "RECORD").read_text().splitlines() if not line.startswith(package)]
    (info / "RECORD").write_text("\n".join([f"_editable_impl_{package}.pth,,", *lines]))
    return source / package


def test_an_editable_installation_is_locked_by_its_sources(
    run: Run, site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has the hash of the wheel that is built of it; a change of a source, a new file and a removed one count."""
    site.add()
    wheel = site.hash()
    package = editable(site, tmp_path / "src")
    monkeypatch.syspath_prepend(package.parent)
    assert site.hash() == wheel
    (package / "__pycache__").mkdir()
    (package / "__pycache__" / "x.pyc").write_bytes(b"")
    (package / ".prompt.txt.swp").write_bytes(b"")
    (package / "loop").symlink_to(package)
    assert site.hash() == wheel
    (package / "new.py").write_text("")
    added = site.hash()
    assert added != wheel
    (package / "new.py").unlink()
    lock(run, site)
    (package / "prompt.txt").write_text("Changed.")
    os.utime(package / "prompt.txt", (2**32, 2**32))
    reason = plugin(locked(site, None)).reason
    assert "its files are not those in clippy.lock" in reason
    assert f"last changed was {package.name}/prompt.txt; put its sources back, or lock anew" in reason
    assert "reinstall" not in reason


def test_an_editable_installation_that_this_process_cannot_find_waits_for_a_restart(
    run: Run, site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing of it may run before it is verified, so its signpost is not read."""
    site.add("one")
    package = editable(site, tmp_path / "src")
    with monkeypatch.context() as found:
        found.syspath_prepend(package.parent)
        lock(run, site)
    reason = plugin(locked(site, None)).reason
    assert "what is installed while a program runs waits for a restart" in reason


def test_the_installed_plugins_of_this_repository_can_be_locked_and_load(tmp_path: Path) -> None:
    """In a process of its own: what is locked here is what loads, with every hash verified."""
    environ = {name: value for name, value in os.environ.items() if not name.startswith("CLIPPY_")}
    environ |= {"HOME": str(tmp_path), "CLIPPY_LOCKED": "1"}
    code = "import clippy_core; print(*clippy_core.Host.from_config().plugins)"

    def process(*command: str) -> str:
        done = subprocess.run([sys.executable, *command], cwd=tmp_path, env=environ, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return done.stdout

    process("-m", "clippy_core.cli", "plugins", "lock")
    names = sorted(json.loads((tmp_path / "clippy.lock").read_text())["plugins"])
    assert names == sorted(process("-c", code).split())
    assert len(names) > 4
