"""The checks of tools/ find what they are for."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def tree(tmp_path):
    shutil.copytree(ROOT / "src", tmp_path / "src")
    shutil.copy(ROOT / "CMakeLists.txt", tmp_path)
    return tmp_path


def layers(tree):
    result = subprocess.run([sys.executable, ROOT / "tools/check-layers", tree], capture_output=True, text=True)
    return result.returncode, result.stderr


def test_the_tree_is_clean(tree):
    assert layers(tree) == (0, "")


@pytest.mark.parametrize("file,line,complaint", [
    ("src/base/planted.c", '#include "json/json.h"', "base/ may not include"),
    ("src/text/planted.c", '#include "ckpt/ckpt.h"', "text/ may not include"),
    ("src/model/planted.c", '#include "backend/backend_int.h"', "private to backend/"),
    ("src/api/planted.c", "#include <uv.h>", "belongs to http/"),
    ("src/base/utils.c", "", "the name says nothing"),
])
def test_a_planted_violation_is_found(tree, file, line, complaint):
    (tree / file).write_text(line + "\n")
    code, text = layers(tree)
    assert code == 1 and complaint in text


def test_a_dependency_upwards_is_found(tree):
    cmake = tree / "CMakeLists.txt"
    cmake.write_text(cmake.read_text().replace("prompteur_module(quant   DEPENDS base)",
                                               "prompteur_module(quant   DEPENDS base model)"))
    code, text = layers(tree)
    assert code == 1 and "which is not below it" in text
