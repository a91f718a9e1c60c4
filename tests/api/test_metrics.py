"""GET /metrics against the contract: TGI's families by their own rules, the gateways' names, both ports, and what reads
them: promtool, the dashboard, the alert rules."""

import concurrent.futures
import json
import re
import socket
import subprocess
import threading
import time

import pytest
import requests

import prometheus
from conftest import DEMO, ROOT
from prometheus import parse, tool

PROMPT = "Once upon a time"
REPEATS = "the cat sat. " * 5 + "the cat"  # what follows can be guessed
needs_promtool = pytest.mark.skipif(not tool("promtool"), reason="promtool is not here: ./dev test unpacks it on Debian")
needs_prometheus = pytest.mark.skipif(not tool("prometheus"), reason="Prometheus is not here: queries are checked by name only")

# ---- the contract, independent of the server's tables

METHODS = {"method": ["prefill", "decode"]}
TGI = {  # name: (type, labels, bounds)
    "tgi_request_count": ("counter", {}, None),
    "tgi_request_success": ("counter", {}, None),
    "tgi_request_failure": ("counter", {"err": ["validation", "overloaded", "generation", "incomplete", "template",
                                                "dropped"]}, None),
    "tgi_request_duration": ("histogram", {}, "duration"),
    "tgi_request_validation_duration": ("histogram", {}, "duration"),
    "tgi_request_queue_duration": ("histogram", {}, "duration"),
    "tgi_request_inference_duration": ("histogram", {}, "duration"),
    "tgi_request_mean_time_per_token_duration": ("histogram", {}, "duration"),
    "tgi_request_generated_tokens": ("histogram", {}, "total"),
    "tgi_request_input_length": ("histogram", {}, "input"),
    "tgi_request_max_new_tokens": ("histogram", {}, "total"),
    "tgi_request_skipped_tokens": ("histogram", {}, "guess"),  # TGI: a summary, which its own dashboard cannot read
    "tgi_queue_size": ("gauge", {}, None),
    "tgi_batch_current_size": ("gauge", {}, None),
    "tgi_batch_current_max_tokens": ("gauge", {}, None),
    "tgi_batch_max_total_tokens": ("gauge", {}, None),
    "tgi_batch_next_size": ("histogram", {}, "size"),
    "tgi_batch_inference_count": ("counter", METHODS, None),
    "tgi_batch_inference_success": ("counter", METHODS, None),
    "tgi_batch_inference_failure": ("counter", METHODS, None),
    "tgi_batch_inference_duration": ("histogram", METHODS, "duration"),
    "tgi_batch_forward_duration": ("histogram", METHODS, "duration"),
    "tgi_batch_decode_duration": ("histogram", METHODS, "duration"),
    "tgi_batch_filter_duration": ("histogram", METHODS, "duration"),
    "tgi_batch_concat_duration": ("histogram", {"method": ["decode"]}, "duration"),
    "tgi_batch_concat": ("counter", {"reason": ["backpressure", "wait_exceeded", "chunking"]}, None),
}
# What TGI's published dashboard asks for, as its panels do.
STOCK = [f"histogram_quantile({p}, sum by (le) (rate({name}[30s])))" for p in (0.5, 0.9, 0.99) for name in (
    'tgi_request_queue_duration_bucket{container="llm"}', 'tgi_request_duration_bucket{container="llm"}',
    'tgi_request_input_length_bucket{container="llm"}', 'tgi_request_generated_tokens_bucket{container="llm"}',
    'tgi_request_mean_time_per_token_duration_bucket{container="llm"}',
    'tgi_request_skipped_tokens_bucket{container="llm"}', 'tgi_batch_concat_duration_bucket{container="llm"}',
    *(f'tgi_batch_{x}_duration_bucket{{method="{m}", container="llm"}}'
      for x in ("inference", "forward", "decode", "filter") for m in ("prefill", "decode")))]
STOCK += ['sum(increase(tgi_request_success{container="llm"}[30s]))',
          'sum(increase(tgi_request_failure{container="llm"}[30s])) by (err)',
          'sum(rate(tgi_request_generated_tokens_sum{container="llm"}[30s])) / '
          'sum(rate(tgi_request_generated_tokens_count{container="llm"}[30s]))',
          'count(tgi_request_count{container="llm"})', 'sum(tgi_queue_size{container="llm"})',
          'avg(tgi_batch_current_max_tokens{container="llm"})', 'avg(tgi_batch_current_size{container="llm"})',
          'sum(rate(tgi_batch_concat{container="llm"}[30s])) by (reason)',
          'sum(rate(tgi_request_skipped_tokens_sum{container="llm"}[30s])) / '
          'sum(rate(tgi_request_skipped_tokens_count{container="llm"}[30s]))']


