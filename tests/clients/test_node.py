"""Node's clients: each file of node/ is a test program of its own."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from servers import KEY

HERE = Path(__file__).parent
NODE = Path(sys.executable).parent / "node"  # of the pinned wheel


@pytest.mark.parametrize("name", ["openai", "huggingface"])
def test_node(server, strict, keyed, narrow, strict_narrow, start, name):
    assert (HERE.parent / "web/node_modules").is_dir(), "./dev setup installs Node's packages"
    servers = {"plain": server, "strict": strict, "keyed": keyed, "narrow": narrow, "strict_narrow": strict_narrow,
               "left": start("--max-concurrent-requests", "1")}
    env = {**os.environ, "SERVERS": json.dumps({k: s.url for k, s in servers.items()}), "KEY": KEY}
    done = subprocess.run([NODE, "--test", HERE / f"node/{name}.mjs"], env=env, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
