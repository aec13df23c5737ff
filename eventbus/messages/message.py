"""
What every message is: a frozen pydantic model with a stable name and an integer version.

The name and the version travel, never a Python import path: a class may move or be renamed (`name="OrderPlaced"`)
and other languages can read it. Unknown fields are ignored, so that a sender may add one.
"""

import re
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
    Errors         DefinitionError (a name or version that cannot travel), TypeError (an unknown keyword);
                   both when the class is created
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    message_name: ClassVar[str] = "Message"
    message_version: ClassVar[int] = 1

    def __init_subclass__(cls, *, name: str | None = None, version: int = 1) -> None:
        super().__init_subclass__()
        # Generic pydantic models make subclasses of themselves ("Envelope[int]"): those have no name of their own.
        chosen = cls.__name__ if name is None else name
        if not _NAME.fullmatch(chosen.partition("[")[0]) or len(chosen) > _NAME_CHARACTERS_MAX:
            raise DefinitionError(
                f"{place(cls)}: the message name {chosen!r} cannot travel: use letters, digits and . _ : / -, "
                f"at most {_NAME_CHARACTERS_MAX} of them"
            )
        if isinstance(version, bool) or version < 1:
            raise DefinitionError(f"{place(cls)}: version={version!r} of {chosen}: versions are counted from 1")
        cls.message_name = chosen
        cls.message_version = version

    @classmethod
    def __pydantic_init_subclass__(cls, **keywords: object) -> None:
        super().__pydantic_init_subclass__()
        if not cls.model_config.get("frozen"):
            raise DefinitionError(f"{place(cls)}: {cls.__name__} is a message, and messages are frozen")


def place(cls: type) -> str:
    """`module.Class`: what an error says while the class is still being created, when no line can be asked for."""
    return f"{cls.__module__}.{cls.__qualname__}"
