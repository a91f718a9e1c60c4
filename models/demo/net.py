"""The model: a Llama decoder in plain PyTorch, its parameters named as in a Hugging Face checkpoint."""

from dataclasses import asdict, dataclass

import torch
import torch.nn.functional as F
from torch import nn


@dataclass(frozen=True)
class Shape:
    """All linear dimensions are multiples of 32."""
    n_vocab: int = 2048
    d_model: int = 256
    n_layer: int = 5
    n_head: int = 8
    n_kv_head: int = 2
    d_head: int = 32
    d_ff: int = 544
    max_position: int = 1024
    rope_theta: float = 10000.0
    norm_eps: float = 1e-5

    def config(self):
        """config.json, without the token ids."""
        return {
            "architectures": ["LlamaForCausalLM"], "model_type": "llama", "vocab_size": self.n_vocab,
            "hidden_size": self.d_model, "intermediate_size": self.d_ff, "num_hidden_layers": self.n_layer,
            "num_attention_heads": self.n_head, "num_key_value_heads": self.n_kv_head, "head_dim": self.d_head,
            "hidden_act": "silu", "max_position_embeddings": self.max_position, "initializer_range": 0.02,
            "rms_norm_eps": self.norm_eps, "rope_theta": self.rope_theta, "rope_scaling": None,
            "tie_word_embeddings": True, "attention_bias": False, "mlp_bias": False, "use_cache": True,
            "torch_dtype": "bfloat16",
        }


class Attention(nn.Module):
    def __init__(self, s):
        super().__init__()
        self.shape = s
        self.q_proj = nn.Linear(s.d_model, s.n_head * s.d_head, bias=False)
        self.k_proj = nn.Linear(s.d_model, s.n_kv_head * s.d_head, bias=False)
        self.v_proj = nn.Linear(s.d_model, s.n_kv_head * s.d_head, bias=False)
        self.o_proj = nn.Linear(s.n_head * s.d_head, s.d_model, bias=False)

    def forward(self, x, cos, sin):
        s, (n_row, n_tok, _) = self.shape, x.shape
        q = self.q_proj(x).view(n_row, n_tok, s.n_head, s.d_head).transpose(1, 2)
        k = self.k_proj(x).view(n_row, n_tok, s.n_kv_head, s.d_head).transpose(1, 2)
        v = self.v_proj(x).view(n_row, n_tok, s.n_kv_head, s.d_head).transpose(1, 2)
        group = s.n_head // s.n_kv_head
        q, k = rotate(q, cos, sin), rotate(k, cos, sin).repeat_interleave(group, 1)
        y = F.scaled_dot_product_attention(q, k, v.repeat_interleave(group, 1), is_causal=True)
        return self.o_proj(y.transpose(1, 2).reshape(n_row, n_tok, -1))


class Mlp(nn.Module):
    def __init__(self, s):
        super().__init__()
        self.gate_proj = nn.Linear(s.d_model, s.d_ff, bias=False)
        self.up_proj = nn.Linear(s.d_model, s.d_ff, bias=False)
        self.down_proj = nn.Linear(s.d_ff, s.d_model, bias=False)

    def forward(self, x):
        return self.down_proj(F.silu(self.gate_proj(x)) * self.up_proj(x))


class Layer(nn.Module):
    def __init__(self, s):
        super().__init__()
        self.input_layernorm = nn.RMSNorm(s.d_model, eps=s.norm_eps)
        self.self_attn = Attention(s)
        self.post_attention_layernorm = nn.RMSNorm(s.d_model, eps=s.norm_eps)
        self.mlp = Mlp(s)

    def forward(self, x, cos, sin):
        x = x + self.self_attn(self.input_layernorm(x), cos, sin)
        return x + self.mlp(self.post_attention_layernorm(x))


class Decoder(nn.Module):
    def __init__(self, s):
        super().__init__()
        self.embed_tokens = nn.Embedding(s.n_vocab, s.d_model)
        self.layers = nn.ModuleList(Layer(s) for _ in range(s.n_layer))
        self.norm = nn.RMSNorm(s.d_model, eps=s.norm_eps)


class Llama(nn.Module):
    def __init__(self, s=Shape()):
        super().__init__()
        self.shape = s
        self.model = Decoder(s)
        inverse = s.rope_theta ** (-torch.arange(0, s.d_head, 2, dtype=torch.float32) / s.d_head)
        angle = torch.outer(torch.arange(s.max_position, dtype=torch.float32), inverse).repeat(1, 2)
        self.register_buffer("cos", angle.cos(), persistent=False)
        self.register_buffer("sin", angle.sin(), persistent=False)
        for name, p in self.named_parameters():
            if p.dim() == 2:  # what adds to the residual stream starts smaller the deeper the model is
                deep = name.endswith(("o_proj.weight", "down_proj.weight"))
                nn.init.normal_(p, std=0.02 / (2 * s.n_layer) ** 0.5 if deep else 0.02)

    def forward(self, ids):
        """[rows, tokens] ids to [rows, tokens, n_vocab] logits; the embedding is the output matrix too."""
        m, n_tok = self.model, ids.shape[1]
        x = m.embed_tokens(ids)
        cos, sin = self.cos[:n_tok], self.sin[:n_tok]
        for layer in m.layers:
            x = layer(x, cos, sin)
        return F.linear(m.norm(x), m.embed_tokens.weight)

    def describe(self):
        return dict(asdict(self.shape), parameters=sum(p.numel() for p in self.parameters()))


def rotate(x, cos, sin):
    a, b = x.chunk(2, -1)
    return x * cos.to(x.dtype) + torch.cat((-b, a), -1) * sin.to(x.dtype)
