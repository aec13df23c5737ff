"""The table of options against the list that librdkafka itself prints."""

import ctypes
import re
from pathlib import Path

import confluent_kafka
import pytest

from eventbus.kafka_options import OPTIONS, RESERVED

_PROPERTY = re.compile(r"^(?P<name>[a-z_.0-9]+) +\| +(?P<kind>[*PC]) +\| *(?P<range>[^|]*?) *\|(?P<rest>.*)$")
_LEFT_OUT = ("DEPRECATED", "Deprecated", "see dedicated API", "will be removed in a future version")


@pytest.fixture(scope="module")
def properties(tmp_path_factory: pytest.TempPathFactory) -> dict[str, re.Match[str]]:
    """Those of the library that confluent-kafka brings, by name; what is deprecated or a callback is left out."""
    (library,) = Path(confluent_kafka.__file__).parent.parent.glob("confluent_kafka.libs/librdkafka-*.so*")
    printed = tmp_path_factory.mktemp("librdkafka") / "properties"
    libc, librdkafka = ctypes.CDLL(None), ctypes.CDLL(str(library))
    libc.fopen.restype = ctypes.c_void_p
    file = ctypes.c_void_p(libc.fopen(str(printed).encode(), b"w"))
    librdkafka.rd_kafka_conf_properties_show(file)
    libc.fclose(file)
    found = [match for line in printed.read_text().splitlines() if (match := _PROPERTY.match(line))]
    assert len(found) > 150
    # A client's own come first, then those that it hands on to its topics: one of them has a name of both.
    return {each["name"]: each for each in reversed(found) if not any(words in each["rest"] for words in _LEFT_OUT)}


def test_every_option_of_librdkafka_is_in_the_table_or_reserved(properties: dict[str, re.Match[str]]) -> None:
    """A URL carries all of them, but those that a promise of delivery rests on."""
    assert sorted(properties.keys() - OPTIONS.keys() - RESERVED.keys()) == []


def test_numbers_have_the_range_that_librdkafka_gives_them(properties: dict[str, re.Match[str]]) -> None:
    """What it would refuse is refused before a client is made, and nothing else is."""
    wrong: dict[str, tuple[str, str]] = {}
    for name, option in OPTIONS.items():
        kind, _, bounds = option.takes.partition(" ")
        if kind in {"integer", "float"} and name in properties:
            given = properties[name]["range"].replace(" ", "")
            if given != bounds:
                wrong[name] = (bounds, given)
    assert wrong == {}
