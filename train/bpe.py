"""Byte-level BPE with the official pre-tokenizer: training a vocabulary, text to tokens and back.

Equal to src/text/pretokenizer.c, bpe.c and tokenizer.c for text that is valid UTF-8. Bytes are written with the
symbols of GPT-2, as in GGUF files. Needs the module `regex`, which knows Unicode classes.
"""
import heapq
import json
from collections import Counter, defaultdict
from pathlib import Path
from typing import NamedTuple

import regex

VOCABULARY = Path(__file__).resolve().parent / "vocabulary.json"     # of ds4-nano

# ---- the pre-tokenizer ----

# Three splits, one after the other: each cuts every piece of the one before into its matches and what lies between
# them. \s has U+180E too, as PCRE2 has it.
_SPLITS = [regex.compile(f"({pattern})") for pattern in (
    r"\p{N}{1,3}",
    r"[\u4e00-\u9fa5\u3040-\u309f\u30a0-\u30ff]+",
    r"""[!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+"""
    r"|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+"
    r"| ?[\p{P}\p{S}]+[\r\n]*"
    r"|[\s\u180e]*[\r\n]+"
    r"|[\s\u180e]+(?![^\s\u180e])"
    r"|[\s\u180e]+",
)]


def pieces(text: str) -> list:
    """The pieces of a text; tokens never cross their borders."""
    found = [text]
    for split in _SPLITS:
        found = [piece for part in found for piece in split.split(part) if piece]
    return found


# ---- vocabularies ----

# In the published order: the first three have the ids 0, 1, 2, the others come behind all ordinary tokens.
CONTROL_TOKENS = (
    "<｜begin▁of▁sentence｜>", "<｜end▁of▁sentence｜>", "<｜▁pad▁｜>",
    "<｜User｜>", "<｜Assistant｜>", "<think>", "</think>", "｜DSML｜", "<｜latest_reminder｜>", "<｜action｜>", "<｜query｜>",
    "<｜authority｜>", "<｜domain｜>", "<｜title｜>", "<｜read_url｜>",
)
_N_FIRST = 3


def _byte_symbols() -> list:
    """The character that stands for each byte: itself if it is visible, else one from U+0100 on."""
    visible = {*range(33, 127), *range(161, 173), *range(174, 256)}
    hidden = [byte for byte in range(256) if byte not in visible]
    return [chr(byte) if byte in visible else chr(256 + hidden.index(byte)) for byte in range(256)]


SYMBOL = _byte_symbols()
_BYTE = {symbol: byte for byte, symbol in enumerate(SYMBOL)}


def is_control(token: str) -> bool:
    return token.startswith("<｜") and token.endswith("｜>") or token in ("<think>", "</think>", "｜DSML｜")


class Vocabulary(NamedTuple):
    tokens: list                # by id, in GPT-2 symbols; control tokens as they are
    merges: list                # "left right", the first to be done first


def vocabulary(control_tokens, merges) -> Vocabulary:
    control_tokens = list(control_tokens)
    assert all(map(is_control, control_tokens))
    tokens = control_tokens[:_N_FIRST] + sorted(SYMBOL) + [merge.replace(" ", "") for merge in merges]
    return Vocabulary(tokens + control_tokens[_N_FIRST:], list(merges))


def train(texts, n_vocab: int, control_tokens=CONTROL_TOKENS) -> Vocabulary:
    """The vocabulary of n_vocab tokens, or fewer if nothing is left to merge. Numbers are not merged: each digit stays
    a token. Of pairs that are equally frequent the first in the alphabet is merged."""
    frequency = Counter()
    for text in texts:
        frequency.update(pieces(text))
    words, counts = [], []
    for piece, count in sorted(frequency.items()):
        if not regex.match(r"\p{N}", piece):
            words.append([SYMBOL[byte] for byte in piece.encode()])
            counts.append(count)

    pair_count, words_with = Counter(), defaultdict(set)
    for i, word in enumerate(words):
        for pair in zip(word, word[1:]):
            pair_count[pair] += counts[i]
            words_with[pair].add(i)
    # Entries whose count is out of date are put right when they come up; counts only fall, except for new pairs.
    heap = [(-count, pair) for pair, count in pair_count.items()]
    heapq.heapify(heap)

    merges, known = [], set(SYMBOL)
    n_merges = n_vocab - len(SYMBOL) - len(control_tokens)
    while heap and len(merges) < n_merges:
        negative, pair = heapq.heappop(heap)
        if pair_count[pair] != -negative:
            if pair_count[pair] > 0:
                heapq.heappush(heap, (-pair_count[pair], pair))
            continue
        joined = pair[0] + pair[1]
        assert joined not in known, joined
        changed = set()
        for i in words_with.pop(pair):
            word = words[i]
            for old in zip(word, word[1:]):
                pair_count[old] -= counts[i]
            words[i] = word = _merged(word, pair, joined)
            for new in zip(word, word[1:]):
                pair_count[new] += counts[i]
                words_with[new].add(i)
                if joined in new:
                    changed.add(new)
        for new in changed:
            heapq.heappush(heap, (-pair_count[new], new))
        merges.append(" ".join(pair))
        known.add(joined)
    return vocabulary(control_tokens, merges)


