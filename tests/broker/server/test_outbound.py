"""Answers on their way to a socket: every byte once, in order, however it is cut up."""

import os
import socket
from dataclasses import dataclass
from pathlib import Path
from random import Random

import pytest

from broker.server.in_flight import InFlight
from broker.server.outbound import COPIED_BYTES_MAX, JOINED_BYTES_MAX, Outbound, Piece


@dataclass(slots=True)
class Slice:
    """A part of a real file, which says how often it was let go."""

    descriptor: int
    position: int
    size: int
    released: int = 0

    def fileno(self) -> int:
        return self.descriptor

    def release(self) -> None:
        self.released += 1


@pytest.mark.parametrize("seed", range(8))
def test_pieces_of_any_size_arrive_whole_and_in_order(tmp_path: Path, seed: int) -> None:
    """Short ones are joined, long ones and slices of files stay themselves; at the end nothing is left or counted."""
    random = Random(seed)
    content = random.randbytes(200_000)
    (tmp_path / "log").write_bytes(content)
    descriptor = os.open(tmp_path / "log", os.O_RDONLY)
    sender, receiver = socket.socketpair()
    in_flight = InFlight(1 << 30)
    slices: list[Slice] = []
    expected, received = bytearray(), bytearray()
    try:
        sender.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 8192)
        sender.setblocking(False)
        receiver.setblocking(False)
        outbound = Outbound(sender, in_flight)
        for _ in range(300):
            for _ in range(random.choice((0, 1, 1, 40))):
                size = random.choice((0, 1, 60, COPIED_BYTES_MAX, COPIED_BYTES_MAX + 1, JOINED_BYTES_MAX))
                piece: Piece = random.choice((bytes, bytearray, memoryview))(content[:size])
                if random.random() < 0.2:
                    position = random.randrange(100_000)
                    piece = Slice(descriptor, position, size)
                    slices.append(piece)
                    expected += content[position : position + size]
                else:
                    expected += content[:size]
                outbound.append(piece)
            outbound.send(random.choice((1, 5_000, 1 << 20)))
            try:
                received += receiver.recv(random.choice((1, 5_000, 1 << 20)))
            except BlockingIOError:
                continue
        while not outbound.send(1 << 20) or len(received) < len(expected):
            received += receiver.recv(1 << 20)
    finally:
        sender.close()
        receiver.close()
        os.close(descriptor)
    assert received == expected
    assert (outbound.queued_bytes, in_flight.unsent, outbound.sent_bytes) == (0, 0, len(expected))
    assert {each.released for each in slices} == {1}


def test_a_piece_that_was_given_is_not_written_to() -> None:
    """What is answered to everyone is the same bytes each time: short pieces are joined in a buffer of the queue's."""
    sender, receiver = socket.socketpair()
    with sender, receiver:
        outbound = Outbound(sender, InFlight(1 << 20))
        shared = bytearray(b"first")
        outbound.append(shared)
        outbound.append(b" second")
        assert outbound.send(1 << 20)
        assert (bytes(shared), receiver.recv(100)) == (b"first", b"first second")
