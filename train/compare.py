"""Compares the C engine with the PyTorch model, and a file with the weights that it was made from.

python3 train/compare.py logits BUILD_DIR [MODEL]
    Logits of the engine and of model.py at all positions of held-out conversations. In float arithmetic they must agree
    within 0.001, where the model follows the engine in choices of rows that rounding decides (they are counted). With
    the rounding of rows (QAT) a difference in the last bit can flip a rounded value, so of that only statistics are
    printed.
python3 train/compare.py weights CHECKPOINT.pt MODEL [--items 200]
    The float weights of the training against the file, on held-out conversations: how often the likeliest token is the
    same, and the mean divergence KL(float || file) in nats.
python3 train/compare.py golden MODEL OUT.d4g
    Logits for tests/test_nano.c, computed in float64.
"""
import argparse
import struct
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

import batches
import conversations
import export
import train
from bpe import VOCABULARY, Tokenizer
from model import Layer, Model, Run, Shape

NANO = Path(__file__).resolve().parent.parent / "models" / "ds4-nano.gguf"
LIMIT = 1e-3
BLOCK = 128                     # the model takes multiples of this
DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")


class Selection:
    """Stands in for Layer.select, with the choices of the engine.

    Of two compressed rows with the same score (0 is common: no head likes the row) the engine takes the earlier one,
    the training code any; ranks in place of scores make it do as the engine does. Where two different scores are
    closer than NARROW, rounding decides: such choices are noted, and turned around if they are in `turned`."""
    NARROW = 1e-5

    def __init__(self):
        self.scores_of = Layer.select
        self.narrow, self.turned = [], set()    # (layer, position)

    def of(self, layer, *arguments):
        scores = self.scores_of(layer, *arguments)
        _, t, c = scores.shape
        k = layer.shape.index_top_k
        seen = (torch.arange(t, device=DEVICE)[:, None] + 1) // 4 > torch.arange(c, device=DEVICE)
        best, order = torch.sort(scores.masked_fill(~seen, -torch.inf), dim=-1, descending=True, stable=True)
        if c > k:
            gap = best[0, :, k - 1] - best[0, :, k]
            self.narrow += [(layer, int(p)) for p in ((gap > 0) & (gap < self.NARROW)).nonzero()]
            for _, p in filter(lambda choice: choice[0] is layer, self.turned):
                order[0, p, [k - 1, k]] = order[0, p, [k, k - 1]]
        return -order.argsort(-1).to(scores.dtype)


selection = Selection()


@torch.no_grad()
def torch_logits(model, tokens, qat, dtype=torch.float32):
    """Logits at all positions, [n, n_vocab]. The padding behind the end changes nothing before it."""
    ids = F.pad(torch.tensor(tokens), (0, -len(tokens) % BLOCK))[None]
    run = Run(dtype=dtype, qat=qat)
    return model.logits(model(ids.to(DEVICE), run), run)[0, :len(tokens)].cpu()


def ds4_logits(o, tokens, options):
    with tempfile.TemporaryDirectory() as folder:
        given, made = Path(folder) / "tokens", Path(folder) / "logits"
        np.asarray(tokens, "<i4").tofile(given)
        subprocess.run([o.build / "ds4", "logits", "-m", o.model, "--tokens", given, "--out", made, "--exact",
                        *options], check=True)
        return torch.from_numpy(np.fromfile(made, "<f4").reshape(len(tokens), -1))


# ---- the engine and PyTorch ----

def differences(model, tokens, expected):
    """Largest difference at each position, in float arithmetic. Where it jumps because rounding decided about a row,
    the model is made to decide like the engine and computes again: such a choice has effects on all that follows.
    -> differences, number of choices turned around"""
    selection.turned.clear()
    while True:
        selection.narrow.clear()
        found = (torch_logits(model, tokens, False) - expected).abs().amax(-1)
        jumps = (found > LIMIT / 10).nonzero()
        choices = [choice for choice in selection.narrow if len(jumps) and choice[1] == int(jumps[0])]
        choices = [choice for choice in choices if choice not in selection.turned]
        if not choices:
            return found, len(selection.turned)
        selection.turned.add(choices[0])


def compare_logits(o):
    tokenizer = Tokenizer.load(VOCABULARY)
    model = export.read(o.model).to(DEVICE)
    worst = 0.0
    print("| conversation | tokens | largest difference | choices turned | with QAT: median | 95 % below |")
    print("| --- | --- | --- | --- | --- | --- |")
    for kind, (item,) in conversations.held_out(1, o.seed, tokenizer).items():
        if o.kinds not in kind or ("recall" in kind and item.think):    # which is the same text again
            continue
        tokens, _ = batches.encode(tokenizer, item)
        exact, n_turned = differences(model, tokens, ds4_logits(o, tokens, ["--no-qat"]))
        selection.turned.clear()
        rounded = (ds4_logits(o, tokens, []) - torch_logits(model, tokens, True)).abs().amax(-1)
        print(f"| {kind} | {len(tokens)} | {exact.max():.2g} | {n_turned} | {rounded.median():.2g} "
              f"| {rounded.quantile(0.95):.2g} |", flush=True)
        worst = max(worst, float(exact.max()))
    print(f"\nlargest difference in float arithmetic: {worst:.2g}, allowed: {LIMIT:g}")
    if not worst <= LIMIT:
        sys.exit("compare: the engine and the PyTorch model disagree")


# ---- float weights and the file ----

