"""Checks model.py: python3 train/test_model.py BUILD_DIR (needs PyTorch; on a GPU the kernels too)

* The logits of the tests' tiny models are those that an independent implementation computed.
* On a GPU, the kernels of fused.py and their gradients are those of the plain formulas.
"""
import struct
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

import compare
import export
import fused

GOLDEN = Path(__file__).resolve().parent.parent / "tests" / "data" / "golden"


def read_d4g(path):
    """-> {name: array}. The format is described in tests/support/d4g.c."""
    data, at = path.read_bytes(), 4

    def numbers(n):
        nonlocal at
        at += 4 * n
        return struct.unpack_from(f"<{n}I", data, at - 4 * n)
    records = {}
    for _ in range(numbers(1)[0]):
        n = numbers(1)[0]
        name = data[at:at + n].decode()
        at += n
        kind, n_dimensions = numbers(2)
        shape = numbers(n_dimensions)
        n = int(np.prod(shape))
        records[name] = np.frombuffer(data, "<i4" if kind else "<f4", n, at).reshape(shape)
        at += 4 * n
    return records


def golden_logits(build):
    for name in ("tiny-a-f", "tiny-a-q4"):
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "model.gguf"
            subprocess.run([build / "tiny_model", name, path], check=True)
            model = export.read(path)
        for prompt in ("p0005", "p0130", "p0200", "p0700"):
            records = read_d4g(GOLDEN / name / "pure" / f"{prompt}.d4g")
            logits = compare.torch_logits(model, records["tokens"].tolist(), qat=False)
            difference = (logits[records["pos"].tolist()] - torch.from_numpy(records["logits"].copy())).abs().max()
            print(f"{name} {prompt}: largest difference {difference:.1e}")
            assert difference < 1e-4


def kernels():
    """Values and gradients in float32 on the GPU against the plain formulas in float64."""
    n, e = 1000, 256
    positive = torch.rand(n, 4, 4) + 0.1
    angle = torch.rand(20, 32) * 6
    cases = [
        (fused.sinkhorn, fused.plain_sinkhorn, [positive], []),
        (fused.collapse, fused.plain_collapse, [torch.randn(n, 4, e), torch.randn(n, 4)], []),
        (fused.spread, fused.plain_spread,
         [torch.randn(n, 4, e), torch.randn(n, e), torch.randn(n, 4), torch.randn(n, 4, 4)], []),
        (fused.rotate, fused.plain_rotate, [torch.randn(2, 20, 3, e)], [angle.cos(), angle.sin()]),
        (fused.rotate, fused.plain_rotate, [torch.randn(2, 20, e)], [angle.cos(), angle.sin()]),
        (fused.gated, fused.plain_gated, [6 * torch.randn(n, 4 * e), 6 * torch.randn(n, 4 * e), torch.randn(n, 4)],
         [10.0]),
    ]
    for kernel, plain, variable, fixed in cases:
        results = []
        for function, device, dtype in ((kernel, "cuda", torch.float32), (plain, "cpu", torch.float64)):
            inputs = [v.to(device, dtype).requires_grad_() for v in variable]
            rest = [v.to(device, dtype) if torch.is_tensor(v) else v for v in fixed]
            out = function(*inputs, *rest)
            out.backward(F.normalize(torch.arange(out.numel(), device=device, dtype=dtype).view_as(out).sin(), dim=-1))
            results.append([out.detach(), *(v.grad for v in inputs)])
        for a, b in zip(*results):
            error = (a.cpu().double() - b).norm() / b.norm()
            assert error < 1e-5, (kernel.__name__, float(error))
        print(f"{kernel.__name__}: as the plain formula")


if __name__ == "__main__":
    golden_logits(Path(sys.argv[1]))
    if torch.cuda.is_available():
        kernels()
    else:
        print("no GPU: kernels are not checked")
