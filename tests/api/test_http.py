"""HTTP from the outside: bytes on a socket, and what comes back. Doubtful requests, limits, and clients that behave badly.

Timeouts and cuts at every byte are in tests/unit/http, where they take milliseconds."""

import json
import re
import socket
import threading
import time
from pathlib import Path

import pytest
import requests

import conftest
from conftest import PROGRAM

PROMPT = "Once upon a time"
SANITIZED = any(x in Path(PROGRAM).read_bytes() for x in (b"__asan_init", b"__tsan_init"))


class Client:
    """A socket that reads answers one by one."""

    def __init__(self, server, timeout=20, receive_bytes=None):
        host, port = server.url[7:].split(":")
        self.socket = socket.socket()
        if receive_bytes:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
        self.socket.settimeout(timeout)
        self.socket.connect((host, int(port)))
        self.data = b""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def send(self, data):
        try:
            self.socket.sendall(data)
        except (BrokenPipeError, ConnectionResetError):
            pass  # refused in the middle: the answer says why

    def more(self):
        got = self.socket.recv(65536)
        self.data += got
        return bool(got)

    def take(self, n):
        while len(self.data) < n:
            assert self.more(), f"ended early: {self.data[-200:]!r}"
        taken, self.data = self.data[:n], self.data[n:]
        return taken

    def until(self, mark):
        while mark not in self.data:
            if not self.more():
                return None
        return self.take(self.data.index(mark) + len(mark))

    def answer(self, has_body=True):
        """(status, headers, body) of the next answer; None at the end of the connection."""
        head = self.until(b"\r\n\r\n")
        if head is None:
            assert self.data == b""
            return None
        first, *lines = head.decode().split("\r\n")[:-2]
        headers = dict(line.lower().split(": ", 1) for line in lines)
        assert first.startswith("HTTP/1.1 ") and len(headers) == len(lines), head
        status, body = int(first.split()[1]), b""
        if "transfer-encoding" in headers:
            while (size := int(self.until(b"\r\n"), 16)) > 0:
                body += self.take(size + 2)[:-2]
            assert self.take(2) == b"\r\n"
        elif has_body and status != 100:
            body = self.take(int(headers["content-length"]))
        return status, headers, body

    def ended(self):
        try:
            return not self.more()
        except ConnectionResetError:
            return True


def ask(server, data, **kwargs):
    with Client(server) as c:
        c.send(data)
        return c.answer(**kwargs)


def generate_request(extra=b"", **parameters):
    body = json.dumps({"inputs": PROMPT, "parameters": {"max_new_tokens": 1, **parameters}}).encode()
    return (b"POST /generate HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\n%scontent-length: %d\r\n\r\n"
            % (extra, len(body)), body)


GET = b"GET /ping HTTP/1.1\r\n"
HOST = b"host: a\r\n"
POST = b"POST /generate HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\n"
CHUNKED = POST + b"transfer-encoding: chunked\r\n\r\n"
SECOND = b"GET /info HTTP/1.1\r\nhost: a\r\n\r\n"  # must never be read as a request of its own