def duration_bounds():
    bound, out = 0.0001, []
    for _ in range(35):
        bound *= 1.5
        out.append(bound)
    return out


def expected_bounds(rule, info):
    return {"duration": duration_bounds(),
            "input": [i * (info["max_input_tokens"] / 100) for i in range(1, 101)],
            "total": [i * (info["max_total_tokens"] / 100) for i in range(1, 101)],
            "size": list(range(1, 1025)),
            "guess": list(range(0, 17))}[rule]


def decimal(x):
    return re.sub(r"\.0$", "", repr(float(x)))


# ---- requests of every kind

def wait_for(condition, seconds=20):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.005)


def open_stream(server, seed):
    """A client that has sent for a long stream and seen it begin."""
    host, port = server.url[7:].split(":")
    body = json.dumps({"inputs": PROMPT, "parameters": {"max_new_tokens": 900, "do_sample": True, "seed": seed,
                                                        "temperature": 5.0}})
    s = socket.create_connection((host, int(port)))
    s.sendall((f"POST /generate_stream HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n"
               f"content-length: {len(body)}\r\n\r\n{body}").encode())
    s.recv(1)
    return s


def overload_and_drop(server):
    """Two streams, the second joining the first, while a third request is refused; then their clients leave. Again when the
    model was done before that."""
    for _ in range(20):
        with open_stream(server, 1):
            wait_for(lambda: server.metric("tgi_batch_current_size") == 1)
            with open_stream(server, 2):
                wait_for(lambda: server.metric("tgi_batch_current_size") != 1)
                refused = server.generate(PROMPT, max_new_tokens=1).status_code == 429
        wait_for(lambda: server.metric("tgi_batch_current_size") == 0)
        if refused and failures(server)["dropped"] and server.metric("tgi_batch_concat"):
            return
    raise AssertionError("the streams never met")


def ask_everything(server):
    """Successes and failures of all kinds that a client can bring about; at most two requests may run at once."""
    chat = {"model": "m", "messages": [{"role": "user", "content": "hi"}], "max_tokens": 8}
    assert server.generate(PROMPT, max_new_tokens=30).status_code == 200
    assert server.generate(PROMPT, path="/generate_stream", max_new_tokens=30).status_code == 200
    assert server.post("/", {"inputs": PROMPT, "parameters": {"max_new_tokens": 5}}).status_code == 200
    assert server.post("/v1/chat/completions", chat).status_code == 200
    assert server.post("/v1/completions", {"model": "m", "prompt": ["a", "b"], "max_tokens": 3}).status_code == 200
    assert server.post("/chat_tokenize", chat).status_code == 200
    assert server.generate(REPEATS, max_new_tokens=120).status_code == 200
    assert server.generate(PROMPT, max_new_tokens=0).status_code == 422
    assert server.post("/v1/chat/completions", {**chat, "messages": [{"role": "critic", "content": "hi"}]}).status_code == 422
    overload_and_drop(server)


def failures(server):
    return {s[1][0][1]: int(s[2]) for s in read(server)["tgi_request_failure"].samples}


def read(server):
    return parse(requests.get(server.url + "/metrics", timeout=10).text)


def raising_model(folder):
    """The demo model with a chat template that refuses a role."""
    folder.mkdir()
    for f in DEMO.iterdir():
        (folder / f.name).symlink_to(f)
    (folder / "chat_template.jinja").write_text(
        "{% for m in messages %}{% if m.role == 'critic' %}{{ raise_exception('No critics') }}{% endif %}{{ m.content }}{% endfor %}")
    return folder


@pytest.fixture(scope="module")
def used(tmp_path_factory):
    """A server that was asked everything, with both ports."""
    from conftest import Server
    folder = tmp_path_factory.mktemp("metrics")
    port = prometheus.free_port()
    s = Server(folder / "log", "--max-concurrent-requests", "2", "--speculate", "4", "--prometheus-port", str(port),
               model=raising_model(folder / "model"))
    s.metrics_url = f"http://127.0.0.1:{port}"
    ask_everything(s)
    yield s
    assert s.stop() == 0, s.log()


