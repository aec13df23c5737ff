"""
Holds an application to its samples: what it has written once, it must be able to read.
"""

from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING

from eventbus.serialization import SampleDirectory

if TYPE_CHECKING:
    from eventbus.application import Application


def check_samples(app: "Application", directory: Path, *, unread: Collection[str] = ()) -> None:
    """
    Every file in *directory* (written by `eventbus messages snapshot`, or by hand) can be read by the application's
    events and upcasters, no field of one is passed over, and no event or version of one is without a file.

    *unread* are fields that are dropped on purpose, as `OrderPlaced.note`. Raises AssertionError with a line for each
    fault, DefinitionError for a file that is no sample.
    """
    __tracebackhide__ = True
    samples = SampleDirectory(directory, app.model.types, app.model.named_events)
    if faults := samples.faults(unread=unread):
        raise AssertionError("\n".join(faults))
