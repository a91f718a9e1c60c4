"""Streaming clients against a server: tokens a second, time to the first token, time between tokens.

Usage: load.py [--model-id DIR | --shape S|M] [--clients 1,8,32,128] [--rate R] [--prompt N] [--new N] [--seconds S]
               [--svg FILE] [--program FILE] [-- server flags]

Closed loop: each client asks again when its answer is complete. Open loop (--rate): answers are asked for at random
times (Poisson), R a second, whether or not earlier ones are complete. Without --model-id a model of random weights with a
vocabulary of words is written to a temporary folder, so that a prompt has the tokens that it should.

The ceiling of a row is the least time that the work of its requests takes on this machine, as measured before and after:
prompts at the peak of multiply-add, each decoding step at the peak or the memory's bandwidth, whichever takes longer:
  seconds = clients * prompt * flops / peak + (new - 1) * max(weight bytes / bandwidth, clients * flops / peak)
(the first token comes with the prompt). The last column is what this program itself took of one CPU meanwhile: far from
100 %, or it is what was measured.
"""

import argparse
import asyncio
import json
import os
import random
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BIN = ROOT / "build/release/bin"
N_WORDS = 32000


# ---------------------------------------------------------------- the model and the server

def write_model(shape, folder):
    """Random weights, and a tokenizer whose every word is one token."""
    subprocess.run([BIN / "prompteur-bench", "--shape", shape, "--write", folder], check=True)
    vocab = {f"w{i}": i for i in range(N_WORDS)}
    tokenizer = {"model": {"type": "WordLevel", "unk_token": "w0", "vocab": vocab}, "pre_tokenizer": {"type": "WhitespaceSplit"},
                 "added_tokens": []}
    Path(folder, "tokenizer.json").write_text(json.dumps(tokenizer))


def start_server(program, model, flags, log):
    command = [program, "serve", "--hostname", "127.0.0.1", "--port", "0", "--prometheus-port", "0", "--model-id", model, *flags]
    server = subprocess.Popen(command, stderr=open(log, "w"))
    for _ in range(1200):
        text = Path(log).read_text()
        found = re.search(r"listening on http://[^:]+:(\d+)", text)
        if found and "weights packed" in text:  # not the first answers are measured
            return server, int(found.group(1))
        if server.poll() is not None:
            break
        time.sleep(0.1)
    sys.exit("the server did not get ready:\n" + Path(log).read_text())


def ceilings(model):
    done = subprocess.run([BIN / "prompteur-bench", "--ceilings", "--rounds", "3", "--model-id", model], check=True,
                          capture_output=True, text=True)
    return json.loads(done.stdout)


# ---------------------------------------------------------------- one request

class Answers:
    """Times of all answers of a row, in seconds."""

    def __init__(self):
        self.first, self.between, self.n_tokens, self.n_answers = [], [], 0, 0


def prompt(rng, n):
    return " ".join(f"w{rng.randrange(3, N_WORDS)}" for _ in range(n))


async def ask(port, text, n_new, answers):
    body = json.dumps({"inputs": text, "parameters": {"max_new_tokens": n_new}}).encode()
    begin = time.perf_counter()
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"POST /generate_stream HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-type: application/json\r\n"
                 b"content-length: %d\r\n\r\n" % len(body) + body)
    status = await reader.readline()
    last, n = None, 0
    while line := await reader.readline():
        if not line.startswith(b"data:"):
            continue
        if b'"error"' in line or b" 200 " not in status:
            raise RuntimeError(line.decode())
        now = time.perf_counter()
        if last is None:
            answers.first.append(now - begin)
        else:
            answers.between.append(now - last)
        last, n = now, n + 1
    writer.close()
    if n == 0:
        raise RuntimeError(f"no token came: {status!r}")
    answers.n_tokens += n
    answers.n_answers += 1