# What could be read in two ways is answered once, and the connection ends.
REFUSED = {
    "no host": (400, GET + b"\r\n"),
    "two hosts": (400, GET + b"host: a\r\nhost: b\r\n\r\n"),
    "the same host twice": (400, GET + HOST + HOST + b"\r\n"),
    "a list of hosts": (400, GET + b"host: a, b\r\n\r\n"),
    "host with a space": (400, GET + b"host: a b\r\n\r\n"),
    "host with a user": (400, GET + b"host: me@a\r\n\r\n"),
    "host with a path": (400, GET + b"host: a/b\r\n\r\n"),
    "two hosts in 1.0": (400, b"GET /ping HTTP/1.0\r\nhost: a\r\nhost: a\r\n\r\n"),
    # the request line
    "two spaces after the method": (400, b"GET  /ping HTTP/1.1\r\n" + HOST + b"\r\n"),
    "two spaces after the target": (400, b"GET /ping  HTTP/1.1\r\n" + HOST + b"\r\n"),
    "space in front": (400, b" GET /ping HTTP/1.1\r\n" + HOST + b"\r\n"),
    "space at the end of the line": (400, b"GET /ping HTTP/1.1 \r\n" + HOST + b"\r\n"),
    "tabs for spaces": (400, b"GET\t/ping\tHTTP/1.1\r\n" + HOST + b"\r\n"),
    "lower case method": (400, b"get /ping HTTP/1.1\r\n" + HOST + b"\r\n"),
    "unknown method": (400, b"BREW /ping HTTP/1.1\r\n" + HOST + b"\r\n"),
    "CONNECT": (400, b"CONNECT a:80 HTTP/1.1\r\n" + HOST + b"\r\n"),
    "nonsense": (400, b"nonsense\r\n\r\n"),
    "TLS": (400, b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"),
    "HTTP/2 preface": (400, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
    "HTTP/2.0": (505, b"GET /ping HTTP/2.0\r\n" + HOST + b"\r\n"),
    "HTTP/0.9": (505, b"GET /ping\r\n\r\n"),
    "HTTP/1.11": (400, b"GET /ping HTTP/1.11\r\n" + HOST + b"\r\n"),
    "lower case version": (400, b"GET /ping http/1.1\r\n" + HOST + b"\r\n"),
    "NUL in the target": (400, b"GET /pi\0ng HTTP/1.1\r\n" + HOST + b"\r\n"),
    "control character in the target": (400, b"GET /pi\x01ng HTTP/1.1\r\n" + HOST + b"\r\n"),
    "no slash in the target": (400, b"GET ping HTTP/1.1\r\n" + HOST + b"\r\n"),
    "another scheme": (400, b"GET file:///etc HTTP/1.1\r\n" + HOST + b"\r\n"),
    # line ends and fields
    "bare LF everywhere": (400, b"GET /ping HTTP/1.1\nhost: a\n\n"),
    "bare LF after the request line": (400, b"GET /ping HTTP/1.1\nhost: a\r\n\r\n"),
    "bare LF after a field": (400, GET + b"host: a\nx: 1\r\n\r\n"),
    "bare LF at the end": (400, GET + HOST + b"\n"),
    "bare LF in front": (400, b"\n" + GET + HOST + b"\r\n"),
    "bare CR in a value": (400, GET + HOST + b"x: a\rb\r\n\r\n"),
    "bare CR hides a field": (400, POST + b"x: a\rtransfer-encoding: chunked\r\ncontent-length: 5\r\n\r\n0\r\n\r\n"),
    "NUL in a value": (400, GET + HOST + b"x: a\0b\r\n\r\n"),
    "NUL in a name": (400, GET + HOST + b"x\0: b\r\n\r\n"),
    "folded field": (400, GET + HOST + b"x: 1\r\n folded\r\n\r\n"),
    "folded first field": (400, GET + b" host: a\r\n\r\n"),
    "space before the colon": (400, GET + b"host : a\r\n\r\n"),
    "space inside a name": (400, GET + HOST + b"x y: 1\r\n\r\n"),
    "empty name": (400, GET + HOST + b": 1\r\n\r\n"),
    "no colon": (400, GET + HOST + b"x\r\n\r\n"),
    # lengths
    "length and chunked": (400, POST + b"content-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n" + SECOND),
    "chunked and length": (400, POST + b"transfer-encoding: chunked\r\ncontent-length: 45\r\n\r\n0\r\n\r\n" + SECOND),
    "two lengths": (400, POST + b"content-length: 5\r\ncontent-length: 6\r\n\r\nabcdef" + SECOND),
    "the same length twice": (400, POST + b"content-length: 5\r\ncontent-length: 5\r\n\r\nabcde"),
    "list of lengths": (400, POST + b"content-length: 5, 5\r\n\r\nabcde"),
    "length with a sign": (400, POST + b"content-length: +5\r\n\r\nabcde"),
    "negative length": (400, POST + b"content-length: -5\r\n\r\nabcde"),
    "hexadecimal length": (400, POST + b"content-length: 0x5\r\n\r\nabcde"),
    "length in words": (400, POST + b"content-length: five\r\n\r\nabcde"),
    "length with a space": (400, POST + b"content-length: 1 0\r\n\r\nabcde"),
    "length with a fraction": (400, POST + b"content-length: 5.0\r\n\r\nabcde"),
    "empty length": (400, POST + b"content-length:\r\n\r\nabcde"),
    "length past 64 bits": (400, POST + b"content-length: 18446744073709551621\r\n\r\nabcde"),
    "largest length": (413, POST + b"content-length: 18446744073709551615\r\n\r\nabcde"),
    "name of length with a space": (400, POST + b"content-length : 5\r\n\r\nabcde"),
    # transfer codings
    "unknown coding": (400, POST + b"transfer-encoding: xchunked\r\n\r\n0\r\n\r\n"),
    "gzip": (400, POST + b"transfer-encoding: gzip\r\n\r\n0\r\n\r\n"),
    "chunked, then gzip": (400, POST + b"transfer-encoding: chunked, gzip\r\n\r\n0\r\n\r\n"),
    "gzip, then chunked": (400, POST + b"transfer-encoding: gzip, chunked\r\n\r\n0\r\n\r\n"),
    "chunked twice": (400, POST + b"transfer-encoding: chunked, chunked\r\n\r\n0\r\n\r\n"),
    "two transfer-encodings": (400, POST + b"transfer-encoding: identity\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n"),
    "identity": (400, POST + b"transfer-encoding: identity\r\ncontent-length: 5\r\n\r\nabcde"),
    "vertical tab before chunked": (400, POST + b"transfer-encoding: \x0bchunked\r\n\r\n0\r\n\r\n"),
    "quoted coding": (400, POST + b'transfer-encoding: "chunked"\r\n\r\n0\r\n\r\n'),
    "chunked in 1.0": (400, b"POST /generate HTTP/1.0\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n" + SECOND),
    "space before the colon of chunked": (400, POST + b"transfer-encoding : chunked\r\n\r\n0\r\n\r\n"),
    # chunks
    "chunk size with 0x": (400, CHUNKED + b"0x5\r\nhello\r\n0\r\n\r\n"),
    "chunk size with a sign": (400, CHUNKED + b"+5\r\nhello\r\n0\r\n\r\n"),
    "negative chunk size": (400, CHUNKED + b"-1\r\nhello\r\n0\r\n\r\n"),
    "no chunk size": (400, CHUNKED + b"\r\nhello\r\n0\r\n\r\n"),
    "chunk size in letters": (400, CHUNKED + b"xyz\r\nhello\r\n0\r\n\r\n"),
    "space after the chunk size": (400, CHUNKED + b"5 \r\nhello\r\n0\r\n\r\n"),
    "space before the chunk size": (400, CHUNKED + b" 5\r\nhello\r\n0\r\n\r\n"),
    "bare LF after the chunk size": (400, CHUNKED + b"5\nhello\r\n0\r\n\r\n"),
    "bare LF after a chunk": (400, CHUNKED + b"5\r\nhello\n0\r\n\r\n"),
    "bare LF in an extension": (400, CHUNKED + b"5;a\nhello\r\n0\r\n\r\n"),
    "chunk longer than it says": (400, CHUNKED + b"5\r\nhelloXX\r\n0\r\n\r\n"),
    "chunk without its end": (400, CHUNKED + b"5\r\nhello0\r\n\r\n"),
    "chunk size past 64 bits": (400, CHUNKED + b"10000000000000005\r\nhello\r\n0\r\n\r\n"),
    "huge chunk": (413, CHUNKED + b"ffffffffffffff\r\n" + b"x" * 2100000),
    "length among the trailers": (400, CHUNKED + b"0\r\ncontent-length: 5\r\n\r\n"),
    "host among the trailers": (400, CHUNKED + b"0\r\nhost: b\r\n\r\n"),
    "key among the trailers": (400, CHUNKED + b"0\r\nauthorization: Bearer x\r\n\r\n"),
    "bare LF after a trailer": (400, CHUNKED + b"0\r\nx: y\n\r\n"),
    # limits
    "long target": (414, b"GET /" + b"y" * 100000 + b" HTTP/1.1\r\n" + HOST + b"\r\n"),
    "endless target": (414, b"GET /" + b"y" * 100000),
    "large field": (431, GET + HOST + b"x: " + b"y" * 100000 + b"\r\n\r\n"),
    "large name": (431, GET + HOST + b"y" * 100000 + b": x\r\n\r\n"),
    "many fields": (431, GET + HOST + b"".join(b"x-%d: 1\r\n" % i for i in range(200)) + b"\r\n"),
    "many trailers": (431, CHUNKED + b"0\r\n" + b"".join(b"x-%d: 1\r\n" % i for i in range(200)) + b"\r\n"),
    "white space without end": (431, GET + HOST + b"x:" + b" " * 100000),
    "blank lines without end": (431, b"\r\n" * 50000),
    "body announced too large": (413, POST + b"content-length: 2000001\r\n\r\n"),
    "unknown expectation": (417, POST + b"expect: much\r\ncontent-length: 5\r\n\r\nabcde"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused_and_closed(server, name):
    status, data = REFUSED[name]
    with Client(server) as c:
        c.send(data)
        got, headers, body = c.answer()
        assert (got, headers["connection"]) == (status, "close")
        assert c.ended() and c.data == b""  # nothing behind it was taken for a request


# Unusual and right: answered, and the connection serves the next request.
SERVED = {
    "empty host": (200, GET + b"host:\r\n\r\n"),
    "IPv6 host": (200, GET + b"host: [::1]:8080\r\n\r\n"),
    "empty line in front": (200, b"\r\n" + GET + HOST + b"\r\n"),
    "names in any case": (200, GET + b"HoSt:\ta\t\r\n\r\n"),
    "100 fields": (200, GET + HOST + b"x: 1\r\n" * 99 + b"\r\n"),
    "30 kB of fields": (200, GET + HOST + b"x: " + b"y" * 30000 + b"\r\n\r\n"),
    "absolute target": (200, b"GET http://a:80/ping?x=1 HTTP/1.1\r\n" + HOST + b"\r\n"),
    "absolute target without a path": (200, b"GET http://a HTTP/1.1\r\n" + HOST + b"\r\n"),
    "query": (200, b"GET /ping?x=%20&y HTTP/1.1\r\n" + HOST + b"\r\n"),
    "upgrade that a server may ignore": (200, GET + HOST + b"connection: upgrade\r\nupgrade: h2c\r\n\r\n"),
    "GET with a body": (200, GET + HOST + b"content-length: 5\r\n\r\nhello"),
    "1.0 that asks to stay": (200, b"GET /ping HTTP/1.0\r\nconnection: keep-alive\r\n\r\n"),
    "path in another spelling": (404, b"GET /%70ing HTTP/1.1\r\n" + HOST + b"\r\n"),
    "path with dots": (404, b"GET /x/../ping HTTP/1.1\r\n" + HOST + b"\r\n"),
    "slash at the end": (404, b"GET /ping/ HTTP/1.1\r\n" + HOST + b"\r\n"),
    "asterisk": (404, b"OPTIONS * HTTP/1.1\r\n" + HOST + b"\r\n"),
    "OPTIONS that is no preflight": (405, b"OPTIONS /ping HTTP/1.1\r\n" + HOST + b"\r\n"),
    # errors that are the client's, with the body read or not yet
    "unknown path with a body": (404, b"POST /nowhere HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\n\r\nhello"),
    "unknown path with chunks": (404, b"PUT /no HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n"),
    "another method": (405, b"DELETE /generate HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\n\r\nhello"),
    "another type": (415, b"POST /generate HTTP/1.1\r\nhost: a\r\ncontent-type: text/plain\r\ncontent-length: 2\r\n\r\n{}"),
    "no type": (415, b"POST /generate HTTP/1.1\r\nhost: a\r\ncontent-length: 2\r\n\r\n{}"),
    "no JSON": (400, POST + b"content-length: 5\r\n\r\nhello"),
    "no body": (400, POST + b"\r\n"),
    "JSON of another shape": (422, POST + b"content-length: 2\r\n\r\n{}"),
    "length with zeros": (422, POST + b"content-length: 0002\r\n\r\n{}"),
    "chunks": (422, CHUNKED + b"1\r\n{\r\n1\r\n}\r\n0\r\n\r\n"),
    "chunk sizes with zeros and capitals": (422, CHUNKED + b"0000A\r\n{        }\r\n000\r\n\r\n"),
    "chunk extensions": (422, CHUNKED + b'2;a;b=c;d="e f"\r\n{}\r\n0;last\r\n\r\n'),
    "trailers": (422, CHUNKED + b"2\r\n{}\r\n0\r\nx-sum: 1\r\ncontent-type: text/plain\r\n\r\n"),
}


@pytest.mark.parametrize("name", SERVED)
def test_served_and_kept(server, name):
    status, data = SERVED[name]
    with Client(server) as c:
        for _ in range(2):
            c.send(data)
            assert c.answer()[0] == status
        c.send(b"GET /nowhere HTTP/1.1\r\nhost: a\r\n\r\n")
        assert c.answer()[0] == 404


def test_known_paths_name_their_methods(server):
    with Client(server) as c:
        for method, path, allow in (("GET", "/generate", "post"), ("POST", "/ping", "get,head"), ("PUT", "/", "post,get,head")):
            c.send(f"{method} {path} HTTP/1.1\r\nhost: a\r\n\r\n".encode())
            status, headers, body = c.answer()
            assert (status, headers["allow"], body) == (405, allow, b"")
        c.send(b"GET /nowhere HTTP/1.1\r\nhost: a\r\n\r\n")
        assert c.answer()[2] == b""


def test_head_is_get_without_its_body(server):
    with Client(server) as c:
        for path in (b"/info", b"/metrics", b"/ping"):
            c.send(b"HEAD %s HTTP/1.1\r\nhost: a\r\n\r\n" % path)
            status, headers, _ = c.answer(has_body=False)
            assert status == 200 and (int(headers["content-length"]) > 0) == (path != b"/ping")
        c.send(b"HEAD /generate HTTP/1.1\r\nhost: a\r\n\r\n" + SECOND)
        assert c.answer(has_body=False)[0] == 405
        assert c.answer()[0] == 200


def test_texts_of_framework_errors(server):
    assert ask(server, SERVED["another type"][1])[2] == b"Expected request with `Content-Type: application/json`"
    status, headers, body = ask(server, REFUSED["body announced too large"][1])
    assert body == b"Failed to buffer the request body: length limit exceeded"
    assert headers["content-type"] == "text/plain; charset=utf-8"


# ---- origins and keys ----

def test_cors(start, server):
    preflight = (b"OPTIONS /generate HTTP/1.1\r\nhost: a\r\norigin: https://page.example\r\n"
                 b"access-control-request-method: POST\r\naccess-control-request-headers: authorization\r\n\r\n")
    status, headers, body = ask(server, preflight)
    assert (status, body, headers["access-control-allow-origin"]) == (200, b"", "*")
    assert headers["access-control-allow-methods"] == "get,post"
    assert headers["access-control-allow-headers"].split(",") == ["content-type", "authorization"]
    assert headers["vary"] == "origin, access-control-request-method, access-control-request-headers"
    for data in (GET + HOST + b"\r\n", b"GET /nowhere HTTP/1.1\r\nhost: a\r\n\r\n", SERVED["no JSON"][1]):
        assert ask(server, data)[1]["access-control-allow-origin"] == "*"  # or a browser hides even the error
    server = start("--cors-allow-origin", "https://page.example")
    assert ask(server, preflight)[1]["access-control-allow-origin"] == "https://page.example"
    for origin in (b"https://page.example.evil", b"https://page.exampl", b"null", b"https://page.example, https://b"):
        headers = ask(server, GET + HOST + b"origin: " + origin + b"\r\n\r\n")[1]
        assert "access-control-allow-origin" not in headers and "origin" in headers["vary"]


def test_api_key(start):
    server = start("--api-key", "Secret")
    head, body = generate_request()
    keys = {b"": 401, b"Bearer Secret": 200, b"Bearer secret": 401, b"Bearer Secre": 401, b"Bearer Secret1": 401,
            b"Bearer ": 401, b"Bearer": 401, b"Basic Secret": 401, b"Secret": 401, b"Bearer Secret, Bearer x": 401}
    with Client(server) as c:  # one connection for all
        for key, status in keys.items():
            c.send(head.replace(HOST, HOST + b"authorization: " + key + b"\r\n") + body)
            got, headers, text = c.answer()
            assert got == status and (got == 200 or text == b""), key
        c.send(head + body)
        assert c.answer()[0] == 401
        c.send(SECOND)
        assert c.answer()[0] == 200
        c.send(b"GET /generate HTTP/1.1\r\nhost: a\r\n\r\n")
        assert c.answer()[0] == 405
        c.send(b"OPTIONS /generate HTTP/1.1\r\nhost: a\r\naccess-control-request-method: POST\r\n\r\n")
        assert c.answer()[0] == 200  # a browser sends no key with its question


# ---- one connection, many requests ----

def test_pipelined_requests_are_answered_in_order(server):
    head, body = generate_request()
    paths = [b"/health", b"/nowhere", b"/info", b"/ping"] * 50
    with Client(server) as c:
        c.send(head + body + b"".join(b"GET %s HTTP/1.1\r\nhost: a\r\n\r\n" % p for p in paths) + head + body)
        assert b"generated_text" in c.answer()[2]
        for p in paths:
            status, _, body = c.answer()
            assert (status, b"max_best_of" in body) == (404 if p == b"/nowhere" else 200, p == b"/info")
        assert b"generated_text" in c.answer()[2]


def test_nothing_is_served_after_an_error_or_a_close(server):
    for last in (b"GET /ping HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n", b"GET /ping HTTP/1.0\r\n\r\n", GET + b"\r\n"):
        with Client(server) as c:
            c.send(GET + HOST + b"\r\n" + last + SECOND * 3)
            assert c.answer()[0] == 200
            assert c.answer()[1]["connection"] == "close"
            assert c.answer() is None


def test_a_body_in_pieces(server):
    head, body = generate_request()
    with Client(server) as c:
        c.send(CHUNKED + b"".join(b"1\r\n%c\r\n" % x for x in body) + b"0\r\n\r\n")
        assert b"generated_text" in c.answer()[2]
        for piece in (head[:20], head[20:-1], head[-1:], body[:1], body[1:]):
            c.send(piece)
            time.sleep(0.01)  # so that pieces arrive one by one
        assert b"generated_text" in c.answer()[2]


def test_expect_continue(server):
    head, body = generate_request(extra=b"expect: 100-continue\r\n")
    with Client(server) as c:
        c.send(head)
        assert c.answer()[0] == 100  # asked for the body before any of it was sent
        c.send(body)
        assert c.answer()[0] == 200
        c.send(head + body)  # did not wait
        assert [c.answer()[0], c.answer()[0]] == [100, 200]
    status, _, _ = ask(server, POST + b"expect: 100-continue\r\ncontent-length: 2000001\r\n\r\n")
    assert status == 413  # and no 100: the body is never asked for


def test_a_body_over_the_limit_is_not_read(start):
    server = start("--payload-limit", "1000")
    large = b'{"inputs": "' + b"x" * 5000000 + b'"}'
    with Client(server) as c:  # sends it all before it looks: the answer still arrives
        c.send(POST + b"content-length: %d\r\n\r\n" % len(large) + large)
        status, headers, body = c.answer()
        assert status == 413 and c.ended()
    exact = json.dumps({"inputs": PROMPT, "parameters": {"max_new_tokens": 1}}).encode().ljust(1000)
    assert ask(server, POST + b"content-length: 1000\r\n\r\n" + exact)[0] == 200
    assert ask(server, CHUNKED + b"3e9\r\n" + exact + b" \r\n0\r\n\r\n")[0] == 413


def test_http_1_0_streams_end_with_the_connection(server):
    body = json.dumps({"inputs": PROMPT, "parameters": {"max_new_tokens": 3}}).encode()
    with Client(server) as c:
        c.send(b"POST /generate_stream HTTP/1.0\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(body) + body)
        head = c.until(b"\r\n\r\n")
        assert b"connection: close" in head and b"transfer-encoding" not in head and b"content-length" not in head
        while not c.ended():
            pass
        assert c.data.count(b"data: {") == 3 and c.data.endswith(b"}\n\n")


# ---- clients that leave, that do not read, that are many ----

def wait_for(what, seconds=20):
    end = time.time() + seconds
    while not what():
        assert time.time() < end
        time.sleep(0.01)


LONG = {"max_new_tokens": 900, "do_sample": True, "seed": 1, "temperature": 1000.0}  # any token is as likely as the end


def dropped(server):
    text = requests.get(server.url + "/metrics", timeout=10).text
    found = re.search(r'^tgi_request_failure\{err="dropped"\} (\S+)', text, re.M)
    return float(found.group(1)) if found else 0


@pytest.mark.parametrize("how", ["close", "half-close"])
@pytest.mark.parametrize("path", ["/generate", "/generate_stream"])
def test_a_client_that_leaves_frees_its_place(start, path, how):
    server = start("--max-concurrent-requests", "1")
    head, body = generate_request(**LONG)
    with Client(server) as c:
        c.send(head.replace(b"/generate", path.encode()) + body)
        wait_for(lambda: server.metric("tgi_batch_current_size") >= 1)
        if how == "half-close":  # an end of input is how most clients say that they have left
            c.socket.shutdown(socket.SHUT_WR)
            assert c.ended() or path == "/generate_stream"
        else:
            c.socket.close()
        wait_for(lambda: dropped(server) == 1)
        wait_for(lambda: server.metric("tgi_batch_current_size") == 0)
        assert server.generate(PROMPT, max_new_tokens=1).status_code == 200


def test_an_answer_at_once_reaches_a_client_that_has_ended_its_half(server):
    with Client(server) as c:
        c.send(GET + HOST + b"\r\n" + SECOND)
        c.socket.shutdown(socket.SHUT_WR)
        assert [c.answer()[0], c.answer()[0]] == [200, 200] and c.ended()


def test_a_slow_reader_is_cut(start):
    """A stream of large events into a socket that nobody reads: others are served, and at the bound it is over."""
    server = start("--max-concurrent-requests", "4", "--max-top-n-tokens", "500")
    head, body = generate_request(top_n_tokens=500, **LONG)
    with Client(server, receive_bytes=2048) as slow:
        slow.send(head.replace(b"/generate", b"/generate_stream") + body)
        wait_for(lambda: server.metric("tgi_batch_current_size") >= 1)
        wait_for(lambda: server.generate(PROMPT, max_new_tokens=2).status_code == 200 and dropped(server), 120)
        wait_for(lambda: server.metric("tgi_batch_current_size") == 0)
        assert dropped(server) == 1
        got = 0
        try:
            while chunk := slow.socket.recv(1 << 16):
                got += len(chunk)
        except ConnectionResetError:
            pass
        assert got < 1 << 20  # what was on its way and no more
    threads = [threading.Thread(target=lambda: server.generate(PROMPT, max_new_tokens=5)) for _ in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert server.metric("tgi_request_failure") == 1


def resident_bytes(server):
    return int(re.search(r"VmRSS:\s+(\d+) kB", Path(f"/proc/{server.process.pid}/status").read_text()).group(1)) << 10


@pytest.mark.skipif(SANITIZED, reason="sanitizers keep memory of their own for each connection")
def test_a_thousand_idle_connections_are_small(start):
    server = start()
    head, body = generate_request()
    assert ask(server, head + body)[0] == 200
    wait_for(lambda: requests.get(server.url + "/info", timeout=10).json()["weights_sha256"])
    before = resident_bytes(server)
    clients = [Client(server) for _ in range(1000)]
    for c in clients:
        c.send(GET + HOST + b"\r\n")
    assert all(c.answer()[0] == 200 for c in clients)
    assert resident_bytes(server) - before < 64 << 20
    for c in clients:  # all of them still work
        c.send(GET + HOST + b"\r\n")
    assert all(c.answer()[0] == 200 for c in clients)
    for c in clients:
        c.socket.close()


def test_connections_beyond_the_limit_are_told(start):
    server = start("--max-connections", "3")
    clients = [Client(server) for _ in range(3)]
    for c in clients:
        c.send(GET + HOST + b"\r\n")
        assert c.answer()[0] == 200
    with Client(server) as c:
        status, headers, body = c.answer()
        assert (status, headers["connection"], body) == (503, "close", b"") and c.ended()
    clients.pop().socket.close()
    wait_for(lambda: ask(server, GET + HOST + b"\r\n")[0] == 200)
    for c in clients:
        c.socket.close()


def test_few_open_files_mean_few_connections(start, tmp_path, monkeypatch):
    wrapper = tmp_path / "prompteur"
    wrapper.write_text(f'#!/bin/sh\nulimit -n 322\nexec "{PROGRAM}" "$@"\n')
    wrapper.chmod(0o755)
    monkeypatch.setattr(conftest, "PROGRAM", str(wrapper))
    server = start()
    assert "2 connections at most: this process may open 322 files" in server.log()
    with Client(server) as a, Client(server) as b, Client(server) as c:
        for client, status in ((a, 200), (b, 200), (c, 503)):
            client.send(GET + HOST + b"\r\n")
            assert client.answer()[0] == status


def test_idle_connections_are_closed(start):
    with Client(start("--idle-timeout", "1")) as c:
        c.send(GET + HOST + b"\r\n")
        assert c.answer()[0] == 200 and c.answer() is None
