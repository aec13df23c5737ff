"""Names of a projection's tables: `view_<projection>_<generation>[_<part>]`, at most 63 bytes (PostgreSQL's limit)."""

import re
import zlib

from eventbus.errors import DefinitionError

IDENTIFIER_BYTES_MAX = 63
_GENERATION_DIGITS = 6
_PROJECTION_NAME = re.compile(r"[a-z][a-z0-9_]*")


def snake_case(name: str) -> str:
    """`OrderSummaries` → `order_summaries`, `HTTPCalls` → `http_calls`."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name).lower()


def table_name(projection: str, generation: int, part: str | None = None) -> str:
    """The name of one table of one generation; without *part* the table of a row projection."""
    return f"view_{projection}_{generation}" + (f"_{part}" if part else "")


def inbox_consumer(projection: str, generation: int) -> str:
    """Under which name a generation keeps the ids of events that are of no stream."""
    return f"{projection}#{generation}"


def part_name(table: str, part: str) -> str:
    """The name of an index or constraint of a table: shortened, with a checksum, where PostgreSQL would refuse it."""
    name = f"{table}_{part}"
    if len(name.encode()) <= IDENTIFIER_BYTES_MAX:
        return name
    checksum = f"_{zlib.crc32(name.encode()):08x}"
    return name.encode()[: IDENTIFIER_BYTES_MAX - len(checksum)].decode(errors="ignore") + checksum


def check_name(place: str, projection: str, parts: list[str]) -> None:
    """Raises DefinitionError when a table's name would not be one, or would be cut."""
    if not _PROJECTION_NAME.fullmatch(projection):
        raise DefinitionError(f"{place}: name {projection!r}: use lower-case letters, digits and _, a letter first")
    for part in parts:
        longest = table_name(projection, 10**_GENERATION_DIGITS - 1, part)
        if len(longest.encode()) > IDENTIFIER_BYTES_MAX:
            over = len(longest.encode()) - IDENTIFIER_BYTES_MAX
            raise DefinitionError(f"{place}: the table name {longest!r} is {over} bytes too long: give a shorter name=")
