"""Addresses as people write them: HOST:PORT, [IPV6]:PORT."""

from typing import NamedTuple

WILDCARDS = frozenset({"", "0.0.0.0", "::", "*"})  # noqa: S104  # the names of "every address", to be refused below


class UnreadableAddress(ValueError):
    """The text says what was expected."""


class Address(NamedTuple):
    host: str
    port: int

    @property
    def is_wildcard(self) -> bool:
        return self.host in WILDCARDS

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def parse_address(text: str, option: str) -> Address:
    """The address of *text*, which was given with *option*. Raises UnreadableAddress."""
    host, colon, port_text = text.rpartition(":")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    elif ":" in host:
        raise UnreadableAddress(f"{option} {text}: an IPv6 address is written in brackets, as in [::1]:9092")
    if not colon or not port_text.isascii() or not port_text.isdigit() or int(port_text) > 65535:
        raise UnreadableAddress(
            f"{option} {text}: expected HOST:PORT with a port from 0 to 65535, as in 127.0.0.1:9092"
        )
    return Address(host, int(port_text))
