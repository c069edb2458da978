"""ZMTP 3.0 with CURVE, spoken by hand (RFC 23, 25, 26), for what libzmq would never send.

libzmq flushes a multipart message only once it is complete; an attacker is not so kind.
"""

from __future__ import annotations

import os
import socket
import struct
from typing import Final

from nacl.bindings import crypto_box, crypto_box_keypair, crypto_box_open

MORE: Final = 1
GREETING: Final = b"\xff" + bytes(8) + b"\x7f\x03\x00" + b"CURVE".ljust(20, b"\0") + bytes(32)


class RawCurve:
    """A connection whose handshake is done, or is as far as ``steps`` (0 to 3) says."""

    def __init__(
        self,
        port: int,
        *,
        server: bytes,
        public: bytes,
        secret: bytes,
        kind: bytes = b"DEALER",
        identity: bytes = b"",
        steps: int = 3,
    ) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=10)
        self._nonce = 0
        if steps == 0:
            return
        self.socket.sendall(GREETING)
        self._read(64)
        if steps == 1:
            return
        short_public, short_secret = crypto_box_keypair()
        box = crypto_box(bytes(64), b"CurveZMQHELLO---" + self._short(), server, short_secret)
        self._command(b"\x05HELLO\x01\0" + bytes(72) + short_public + self._last + box)
        welcome = self._read_frame()
        opened = crypto_box_open(welcome[24:], b"WELCOME-" + welcome[8:24], server, short_secret)
        server_short, cookie = opened[:32], opened[32:]
        if steps == 2:
            return
        self._key = (server_short, short_secret)
        vouch_nonce = os.urandom(16)
        vouch = crypto_box(short_public + server, b"VOUCH---" + vouch_nonce, server_short, secret)
        metadata = self._property(b"Socket-Type", kind) + self._property(b"Identity", identity)
        box = crypto_box(
            public + vouch_nonce + vouch + metadata,
            b"CurveZMQINITIATE" + self._short(),
            server_short,
            short_secret,
        )
        self._command(b"\x08INITIATE" + cookie + self._last + box)
        self._read_frame()

    def send(self, data: bytes, *, more: bool = False) -> None:
        """One frame of a message."""
        nonce = b"CurveZMQMESSAGEC" + self._short()
        box = crypto_box((b"\x01" if more else b"\0") + data, nonce, *self._key)
        self._frame(0, b"\x07MESSAGE" + self._last + box)

    def _short(self) -> bytes:
        self._nonce += 1
        self._last = struct.pack(">Q", self._nonce)
        return self._last

    @staticmethod
    def _property(name: bytes, value: bytes) -> bytes:
        return bytes([len(name)]) + name + struct.pack(">I", len(value)) + value

    def _command(self, body: bytes) -> None:
        self._frame(4, body)

    def _frame(self, flags: int, body: bytes) -> None:
        if len(body) < 256:
            head = bytes([flags, len(body)])
        else:
            head = bytes([flags | 2]) + struct.pack(">Q", len(body))
        self.socket.sendall(head + body)

    def _read(self, size: int) -> bytes:
        data = b""
        while len(data) < size:
            part = self.socket.recv(size - len(data))
            if not part:
                self.socket.close()
                raise ConnectionError("closed")
            data += part
        return data

    def _read_frame(self) -> bytes:
        flags = self._read(1)[0]
        size = struct.unpack(">Q", self._read(8))[0] if flags & 2 else self._read(1)[0]
        return self._read(size)
