"""
Messages to bytes and back, whatever their age.
"""

from eventbus.serialization.json import decode, encode
from eventbus.serialization.sample_values import sample_of
from eventbus.serialization.samples import Sample, SampleDirectory, Written
from eventbus.serialization.types import MessageTypes
from eventbus.serialization.upcasting import Upcaster, Upcasters, find_upcasters, upcasts

__all__ = [
    "MessageTypes",
    "Sample",
    "SampleDirectory",
    "Upcaster",
    "Upcasters",
    "Written",
    "decode",
    "encode",
    "find_upcasters",
    "sample_of",
    "upcasts",
]
