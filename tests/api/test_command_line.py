"""The command line and the environment, on the real program: every flag of TGI, the rules between them, the names of its
programs and of other platforms, the log, the health check. Most cases end at once: a missing model after parsing."""

import json
import os
import pty
import re
import shutil
import socket
import subprocess
import threading
from pathlib import Path

import pytest
import requests
from conftest import DEMO, PROGRAM, ROOT

NOWHERE = "/nowhere/at-all"
BIN = Path(PROGRAM).parent


def run(*args, program=PROGRAM, env=None, **kwargs):
    """With no other variables than `env` and what a program needs to start."""
    clean = {k: v for k, v in os.environ.items() if k in ("PATH", "HOME", "TMPDIR") or k.endswith("SAN_OPTIONS")}
    return subprocess.run([program, *args], capture_output=True, text=True, timeout=60, env={**clean, **(env or {})},
                          **kwargs)


def parsed(*args, env=None):
    """What the options came out as: {name: (value, source)}, and the warnings. The model is missing, so it ends there."""
    model = [] if "--model-id" in " ".join(args) else ["--model-id", NOWHERE]
    r = run("--env", *model, *args, env=env)
    assert r.returncode == 1 and "there is no such folder" in r.stderr, r.stderr
    found = re.findall(r"(?:options: |\"message\":\")(\S+) = (.*?) \((default|environment|flag)\)", r.stderr)
    return {n: (v, s) for n, v, s in found}, [x for x in r.stderr.splitlines() if "WARN" in x[:80]]


# ---- every flag of the launcher, and the router's own: name, variable, TGI's default, a value, what becomes of it ----