# ---- the text

def test_every_family_of_tgi(used):
    info = requests.get(used.url + "/info", timeout=10).json()
    families = read(used)
    for name, (kind, labels, rule) in TGI.items():
        f = families[name]
        assert f.kind == kind, name
        combinations = [[(k, v)] for k, values in labels.items() for v in values] or [[]]
        if kind != "histogram":
            assert [s[1] for s in f.samples] == combinations, name
            continue
        bounds = [decimal(b) for b in expected_bounds(rule, info)] + ["+Inf"]
        for own in combinations:  # own labels, then le
            buckets = [s for s in f.of("_bucket") if s[1][:-1] == own]
            assert [s[1] for s in buckets] == [[*own, ("le", b)] for b in bounds], name
            counts = [int(s[2]) for s in buckets]
            assert counts == sorted(counts)
            assert [int(s[2]) for s in f.of("_count") if s[1] == own] == [counts[-1]]
            assert len([s for s in f.of("_sum") if s[1] == own]) == 1
    assert decimal(duration_bounds()[0]) == "0.00015000000000000001" and decimal(duration_bounds()[-1]) == "145.61096060497135"
    assert not [x for x in families if x.startswith("tgi_") and x not in TGI]


def test_counters_are_whole_numbers_that_only_grow(used):
    def counts():
        return {(s[0], *map(tuple, s[1])): int(s[2]) for f in read(used).values() for s in f.samples
                if f.kind == "counter" or s[0].endswith(("_bucket", "_count"))}
    before = counts()
    used.generate(PROMPT, max_new_tokens=3)
    after = counts()
    assert before.keys() == after.keys() and all(after[k] >= before[k] for k in before)


def test_what_happened_is_counted(start, tmp_path):
    s = start("--max-concurrent-requests", "2", "--speculate", "4", model=raising_model(tmp_path / "model"))
    quiet = read(s)
    assert set(TGI) <= set(quiet)  # every series is there before the first request
    assert all(float(x[2]) == 0 for name in TGI if quiet[name].kind != "gauge" for x in quiet[name].samples)
    assert s.metric("tgi_batch_max_total_tokens") == requests.get(s.url + "/info", timeout=10).json()["max_batch_total_tokens"]
    ask_everything(s)
    f = failures(s)
    assert f["validation"] == 1 and f["template"] == 1 and f["generation"] == f["incomplete"] == 0
    assert 1 <= f["overloaded"] <= 20 and 1 <= f["dropped"] <= 40
    success = s.metric("tgi_request_success")
    for name in ("duration", "queue_duration", "inference_duration", "mean_time_per_token_duration", "generated_tokens"):
        assert s.metric(f"tgi_request_{name}_count") == success
    for name in ("input_length", "max_new_tokens", "validation_duration"):
        assert s.metric(f"tgi_request_{name}_count") >= success
    assert s.metric("tgi_batch_concat") >= 1 and s.metric("tgi_batch_concat_duration_count") == s.metric("tgi_batch_concat")
    assert s.metric("tgi_request_skipped_tokens_sum") > 0
    assert s.metric("tgi_batch_filter_duration_sum") > 0
    wait_for(lambda: s.metric("tgi_batch_inference_count") == s.metric("prompteur_steps_total") > 0)
    assert s.metric("prompteur_speculation_guessed_tokens_total") >= s.metric("prompteur_speculation_accepted_tokens_total") > 0
    assert s.metric("vllm:inter_token_latency_seconds_count") > s.metric("vllm:time_to_first_token_seconds_count") >= success
    assert s.metric("prompteur_http_responses_total") > 10


def test_what_a_picker_of_the_inference_gateway_reads(used):
    families = read(used)
    for name in ("vllm:num_requests_waiting", "vllm:num_requests_running", "vllm:kv_cache_usage_perc"):
        assert families[name].kind == "gauge" and 0 <= float(families[name].samples[0][2]) <= 1
    (_, labels, value), = families["vllm:cache_config_info"].samples
    labels = dict(labels)
    assert value == "1" and families["vllm:cache_config_info"].kind == "gauge"
    assert int(labels["block_size"]) == used.metric("prompteur_kv_page_tokens")
    assert int(labels["num_gpu_blocks"]) == used.metric("prompteur_kv_pages")
    (_, labels, value), = families["vllm:lora_requests_info"].samples
    assert labels == [("max_lora", "0"), ("running_lora_adapters", ""), ("waiting_lora_adapters", "")]
    assert 0 <= time.time() - float(value) < 3600
    model = requests.get(used.url + "/info", timeout=10).json()["model_id"]
    assert families["vllm:num_requests_running"].samples[0][1] == [("engine", "0"), ("model_name", model)]


