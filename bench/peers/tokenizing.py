"""Tokenizing against the `tokenizers` package: one thread, the same text, rounds in turn, medians.

Usage: tokenizing.py [--rounds N] [--bytes N] [--text FILE] [--program FILE] [--svg FILE] [PATH ...]
PATH is a tokenizer.json (or .json.gz) or a folder that has one. Without any: llama-3, mistral-v0.3, qwen2.5 and bert of
the reference tokenizers where PROMPTEUR_TESTDATA is set, and the demo model's own.
"""

import argparse
import gzip
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

os.environ["TOKENIZERS_PARALLELISM"] = "false"
os.environ["RAYON_NUM_THREADS"] = "1"

from mixed_text import ROOT, mixed_text  # noqa: E402
from tokenizers import Tokenizer, __version__  # noqa: E402

PUBLISHED = ["llama-3", "mistral-v0.3", "qwen2.5", "bert"]


def default_paths():
    testdata = os.environ.get("PROMPTEUR_TESTDATA")
    published = [Path(testdata, "tokenizers", name) for name in PUBLISHED] if testdata else []
    if not published:
        print("PROMPTEUR_TESTDATA is not set: only the demo model's tokenizer is measured", file=sys.stderr)
    return published + [ROOT / "models/demo/export"]


def document(path):
    """(name, the text of tokenizer.json)"""
    path = Path(path)
    if path.is_file():
        name = path.parent.name or path.stem
    else:
        name = path.name if path.name != "export" else "demo"
        path = next(p for p in (path / "tokenizer.json", path / "tokenizer.json.gz") if p.exists())
    data = path.read_bytes()
    return name, gzip.decompress(data) if path.suffix == ".gz" else data


def measure_package(data, text):
    begin = time.perf_counter()
    tokenizer = Tokenizer.from_buffer(data)
    loaded = time.perf_counter()
    tokenizer.no_truncation()
    tokenizer.no_padding()
    encode = time.perf_counter()
    n = len(tokenizer.encode(text, add_special_tokens=False).ids)
    end = time.perf_counter()
    return {"load_ms": (loaded - begin) * 1e3, "encode_ms": (end - encode) * 1e3, "tokens": n}


def measure_ours(program, tokenizer_file, text_file):
    done = subprocess.run([program, "--rounds", "1", "--tokenizer", tokenizer_file, "--text", text_file],
                          capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def compare(program, path, text, text_file, rounds, folder):
    """A row of the table: medians of both, measured in turn."""
    name, data = document(path)
    file = Path(folder, "tokenizer.json")
    file.write_bytes(data)
    ours, theirs = [], []
    for _ in range(rounds):
        ours.append(measure_ours(program, file, text_file))
        theirs.append(measure_package(data, text))
    if ours[0]["tokens"] != theirs[0]["tokens"]:
        sys.exit(f"{name}: {ours[0]['tokens']} tokens here, {theirs[0]['tokens']} there")
    mb = len(text.encode()) / 1e6
    row = {"name": name, "tokens": ours[0]["tokens"]}
    for key in ("load_ms", "encode_ms"):
        row[key] = statistics.median(r[key] for r in ours), statistics.median(r[key] for r in theirs)
        row[key + "_ratio"] = statistics.median(t[key] / o[key] for o, t in zip(ours, theirs))
    row["mb_s"] = tuple(mb / (ms / 1e3) for ms in row["encode_ms"])
    return row


def svg(rows):
    """Bars of throughput, ours above the package's, with the ratio."""
    width, bar, gap, left = 640, 14, 18, 120
    scale = (width - left - 130) / max(r["mb_s"][0] for r in rows)
    height = 40 + len(rows) * (2 * bar + gap)
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" font-family="sans-serif" '
           'font-size="12"><rect width="100%" height="100%" fill="white"/>'
           f'<text x="{left}" y="20">MB/s of text, one thread: prompteur (dark), tokenizers {__version__} (light)</text>']
    for i, r in enumerate(rows):
        y = 32 + i * (2 * bar + gap)
        out.append(f'<text x="{left - 8}" y="{y + bar + 4}" text-anchor="end">{r["name"]}</text>')
        for k, colour in enumerate(("#24507a", "#a9c4de")):
            w = max(r["mb_s"][k] * scale, 1)
            note = f'{r["mb_s"][k]:.1f}' + (f' ({r["encode_ms_ratio"]:.1f}×)' if k == 0 else "")
            out.append(f'<rect x="{left}" y="{y + k * bar}" width="{w:.1f}" height="{bar - 2}" fill="{colour}"/>'
                       f'<text x="{left + w + 6:.1f}" y="{y + k * bar + 10}">{note}</text>')
    return "\n".join(out) + "\n</svg>\n"


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--bytes", type=int, default=1 << 20, help="size of the made text")
    parser.add_argument("--text", type=Path, help="a text of your own instead")
    parser.add_argument("--program", default=ROOT / "build/release/bin/prompteur-bench")
    parser.add_argument("--svg", type=Path, help="draw the table here")
    parser.add_argument("paths", nargs="*", metavar="PATH")
    a = parser.parse_args()
    text = a.text.read_text() if a.text else mixed_text(a.bytes)
    print(f"{len(text.encode()) / 1e6:.2f} MB, one thread, medians of {a.rounds} rounds in turn; tokenizers {__version__}")
    print(f"{'tokenizer':<14}{'tokens':>9}{'MB/s':>8}{'theirs':>8}{'ratio':>7}{'load ms':>9}{'theirs':>8}{'ratio':>7}")
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        text_file = Path(folder, "text")
        text_file.write_text(text)
        for path in a.paths or default_paths():
            r = compare(a.program, path, text, text_file, a.rounds, folder)
            rows.append(r)
            print(f"{r['name']:<14}{r['tokens']:>9}{r['mb_s'][0]:>8.2f}{r['mb_s'][1]:>8.2f}{r['encode_ms_ratio']:>7.1f}"
                  f"{r['load_ms'][0]:>9.1f}{r['load_ms'][1]:>8.1f}{r['load_ms_ratio']:>7.1f}", flush=True)
    if a.svg:
        a.svg.write_text(svg(rows))
        print(f"wrote {a.svg}")


if __name__ == "__main__":
    main()
