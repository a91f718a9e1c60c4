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


def sizes(tmp_path, n_lines, name="src/base/planted.c"):
    """check-size on a repository of one file that holds one function of so many lines."""
    file = tmp_path / name
    file.parent.mkdir(parents=True)
    file.write_text("void planted(void)\n{\n" + "    ;\n" * (n_lines - 2) + "}\n")
    for command in (["init", "-q"], ["add", "."]):
        subprocess.run(["git", "-C", tmp_path, *command], check=True)
    result = subprocess.run([sys.executable, ROOT / "tools/check-size", tmp_path], capture_output=True, text=True)
    return result.returncode, result.stderr


@pytest.mark.parametrize("n_lines,code,complaint", [
    (80, 0, ""),
    (81, 0, "planted has 81 lines, at most 80"),
    (121, 1, "planted has 121 lines, at most 80"),
    (1000, 1, "planted has 1000 lines, at most 80"),
    (1001, 1, "1002 lines, at most 1000"),
])
def test_sizes(tmp_path, n_lines, code, complaint):
    got, text = sizes(tmp_path, n_lines)
    assert got == code and complaint in text and (complaint or not text)


def test_kernels_may_be_long(tmp_path):
    assert sizes(tmp_path, 2000, "src/backend/cpu/kernels/planted.c") == (0, "")


def test_an_umbrella_header_is_found(tree):
    (tree / "src/engine/planted.h").write_text(
        "/* All. */\n#ifndef PLANTED_H\n#define PLANTED_H\n#include \"base/err.h\"\n#include \"model/model.h\"\n#endif\n")
    code, text = layers(tree)
    assert code == 1 and "only gathers other headers" in text
