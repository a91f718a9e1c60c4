"""Schemathesis drives the OpenAPI document: requests that fit it and requests that do not, on every operation. No 5xx,
and every answer has a status, a content type and a body that the document names."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
SEED = os.environ.get("PROMPTEUR_SEED", "20251")
CHECKS = ("not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance,"
          "response_headers_conformance")
KEY = "a key of this test"
# Short answers, and few at once: what is tested is the API.
SMALL = ("--max-total-tokens", "24", "--max-concurrent-requests", "2", "--api-key", KEY)


# A program that is watched is many times slower: it gets random requests, not the systematic ones.
PHASES = "fuzzing" if os.environ.get("PROMPTEUR_SANITIZE") else "coverage,fuzzing"


def drive(server, tmp_path, *options):
    """One run; its report."""
    report = tmp_path / "report.json"
    command = [sys.executable, "-m", "schemathesis.cli", "run", server.url + "/api-doc/openapi.json", "--checks", CHECKS,
               "--seed", SEED, "--continue-on-failure", "--no-shrink", "--generation-database", "none", "--no-color",
               "--request-timeout", "60", "--report", "json", "--report-json-path", str(report), *options]
    print("seed", SEED)
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=900,
                          env={**os.environ, "SCHEMATHESIS_HOOKS": "schemathesis_hooks", "PYTHONPATH": str(HERE)})
    assert done.returncode == 0, done.stdout[-20000:] + done.stderr[-2000:]
    return json.loads(report.read_text())


def answered_well(server):
    """Requests whose body was read and whose answer was finished."""
    return server.metric("tgi_request_success")


def test_every_operation(start, tmp_path):
    s = start(*SMALL)
    report = drive(s, tmp_path, "--phases", PHASES, "-n", "20", "-H", f"Authorization: Bearer {KEY}")
    assert report["operations"]["tested"] == report["operations"]["total"] >= 15
    if "coverage" in PHASES:
        assert report["test_cases"]["generated"] >= 2000
        assert answered_well(s) > 300
    assert s.metric("tgi_request_failure") and "ERROR" not in s.log()


@pytest.mark.parametrize("options", [(), ("--strict-openai",)])
def test_without_a_key_and_strictly(start, tmp_path, options):
    s = start(*SMALL, *options)
    key = ("-H", f"Authorization: Bearer {KEY}") if options else ()
    report = drive(s, tmp_path, "--phases", "fuzzing", "-n", "10", "--include-path-regex", "^/(v1|generate|vertex)", *key)
    assert report["test_cases"]["generated"] >= 50
    assert bool(answered_well(s)) == bool(key)
