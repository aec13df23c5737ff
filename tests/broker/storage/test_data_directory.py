"""The data directory: who has it, whose it is, how it was left."""

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from broker.clock import ManualClock
from broker.identifiers import TopicPartition
from broker.records import NewRecord, build_batch
from broker.storage import (
    DataDirectory,
    DataDirectoryInUse,
    DiskFileSystem,
    LogConfig,
    PartitionLog,
    UnusableDataDirectory,
)
from broker.storage.names import deleted_directory, is_deleted_directory, partition_in
from tests.broker.storage.faulty_files import FaultyFileSystem

FILES = DiskFileSystem()


def test_a_new_directory_gets_a_cluster_id_that_stays(tmp_path: Path) -> None:
    """Made with its parents; the id is the same at every start."""
    first = DataDirectory.open(tmp_path / "a" / "b", files=FILES)
    first.close(clean=True)
    second = DataDirectory.open(tmp_path / "a" / "b", files=FILES)
    assert second.cluster_id == first.cluster_id
    assert len(second.cluster_id) == 22
    second.close(clean=True)


def test_only_a_clean_close_leaves_the_mark_and_a_start_takes_it(tmp_path: Path) -> None:
    """New: not clean. After a clean close: clean, once."""
    cleans = []
    for clean in (True, True, False, True):
        directory = DataDirectory.open(tmp_path, files=FILES)
        cleans.append(directory.clean)
        assert not (tmp_path / ".kafka_cleanshutdown").exists()
        directory.close(clean=clean)
    assert cleans == [False, True, True, False]


def test_a_directory_in_use_is_refused_with_the_holders_pid(tmp_path: Path) -> None:
    """Another process has it: the text names that process and the way out; when it dies the directory is free."""
    code = (
        "import sys; from pathlib import Path; from broker.storage import DataDirectory, DiskFileSystem;"
        f"DataDirectory.open(Path({str(tmp_path)!r}), files=DiskFileSystem());"
        "print('held', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        with pytest.raises(DataDirectoryInUse, match=f"in use by the process {holder.pid}.*--data-dir") as refused:
            DataDirectory.open(tmp_path, files=FILES)
        assert refused.value.pid == holder.pid
        holder.kill()
        holder.wait()
    DataDirectory.open(tmp_path, files=FILES).close(clean=False)


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("version=1\ncluster.id=x\nbroker.format=2\n", r"format version 2, this broker knows 1.*newer.*--data-dir"),
        ("version=1\ncluster.id=x\nbroker.format=x\n", r"broker\.format=x, which is none"),
        ("version=1\ncluster.id=x\nbroker.format=0\n", r"broker\.format=0, which is none"),
        ("version=1\ncluster.id=x\nnode.id=1\n", r"by Apache Kafka: nothing was changed.*--data-dir"),
        ("version=2\ncluster.id=x\n", "has version 2, this broker knows 1"),
        ("cluster.id=x\n", "version None"),
        ("version=1\n", r"no cluster\.id"),
        ("\x00" * 60, "version None"),
    ],
)
def test_a_directory_of_another_version_is_refused_and_left_alone(tmp_path: Path, text: str, match: str) -> None:
    """The text says both versions; the mark is not taken and the lock is given up."""
    (tmp_path / "meta.properties").write_text(text)
    (tmp_path / ".kafka_cleanshutdown").write_text("{}")
    for _ in range(2):
        with pytest.raises(UnusableDataDirectory, match=match):
            DataDirectory.open(tmp_path, files=FILES)
    assert (tmp_path / ".kafka_cleanshutdown").exists()


@pytest.mark.parametrize("name", ["orders-0", "metadata.log"])
def test_data_without_a_meta_properties_is_refused_and_left_alone(tmp_path: Path, name: str) -> None:
    """A lost file, or somebody else's directory: a new identity would set what is there aside."""
    (tmp_path / name).mkdir()
    with pytest.raises(UnusableDataDirectory, match=rf"has {name} in it, but no meta\.properties.*--data-dir"):
        DataDirectory.open(tmp_path, files=FILES)
    assert (tmp_path / name).exists()


def test_a_directory_from_before_the_format_key_is_opened(tmp_path: Path) -> None:
    """Its metadata log tells that it is ours."""
    (tmp_path / "meta.properties").write_text("version=1\ncluster.id=x\nnode.id=1\n")
    (tmp_path / "metadata.log").touch()
    directory = DataDirectory.open(tmp_path, files=FILES)
    assert directory.cluster_id == "x"
    directory.close(clean=False)


