import subprocess
import sys
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

from eventbus.store import new_event_id


def test_an_event_id_is_a_uuid_of_version_seven() -> None:
    """Version and variant are where RFC 9562 has them."""
    found = uuid.UUID(new_event_id())
    assert found.version == 7
    assert found.variant == uuid.RFC_4122


def test_event_ids_are_unique_and_begin_with_the_time() -> None:
    """Many within a millisecond differ; a later millisecond sorts behind."""
    first = {new_event_id() for _ in range(10_000)}
    assert len(first) == 10_000
    time.sleep(0.002)
    assert new_event_id() > max(first)
    milliseconds = uuid.UUID(new_event_id()).int >> 80
    assert abs(milliseconds - time.time() * 1000) < 1000


def test_event_ids_of_one_millisecond_grow() -> None:
    """So that an index of them grows at its end; but for the one in 256 that begins a new count."""
    found = [new_event_id() for _ in range(10_000)]
    shrunk = [(one, other) for one, other in pairwise(found) if one > other]
    assert len(shrunk) <= 10_000 / 256 + 1


def test_threads_never_get_the_same_event_id() -> None:
    """Whatever the moment at which one is interrupted by another."""
    with ThreadPoolExecutor(8) as threads:
        found = list(threads.map(lambda _: [new_event_id() for _ in range(5_000)], range(8)))
    assert len({id for ids in found for id in ids}) == 40_000


def test_a_forked_process_has_event_ids_of_its_own() -> None:
    """It does not go on where its parent was."""
    script = (
        "import os\nfrom eventbus.store import new_event_id\nnew_event_id()\nchild = os.fork()\n"
        "os.write(1, (' '.join(new_event_id()[15:] for _ in range(100)) + ' ').encode())\n"
        "if child:\n    os.waitpid(child, 0)\n"
    )
    ran = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True, timeout=60)
    assert len(set(ran.stdout.split())) == 200
