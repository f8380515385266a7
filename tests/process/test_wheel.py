"""What is installed from a wheel needs nothing of the source tree."""

import shutil
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PIP = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """A wheel built from the tree."""
    directory = tmp_path_factory.mktemp("wheel")
    source = directory / "source"  # a copy: building leaves traces in the tree
    for name in ("fluentlite", "etc", "init"):
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("setup.cfg", "pyproject.toml", "README.md"):
        shutil.copy(ROOT / name, source)
    subprocess.run([*PIP, "wheel", "--no-deps", "--wheel-dir", directory, source], check=True)
    [path] = directory.glob("*.whl")
    return path


@pytest.fixture(scope="module")
def environment(wheel, tmp_path_factory):
    """An environment that has nothing but the wheel and what it asks for."""
    directory = tmp_path_factory.mktemp("environment")
    venv.create(directory, with_pip=False)
    subprocess.run([*PIP, "--python", directory / "bin" / "python", "install", wheel], check=True)
    return directory


def test_everything_is_in_the_wheel(wheel):
    """Every module, and every file that install puts in place, is in the wheel: a new package cannot be forgotten."""
    modules = {str(path.relative_to(ROOT)) for path in (ROOT / "fluentlite").rglob("*.py")}
    files = {
        f"fluentlite/{path.relative_to(ROOT)}"
        for name in ("etc", "init")
        for path in (ROOT / name).rglob("*")
        if path.is_file()
    }
    names = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}

    assert names == modules | files | {"fluentlite/py.typed"}


def test_a_wheel_installs_and_runs_without_the_sources(environment, tmp_path):
    """A wheel built from the tree, installed into an empty environment, runs the real thing."""
    log = tmp_path / "a.log"
    log.write_text("one\ntwo\n")
    done = subprocess.run(
        [environment / "bin" / "fluentlite", "demo", log],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
    )

    assert (done.returncode, done.stderr) == (0, "")
    assert "2 lines delivered" in done.stdout
    where = subprocess.run(
        [environment / "bin" / "python", "-c", "import fluentlite; print(fluentlite.__file__)"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    ).stdout
    assert Path(where.strip()).is_relative_to(environment)


def test_a_wheel_makes_itself_a_service(environment, tmp_path):
    """Its install brings the files of the source tree, and names the environment's program; uninstall works there too."""
    program, prefix = environment / "bin" / "fluentlite", tmp_path / "root"
    for kind, path, name in (
        ("systemd", "etc/systemd/system/fluentlite.service", "fluentlite.service"),
        ("sysv", "etc/init.d/fluentlite", "fluentlite"),
    ):
        subprocess.run([program, "install", f"--{kind}", "--prefix", prefix], check=True, cwd=tmp_path)
        expected = (ROOT / "init" / name).read_text().replace("/usr/bin/fluentlite", str(program))
        assert (prefix / path).read_text() == expected
    sample = (ROOT / "etc" / "fluentlite.toml").read_text()
    assert (prefix / "etc/fluentlite/fluentlite.toml").read_text() == sample

    subprocess.run([program, "uninstall", "--prefix", prefix], check=True, cwd=tmp_path)
    assert not (prefix / "etc/init.d").exists()
