"""An environment is judged by its lock and by what its packages recorded about their files."""

import base64
import hashlib
import py_compile
from pathlib import Path

import pytest

from aitbc_toolkit.deploys.hostside import compiled, configs, drifting, staging
from aitbc_toolkit.deploys.hostside.installed import findings as venv_findings
from aitbc_toolkit.deploys.hostside.trouble import Trouble

pytestmark = pytest.mark.integration

LOCK = "one==1.0 \\\n    --hash=sha256:00\nTwo_b==2.0 ; sys_platform == 'win32'\n"


def a_venv(base: Path) -> Path:
    """Lay out an environment with the package `one`, and the release whose lock it has."""
    lock = base / "releases" / "c" / "locks" / "node.lock"
    lock.parent.mkdir(parents=True)
    lock.write_text(LOCK)
    venv = base / "venvs" / hashlib.sha256(LOCK.encode()).hexdigest()[:16]
    packages = venv / "lib" / "python3.11" / "site-packages"
    info = packages / "one-1.0.dist-info"
    info.mkdir(parents=True)
    (packages / "one.py").write_text("x = 1\n")
    digest = base64.urlsafe_b64encode(hashlib.sha256(b"x = 1\n").digest()).decode().rstrip("=")
    (info / "RECORD").write_text(f"one.py,sha256={digest},6\none-1.0.dist-info/RECORD,,\n")
    return venv


def test_an_environment_as_its_lock_says_has_no_findings(tmp_path: Path) -> None:
    """A package for another kind of machine may be missing."""
    assert venv_findings(a_venv(tmp_path), tmp_path) == []


def test_missing_added_other_and_edited_packages_are_named(tmp_path: Path) -> None:
    """Each by what it is, so that one knows what happened."""
    venv = a_venv(tmp_path)
    packages = venv / "lib/python3.11/site-packages"
    (packages / "one.py").write_text("x = 2\n")
    (packages / "three-3.0.dist-info").mkdir()

    found = venv_findings(venv, tmp_path)

    assert found == ["three 3.0 is not in the lock", "one.py is not as its package has it"]
    (packages / "one-1.0.dist-info").rename(packages / "one-1.1.dist-info")
    assert "one is 1.1, the lock says 1.0" in venv_findings(venv, tmp_path)
    (packages / "one-1.1.dist-info").rename(packages / "gone-1.1.dist-info")
    assert "one 1.0 is missing" in venv_findings(venv, tmp_path)


@pytest.mark.parametrize("name", ["x.pth", "sitecustomize.py", "one/planted.py"])
def test_files_that_no_package_brought_are_named(tmp_path: Path, name: str) -> None:
    """Python runs some of them at every start; what was compiled and uv's own are expected."""
    venv = a_venv(tmp_path)
    packages = venv / "lib/python3.11/site-packages"
    (packages / "__pycache__").mkdir()
    for expected in ("__pycache__/one.cpython-311.pyc", "_virtualenv.pth", "_virtualenv.py"):
        (packages / expected).write_text("")
    before = venv_findings(venv, tmp_path)
    (packages / name).parent.mkdir(exist_ok=True)
    (packages / name).write_text("import os\n")

    assert before == []
    assert venv_findings(venv, tmp_path) == [f"{name} was brought by no package"]


def test_nobody_switches_to_an_edited_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The release is as its commit says, and what it would run with is not."""
    venv = a_venv(tmp_path)
    (tmp_path / "releases/c/venv").symlink_to(f"../../venvs/{venv.name}")
    config = tmp_path / "releases/c/etc/v1-0"
    config.mkdir(parents=True)
    (config / "node.toml").write_text("[node]\n")
    named = configs.content_hash(configs.texts(config), commit="c")
    config.rename(config.with_name(f"v1-{named}"))
    instance = {"name": "v1", "commit": "c", "config_hash": named}
    layout = {"base": str(tmp_path), "environment": "dev"}
    params = {"instances": [instance], "layout": layout, "asked": []}
    monkeypatch.setattr(staging, "refuse_drift", lambda _params, _release: None)
    assert drifting.intact(params) == {"versions": {}}
    (venv / "lib/python3.11/site-packages/x.pth").write_text("import os\n")

    with pytest.raises(Trouble, match=r"is not what its lock says:\n    x.pth was brought"):
        drifting.intact(params)


def test_nobody_switches_to_an_edited_configuration(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The hash in its name is that of its content, or a node would run what nobody rendered."""
    for name in ("refuse_drift", "refuse_edited_venv"):
        monkeypatch.setattr(staging, name, lambda _params, _release: None)
    config = tmp_path / "releases/c/etc/v1-0"
    config.mkdir(parents=True)
    (config / "node.toml").write_text("[node]\n")
    named = configs.content_hash(configs.texts(config), commit="c")
    config = config.rename(config.with_name(f"v1-{named}"))
    instance = {"name": "v1", "commit": "c", "config_hash": named}
    layout = {"base": str(tmp_path), "environment": "dev"}
    params = {"instances": [instance], "layout": layout, "asked": []}
    assert drifting.intact(params) == {"versions": {}}
    (config / "node.toml").write_text("[node]\nenv = 'other'\n")

    with pytest.raises(Trouble, match="was edited: its content is not what its name says"):
        drifting.intact(params)


