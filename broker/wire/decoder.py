"""
Writes the source of a decoder: decode(buffer, position) -> (message, position after it).

What is wrong with the bytes ends in MalformedMessage: by the checks that are written into the source, or by what
`struct`, an index or UTF-8 refuses, which the function catches as a whole (a try costs nothing until it is needed).
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import cast

from broker.wire.codec_source import FIXED_FORMATS, ITEMS_MAX, LENGTH_FORMATS, CodecSource
from broker.wire.declaration import Field, Message, Struct
from broker.wire.primitives import Buffer

Decoder = Callable[[Buffer, int], tuple[Message, int]]


def compile_decoder(message: type[Message], version: int) -> Decoder:
    """A decoder of one version."""
    return cast("Decoder", _DecoderSource(message, version).compile())


class _DecoderSource(CodecSource):
    def __init__(self, message: type[Message], version: int) -> None:
        super().__init__(message, version)
        self.depth = 2  # in the function, in its try

    def compile(self) -> object:
        self.read_struct(self.message, "m")
        self.flush()
        return self.function(
            [
                "def decode(b, p):",
                "    e = len(b)",
                f"    items_left = {ITEMS_MAX}",
                "    try:",
                *self.lines,
                "        return m, p",
                "    except (StructError, IndexError) as error:",
                "        raise MalformedMessage(WHAT, p, f'{e - p} bytes left are too few') from None",
                "    except UnicodeDecodeError as error:",
                "        raise MalformedMessage(WHAT, p, str(error)) from None",
            ],
            "decode",
        )

    def flush(self) -> None:
        """One unpacking of the fixed-width values that were collected."""
        if not self.run:
            return
        packed = struct.Struct(">" + "".join(letters for letters, _ in self.run))
        unpack = self.constant("UNPACK", packed.unpack_from)
        targets = "".join(f"{target}, " for _, target in self.run)
        self.emit(f"{targets.rstrip() if len(self.run) == 1 else targets.rstrip(', ')} = {unpack}(b, p)")
        self.emit(f"p += {packed.size}")
        self.run.clear()

    def read_struct(self, declared: type[Struct], target: str) -> None:
        body, tagged, absent = self.carried(declared)
        self.emit(f"{target} = new({self.constant('STRUCT', declared)})")
        defaults: dict[str, list[str]] = {}
        for field in (*absent, *tagged):
            defaults.setdefault(self.literal(field.default), []).append(f"{target}.{field.name} = ")
        for value, targets in defaults.items():
            self.emit("".join(targets) + value)
        for field in body:
            self.read_field(field, f"{target}.{field.name}")
        if self.flexible:
            self.flush()
            self.read_tagged(tagged, target)

    def read_tagged(self, tagged: list[Field], target: str) -> None:
        count = self.fresh("n")
        self.read_uvarint(count)
        self.emit(f"if {count}:")
        self.depth += 1
        if tagged:
            tag, size, end = self.fresh("tag"), self.fresh("size"), self.fresh("end")
            self.emit(f"for _ in range({count}):")
            self.depth += 1
            self.read_uvarint(tag)
            self.read_uvarint(size)
            self.emit(f"{end} = p + {size}")
            self.emit(f"if {end} > e: raise too_short(WHAT, p, {size}, e)")
            for at, field in enumerate(tagged):
                self.emit(f"{'elif' if at else 'if'} {tag} == {field.tag}:")
                self.depth += 1
                self.read_field(field, f"{target}.{field.name}")
                self.flush()
                self.emit(
                    f"if p != {end}: raise MalformedMessage(WHAT, p, f'tag {field.tag} does not fill {{{size}}} bytes')"
                )
                self.depth -= 1
            self.emit("else:")
            self.emit(f"    p = {end}")
            self.depth -= 1
        else:
            self.emit(f"p = skip_tagged_fields(b, p, {count})")
        self.depth -= 1

    def read_uvarint(self, name: str) -> None:
        self.emit(f"{name} = b[p]")
        self.emit(f"if {name} > 127: {name}, p = read_uvarint(b, p)")
        self.emit("else: p += 1")

    def read_length(self, kind: str) -> str:
        """Leaves the length (or count) in a variable, -1 for null."""
        length = self.fresh("n")
        if self.flexible:
            self.flush()
            self.read_uvarint(length)
            self.emit(f"{length} -= 1")
        else:
            self.run.append((LENGTH_FORMATS[kind], length))
            self.flush()
        return length

    def read_field(self, field: Field, target: str) -> None:
        if field.is_array:
            self.read_array(field, target)
        elif field.struct is not None:
            self.read_one_struct(field, field.struct, target)
        else:
            self.read_value(field.kind, self.is_nullable(field), target)

    def read_value(self, kind: str, nullable: bool, target: str) -> None:
        if kind == "uuid":
            raw = self.fresh("raw")
            self.run.append(("16s", raw))
            self.flush()
            self.emit(f"{target} = read_uuid({raw})")
        elif kind in FIXED_FORMATS:
            self.run.append((FIXED_FORMATS[kind], target))
        else:
            length = self.read_length(kind)
            self.null_check(length, nullable, target)
            end = self.fresh("end")
            self.emit(f"{end} = p + {length}")
            self.emit(f"if {end} > e: raise too_short(WHAT, p, {length}, e)")
            part = f"b[p:{end}]"
            self.emit(
                f"{target} = " + {"string": f"str({part}, 'utf-8')", "bytes": f"bytes({part})", "records": part}[kind]
            )
            self.emit(f"p = {end}")
            self.depth -= 1

    def null_check(self, length: str, nullable: bool, target: str) -> None:
        """Deals with a null; what follows is the branch for a value, one level deeper."""
        self.emit(f"if {length} < 0:")
        if nullable:
            self.emit(f"    if {length} != -1: raise unexpected_null(WHAT, p, {length})")
            self.emit(f"    {target} = None")
        else:
            self.emit(f"    raise unexpected_null(WHAT, p, {length})")
        self.emit("else:")
        self.depth += 1

    def read_array(self, field: Field, target: str) -> None:
        count = self.read_length("array")
        self.null_check(count, self.is_nullable(field), target)
        least = self.item_size_min(field)
        self.emit(f"if {count} * {least} > e - p: raise too_short(WHAT, p, {count} * {least}, e)")
        self.emit(f"items_left -= {count}")
        self.emit(f"if items_left < 0: raise MalformedMessage(WHAT, p, 'more than {ITEMS_MAX} items')")
        if field.kind in FIXED_FORMATS and field.kind != "uuid":
            self.emit(f"{target} = list(unpack_from(f'>{{{count}}}{FIXED_FORMATS[field.kind]}', b, p))")
            self.emit(f"p += {count} * {least}")
        else:
            items, item = self.fresh("items"), self.fresh("item")
            self.emit(f"{target} = {items} = []")
            self.emit(f"for _ in range({count}):")
            self.depth += 1
            if field.struct is not None:
                self.read_struct(field.struct, item)
            else:
                self.read_value(field.kind, False, item)
            self.flush()
            self.emit(f"{items}.append({item})")
            self.depth -= 1
        self.depth -= 1

    def read_one_struct(self, field: Field, declared: type[Struct], target: str) -> None:
        item = self.fresh("item")
        if not self.is_nullable(field):
            self.read_struct(declared, item)
            self.flush()
            self.emit(f"{target} = {item}")
            return
        present = self.fresh("present")
        self.run.append(("b", present))
        self.flush()
        self.emit(f"if {present} < 0:")
        self.emit(f"    {target} = None")
        self.emit("else:")
        self.depth += 1
        self.read_struct(declared, item)
        self.flush()
        self.emit(f"{target} = {item}")
        self.depth -= 1