@pytest.mark.parametrize(
    ("error", "way_out"),
    [
        (errno.EROFS, r"Read-only file system; .*mount it writable, or choose another --data-dir"),
        (errno.ENOSPC, r"No space left on device; free some room on its disk"),
        (errno.EIO, r"Input/output error; the disk fails"),
        (errno.EACCES, r"Permission denied; give this user write access"),
    ],
)
def test_a_disk_that_refuses_at_the_start_is_named_with_the_way_out(tmp_path: Path, error: int, way_out: str) -> None:
    """The error's own words, and what to do about it; the lock is given up, and what is there stays."""
    DataDirectory.open(tmp_path, files=FILES).close(clean=True)
    (tmp_path / "meta.properties").unlink()
    files = FaultyFileSystem()
    files.room, files.write_error = 0, error
    with pytest.raises(UnusableDataDirectory, match=way_out):
        DataDirectory.open(tmp_path, files=files)
    assert (tmp_path / ".kafka_cleanshutdown").exists()
    files.room = None
    DataDirectory.open(tmp_path, files=files).close(clean=False)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may mount")
def test_a_read_only_mount_is_refused_with_the_way_out(tmp_path: Path) -> None:
    """A real one, by `broker serve`: exit code 2, one sentence, no traceback."""
    data = tmp_path / "data"
    DataDirectory.open(data, files=FILES).close(clean=True)
    command = f"mount --bind {data} {data} && mount -o remount,ro,bind {data} && exec "
    command += f"{sys.executable} -m broker serve --data-dir {data} --listen 127.0.0.1:0"
    done = subprocess.run(["unshare", "-m", "sh", "-c", command], capture_output=True, text=True, check=False)
    if "mount:" in done.stderr or "unshare:" in done.stderr:
        pytest.skip("mounting is forbidden here")
    assert done.returncode == 2
    assert "Read-only file system; check its disk, and mount it writable, or choose another --data-dir" in (
        " ".join(done.stderr.split())
    )
    assert "Traceback" not in done.stderr


def test_a_path_that_is_a_file_is_refused_with_the_way_out(tmp_path: Path) -> None:
    """No traceback of the operating system's, but what to do."""
    (tmp_path / "file").write_text("x")
    with pytest.raises(UnusableDataDirectory, match=r"file cannot be used.*--data-dir"):
        DataDirectory.open(tmp_path / "file", files=FILES)


def test_checkpoints_come_back_at_the_next_start(tmp_path: Path) -> None:
    """Recovery points and log start offsets, in Kafka's files."""
    directory = DataDirectory.open(tmp_path, files=FILES)
    partition = TopicPartition("my-orders", 3)
    log = PartitionLog.open(
        directory.partition_directory(partition), files=FILES, clock=ManualClock(), config=LogConfig(), clean=True
    )
    for _ in range(4):
        log.append(memoryview(build_batch([NewRecord(b"k", b"v")], timestamp=1_700_000_000_000)), leader_epoch=0)
    log.delete_records(3)
    log.flush()
    directory.write_checkpoints({partition: log})
    directory.close(clean=False)
    assert (tmp_path / "recovery-point-offset-checkpoint").read_text() == "0\n1\nmy-orders 3 4\n"
    again = DataDirectory.open(tmp_path, files=FILES)
    assert again.recovery_points() == {partition: 4}
    assert again.log_start_offsets() == {partition: 3}
    assert list(again.partition_directories()) == [(partition, tmp_path / "my-orders-3")]
    log.close(clean=False)
    again.close(clean=False)


@pytest.mark.parametrize("text", ["", "0\n2\na 0 1\n", "1\n1\na 0 1\n", "0\n1\na 0\n", "0\n1\na x 1\n", "\x00" * 50])
def test_an_unsound_checkpoint_counts_for_none(tmp_path: Path, text: str) -> None:
    """Its logs are read from the start instead."""
    (tmp_path / "recovery-point-offset-checkpoint").write_text(text)
    directory = DataDirectory.open(tmp_path, files=FILES)
    assert directory.recovery_points() == {}
    directory.close(clean=False)


def test_names_of_partition_directories() -> None:
    """The last dash divides; a deleted directory is none."""
    assert partition_in("a-b-12") == TopicPartition("a-b", 12)
    assert [partition_in(name) for name in ("a", "-1", "a-", "a-x", "a-²")] == [None] * 5
    gone = deleted_directory(Path("/data/a-0"))
    assert is_deleted_directory(gone.name)
    assert partition_in(gone.name) is None
    assert gone != deleted_directory(Path("/data/a-0"))
