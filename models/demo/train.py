"""Trains the demo model on build/corpus.jsonl with build/tokenizer.json; on a CPU, resumable.

Every row starts where a document starts, as every prompt does when the model is served, and goes on with the
documents that follow. The last part of the steps uses rows as long as the model's context. State is kept in
build/state.pt; running the same command again goes on from there.
"""

import argparse
import json
import math
import time
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from tokenizers import Tokenizer

from net import Llama
from tokenizer import document_text

HERE = Path(__file__).parent
BUILD = HERE / "build"
SEED = 7
ROW_TOKENS, BATCH_TOKENS = 256, 8192
LONG_ROWS_FROM = 0.93  # share of the steps after which rows have the whole context's length
PEAK_RATE, WARMUP_STEPS, WEIGHT_DECAY = 3e-3, 100, 0.1
HELD_OUT = 500         # last documents of the corpus, never trained on


def tokenize(corpus, tokenizer):
    """All documents' tokens end to end, and where each document starts."""
    texts = [document_text(json.loads(line)) for line in corpus.open()]
    tokens, starts, n = [], [], 0
    for i in range(0, len(texts), 4096):
        for encoding in tokenizer.encode_batch_fast(texts[i:i + 4096]):
            ids = np.array(encoding.ids, dtype=np.uint16)
            starts.append(n)
            tokens.append(ids)
            n += len(ids)
    return np.concatenate(tokens), np.array(starts, dtype=np.int64)


def load_tokens():
    kept, corpus = BUILD / "tokens.npz", BUILD / "corpus.jsonl"
    if not kept.exists() or kept.stat().st_mtime < corpus.stat().st_mtime:
        tokens, starts = tokenize(corpus, Tokenizer.from_file(str(BUILD / "tokenizer.json")))
        np.savez(kept, tokens=tokens, starts=starts)
    data = np.load(kept)
    return data["tokens"], data["starts"]


def rows(tokens, starts, first_document, n_row, n_tok):
    """n_row rows of n_tok + 1 tokens; row i starts at document first_document[i]."""
    picked = np.stack([tokens[starts[d]:starts[d] + n_tok + 1].astype(np.int64) for d in first_document[:n_row]])
    return torch.from_numpy(picked)


def loss_of(model, batch):
    with torch.autocast("cpu", dtype=torch.bfloat16):
        logits = model(batch[:, :-1])
    return F.cross_entropy(logits.float().reshape(-1, logits.shape[-1]), batch[:, 1:].reshape(-1))


def held_out_loss(model, tokens, starts):
    with torch.no_grad():
        documents = np.arange(len(starts) - HELD_OUT, len(starts) - 100, 8)
        losses = [loss_of(model, rows(tokens, starts, documents[i:i + 10], 10, ROW_TOKENS)) for i in range(0, 40, 10)]
    return torch.stack(losses).mean().item()


def rate(step, n_step):
    """Warm-up, then a half cosine down to a twentieth."""
    if step < WARMUP_STEPS:
        return PEAK_RATE * (step + 1) / WARMUP_STEPS
    share = (step - WARMUP_STEPS) / max(1, n_step - WARMUP_STEPS)
    return PEAK_RATE * (0.05 + 0.95 * 0.5 * (1 + math.cos(math.pi * share)))


def optimizer_for(model):
    matrices = [p for p in model.parameters() if p.dim() == 2]
    vectors = [p for p in model.parameters() if p.dim() == 1]
    groups = [{"params": matrices, "weight_decay": WEIGHT_DECAY}, {"params": vectors, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=PEAK_RATE, betas=(0.9, 0.95), fused=True)


def save_state(path, model, optimizer, step, seconds):
    new = path.with_suffix(".new")
    torch.save({"model": model.state_dict(), "optimizer": optimizer.state_dict(), "step": step, "seconds": seconds}, new)
    new.replace(path)


def train(args):
    torch.manual_seed(SEED)
    torch.set_num_threads(args.threads)
    tokens, starts = load_tokens()
    model = Llama()
    optimizer = optimizer_for(model)
    step, before, state = 0, 0.0, BUILD / "state.pt"
    if state.exists():
        kept = torch.load(state)
        model.load_state_dict(kept["model"])
        optimizer.load_state_dict(kept["optimizer"])
        step, before = kept["step"], kept["seconds"]
    print(f"{model.describe()}\n{len(starts)} documents, {len(tokens)} tokens; from step {step}", flush=True)
    compiled_loss = torch.compile(loss_of, dynamic=False)  # halves the time; needs a C++ compiler
    began, mean = time.monotonic(), None
    while step < args.steps:
        n_tok = model.shape.max_position if step >= LONG_ROWS_FROM * args.steps else ROW_TOKENS
        n_row = BATCH_TOKENS // n_tok
        # Documents are drawn anew from (seed, step), so that a resumed run draws what an unbroken one would.
        documents = np.random.default_rng((SEED, step)).integers(0, len(starts) - HELD_OUT - 100, n_row)
        for group in optimizer.param_groups:
            group["lr"] = rate(step, args.steps)
        loss = compiled_loss(model, rows(tokens, starts, documents, n_row, n_tok))
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        step += 1
        mean = loss.item() if mean is None else 0.95 * mean + 0.05 * loss.item()
        seconds = before + time.monotonic() - began
        if step % 20 == 0:
            print(f"step {step}/{args.steps} loss {mean:.3f} tokens {step * BATCH_TOKENS / 1e6:.1f} M "
                  f"minutes {seconds / 60:.1f}", flush=True)
        if step % 200 == 0 or step == args.steps:
            save_state(state, model, optimizer, step, seconds)
            print(f"held-out loss {held_out_loss(model, tokens, starts):.4f}", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=900)
    parser.add_argument("--threads", type=int, default=1)
    train(parser.parse_args())


if __name__ == "__main__":
    main()
