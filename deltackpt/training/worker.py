"""``python -m deltackpt.training.worker FD``: commits snapshots for the trainer at the other end of a socket.

A program of its own: the trainer is not forked, and its script is not run a second time. Snapshots come as memory
files. It ends with its trainer, however that ends, and leaves to it what signals mean.
"""

from __future__ import annotations

import ctypes
import mmap
import os
import signal
import socket
import sys
from collections.abc import Sequence

import msgspec

from deltackpt.training.committer import Committer
from deltackpt.training.job import Note, Opening
from deltackpt.training.messages import Hello, Message, NewBuffer, Tidy, Work
from deltackpt.training.wire import PeerGoneError, Wire

_DIE_WITH_PARENT = 1


def main(arguments: Sequence[str]) -> int:
    """Serve until the trainer closes its end."""
    wire = Wire(socket.socket(fileno=int(arguments[0])))
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    try:
        _serve(wire)
    except PeerGoneError:
        return 0
    return 0


def _serve(wire: Wire) -> None:
    committer: Committer | None = None
    buffers: dict[int, memoryview] = {}
    while True:
        received = wire.receive(Message)
        assert received is not None
        message, descriptors = received
        match message:
            case Hello():
                _settle_in(message.opening)
                committer = Committer(message.opening)
            case NewBuffer():
                buffers[message.number] = _mapped(descriptors[0], message.size)
            case Work():
                assert committer is not None
                wire.send(committer.run(message.job, buffers[message.job.buffer]))
                if message.job.clean and (note := committer.clean()):
                    wire.send(note)
            case Tidy():
                assert committer is not None
                wire.send(msgspec.structs.replace(committer.clean(thoroughly=True) or Note(""), final=True))


def _settle_in(opening: Opening) -> None:
    """Step back for the training, and die with it."""
    os.nice(opening.nice)
    ctypes.CDLL(None).prctl(_DIE_WITH_PARENT, signal.SIGKILL)
    if os.getppid() != opening.parent_pid:
        raise PeerGoneError


def _mapped(descriptor: int, size: int) -> memoryview:
    try:
        return memoryview(mmap.mmap(descriptor, size))
    finally:
        os.close(descriptor)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