def _merged(word: list, pair: tuple, joined: str) -> list:
    result, i = [], 0
    while i < len(word):
        if i + 1 < len(word) and word[i] == pair[0] and word[i + 1] == pair[1]:
            result.append(joined)
            i += 2
        else:
            result.append(word[i])
            i += 1
    return result


# ---- text to tokens and back ----

class _Pieces(dict):
    """Tokens of a piece, made when it is met for the first time."""

    def __init__(self, make):
        self.make = make

    def __missing__(self, piece):
        ids = self[piece] = self.make(piece)
        return ids


class Tokenizer:
    def __init__(self, tokens: list, merges: list):
        self.tokens, self.merges = list(tokens), list(merges)
        self.control = {token: i for i, token in enumerate(self.tokens) if is_control(token)}
        self.eos, self.pad = self.control["<｜end▁of▁sentence｜>"], self.control["<｜▁pad▁｜>"]
        self._id = {token: i for i, token in enumerate(self.tokens) if not is_control(token)}
        self._rank = {tuple(merge.split(" ")): i for i, merge in enumerate(self.merges)}
        self._bytes = [token.encode() if is_control(token) else bytes(_BYTE[symbol] for symbol in token)
                       for token in self.tokens]
        self._known = _Pieces(self._encode_piece)

    def __len__(self):
        return len(self.tokens)

    def _encode_piece(self, piece: str) -> list:
        word = [SYMBOL[byte] for byte in piece.encode()]
        while len(word) > 1:
            rank, at = min((self._rank.get(pair, len(self.merges)), i) for i, pair in enumerate(zip(word, word[1:])))
            if rank == len(self.merges):
                break
            word[at:at + 2] = [word[at] + word[at + 1]]
        return [self._id[symbol] for symbol in word]

    def encode(self, text: str) -> list:
        """Tokens of plain text: control strings in it are text like any other."""
        ids, known = [], self._known
        for piece in pieces(text):
            ids += known[piece]
        return ids

    def encode_segments(self, segments: list) -> tuple:
        """Ids of rendered segments, and for each whether the model learns to write it."""
        ids, learn = [], []
        last = None
        for segment in segments:
            if segment.control:
                new = [self.control[segment.text]]
            else:               # two in a row would have to be tokenised as one
                assert last is None or last.control
                new = self.encode(segment.text)
            ids += new
            learn += [segment.learn] * len(new)
            last = segment
        return ids, learn

    def decode(self, ids) -> str:
        return b"".join(self._bytes[i] for i in ids).decode(errors="replace")

    def metadata(self) -> list:
        """What a GGUF file says about the vocabulary, for gguf.write."""
        key = "tokenizer.ggml."
        return [
            (key + "model", "string", "gpt2"),
            (key + "pre", "string", "joyai-llm"),
            (key + "bos_token_id", "u32", self.control["<｜begin▁of▁sentence｜>"]),
            (key + "eos_token_id", "u32", self.eos),
            (key + "padding_token_id", "u32", self.pad),
            (key + "tokens", "[string]", self.tokens),
            (key + "token_type", "[i32]", [3 if is_control(token) else 1 for token in self.tokens]),  # control, normal
            (key + "merges", "[string]", self.merges),
        ]

    def save(self, path):
        """As JSON, one merge a line. The tokens follow from the merges."""
        with open(path, "w", encoding="utf-8") as file:
            json.dump({"control": list(self.control), "merges": self.merges}, file, ensure_ascii=False, indent=0)
            file.write("\n")

    @classmethod
    def load(cls, path) -> "Tokenizer":
        with open(path, encoding="utf-8") as file:
            saved = json.load(file)
        return cls(*vocabulary(saved["control"], saved["merges"]))
