"""What the documents name exists."""

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def functions():
    """Names of all functions defined in src/."""
    found = set()
    for path in (ROOT / "src").rglob("*.c"):
        found |= set(re.findall(r"^[a-z_][\w \*]*?\b(\w+)\([^;]*?\)\n\{", path.read_text(), re.M | re.S))
    return found


def test_the_request_trace_names_real_functions():
    named = set(re.findall(r"`(\w+)\(\)`", (ROOT / "docs/request-trace.md").read_text()))
    assert len(named) > 30
    assert named - functions() == set()


def test_links_in_documents_lead_somewhere():
    for name in ("README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "docs/flags.md", "docs/http.md", "docs/migrating-from-tgi.md",
                 "docs/models.md"):
        for target in re.findall(r"\]\(([^)#:]+)\)", (ROOT / name).read_text()):
            assert ((ROOT / name).parent / target).exists(), f"{name}: {target}"
