"""The parts that PyTorch alone would do in a dozen passes over memory: hyper-connections on four streams, rotation,
and the gate of the experts.

On a GPU each is one Triton kernel forward and one backward; elsewhere the plain formulas are used, which also say what
the kernels compute.
"""
import torch
import torch.nn.functional as F

EPS = 1e-6
ROUNDS = 19

try:
    import triton
    import triton.language as tl
except ImportError:
    triton = None


# ---- what is computed --------------------------------------------------------------------------------------------

def plain_sinkhorn(c):
    """c [..., 4, 4]: columns divided by their sums, then 19 times rows and columns."""
    c = c / (c.sum(-2, keepdim=True) + EPS)
    for _ in range(ROUNDS):
        c = c / (c.sum(-1, keepdim=True) + EPS)
        c = c / (c.sum(-2, keepdim=True) + EPS)
    return c


def plain_collapse(x, weights):
    """x [..., 4, E], weights [..., 4] -> [..., E]"""
    return (x * weights[..., None]).sum(-2)


def plain_spread(x, y, post, mix):
    """out_j = post_j y + sum_i mix_ij x_i, for x [..., 4, E], y [..., E], post [..., 4], mix [..., 4, 4]"""
    return post[..., None] * y[..., None, :].to(x.dtype) + mix.transpose(-1, -2) @ x


def plain_rotate(x, cos, sin):
    """Rotates adjacent pairs of the last channels: x [B, T, D] or [B, T, H, D], cos and sin [T, R / 2]."""
    if x.dim() == 4:
        cos, sin = cos[:, None], sin[:, None]
    r = 2 * cos.shape[-1]
    head, tail = x[..., :-r], x[..., -r:]
    a, b = tail[..., 0::2], tail[..., 1::2]
    turned = torch.stack([a * cos - b * sin, a * sin + b * cos], -1).flatten(-2)
    return torch.cat([head, turned.to(x.dtype)], -1)


def plain_gated(gate, up, weights, limit):
    """SwiGLU with clamps, times the weight of the expert: gate and up [N, n * F], weights [N, n]."""
    h = F.silu(gate.clamp(max=limit)) * up.clamp(-limit, limit)
    return (h.unflatten(-1, (weights.shape[-1], -1)) * weights[..., None].to(h.dtype)).flatten(-2)


# ---- kernels -----------------------------------------------------------------------------------------------------

