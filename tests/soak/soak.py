#!/usr/bin/env python3
"""Sends a server whatever clients send, well-behaved and not, and holds it to its promises.

    soak.py --program build/asan/bin/prompteur [--seconds 600] [--seed N]

The time is split into rounds; each starts a server with tight limits of its own (few KV pages, few permits, in every
second round speculation), lets clients of all kinds loose on it, and then looks whether the books balance. Promises:

- every response is whole and well-formed, or a well-formed error;
- the reference requests get the same bytes in any company, in every round;
- memory is flat after the first third of a round;
- when the clients have gone: submitted = finished + cancelled + failed, nothing waits or runs, no page is held, and a
  burst of as many requests as there are permits is served whole;
- SIGTERM under load ends the process with 0 within the grace, and a response that has begun gets its end;
- no sanitizer has anything to say.

Nothing here is timed but these limits, so that a slow machine only makes fewer requests.
"""

import argparse
import asyncio
import json
import os
import random
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import asks
from client import BadResponse, Connection, Gone, message

MODEL = Path(__file__).resolve().parents[2] / "models/demo/export"
PAYLOAD_LIMIT = 60000
N_CLIENTS = 28
ROUND_SECONDS = 100       # about; at least two rounds
CLOCK_S = 0.01            # the server's timers tick in whole milliseconds, its clock and ours are read at two moments
QUIET_SECONDS = 60        # for what was left to end by itself
FLAT_BYTES = 16 << 20     # the allocator's and the sanitizer's own ups and downs


class Failure(Exception):
    """A broken promise."""


class Server:
    def __init__(self, program, r, number, folder):
        self.permits = r.choice((6, 12, 20))
        self.speculate = (0, 4)[number % 2]
        self.grace_s = r.choice((1, 20))
        self.speaks_openai = r.random() < 0.6
        self.flags = ["--kv-memory", "1", "--max-total-tokens", r.choice(("300", "500")),
                      "--max-concurrent-requests", str(self.permits), "--speculate", str(self.speculate),
                      "--max-batch-prefill-tokens", r.choice(("16", "100", "4096")), "--enable-prefill-logprobs",
                      "--prefix-caching", r.choice(("true", "true", "false")), "--payload-limit", str(PAYLOAD_LIMIT),
                      "--threads", r.choice(("1", "2")), "--graceful-termination-timeout", str(self.grace_s)]
        self.log_path = Path(folder) / f"server{number}.log"
        clean = {k: v for k, v in os.environ.items() if k not in ("HOSTNAME", "PORT", "PROMETHEUS_PORT")}
        # A small quarantine: freed memory that is kept apart is not the server's growth.
        clean["ASAN_OPTIONS"] = "quarantine_size_mb=8:" + clean.get("ASAN_OPTIONS", "")
        with open(self.log_path, "w") as log:
            self.process = subprocess.Popen([program, "serve", "--hostname", "127.0.0.1", "--port", "0", "--prometheus-port", "0",
                                             "--model-id", str(MODEL), *self.flags], stderr=log, env=clean)
        self.port = self._wait_ready()

    def log(self):
        return self.log_path.read_text(errors="replace")

    def _wait_ready(self):
        for _ in range(1200):
            found = re.search(r"listening on http://[^:]+:(\d+)", self.log())
            if found:
                return int(found.group(1))
            if self.process.poll() is not None:
                break
            time.sleep(0.05)
        raise Failure("the server did not get ready:\n" + self.log())

    def rss_bytes(self):
        try:
            status = Path(f"/proc/{self.process.pid}/status").read_text()
        except FileNotFoundError as e:
            raise Failure("the server is gone") from e
        found = re.search(r"VmRSS:\s+(\d+)", status)
        if not found:
            raise Failure("the server has died")
        return int(found.group(1)) << 10