class Agreement:
    """Sums over positions."""

    def __init__(self):
        self.n, self.same, self.divergence = 0, 0, 0.0

    def add(self, exact, stored):
        """Logits [n, n_vocab] of the float weights and of the file."""
        p, q = F.log_softmax(exact, -1), F.log_softmax(stored, -1)
        self.n += len(p)
        self.same += int((p.argmax(-1) == q.argmax(-1)).sum())
        self.divergence += float((p.exp() * (p - q)).sum(dtype=torch.float64))

    def __str__(self):
        return f"{self.n} | {100 * self.same / self.n:.3f} | {self.divergence / self.n:.3g}"


@torch.no_grad()
def compare_weights(o):
    tokenizer = Tokenizer.load(VOCABULARY)
    saved = torch.load(o.checkpoint, map_location="cpu")
    exact = Model(Shape(**saved["shape"]))
    exact.load_state_dict(saved["state"])
    exact, stored = exact.to(DEVICE).eval(), export.read(o.model).to(DEVICE)
    answers, everything = Agreement(), Agreement()
    for kind, rows in train.held_out(tokenizer, o.items, "compare").items():
        if o.kinds not in kind:
            continue
        for batch in batches.grouped(rows, o.tokens, tokenizer.pad):
            ids, mark = train.to_device(batch, DEVICE)
            hidden = [model(ids, Run())[:, :-1] for model in (exact, stored)]
            for sums, where in (answers, mark[:, 1:] == 2), (everything, mark[:, 1:] > 0):
                sums.add(*(model.logits(h[where], Run()) for model, h in zip((exact, stored), hidden)))
        print(f"{kind} done", file=sys.stderr, flush=True)
    print("| positions | number | same likeliest token, % | mean KL(float \\|\\| file), nats |")
    print("| --- | --- | --- | --- |")
    print(f"| of the last answers | {answers} |\n| all | {everything} |")


# ---- a golden file ----

# Held-out kinds, and at most so many of the positions of each, the last ones of a long prompt more densely.
GOLDEN_KINDS = ("two-digit addition", "facts about ds4 (think)", "multi-turn memory", "recall at 500 tokens",
                "tool call (think)", "answer from a tool result")
GOLDEN_POSITIONS = 48
GOLDEN_TOP = 32                 # logits kept of a position: the largest


def write_d4g(path, records):
    """records: (name, array of float32 or int32). The format is described in tests/support/d4g.c."""
    data = b"D4G1" + struct.pack("<I", len(records))
    for name, array in records:
        array = np.ascontiguousarray(array)
        kind = {"f": 0, "i": 1}[array.dtype.kind]
        data += struct.pack("<I", len(name)) + name.encode()
        data += struct.pack(f"<II{array.ndim}I", kind, array.ndim, *array.shape)
        data += array.astype(("<f4", "<i4")[kind]).tobytes()
    Path(path).write_bytes(data)


def golden_tokens(kind, model, wide, tokenizer):
    """A conversation in which no choice of an expert or a row is so narrow that float32 decides it differently from
    float64: -> tokens, logits in float64."""
    for item in conversations.held_out(10, "golden", tokenizer)[kind]:
        tokens, _ = batches.encode(tokenizer, item)
        logits = torch_logits(wide, tokens, False, torch.float64)
        if float((torch_logits(model, tokens, False) - logits).abs().max()) < LIMIT / 10:
            return tokens, logits
    sys.exit(f"compare: in all conversations of the kind \"{kind}\" something depends on rounding")


def make_golden(o):
    tokenizer = Tokenizer.load(VOCABULARY)
    model, wide = export.read(o.model).to(DEVICE), export.read(o.model).double().to(DEVICE)
    records = []
    for i, kind in enumerate(GOLDEN_KINDS):
        tokens, logits = golden_tokens(kind, model, wide, tokenizer)
        n = len(tokens)
        at = sorted({n - 1 - round((n - 1) * (k / GOLDEN_POSITIONS) ** 2) for k in range(GOLDEN_POSITIONS + 1)})
        top = logits[at].topk(GOLDEN_TOP, -1)
        records += [(f"tokens{i}", np.array(tokens, np.int32)), (f"pos{i}", np.array(at, np.int32)),
                    (f"id{i}", top.indices.numpy().astype(np.int32)), (f"logit{i}", top.values.float().numpy())]
        print(f"{kind}: {n} tokens, {len(at)} positions", flush=True)
    write_d4g(o.out, records)


def main():
    Layer.select = lambda *arguments: selection.of(*arguments)
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True)
    logits = commands.add_parser("logits", help="the engine and PyTorch")
    logits.add_argument("build", type=Path)
    logits.add_argument("model", type=Path, nargs="?", default=NANO)
    logits.add_argument("--kinds", default="", help="only kinds whose name has this in it")
    logits.add_argument("--seed", default="compare", help="of the conversations")
    logits.set_defaults(run=compare_logits)
    weights = commands.add_parser("weights", help="float weights and the file")
    weights.add_argument("checkpoint", type=Path)
    weights.add_argument("model", type=Path)
    weights.add_argument("--items", type=int, default=200, help="a kind (default 200)")
    weights.add_argument("--kinds", default="", help="only kinds whose name has this in it")
    weights.add_argument("--tokens", type=int, default=32768, help="tokens evaluated together (default 32768)")
    weights.set_defaults(run=compare_weights)
    golden = commands.add_parser("golden", help="makes the file that tests/test_nano.c reads")
    golden.add_argument("model", type=Path)
    golden.add_argument("out", type=Path)
    golden.set_defaults(run=make_golden)
    o = parser.parse_args()
    o.run(o)


if __name__ == "__main__":
    main()
