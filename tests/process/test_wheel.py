"""What is installed from a wheel needs nothing of the source tree."""

import shutil
import subprocess
import sys
import venv
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_a_wheel_installs_and_runs_without_the_sources(tmp_path):
    """A wheel built from the tree, installed into an empty environment, runs the real thing."""
    wheels, environment = tmp_path / "wheels", tmp_path / "environment"
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    source = tmp_path / "source"  # a copy: building leaves traces in the tree
    shutil.copytree(ROOT / "fluentlite", source / "fluentlite", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("etc", "init"):
        shutil.copytree(ROOT / name, source / name)
    for name in ("setup.cfg", "pyproject.toml", "README.md"):
        shutil.copy(ROOT / name, source)
    subprocess.run([*pip, "wheel", "--no-deps", "--wheel-dir", wheels, source], check=True)
    venv.create(environment, with_pip=False)
    python = environment / "bin" / "python"
    subprocess.run([*pip, "--python", python, "install", *wheels.glob("*.whl")], check=True)

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
        [python, "-c", "import fluentlite; print(fluentlite.__file__)"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    ).stdout
    assert Path(where.strip()).is_relative_to(environment)
