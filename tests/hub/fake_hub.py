"""A hub on this machine: the API, the resolve addresses and a store on another port, as the real one has them, with
faults that a test asks for.

A fault is a dict: `where` ("hub" or "store"), `match` (part of the path), `kind`, how often (`times`), and what its kind
needs. Requests are remembered; connections are counted."""

import contextlib
import hashlib
import json
import re
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlsplit


def git_sha1(data):
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


def sha256(data):
    return hashlib.sha256(data).hexdigest()


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *args):
        pass

    def setup(self):
        self.server.hub.connections += 1
        super().setup()

    def do_HEAD(self):
        self.answer()

    def do_GET(self):
        self.answer()

    def answer(self):
        hub, where = self.server.hub, self.server.where
        path = unquote(urlsplit(self.path).path)
        hub.requests.append((where, self.command, path, dict(self.headers)))
        self.fault = hub.next_fault(where, self.command, path)
        kind = self.fault and self.fault["kind"]
        try:
            if kind == "status":
                self.reply(self.fault["status"], self.fault.get("headers", {}), self.fault.get("body", b"no"))
            elif kind == "redirect":
                self.reply(302, {"Location": self.fault["to"]}, b"")
            elif kind == "hang_up":
                self.close()
            elif kind == "silence":
                hub.released.wait(self.fault.get("seconds", 30))
                self.close()
            elif where == "store":
                self.store(path)
            elif path.startswith("/api/models/"):
                self.api(path[len("/api/models/"):])
            else:
                self.resolve(path[1:])
        except (BrokenPipeError, ConnectionResetError, TimeoutError):
            self.close_connection = True

    def close(self):
        self.close_connection = True
        with contextlib.suppress(OSError):
            self.connection.shutdown(2)

    def reply(self, status, headers, body):
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        if not any(name.lower() == "content-length" for name in headers):
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def fail(self, status, code, message="no"):
        self.reply(status, {"X-Error-Code": code, "X-Error-Message": message}, message.encode())

    def may_read(self, repo):
        if not repo.token or self.headers.get("Authorization") == f"Bearer {repo.token}":
            return True
        self.fail(repo.refuses_with, "GatedRepo" if repo.is_gated else "RepoNotFound", repo.message)
        return False

    def api(self, rest):
        hub = self.server.hub
        for marker in ("/revision/", "/tree/"):
            if marker in rest:
                id, _, revision = rest.partition(marker)
                break
        else:
            id, marker, revision = rest, "/revision/", "main"
        repo = hub.repos.get(id)
        if not repo:
            return self.fail(401, "RepoNotFound", "Repository not found")
        if repo.moved_to:
            return self.reply(307, {"Location": f"/api/models/{repo.moved_to}{marker}{revision}"}, b"")
        if not self.may_read(repo):
            return
        commit = repo.refs.get(revision, revision)
        if commit not in repo.commits:
            return self.fail(404, "RevisionNotFound", "Invalid rev id")
        files = repo.commits[commit]
        if marker == "/tree/":
            body = [repo.tree_entry(path, data) for path, data in files.items()]
        else:
            body = {"id": id, "modelId": id, "sha": commit, "siblings": [{"rfilename": p} for p in files]}
            body.update(repo.extra)
        text = repo.raw_answer if repo.raw_answer is not None else json.dumps(body).encode()
        self.reply(200, {"Content-Type": "application/json"}, text)

    def resolve(self, rest):
        hub = self.server.hub
        id, _, rest = rest.partition("/resolve/")
        repo = hub.repos.get(id)
        if not repo:
            return self.fail(401, "RepoNotFound", "Repository not found")
        if repo.moved_to:
            return self.reply(307, {"Location": f"/{repo.moved_to}/resolve/{rest}"}, b"")
        if not self.may_read(repo):
            return
        revision, _, path = rest.partition("/")
        commit = repo.refs.get(revision, revision)
        data = repo.commits.get(commit, {}).get(path)
        if data is None:
            return self.fail(404, "EntryNotFound", "Entry not found")
        headers = {"X-Repo-Commit": commit}
        kind, fault = (self.fault["kind"], self.fault) if self.fault else (None, None)
        if repo.is_large(path, data):
            headers["X-Linked-Etag"] = '"%s"' % sha256(data)
            headers["X-Linked-Size"] = str(len(data))
            headers["ETag"] = '"%s"' % hashlib.md5(data).hexdigest()
            headers["Location"] = f"{hub.store_url}/{id}/{commit}/{path}?signature=secret"
            if kind == "meta":
                headers.update(fault["headers"])
            return self.reply(302, headers, b"Found")
        headers["ETag"] = '"%s"' % git_sha1(data)
        if kind == "meta":
            headers.update(fault["headers"])
        self.bytes(data, headers)

    def store(self, path):
        id, commit, file = re.fullmatch("/(.+?)/([0-9a-f]{40})/(.+)", path).groups()
        self.bytes(self.server.hub.repos[id].commits[commit][file], {"ETag": '"other"'})

    def bytes(self, data, headers):
        fault = self.fault or {}
        kind, total, begin, end, status = fault.get("kind"), len(data), 0, len(data), 200
        asked = self.headers.get("Range")
        if asked and kind != "no_ranges" and self.server.hub.knows_ranges:
            first, _, last = asked[len("bytes="):].partition("-")
            begin, end, status = int(first), min(int(last or total - 1) + 1, total), 206
        body = data[begin:end]
        if kind == "corrupt":
            body = bytes([body[0] ^ 1]) + body[1:]
        if kind == "other_range":
            begin, end = begin + 1, end + 1
        if status == 206:
            headers["Content-Range"] = f"bytes {begin}-{end - 1}/{fault.get('total', total)}"
        headers["Content-Length"] = str(fault.get("length", len(body)))
        if kind == "compressed":
            headers["Content-Encoding"] = "gzip"
        if kind == "endless":
            del headers["Content-Length"]
            headers["Connection"] = "close"
        headers["Accept-Ranges"] = "bytes"
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "HEAD":
            return
        self.send_body(body, kind, fault)

    def send_body(self, body, kind, fault):
        hub = self.server.hub
        if kind == "cut":
            at = fault["at"] if fault["at"] >= 0 else len(body) + fault["at"]
            self.wfile.write(body[:at])
            self.wfile.flush()
            return self.close()
        if kind == "drip":
            for i in range(len(body)):
                if hub.released.wait(fault.get("pause", 0.2)):
                    return self.close()
                self.wfile.write(body[i:i + 1])
                self.wfile.flush()
        if kind == "endless":
            self.wfile.write(body)
            while not hub.released.is_set():
                self.wfile.write(bytes(65536))
        if hub.pace:
            for at in range(0, len(body), 16384):
                self.wfile.write(body[at:at + 16384])
                self.wfile.flush()
                if hub.released.wait(hub.pace):
                    return self.close()
            return
        self.wfile.write(body)


