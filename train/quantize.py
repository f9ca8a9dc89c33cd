"""Q8_0 and Q4_K as the engine decodes them: one quantizer for training and for export.

quantize_* turn weights into the numbers that a file stores, gguf.py packs those into bytes, and fake_quantize_* are
the weights that the engine computes from them, bit for bit. A model trained with fake_quantize_q4_k(w) and exported
from the same w with quantize_q4_k(w) is therefore evaluated by the engine with the weights that it was trained with.
(Eager mode gives the same numbers on every device. A compiler may approximate the divisions, which can move a weight
that lies in the middle between two codes.)

Rows must be multiples of 32 (Q8_0) or 256 (Q4_K) elements. Ties are rounded to even.
"""
from typing import NamedTuple

import torch

TINY = 1e-30                    # divisor in place of a step of zero, for which every code means the same


class Q8_0(NamedTuple):
    d: torch.Tensor             # float16 [blocks]
    code: torch.Tensor          # -127..127 [blocks][32]

    def weights(self):
        return self.d.float()[:, None] * self.code


class Q4_K(NamedTuple):
    """weight = d * scale * code - dmin * minimum, in float32."""
    d: torch.Tensor             # float16 [blocks]
    dmin: torch.Tensor          # float16 [blocks]
    scale: torch.Tensor         # 0..63 [blocks][8], as all codes kept in float32
    minimum: torch.Tensor       # 0..63 [blocks][8]
    code: torch.Tensor          # 0..15 [blocks][8][32]

    def weights(self):
        step, offset = _step_and_offset(self.d, self.dmin, self.scale, self.minimum)
        return step * self.code - offset


def _step_and_offset(d, dmin, scale, minimum):
    return (d.float()[:, None] * scale)[..., None], (dmin.float()[:, None] * minimum)[..., None]


@torch.no_grad()
def quantize_q8_0(w: torch.Tensor) -> Q8_0:
    x = w.float().reshape(-1, 32)
    d = (x.abs().amax(-1) * (1 / 127)).half()
    code = (x / d.float().clamp(min=TINY)[:, None]).round().clamp(-127, 127)
    return Q8_0(d, code)


@torch.no_grad()
def quantize_q4_k(w: torch.Tensor, n_candidates: int = 0) -> Q4_K:
    """Without candidates each sub-block is spread over its range: fast, and the method to train with. With candidates
    (20 are plenty) the scale and minimum of least squared error are searched: for weights that were not trained
    quantized."""
    x = w.float().reshape(-1, 8, 32)
    low = x.amin(-1).clamp(max=0)           # minima are stored with their sign changed and cannot be negative
    step = (x.amax(-1) - low).clamp(min=0) * (1 / 15)
    if n_candidates:
        step, low = _search(x, step, low, n_candidates)
    d, scale = _six_bits(step)
    dmin, minimum = _six_bits(-low)
    stored_step, offset = _step_and_offset(d, dmin, scale, minimum)
    code = ((x + offset) / stored_step.clamp(min=TINY)).round().clamp(0, 15)
    return Q4_K(d, dmin, scale, minimum, code)


def _six_bits(values):
    """values [blocks][8], none negative, as codes of 0..63 and the float16 that they are multiples of."""
    d = (values.amax(-1) * (1 / 63)).half()
    return d, (values / d.float().clamp(min=TINY)[:, None]).round().clamp(max=63)


def _squared_error(x, step, low):
    code = ((x - low[..., None]) / step.clamp(min=TINY)[..., None]).round_().clamp_(0, 15)
    return (code.mul_(step[..., None]) + low[..., None]).sub_(x).square_().sum(-1)


def _search(x, step, low, n_candidates):
    """For a number of divisions of the range: codes, then the line through them that fits best (its minimum must not
    be positive). Of all these lines the best after rounding again."""
    best_step, best_low, least = step, low, _squared_error(x, step, low)
    sum_x = x.sum(-1)
    for i in range(n_candidates):
        n_steps = 14 + 2.5 * i / n_candidates
        code = ((x - low[..., None]) * (n_steps / (15 * step).clamp(min=TINY))[..., None]).round_().clamp_(0, 15)
        sum_c, sum_cc, sum_cx = code.sum(-1), code.square().sum(-1), (code * x).sum(-1)
        determinant = 32 * sum_cc - sum_c * sum_c
        fit_low = (sum_cc * sum_x - sum_c * sum_cx) / determinant.clamp(min=TINY)
        fit_step = (32 * sum_cx - sum_c * sum_x) / determinant.clamp(min=TINY)
        through_zero = fit_low > 0
        fit_step = torch.where(through_zero, sum_cx / sum_cc.clamp(min=TINY), fit_step)
        fit_low = fit_low.clamp(max=0)
        error = _squared_error(x, fit_step, fit_low)
        better = (error < least) & (determinant > 0) & (fit_step > 0)
        least = torch.where(better, error, least)
        best_step, best_low = torch.where(better, fit_step, best_step), torch.where(better, fit_low, best_low)
    return best_step, best_low


def fake_quantize_q8_0(w: torch.Tensor) -> torch.Tensor:
    """What is left of w, float32. Straight-through: w + (fake_quantize_q8_0(w) - w).detach()"""
    return quantize_q8_0(w.detach()).weights().reshape(w.shape)


def fake_quantize_q4_k(w: torch.Tensor) -> torch.Tensor:
    """What is left of w, float32, with the method without candidates."""
    return quantize_q4_k(w.detach()).weights().reshape(w.shape)
