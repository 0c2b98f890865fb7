"""Messages over a socket pair: a head, msgpack, and file descriptors beside the head.

A message that the socket may not hold at once travels as a memory file, so its sender never waits for a busy peer.
"""

from __future__ import annotations

import os
import select
import socket
import struct
from collections.abc import Sequence
from typing import Any

import msgspec

# The length of the message, and whether it is in the last descriptor.
_HEAD = struct.Struct("<Q?")
_MAX_INLINE = 16 << 10
_MAX_DESCRIPTORS = 4


class PeerGoneError(Exception):
    """The process at the other end has ended."""


class Wire:
    """One end. A message is sent and received whole; for one thread at a time."""

    def __init__(self, end: socket.socket) -> None:
        self._end = end

    def send(self, message: Any, descriptors: Sequence[int] = ()) -> None:
        """PeerGoneError when nobody is there to receive it."""
        body = msgspec.msgpack.encode(message, enc_hook=bytes)
        try:
            if len(body) > _MAX_INLINE:
                self._send_aside(body, descriptors)
                return
            socket.send_fds(self._end, [_HEAD.pack(len(body), False)], list(descriptors))
            self._end.sendall(body)
        except OSError as error:
            raise PeerGoneError from error

    def receive(self, kind: Any, timeout: float | None = None) -> tuple[Any, list[int]] | None:
        """The next message, of the type ``kind``, and its descriptors; None when none comes within ``timeout`` s."""
        if not select.select([self._end], [], [], timeout)[0]:
            return None
        try:
            head, descriptors, _, _ = socket.recv_fds(self._end, _HEAD.size, _MAX_DESCRIPTORS)
            length, aside = _HEAD.unpack(head + self._exactly(_HEAD.size - len(head)))
            body = _read_aside(descriptors.pop(), length) if aside else self._exactly(length)
        except OSError as error:
            raise PeerGoneError from error
        return msgspec.msgpack.decode(body, type=kind, strict=False), descriptors

    def close(self) -> None:
        self._end.close()

    def _send_aside(self, body: bytes, descriptors: Sequence[int]) -> None:
        aside = os.memfd_create("deltackpt-message", os.MFD_CLOEXEC)
        try:
            with open(aside, "wb", closefd=False) as file:
                file.write(body)
            socket.send_fds(self._end, [_HEAD.pack(len(body), True)], [*descriptors, aside])
        finally:
            os.close(aside)

    def _exactly(self, length: int) -> bytes:
        pieces = []
        while length:
            piece = self._end.recv(min(length, 1 << 20))
            if not piece:
                raise PeerGoneError
            pieces.append(piece)
            length -= len(piece)
        return b"".join(pieces)


def _read_aside(descriptor: int, length: int) -> bytes:
    with open(descriptor, "rb") as file:
        file.seek(0)
        body = file.read()
    if len(body) != length:
        raise PeerGoneError
    return body
