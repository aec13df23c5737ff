"""
Messages to bytes and back, whatever their age.
"""

from eventbus.serialization.json import decode, encode
from eventbus.serialization.types import MessageTypes
from eventbus.serialization.upcasting import Upcaster, Upcasters, find_upcasters, upcasts

__all__ = ["MessageTypes", "Upcaster", "Upcasters", "decode", "encode", "find_upcasters", "upcasts"]
