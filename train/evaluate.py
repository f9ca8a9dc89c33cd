"""How many held-out questions a model answers rightly, asked of the C engine (build/answers, greedy):

python3 train/evaluate.py BUILD_DIR [--model FILE] [--items 200] [--kinds SUBSTRING] [--seed S] [--no-compressed]

An answer is right if the model ended it by itself and it equals the expected one, or one of the other answers that the
task accepts, character by character (spaces around it do not count). Tool calls must be those expected, in order, with
the same names and the same arguments as JSON. The reasoning of thinking mode is not judged, only what follows it.

Prints a table. The exit status is 1 if a target is missed in direct mode. Needs Python and its module regex.
"""
import argparse
import json
import math
import os
import queue
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import NamedTuple

import conversations
import render
from bpe import VOCABULARY, Tokenizer

TARGETS = {                     # percent
    "two-digit addition": 95,
    "word operations": 90,
    "facts about ds4": 95,
    "multi-turn memory": 95,
    "recall at 500 tokens": 95,
    "recall at 1,500 tokens": 90,
    "recall at 4,000 tokens": 80,
    "tool call": 95,
    "answer from a tool result": 90,
}
# Long prompts take most of the time: of these kinds a share of --items is asked. In thinking mode: a quarter of that.
SHARE = {
    "recall at 500 tokens": 0.75,
    "recall at 1,500 tokens": 0.5,
    "recall at 4,000 tokens": 0.3,
    "tool call": 0.75,
    "two tool calls": 0.3,
    "answer from a tool result": 0.75,
    "no tool needed": 0.3,
}
THINKING_SHARE = 0.25
MAX_TOKENS, MAX_TOKENS_THINKING = 200, 400
MAX_CASE_PROMPT, SHORT_CASE_PROMPT = 1000, 60   # tokens
THINKING = " (think)"           # end of the names of held-out kinds in thinking mode


class Item(NamedTuple):
    kind: str                   # without " (think)"
    think: bool
    request: dict
    expected: dict              # content, tool_calls: [{name, arguments}] with arguments as JSON text
    accept: tuple
    max_tokens: int


def request_of(conversation) -> dict:
    """What the model is asked: the conversation without its last message."""
    request = {"messages": conversation.messages[:-1], "reasoning_effort": "high" if conversation.think else "none"}
    return request | ({"tools": conversation.tools} if conversation.tools else {})


def make_item(name: str, conversation, tokenizer) -> Item:
    last = conversation.messages[-1]
    calls = [call["function"] for call in last.get("tool_calls") or []]
    expected = {"content": last.get("content") or "",
                "tool_calls": [{"name": call["name"], "arguments": call["arguments"]} for call in calls]}
    segments = render.render(conversation.messages, conversation.tools, conversation.think)
    prompt = render.prompt(conversation.messages[:-1], conversation.tools, conversation.think)
    n_expected = len(tokenizer.encode_segments(segments[len(prompt):])[0])
    limit = MAX_TOKENS_THINKING if conversation.think else MAX_TOKENS
    return Item(name.removesuffix(THINKING), conversation.think, request_of(conversation), expected,
                tuple(conversation.accept), max(limit, 2 * n_expected))


def make_items(o, tokenizer) -> list:
    items = []
    for name, made in conversations.held_out(o.items, o.seed, tokenizer).items():
        if o.kinds not in name:
            continue
        share = SHARE.get(name.removesuffix(THINKING), 1) * (THINKING_SHARE if name.endswith(THINKING) else 1)
        items += [make_item(name, conversation, tokenizer) for conversation in made[:math.ceil(share * o.items)]]
    return items


# ---- judging ----

def canonical(arguments: str) -> str:
    """JSON text in which equal values look equal; an order of keys has no meaning."""
    try:
        return json.dumps(json.loads(arguments), sort_keys=True)
    except ValueError:
        return "invalid: " + arguments


def calls_of(answer: dict) -> list:
    return [(call["name"], canonical(call["arguments"])) for call in answer["tool_calls"]]