SWITCH = None
FLAGS = [
    ("model-id", "MODEL_ID", "bigscience/bloom-560m", NOWHERE, "served"),
    ("revision", "REVISION", "", "main", "served"),
    ("validation-workers", "VALIDATION_WORKERS", "2", "3", "served"),
    ("sharded", "SHARDED", "", "false", "served"),
    ("num-shard", "NUM_SHARD", "", "2", "refused"),
    ("quantize", "QUANTIZE", "", "awq", "served"),
    ("speculate", "SPECULATE", "0", "2", "served"),
    ("dtype", "DTYPE", "", "float16", "served"),
    ("kv-cache-dtype", "KV_CACHE_DTYPE", "", "fp8_e5m2", "served"),
    ("trust-remote-code", "TRUST_REMOTE_CODE", "", SWITCH, "inert"),
    ("max-concurrent-requests", "MAX_CONCURRENT_REQUESTS", "128", "7", "served"),
    ("max-best-of", "MAX_BEST_OF", "2", "3", "served"),
    ("max-stop-sequences", "MAX_STOP_SEQUENCES", "4", "5", "served"),
    ("max-top-n-tokens", "MAX_TOP_N_TOKENS", "5", "6", "served"),
    ("max-input-tokens", "MAX_INPUT_TOKENS", "", "100", "served"),
    ("max-input-length", "MAX_INPUT_LENGTH", "", "100", "served"),
    ("max-total-tokens", "MAX_TOTAL_TOKENS", "", "200", "served"),
    ("waiting-served-ratio", "WAITING_SERVED_RATIO", "0.3", "1.2", "inert"),
    ("max-batch-prefill-tokens", "MAX_BATCH_PREFILL_TOKENS", "", "300", "served"),
    ("max-batch-total-tokens", "MAX_BATCH_TOTAL_TOKENS", "", "400", "served"),
    ("max-waiting-tokens", "MAX_WAITING_TOKENS", "20", "10", "inert"),
    ("max-batch-size", "MAX_BATCH_SIZE", "", "4", "served"),
    ("cuda-graphs", "CUDA_GRAPHS", "1,2,4,8,16,32", "1,2,4", "inert"),
    ("hostname", "HOSTNAME", "0.0.0.0", "127.0.0.1", "served"),
    ("port", "PORT", "3000", "3001", "served"),
    ("prometheus-port", "PROMETHEUS_PORT", "9000", "9001", "served"),
    ("shard-uds-path", "SHARD_UDS_PATH", "/tmp/text-generation-server", "/run/shard", "inert"),
    ("master-addr", "MASTER_ADDR", "localhost", "host", "inert"),
    ("master-port", "MASTER_PORT", "29500", "29501", "inert"),
    ("huggingface-hub-cache", "HUGGINGFACE_HUB_CACHE", "", "/data", "served"),
    ("weights-cache-override", "WEIGHTS_CACHE_OVERRIDE", "", "/data", "served"),
    ("disable-custom-kernels", "DISABLE_CUSTOM_KERNELS", "", SWITCH, "inert"),
    ("cuda-memory-fraction", "CUDA_MEMORY_FRACTION", "1.0", "0.5", "served"),
    ("rope-scaling", "ROPE_SCALING", "", "linear", "served"),
    ("rope-factor", "ROPE_FACTOR", "", "2.0", "served"),
    ("json-output", "JSON_OUTPUT", "", SWITCH, "served"),
    ("otlp-endpoint", "OTLP_ENDPOINT", "", "http://collector:4317", "refused"),
    ("otlp-service-name", "OTLP_SERVICE_NAME", "text-generation-inference.router", "mine", "inert"),
    ("cors-allow-origin", "CORS_ALLOW_ORIGIN", "", "http://a.example", "served"),
    ("api-key", "API_KEY", "", "key", "served"),
    ("watermark-gamma", "WATERMARK_GAMMA", "0.5", "0.4", "served"),
    ("watermark-delta", "WATERMARK_DELTA", "2.0", "1.5", "served"),
    ("ngrok", "NGROK", "", SWITCH, "rule"),
    ("ngrok-authtoken", "NGROK_AUTHTOKEN", "", "token", "refused"),
    ("ngrok-edge", "NGROK_EDGE", "", "edge", "refused"),
    ("tokenizer-config-path", "TOKENIZER_CONFIG_PATH", "", "/nowhere/tokenizer_config.json", "served"),
    ("disable-grammar-support", "DISABLE_GRAMMAR_SUPPORT", "", SWITCH, "served"),
    ("max-client-batch-size", "MAX_CLIENT_BATCH_SIZE", "4", "5", "served"),
    ("lora-adapters", "LORA_ADAPTERS", "", "a,b=/path", "refused"),
    ("usage-stats", "USAGE_STATS", "on", "on", "inert"),
    ("payload-limit", "PAYLOAD_LIMIT", "2000000", "1000", "served"),
    ("enable-prefill-logprobs", "ENABLE_PREFILL_LOGPROBS", "", SWITCH, "served"),
    ("graceful-termination-timeout", "GRACEFUL_TERMINATION_TIMEOUT", "90", "5", "served"),
    # the router's, and older ones
    ("max-image-fetch-size", "MAX_IMAGE_FETCH_SIZE", "1073741824", "1", "inert"),
    ("master-shard-uds-path", "MASTER_SHARD_UDS_PATH", "/tmp/text-generation-server-0", "/run/shard-0", "inert"),
    ("disable-usage-stats", "DISABLE_USAGE_STATS", "", SWITCH, "quiet"),
    ("disable-crash-reports", "DISABLE_CRASH_REPORTS", "", SWITCH, "quiet"),
]
# Where the default says something else here: no model is the demo model, no list of graphs, one shard, no reports, ...
OWN_DEFAULTS = {"model-id": "", "cuda-graphs": "0", "sharded": "false", "num-shard": "1", "usage-stats": "off",
                "kv-cache-dtype": "auto"}


