"""The servers that real clients talk to: those of tests/api, by another name than its conftest."""

import importlib.util
from pathlib import Path

_spec = importlib.util.spec_from_file_location("api_conftest", Path(__file__).parents[1] / "api/conftest.py")
_api = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(_api)

DEMO, ROOT, Server, server, start, eventually = (
    _api.DEMO, _api.ROOT, _api.Server, _api.server, _api.start, _api.eventually)
KEY = "Sesame-1"


def gone(server):
    """Awaits that a client that went away is counted and its place is free again."""
    ask = {"inputs": "x", "parameters": {"max_new_tokens": 1}}
    eventually(lambda: server.metric("tgi_request_failure") > 0)
    eventually(lambda: server.post("/generate", ask).status_code == 200)
