"""Muon: momentum whose matrices are orthogonalised before they are applied.

K. Jordan et al., "Muon: an optimizer for hidden layers in neural networks" (2024); the scale 0.2 sqrt(max(out, in)),
which makes learning rates comparable with Adam's, is from J. Liu et al., "Muon is scalable for LLM training" (2025).
"""
import torch


def orthogonalised(g):
    """Newton-Schulz iteration on a batch of matrices [n, out, in], in bfloat16."""
    x = g.bfloat16()
    tall = x.shape[1] > x.shape[2]
    if tall:
        x = x.mT
    x = x / (x.norm(dim=(1, 2), keepdim=True) + 1e-7)
    for a, b, c in ((3.4445, -4.7750, 2.0315),) * 5:
        s = x @ x.mT
        x = a * x + (b * s + c * (s @ s)) @ x
    return x.mT if tall else x


class Muon:
    """Parameters [out, in] or [n, out, in]; those of one shape are handled together."""

    def __init__(self, parameters, momentum=0.95):
        self.momentum = momentum
        shapes = {}
        for p in parameters:
            shapes.setdefault(tuple(p.shape[-2:]), []).append(p)
        self.groups = [(list_, [torch.zeros_like(p) for p in list_]) for list_ in shapes.values()]

    @torch.no_grad()
    def step(self, rate):
        for parameters, momenta in self.groups:
            rows, columns = parameters[0].shape[-2:]
            updates = []
            for p, momentum in zip(parameters, momenta):
                momentum.lerp_(p.grad, 1 - self.momentum)
                updates.append(p.grad.lerp(momentum, self.momentum).reshape(-1, rows, columns))
            stacked = orthogonalised(torch.cat(updates)).float() * (0.2 * max(rows, columns) ** 0.5)
            for p, update in zip(parameters, stacked.split([len(u) for u in updates])):
                p.add_(update.view_as(p), alpha=-rate)