@pytest.mark.parametrize("by", ["flag", "environment"])
@pytest.mark.parametrize("flag,variable,_,value,state", FLAGS, ids=[x[0] for x in FLAGS])
def test_every_flag_of_tgi(flag, variable, _, value, state, by):
    text = "true" if value is SWITCH else value
    args = [] if by == "environment" else [f"--{flag}"] + ([] if value is SWITCH else [value])
    env = {variable: text} if by == "environment" else {}
    if state in ("refused", "rule"):
        r = run("--model-id", NOWHERE, *args, env=env)
        assert r.returncode == (2 if state == "refused" else 1), r.stderr
        assert (variable if by == "environment" else f"--{flag}") in r.stderr or state == "rule"
        assert "not served by this version" in r.stderr or "must be set" in r.stderr
        return
    if flag == "model-id":
        r = run("--env", *args, env=env)
        assert r.returncode == 1 and f"model-id = {NOWHERE} ({by})" in r.stderr
        return
    options, warnings = parsed(*args, env=env)
    name = f"environment variable {variable}" if by == "environment" else f"--{flag}"
    assert options[flag] == ("***" if flag == "api-key" else text, by)
    assert [w for w in warnings if f"{name} has no effect here" in w] == (warnings if state == "inert" else [])
    assert len(warnings) == (state == "inert")


def markdown_rows():
    text = run("--help-markdown").stdout
    return [[c.strip().strip("`") for c in re.split(r"(?<!\\)\|", x)[1:-1]] for x in text.splitlines() if x.startswith("| ")]


def test_names_and_defaults_are_tgis():
    rows = {r[0].split("`")[0].removeprefix("--"): r for r in markdown_rows()}
    for flag, variable, default, _, state in FLAGS:
        assert rows[flag][1] == variable
        assert rows[flag][2] == OWN_DEFAULTS.get(flag, default), flag


def test_the_document_of_flags_is_what_the_program_says():
    head, _, tables = (ROOT / "docs/flags.md").read_text().partition("\n## ")
    assert "\n## " + tables == run("--help-markdown").stdout, "run tools/make-flags-document"


def test_help_names_everything():
    r = run("--help", env={"PORT": "nonsense"})
    assert r.returncode == 0 and all(f"--{x[0]}" in r.stdout and x[1] in r.stdout for x in FLAGS)
    assert max(map(len, r.stdout.splitlines())) < 160 and not re.search(r" $", r.stdout, re.M)
    assert run("--version").stdout == run("-V").stdout and run("-V").stdout.startswith("prompteur ")


# ---- syntax ----

@pytest.mark.parametrize("args,text", [
    (["--prot", "80"], "did you mean `--port`"),
    (["--num_shard", "1"], "unknown option `--num_shard`; did you mean `--num-shard`?"),
    (["--api-kye=secret"], "unknown option `--api-kye`"),
    (["--port", "http"], "--port: `http` is not a whole number between 0 and 65535"),
    (["--port", "70000"], "--port: `70000` is not a whole number between 0 and 65535"),
    (["--port"], "--port needs a value"),
    (["--port=1", "-p", "2"], "--port is given twice"),
    (["--json-output=true"], "--json-output takes no value"),
    (["--sharded"], "--sharded needs a value"),
    (["--sharded", "maybe"], "--sharded: `maybe` is neither true nor false"),
    (["--dtype=int3"], "--dtype: `int3` is none of: float16,bfloat16"),
    (["--cuda-graphs", "1,,2"], "--cuda-graphs: `1,,2` is no list of whole numbers"),
    (["--watermark-gamma", "2"], "--watermark-gamma: `2` is not a number between 0 and 1"),
    (["--quantize", "marlin"], "--quantize: `marlin` is a layout for one kind of GPU, not served by this version"),
    (["--quantize", "exl2"], "--quantize: `exl2` is a layout for one kind of GPU"),
    (["--num-shard", "2"], "--num-shard: `2` is not served by this version, only `1` is. One process"),
    (["--rope-scaling", "dynamic"], "`dynamic` is not served by this version, only `linear` is"),
    (["--ngrok", "--ngrok-authtoken", "t-1", "--ngrok-edge", "e"], "--ngrok is not served by this version"),
    (["--tokenizer-name", "a", "--model-id", "b"], "--tokenizer-name `a` and --model-id `b` differ"),
    (["launch"], "unknown command `launch`"),
    (["serve", "model", "more"], "unexpected argument `more`"),
    (["quantize", "model", "folder"], "quantize: not served by this version"),
])
def test_what_cannot_be_read_or_served_exits_2(args, text):
    r = run(*args)
    assert r.returncode == 2 and text in r.stderr and r.stderr.count("\n") == 1
    assert "t-1" not in r.stderr and "secret" not in r.stderr


