"""
What every message is: a frozen pydantic model with a stable name and an integer version.

The name and the version travel, never a Python import path: a class may move or be renamed (`name="OrderPlaced"`)
and other languages can read it. Unknown fields are ignored, so that a sender may add one; `extra="forbid"` refuses
them.
"""

import re
from collections.abc import Sequence
from typing import ClassVar

from pydantic import BaseModel, ConfigDict

from eventbus.errors import DefinitionError

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/-]*")
_NAME_CHARACTERS_MAX = 200


class Message(BaseModel):
    """
    The root of Event, Command and Query.

    Class keywords
        name       what it is called outside of this program; by default the class's name
        version    of its shape, 1 or more; raise it, and give an upcaster, when old data no longer fits
        extra      what becomes of fields that the class does not have: "ignore" (the default), "forbid" (data with them
                   cannot be read) or "allow" (they are kept); inherited
    Errors         DefinitionError (a name or version that cannot travel), TypeError (an unknown keyword);
                   both when the class is created
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    message_name: ClassVar[str] = "Message"
    message_version: ClassVar[int] = 1

    # `extra` is not among the keywords here: it is pydantic's own, who takes it before.
    def __init_subclass__(cls, *, name: str | None = None, version: int = 1) -> None:
        super().__init_subclass__()
        # Generic pydantic models make subclasses of themselves ("Envelope[int]"): those have no name of their own.
        chosen = cls.__name__ if name is None else name
        check_name(cls, chosen, chosen.partition("[")[0])
        if isinstance(version, bool) or version < 1:
            raise DefinitionError(f"{place(cls)}: version={version!r} of {chosen}: versions are counted from 1")
        cls.message_name = chosen
        cls.message_version = version

    @classmethod
    def __pydantic_init_subclass__(cls, **keywords: object) -> None:
        super().__pydantic_init_subclass__()
        if not cls.model_config.get("frozen"):
            raise DefinitionError(f"{place(cls)}: {cls.__name__} is a message, and messages are frozen")


def check_name(cls: type, name: str, checked: str | None = None) -> None:
    """Raises DefinitionError when *name* (of which only *checked* is looked at, if given) cannot travel."""
    if not _NAME.fullmatch(name if checked is None else checked) or len(name) > _NAME_CHARACTERS_MAX:
        raise DefinitionError(
            f"{place(cls)}: the message name {name!r} cannot travel: use letters, digits and . _ : / -, "
            f"at most {_NAME_CHARACTERS_MAX} of them"
        )


def checked_aliases(cls: type, name: str, aliases: Sequence[str]) -> tuple[str, ...]:
    """The names that *cls*, now called *name*, had before. Raises DefinitionError."""
    if isinstance(aliases, str):
        raise DefinitionError(f"{place(cls)}: aliases={aliases!r} is one name: write aliases=[{aliases!r}]")
    for alias in aliases:
        check_name(cls, alias)
        if alias == name:
            raise DefinitionError(f"{place(cls)}: {alias!r} is its name, and need not be among its aliases")
    return tuple(dict.fromkeys(aliases))


def place(cls: type) -> str:
    """`module.Class`: what an error says while the class is still being created, when no line can be asked for."""
    return f"{cls.__module__}.{cls.__qualname__}"
