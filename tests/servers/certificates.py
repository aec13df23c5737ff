"""Certificates for a test, made by openssl: an authority, a server that it vouches for, and a client."""

import subprocess
from dataclasses import dataclass
from pathlib import Path

from tests.interop.toolchain import need


@dataclass(frozen=True)
class Certificates:
    """
    PEM files. `server` has key and certificate in one, as Apache Kafka reads them.

    authority    whom a client trusts
    stranger     another authority, which has vouched for nobody
    """

    authority: Path
    stranger: Path
    server: Path
    client: Path
    client_key: Path


def make_certificates(folder: Path) -> Certificates:
    """For 127.0.0.1, valid for a day; skips (in CI: fails) without openssl."""
    folder.mkdir(parents=True, exist_ok=True)
    openssl = need("openssl", "openssl")

    def run(*arguments: str) -> None:
        done = subprocess.run([openssl, *arguments], cwd=folder, capture_output=True, timeout=60, check=False)
        assert done.returncode == 0, done.stderr.decode()

    new_key = ("req", "-newkey", "rsa:2048", "-nodes")
    for name in ("authority", "stranger"):
        run(*new_key, "-x509", "-days", "1", "-subj", f"/CN={name}", "-keyout", f"{name}.key", "-out", f"{name}.pem")
    (folder / "names").write_text("subjectAltName=IP:127.0.0.1,DNS:localhost\n")
    for name in ("server", "client"):
        run(*new_key, "-subj", f"/CN={name}", "-keyout", f"{name}.key", "-out", f"{name}.csr")
        run(
            *("x509", "-req", "-days", "1", "-in", f"{name}.csr", "-out", f"{name}.pem", "-extfile", "names"),
            *("-CA", "authority.pem", "-CAkey", "authority.key", "-CAcreateserial"),
        )
    both = folder / "server-both.pem"
    both.write_text((folder / "server.key").read_text() + (folder / "server.pem").read_text())
    return Certificates(
        folder / "authority.pem", folder / "stranger.pem", both, folder / "client.pem", folder / "client.key"
    )
