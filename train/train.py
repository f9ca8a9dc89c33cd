"""Trains ds4-nano from nothing: python3 train/train.py --out DIR  (one GPU; see train/README.md)

Phases, as shares of the steps: attention first sees every compressed row while the indexers learn to rank rows as
attention weighs them; then the indexers select. In the last phase the weights are those that the file will hold
(straight-through), while the learning rates fall to zero.
"""
import argparse
import contextlib
import dataclasses
import json
import random
import time
from pathlib import Path

import torch
import torch.nn.functional as F

import batches
import conversations
import export
from bpe import VOCABULARY, Tokenizer
from model import Model, Run, Shape
from muon import Muon

SELECT_FROM = 0.5               # share of the steps after which the indexers select
SOMETIMES_ALL = 0.25            # share of the batches after that which still see every row, so that indexers learn,
ALWAYS_FROM = 0.85              # until here
QUANTISE_FROM = 0.8
DECAY_FROM = 0.55
WARMUP_STEPS = 100
GIVEN_WEIGHT = 0.1              # of the loss on tokens that the model does not have to write, at first
GIVEN_UNTIL = 0.2               # zero from here: a model that goes on learning filler text also writes it
LOG_EVERY = 50                  # steps
BALANCE_RATE = 0.002            # change of the router biases a step, until they are frozen with QUANTISE_FROM

# Parameters of two dimensions that are no hidden matrices.
FOR_ADAM = ("token_embd", "output.weight", "hc_", "ape", "gate_inp", "indexer.proj")


def options():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", required=True, type=Path)
    parser.add_argument("--steps", type=int, default=9700)
    parser.add_argument("--tokens", type=int, default=32768, help="tokens in a batch")
    parser.add_argument("--muon-rate", type=float, default=4e-3)
    parser.add_argument("--adam-rate", type=float, default=3e-3)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--workers", type=int, default=13)
    parser.add_argument("--evaluate-every", type=int, default=1616)
    parser.add_argument("--evaluate-items", type=int, default=64, help="a kind")
    return parser.parse_args()


def rate_factor(step, steps):
    if step < WARMUP_STEPS:
        return (step + 1) / WARMUP_STEPS
    return min(1.0, (steps - step) / (steps * (1 - DECAY_FROM)))


def mean_loss(model, ids, kind, given_weight, run):
    """Weighted mean over the tokens of a batch."""
    hidden = model(ids, run)
    logits = model.logits(hidden[:, :-1], run).float()
    loss = F.cross_entropy(logits.flatten(0, 1), ids[:, 1:].flatten(), reduction="none").view(ids.shape[0], -1)
    weight = torch.where(kind[:, 1:] == 2, 1.0, torch.where(kind[:, 1:] == 1, given_weight, 0.0))
    return (loss * weight).sum() / weight.sum()


@contextlib.contextmanager
def as_stored(model, wanted):
    """Inside, the parameters are the values that the file would hold; the optimisers change the full ones behind."""
    if not wanted:
        yield
        return
    full = {name: p.data for name, p in model.named_parameters()}
    for name, p in model.named_parameters():
        p.data = export.stored(name, p.data)
    yield
    for name, p in model.named_parameters():
        p.data = full[name]


def to_device(batch, device):
    ids, kind = batch
    ids = torch.from_numpy(ids).pin_memory() if device.type == "cuda" else torch.from_numpy(ids)
    return ids.to(device, non_blocking=True).long(), torch.from_numpy(kind).to(device, non_blocking=True)


def held_out(tokenizer, n, seed):
    """-> {kind: rows}, each the tokens of a held-out conversation with its last answer marked as learned."""
    rows = {}
    for kind, items in conversations.held_out(n, seed, tokenizer).items():
        encoded = []
        for item in items:
            before = batches.encode(tokenizer, dataclasses.replace(item, messages=item.messages[:-1]))[0]
            tokens, learn = batches.encode(tokenizer, item)
            encoded.append((tokens, [False] * len(before) + learn[len(before):]))
        rows[kind] = encoded
    return rows