def test_a_compiled_module_that_is_not_its_source_is_named(tmp_path: Path) -> None:
    """Python runs it without a look at the source, whose size and time it claims to be of."""
    source = tmp_path / "node" / "one.py"
    source.parent.mkdir()
    source.write_text("x = 2\n")
    planted = Path(py_compile.compile(str(source), doraise=True) or "").read_bytes()
    source.write_text("x = 1\n")
    good = Path(py_compile.compile(str(source), doraise=True) or "")
    before = compiled.findings(tmp_path)

    good.write_bytes(good.read_bytes()[:16] + planted[16:])
    found = compiled.findings(tmp_path)
    good.write_bytes(b"no module at all")

    assert before == []
    assert found == [f"M node/__pycache__/{good.name}"]
    assert compiled.findings(tmp_path) == found


def test_what_a_release_was_compiled_to_is_not_compiled_again(tmp_path: Path) -> None:
    """An edit, a module more or less and another release end that; a digest is no source."""
    release, state = tmp_path / "releases" / "c", tmp_path / "state"
    release.mkdir(parents=True)
    for name in ("one.py", "two.py"):
        (release / name).write_text("x = 1\n")
        py_compile.compile(str(release / name), doraise=True)
    one, two = sorted(release.glob("__pycache__/*.pyc"))
    compiled.keep_seal(state, release, commit="c")
    seal = compiled.seal(state, "c")
    (release / "one.py").write_text("x = 2\n")  # a source: the commit's own tree is for that

    kept = compiled.findings(release, seal=seal)
    content, _ = two.read_bytes(), two.write_bytes(one.read_bytes()[:-8] + b"\0" * 8)
    edited = compiled.findings(release, seal=seal)
    two.write_bytes(content)
    again = compiled.findings(release, seal=seal)
    two.unlink()
    fewer = compiled.findings(release, seal=seal)

    assert (kept, again) == ([], [])
    assert edited == [f"M __pycache__/{each.name}" for each in (one, two)]
    assert fewer == [f"M __pycache__/{one.name}"]
    assert compiled.seal(state, "d") == ""


def test_seals_of_releases_that_are_gone_are_forgotten(tmp_path: Path) -> None:
    """The file does not grow with every deploy; one that cannot be read is as none."""
    for name in ("c", "d"):
        (tmp_path / "releases" / name).mkdir(parents=True)
        compiled.keep_seal(tmp_path, tmp_path / "releases" / name, commit=name)
    (tmp_path / "releases" / "c").rmdir()

    compiled.keep_seal(tmp_path, tmp_path / "releases" / "d", commit="d")

    assert (compiled.seal(tmp_path, "c"), bool(compiled.seal(tmp_path, "d"))) == ("", True)
    (tmp_path / "compiled.json").write_text("torn")
    assert compiled.seal(tmp_path, "d") == ""


@pytest.mark.parametrize("edited", [b"x = (\n", b"x = 1\0\n", b"# \xff\n"])
def test_a_compiled_module_whose_source_does_not_compile_any_more_is_named(
    tmp_path: Path, edited: bytes
) -> None:
    """An edit by mistake is a finding like any other, and no fault of the program that looks."""
    source = tmp_path / "one.py"
    source.write_text("x = 1\n")
    good = Path(py_compile.compile(str(source), doraise=True) or "")

    source.write_bytes(edited)

    assert compiled.findings(tmp_path) == [f"M __pycache__/{good.name}"]