def test_a_model_name_from_outside_stays_inside_its_label(start, tmp_path):
    folder = tmp_path / 'a"b\\c\nd é'
    folder.mkdir()
    for f in DEMO.iterdir():
        (folder / f.name).symlink_to(f)
    (_, labels, _), = read(start(model=folder))["prompteur_info"].samples
    assert dict(labels)["model"].replace("\\n", "\n").replace('\\"', '"').replace("\\\\", "\\") == str(folder)


def test_gauges_while_the_model_works(start):
    """Scrapes are answered while one compute thread is at work on long prompts (a step that hangs: unit tests)."""
    s = start("--threads", "1", "--prefix-caching", "false")
    prompts = [" ".join(f"{i} and {n}" for n in range(60)) for i in range(6)]
    seen = []
    with concurrent.futures.ThreadPoolExecutor(len(prompts)) as pool:
        answers = [pool.submit(s.generate, p, max_new_tokens=1) for p in prompts]
        while not all(x.done() for x in answers):
            f = read(s)
            seen.append([float(f[name].samples[0][2]) for name in (
                "tgi_batch_current_size", "vllm:num_requests_running", "tgi_queue_size", "vllm:num_requests_waiting",
                "vllm:kv_cache_usage_perc", "tgi_batch_current_max_tokens")])
    assert all(x.result().status_code == 200 for x in answers)
    at_work = [x for x in seen if x[0] > 0]
    assert len(at_work) > 5 and max(x[1] for x in at_work) > 1
    assert any(0 < x[4] <= 1 and x[5] > 0 for x in at_work)


# ---- ports

def test_the_second_port_serves_metrics_and_nothing_else(used):
    a, b = (requests.get(url + "/metrics", timeout=10) for url in (used.url, used.metrics_url))
    assert a.headers["content-type"] == b.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert parse(a.text).keys() == parse(b.text).keys()
    assert requests.get(used.metrics_url + "/info", timeout=10).status_code == 404
    assert requests.post(used.metrics_url + "/generate", json={"inputs": "x"}, timeout=10).status_code == 404
    assert requests.post(used.metrics_url + "/metrics", timeout=10).status_code == 405


def test_metrics_need_no_key(start):
    port = prometheus.free_port()
    s = start("--api-key", "Secret", env={"PROMETHEUS_PORT": str(port)})
    assert requests.get(s.url + "/metrics", timeout=10).status_code == 200
    assert requests.get(f"http://127.0.0.1:{port}/metrics", timeout=10).status_code == 200


def test_a_taken_port_is_a_warning(start):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        servers = [start("--prometheus-port", port) for _ in range(3)]
        for s in servers:
            warnings = [x for x in s.log().splitlines() if " WARN " in x]
            assert len(warnings) == 1 and f"port {port}: address already in use" in warnings[0]
            assert "/metrics of port " + s.url.rsplit(":", 1)[1] in warnings[0]
            assert "tgi_request_count 0\n" in requests.get(s.url + "/metrics", timeout=10).text
        assert [s.stop() for s in servers] == [0, 0, 0]


def test_no_second_port(start):
    assert " WARN " not in start("--prometheus-port", "0").log()
    port = str(prometheus.free_port())
    s = start("--port", port, "--prometheus-port", port)  # the main port has them
    assert " WARN " not in s.log() and requests.get(s.url + "/metrics", timeout=10).status_code == 200


def test_scrapers_do_not_hold_up_the_end(start):
    port = prometheus.free_port()
    s = start("--prometheus-port", str(port))
    with requests.Session() as scraper:  # keeps its connection
        assert scraper.get(f"http://127.0.0.1:{port}/metrics", timeout=10).status_code == 200
        begin = time.monotonic()
        assert s.stop() == 0
        assert time.monotonic() - begin < 60  # not the 90 seconds of a drain


# ---- those who read it

