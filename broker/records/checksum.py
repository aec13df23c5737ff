"""
CRC-32C, from the extension of the `crc32c` package.

The package reads its own version from its metadata when it is imported, which brings forty modules (e-mail, zip files)
into every start of the broker. So the extension is loaded by itself; where it cannot be found, through the package.
"""

from importlib.machinery import PathFinder
from importlib.util import module_from_spec
from typing import Protocol, cast


class Checksum(Protocol):
    """Of *data*, going on from the checksum of what came before it. C, so a large one lets other threads run."""

    def __call__(self, data: bytes | bytearray | memoryview, before: int = 0, /) -> int: ...


def _load() -> Checksum:
    package = PathFinder.find_spec("crc32c")
    found = None if package is None else PathFinder.find_spec("_crc32c", package.submodule_search_locations)
    if found is None or found.loader is None:
        import crc32c as through_the_package

        return through_the_package.crc32c
    extension = module_from_spec(found)
    found.loader.exec_module(extension)
    return cast("Checksum", extension.crc32c)


crc32c = _load()
