"""
Names for the processes of a service on one machine, leased by a lock file each.

A static member of a consumer group that comes back under its name gets its partitions at once, where a new member
waits until the group has given up the dead one. The kernel frees the lock of a killed process, so the one that is
started in its place finds the same name free.
"""

from pathlib import Path

from eventbus.embedded.locks import FileLock
from eventbus.errors import InvalidConfiguration

_INSTANCES_MAX = 1000


class InstanceLease:
    """`name` is `<service>-<n>` with the lowest free n, until `release` or the process' end."""

    __slots__ = ("_lock", "name")

    def __init__(self, directory: Path, service: str) -> None:
        """Takes a name in *directory*. Raises InvalidConfiguration when no file can be made there."""
        place = directory / "instances"
        try:
            place.mkdir(parents=True, exist_ok=True)
            for number in range(1, _INSTANCES_MAX + 1):
                lock = FileLock(place / f"{service}-{number}.lock")
                if lock.try_take():
                    self._lock = lock
                    self.name = f"{service}-{number}"
                    return
        except OSError as error:
            raise InvalidConfiguration(f"EVENTBUS_BROKER_URL: {place} cannot be used: {error.strerror}") from error
        raise InvalidConfiguration(f"{_INSTANCES_MAX} processes of {service} are using {place}: stop some of them")

    def release(self) -> None:
        """Lets another process have the name."""
        self._lock.release()