@pytest.mark.parametrize("args,text", [
    (["--max-input-tokens", "5", "--max-input-length", "6"],
     "Both `max_input_tokens` (5) and `max_input_length` (6) are set. Please define only `max_input_tokens` as "
     "`max_input_length is deprecated for naming consistency."),
    (["--max-input-tokens", "5", "--max-total-tokens", "5"], "`max_input_tokens`(5) must be < `max_total_tokens`(5)"),
    (["--max-input-length", "6", "--max-total-tokens", "5"], "`max_input_tokens`(6) must be < `max_total_tokens`(5)"),
    (["--max-total-tokens", "9", "--max-batch-total-tokens", "8"],
     "`max_total_tokens` must be <= `max_batch_total_tokens`. Given: 9 and 8"),
    (["--max-batch-prefill-tokens", "9", "--max-batch-total-tokens", "8"],
     "`max_batch_prefill_tokens` must be <= `max_batch_total_tokens`. Given: 9 and 8"),
    (["--validation-workers", "0"], "`validation_workers` must be > 0"),
    (["--max-batch-size", "0"], "`max_batch_size` must be > 0"),
    (["--quantize", "exl2", "--num-shard", "2"], "Sharding is currently not supported with `exl2` quantization"),
    (["--sharded", "true", "--num-shard", "1"], "`sharded` is true but `num_shard` <= 1"),
    (["--sharded", "true"], "`sharded` is true but only found 0 CUDA devices"),
    (["--num-shard", "0"], "`num_shard` cannot be < 1"),
    (["--ngrok"], "`ngrok-authtoken` must be set when using ngrok tunneling"),
    (["--ngrok", "--ngrok-authtoken", "t"], "`ngrok-edge` must be set when using ngrok tunneling"),
    (["--lora-adapters", "a,b=c@d@e"], "Invalid LoRA adapter format: b=c@d@e"),
    (["--dtype", "float16", "--quantize", "awq"],
     "Only 1 can be set between `dtype` and `quantize`, as they both decide how goes the final model."),
    (["--api-key", ""], "`api_key` is empty"),
])
def test_contradictions_exit_1_in_tgis_words(args, text):
    r = run("--model-id", NOWHERE, *args)
    assert r.returncode == 1 and r.stderr == f"prompteur: {text}" + r.stderr[len("prompteur: " + text):]
    assert r.stderr.count("\n") == 1


def test_devices_are_counted_from_the_environment():
    for env, n in (({"CUDA_VISIBLE_DEVICES": "0"}, 1), ({"NVIDIA_VISIBLE_DEVICES": "all"}, 0), ({"ZE_AFFINITY_MASK": ""}, 0)):
        assert f"only found {n} CUDA devices" in run("--sharded", "true", env=env).stderr
    r = run("--sharded", "true", env={"CUDA_VISIBLE_DEVICES": "0,1", "NVIDIA_VISIBLE_DEVICES": "0"})
    assert r.returncode == 2 and "only `false` is" in r.stderr


@pytest.mark.parametrize("word,means", [("true", True), ("1", True), ("Yes", True), ("false", False), ("0", False), ("no", False)])
def test_booleans_of_the_environment(word, means):
    _, warnings = parsed(env={"TRUST_REMOTE_CODE": word})
    assert bool(warnings) == means


@pytest.mark.parametrize("variable", ["PORT", "JSON_OUTPUT", "QUANTIZE", "MAX_INPUT_TOKENS", "CUDA_GRAPHS", "API_KEY", "MODEL_ID"])
def test_an_empty_variable_counts_as_set(variable):
    r = run(*([] if variable == "MODEL_ID" else ["--model-id", NOWHERE]), env={variable: ""})
    assert r.returncode in (1, 2) and "no such folder" not in r.stderr


