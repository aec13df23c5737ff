"""The wheel, installed into an empty environment: what a user of the package index gets."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
import venv
from pathlib import Path

import pytest

pytestmark = [pytest.mark.interop, pytest.mark.timeout(600)]

ROOT = Path(__file__).resolve().parent.parent.parent


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The `bin` of an environment with nothing in it but the wheel and what that asks for."""
    folder = tmp_path_factory.mktemp("wheel")
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, "wheel", "--no-deps", "--wheel-dir", str(folder), str(ROOT)], check=True, capture_output=True)
    (wheel,) = folder.glob("eventbus_msa-*.whl")
    venv.create(folder / "venv", with_pip=True)
    python = folder / "venv" / "bin" / "python"
    constraints = str(ROOT / "constraints.txt")
    install = [
        str(python),
        "-m",
        "pip",
        "--quiet",
        "--disable-pip-version-check",
        "install",
        "--constraint",
        constraints,
    ]
    subprocess.run([*install, str(wheel)], check=True)
    return python.parent


def test_the_installed_broker_serves(installed: Path, tmp_path: Path) -> None:
    """`broker serve` from the wheel is ready, says where, and stops cleanly."""
    ready = tmp_path / "ready.json"
    process = subprocess.Popen(
        [
            installed / "broker",
            "serve",
            "--data-dir",
            tmp_path / "data",
            "--listen",
            "127.0.0.1:0",
            "--ready-file",
            ready,
        ],
        stdout=subprocess.PIPE,
        cwd=tmp_path,
    )
    try:
        deadline = time.monotonic() + 20
        while not ready.exists() and time.monotonic() < deadline:
            time.sleep(0.02)
        where = json.loads(ready.read_text())
        assert process.stdout is not None
        assert process.stdout.readline().decode() == f"listening on {where['host']}:{where['port']}\n"
        assert where["pid"] == process.pid
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0
    finally:
        process.kill()


def test_a_ten_line_service_runs(installed: Path, tmp_path: Path) -> None:
    """A service of ten statements, its broker and its database included."""
    environment = {**os.environ, "XDG_STATE_HOME": str(tmp_path), "HOME": str(tmp_path)}
    environment.pop("EVENTBUS_BROKER_URL", None)
    done = subprocess.run(
        [installed / "python", Path(__file__).parent / "ten_lines.py"],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, b"hello world\n"), done.stderr.decode()


def test_a_users_test_has_the_fixture_event_bus(installed: Path, tmp_path: Path) -> None:
    """pytest finds the plugin by itself, and a whole service is tested in a few lines."""
    constraints = str(ROOT / "constraints.txt")
    pip = [str(installed / "python"), "-m", "pip", "--quiet", "--disable-pip-version-check", "install"]
    subprocess.run([*pip, "--constraint", constraints, "pytest"], check=True)
    shutil.copy(Path(__file__).parent / "greeter_with_event_bus.py", tmp_path / "test_greeter.py")
    done = subprocess.run(
        [installed / "python", "-m", "pytest", "-q", "--durations=0", "-vv", "test_greeter.py"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert "1 passed" in done.stdout, done.stdout + done.stderr
    sys.stdout.write(done.stdout)


def test_both_packages_are_typed(installed: Path) -> None:
    """`py.typed` travels in the wheel."""
    found = subprocess.run(
        [
            installed / "python",
            "-c",
            "import broker, eventbus, pathlib as p; "  # noqa: ISC004  one program
            "print(all((p.Path(package.__file__).parent / 'py.typed').exists() for package in (broker, eventbus)))",
        ],
        capture_output=True,
        check=True,
        cwd=installed,
    )
    assert found.stdout == b"True\n"
