"""Prometheus for tests: its text format read strictly, its tools when they are there, a real one that scrapes."""

import contextlib
import json
import re
import shutil
import socket
import subprocess
import time
from pathlib import Path

import requests

ROOT = Path(__file__).resolve().parents[2]
SAMPLE = re.compile(r'([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})? (\S+)')
LABEL = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\["\\n])*)"(?:,(?!$)|$)')


class Family:
    """`samples`: (name, [(label, value)...], value's text) in order."""

    def __init__(self, name, kind, help_text, samples):
        self.name, self.kind, self.help, self.samples = name, kind, help_text, samples

    def of(self, suffix):
        return [s for s in self.samples if s[0] == self.name + suffix]


def parse_sample(line):
    m = SAMPLE.fullmatch(line)
    assert m, line
    labels = LABEL.findall(m[2] or "")
    assert ",".join(f'{k}="{v}"' for k, v in labels) == (m[2] or ""), line
    return m[1], labels, m[3]


def parse(text):
    """Text format 0.0.4 as TGI writes it: HELP, TYPE, samples, an empty line after each family."""
    families = {}
    assert text.endswith("\n\n")
    for block in text[:-2].split("\n\n"):
        lines = block.split("\n")
        help_text = None
        if lines[0].startswith("# HELP "):
            _, _, help_name, help_text = lines.pop(0).split(" ", 3)
        _, what, name, kind = lines.pop(0).split(" ")
        assert what == "TYPE" and name not in families and (help_text is None or help_name == name)
        families[name] = Family(name, kind, help_text, [parse_sample(x) for x in lines])
        suffixes = ("_bucket", "_sum", "_count") if kind == "histogram" else ("",)
        assert all(s[0] in [name + x for x in suffixes] for s in families[name].samples), name
    return families


def tool(name):
    """promtool or prometheus: installed, or unpacked by ./dev; None: neither."""
    unpacked = ROOT / "build/prometheus/usr/bin" / name
    return shutil.which(name) or (str(unpacked) if unpacked.exists() else None)


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Prometheus:
    def __init__(self, port):
        self.url = f"http://127.0.0.1:{port}/api/v1/"

    def get(self, what, **parameters):
        r = requests.get(self.url + what, params=parameters, timeout=30)
        body = r.json()
        assert body["status"] == "success", (parameters, body)
        return body["data"]

    def query(self, expression):
        return self.get("query", query=expression)["result"]


@contextlib.contextmanager
def scraping(folder, targets, rules=None, interval="200ms"):
    """A Prometheus that scrapes `targets` (host:port); up once it has scraped each."""
    port = free_port()
    config = {"global": {"scrape_interval": interval, "scrape_timeout": interval, "evaluation_interval": "1s"},
              "rule_files": [str(rules)] if rules else [],
              "scrape_configs": [{"job_name": "prompteur", "static_configs": [
                  {"targets": targets, "labels": {"container": "llm"}}]}]}
    (folder / "prometheus.yml").write_text(json.dumps(config))
    with open(folder / "prometheus.log", "w") as log:
        process = subprocess.Popen(
            [tool("prometheus"), f"--config.file={folder}/prometheus.yml", f"--storage.tsdb.path={folder}/data",
             f"--web.listen-address=127.0.0.1:{port}"], stdout=log, stderr=log)
    try:
        p = Prometheus(port)
        end = time.monotonic() + 60
        while True:
            with contextlib.suppress(requests.ConnectionError, AssertionError, ValueError):
                if len([x for x in p.query("up") if x["value"][1] == "1"]) == len(targets):
                    break
            assert process.poll() is None and time.monotonic() < end, (folder / "prometheus.log").read_text()
            time.sleep(0.05)
        yield p
    finally:
        process.terminate()
        process.wait(timeout=30)