def test_service_links_are_no_ports():
    options, warnings = parsed(env={"PROMETHEUS_PORT": "tcp://10.0.0.1:80", "MASTER_PORT": "udp://10.0.0.1:53"})
    assert len(warnings) == 2 and all("service link: ignored" in w for w in warnings)


def test_short_options_and_equal_signs():
    assert parsed("-p8081", "-g=7")[0]["port"] == ("8081", "flag")
    assert parsed("-p", "8081", "-g", "7")[0]["graceful-termination-timeout"] == ("7", "flag")
    assert run("-h").stdout.startswith("prompteur ")


# ---- the environment of other platforms ----

def test_what_platforms_set_for_everybody_is_taken_without_a_word():
    env = {"HF_TOKEN": "hf_secret", "HUGGING_FACE_HUB_TOKEN": "hf_secret", "HF_API_TOKEN": "hf_secret", "HF_HOME": "/data",
           "HUGGINGFACE_HUB_CACHE": "/data", "HF_HUB_CACHE": "/data", "HF_HUB_OFFLINE": "1", "HF_HUB_ENABLE_HF_TRANSFER": "1",
           "HF_ENDPOINT": "http://hub", "MESSAGES_API_ENABLED": "true", "NVIDIA_VISIBLE_DEVICES": "all", "CUDA_GRAPHS": "0",
           "ATTENTION": "paged", "PREFIX_CACHING": "1", "PREFILL_CHUNKING": "1", "USE_FLASH_ATTENTION": "true",
           "USAGE_STATS": "off", "NUM_SHARD": "1", "SHARDED": "false", "REQUEST_LOGPROBS": "0", "LOG_COLORIZE": "0",
           "SAGEMAKER_PROGRAM": "x", "AIP_MODE": "PREDICTION", "AIP_STORAGE_URI": "gs://x"}
    options, warnings = parsed(env=env)
    assert warnings == []
    assert options["HF_TOKEN"] == ("***", "environment")


@pytest.mark.parametrize("env,name,value", [
    ({"HF_MODEL_REVISION": "v1"}, "revision", "v1"),
    ({"HF_MODEL_QUANTIZE": "awq"}, "quantize", "awq"),
    ({"HF_MODEL_QUANTIZE": "exl2"}, None, "environment variable HF_MODEL_QUANTIZE: `exl2` is a layout for one kind"),
    ({"SM_NUM_GPUS": "4"}, None, "environment variable SM_NUM_GPUS: `4` is not served"),
    ({"SM_NUM_GPUS": "1"}, "num-shard", "1"),
    ({"HF_MODEL_TRUST_REMOTE_CODE": "true"}, "trust-remote-code", "true"),
    ({"HF_BATCH_SIZE": "4"}, "max-batch-size", "4"),
    ({"HF_SEQUENCE_LENGTH": "2048"}, "max-total-tokens", "2048"),
    ({"HF_SEQUENCE_LENGTH": "2048", "MAX_TOTAL_TOKENS": "1024"}, "max-total-tokens", "1024"),
    ({"HF_AUTO_CAST_TYPE": "bf16", "HF_NUM_CORES": "2"}, "dtype", "bfloat16"),
    ({"REQUEST_LOGPROBS": "1"}, "enable-prefill-logprobs", "1"),
    ({"AIP_HTTP_PORT": "8090"}, "port", "8090"),
])
def test_names_of_sagemaker_vertex_and_neuron(env, name, value):
    if name is None:
        r = run("--model-id", NOWHERE, env=env)
        assert r.returncode == 2 and value in r.stderr
    else:
        assert parsed(env=env)[0][name][0] == value


def test_a_bucket_without_a_model_is_refused_not_forgotten():
    r = run(env={"AIP_STORAGE_URI": "gs://x/y"})
    assert r.returncode == 2 and "not read from buckets" in r.stderr
    assert parsed(env={"AIP_STORAGE_URI": "gs://x/y"})[1] == []


def test_sagemaker_serves_on_8080():
    for args, env, port in (([], {}, "8080"), ([], {"PORT": "80"}, "8080"), (["--port", "81"], {}, "81"),
                            ([], {"MODEL_ID": NOWHERE, "PORT": "80"}, "80")):
        r = run("serve", "--env", *args, env={"HF_MODEL_ID": NOWHERE, **env})
        assert f"options: port = {port} (" in r.stderr and "no such folder" in r.stderr


