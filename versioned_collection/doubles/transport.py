"""The way between PyMongo and a double: MongoDB's wire protocol, within this process."""

from __future__ import annotations

import contextlib
import hmac
import itertools
import logging
import secrets
import socket
import socketserver
import struct
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import bson
from bson.raw_bson import RawBSONDocument

from versioned_collection.core.document import RAW_OPTIONS
from versioned_collection.doubles.refusals import NotMocked

Command = Mapping[str, Any]
Answer = Callable[[Command], bytes]
"""Carries a command out and returns the reply, whatever happens."""

_log = logging.getLogger(__name__)

_HEADER = struct.Struct("<iiii")
_SIZE = struct.Struct("<i")
_OLD_REPLY, _OLD_QUERY, _MESSAGE = 1, 2004, 2013
_LARGEST = 64 * 1024 * 1024
_CHECKSUM, _MORE_TO_COME = 1, 2
_BEGIN_OF_OLD_REPLY = struct.Struct("<iqii")
_UNINVITED = bson.encode(
    NotMocked(
        "it has no address for others; pass the mongomock database, or a VersionedCollection of it"
    ).reply()
)
_HANDSHAKES = frozenset(("hello", "ismaster", "isMaster"))


class Transport:
    """Listens on the loopback interface, and takes in whoever knows the password.

    Args:
        answer: Carries commands out.

    Attributes:
        port: Where it listens.
        password: What a client gives as its ``appname``; others on this machine do not know it.
    """

    def __init__(self, answer: Answer) -> None:
        self.password = secrets.token_hex(16)
        self._server = _Server(("127.0.0.1", 0), _Connection)
        self._server.answer = answer
        self._server.password = self.password
        self.port: int = self._server.server_address[1]
        self._is_closed = False
        self._thread = threading.Thread(target=self._serve, name="test-double", daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        while not self._is_closed:
            self._server.handle_request()
        self._server.server_close()

    def close(self) -> None:
        """Listen no more; connections end when their clients close them."""
        self._is_closed = True
        with contextlib.suppress(OSError):  # somebody has to knock once more
            socket.create_connection(("127.0.0.1", self.port)).close()
        self._thread.join()


class _Server(socketserver.ThreadingTCPServer):
    answer: Answer
    password: str
    daemon_threads = True
    block_on_close = False
    disable_nagle_algorithm = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Drop a connection that broke, or on which somebody speaks another language."""
        _log.debug("a connection to a test double ended", exc_info=True)


class _Connection(socketserver.StreamRequestHandler):
    """One connection of a client; whoever is not invited is told so."""

    server: _Server
    disable_nagle_algorithm = True
    _ids = itertools.count(1)

    def handle(self) -> None:
        """Answer until the client hangs up."""
        is_known = False
        while request := self._received():
            number, kind, payload = request
            command, wants_reply = _command_in(kind, payload)
            is_greeting = next(iter(command), None) in _HANDSHAKES
            is_known = is_known or (is_greeting and self._is_invited(command))
            may_ask = is_known or is_greeting
            reply = self.server.answer(command) if may_ask else _UNINVITED
            if wants_reply:
                self.wfile.write(_framed(next(self._ids), number, kind, reply))

    def _received(self) -> tuple[int, int, bytes] | None:
        """Return number, kind and payload of the next request, None behind the last one."""
        header = self.rfile.read(_HEADER.size)
        if len(header) < _HEADER.size:
            return None
        size, number, _, kind = _HEADER.unpack(header)
        if not _HEADER.size < size <= _LARGEST:
            return None
        return number, kind, self.rfile.read(size - _HEADER.size)

    def _is_invited(self, command: Command) -> bool:
        given = command.get("client", {}).get("application", {}).get("name", "")
        return hmac.compare_digest(str(given).encode(), self.server.password.encode())


def _command_in(kind: int, payload: bytes) -> tuple[Command, bool]:
    """Return a command, with its lists of documents, and whether a reply is wanted."""
    if kind == _OLD_QUERY:  # only the very first message of a connection
        start = payload.index(b"\0", 4) + 1 + 8
        return bson.decode(payload[start:], RAW_OPTIONS), True
    flags = _SIZE.unpack_from(payload)[0]
    end = len(payload) - (4 if flags & _CHECKSUM else 0)
    command: dict[str, Any] = {}
    position = 4
    while position < end:
        size = _SIZE.unpack_from(payload, position + 1)[0]
        section = payload[position + 1 : position + 1 + size]
        if payload[position] == 0:
            command = {**bson.decode(section, RAW_OPTIONS), **command}
        else:
            name_end = section.index(b"\0", 4)
            command[section[4:name_end].decode()] = _documents_in(section[name_end + 1 :])
        position += 1 + size
    return command, not flags & _MORE_TO_COME


def _documents_in(raw: bytes) -> Sequence[RawBSONDocument]:
    found = []
    position = 0
    while position < len(raw):
        size = _SIZE.unpack_from(raw, position)[0]
        found.append(RawBSONDocument(raw[position : position + size], RAW_OPTIONS))
        position += size
    return found


def _framed(number: int, request: int, kind: int, reply: bytes) -> bytes:
    if kind == _OLD_QUERY:
        kind, body = _OLD_REPLY, _BEGIN_OF_OLD_REPLY.pack(0, 0, 0, 1) + reply
    else:
        kind, body = _MESSAGE, b"\0\0\0\0\0" + reply
    return _HEADER.pack(_HEADER.size + len(body), number, request, kind) + body
