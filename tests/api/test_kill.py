"""kill -9 at any time: what is on disk stays right, and the next start serves."""

import hashlib
import random
import shutil
import signal
import socket
import time

import requests

from conftest import DEMO
from test_http import LONG, Client, generate_request, wait_for


def digests(folder):
    return {f.name: hashlib.sha256(f.read_bytes()).hexdigest() for f in sorted(folder.iterdir())}


def weights_sha256(server):
    return requests.get(server.url + "/info", timeout=10).json()["weights_sha256"]


def test_kill_at_any_time(start, tmp_path):
    model, cache = tmp_path / "model", tmp_path / "cache"
    shutil.copytree(DEMO, model)
    before, env, rng = digests(model), {"XDG_CACHE_HOME": str(cache)}, random.Random(9)
    begin = time.perf_counter()
    server = start(model=model, env={"XDG_CACHE_HOME": str(tmp_path / "first")})
    wait_for(lambda: weights_sha256(server))
    want, whole = weights_sha256(server), time.perf_counter() - begin
    for i in range(12):  # the weights' digest is the only thing written, after loading
        server = start(model=model, env=env, wait=False)
        time.sleep(rng.uniform(0.3, 1.1) * whole if i else 0)  # the moment is what the test is about
        server.stop(signal.SIGKILL)
        if i % 4 == 3:  # a file may be anything after a loss of power
            for f in (cache / "prompteur").glob("*"):
                f.write_bytes(f.read_bytes()[: rng.randrange(200)])
    server = start(model=model, env=env)
    wait_for(lambda: weights_sha256(server))
    assert weights_sha256(server) == want
    assert digests(model) == before
    assert server.stop() == 0


def test_a_restart_takes_the_same_port_at_once(start):
    with socket.create_server(("127.0.0.1", 0)) as s:
        port = s.getsockname()[1]
    head, body = generate_request(**LONG)
    for _ in range(3):
        server = start("--port", str(port))
        with Client(server) as c:
            c.send(head.replace(b"/generate", b"/generate_stream") + body)
            assert c.until(b"data: ")
            server.stop(signal.SIGKILL)
    server = start("--port", str(port))
    assert server.generate("Once", max_new_tokens=1).status_code == 200