@pytest.mark.parametrize("env,text", [
    ({"AIP_PREDICT_ROUTE": "predict"}, "AIP_PREDICT_ROUTE: `predict` is not a path"),
    ({"AIP_HEALTH_ROUTE": "/a b"}, "AIP_HEALTH_ROUTE"),
    ({"COMPUTE_TYPE": "a\r\nx: y"}, "COMPUTE_TYPE has bytes that no header can carry"),
])
def test_what_would_break_http_is_refused(env, text):
    r = run("--model-id", NOWHERE, env=env)
    assert r.returncode == 1 and text in r.stderr


# ---- TGI's programs ----

@pytest.mark.parametrize("name", ["text-generation-launcher", "text-generation-router", "text-generation-server"])
def test_the_names_of_tgis_programs(name, tmp_path):
    assert os.readlink(BIN / name) == "prompteur"
    elsewhere = tmp_path / name
    elsewhere.symlink_to(PROGRAM)
    r = run("serve", "--model-id", NOWHERE, "--master-shard-uds-path", "/x", program=elsewhere)
    assert r.returncode == 1 and "no such folder" in r.stdout and "no effect here" in r.stdout and r.stderr == ""
    assert run("--version", program=elsewhere).returncode == 0


def test_the_routers_model_and_the_servers_commands(tmp_path):
    r = run("--tokenizer-name", NOWHERE, program=BIN / "text-generation-router")
    assert r.returncode == 1 and f"--model-id `{NOWHERE}`" in r.stdout
    server = BIN / "text-generation-server"
    assert run(program=server).returncode == 2
    r = run("download-weights", str(DEMO), "--extension", ".safetensors", "--logger-level", "INFO", "--no-auto-convert",
            "--json-output", program=server)
    assert r.returncode == 0 and "Files are already present on the host." in json.loads(r.stdout)["fields"]["message"]
    r = run("download-weights", "some/model", env={"HF_HUB_OFFLINE": "1"})
    assert r.returncode == 1 and "HF_HUB_OFFLINE forbids" in r.stderr
    shutil.copy(DEMO / "config.json", tmp_path)
    assert "no weights" in run("download-weights", str(tmp_path)).stderr
    r = run("serve", NOWHERE, "--uds-path", "/x", "--sharded", "false", program=server)
    assert r.returncode == 1 and f"--model-id `{NOWHERE}`" in r.stdout


def test_installation_brings_the_names(tmp_path):
    if not shutil.which("cmake"):
        pytest.skip("needs cmake")
    subprocess.run(["cmake", "--install", BIN.parent, "--prefix", tmp_path], check=True, capture_output=True, timeout=60)
    for name in ("launcher", "router", "server"):
        r = run("--version", program=tmp_path / "bin" / f"text-generation-{name}")
        assert r.returncode == 0 and (tmp_path / "bin" / f"text-generation-{name}").is_symlink()


# ---- the log ----

def log_lines(env=None, *args):
    hostile = "/no\u00fcwhere\x1b[31m\"\\\n\x7f\u2028"
    return run("--model-id", hostile, *args, env=env).stderr.removesuffix("\n").split("\n")


@pytest.mark.parametrize("args,env", [(["--json-output"], {}), ([], {"JSON_OUTPUT": "true"}), ([], {"JSON_OUTPUT": "1"}),
                                      ([], {"LOG_FORMAT": "json"})])
def test_json_lines_are_json_whatever_they_say(args, env):
    lines = log_lines(env, "--env", "--trust-remote-code", *args)
    assert len(lines) > 50
    for line in lines:
        x = json.loads(line)
        assert set(x) == {"timestamp", "level", "message", "fields", "target"}
        assert x["fields"] == {"message": x["message"]} and x["target"].startswith("prompteur::")
    assert "/no\u00fcwhere?[31m\"\\??\u2028" in json.loads(lines[-1])["message"]