def is_right(item: Item, answer: dict) -> bool:
    contents = [text.strip() for text in (item.expected["content"], *item.accept)]
    return (answer["finish"] == "stop" and answer["content"].strip() in contents
            and calls_of(answer) == calls_of(item.expected))


# ---- asking ----

def command_of(o) -> list:
    return [str(o.build / "answers"), "-m", o.model, "-t", "1"] + ["--no-compressed"] * o.no_compressed


def ask_all(command: list, items: list, n_jobs: int) -> list:
    """The answers to all items, from n_jobs processes that take the next item when they have answered one."""
    # The longest first, so that no process is left alone with one at the end.
    order = sorted(range(len(items)), key=lambda i: -len(json.dumps(items[i].request)))
    waiting = queue.SimpleQueue()
    for i in order:
        waiting.put(i)
    answers, failed = [None] * len(items), []
    started = time.monotonic()

    def show_progress():
        n_done = sum(answer is not None for answer in answers)
        if sys.stderr.isatty() or n_done % 100 == 0 or n_done == len(items):
            print(f"{n_done}/{len(items)} answers, {time.monotonic() - started:.0f} s", file=sys.stderr, flush=True,
                  end="\r" if sys.stderr.isatty() and n_done < len(items) else "\n")

    def work():
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, encoding="utf-8") as process:
            while not failed:
                try:
                    i = waiting.get_nowait()
                except queue.Empty:
                    break
                line = json.dumps({"request": items[i].request, "max_tokens": items[i].max_tokens})
                try:
                    process.stdin.write(line + "\n")
                    process.stdin.flush()
                    answers[i] = json.loads(process.stdout.readline())
                except (OSError, ValueError):   # the process said why on standard error and ended
                    failed.append(items[i])
                else:
                    show_progress()
            try:
                process.stdin.close()
            except OSError:
                pass

    threads = [threading.Thread(target=work) for _ in range(min(n_jobs, len(items)))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failed:
        sys.exit(f"evaluate: {command[0]} failed at an item of the kind \"{failed[0].kind}\"")
    return answers


# ---- reporting ----

class Score:
    def __init__(self):
        self.right, self.total, self.wrong = 0, 0, []

    def percent(self) -> float:
        return 100 * self.right / self.total

    def __str__(self):
        return f"{self.right}/{self.total} | {self.percent():.1f}" if self.total else " | "


def score(items: list, answers: list) -> dict:
    """-> {kind: (direct, thinking)} in the order of the items."""
    scores = {}
    for item, answer in zip(items, answers):
        s = scores.setdefault(item.kind, (Score(), Score()))[item.think]
        s.total += 1
        if is_right(item, answer):
            s.right += 1
        else:
            s.wrong.append((item, answer))
    return scores


def print_table(scores: dict, with_targets: bool):
    print("| kind | target % | direct | % | thinking | % |\n| --- | --- | --- | --- | --- | --- |")
    for kind, (direct, thinking) in scores.items():
        print(f"| {kind} | {TARGETS.get(kind, '') if with_targets else ''} | {direct} | {thinking} |")


def print_wrong(scores: dict, n: int):
    def shown(answer):
        calls = "".join(f"\n      call {call['name']} {call['arguments']}" for call in answer["tool_calls"])
        return repr(answer["content"]) + calls
    for kind, modes in scores.items():
        for s in modes:
            for item, answer in s.wrong[:n]:
                print(f"\n{kind}{THINKING * item.think}: {item.request['messages'][-1]['content'][-300:]!r}")
                print(f"    expected {shown(item.expected)}")
                print(f"    answered {shown(answer)}" + f" ({answer['finish']})" * (answer["finish"] != "stop"))
                if answer["reasoning"]:
                    print(f"    reasoning {answer['reasoning']!r}")


def write_json(path, o, scores: dict):
    kinds = [{"kind": kind, "think": bool(think), "right": s.right, "total": s.total,
              "wrong": [{"request": item.request, "expected": item.expected, "accept": item.accept, "answer": answer}
                        for item, answer in s.wrong]}
             for kind, modes in scores.items() for think, s in enumerate(modes) if s.total]
    Path(path).write_text(json.dumps({"items": o.items, "seed": o.seed, "no_compressed": o.no_compressed,
                                      "kinds": kinds}, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")


def write_cases(o, items: list, answers: list):
    """Right answers as cases for tests/test_nano.c: a few of each kind and mode, those with the shortest prompts, and
    none with very long ones. Short prompts count as equally short, or the test would have the simplest questions only.
    An answer must be right without the rounding of rows too: then it does not hang on the last bit of a logit, which
    depends on compiler and processor."""
    right = {}
    for item, answer in zip(items, answers):
        if is_right(item, answer) and answer["n_prompt_tokens"] <= MAX_CASE_PROMPT:
            right.setdefault(item.kind + THINKING * item.think, []).append((item, answer))
    chosen = []
    for name, found in right.items():
        found.sort(key=lambda pair: max(pair[1]["n_prompt_tokens"], SHORT_CASE_PROMPT))
        chosen += [(name, *pair) for pair in found[:3 * o.cases]]
    others = ask_all(command_of(o) + ["--no-qat"], [item for _, item, _ in chosen], o.jobs)
    cases, n_of = [], {}
    for (name, item, answer), other in zip(chosen, others):
        if is_right(item, other) and n_of.get(name, 0) < o.cases:
            n_of[name] = n_of.get(name, 0) + 1
            case = {"name": f"{name} {n_of[name]}", "request": item.request, "content": answer["content"]}
            cases.append(case | ({"tool_calls": answer["tool_calls"]} if answer["tool_calls"] else {}))
    lines = ",\n".join(json.dumps(case, ensure_ascii=False) for case in cases)
    Path(o.write_cases).write_text(f"[\n{lines}\n]\n", encoding="utf-8")


def options():
    parser = argparse.ArgumentParser(description="Asks a model held-out questions and prints how many are right.")
    parser.add_argument("build", type=Path, help="folder with the program answers (make build/answers)")
    parser.add_argument("--model", default="nano", help="model file (default: the built-in model)")
    parser.add_argument("--items", type=int, default=200,
                        help="items a kind (default 200); fewer of long prompts, and a quarter in thinking mode")
    parser.add_argument("--kinds", default="", help="only kinds whose name has this in it")
    parser.add_argument("--seed", default="evaluate", help="of the items")
    parser.add_argument("--no-compressed", action="store_true",
                        help="attention sees the last 128 tokens only: what is further away must become guesswork")
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="processes, of one thread each")
    parser.add_argument("--show-wrong", type=int, default=0, metavar="N", help="print N wrong answers of each kind")
    parser.add_argument("--json", metavar="OUT", help="write all results and wrong answers")
    parser.add_argument("--write-cases", metavar="OUT", help="write right answers as in tests/data/nano_cases.json")
    parser.add_argument("--cases", type=int, default=1, metavar="N", help="so many of each kind and mode (default 1)")
    return parser.parse_args()


def main():
    o = options()
    items = make_items(o, Tokenizer.load(VOCABULARY))
    if not items:
        sys.exit(f"evaluate: no kind has \"{o.kinds}\" in its name")
    answers = ask_all(command_of(o), items, o.jobs)
    scores = score(items, answers)
    print_table(scores, not o.no_compressed)
    if o.show_wrong:
        print_wrong(scores, o.show_wrong)
    if o.json:
        write_json(o.json, o, scores)
    if o.write_cases:
        write_cases(o, items, answers)
    if o.no_compressed:         # the targets are for the model as it is
        return
    missed = [kind for kind, (direct, _) in scores.items()
              if kind in TARGETS and direct.total and direct.percent() < TARGETS[kind]]
    if missed:
        sys.exit("evaluate: targets missed: " + ", ".join(missed))


if __name__ == "__main__":
    main()