class Server(ThreadingHTTPServer):
    request_queue_size = 128  # else the ninth connection waits a second
    daemon_threads = True

    def handle_error(self, request, client_address):
        """A client that is gone in the middle of a request is no news here; all else is."""
        if not isinstance(sys.exc_info()[1], OSError):
            super().handle_error(request, client_address)


class Repo:
    def __init__(self, files, commit):
        self.commits = {commit: dict(files)}
        self.refs = {"main": commit}
        self.token = self.moved_to = self.raw_answer = None
        self.is_gated, self.refuses_with, self.message = False, 401, "Repository not found"
        self.extra = {}

    def is_large(self, path, data):
        return path.endswith((".safetensors", ".bin")) or len(data) > 100_000

    def tree_entry(self, path, data):
        entry = {"type": "file", "oid": git_sha1(data), "size": len(data), "path": path}
        if self.is_large(path, data):
            entry["lfs"] = {"oid": sha256(data), "size": len(data), "pointerSize": 130}
        return entry


class Hub:
    def __init__(self, tls=None):
        self.repos, self.requests, self.faults = {}, [], []
        self.connections, self.pace, self.knows_ranges = 0, 0, True
        self.released = threading.Event()  # ends what a fault keeps waiting
        self.lock = threading.Lock()
        self.servers = [self.listen("hub", tls), self.listen("store", tls)]
        scheme = "https" if tls else "http"
        self.url, self.store_url = (f"{scheme}://127.0.0.1:{s.server_port}" for s in self.servers)

    def listen(self, where, tls):
        server = Server(("127.0.0.1", 0), Handler)
        server.hub, server.where = self, where
        if tls:
            server.socket = tls.wrap_socket(server.socket, server_side=True)
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        return server

    def stop(self):
        self.released.set()
        for server in self.servers:
            server.shutdown()
            server.server_close()

    def add(self, id, files, commit="a" * 40):
        self.repos[id] = Repo(files, commit)
        return self.repos[id]

    def next_fault(self, where, method, path):
        with self.lock:
            for fault in self.faults:
                if (fault["where"] == where and fault.get("match", "") in path and fault.get("times", 1) > 0
                        and fault.get("method", method) == method):
                    fault["times"] = fault.get("times", 1) - 1
                    return fault
        return None

    def wait_for(self, condition, seconds=20):
        until = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < until, "waited in vain"
            time.sleep(0.005)