def test_text_lines_show_no_control_bytes():
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f]", "\n".join(log_lines()))
    assert "WARN" not in "".join(log_lines({"LOG_FORMAT": "text"}))


def on_a_terminal(env):
    try:
        main, terminal = pty.openpty()
    except OSError as problem:
        pytest.skip(f"no terminal can be made here: {problem}")
    p = subprocess.Popen([PROGRAM, "--model-id", NOWHERE], stderr=terminal, env=env)
    p.wait(timeout=60)
    os.close(terminal)
    text = os.read(main, 1 << 16)
    os.close(main)
    return text


def test_colours_are_for_terminals():
    assert b"\x1b[31m" in on_a_terminal({}) and b"\x1b[31m" in on_a_terminal({"LOG_COLORIZE": "1"})
    assert b"\x1b" not in on_a_terminal({"LOG_COLORIZE": "0"}) and b"\x1b" not in on_a_terminal({"NO_COLOR": "1"})
    assert "\x1b" not in run("--model-id", NOWHERE, env={"LOG_COLORIZE": "1"}).stderr


@pytest.mark.parametrize("level,n", [("error", 1), ("warn", 2), ("info,text_generation_router=error", 1),
                                     ("error,text_generation_launcher=warn,hyper=trace", 2), ("loud", 3)])
def test_levels(level, n):
    assert len(run("--model-id", NOWHERE, "--trust-remote-code", env={"LOG_LEVEL": level}).stderr.splitlines()) == n


def test_the_environment_block():
    r = run("-e", "--model-id", NOWHERE)
    for line in ("Runtime environment:", "Target: ", "Commit sha: ", "Docker label: ", "Memory available: "):
        assert f"INFO options: {line}" in r.stderr


def test_prompts_and_keys_are_never_logged(start):
    """At the most talkative level, whatever is wrong with a request."""
    key, prompt = "Kaey-1f3b", "Mooerkeer-77"
    server = start("--api-key", key, "--env", "--log-level", "debug", "--payload-limit", "2000", env={"HF_TOKEN": "hf_Toe-99"})
    assert "Connected" in server.log()
    good, bad = {"Authorization": f"Bearer {key}"}, {"Authorization": f"Bearer wrong-{key}"}
    for headers in (good, bad):
        for path in ("/generate", "/generate_stream", "/", "/tokenize", "/chat_tokenize", "/v1/chat/completions", f"/{prompt}"):
            for body in ({"inputs": prompt}, {"inputs": prompt, "parameters": {"max_new_tokens": 2, "stop": [prompt]}},
                         {"inputs": prompt, "parameters": {"temperature": prompt}}, {"messages": [{"role": "user", "content": prompt}]},
                         {"inputs": prompt * 400}, {"inputs": prompt, "parameters": {"grammar": {"type": "regex", "value": prompt}}}):
                requests.post(server.url + path, json=body, headers=headers, timeout=60)
            requests.post(server.url + path, data=f'{{"inputs": "{prompt}', headers={**headers, "Content-Type": "application/json"},
                          timeout=60)
    host, port = server.url.removeprefix("http://").split(":")
    for raw in (f"POST /generate HTTP/1.1\r\nHost: {prompt}\r\nBad Header {prompt}\r\n\r\n", f"{prompt}\r\n\r\n"):
        with socket.create_connection((host, int(port)), timeout=10) as s:
            s.sendall(raw.encode())
            s.recv(4096)
    assert server.stop() == 0
    for secret in (key, prompt, "hf_Toe-99"):
        assert secret.lower() not in server.log().lower()


# ---- health ----

def health(*args, env=None):
    return run("healthcheck", *args, env=env)


class Stub:
    """Answers one connection with given bytes; None: never."""

    def __init__(self, answer, family=socket.AF_INET):
        self.socket = socket.socket(family)
        self.socket.bind(("::1" if family == socket.AF_INET6 else "127.0.0.1", 0))
        self.socket.listen()
        self.port = self.socket.getsockname()[1]
        self.thread = threading.Thread(target=self.serve, args=(answer,))
        self.request = b""

    def serve(self, answer):
        client, _ = self.socket.accept()
        self.request = client.recv(4096)
        if answer is None:
            client.recv(1)
        else:
            client.sendall(answer)
        client.close()

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.thread.join(timeout=10)
        self.socket.close()