@torch.no_grad()
def evaluate(model, rows, dtype, device, pad_id):
    """Share of held-out answers whose every token is the likeliest one: the answers that greedy decoding gives."""
    model.eval()
    result = {}
    for kind, items in rows.items():
        right = 0
        for batch in batches.grouped(items, 65536, pad_id):
            ids, mark = to_device(batch, device)
            run = Run(dtype=dtype)
            best = model.logits(model(ids, run)[:, :-1], run).argmax(-1)
            wrong = (best != ids[:, 1:]) & (mark[:, 1:] == 2)
            right += int((~wrong.any(1)).sum())
        result[kind] = right / len(items)
    model.train()
    return result


def optimisers(model, adam_rate):
    """Muon for the hidden matrices, Adam for everything else."""
    matrices, others = [], []
    for name, p in model.named_parameters():
        is_matrix = p.dim() >= 2 and not any(part in name for part in FOR_ADAM)
        (matrices if is_matrix else others).append(p)
    fused = {"fused": True} if others[0].is_cuda else {}
    return Muon(matrices), torch.optim.AdamW(others, lr=adam_rate, betas=(0.9, 0.95), weight_decay=0.0, **fused)


def main():
    o = options()
    o.out.mkdir(parents=True, exist_ok=True)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    dtype = torch.bfloat16 if device.type == "cuda" else torch.float32
    torch.set_float32_matmul_precision("high")
    torch.manual_seed(o.seed)
    tokenizer = Tokenizer.load(VOCABULARY)
    source = batches.Batches(VOCABULARY, o.seed, o.tokens, o.workers)
    model = Model(Shape(n_vocab=len(tokenizer))).to(device)
    muon, adam = optimisers(model, o.adam_rate)
    items = held_out(tokenizer, o.evaluate_items, "train")
    print(f"{sum(p.numel() for p in model.parameters()):,} parameters, {len(tokenizer)} tokens", flush=True)

    rng = random.Random(o.seed)
    log = open(o.out / "log.jsonl", "w")
    started = time.monotonic()
    seen = 0
    totals = {"loss": 0.0, "alignment": 0.0}
    for step in range(o.steps):
        share = step / o.steps
        factor = rate_factor(step, o.steps)
        ids, kind = to_device(next(source), device)
        seen += ids.numel()
        run = Run(dtype=dtype, top_k=share >= SELECT_FROM and (rng.random() >= SOMETIMES_ALL or share >= ALWAYS_FROM))
        with as_stored(model, share >= QUANTISE_FROM):
            loss = mean_loss(model, ids, kind, GIVEN_WEIGHT * max(0.0, 1 - share / GIVEN_UNTIL), run)
            alignment = sum(run.alignment)
            (loss + alignment).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        muon.step(o.muon_rate * factor)
        for group in adam.param_groups:
            group["lr"] = o.adam_rate * factor
        adam.step()
        model.zero_grad(set_to_none=True)
        if share < QUANTISE_FROM:
            for bias, load in run.loads:
                bias += BALANCE_RATE * torch.sign(load.mean() - load)
        totals["loss"] += loss.detach()
        totals["alignment"] += alignment.detach()
        if (step + 1) % LOG_EVERY == 0:
            record = {"step": step + 1, **{key: round(float(total) / LOG_EVERY, 4) for key, total in totals.items()},
                      "tokens": seen, "seconds": round(time.monotonic() - started, 1)}
            totals = {"loss": 0.0, "alignment": 0.0}
            print(json.dumps(record), flush=True)
            log.write(json.dumps(record) + "\n")
            log.flush()
        if (step + 1) % o.evaluate_every == 0 or step + 1 == o.steps:
            with as_stored(model, share >= QUANTISE_FROM):
                result = evaluate(model, items, dtype, device, tokenizer.pad)
            print(json.dumps({k: round(v, 3) for k, v in result.items()}), flush=True)
            log.write(json.dumps({"step": step + 1, "held_out": result}) + "\n")
            log.flush()
            torch.save({"shape": dataclasses.asdict(model.shape), "state": model.state_dict()}, o.out / "checkpoint.pt")
    source.close()
    export.write(o.out / "ds4-nano.gguf", model.shape, model.state_dict(), tokenizer)


if __name__ == "__main__":
    main()
