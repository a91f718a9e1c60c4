"""Tiny llama checkpoints in every quantised format, made by NumPy from the published layouts, each with the numbers that
its codes mean.

A kind is a function (rng, n_out, n_in) -> ({suffix: tensor}, numbers float32 [n_out, n_in]). A tensor is an array, or a
pair (safetensors dtype, array of its bytes' size) where NumPy has no such dtype.
"""

import json
import struct

import numpy as np

F32, F16, I32 = np.float32, np.float16, np.int32
NAMES = {"float32": "F32", "float16": "F16", "int32": "I32", "int64": "I64", "int8": "I8", "uint8": "U8"}
LAYERS, D, FF, HEADS, KV, VOCAB = 2, 96, 136, 4, 2, 64
LINEARS = {"self_attn.q_proj": (D, D), "self_attn.k_proj": (D // 2, D), "self_attn.v_proj": (D // 2, D),
           "self_attn.o_proj": (D, D), "mlp.gate_proj": (FF, D), "mlp.up_proj": (FF, D), "mlp.down_proj": (D, FF)}


def save(path, tensors):
    """safetensors, written by hand: NumPy's own writer knows neither bfloat16 nor float8. Wide elements come first, so
    that all are aligned, as the library has them too."""
    header, at, data = {}, 0, []
    pairs = {n: t if isinstance(t, tuple) else (NAMES[str(t.dtype)], t) for n, t in tensors.items()}
    for name, (dtype, x) in sorted(pairs.items(), key=lambda p: -p[1][1].itemsize):
        raw = np.ascontiguousarray(x).tobytes()
        header[name] = {"dtype": dtype, "shape": list(x.shape), "data_offsets": [at, at + len(raw)]}
        at += len(raw)
        data.append(raw)
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    path.write_bytes(struct.pack("<Q", len(text)) + text + b"".join(data))


def bf16(x):
    """Rounded to bfloat16: (tensor, its numbers)."""
    u = np.ascontiguousarray(x, F32).view(np.uint32).astype(np.uint64)
    h = ((u + 0x7FFF + (u >> 16 & 1)) >> 16).astype(np.uint16)
    return ("BF16", h), (h.astype(np.uint32) << 16).view(F32)


def e4m3_numbers():
    """All 256 of them, from the definition."""
    code = np.arange(256)
    e, m = code >> 3 & 15, code & 7
    x = np.where(e == 0, m / 8 * 2.0**-6, (1 + m / 8) * 2.0 ** (e - 7.0))
    x = np.where(code & 128, -x, x).astype(F32)
    x[[0x7F, 0xFF]] = np.nan
    return x


E4M3 = e4m3_numbers()


def words(x, bits):
    """[..., n] small whole numbers -> [..., n * bits / 32], the first in the lowest bits."""
    per = 32 // bits
    x = np.concatenate([x, np.zeros(x.shape[:-1] + (-x.shape[-1] % per,), x.dtype)], -1).astype(np.uint64)
    x = x.reshape(*x.shape[:-1], -1, per)
    return (x << (np.arange(per, dtype=np.uint64) * np.uint64(bits))).sum(-1).astype(np.uint32).view(I32)


def spread_scales(rng, *shape):
    return (rng.uniform(0.2, 1, shape) * 0.03).astype(F32)


# ---- GPTQ, AWQ ----

def gptq(bits=4, group=32, act_order=False, v2=False, scale=F16):
    def make(rng, n_out, n_in):
        g = group if group > 0 else n_in
        n_group, top = -(-n_in // g), 2**bits
        idx = (rng.permutation(n_in) if act_order else np.arange(n_in)) // g
        q, z = rng.integers(0, top, (n_in, n_out)), rng.integers(0, top, (n_group, n_out))
        s = spread_scales(rng, n_group, n_out).astype(scale)
        stored = z if v2 else (z - 1) % top
        t = {"qweight": words(q.T, bits).T, "qzeros": words(stored, bits), "scales": s, "g_idx": idx.astype(I32)}
        return t, ((q - z[idx]).astype(F32) * s[idx].astype(F32)).T

    config = {"quant_method": "gptq", "bits": bits, "group_size": group, "desc_act": act_order,
              "checkpoint_format": "gptq_v2" if v2 else "gptq"}
    return make, config


def awq(group):
    def make(rng, n_out, n_in):
        g = group if group > 0 else n_in
        n_group = -(-n_in // g)
        q, z = rng.integers(0, 16, (n_in, n_out)), rng.integers(0, 16, (n_group, n_out))
        s = spread_scales(rng, n_group, n_out).astype(F16)
        order = [0, 2, 4, 6, 1, 3, 5, 7]

        def packed(x):
            return words(x.reshape(x.shape[0], -1, 8)[:, :, order].reshape(x.shape), 4)

        idx = np.arange(n_in) // g
        return ({"qweight": packed(q), "qzeros": packed(z), "scales": s},
                ((q - z[idx]).astype(F32) * s[idx].astype(F32)).T)

    return make, {"quant_method": "awq", "bits": 4, "group_size": group, "version": "gemm", "zero_point": True}


# ---- compressed-tensors ----

def compressed(fmt, **weights):
    return {"quant_method": "compressed-tensors", "format": fmt, "quantization_status": "compressed",
            "ignore": ["lm_head", "re:.*k_proj"],
            "config_groups": {"group_0": {"targets": ["Linear"], "weights": weights, "input_activations": None}}}


def packed(bits=4, group=32, asymmetric=False, plain_zeros=False, act_order=False):
    def make(rng, n_out, n_in):
        g = group if group else n_in
        n_group, half = -(-n_in // g), 2 ** (bits - 1)
        idx = (rng.permutation(n_in) if act_order else np.arange(n_in)) // g
        q = rng.integers(-half, half, (n_out, n_in))
        z = rng.integers(-half, half, (n_out, n_group)) if asymmetric else np.zeros((n_out, n_group), int)
        tensor, s = bf16(spread_scales(rng, n_out, n_group))
        t = {"weight_packed": words(q + half, bits), "weight_scale": tensor, "weight_shape": np.array([n_out, n_in])}
        if asymmetric:
            t["weight_zero_point"] = z.astype(np.int8) if plain_zeros else words((z + half).T, bits).T
        if act_order:
            t["weight_g_idx"] = idx.astype(I32)
        return t, (q - z[:, idx]).astype(F32) * s[:, idx]

    return make, compressed("pack-quantized", num_bits=bits, type="int", symmetric=not asymmetric,
                            strategy="group" if group else "channel", group_size=group)


def int8(asymmetric=False):
    def make(rng, n_out, n_in):
        q, s = rng.integers(-128, 128, (n_out, n_in)), spread_scales(rng, n_out, 1) / 8
        z = rng.integers(-128, 128, (n_out, 1)) if asymmetric else np.zeros((n_out, 1), int)
        t = {"weight": q.astype(np.int8), "weight_scale": s}
        if asymmetric:
            t["weight_zero_point"] = z.astype(np.int8)
        return t, (q - z).astype(F32) * s

    return make, compressed("int-quantized", num_bits=8, type="int", symmetric=not asymmetric, strategy="channel")


def fp8_codes(rng, n_out, n_in):
    q = rng.integers(0, 256, (n_out, n_in)).astype(np.uint8)
    q[(q & 0x7F) > 0x68] &= 0x5F  # not so large, and no NaN
    return q


def fp8_tensor():
    def make(rng, n_out, n_in):
        q, s = fp8_codes(rng, n_out, n_in), spread_scales(rng, 1)
        return {"weight": ("F8_E4M3", q), "weight_scale": s, "input_scale": s}, E4M3[q] * s

    return make, compressed("float-quantized", num_bits=8, type="float", strategy="tensor")


def fp8_block(rows, cols):
    def make(rng, n_out, n_in):
        q, s = fp8_codes(rng, n_out, n_in), spread_scales(rng, -(-n_out // rows), -(-n_in // cols))
        full = s[np.arange(n_out) // rows][:, np.arange(n_in) // cols]
        return {"weight": ("F8_E4M3", q), "weight_scale_inv": s}, E4M3[q] * full

    return make, {"quant_method": "fp8", "fmt": "e4m3", "activation_scheme": "dynamic", "weight_block_size": [rows, cols]}


# ---- bitsandbytes ----

NF4 = np.array([-1.0, -0.6961928009986877, -0.5250730514526367, -0.39491748809814453, -0.28444138169288635,
                -0.18477343022823334, -0.09105003625154495, 0.0, 0.07958029955625534, 0.16093020141124725,
                0.24611230194568634, 0.33791524171829224, 0.44070982933044434, 0.5626170039176941,
                0.7229568362236023, 1.0], F32)
FP4 = np.array([0, 0.0625, 8, 12, 4, 6, 2, 3, 0, -0.0625, -8, -12, -4, -6, -2, -3], F32) / F32(12)


def bnb4(kind, block, nested):
    code = NF4 if kind == "nf4" else FP4

    def make(rng, n_out, n_in):
        n = n_out * n_in
        q, n_block = rng.integers(0, 16, n + n % 2), -(-n // block)
        state = {"quant_type": kind, "blocksize": block, "dtype": "float16", "shape": [n_out, n_in]}
        name = "weight.quant_state.bitsandbytes__" + kind
        t = {"weight": (q[::2] << 4 | q[1::2]).astype(np.uint8)[:, None], "weight.quant_map": code}
        if nested:
            offset = F32(0.1)
            table, top = np.linspace(-1, 1, 256, dtype=F32), spread_scales(rng, -(-n_block // 256))
            codes = rng.integers(0, 256, n_block).astype(np.uint8)
            t |= {"weight.absmax": codes, "weight.nested_absmax": top, "weight.nested_quant_map": table}
            state |= {"nested_blocksize": 256, "nested_dtype": "float32", "nested_offset": float(offset)}
            absmax = table[codes] * top[np.arange(n_block) // 256] + offset
        else:
            absmax = t["weight.absmax"] = spread_scales(rng, n_block) * F32(9)
        t[name] = np.frombuffer(json.dumps(state).encode(), np.uint8)
        x = (code[q[:n]] * absmax[np.arange(n) // block]).astype(F16).astype(F32)
        return t, x.reshape(n_out, n_in)

    return make, {"quant_method": "bitsandbytes", "load_in_4bit": True, "load_in_8bit": False,
                  "bnb_4bit_quant_type": kind, "bnb_4bit_quant_storage": "uint8"}


KINDS = {
    "gptq": gptq(),
    "gptq-act-order": gptq(group=16, act_order=True),
    "gptq-short-group": gptq(group=40, act_order=True, scale=F32),
    "gptq-row": gptq(group=-1),
    "gptq-8bit": gptq(bits=8, group=24, act_order=True),
    "gptq-v2": gptq(v2=True),
    "awq": awq(16),
    "awq-row": awq(-1),
    "awq-odd-group": awq(20),
    "packed4": packed(),
    "packed4-zeros": packed(asymmetric=True, group=16),
    "packed4-plain-zeros": packed(asymmetric=True, plain_zeros=True),
    "packed4-act-order": packed(act_order=True, group=8),
    "packed8": packed(bits=8, group=None),
    "packed8-zeros": packed(bits=8, asymmetric=True, group=24),
    "int8": int8(),
    "int8-zeros": int8(asymmetric=True),
    "fp8-tensor": fp8_tensor(),
    "fp8-block": fp8_block(32, 16),
    "fp8-wide-block": fp8_block(128, 128),
    "nf4": bnb4("nf4", 64, False),
    "nf4-nested": bnb4("nf4", 64, True),
    "fp4-small-block": bnb4("fp4", 16, True),
    "fp4-wide-block": bnb4("fp4", 256, False),
}


# ---- folders ----

def config(**more):
    return {"model_type": "llama", "vocab_size": VOCAB, "hidden_size": D, "intermediate_size": FF,
            "num_hidden_layers": LAYERS, "num_attention_heads": HEADS, "num_key_value_heads": KV,
            "max_position_embeddings": 128, "rms_norm_eps": 1e-5, "bos_token_id": 1, "eos_token_id": 2,
            "torch_dtype": "float16", **more}


def rest(rng, tied=False):
    """What no format quantises."""
    t = {"model.embed_tokens.weight": rng.standard_normal((VOCAB, D)).astype(F32)}
    for i in range(LAYERS):
        for norm in ("input_layernorm", "post_attention_layernorm"):
            t[f"model.layers.{i}.{norm}.weight"] = rng.uniform(0.5, 1.5, D).astype(F32)
    t["model.norm.weight"] = rng.uniform(0.5, 1.5, D).astype(F32)
    if not tied:
        t["lm_head.weight"] = (rng.standard_normal((VOCAB, D)) / 8).astype(F32)
    return t


def write(folder, tensors, **more):
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(config(**more)))
    save(folder / "model.safetensors", tensors)
    return folder


def write_pair(kind, seed, folder, left_alone=(), head=False):
    """The checkpoint of that kind, and the float32 one with the same numbers."""
    make, quantization = KINDS[kind]
    rng = np.random.default_rng(seed)
    tied = not head and seed % 2 == 1
    coded, plain = rest(rng, tied), {}
    plain = dict(coded)
    for i in range(LAYERS):
        for name, (n_out, n_in) in LINEARS.items():
            prefix = f"model.layers.{i}.{name}"
            tensors, numbers = make(rng, n_out, n_in)
            plain[prefix + ".weight"] = numbers
            coded |= ({prefix + ".weight": numbers} if name in left_alone
                      else {f"{prefix}.{k}": v for k, v in tensors.items()})
    if head:
        tensors, plain["lm_head.weight"] = make(rng, VOCAB, D)
        del coded["lm_head.weight"]
        coded |= {f"lm_head.{k}": v for k, v in tensors.items()}
    return (write(folder / "coded", coded, quantization_config=quantization, tie_word_embeddings=tied),
            write(folder / "plain", plain, tie_word_embeddings=tied))


# ---- made while loading: (weight float32 [n_out, n_in], its dtype) -> numbers ----

def nearest(code):
    def make(w, dtype):
        order = np.argsort(code, kind="stable")
        steps = code[order]
        bounds = (steps[:-1] + steps[1:]) / F32(2)
        flat = w.ravel()
        out = np.empty_like(flat)
        for at in range(0, flat.size, 64):
            x = flat[at:at + 64]
            top = np.maximum(np.abs(x).max(), F32(1e-38))
            scaled = x * (F32(1) / top) if x.size == 64 else x / top
            out[at:at + 64] = (steps[np.searchsorted(bounds, scaled)] * top).astype(dtype)
        return out.reshape(w.shape)

    return make


def eetq(w, _):
    s = np.abs(w).max(1, keepdims=True) / F32(127)
    return np.rint(w / s) * s


def vectorwise(w, _):
    s = np.abs(w).max(1, keepdims=True)
    return np.rint(w * (F32(1) / s * F32(127))) * s / F32(127)


def fp8_rows(w, _):
    s = np.maximum(np.abs(w).max(1, keepdims=True), F32(1e-8)) / F32(448)
    x = w / s
    steps = np.sort(E4M3[~np.isnan(E4M3)])
    at = np.clip(np.searchsorted(steps, x), 1, len(steps) - 1)
    low, high = steps[at - 1], steps[at]
    even = np.isin(low, E4M3[(np.arange(256) & 1) == 0])
    up = (x - low > high - x) | ((x - low == high - x) & ~even)
    return np.where(up, high, low) * s


MADE = {"bitsandbytes-nf4": nearest(NF4), "bitsandbytes-fp4": nearest(FP4), "eetq": eetq, "bitsandbytes": vectorwise,
        "fp8": fp8_rows}


def write_made(method, dtype, seed, folder):
    """A plain checkpoint, and the float32 one with the numbers that the method makes of it."""
    rng = np.random.default_rng(seed)
    source = rest(rng)
    made = dict(source)
    for i in range(LAYERS):
        for name, (n_out, n_in) in LINEARS.items():
            w = (rng.standard_normal((n_out, n_in)) / 10).astype(dtype)
            prefix = f"model.layers.{i}.{name}.weight"
            source[prefix], made[prefix] = w, MADE[method](w.astype(F32), dtype)
    return write(folder / "source", source), write(folder / "made", made)