def test_health_of_the_real_server(server):
    port = server.url.rsplit(":", 1)[1]
    for args, env in ((["--port", port], {}), (["-p", port, "--hostname", "127.0.0.1"], {}), ([], {"PORT": port}),
                      ([], {"PORT": port, "HOSTNAME": "a-pod", "TRUST_REMOTE_CODE": "1"}), ([], {"AIP_HTTP_PORT": port})):
        r = health(*args, env=env)
        assert (r.returncode, r.stdout, r.stderr) == (0, "healthy\n", "")


@pytest.mark.parametrize("answer,text", [
    (b"HTTP/1.1 503 Service Unavailable\r\n\r\n", "/health answers 503"),
    (b"HTTP/1.1 404 Not Found\r\n\r\n", "/health answers 404"),
    (b"SSH-2.0-OpenSSH", "the answer is not HTTP"),
    (b"HTTP/1.1", "the connection ended without an answer"),
    (b"", "the connection ended without an answer"),
    (None, "no answer in time"),
])
def test_what_is_unhealthy(answer, text):
    with Stub(answer) as stub:
        r = health("--port", str(stub.port), "--timeout", "1")
        assert r.returncode == 1 and text in r.stderr and r.stderr.count("\n") == 1 and r.stdout == ""
        assert stub.request.startswith(b"GET /health HTTP/1.1\r\nHost: ")


def test_health_without_a_server():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        r = health("--port", str(s.getsockname()[1]))
    assert r.returncode == 1 and "Connection refused" in r.stderr
    assert health("--port", "0").returncode == 1


def test_health_over_ipv6():
    try:
        stub = Stub(b"HTTP/1.1 200 OK\r\n\r\n", socket.AF_INET6)
    except OSError:
        pytest.skip("no IPv6 here")
    with stub:
        assert health("--port", str(stub.port), "--hostname", "::").returncode == 0


# ---- flags that change what is served ----

def test_another_tokenizer_config_brings_its_template(tmp_path):
    config = json.loads((DEMO / "tokenizer_config.json").read_text())
    config["chat_template"] = "named: {{ messages[0].content }}"
    (tmp_path / "other.json").write_text(json.dumps(config))
    model = tmp_path / "model"
    shutil.copytree(DEMO, model)
    (model / "chat_template.jinja").write_text("the folder's")
    ask = json.dumps({"messages": [{"role": "user", "content": "Hi"}]})
    r = run("template", "--model-id", str(model), "--tokenizer-config-path", str(tmp_path / "other.json"), input=ask)
    assert json.loads(r.stdout)["text"] == "named: Hi"
    assert json.loads(run("template", "--model-id", str(model), input=ask).stdout)["text"] == "the folder's"
    r = run("template", "--model-id", str(model), "--tokenizer-config-path", str(tmp_path / "none.json"), input=ask)
    assert r.returncode == 1 and "none.json" in r.stderr


def test_rope_flags_are_what_the_checkpoint_would_say(tmp_path):
    model = tmp_path / "model"
    shutil.copytree(DEMO, model)
    config = json.loads((model / "config.json").read_text())
    config["rope_scaling"] = {"type": "linear", "factor": 2.0}
    config.pop("rope_parameters", None)
    (model / "config.json").write_text(json.dumps(config))

    def logits(folder, *args, env=None):
        r = run("logits", "--model-id", str(folder), *args, input=json.dumps({"text": "Once upon a time there was"}), env=env)
        assert r.returncode == 0, r.stderr
        return r.stdout

    plain, scaled = logits(DEMO), logits(model)
    assert plain != scaled
    assert logits(DEMO, "--rope-factor", "2") == scaled == logits(DEMO, env={"ROPE_SCALING": "linear", "ROPE_FACTOR": "2"})
    assert logits(model, "--rope-scaling", "linear") == plain
