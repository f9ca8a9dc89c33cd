"""The mixture of conversations that the model is trained on, and the held-out ones that it is judged by."""
import random

from tasks import arithmetic, facts, memory, recall, talk, tools, units, words
from tasks.common import Conversation, draw, weighted

# Families of single questions and their share of the turns.
FAMILIES = [(14, facts.TASKS), (50, words.TASKS), (20, arithmetic.TASKS), (8, units.TASKS), (10, talk.TASKS)]
MEAN_TURNS = 8


def turn(rng):
    return draw(weighted(rng, weighted(rng, FAMILIES)), rng)


def with_turns(turns, rng, think) -> Conversation:
    """A conversation of these questions and answers. In thinking mode the last answer has its reasoning."""
    messages = memory.system_messages(rng)
    for t in turns:
        messages.append({"role": "user", "content": t.user})
        messages.append({"role": "assistant", "content": t.answer})
    if think:
        messages[-1]["reasoning_content"] = turns[-1].reasoning
    last = turns[-1]
    return Conversation(last.kind, messages, think=think, key=last.key or last.user, accept=last.accept)


def chat(rng) -> Conversation:
    """Questions of all families. Thinking is learned at the last answer only, so such conversations are short."""
    think = rng.random() < 0.5
    n = rng.choice((1, 1, 1, 2, 3)) if think else min(1 + int(rng.expovariate(1 / MEAN_TURNS)), 30)
    return with_turns([turn(rng) for _ in range(n)], rng, think)


# Shares of conversations, not of tokens: a long recall has fifty times the tokens of a chat.
MIXTURE = [(360, chat), (20, memory.conversation), (50, tools.conversation),
           (22, recall.dense), (10, recall.medium), (5, recall.long)]


def sample(rng: random.Random) -> Conversation:
    """One training conversation; nothing in it is held out."""
    return draw(weighted(rng, MIXTURE), rng)


# ---- held-out conversations ----

RECALL_DISTANCES = (500, 1500, 4000)


def _single_turn(tasks, kinds):
    """A task that draws from those of the tasks that make turns of these kinds (all kinds: None)."""
    def make(rng):
        while True:
            t = draw(weighted(rng, tasks), rng, True)
            if kinds is None or t.kind in kinds:
                return t
    return make


def _recall_at(distance, tokenizer, rng, think):
    """A recall whose fact ends about `distance` tokens before the last question: at most 5 % less or more."""
    n_words = int(distance / 1.5)
    while True:
        c = draw(lambda r: recall.single(r, n_words, think), rng, True)
        text = c.messages[-2]["content"]
        between = len(tokenizer.encode(text[text.index(c.fact) + len(c.fact):]))
        if abs(between - distance) <= 0.05 * distance:
            return c
        n_words = max(int(n_words * distance / between), 1)


def held_out(n: int, seed, tokenizer) -> dict:
    """-> {name: n conversations} of everything that is evaluated; names ending in " (think)" are in thinking mode."""
    made = {}
    for think in (False, True):
        def put(name, make):
            rng = random.Random(f"{seed}/{name}/{think}")
            made[name + " (think)" * think] = [make(rng) for _ in range(n)]

        def turns(name, tasks, kinds=None):
            one = _single_turn(tasks, kinds)
            put(name, lambda rng: with_turns([one(rng)], rng, think))

        turns("two-digit addition", arithmetic.TASKS, {"add2"})
        turns("other arithmetic", [(w, f) for w, f in arithmetic.TASKS if f is not arithmetic.add2])
        turns("word operations", words.TASKS)
        turns("facts about ds4", facts.TASKS)
        turns("facts in unseen words", facts.UNSEEN_TASKS)
        turns("unit conversion", units.TASKS)
        turns("small talk", talk.TASKS)
        put("multi-turn memory", lambda rng: draw(lambda r: memory.conversation(r, think=think), rng, True))
        for distance in RECALL_DISTANCES:
            put(f"recall at {distance:,} tokens", lambda rng: _recall_at(distance, tokenizer, rng, think))
        for kind, name in (("tool_call", "tool call"), ("tool_two", "two tool calls"),
                           ("tool_result", "answer from a tool result"), ("tool_none", "no tool needed")):
            put(name, lambda rng: draw(lambda r: tools.conversation(r, kind, think), rng, True))
    return made
