"""What all tasks share: the form of an example, and the split into training and held-out examples."""
import random
import zlib
from dataclasses import dataclass, field


@dataclass
class Turn:
    """One question and its answer, usable anywhere in a conversation without tools."""
    kind: str                   # family, e.g. "add2"; the evaluation reports by kind
    user: str
    answer: str
    reasoning: str = ""         # what stands between <think> and </think> in thinking mode
    key: str = ""               # identity for the split; empty: the user text
    accept: tuple = ()          # other answers that are right


@dataclass
class Conversation:
    """A whole conversation in the form of an OpenAI-style request. Every assistant message is learned;
    an evaluation drops the last message, which is the assistant's, and asks the model for it."""
    kind: str
    messages: list              # dicts: role, content, reasoning_content, tool_calls, tool_call_id
    tools: list = field(default_factory=list)
    think: bool = False         # the last answer is given in thinking mode (with tools: all answers)
    key: str = ""
    accept: tuple = ()          # other right contents of the last message
    fact: str = ""              # recall: the sentence of the text that the last answer is taken from


HELD_OUT_PARTS = 10             # one key in ten is never trained on


def is_held_out(kind: str, key: str) -> bool:
    return zlib.crc32(f"{kind}|{key}".encode()) % HELD_OUT_PARTS == 0


def weighted(rng: random.Random, choices):
    """One of [(weight, what)]"""
    return rng.choices([what for _, what in choices], [weight for weight, _ in choices])[0]


def draw(task, rng: random.Random, held_out: bool = False):
    """Calls task(rng) until its example belongs to the wanted side of the split."""
    while True:
        example = task(rng)
        key = example.key or getattr(example, "user", "")
        if is_held_out(example.kind, key) == held_out:
            return example
