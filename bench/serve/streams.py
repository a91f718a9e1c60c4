"""What streams cost beside the model: CPU time of the server's threads while many clients read tokens.

Usage: streams.py [--clients 500] [--seconds 20] [--new 900] [--rate 20] [--model-id DIR] [--program FILE] [-- server flags]

Each client asks for a stream, reads it to its end and asks again on the same connection, as fast as tokens come (by default
from the embedded demo model). Meanwhile /proc/PID/task says what each thread of the server took. The I/O loop and the workers
are what delivery costs; engine and compute team are the model's side. Cost of a token times the tokens that --clients at
--rate tokens a second read is the share of a core that delivery would take.
"""

import argparse
import json
import os
import re
import select
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BIN = ROOT / "build/release/bin"


def start_server(program, flags, log):
    server = subprocess.Popen([program, "serve", "--hostname", "127.0.0.1", "--port", "0", "--prometheus-port", "0",
                               *flags], stderr=open(log, "w"))
    for _ in range(600):
        found = re.search(r"listening on http://[^:]+:(\d+)", Path(log).read_text())
        if found:
            return server, int(found.group(1))
        if server.poll() is not None:
            break
        time.sleep(0.05)
    sys.exit("the server did not get ready:\n" + Path(log).read_text())


def cpu_seconds(pid):
    """By name of the server's threads, those of one name together."""
    seconds = {}
    for task in Path(f"/proc/{pid}/task").iterdir():
        name = (task / "comm").read_text().strip()
        key = "I/O loop" if int(task.name) == pid else "workers" if name == "prompteur" else name
        seconds[key] = seconds.get(key, 0) + int((task / "schedstat").read_text().split()[0]) * 1e-9
    return seconds


class Client:
    def __init__(self, port, request, at_end):
        self.request, self.at_end = request, at_end
        self.socket = socket.create_connection(("127.0.0.1", port))
        self.socket.setblocking(False)
        self.socket.sendall(request)
        self.tail = b""

    def read(self):
        """Events that have come; asks again after the last of a stream."""
        data = self.socket.recv(1 << 16)
        if not data:
            sys.exit(f"a stream was cut: {self.tail!r}")
        text = self.tail + data
        if b'"error"' in text:
            sys.exit(text.decode(errors="replace"))
        n = text.count(b"data:") - self.tail.count(b"data:")
        if text.endswith(self.at_end):
            self.socket.sendall(self.request)
        self.tail = data[-16:]
        return n


def run(clients, ready, seconds):
    """Reads from all for so long: events."""
    n, end = 0, time.perf_counter() + seconds
    while time.perf_counter() < end:
        for fd, _ in ready.poll(0.1):
            n += clients[fd].read()
    return n


def main():
    own, flags = sys.argv[1:], []
    if "--" in own:
        own, flags = own[:own.index("--")], own[own.index("--") + 1:]
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--clients", type=int, default=500)
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--new", type=int, default=900, help="tokens of a stream")
    parser.add_argument("--rate", type=float, default=20, help="tokens a second of each client that the share is for")
    parser.add_argument("--model-id", help="a checkpoint's folder (default: the demo model)")
    parser.add_argument("--program", default=BIN / "prompteur")
    a = parser.parse_args(own)
    flags += ["--max-concurrent-requests", str(a.clients), *(["--model-id", a.model_id] if a.model_id else [])]
    body = json.dumps({"inputs": "Once upon a time", "parameters": {"max_new_tokens": a.new, "do_sample": True, "seed": 5,
                                                                    "temperature": 5.0}}).encode()
    request = (b"POST /generate_stream HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n"
               % len(body) + body)
    with tempfile.TemporaryDirectory() as folder:
        server, port = start_server(a.program, flags, Path(folder, "log"))
        try:
            clients, ready = {}, select.epoll()
            for _ in range(a.clients):
                c = Client(port, request, b"0\r\n\r\n")
                clients[c.socket.fileno()] = c
                ready.register(c.socket, select.EPOLLIN)
            run(clients, ready, 3)
            before, own_before, begin = cpu_seconds(server.pid), time.process_time(), time.perf_counter()
            n = run(clients, ready, a.seconds)
            wall = time.perf_counter() - begin
            after = cpu_seconds(server.pid)
            own_cpu = time.process_time() - own_before
        finally:
            server.terminate()
            server.wait(timeout=120)
    used = {name: after[name] - before.get(name, 0) for name in after}
    print(f"{a.clients} clients, {n / wall:.0f} tokens/s, {n / wall / a.clients:.1f} each; this program: {own_cpu / wall:.2f} CPUs")
    for name, seconds in sorted(used.items(), key=lambda x: -x[1]):
        print(f"  {name:<16}{seconds:>8.2f} s of CPU {1e6 * seconds / n:>8.2f} us a token")
    delivery = used["I/O loop"] + used.get("workers", 0)
    print(f"delivery (I/O loop and workers) of {a.clients} x {a.rate:.0f} tokens/s: "
          f"{100 * delivery / n * a.clients * a.rate:.1f} % of a core")


if __name__ == "__main__":
    main()
