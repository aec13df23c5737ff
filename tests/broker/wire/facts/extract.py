"""
Reads the message definitions inside Kafka's own client jar and writes the facts that our declarations are held against.

    mvn dependency:copy -Dartifact=org.apache.kafka:kafka-clients:4.3.1 -DoutputDirectory=.
    python tests/broker/wire/facts/extract.py kafka-clients-4.3.1.jar

Facts are names, types, versions, nullable versions, tags and defaults; the words that explain the fields stay in the
jar. Output, `messages.json` beside this file: one line a message, {name: {key, versions, flexible, unstable, fields}},
a field being [name, type, versions, nullable versions, tag, default, fields of its struct].
"""

from __future__ import annotations

import argparse
import json
import re
import zipfile
from pathlib import Path
from typing import Any, cast

_COMMENT = re.compile(r"^\s*//.*$", re.MULTILINE)


def definitions(jar: Path) -> list[dict[str, Any]]:
    """Every request and response of the jar that Kafka still speaks, as Kafka wrote it."""
    with zipfile.ZipFile(jar) as archive:
        names = [name for name in archive.namelist() if re.fullmatch(r"common/message/\w+\.json", name)]
        texts = [archive.read(name).decode() for name in names]
    parsed = [cast("dict[str, Any]", json.loads(_COMMENT.sub("", text))) for text in texts]
    return [found for found in parsed if "apiKey" in found and found["validVersions"] != "none"]


def facts(definition: dict[str, Any]) -> dict[str, object]:
    """One message, compact."""
    common = {struct["name"]: struct["fields"] for struct in definition.get("commonStructs", ())}

    def field(found: dict[str, Any]) -> list[object]:
        if found.get("taggedVersions") not in (None, found["versions"]):
            raise ValueError(f"{definition['name']}.{found['name']} is tagged in some of its versions only")
        inner = found.get("fields") or common.get(found["type"].removeprefix("[]"), ())
        return [
            found["name"],
            found["type"],
            found["versions"],
            found.get("nullableVersions"),
            found.get("tag"),
            found.get("default"),
            [field(one) for one in inner],
        ]

    return {
        "key": definition["apiKey"],
        "versions": definition["validVersions"],
        "flexible": definition["flexibleVersions"],
        "unstable": bool(definition.get("latestVersionUnstable", False)),
        "fields": [field(found) for found in definition["fields"]],
    }


def main() -> None:
    """Writes messages.json beside this file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("jar", type=Path)
    messages = {found["name"]: facts(found) for found in definitions(parser.parse_args().jar)}
    lines = [f"{json.dumps(name)}:{json.dumps(messages[name], separators=(',', ':'))}" for name in sorted(messages)]
    (Path(__file__).parent / "messages.json").write_text("{\n" + ",\n".join(lines) + "\n}\n")


if __name__ == "__main__":
    main()
