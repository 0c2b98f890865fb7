"""Messages over a socket pair: eight bytes of length, msgpack, and file descriptors beside the length."""

from __future__ import annotations

import select
import socket
import struct
from collections.abc import Sequence
from typing import Any

import msgspec

_LENGTH = struct.Struct("<Q")
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
            socket.send_fds(self._end, [_LENGTH.pack(len(body))], list(descriptors))
            self._end.sendall(body)
        except OSError as error:
            raise PeerGoneError from error

    def receive(self, kind: Any, timeout: float | None = None) -> tuple[Any, list[int]] | None:
        """The next message, of the type ``kind``, and its descriptors; None when none comes within ``timeout`` s."""
        if not select.select([self._end], [], [], timeout)[0]:
            return None
        try:
            head, descriptors, _, _ = socket.recv_fds(self._end, _LENGTH.size, _MAX_DESCRIPTORS)
            body = self._exactly(_LENGTH.unpack(head + self._exactly(_LENGTH.size - len(head)))[0])
        except OSError as error:
            raise PeerGoneError from error
        return msgspec.msgpack.decode(body, type=kind, strict=False), descriptors

    def close(self) -> None:
        self._end.close()

    def _exactly(self, length: int) -> bytes:
        pieces = []
        while length:
            piece = self._end.recv(min(length, 1 << 20))
            if not piece:
                raise PeerGoneError
            pieces.append(piece)
            length -= len(piece)
        return b"".join(pieces)
