"""The examples of docs/clients.md, run as they stand there."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from servers import ROOT

BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```$", (ROOT / "docs/clients.md").read_text(), re.M | re.S)
NODE = Path(sys.executable).parent / "node"  # of the pinned wheel


def run(*command, folder=ROOT):
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    print(done.stdout)


RUN = {"python": lambda code: exec(compile(code, "docs/clients.md", "exec"), {"__name__": "__main__"}),
       "sh": lambda code: run("bash", "-c", code),
       "js": lambda code: run(NODE, "--input-type=module", "-e", code, folder=ROOT / "tests/web")}


def test_each_kind_has_examples():
    assert {kind for kind, _ in BLOCKS} == set(RUN)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("number", range(len(BLOCKS)))
def test_example(server, number, capsys):
    kind, code = BLOCKS[number]
    assert "http://127.0.0.1:3000" in code
    RUN[kind](code.replace("http://127.0.0.1:3000", server.url))
    assert len(capsys.readouterr().out) > 40
