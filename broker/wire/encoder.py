"""
Writes the source of an encoder: encode(message, out, pieces) -> the bytearray to write on.

*pieces* takes what is finished before that bytearray: bytes, and records that stay where they are.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import cast

from broker.wire.codec_source import FIXED_FORMATS, LENGTH_FORMATS, CodecSource
from broker.wire.declaration import Field, Message, Struct
from broker.wire.primitives import Piece

Encoder = Callable[[Message, bytearray, list[Piece]], bytearray]


def compile_encoder(message: type[Message], version: int) -> Encoder:
    """An encoder of one version."""
    return cast("Encoder", _EncoderSource(message, version).compile())


class _EncoderSource(CodecSource):
    def __init__(self, message: type[Message], version: int) -> None:
        super().__init__(message, version)
        self.out = "out"

    def compile(self) -> object:
        self.write_struct(self.message, "m")
        self.flush()
        return self.function(["def encode(m, out, pieces):", *self.lines, "    return out"], "encode")

    def flush(self) -> None:
        """One packing of the fixed-width values that were collected; "x" entries are zero bytes."""
        if not self.run:
            return
        letters = "".join(letters for letters, _ in self.run)
        values = [value for _, value in self.run if value]
        if values:
            pack = self.constant("PACK", struct.Struct(">" + letters).pack)
            self.emit(f"{self.out} += {pack}({', '.join(values)})")
        else:
            self.emit(f"{self.out} += {bytes(len(letters))!r}")
        self.run.clear()

    def write_struct(self, declared: type[Struct], source: str) -> None:
        body, tagged, _ = self.carried(declared)
        for field in body:
            self.write_field(field, f"{source}.{field.name}")
        if not self.flexible:
            return
        if tagged:
            self.flush()
            self.write_tagged(tagged, source)
        else:
            self.run.append(("x", ""))

    def write_tagged(self, tagged: list[Field], source: str) -> None:
        count, fields, outer = self.fresh("count"), self.fresh("fields"), self.out
        self.emit(f"{count} = 0")
        self.emit(f"{fields} = bytearray()")
        for field in tagged:
            value, inner = self.fresh("value"), self.fresh("inner")
            self.emit(f"{value} = {source}.{field.name}")
            self.emit(f"if {value}{self.is_sent(field)}:")
            self.depth += 1
            self.emit(f"{count} += 1")
            self.emit(f"{inner} = bytearray()")
            self.out = inner
            self.write_field(field, value)
            self.flush()
            self.out = outer
            self.emit(f"write_uvarint({fields}, {field.tag})")
            self.emit(f"write_uvarint({fields}, len({inner}))")
            self.emit(f"{fields} += {inner}")
            self.depth -= 1
        self.emit(f"write_uvarint({outer}, {count})")
        self.emit(f"{outer} += {fields}")

    def is_sent(self, field: Field) -> str:
        """The condition under which a tagged field is sent, to be put behind its value."""
        if field.default is None:
            return " is not None"
        return "" if field.is_array else f" != {self.literal(field.default)}"

    def write_length(self, kind: str, length: str) -> None:
        if not self.flexible:
            self.run.append((LENGTH_FORMATS[kind], length))
            self.flush()
            return
        self.flush()
        self.emit(f"if {length} < 127: {self.out}.append({length} + 1)")
        self.emit(f"else: write_uvarint({self.out}, {length} + 1)")

    def write_null(self, kind: str) -> None:
        null = b"\x00" if self.flexible else b"\xff" * struct.calcsize(LENGTH_FORMATS[kind])
        self.emit(f"{self.out} += {null!r}")

    def write_field(self, field: Field, source: str) -> None:
        if field.is_array:
            self.write_array(field, source)
        elif field.struct is not None:
            self.write_one_struct(field, field.struct, source)
        else:
            self.write_value(field.kind, self.is_nullable(field), source)

    def write_value(self, kind: str, nullable: bool, source: str) -> None:
        if kind == "uuid":
            self.run.append(("16s", f"{source}.bytes"))
        elif kind in FIXED_FORMATS:
            self.run.append((FIXED_FORMATS[kind], source))
        elif kind == "records":
            self.flush()
            self.emit(f"{self.out} = write_records({self.out}, pieces, {source}, {self.flexible})")
        else:
            value, length = self.fresh("value"), self.fresh("n")
            if nullable:
                self.flush()
                self.emit(f"{value} = {source}")
                self.emit(f"if {value} is None:")
                self.depth += 1
                self.write_null(kind)
                self.depth -= 1
                self.emit("else:")
                self.depth += 1
                source = value
            self.emit(f"{value} = {source}{'.encode()' if kind == 'string' else ''}")
            self.emit(f"{length} = len({value})")
            self.write_length(kind, length)
            self.emit(f"{self.out} += {value}")
            if nullable:
                self.depth -= 1

    def write_array(self, field: Field, source: str) -> None:
        items, length, item = self.fresh("items"), self.fresh("n"), self.fresh("item")
        nullable = self.is_nullable(field)
        if nullable:
            self.flush()
        self.emit(f"{items} = {source}")
        if nullable:
            self.emit(f"if {items} is None:")
            self.depth += 1
            self.write_null("array")
            self.depth -= 1
            self.emit("else:")
            self.depth += 1
        self.emit(f"{length} = len({items})")
        self.write_length("array", length)
        if field.kind in FIXED_FORMATS and field.kind != "uuid":
            self.emit(f"{self.out} += pack(f'>{{{length}}}{FIXED_FORMATS[field.kind]}', *{items})")
        else:
            self.emit(f"for {item} in {items}:")
            self.depth += 1
            if field.struct is not None:
                self.write_struct(field.struct, item)
            else:
                self.write_value(field.kind, False, item)
            self.flush()
            self.depth -= 1
        if nullable:
            self.depth -= 1

    def write_one_struct(self, field: Field, declared: type[Struct], source: str) -> None:
        value = self.fresh("value")
        self.flush()
        self.emit(f"{value} = {source}")
        if not self.is_nullable(field):
            self.write_struct(declared, value)
            return
        self.emit(f"if {value} is None:")
        self.emit(f"    {self.out} += b'\\xff'")
        self.emit("else:")
        self.depth += 1
        self.emit(f"{self.out} += b'\\x01'")
        self.write_struct(declared, value)
        self.flush()
        self.depth -= 1
