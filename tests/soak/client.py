"""A strict little HTTP/1.1 client over asyncio, for a server that is not trusted: every byte of a response must be
accounted for, or BadResponse says what is wrong with it."""

import asyncio
import json
import socket

HEAD_MAX = 32 << 10
BODY_MAX = 64 << 20


class BadResponse(Exception):
    """The server said something that no well-behaved server says."""


class Gone(Exception):
    """The connection ended where a response should have been or gone on."""


class Response:
    def __init__(self, status, headers):
        self.status, self.headers, self.body = status, headers, b""

    @property
    def closes(self):
        return self.headers.get("connection") == "close"

    def json(self):
        try:
            return json.loads(self.body)
        except ValueError as e:
            raise BadResponse(f"{self.status} with a body that is no JSON: {self.body[:200]!r}") from e


def message(method, path, body=None, host="soak", **headers):
    """The bytes of a request; `body` is an object for JSON or bytes as they are."""
    if body is not None and not isinstance(body, bytes):
        body = json.dumps(body).encode()
    lines = [f"{method} {path} HTTP/1.1", f"host: {host}"]
    if body is not None:
        headers = {"content-type": "application/json", "content-length": len(body), **headers}
    lines += [f"{k.replace('_', '-')}: {v}" for k, v in headers.items()]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + (body or b"")


class Connection:
    """One connection; leave it with `async with`."""

    def __init__(self, port, receive_bytes=None):
        self.port, self.receive_bytes = port, receive_bytes

    async def __aenter__(self):
        s = socket.socket()
        s.setblocking(False)
        if self.receive_bytes:
            s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, self.receive_bytes)
        try:
            await asyncio.get_running_loop().sock_connect(s, ("127.0.0.1", self.port))
        except BaseException:
            s.close()
            raise
        limit = self.receive_bytes or 1 << 16
        self.reader, self.writer = await asyncio.open_connection(sock=s, limit=max(limit, HEAD_MAX))
        return self

    async def __aexit__(self, *_):
        self.writer.close()

    def abort(self):
        """Leaves with a reset instead of an end."""
        self.writer.transport.abort()

    async def send(self, data):
        """A server may answer and end before it has read all: what it says counts then, not that."""
        try:
            self.writer.write(data)
            await self.writer.drain()
        except (ConnectionError, BrokenPipeError):
            pass

    async def read_head(self):
        try:
            head = await self.reader.readuntil(b"\r\n\r\n")
        except asyncio.IncompleteReadError as e:
            raise Gone(f"the connection ended after {len(e.partial)} bytes of a head") from e
        except asyncio.LimitOverrunError as e:
            raise BadResponse("a head without end") from e
        except ConnectionError as e:
            raise Gone(f"the connection was reset before a response: {e}") from e
        lines = head[:-4].decode("latin-1").split("\r\n")
        parts = lines[0].split(" ", 2)
        if len(parts) != 3 or parts[0] != "HTTP/1.1" or not parts[1].isdigit():
            raise BadResponse(f"status line {lines[0]!r}")
        headers = {}
        for line in lines[1:]:
            name, colon, value = line.partition(": ")
            if not colon or name in headers or name != name.lower():
                raise BadResponse(f"header {line!r}")
            headers[name] = value
        return Response(int(parts[1]), headers)

    async def pieces(self, response):
        """The body piece by piece; returns only when all of it came."""
        try:
            if response.headers.get("transfer-encoding") == "chunked":
                async for piece in self._chunks():
                    yield piece
                return
            left = response.headers.get("content-length", "")
            if not left.isdigit() or int(left) > BODY_MAX:
                raise BadResponse(f"content-length {left!r}")
            if int(left):
                yield await self.reader.readexactly(int(left))
        except asyncio.IncompleteReadError as e:
            raise Gone(f"a body ended {e.expected - len(e.partial)} bytes early") from e
        except ConnectionError as e:
            raise Gone(f"the connection was reset in a body: {e}") from e

    async def _chunks(self):
        while True:
            line = await self.reader.readline()
            if not line.endswith(b"\r\n"):
                raise Gone("a chunked body without its end")
            size = int(line, 16)
            data = await self.reader.readexactly(size + 2)
            if data[-2:] != b"\r\n":
                raise BadResponse("a chunk that is longer than it says")
            if size == 0:
                return
            yield data[:-2]

    async def read(self):
        """One whole response."""
        response = await self.read_head()
        response.body = b"".join([piece async for piece in self.pieces(response)])
        return response
