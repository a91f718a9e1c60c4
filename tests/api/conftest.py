"""Starts the real program on a free port; every test talks to it over HTTP."""

import json
import os
import re
import signal
import subprocess
import time
from pathlib import Path

import pytest
import requests

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = os.environ.get("PROMPTEUR_PROGRAM", str(ROOT / "build/release/bin/prompteur"))
DEMO = ROOT / "models/demo/export"


class Server:
    """One running prompteur. `args` are flags, `env` extra variables; ready once the constructor returns."""

    def __init__(self, log, *args, env=None, model=DEMO, wait=True):
        self.log_path = log
        command = [PROGRAM, "serve", "--hostname", "127.0.0.1", "--model-id", str(model), *args]
        if "--port" not in args:
            command += ["--port", "0"]
        if "--prometheus-port" not in args and "PROMETHEUS_PORT" not in (env or {}):  # its default is for one server
            command += ["--prometheus-port", "0"]
        clean = {k: v for k, v in os.environ.items() if k not in ("HOSTNAME", "PORT", "PROMETHEUS_PORT")}
        self.process = subprocess.Popen(command, stderr=open(log, "w"), env={**clean, **(env or {})})
        if wait:
            self.wait_ready()

    def log(self):
        return Path(self.log_path).read_text()

    def wait_ready(self):
        for _ in range(600):
            found = re.search(r"listening on http://[^:]+:(\d+)", self.log())
            if found:
                self.url = f"http://127.0.0.1:{found.group(1)}"
                return
            if self.process.poll() is not None:
                break
            time.sleep(0.05)
        raise AssertionError("the server did not get ready:\n" + self.log())

    def post(self, path, body, **kwargs):
        return requests.post(self.url + path, json=body, timeout=60, **kwargs)

    def generate(self, inputs, path="/generate", **parameters):
        return self.post(path, {"inputs": inputs, "parameters": parameters})

    def metric(self, name):
        """The sum of a family's samples of exactly that name."""
        text = requests.get(self.url + "/metrics", timeout=10).text
        lines = [x for x in text.splitlines() if re.match(re.escape(name) + r"(\{| )", x)]
        return sum(float(x.split()[-1]) for x in lines)

    def stop(self, number=signal.SIGTERM):
        if self.process.poll() is None:
            self.process.send_signal(number)
        return self.process.wait(timeout=60)


def eventually(check):
    """Returns once check() is true."""
    for _ in range(400):
        if check():
            return
        time.sleep(0.025)
    raise AssertionError("it does not come")


def openai_chunks(response):
    """The JSON of each event of an OpenAI stream; the framing is checked byte by byte."""
    assert response.status_code == 200 and response.headers["content-type"] == "text/event-stream", response.text
    text = response.content.decode()
    assert text.endswith("data: [DONE]\n\n") and text.count("[DONE]") == 1
    frames = text[:-2].split("\n\n")[:-1]
    assert all(f.startswith("data: {") and "\n" not in f for f in frames)
    return [json.loads(f[6:]) for f in frames]


@pytest.fixture(scope="session")
def server(tmp_path_factory):
    s = Server(tmp_path_factory.mktemp("server") / "log")
    yield s
    assert s.stop() == 0, s.log()
    assert "ERROR" not in s.log() and "Sanitizer" not in s.log()


@pytest.fixture
def start(tmp_path):
    """Starts a server of a test's own; stopped at its end."""
    started = []

    def make(*args, **kwargs):
        started.append(Server(tmp_path / f"log{len(started)}", *args, **kwargs))
        return started[-1]

    yield make
    for s in started:
        s.stop()
        assert "Sanitizer" not in s.log(), s.log()
