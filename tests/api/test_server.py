"""The process: routes, limits, keys, life and death."""

import signal
import socket
import subprocess
import threading
import time

import pytest
import requests
from prometheus_client.parser import text_string_to_metric_families

from conftest import DEMO, PROGRAM

PROMPT = "Once upon a time"


def test_health_ping_root(server):
    for path in ("/health", "/ping", "/"):
        r = requests.get(server.url + path, timeout=10)
        assert (r.status_code, r.text) == (200, "")


def test_info(server):
    info = requests.get(server.url + "/info", timeout=10).json()
    assert info["router"] == "text-generation-router" and info["max_concurrent_requests"] == 128
    assert info["max_best_of"] == 2 and info["max_stop_sequences"] == 4 and info["validation_workers"] == 2
    for _ in range(100):
        if requests.get(server.url + "/info", timeout=10).json()["weights_sha256"]:
            break
        time.sleep(0.05)
    files = sorted(DEMO.glob("*.safetensors"))
    lines = "".join(subprocess.run(["sha256sum", f.name], cwd=DEMO, capture_output=True, text=True).stdout for f in files)
    want = subprocess.run(["sha256sum"], input=lines, capture_output=True, text=True).stdout.split()[0]
    assert requests.get(server.url + "/info", timeout=10).json()["weights_sha256"] == want


def test_metrics_parse(server):
    server.generate(PROMPT, max_new_tokens=2)
    r = requests.get(server.url + "/metrics", timeout=10)
    assert r.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    families = {f.name: f for f in text_string_to_metric_families(r.text)}
    for name in ("tgi_request_count", "tgi_request_success", "tgi_request_duration", "tgi_request_input_length",
                 "tgi_batch_inference_duration", "tgi_queue_size", "tgi_batch_current_size"):
        assert name in families, name
    bounds = [s.labels["le"] for s in families["tgi_request_duration"].samples if "le" in s.labels]
    assert bounds[0] == "0.00015000000000000001" and len(bounds) == 36


def start_long_request(server, answer):
    """A request that runs for a while (a high temperature never ends a text); returns once it is running."""
    def ask():
        answer["response"] = server.generate(PROMPT, max_new_tokens=900, do_sample=True, seed=1, temperature=1000.0)

    thread = threading.Thread(target=ask)
    thread.start()
    for _ in range(1000):
        if server.metric("tgi_batch_current_size") >= 1:
            break
        time.sleep(0.002)
    return thread


def test_overload_is_429_at_once(start):
    server = start("--max-concurrent-requests", "1")
    thread = start_long_request(server, {})
    refused = server.generate(PROMPT, max_new_tokens=1)
    assert (refused.status_code, refused.json()) == (429, {"error": "Model is overloaded", "error_type": "overloaded"})
    thread.join()
    assert server.generate(PROMPT, max_new_tokens=1).status_code == 200
    assert server.metric("tgi_request_failure") == 1


def test_sigterm_lets_running_requests_finish(start):
    server = start()
    answer = {}
    thread = start_long_request(server, answer)
    server.process.send_signal(signal.SIGTERM)
    thread.join()
    assert answer["response"].status_code == 200 and answer["response"].json()["generated_text"]
    assert server.process.wait(timeout=30) == 0


def test_sigterm_has_a_cap(start):
    server = start("--graceful-termination-timeout", "0")
    s = socket.create_connection(tuple(server.url[7:].split(":")))
    s.sendall(b"POST /generate HTTP/1.1\r\nhost: a\r\n")
    time.sleep(0.1)
    assert server.stop() == 0
    s.close()


# ---- the command line ----

def run(*args, env=None, **kwargs):
    return subprocess.run([PROGRAM, *args], capture_output=True, text=True, timeout=60, env=env, **kwargs)


def test_flag_beats_environment(start):
    server = start("--max-stop-sequences=7", env={"MAX_STOP_SEQUENCES": "5", "MAX_BEST_OF": "3", "PORT": "tcp://10.0.0.1:80"})
    info = requests.get(server.url + "/info", timeout=10).json()
    assert info["max_stop_sequences"] == 7 and info["max_best_of"] == 3


def test_kubernetes_service_links_and_names_are_survived(start):
    server = start(env={"MAX_BATCH_SIZE": "tcp://10.0.0.1:80"})
    assert "looks like a Kubernetes service link: ignored" in server.log()


def test_a_damaged_model_exits_1(tmp_path):
    for f in DEMO.iterdir():
        (tmp_path / f.name).write_bytes(f.read_bytes())
    weights = tmp_path / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    r = run("--model-id", str(tmp_path), "--port", "0", "--hostname", "127.0.0.1")
    assert r.returncode == 1 and "model.safetensors" in r.stderr
    assert len([x for x in r.stderr.splitlines() if "ERROR" in x]) == 1
