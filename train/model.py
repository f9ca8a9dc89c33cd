"""The DeepSeek V4 architecture in PyTorch, written for training: whole sequences from position 0, no cache.

Modules are named so that state_dict() gives the tensor names of a GGUF file (blk.0.attn_q_a.weight ...), and every
matrix is [out, in], which is a GGUF tensor of ne = [in, out]. Shapes: B sequences of T tokens, T a multiple of 128;
E width, S = 4 streams, H heads of D channels, R rotary channels (the last ones), W window, C = T / ratio rows.
"""
import math
from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from torch import nn

from fused import collapse, gated, rotate, sinkhorn, spread

EPS = 1e-6
S = 4


@dataclass
class Shape:
    n_vocab: int
    width: int = 256
    ratios: list = field(default_factory=lambda: [0, 0, 4, 128, 4, 4, 128, 4])
    n_heads: int = 8
    head_dim: int = 256
    rotary: int = 64
    q_rank: int = 192
    o_groups: int = 2
    o_rank: int = 128
    window: int = 128
    index_heads: int = 4
    index_dim: int = 128
    index_top_k: int = 64
    n_experts: int = 8
    n_used: int = 2
    n_ff: int = 256
    n_hash: int = 3
    route_scale: float = 1.5
    swiglu_limit: float = 10.0
    rope_base: float = 10000.0
    compressed_rope_base: float = 160000.0
    yarn_factor: float = 16.0
    yarn_original: int = 65536
    yarn_beta_fast: float = 32.0
    yarn_beta_slow: float = 1.0
    context: int = 8192


# ---- pieces ------------------------------------------------------------------------------------------------------

def linear(x, weight):
    return F.linear(x, weight.to(x.dtype))


def rms(x, gain=None):
    if hasattr(F, "rms_norm"):
        return F.rms_norm(x, x.shape[-1:], None if gain is None else gain.to(x.dtype), EPS)
    y = x * torch.rsqrt(x.square().mean(-1, keepdim=True) + EPS)
    return y if gain is None else y * gain


def rounded(x, block, largest, least_amax, least_normal, mantissa_bits):
    """Rounding to small floats in blocks with a power-of-two scale, which makes the largest of a block fit."""
    with torch.no_grad():
        y = x.float().unflatten(-1, (-1, block))
        amax = y.abs().amax(-1, keepdim=True).clamp_min(least_amax)
        scale = torch.exp2(torch.ceil(torch.log2(amax / largest)))
        z = (y / scale).clamp(-largest, largest)
        step = torch.exp2(torch.floor(torch.log2(z.abs().clamp_min(least_normal))) - mantissa_bits)
        result = (torch.round(z / step) * step * scale).flatten(-2).to(x.dtype)
    return x + (result - x).detach()    # straight-through


def fp8_blocks(x):
    """E4M3 in blocks of 64: the model's own rounding of key/value rows."""
    return rounded(x, 64, 448, 1e-4, 2.0 ** -6, 3)


def fp4_blocks(x):
    """E2M1 in blocks of 32: of the indexer's queries and keys."""
    return rounded(x, 32, 6, 6 * 2.0 ** -126, 1.0, 1)


def hadamard_matrix(n):
    m = torch.ones(1, 1)
    while m.shape[0] < n:
        m = torch.cat([torch.cat([m, m], 1), torch.cat([m, -m], 1)], 0)
    return m / math.sqrt(n)


