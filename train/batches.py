"""Batches of training conversations, made by worker processes while the GPU computes.

Conversations are grouped by length into buckets, so that little of a batch is padding. Every worker has its own
seed and the batches are taken from the workers in turn: the sequence of batches depends on the seed and the number
of workers alone."""
import multiprocessing
import random

import numpy as np

import conversations
import render
from bpe import Tokenizer

LENGTHS = (128, 256, 384, 512, 640, 768, 1024, 1536, 2048, 3072, 4096, 4608, 5120)


def encode(tokenizer, conversation):
    """-> token ids, and which of them the model learns to write."""
    return tokenizer.encode_segments(render.render(conversation.messages, conversation.tools, conversation.think))


def padded(rows, length, pad_id):
    """-> ids [B, length] int16, kind [B, length] int8: 0 padding, 1 given, 2 learned."""
    ids = np.full((len(rows), length), pad_id, np.int16)
    kind = np.zeros((len(rows), length), np.int8)
    for i, (tokens, learn) in enumerate(rows):
        ids[i, :len(tokens)] = tokens
        kind[i, :len(tokens)] = 1 + np.asarray(learn, np.int8)
    return ids, kind


def bucket_of(n):
    """The length of the batches that a row of n tokens goes into; None: it is too long for all."""
    return next((length for length in LENGTHS if n <= length), None)


def grouped(rows, n_tokens, pad_id):
    """Batches of rows of about the same length, n_tokens tokens each."""
    by_length = {}
    for row in rows:
        by_length.setdefault(bucket_of(len(row[0])), []).append(row)
    for length, group in by_length.items():
        n = max(n_tokens // length, 1)
        for i in range(0, len(group), n):
            yield padded(group[i:i + n], length, pad_id)


def produce(vocabulary_path, seed, n_tokens, queue):
    tokenizer = Tokenizer.load(vocabulary_path)
    rng = random.Random(seed)
    waiting = {length: [] for length in LENGTHS}
    while True:
        row = encode(tokenizer, conversations.sample(rng))
        length = bucket_of(len(row[0]))
        if length is None:
            continue
        rows = waiting[length]
        rows.append(row)
        if len(rows) == max(n_tokens // length, 1):
            queue.put(padded(rows, length, tokenizer.pad))
            waiting[length] = []


class Batches:
    """Iterates over (ids, kind) with about n_tokens tokens each."""

    def __init__(self, vocabulary_path, seed, n_tokens, n_workers):
        context = multiprocessing.get_context("spawn")
        self.queues = [context.Queue(4) for _ in range(n_workers)]
        self.workers = [context.Process(target=produce, daemon=True,
                                        args=(vocabulary_path, f"{seed}/{i}", n_tokens, q))
                        for i, q in enumerate(self.queues)]
        for worker in self.workers:
            worker.start()
        self.next = 0

    def __iter__(self):
        return self

    def __next__(self):
        queue = self.queues[self.next]
        self.next = (self.next + 1) % len(self.queues)
        return queue.get(timeout=300)

    def close(self):
        for worker in self.workers:
            worker.terminate()
