"""Modules made of source text, as a user would write them."""

import itertools
import sys
from pathlib import Path
from textwrap import dedent
from types import ModuleType

import pytest

_HEAD = """\
from __future__ import annotations
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from eventbus.bus import CommandBus, EventBus, QueryBus
from eventbus.domain import Aggregate, Repository, applies
from eventbus.handlers import handles, per_message
from eventbus.messages import Command, Event, Metadata, Query
from eventbus.serialization import upcasts
from eventbus.store import UnitOfWork
"""
FIRST_LINE = _HEAD.count("\n") + 1
_numbers = itertools.count(1)


@pytest.fixture
def write_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> "WriteModule":
    return WriteModule(tmp_path, monkeypatch)


class WriteModule:
    """Calls answer a module with the given text behind the usual imports; its first line is FIRST_LINE."""

    def __init__(self, directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self._directory = directory
        self._monkeypatch = monkeypatch

    def __call__(self, source: str, *, name: str | None = None) -> ModuleType:
        name = name or f"module{next(_numbers)}"
        path = self._directory / f"{name}.py"
        path.write_text(_HEAD + dedent(source).lstrip("\n"))
        module = ModuleType(name)
        module.__file__ = str(path)
        self._monkeypatch.setitem(sys.modules, name, module)
        exec(compile(path.read_text(), str(path), "exec"), vars(module))  # noqa: S102  a module of the test's own text
        return module
