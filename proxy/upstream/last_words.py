"""What a dead socket still holds: an answer that came before the write that failed."""

from __future__ import annotations

import asyncio
import os
import socket

LIMIT = 16
"""Reads of 64 KiB at most."""


def last_words(transport: asyncio.Transport) -> list[bytes]:
    """Bytes that the kernel still holds for a transport whose write has just failed.

    An event loop drops a connection at the first failed write, though a backend that answered early (413) and
    closed may have been heard out: the kernel keeps what arrived before the reset. Plain sockets only.
    """
    raw = transport.get_extra_info("socket")
    if raw is None or transport.get_extra_info("ssl_object") is not None:
        return []
    try:
        copy = socket.socket(fileno=os.dup(raw.fileno()))
    except OSError:
        return []
    with copy:
        copy.setblocking(False)
        return _drain(copy)


def _drain(sock: socket.socket) -> list[bytes]:
    heard: list[bytes] = []
    try:
        while len(heard) < LIMIT and (data := sock.recv(65536)):
            heard.append(data)
    except OSError:
        pass
    return heard