def rope_frequencies(shape, compressed):
    """One per rotary pair, each step rounded to float32 as the model was made."""
    i = torch.arange(0, shape.rotary, 2, dtype=torch.float32) / shape.rotary
    if not compressed:
        return 1.0 / torch.pow(torch.tensor(shape.rope_base), i)
    base = shape.compressed_rope_base
    f = 1.0 / torch.pow(torch.tensor(base), i)
    if shape.yarn_factor <= 1:
        return f

    def pair(turns):
        return shape.rotary * math.log(shape.yarn_original / (turns * 2 * math.pi)) / (2 * math.log(base))
    low = max(math.floor(pair(shape.yarn_beta_fast)), 0)
    high = min(math.ceil(pair(shape.yarn_beta_slow)), shape.rotary - 1)
    ramp = ((torch.arange(shape.rotary // 2, dtype=torch.float32) - low) / max(high - low, 0.001)).clamp(0, 1)
    return f * (1 - ramp) + f / shape.yarn_factor * ramp


def finish_row(x, gain, cos, sin, qat):
    """A key/value row: norm, rotation, FP8 rounding of the channels that are not rotary."""
    x = rotate(rms(x.to(gain.dtype), gain), cos, sin)
    if not qat:
        return x
    n = x.shape[-1] - 2 * cos.shape[-1]
    return torch.cat([fp8_blocks(x[..., :n]), x[..., n:]], -1)


def pool_rows(u, g, ape, ratio):
    """Softmax pooling over the tokens of a window, channel by channel. Ratio 4 overlaps: the first half of the
    channels of the window before, the second half of this one."""
    b, t, width = u.shape
    u = u.to(ape.dtype).view(b, t // ratio, ratio, width)
    g = g.to(u.dtype).view(b, t // ratio, ratio, width) + ape
    if ratio == 4:
        d = width // 2
        u = torch.cat([F.pad(u[:, :-1, :, :d], (0, 0, 0, 0, 1, 0)), u[..., d:]], 2)
        g = torch.cat([F.pad(g[:, :-1, :, :d], (0, 0, 0, 0, 1, 0), value=-1e30), g[..., d:]], 2)
    return (torch.softmax(g, 2) * u).sum(2)


def joint_softmax(near, far, sink, far_mask):
    """Softmax over window scores, compressed scores and the sink, which has no value.

    near [B, T/W, W, H, 2W]: scores of a block of queries with the block before and its own; far [B, T/W, W, H, C] or
    None; far_mask [B or 1, T/W, W, C], true where a row is seen. Masking is not recorded: what is masked has
    probability zero, and so its gradient is zero too."""
    b, n, w, h, _ = near.shape
    q = torch.arange(w, device=near.device)[:, None]
    k = torch.arange(2 * w, device=near.device)[None, :] - w
    seen = ((k <= q) & (k > q - w)).expand(n, w, 2 * w).clone()
    seen[0, :, :w] = False
    with torch.no_grad():
        near.masked_fill_(~seen[None, :, :, None, :], -torch.inf)
        if far is not None:
            far.masked_fill_(~far_mask[:, :, :, None, :], -torch.inf)
    # The sink takes one of eight columns, so that rows stay aligned.
    sinks = F.pad(sink.to(near.dtype)[:, None], (0, 7), value=-torch.inf).expand(b, n, w, h, 8)
    parts = [near, sinks] if far is None else [near, far, sinks]
    p = torch.softmax(torch.cat(parts, -1), -1).split([part.shape[-1] for part in parts], -1)
    return p[0], None if far is None else p[1]


def index_alignment(scores, mass, visible):
    """Cross-entropy between the indexer's softmax and the attention mass on the rows, whose weight is the mass itself:
    what attention does not look at does not matter. Tokens that see no row have no mass."""
    logp = torch.log_softmax(scores.masked_fill(~visible, -1e30), -1)
    return -(mass * logp).sum(-1).mean()


def hyper_weights(m, scale, base):
    """Controls [.., 24] -> pre [.., 4], post [.., 4], mix [.., 4, 4] (source, destination) before Sinkhorn."""
    pre = torch.sigmoid(m[..., :S] * scale[0] + base[:S]) + EPS
    post = 2 * torch.sigmoid(m[..., S:2 * S] * scale[1] + base[S:2 * S])
    c = (m[..., 2 * S:] * scale[2] + base[2 * S:]).unflatten(-1, (S, S))
    return pre, post, torch.softmax(c, -1) + EPS


class Matrix(nn.Module):
    def __init__(self, *shape, std=1.0):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(shape) * (std / math.sqrt(shape[-1])))

    def forward(self, x):
        return linear(x, self.weight)


class Vector(nn.Module):
    def __init__(self, value):
        super().__init__()
        self.weight = nn.Parameter(value)


class Bias(nn.Module):
    def __init__(self, n):
        super().__init__()
        self.register_buffer("bias", torch.zeros(n))


class Table(nn.Module):
    def __init__(self, value):
        super().__init__()
        self.register_buffer("weight", value)


# ---- a layer -----------------------------------------------------------------------------------------------------

class Layer(nn.Module):
    def __init__(self, shape, number):
        super().__init__()
        s, e, d = shape, shape.width, shape.head_dim
        self.shape, self.ratio, self.hashed = shape, shape.ratios[number], number < shape.n_hash
        small = 0.5 / math.sqrt(len(shape.ratios))
        for i, part in enumerate(("hc_attn", "hc_ffn")):
            base = torch.cat([torch.full((S,), -1.5), torch.randn(S) * 0.5, (3 * torch.eye(S)).flatten()])
            base[(2 * number + i) % S] = 1.0  # each block reads mainly one stream at first
            setattr(self, part + "_fn", Matrix(2 * S + S * S, S * e))
            setattr(self, part + "_base", Vector(base))
            setattr(self, part + "_scale", Vector(torch.full((3,), 0.1)))
        self.attn_norm, self.ffn_norm = Vector(torch.ones(e)), Vector(torch.ones(e))
        self.attn_q_a, self.attn_q_a_norm = Matrix(s.q_rank, e), Vector(torch.ones(s.q_rank))
        self.attn_q_b = Matrix(s.n_heads * d, s.q_rank)
        self.attn_kv, self.attn_kv_a_norm = Matrix(d, e), Vector(torch.ones(d))
        self.attn_sinks = Vector(torch.zeros(s.n_heads))
        self.attn_output_a = Matrix(s.o_groups * s.o_rank, s.n_heads // s.o_groups * d)
        self.attn_output_b = Matrix(e, s.o_groups * s.o_rank, std=small)
        if self.ratio:
            k = 2 if self.ratio == 4 else 1
            self.attn_compressor_ape = Vector(0.1 * torch.randn(self.ratio, k * d))
            self.attn_compressor_kv, self.attn_compressor_gate = Matrix(k * d, e), Matrix(k * d, e)
            self.attn_compressor_norm = Vector(torch.ones(d))
        if self.ratio == 4:
            i = s.index_dim
            self.indexer = nn.Module()
            self.indexer.register_buffer("hadamard", hadamard_matrix(i), persistent=False)
            self.indexer.attn_q_b = Matrix(s.index_heads * i, s.q_rank)
            self.indexer.proj = Matrix(s.index_heads, e)
            self.indexer_compressor_ape = Vector(0.1 * torch.randn(4, 2 * i))
            self.indexer_compressor_kv, self.indexer_compressor_gate = Matrix(2 * i, e), Matrix(2 * i, e)
            self.indexer_compressor_norm = Vector(torch.ones(i))
        self.ffn_gate_inp = Matrix(s.n_experts, e)
        if self.hashed:
            order = torch.rand(s.n_vocab, s.n_experts).argsort(1)[:, :s.n_used]
            self.ffn_gate_tid2eid = Table(order.to(torch.int32).contiguous())
        else:
            self.exp_probs_b = Bias(s.n_experts)
        self.ffn_gate_exps, self.ffn_up_exps = Matrix(s.n_experts, s.n_ff, e), Matrix(s.n_experts, s.n_ff, e)
        self.ffn_down_exps = Matrix(s.n_experts, e, s.n_ff, std=small)
        self.ffn_gate_shexp, self.ffn_up_shexp = Matrix(s.n_ff, e), Matrix(s.n_ff, e)
        self.ffn_down_shexp = Matrix(e, s.n_ff, std=small)

    def hyper(self, x, part, norm, dtype):
        """Streams [B, T, S, E] -> block input, post weights, mix."""
        m = linear(rms(x.flatten(-2)), getattr(self, part + "_fn").weight)
        pre, post, mix = hyper_weights(m, getattr(self, part + "_scale").weight, getattr(self, part + "_base").weight)
        return rms(collapse(x, pre), norm.weight).to(dtype), post, sinkhorn(mix)

    def select(self, x, qr, turn, c, run):
        """Indexer of a ratio-4 layer: scores [B, T, C]. Its input is detached: it learns to follow attention."""
        s = self.shape
        x, qr = x.detach(), qr.detach()
        b, t, _ = x.shape
        q = linear(qr, self.indexer.attn_q_b.weight).view(b, t, s.index_heads, s.index_dim)
        q = rotate(q, turn.cos[:t], turn.sin[:t])
        k = pool_rows(linear(x, self.indexer_compressor_kv.weight), linear(x, self.indexer_compressor_gate.weight),
                      self.indexer_compressor_ape.weight, 4)
        k = rms(k, self.indexer_compressor_norm.weight)
        k = rotate(k, turn.cos[:t:4], turn.sin[:t:4]).to(x.dtype)
        if run.qat:
            h = self.indexer.hadamard.to(x.dtype)
            q, k = fp4_blocks(q @ h), fp4_blocks(k @ h)
        dots = torch.relu(q.flatten(1, 2) @ k.transpose(1, 2)).view(b, t, s.index_heads, c)
        a = self.indexer.proj(x) * (s.index_dim * s.index_heads) ** -0.5
        return (a[:, :, None, :] @ dots)[:, :, 0].to(self.attn_kv_a_norm.weight.dtype)

    def attention(self, x, run):
        s, w = self.shape, self.shape.window
        b, t, _ = x.shape
        h, d = s.n_heads, s.head_dim
        turn = run.turns[1 if self.ratio else 0]
        qr = rms(self.attn_q_a(x), self.attn_q_a_norm.weight)
        q = rms(self.attn_q_b(qr).view(b, t, h, d))
        q = rotate(q, turn.cos[:t], turn.sin[:t]) * d ** -0.5
        kv = finish_row(self.attn_kv(x), self.attn_kv_a_norm.weight, turn.cos[:t], turn.sin[:t], run.qat)
        kv = kv.to(x.dtype)

        blocks = kv.view(b, t // w, w, d)
        pairs = torch.cat([F.pad(blocks[:, :-1], (0, 0, 0, 0, 1, 0)), blocks], 2)
        near = (q.reshape(b, t // w, w * h, d) @ pairs.transpose(2, 3)).view(b, t // w, w, h, 2 * w)

        far = rows = seen = scores = None
        if self.ratio:
            c = t // self.ratio
            rows = pool_rows(linear(x, self.attn_compressor_kv.weight), linear(x, self.attn_compressor_gate.weight),
                             self.attn_compressor_ape.weight, self.ratio)
            rows = finish_row(rows, self.attn_compressor_norm.weight, turn.cos[:t:self.ratio],
                              turn.sin[:t:self.ratio], run.qat).to(x.dtype)
            far = (q.flatten(1, 2) @ rows.transpose(1, 2)).view(b, t // w, w, h, c)
            visible = (torch.arange(t, device=x.device)[:, None] + 1) // self.ratio > torch.arange(c, device=x.device)
            seen = visible = visible[None]
            if self.ratio == 4:
                scores = self.select(x, qr, turn, c, run)
                if run.top_k and c > s.index_top_k:
                    best = scores.detach().masked_fill(~visible, -torch.inf).topk(s.index_top_k, dim=-1).indices
                    seen = visible & torch.zeros_like(scores, dtype=torch.bool).scatter_(2, best, True)
        p, pf = joint_softmax(near, far, self.attn_sinks.weight, None if seen is None else seen.unflatten(1, (-1, w)))
        o = (p.flatten(2, 3) @ pairs).view(b, t, h, d)
        if pf is not None:
            o = o + (pf.flatten(1, 3) @ rows).view(b, t, h, d)
        if scores is not None and self.training:
            mass = pf.detach().mean(3, dtype=scores.dtype).flatten(1, 2)
            run.alignment.append(index_alignment(scores, mass, seen))
        o = rotate(o, turn.cos[:t], -turn.sin[:t])
        g = s.o_groups
        a = self.attn_output_a.weight.view(g, s.o_rank, -1).to(o.dtype)
        z = torch.einsum("btgi,goi->btgo", o.reshape(b, t, g, -1), a)
        return self.attn_output_b(z.flatten(2))

    def experts(self, x, ids, run):
        s, n = self.shape, self.shape.n_experts
        y = x.flatten(0, 1)
        up = torch.promote_types(y.dtype, torch.float32)
        prob = torch.sqrt(F.softplus(linear(y.to(up), self.ffn_gate_inp.weight)))
        if self.hashed:
            chosen = self.ffn_gate_tid2eid.weight.long()[ids.flatten()]
        else:
            chosen = (prob.detach() + self.exp_probs_b.bias).topk(s.n_used, dim=-1).indices
        keep = torch.zeros_like(prob).scatter(1, chosen, 1.0)
        if self.training and not self.hashed:
            run.loads.append((self.exp_probs_b.bias, keep.detach().mean(0)))
        weights = prob * keep
        weights = s.route_scale * weights / weights.sum(-1, keepdim=True)
        # Every expert is computed for every token, with weight 0 where it was not chosen: for a few small experts
        # three large products are faster than sorting tokens.
        gate = linear(y, self.ffn_gate_exps.weight.flatten(0, 1))
        out = gated(gate, linear(y, self.ffn_up_exps.weight.flatten(0, 1)), weights, s.swiglu_limit)
        out = linear(out, self.ffn_down_exps.weight.transpose(0, 1).flatten(1))
        one = torch.ones_like(weights[:, :1])
        shared = gated(self.ffn_gate_shexp(y), self.ffn_up_shexp(y), one, s.swiglu_limit)
        return (out + self.ffn_down_shexp(shared)).view_as(x)

    def forward(self, x, ids, run):
        a, post, mix = self.hyper(x, "hc_attn", self.attn_norm, run.dtype)
        x = spread(x, self.attention(a, run), post, mix)
        f, post, mix = self.hyper(x, "hc_ffn", self.ffn_norm, run.dtype)
        return spread(x, self.experts(f, ids, run), post, mix)


# ---- the model ---------------------------------------------------------------------------------------------------

@dataclass
class Turnings:
    cos: torch.Tensor           # [T, R / 2]
    sin: torch.Tensor


@dataclass
class Run:
    """How one forward pass is computed, and what it reports beside its result."""
    dtype: torch.dtype = torch.float32
    qat: bool = True                    # round rows and indexer queries as the model does
    top_k: bool = True                  # the indexer selects; without it attention sees every compressed row
    turns: tuple = ()
    alignment: list = field(default_factory=list)   # indexer losses of the ratio-4 layers
    loads: list = field(default_factory=list)       # (router bias, share of tokens of each expert)


class Model(nn.Module):
    def __init__(self, shape):
        super().__init__()
        e = shape.width
        self.shape = shape
        self.token_embd = Matrix(shape.n_vocab, e, std=0.5 * math.sqrt(e))
        self.blk = nn.ModuleList(Layer(shape, i) for i in range(len(shape.ratios)))
        self.output_hc_fn = Matrix(S, S * e)
        self.output_hc_base, self.output_hc_scale = Vector(torch.full((S,), -1.0)), Vector(torch.full((1,), 0.1))
        self.output_norm = Vector(torch.ones(e))
        self.output = Matrix(shape.n_vocab, e, std=0.5)
        self.turnings = {}

    def turns(self, n, device, dtype):
        """cos and sin of both kinds of layers, [n, R / 2]; angles are float32 products."""
        key = (n, str(device), dtype)
        if key not in self.turnings:
            made = []
            for compressed in (False, True):
                angle = torch.arange(n, dtype=torch.float32)[:, None] * rope_frequencies(self.shape, compressed)
                angle = angle.to(torch.float64)
                made.append(Turnings(angle.cos().to(device, dtype), angle.sin().to(device, dtype)))
            self.turnings[key] = tuple(made)
        return self.turnings[key]

    def forward(self, ids, run):
        """ids [B, T] -> hidden [B, T, E], normed: the input of the output matrix (see logits)."""
        wide = torch.float64 if run.dtype == torch.float64 else torch.float32
        run.turns = self.turns(ids.shape[1], ids.device, wide)
        x = F.embedding(ids, self.token_embd.weight).to(wide)
        x = x[..., None, :].expand(*x.shape[:-1], S, x.shape[-1])
        for layer in self.blk:
            x = layer(x, ids, run)
        m = linear(rms(x.flatten(-2)), self.output_hc_fn.weight)
        w = torch.sigmoid(m * self.output_hc_scale.weight + self.output_hc_base.weight) + EPS
        return rms(collapse(x, w), self.output_norm.weight)

    def logits(self, hidden, run):
        return linear(hidden.to(run.dtype), self.output.weight)
