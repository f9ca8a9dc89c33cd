"""Learns the vocabulary from generated conversations: python3 train/vocabulary.py [N_TOKENS]"""
import random
import sys

import bpe
import conversations
import render

N_TOKENS = 2048
N_CONVERSATIONS = 20000


def texts():
    rng = random.Random("vocabulary")
    for _ in range(N_CONVERSATIONS):
        c = conversations.sample(rng)
        for segment in render.render(c.messages, c.tools, c.think):
            if not segment.control:
                yield segment.text


def main():
    n = int(sys.argv[1]) if len(sys.argv) > 1 else N_TOKENS
    bpe.Tokenizer(*bpe.train(texts(), n)).save(bpe.VOCABULARY)


if __name__ == "__main__":
    main()