async def closed_loop(port, n_clients, a, answers):
    async def client(i, n_requests):
        rng = random.Random(1000 * n_clients + i)
        for _ in range(n_requests):
            await ask(port, prompt(rng, a.prompt), a.new, answers)

    begin = time.perf_counter()
    await asyncio.gather(*(client(i, a.requests) for i in range(n_clients)))
    return time.perf_counter() - begin


async def open_loop(port, rate, a, answers):
    rng, tasks = random.Random(7), []
    begin = time.perf_counter()
    while time.perf_counter() - begin < a.seconds:
        tasks.append(asyncio.create_task(ask(port, prompt(rng, a.prompt), a.new, answers)))
        await asyncio.sleep(rng.expovariate(rate))
    await asyncio.gather(*tasks)
    return time.perf_counter() - begin


# ---------------------------------------------------------------- figures

def quantile(values, q):
    return sorted(values)[min(len(values) - 1, int(q * len(values)))] * 1e3 if values else float("nan")


def row_of(name, loop, answers):
    """Runs a loop to its end."""
    cpu, seconds = time.process_time(), asyncio.run(loop)
    return {"name": name, "tokens_s": answers.n_tokens / seconds, "answers": answers.n_answers,
            "own": 100 * (time.process_time() - cpu) / seconds,
            "first": [quantile(answers.first, q) for q in (0.5, 0.95, 0.99)],
            "between": [quantile(answers.between, q) for q in (0.5, 0.95, 0.99)]}


def set_ceiling(r, clients, c, a):
    """Of row r, from what the machine can do and the work there is; with the terms that it comes from."""
    peak = max(c["fma_gflop_s"], c["dot_gflop_s"]) * 1e9
    prompts = clients * (a.prompt * c["prefill_flops"] + c["head_flops"]) / peak
    reads = c["decode_bytes"] / (c["stream_gb_s"] * 1e9)
    sums = clients * (c["prefill_flops"] + c["head_flops"]) / peak
    r["ceiling"] = clients * a.new / (prompts + (a.new - 1) * max(reads, sums))
    r["terms"] = (f"{r['name']}: {c['stream_gb_s']:.1f} GB/s, {peak * 1e-9:.0f} GFLOP/s; prompts {prompts:.2f} s; a step of "
                  f"decoding {reads * 1e3:.1f} ms for {c['decode_bytes'] * 1e-9:.2f} GB, {sums * 1e3:.1f} ms for "
                  f"{sums * peak * 1e-9:.0f} GFLOP")


def mean_of(before, after):
    return {key: (before[key] + after[key]) / 2 for key in before}


HEAD = f"{'':<16}{'answers':>8}{'tokens/s':>10}{'ceiling':>9}{'share':>7}   {'first token, ms':^25}   {'between tokens, ms':^25}{'own':>6}"


def line_of(r):
    ceiling = f"{r['ceiling']:>9.1f}{100 * r['tokens_s'] / r['ceiling']:>6.0f}%" if "ceiling" in r else f"{'':>16}"
    return (f"{r['name']:<16}{r['answers']:>8}{r['tokens_s']:>10.1f}{ceiling}   "
            + "".join(f"{x:>8.0f}" for x in r["first"]) + "    " + "".join(f"{x:>8.1f}" for x in r["between"]) + f"{r['own']:>6.1f}%")


