"""
Samples of events: what was written once must be read for ever, and a file of each shape proves it.

Directory   a file for each event and version, `OrderPlaced.v1.json`; further ones under any name that ends in .json
File        {"type": "OrderPlaced", "version": 1, "data": {…}}: the event's value as it is in the log
Rule        a file is never changed and never removed while events of its shape are in a log: `write` only adds those
            that are missing, and `faults` tells which ones today's classes and upcasters no longer read
"""

import json
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final
from urllib.parse import quote

from pydantic import BaseModel, ConfigDict, JsonValue, ValidationError
from pydantic_core import from_json, to_json

from eventbus.errors import DefinitionError, UndecodableMessage
from eventbus.messages import Envelope, Event
from eventbus.serialization.json import decode
from eventbus.serialization.sample_values import sample_of
from eventbus.serialization.types import MessageTypes

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


class Sample(BaseModel):
    """What one file holds."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    type: str
    version: int
    data: dict[str, JsonValue]


@dataclass(frozen=True, slots=True)
class Written:
    """What `write` has done, by file."""

    written: tuple[Path, ...]
    kept: tuple[Path, ...]


class SampleDirectory:
    """
    The samples of one application's events in *directory*.

    types      the events that it reads, with their upcasters
    published  those that it publishes and never reads; only their newest version concerns it
    """

    def __init__(self, directory: Path, types: MessageTypes, published: Iterable[type[Event]] = ()) -> None:
        self._directory = directory
        self._types = types
        self._published = [event for event in dict.fromkeys(published) if types.get(event.message_name) is not event]

    def write(self) -> Written:
        """
        Makes up a sample of each event's newest version that has none yet; the others stay as they are.

        Raises DefinitionError, with a line for each: a file that is no sample, an event of which none can be made up.
        """
        known = self._read()
        written: list[Path] = []
        faults: list[str] = []
        for event in (*self._types, *self._published):
            if _of(event, event.message_version, known):
                continue
            try:
                written.append(self._write(event))
            except DefinitionError as error:
                faults.append(str(error))
        if faults:
            raise DefinitionError("\n".join(faults))
        return Written(tuple(written), tuple(known))

    def faults(self, *, unread: Collection[str] = ()) -> list[str]:
        """
        A sentence for each sample that is missing, that is read no more, or of which a field is read no more: the event
        would still be read, and what that field says would be lost. *unread* are those fields that are dropped on
        purpose, as `OrderPlaced.note`.

        Raises DefinitionError when a file is no sample.
        """
        known = self._read()
        found: list[str] = []
        for path, sample in known.items():
            found += self._reading_faults(path, sample, unread)
        for event in self._types:
            found += [
                self._missing(event, version)
                for version in range(1, event.message_version + 1)
                if not _of(event, version, known)
            ]
        found += [
            self._missing(event, event.message_version)
            for event in self._published
            if not _of(event, event.message_version, known)
        ]
        return found

    def _read(self) -> dict[Path, Sample]:
        found: dict[Path, Sample] = {}
        for path in sorted(self._directory.glob("*.json")):
            try:
                found[path] = Sample.model_validate_json(path.read_bytes())
            except ValidationError as error:
                first = error.errors(include_url=False, include_context=False, include_input=False)[0]
                where = ".".join(map(str, first["loc"])) or "the file"
                raise DefinitionError(
                    f'{path} is no sample ({where}: {first["msg"]}): write {{"type": …, "version": …, "data": {{…}}}}'
                ) from None
        return found

    def _write(self, event: type[Event]) -> Path:
        path = self._path(event, event.message_version)
        sample = {"type": event.message_name, "version": event.message_version, "data": from_json(sample_of(event))}
        self._directory.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(sample, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
        return path

    def _path(self, event: type[Event], version: int) -> Path:
        # A name may have a slash or colon in it.
        return self._directory / f"{quote(event.message_name, safe='')}.v{version}.json"

    def _missing(self, event: type[Event], version: int) -> str:
        path = self._path(event, version)
        if version == event.message_version:
            return f"{path} is missing: run `eventbus messages snapshot`"
        return (
            f"{path} is missing: take the value of a {event.message_name} v{version} from the log, or write it by hand"
        )

    def _reading_faults(self, path: Path, sample: Sample, unread: Collection[str]) -> Sequence[str]:
        event = self._types.get(sample.type)
        try:
            if event is not None:
                envelope = Envelope("sample", sample.type, sample.version, "sample", _EPOCH)
                data = to_json(self._types.newest_shape(envelope, to_json(sample.data)))
            else:
                event = next((one for one in self._published if sample.type in one.event_names()), None)
                if event is None:
                    return [_nameless(path, sample)]
                if sample.version != event.message_version:
                    return []
                data = to_json(sample.data)
            decode(event, data)
        except UndecodableMessage as error:
            return [f"{path} can be read no more: {error}"]
        return [
            f"{path}: nothing reads {event.message_name}.{field} any more: raise the version and give an upcaster, or "
            "say that it is dropped on purpose (unread=)"
            for field in _unread_fields(event, data)
            if f"{event.message_name}.{field}" not in unread
        ]


def _of(event: type[Event], version: int, samples: dict[Path, Sample]) -> bool:
    return any(sample.type in event.event_names() and sample.version == version for sample in samples.values())


def _nameless(path: Path, sample: Sample) -> str:
    return (
        f"{path}: no event here is called {sample.type}: give aliases=[{sample.type!r}] to the class that it is now; "
        "remove the file when no log holds it any more"
    )


def _unread_fields(event: type[Event], data: bytes) -> list[str]:
    """Paths of what is in *data* and in no field of the class; a list's items have no number, as all are alike."""
    if event.model_config.get("extra") == "allow":
        return []
    try:
        event.__pydantic_validator__.validate_json(data, extra="forbid")
    except ValidationError as error:
        paths = [
            ".".join(part for part in one["loc"] if isinstance(part, str))
            for one in error.errors(include_url=False, include_context=False, include_input=False)
            if one["type"] == "extra_forbidden"
        ]
        return list(dict.fromkeys(paths))
    return []