class Round:
    def __init__(self, server, seed, references):
        self.server, self.port, self.seed, self.references = server, server.port, seed, references
        self.counts, self.statuses = Counter(), Counter()
        self.reference_asks = asks.REFERENCES + (asks.OPENAI_REFERENCES if server.speaks_openai else [])
        self.leaving = False    # SIGTERM was sent, when: no connection is no failure any more
        self.left = 0
        self.begun = 0          # responses that have a head and no end yet
        self.rss = []           # (seconds, bytes)

    # ---- one request and its response

    async def ask(self, path, body, allowed=(200, 422, 429)):
        """One good request on a connection of its own; the response is looked at."""
        async with Connection(self.port) as c:
            await c.send(message("POST", path, body))
            return await self.answer(c, path, body, allowed)

    async def answer(self, c, path, body, allowed, pause=None):
        response = await c.read_head()
        self.statuses[response.status] += 1
        if response.status not in allowed:
            raise BadResponse(f"status {response.status} for {path} {str(body)[:300]}")
        self.begun += 1
        try:
            return response, await self._answer_body(c, response, path, body, pause)
        except Gone as e:
            if self.leaving and time.monotonic() < self.left + self.server.grace_s - CLOCK_S:
                raise BadResponse(f"a response was cut although the grace was not over: {e}") from e
            raise
        finally:
            self.begun -= 1

    async def _answer_body(self, c, response, path, body, pause):
        if response.headers.get("content-type") == "text/event-stream":
            check = asks.ChunkCheck(body) if path.startswith("/v1") else asks.StreamCheck(body)
            async for piece in c.pieces(response):
                check.feed(piece)
                if pause:
                    await asyncio.sleep(pause)
            check.end()
            self.counts["stream errors" if check.error else "streams"] += 1
            if check.error not in (None, "overloaded", "validation"):
                raise BadResponse(f"a stream ended with {check.error}")
            return check
        response.body = b"".join([piece async for piece in c.pieces(response)])
        if response.status == 200:
            asks.check_whole(path, body, response.json())
            self.counts["answers"] += 1
        else:
            asks.check_error(response.status, response.body)
        return response

    # ---- what clients do

    def good(self, r):
        return asks.openai(r) if self.server.speaks_openai and r.random() < 0.4 else asks.native(r)

    async def polite(self, r):
        """Several requests on one connection."""
        async with Connection(self.port) as c:
            for _ in range(r.randint(1, 4)):
                path, body = self.good(r)
                await c.send(message("POST", path, body))
                response, _ = await self.answer(c, path, body, (200, 422, 429))
                if response.closes:
                    return

    async def reference(self, r):
        await self.check_reference(r.randrange(len(self.reference_asks)))

    async def check_reference(self, i):
        path, body = self.reference_asks[i]
        _, got = await self.ask(path, body, (200, 429))
        if isinstance(got, (asks.StreamCheck, asks.ChunkCheck)):
            if got.error:
                return False
            data = b"\n\n".join(got.frames)
        elif got.status == 429:
            return False
        else:
            data = got.body
        data = re.sub(rb'"cached_tokens":\d+|"id":"[^"]*"|"created":\d+', b"", data)
        want = self.references.setdefault(i, data)
        if data != want:
            raise BadResponse(f"reference {i} {path} {body} has other bytes:\n{data!r}\nat first it had\n{want!r}")
        self.counts["references"] += 1
        return True

    async def small(self, r):
        """Routes that generate nothing."""
        async with Connection(self.port) as c:
            path = r.choice(("/health", "/ping", "/", "/info", "/metrics", "/nowhere", "/generate", "/tokenize"))
            text = asks.inputs(r)
            await c.send(message("POST", path, {"inputs": text}) if path == "/tokenize" else message("GET", path))
            response = await c.read()
            want = {"/nowhere": 404, "/generate": 405}.get(path, 200)
            if response.status != want:
                raise BadResponse(f"{path}: {response.status}")
            if path == "/tokenize":
                data = text.encode()
                if not all(t["text"] == data[t["start"]:t["stop"]].decode() for t in response.json()):
                    raise BadResponse(f"tokens of {text!r} have other texts than it has in their places")

    async def bad(self, r):
        path, body = asks.bad(r)
        async with Connection(self.port) as c:
            await c.send(message("POST", path, body))
            response = await c.read()
            self.statuses[response.status] += 1
            if response.status == 200 and response.headers["content-type"] == "text/event-stream":
                kind = asks.check_error(0, response.body.removeprefix(b"data:").strip(), in_stream=True)
                if kind not in ("validation", "overloaded"):
                    raise BadResponse(f"{kind} for {path} {body[:300]!r}")
            elif response.status in (400, 422, 429):
                if response.headers.get("content-type") == "application/json":
                    asks.check_error(response.status, response.body)
            else:
                raise BadResponse(f"status {response.status} for {path} {body[:300]!r}")

    async def oversize(self, r):
        async with Connection(self.port) as c:
            n = PAYLOAD_LIMIT + r.randint(1, 300000)
            chunked = r.random() < 0.5
            head = message("POST", "/generate", b"" if chunked else None, **({} if chunked else
                           {"content_type": "application/json", "content_length": n}))
            if chunked:
                head = head.replace(b"content-length: 0", b"transfer-encoding: chunked")
                await c.send(head + b"%x\r\n" % n)
            else:
                await c.send(head)
            sender = asyncio.ensure_future(c.send(b"x" * (n if chunked else r.choice((0, n // 2, n)))))
            try:
                response = await c.read()
            finally:
                sender.cancel()
            if response.status != 413 or not response.closes:
                raise BadResponse(f"{response.status} for a body of {n} bytes")
            self.statuses[413] += 1

    async def half(self, r):
        """A request that stops somewhere in its middle."""
        path, body = self.good(r)
        data = message("POST", path, body)
        async with Connection(self.port) as c:
            await c.send(data[:r.randrange(len(data))])
            await asyncio.sleep(r.choice((0, 0, 0.05, 0.5)))
            if r.random() < 0.5:
                c.abort()

    async def nonsense(self, r):
        """Bytes that are no HTTP: 4xx or 501, and the connection ends."""
        async with Connection(self.port) as c:
            await c.send(r.choice((b"\r\n\r\n\x00", b"GET / HTTP/9.9\r\n\r\n", r.randbytes(300) + b"\r\n\r\n",
                                   b"GET /health HTTP/1.1\r\nhost: a\r\nhost: b\r\n\r\n", b"GET /" + b"a" * 70000)))
            c.writer.write_eof()
            try:
                response = await c.read()
            except Gone:
                return  # an end without a word is fine where no request was
            if not (400 <= response.status < 500 or response.status in (501, 505)) or not response.closes:
                raise BadResponse(f"{response.status} for nonsense")

    async def pipelined(self, r):
        """Several at once; they are answered in order, whatever came before."""
        requests = [self.good(r) for _ in range(r.randint(2, 6))]
        async with Connection(self.port) as c:
            sender = asyncio.ensure_future(c.send(b"".join(message("POST", *q) for q in requests)))
            try:
                for path, body in requests:
                    response, _ = await self.answer(c, path, body, (200, 422, 429))
                    if response.closes:
                        return
            finally:
                sender.cancel()

    async def slow(self, r):
        """Reads a stream more slowly than it is made."""
        body = {"inputs": asks.inputs(r), "parameters": {**asks.parameters(r, True), "max_new_tokens": r.randint(5, 100)}}
        async with Connection(self.port, receive_bytes=2048) as c:
            await c.send(message("POST", "/generate_stream", body))
            await asyncio.sleep(r.uniform(0, 1))
            await self.answer(c, "/generate_stream", body, (200, 422, 429), pause=r.choice((0.001, 0.01, 0.05)))

    async def leaver(self, r):
        """Leaves at any time, politely or not, without having read all."""
        path, body = self.good(r)
        async with Connection(self.port) as c:
            await c.send(message("POST", path, body) * r.choice((1, 1, 3)))
            if r.random() < 0.5:
                await asyncio.sleep(r.expovariate(5))
            else:
                try:
                    await c.reader.read(r.randint(1, 3000))
                except ConnectionError:
                    pass
            if r.random() < 0.5:
                c.abort()

    async def flood(self, r):
        """Many connections at once; most say nothing."""
        async def one(what):
            async with Connection(self.port) as c:
                if what == 0:
                    await c.send(message("GET", "/health"))
                    if (await c.read()).status != 200:
                        raise BadResponse("/health is not 200 in a flood")
                elif what == 1:
                    await c.send(b"POST /generate HTTP/1.1\r\n")
                else:
                    await asyncio.sleep(0.05)
        await asyncio.gather(*(one(r.randrange(4)) for _ in range(r.randint(20, 150))))

    KINDS = ((polite, 30), (reference, 16), (small, 10), (bad, 12), (oversize, 3), (half, 6), (nonsense, 3), (pipelined, 8),
             (slow, 6), (leaver, 16), (flood, 1))

    # ---- a round

    async def client(self, number, until):
        r = random.Random(f"{self.seed} {number}")
        kinds, weights = zip(*self.KINDS)
        while time.monotonic() < until and not self.leaving:
            kind = r.choices(kinds, weights)[0]
            try:
                await kind(self, r)
                self.counts["done"] += 1
                self.counts[kind.__name__] += 1
                await asyncio.sleep(r.expovariate(30))
            except (Gone, OSError) as e:
                if self.leaving:
                    return
                raise Failure(f"client `{kind.__name__}`: {e!r}") from e
            except BadResponse as e:
                raise Failure(f"client `{kind.__name__}`: {e}") from e

    async def clients(self, seconds, begin=0):
        until = time.monotonic() + seconds
        tasks = [asyncio.ensure_future(self.client(begin + i, until)) for i in range(N_CLIENTS)]
        try:
            await asyncio.gather(*tasks)
        finally:
            for t in tasks:
                t.cancel()

    async def watch(self, tell):
        begin = time.monotonic()
        while True:
            await asyncio.sleep(1)
            self.rss.append((time.monotonic() - begin, self.server.rss_bytes()))
            if len(self.rss) % 5 == 0:
                tell(self)

    async def metrics(self):
        async with Connection(self.port) as c:
            await c.send(message("GET", "/metrics"))
            text = (await c.read()).body.decode()
        sums = Counter()
        for name, value in re.findall(r"^(\w+)(?:\{[^}]*\})? (\S+)$", text, re.M):
            sums[name] += float(value)
        return sums

    async def settle(self):
        """Waits until nothing is in flight; then the books must balance."""
        until = time.monotonic() + QUIET_SECONDS
        while True:
            m = await self.metrics()
            held = {k: m[k] for k in ("tgi_queue_size", "tgi_batch_current_size", "prompteur_kv_pages_used") if m[k]}
            ended = sum(m[f"prompteur_sequences_{k}_total"] for k in ("finished", "cancelled", "failed"))
            told = m["tgi_request_success"] + m["tgi_request_failure"]
            all_told = told == m["tgi_request_count"]
            if self.server.speaks_openai:  # TGI counts their calls and each of their prompts, but tells once
                all_told = told <= m["tgi_request_count"]
            if not held and ended == m["prompteur_sequences_submitted_total"] and all_told:
                break
            if time.monotonic() > until:
                raise Failure(f"the books do not balance: still held {held}; {m['prompteur_sequences_submitted_total']:.0f} "
                              f"sequences submitted, {ended:.0f} ended; {m['tgi_request_count']:.0f} requests, {told:.0f} "
                              "told to have succeeded or failed")
            await asyncio.sleep(0.1)
        if m["prompteur_sequences_failed_total"]:
            raise Failure(f"{m['prompteur_sequences_failed_total']:.0f} sequences failed")
        return m

    async def burst(self):
        """As many at once as there are permits: none may be lost."""
        body = {"inputs": "Once upon a time", "parameters": {"max_new_tokens": 10}}
        await asyncio.gather(*(self.ask("/generate", body, (200,)) for _ in range(self.server.permits)))
        for i in range(len(self.reference_asks)):
            if not await self.check_reference(i):
                raise Failure(f"reference {i} was refused by an idle server")

    def check_flat(self):
        if len(self.rss) < 12:
            return
        third = len(self.rss) // 3
        before, after = (sorted(b for _, b in part)[third // 2] for part in (self.rss[third:2 * third], self.rss[-third:]))
        if after > before + FLAT_BYTES:
            raise Failure(f"memory grows: {before >> 20} MiB in the middle of the round, {after >> 20} MiB at its end")

    async def terminate(self):
        """SIGTERM while clients are at it."""
        load = asyncio.ensure_future(self.clients(60, begin=1000))
        await asyncio.sleep(2)
        if load.done():
            load.result()
        begun, begin = self.begun, time.monotonic()
        self.leaving, self.left = True, begin
        self.server.process.send_signal(signal.SIGTERM)
        while self.server.process.poll() is None:
            if time.monotonic() > begin + self.server.grace_s + 30:
                raise Failure(f"SIGTERM with {begun} responses begun: still there after {time.monotonic() - begin:.0f} s")
            await asyncio.sleep(0.02)
        took = time.monotonic() - begin
        await load
        if self.server.process.returncode != 0:
            raise Failure(f"exit code {self.server.process.returncode} after SIGTERM")
        self.counts["ended after ms"] = int(took * 1000)

    def check_log(self):
        log = self.server.log()
        found = re.search(r".*(Sanitizer|runtime error|ERROR).*", log)
        if found:
            raise Failure("the server's log has: " + log[found.start():found.start() + 4000])

    async def run(self, seconds, tell):
        for i in range(len(self.reference_asks)):
            await self.check_reference(i)
        watch = asyncio.ensure_future(self.watch(tell))
        work = asyncio.ensure_future(self.clients(seconds))
        try:
            await asyncio.wait((watch, work), return_when=asyncio.FIRST_COMPLETED)
            if watch.done():
                watch.result()
            await work
        finally:
            watch.cancel()
            work.cancel()
        self.check_flat()
        await self.settle()
        await self.burst()
        self.final = await self.settle()
        await self.terminate()


def summary(rounds):
    rows = [("permits", lambda x: x.server.permits), ("speculate", lambda x: x.server.speculate),
            ("clients' acts", lambda x: x.counts["done"]), ("answers", lambda x: x.counts["answers"]),
            ("streams", lambda x: x.counts["streams"]), ("references", lambda x: x.counts["references"]),
            ("refused 4xx", lambda x: sum(v for k, v in x.statuses.items() if 400 <= k < 500) + x.counts["stream errors"]),
            *((name, lambda x, k=k: int(x.final[k])) for name, k in (
                ("sequences submitted", "prompteur_sequences_submitted_total"), ("finished", "prompteur_sequences_finished_total"),
                ("cancelled", "prompteur_sequences_cancelled_total"), ("set back", "prompteur_sequences_set_back_total"),
                ("prompt tokens reused", "prompteur_prefix_cache_hit_tokens_total"),
                ("guesses accepted", "prompteur_speculation_accepted_tokens_total"))),
            ("memory MiB, middle", lambda x: x.rss[len(x.rss) // 2][1] >> 20), ("memory MiB, end", lambda x: x.rss[-1][1] >> 20),
            ("ended after SIGTERM, ms", lambda x: x.counts["ended after ms"])]
    print(f"{'round':26}" + "".join(f"{i:>9}" for i in range(1, len(rounds) + 1)))
    for name, value in rows:
        print(f"{name:26}" + "".join(f"{value(x):>9}" for x in rounds))


def main():
    p = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    p.add_argument("--program", required=True)
    p.add_argument("--seconds", type=float, default=600)
    p.add_argument("--seed", type=int, default=None)
    o = p.parse_args()
    seed = o.seed if o.seed is not None else random.SystemRandom().randrange(10**6)
    n = max(2, round(o.seconds / ROUND_SECONDS))
    print(f"soak: {o.seconds:.0f} s in {n} rounds, seed {seed}", flush=True)
    begin, done, references = time.monotonic(), [], {}

    def tell(x):
        print(f"{time.monotonic() - begin:6.0f} s  round {len(done) + 1}  {x.counts['done']:7} acts  {x.counts['answers']:6} "
              f"answers  {x.counts['streams']:6} streams  {x.counts['references']:5} references  {x.statuses[429]:6} x 429  "
              f"{x.rss[-1][1] >> 20:5} MiB", flush=True)

    with tempfile.TemporaryDirectory(prefix="prompteur-soak-") as folder:
        for number in range(n):
            r = random.Random(f"{seed} {number}")
            server = Server(o.program, r, number, folder)
            one = Round(server, f"{seed} {number}", references)
            try:
                asyncio.run(one.run(o.seconds / n, tell))
                one.check_log()
            except (Failure, BadResponse, Gone, OSError) as e:
                server.process.kill()
                server.process.wait()
                print(f"\nsoak failed in round {number + 1}, --seed {seed}, server flags {' '.join(server.flags)}:\n{e!s:.5000}\n"
                      f"the end of the server's log:\n{server.log()[-6000:]}", flush=True)
                return 1
            finally:
                if server.process.poll() is None:
                    server.process.kill()
                    server.process.wait()
            done.append(one)
    summary(done)
    return 0


if __name__ == "__main__":
    sys.exit(main())