def svg(rows, title):
    """Three panels: tokens a second with the ceiling, time to the first token, time between tokens (p50, p95, p99)."""
    width, panel, top, left = 900, 270, 50, 40
    bar = (panel - 50) / max(len(rows), 1)
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="300" font-family="sans-serif" font-size="11">'
           f'<rect width="100%" height="100%" fill="white"/><text x="{left}" y="20" font-size="13">{title}</text>']
    panels = [("tokens/s by clients (line: the ceiling)", [[r["tokens_s"]] for r in rows]),
              ("first token, ms: p50, p95, p99", [r["first"] for r in rows]),
              ("between tokens, ms: p50, p95, p99", [r["between"] for r in rows])]
    colours = ("#24507a", "#6f98c0", "#c5d7e8")
    for k, (name, values) in enumerate(panels):
        x0 = left + k * 285
        most = max([max(v) for v in values] + ([r.get("ceiling", 0) for r in rows] if k == 0 else []))
        scale = 190 / most if most else 0
        out.append(f'<text x="{x0}" y="{top - 8}">{name}</text>')
        for i, v in enumerate(values):
            x, w = x0 + i * bar, bar * 0.8
            for j, y in reversed(list(enumerate(v))):
                out.append(f'<rect x="{x:.1f}" y="{250 - y * scale:.1f}" width="{w:.1f}" height="{y * scale:.1f}" '
                           f'fill="{colours[j]}"/>')
            if k == 0 and "ceiling" in rows[i]:
                y = 250 - rows[i]["ceiling"] * scale
                out.append(f'<path d="M{x:.1f} {y:.1f}h{w:.1f}" stroke="#b03030" stroke-width="2"/>')
            out.append(f'<text x="{x + w / 2:.1f}" y="265" text-anchor="middle">{rows[i]["clients"] or rows[i]["name"]}</text>'
                       f'<text x="{x + w / 2:.1f}" y="{246 - v[0] * scale:.1f}" text-anchor="middle">{v[0]:.0f}</text>')
    return "\n".join(out) + "\n</svg>\n"


def measure(a, model, server_flags, folder):
    server, port = start_server(a.program, model, server_flags, Path(folder, "log"))
    rows = []
    try:
        asyncio.run(closed_loop(port, 1, argparse.Namespace(prompt=8, new=4, requests=1), Answers()))
        print(HEAD, flush=True)
        for n in ([] if a.rate else a.clients):
            before, answers = ceilings(model), Answers()
            rows.append(row_of(f"{n} clients", closed_loop(port, n, a, answers), answers))
            set_ceiling(rows[-1], n, mean_of(before, ceilings(model)), a)
            print(line_of(rows[-1]), flush=True)
        if a.rate:
            answers = Answers()
            rows.append(row_of(f"{a.rate} a second", open_loop(port, a.rate, a, answers), answers))
            print(line_of(rows[-1]), flush=True)
        for r in rows:
            if "terms" in r:
                print(f"ceiling, {r['terms']}")
    finally:
        server.terminate()
        server.wait(timeout=120)
    return rows


def main():
    own, flags = sys.argv[1:], []
    if "--" in own:
        own, flags = own[:own.index("--")], own[own.index("--") + 1:]
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--model-id", help="a checkpoint's folder (default: random weights)")
    parser.add_argument("--shape", default="S", help="random weights: S (135M) or M (1.1B)")
    parser.add_argument("--clients", default="1,8,32,128", help="closed loop: numbers of clients")
    parser.add_argument("--rate", type=float, help="open loop: requests a second")
    parser.add_argument("--seconds", type=float, default=30, help="open loop: how long requests arrive")
    parser.add_argument("--requests", type=int, default=2, help="closed loop: requests of each client")
    parser.add_argument("--prompt", type=int, default=128, help="tokens of a prompt")
    parser.add_argument("--new", type=int, default=64, help="tokens of an answer")
    parser.add_argument("--svg", type=Path, help="draw the table here")
    parser.add_argument("--program", default=BIN / "prompteur")
    a = parser.parse_args(own)
    a.clients = [int(n) for n in a.clients.split(",")]
    with tempfile.TemporaryDirectory() as folder:
        model = a.model_id or str(Path(folder, "model"))
        if not a.model_id:
            os.mkdir(model)
            write_model(a.shape, model)
        title = f"{a.model_id or 'random weights, shape ' + a.shape}: {a.prompt} tokens in, {a.new} out"
        print(title)
        rows = measure(a, model, [*flags, "--max-concurrent-requests", str(max(256, *a.clients))], folder)
    if a.svg:
        a.svg.write_text(svg(rows, title))
        print(f"wrote {a.svg}")


if __name__ == "__main__":
    main()
