import subprocess
import sys

from eventbus.projections.holder import has_ended, new_holder


def test_a_process_that_runs_has_not_ended_and_one_that_was_waited_for_has() -> None:
    """A rebuild that was killed is gone on with at once, not when its lease has run out."""
    holder = new_holder()
    assert not has_ended(holder)
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    host, _, random = holder.split(":")
    assert has_ended(f"{host}:{process.pid}:{random}")


def test_of_another_host_nothing_is_known() -> None:
    """There the lease decides; so it does for a name of another form."""
    assert not has_ended("elsewhere:1:abc")
    assert not has_ended("")
    assert not has_ended("host:1")