@needs_promtool
def test_promtool_finds_only_what_tgi_and_the_gateways_have_fixed(used):
    text = requests.get(used.url + "/metrics", timeout=10).text
    r = subprocess.run([tool("promtool"), "check", "metrics"], input=text, capture_output=True, text=True)
    assert r.returncode in (0, 3), r.stderr  # 3: names it would have chosen otherwise; 1: no metrics
    found = set((r.stdout + r.stderr).splitlines())
    counters = [name for name, (kind, *_) in TGI.items() if kind == "counter"]
    allowed = {f'{name} counter metrics should have "_total" suffix' for name in counters}
    allowed |= {f'{name} non-histogram and non-summary metrics should not have "_count" suffix' for name in counters
                if name.endswith("_count")}
    allowed |= {f"{name} metric names should not contain ':'" for name in parse(text) if name.startswith("vllm:")}
    assert found == allowed


def test_the_python_client_parses_it(used):
    from prometheus_client.parser import text_string_to_metric_families
    families = list(text_string_to_metric_families(requests.get(used.url + "/metrics", timeout=10).text))
    assert len(families) == len(read(used))


DASHBOARD = json.loads((ROOT / "deploy/grafana/prompteur.json").read_text())


def dashboard_queries():
    for panel in DASHBOARD["panels"]:
        for target in panel.get("targets", []):
            expression = target["expr"].replace("$__rate_interval", "30s").replace("$instance", ".*")
            assert "$" not in expression, expression
            yield panel["title"], expression


def names_in(expression):
    return set(re.findall(r"\b(?:tgi_|vllm:|prompteur_)\w+", expression))


def test_dashboard_and_alerts_ask_for_names_that_exist(used):
    there = {s[0] for f in read(used).values() for s in f.samples}
    alerts = re.findall(r"\b(?:tgi_|vllm:|prompteur_)\w+(?=[{\[])", (ROOT / "deploy/prometheus/alerts.yml").read_text())
    asked = set(alerts).union(*(names_in(e) for _, e in dashboard_queries()), *(names_in(e) for e in STOCK))
    assert len(asked) > 40 and asked <= there
    ids = [p["id"] for p in DASHBOARD["panels"]]
    assert len(ids) == len(set(ids))
    places = [(p["gridPos"]["x"], p["gridPos"]["y"]) for p in DASHBOARD["panels"]]
    assert len(places) == len(set(places))


@needs_promtool
def test_alert_rules():
    rules = ROOT / "deploy/prometheus"
    for command in (["check", "rules", "alerts.yml"], ["test", "rules", "alerts_test.yml"]):
        r = subprocess.run([tool("promtool"), *command], cwd=rules, capture_output=True, text=True)
        assert r.returncode == 0, r.stdout + r.stderr
    names = re.findall(r"- alert: (\w+)", (rules / "alerts.yml").read_text())
    assert sorted(names) == sorted(re.findall(r"alertname: (\w+)", (rules / "alerts_test.yml").read_text()))


@needs_prometheus
def test_every_query_of_the_dashboards_has_an_answer(used, tmp_path):
    """A real Prometheus scrapes the second port while two clients ask; every query comes to give a number."""
    stop = threading.Event()

    def traffic():
        while not stop.is_set():
            used.generate(REPEATS, max_new_tokens=120)

    with prometheus.scraping(tmp_path, [used.metrics_url[7:]], ROOT / "deploy/prometheus/alerts.yml") as p:
        clients = [threading.Thread(target=traffic) for _ in range(2)]
        for c in clients:
            c.start()
        try:
            left = [*dashboard_queries(), *(("TGI's dashboard", e) for e in STOCK)]
            end = time.monotonic() + 60
            while left and time.monotonic() < end:
                left = [(title, e) for title, e in left if all(x["value"][1] == "NaN" for x in p.query(e))]
            values = [x["metric"]["instance"] for x in p.query("tgi_request_count")]
            rules = [r for g in p.get("rules")["groups"] for r in g["rules"]]
        finally:
            stop.set()
            for c in clients:
                c.join()
    assert not left
    assert values == [used.metrics_url[7:]]
    assert len(rules) == 6 and all(r["state"] == "inactive" for r in rules), rules


# ---- documentation

def test_the_documentation_lists_every_family(used):
    rows = re.findall(r"^\| `([a-z_:]+)` \| (\w+) \| ([^|]*) \|", (ROOT / "docs/metrics.md").read_text(), re.M)
    documented = {name: (kind, re.findall(r"`(\w+)`", labels)) for name, kind, labels in rows}
    assert len(documented) == len(rows)
    live = {f.name: (f.kind, [k for k, _ in f.samples[0][1] if k != "le"]) for f in read(used).values()}
    assert documented == live