if triton:
    BLOCK = 64

    @triton.jit
    def _places(n, BLOCK: tl.constexpr):
        token = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
        i = tl.arange(0, 4)
        matrix = token[:, None, None] * 16 + i[None, :, None] * 4 + i[None, None, :]
        vector = token[:, None] * 4 + i[None, :]
        return matrix, (token < n)[:, None, None], vector, (token < n)[:, None]

    @triton.jit
    def _sinkhorn_forward(x, y, sums, n, eps, ROUNDS: tl.constexpr, BLOCK: tl.constexpr):
        matrix, inside, vector, inside_vector = _places(n, BLOCK)
        c = tl.load(x + matrix, mask=inside, other=1.0)
        s = tl.sum(c, 1) + eps
        tl.store(sums + vector, s, mask=inside_vector)
        c = c / s[:, None, :]
        for k in range(ROUNDS):
            s = tl.sum(c, 2) + eps
            tl.store(sums + (2 * k + 1) * 4 * n + vector, s, mask=inside_vector)
            c = c / s[:, :, None]
            s = tl.sum(c, 1) + eps
            tl.store(sums + (2 * k + 2) * 4 * n + vector, s, mask=inside_vector)
            c = c / s[:, None, :]
        tl.store(y + matrix, c, mask=inside)

    # Dividing y = x / s has the gradient dx = (dy - sum(dy y)) / s, and x = y s: with the sums kept, going back needs
    # no other intermediate value.
    @triton.jit
    def _sinkhorn_backward(y_out, dy, sums, dx, n, ROUNDS: tl.constexpr, BLOCK: tl.constexpr):
        matrix, inside, vector, inside_vector = _places(n, BLOCK)
        y = tl.load(y_out + matrix, mask=inside, other=1.0)
        g = tl.load(dy + matrix, mask=inside, other=0.0)
        for i in range(ROUNDS):
            k = ROUNDS - 1 - i
            s = tl.load(sums + (2 * k + 2) * 4 * n + vector, mask=inside_vector, other=1.0)[:, None, :]
            g = (g - tl.sum(g * y, 1)[:, None, :]) / s
            y = y * s
            s = tl.load(sums + (2 * k + 1) * 4 * n + vector, mask=inside_vector, other=1.0)[:, :, None]
            g = (g - tl.sum(g * y, 2)[:, :, None]) / s
            y = y * s
        s = tl.load(sums + vector, mask=inside_vector, other=1.0)[:, None, :]
        g = (g - tl.sum(g * y, 1)[:, None, :]) / s
        tl.store(dx + matrix, g, mask=inside)

    # One program a token in the kernels below; E is a power of two.
    @triton.jit
    def _collapse_forward(x, weights, y, E: tl.constexpr):
        t = tl.program_id(0).to(tl.int64)
        i, e = tl.arange(0, 4), tl.arange(0, E)
        w = tl.load(weights + t * 4 + i)
        rows = tl.load(x + (t * 4 + i)[:, None] * E + e[None, :])
        tl.store(y + t * E + e, tl.sum(rows * w[:, None], 0))

    @triton.jit
    def _collapse_backward(x, weights, dy, dx, dweights, E: tl.constexpr):
        t = tl.program_id(0).to(tl.int64)
        i, e = tl.arange(0, 4), tl.arange(0, E)
        w = tl.load(weights + t * 4 + i)
        place = (t * 4 + i)[:, None] * E + e[None, :]
        rows = tl.load(x + place)
        g = tl.load(dy + t * E + e)
        tl.store(dx + place, w[:, None] * g[None, :])
        tl.store(dweights + t * 4 + i, tl.sum(rows * g[None, :], 1))

    @triton.jit
    def _spread_forward(x, y, post, mix, out, E: tl.constexpr):
        t = tl.program_id(0).to(tl.int64)
        j, e = tl.arange(0, 4), tl.arange(0, E)
        p = tl.load(post + t * 4 + j)
        total = p[:, None] * tl.load(y + t * E + e).to(tl.float32)[None, :]
        for i in tl.static_range(4):
            m = tl.load(mix + t * 16 + i * 4 + j)
            total += m[:, None] * tl.load(x + (t * 4 + i) * E + e)[None, :]
        tl.store(out + (t * 4 + j)[:, None] * E + e[None, :], total)

    @triton.jit
    def _spread_backward(x, y, post, mix, dout, dx, dy, dpost, dmix, E: tl.constexpr):
        t = tl.program_id(0).to(tl.int64)
        j, e = tl.arange(0, 4), tl.arange(0, E)
        g = tl.load(dout + (t * 4 + j)[:, None] * E + e[None, :])
        p = tl.load(post + t * 4 + j)
        v = tl.load(y + t * E + e).to(tl.float32)
        tl.store(dy + t * E + e, tl.sum(p[:, None] * g, 0))
        tl.store(dpost + t * 4 + j, tl.sum(v[None, :] * g, 1))
        for i in tl.static_range(4):
            m = tl.load(mix + t * 16 + i * 4 + j)
            row = tl.load(x + (t * 4 + i) * E + e)
            tl.store(dx + (t * 4 + i) * E + e, tl.sum(m[:, None] * g, 0))
            tl.store(dmix + t * 16 + i * 4 + j, tl.sum(row[None, :] * g, 1))

    @triton.jit
    def _rotate(x, cos, sin, y, n_rows, n_tokens, n_heads, sign, D: tl.constexpr, R: tl.constexpr, ROWS: tl.constexpr):
        row = tl.program_id(0).to(tl.int64) * ROWS + tl.arange(0, ROWS)
        k = tl.arange(0, D // 2)
        inside = (row < n_rows)[:, None]
        turned = inside & (k >= (D - R) // 2)[None, :]
        angle = ((row // n_heads) % n_tokens)[:, None] * (R // 2) + (k - (D - R) // 2)[None, :]
        c = tl.load(cos + angle, mask=turned, other=1.0)
        s = tl.load(sin + angle, mask=turned, other=0.0) * sign
        place = row[:, None] * D + 2 * k[None, :]
        a = tl.load(x + place, mask=inside, other=0.0).to(tl.float32)
        b = tl.load(x + place + 1, mask=inside, other=0.0).to(tl.float32)
        tl.store(y + place, a * c - b * s, mask=inside)
        tl.store(y + place + 1, a * s + b * c, mask=inside)

    @triton.jit
    def _gated_forward(gate, up, weights, out, n, limit, FF: tl.constexpr, ROWS: tl.constexpr):
        row = tl.program_id(0).to(tl.int64) * ROWS + tl.arange(0, ROWS)
        inside = (row < n)[:, None]
        place = row[:, None] * FF + tl.arange(0, FF)[None, :]
        g = tl.minimum(tl.load(gate + place, mask=inside, other=0.0).to(tl.float32), limit)
        u = tl.load(up + place, mask=inside, other=0.0).to(tl.float32)
        u = tl.minimum(tl.maximum(u, -limit), limit)
        w = tl.load(weights + row, mask=row < n, other=0.0)[:, None]
        tl.store(out + place, g * tl.sigmoid(g) * u * w, mask=inside)

    @triton.jit
    def _gated_backward(gate, up, weights, dout, dgate, dup, dweights, n, limit, FF: tl.constexpr, ROWS: tl.constexpr):
        row = tl.program_id(0).to(tl.int64) * ROWS + tl.arange(0, ROWS)
        inside = (row < n)[:, None]
        place = row[:, None] * FF + tl.arange(0, FF)[None, :]
        g_in = tl.load(gate + place, mask=inside, other=0.0).to(tl.float32)
        u_in = tl.load(up + place, mask=inside, other=0.0).to(tl.float32)
        d = tl.load(dout + place, mask=inside, other=0.0).to(tl.float32)
        w = tl.load(weights + row, mask=row < n, other=0.0)[:, None]
        g = tl.minimum(g_in, limit)
        u = tl.minimum(tl.maximum(u_in, -limit), limit)
        s = tl.sigmoid(g)
        tl.store(dweights + row, tl.sum(d * g * s * u, 1), mask=row < n)
        d = d * w
        dg = d * u * s * (1 + g * (1 - s))
        tl.store(dgate + place, tl.where(g_in <= limit, dg, 0.0), mask=inside)
        tl.store(dup + place, tl.where(tl.abs(u_in) <= limit, d * g * s, 0.0), mask=inside)


class _Sinkhorn(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        x = x.contiguous()
        n = x.numel() // 16
        y, sums = torch.empty_like(x), x.new_empty(2 * ROUNDS + 1, n, 4)
        _sinkhorn_forward[(triton.cdiv(n, BLOCK),)](x, y, sums, n, EPS, ROUNDS=ROUNDS, BLOCK=BLOCK)
        ctx.save_for_backward(y, sums)
        return y

    @staticmethod
    def backward(ctx, dy):
        y, sums = ctx.saved_tensors
        n = y.numel() // 16
        dx = torch.empty_like(y)
        _sinkhorn_backward[(triton.cdiv(n, BLOCK),)](y, dy.contiguous(), sums, dx, n, ROUNDS=ROUNDS, BLOCK=BLOCK)
        return dx


class _Collapse(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, weights):
        x, weights = x.contiguous(), weights.contiguous()
        y = x.new_empty(*x.shape[:-2], x.shape[-1])
        _collapse_forward[(weights.numel() // 4,)](x, weights, y, E=x.shape[-1])
        ctx.save_for_backward(x, weights)
        return y

    @staticmethod
    def backward(ctx, dy):
        x, weights = ctx.saved_tensors
        dx, dweights = torch.empty_like(x), torch.empty_like(weights)
        _collapse_backward[(weights.numel() // 4,)](x, weights, dy.contiguous(), dx, dweights, E=x.shape[-1])
        return dx, dweights


class _Spread(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, y, post, mix):
        x, y, post, mix = (v.contiguous() for v in (x, y, post, mix))
        out = torch.empty_like(x)
        _spread_forward[(post.numel() // 4,)](x, y, post, mix, out, E=x.shape[-1])
        ctx.save_for_backward(x, y, post, mix)
        return out

    @staticmethod
    def backward(ctx, dout):
        saved = ctx.saved_tensors
        grads = tuple(torch.empty_like(v) for v in saved)
        _spread_backward[(saved[2].numel() // 4,)](*saved, dout.contiguous(), *grads, E=saved[0].shape[-1])
        return grads


def _turned(x, cos, sin, sign):
    x = x.contiguous()
    y = torch.empty_like(x)
    n_rows = x.numel() // x.shape[-1]
    n_heads = x.shape[2] if x.dim() == 4 else 1
    _rotate[(triton.cdiv(n_rows, 8),)](x, cos, sin, y, n_rows, x.shape[1], n_heads, sign, D=x.shape[-1],
                                       R=2 * cos.shape[-1], ROWS=8)
    return y


class _Rotate(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, cos, sin):
        cos, sin = cos.contiguous(), sin.contiguous()
        ctx.save_for_backward(cos, sin)
        return _turned(x, cos, sin, 1.0)

    @staticmethod
    def backward(ctx, dy):
        return _turned(dy, *ctx.saved_tensors, -1.0), None, None


class _Gated(torch.autograd.Function):
    @staticmethod
    def forward(ctx, gate, up, weights, limit):
        gate, up, weights = gate.contiguous(), up.contiguous(), weights.contiguous()
        out = torch.empty_like(gate)
        n = weights.numel()
        _gated_forward[(triton.cdiv(n, 4),)](gate, up, weights, out, n, limit, FF=gate.numel() // n, ROWS=4)
        ctx.save_for_backward(gate, up, weights)
        ctx.limit = limit
        return out

    @staticmethod
    def backward(ctx, dout):
        saved = ctx.saved_tensors
        grads = tuple(torch.empty_like(v) for v in saved)
        n = saved[2].numel()
        _gated_backward[(triton.cdiv(n, 4),)](*saved, dout.contiguous(), *grads, n, ctx.limit,
                                              FF=saved[0].numel() // n, ROWS=4)
        return *grads, None


# ---- what the model calls ----------------------------------------------------------------------------------------

def sinkhorn(c):
    return _Sinkhorn.apply(c) if triton and c.is_cuda else plain_sinkhorn(c)


def collapse(x, weights):
    return _Collapse.apply(x, weights) if triton and x.is_cuda else plain_collapse(x, weights)


def spread(x, y, post, mix):
    return _Spread.apply(x, y, post, mix) if triton and x.is_cuda else plain_spread(x, y, post, mix)


def rotate(x, cos, sin):
    return _Rotate.apply(x, cos, sin) if triton and x.is_cuda else plain_rotate(x, cos, sin)


def gated(gate, up, weights, limit):
    return _Gated.apply(gate, up, weights, limit) if triton and gate.is_cuda else plain_gated(gate, up, weights, limit)
