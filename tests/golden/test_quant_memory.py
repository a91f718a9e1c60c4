"""What quantised weights take: resident size against 16 bits, and the peak on the way, which is the packed model and one
tensor."""

import json
import re
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from quant_checkpoints import config, save

sys.path.append(str(Path(__file__).resolve().parents[1] / "api"))
from conftest import Server  # noqa: E402

D, FF, LAYERS, VOCAB = 1024, 2816, 4, 512
LINEAR_BYTES = 2 * LAYERS * (3 * D * D + 3 * D * FF)  # q, o; k and v of half the heads; gate, up, down
LARGEST_TENSOR = 2 * D * FF
MIB = 1 << 20


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """16-bit random weights, with a tokenizer of bytes."""
    f = tmp_path_factory.mktemp("wide")
    noise = np.random.default_rng(1).standard_normal(D * FF).astype(np.float16) / np.float16(30)

    def tensor(*shape):
        return noise[:np.prod(shape)].reshape(shape)

    t = {"model.embed_tokens.weight": tensor(VOCAB, D), "lm_head.weight": tensor(VOCAB, D), "model.norm.weight": tensor(D)}
    for i in range(LAYERS):
        p = f"model.layers.{i}."
        t |= {p + "input_layernorm.weight": tensor(D), p + "post_attention_layernorm.weight": tensor(D),
              p + "self_attn.q_proj.weight": tensor(D, D), p + "self_attn.k_proj.weight": tensor(D // 2, D),
              p + "self_attn.v_proj.weight": tensor(D // 2, D), p + "self_attn.o_proj.weight": tensor(D, D),
              p + "mlp.gate_proj.weight": tensor(FF, D), p + "mlp.up_proj.weight": tensor(FF, D),
              p + "mlp.down_proj.weight": tensor(D, FF)}
    save(f / "model.safetensors", t)
    (f / "config.json").write_text(json.dumps(config() | {
        "hidden_size": D, "intermediate_size": FF, "num_hidden_layers": LAYERS, "num_attention_heads": 16,
        "num_key_value_heads": 8, "vocab_size": VOCAB, "tie_word_embeddings": False}))
    alphabet = {chr(i): i for i in range(32, 127)}
    (f / "tokenizer.json").write_text(json.dumps({
        "version": "1.0", "added_tokens": [], "normalizer": None, "pre_tokenizer": None, "post_processor": None,
        "decoder": None, "model": {"type": "BPE", "vocab": alphabet, "merges": []}}))
    return f


def measure(folder, log, *flags):
    """Bytes of a server with settled weights: (anonymous, all, most at any time), and what its log says of weights."""
    s = Server(log, "--kv-memory", "16", "--threads", "1", "--max-total-tokens", "64", *flags, model=folder)
    try:
        deadline = time.monotonic() + 60
        while "weights sha256" not in s.log() and time.monotonic() < deadline:
            time.sleep(0.05)
        status = Path(f"/proc/{s.process.pid}/status").read_text()
        told = int(re.search(r"weights: .* (\d+) MiB once they are packed", s.log()).group(1))
        kib = {k: int(v) for k, v in re.findall(r"(RssAnon|VmRSS|VmHWM):\s+(\d+) kB", status)}
        assert s.generate("a b", max_new_tokens=2).status_code == 200
    finally:
        assert s.stop() == 0, s.log()
    return kib["RssAnon"] * 1024, kib["VmRSS"] * 1024, kib["VmHWM"] * 1024, told * MIB


def test_resident_size(folder, tmp_path):
    plain = measure(folder, tmp_path / "log")
    base = plain[0] - LINEAR_BYTES
    for method, low, high in (("eetq", 0.5, 0.52), ("bitsandbytes", 0.5, 0.52), ("fp8", 0.5, 0.52),
                              ("bitsandbytes-nf4", 0.27, 0.30), ("bitsandbytes-fp4", 0.27, 0.30)):
        anonymous, resident, peak, told = measure(folder, tmp_path / f"log-{method}", "--quantize", method)
        share = (anonymous - base) / LINEAR_BYTES
        assert low - 0.03 < share < high + 0.03, f"{method}: {share:.3f} of 16 bits"
        told_share = (told - (plain[3] - LINEAR_BYTES)) / LINEAR_BYTES
        assert low - 0.03 < told_share < high + 0.03, f"{method}: the log says {told_share:.3f}"
        assert peak - resident < LARGEST_TENSOR + 12 * MIB, f"{method}: {(peak - resident) / MIB:.1f} MiB more on the way"
