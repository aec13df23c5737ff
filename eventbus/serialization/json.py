"""
Messages as JSON: pydantic's, by alias where a field has one, compact.
"""

from typing import TypeVar

from pydantic import ValidationError

from eventbus.errors import UndecodableMessage
from eventbus.messages import Message

M = TypeVar("M", bound=Message)
_FIELDS_SHOWN_MAX = 5


def encode(message: Message) -> bytes:
    """The message's value on the wire and in the event store."""
    # The serializer itself: model_dump_json() makes a str of the bytes, which would have to be encoded again.
    return type(message).__pydantic_serializer__.to_json(message, by_alias=True)


def decode(cls: type[M], data: bytes) -> M:
    """
    The message of class *cls* in *data*. Raises UndecodableMessage, naming the fields that do not fit and never
    their values, which may be secrets.
    """
    try:
        message: M = cls.__pydantic_validator__.validate_json(data)
    except ValidationError as error:
        raise UndecodableMessage(f"{cls.message_name} v{cls.message_version}: {_fields(error)}") from None
    return message


def _fields(error: ValidationError) -> str:
    found = error.errors(include_url=False, include_context=False, include_input=False)
    shown = [f"{'.'.join(map(str, one['loc'])) or 'the value'}: {one['msg']}" for one in found[:_FIELDS_SHOWN_MAX]]
    if len(found) > _FIELDS_SHOWN_MAX:
        shown.append(f"and {len(found) - _FIELDS_SHOWN_MAX} more")
    return "; ".join(shown)
