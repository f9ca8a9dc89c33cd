"""Compares render.py and bpe.py with the C program: python3 train/test_text.py BUILD_DIR"""
import json
import random
import subprocess
import sys
import tempfile
import unicodedata
from pathlib import Path

import bpe
import gguf
import render

ROOT = Path(__file__).resolve().parent.parent
DATA = ROOT / "tests" / "data"


def run_ds4(program: Path, arguments: list, given: str) -> bytes:
    done = subprocess.run([program, *arguments], input=given.encode(), capture_output=True)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout


# ---- requests ----

SNIPPETS = [
    "Hello", "12 + 345?", " two  spaces ", "line\nnext\r\n\n", "<think>", "</think>x", "</tool_result>", "｜DSML｜",
    "</｜DSML｜parameter>", "<｜User｜>", "naïve Ünïcödé", "日本語とカタカナ", "٣٤٥ ²³ ½", "😀👍🏽", "\"q\" \\ \t", "e\u0301\u200b",
    "x_1=y[2];", "don't", "\u180e \u00a0\u2028",
]


def random_text(rng) -> str:
    return "".join(rng.choice(SNIPPETS) for _ in range(rng.randrange(4)))


def random_value(rng, depth=0):
    kind = rng.randrange(7 if depth < 2 else 5)
    if kind == 5:
        return [random_value(rng, depth + 1) for _ in range(rng.randrange(3))]
    if kind == 6:
        return {random_text(rng): random_value(rng, depth + 1) for _ in range(rng.randrange(3))}
    number = rng.uniform(-1, 1) * 10**rng.randrange(-8, 20)
    return [random_text(rng), rng.randrange(-10**6, 10**20), number, True, None][kind]


def random_call(rng, number: int) -> dict:
    arguments = {f"{name}": random_value(rng) for name in rng.sample(["city", "days", "a b"], rng.randrange(4))}
    arguments = json.dumps(arguments, ensure_ascii=rng.random() < 0.5)
    return {"id": f"call_{number}", "type": "function", "function": {"name": "look_up", "arguments": arguments}}


def random_request(rng) -> tuple:
    """messages, tools, think"""
    tools = [{"type": "function",
              "function": {"name": f"tool{i}", "description": random_text(rng), "parameters": random_value(rng)}}
             for i in range(rng.choice([0, 0, 1, 3]))]
    messages = [{"role": "system", "content": random_text(rng)}] if rng.random() < 0.5 else []
    for _ in range(rng.randrange(1, 4)):
        messages += [{"role": "user", "content": random_text(rng)} for _ in range(rng.choice([1, 1, 1, 2]))]
        answer = {"role": "assistant", "content": random_text(rng)}
        if rng.random() < 0.5:
            answer["reasoning_content"] = random_text(rng)
        messages.append(answer)
        if tools and rng.random() < 0.6:
            answer["tool_calls"] = [random_call(rng, i) for i in range(rng.randrange(1, 4))]
            results = [{"role": "tool", "tool_call_id": call["id"], "content": random_text(rng)}
                       for call in answer["tool_calls"]]
            rng.shuffle(results)
            messages += results
            if rng.random() < 0.7:
                answer = {"role": "assistant", "content": random_text(rng), "reasoning_content": random_text(rng)}
                messages.append(answer)
    return messages, tools, rng.random() < 0.5


def request_json(messages, tools, think) -> str:
    request = {"messages": messages, "reasoning_effort": "high" if think else "none"}
    return json.dumps(request | ({"tools": tools} if tools else {}), ensure_ascii=False)


# ---- checks ----

def check_cases():
    """The cases of the C program that render.py supports."""
    n = 0
    for case in json.loads((DATA / "prompt_cases.json").read_text(encoding="utf-8")):
        request = case["request"]
        messages, effort = request["messages"], request["reasoning_effort"]
        roles = {message["role"] for message in messages}
        if effort == "max" or roles & {"developer", "latest_reminder"} or any("response_format" in m for m in messages):
            continue
        segments = render.render(messages, request.get("tools"), effort == "high")
        assert render.text(segments) == case["prompt"], case["name"]
        n += 1
    assert n >= 11


def check_learned():
    """What is learned is what the model writes, in both modes."""
    messages = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b", "reasoning_content": "c"}]
    for think, learned in (True, f"c{render.END_THINK}b{render.EOS}"), (False, f"b{render.EOS}"):
        segments = render.render(messages, [], think)
        assert "".join(segment.text for segment in segments if segment.learn) == learned


def check_requests(program: Path, model: Path, tokenizer: bpe.Tokenizer, n: int):
    rng = random.Random(1)
    for _ in range(n):
        messages, tools, think = random_request(rng)
        segments = render.render(messages, tools, think)
        request = request_json(messages, tools, think)
        expected = run_ds4(program, ["render"], request).decode()
        assert render.text(segments) == expected, request
        ids, learn = tokenizer.encode_segments(segments)
        expected = run_ds4(program, ["render", "--tokens", "-m", model], request).split()
        assert ids == [int(id) for id in expected] and len(learn) == len(ids), request
        if messages[-1]["role"] == "assistant":     # everything before the answer is the prompt for it
            before = render.prompt(messages[:-1], tools, think)
            assert segments[:len(before)] == before and all(segment.learn for segment in segments[len(before):])


def check_text(program: Path, model: Path, tokenizer: bpe.Tokenizer, texts: list):
    rng = random.Random(2)
    texts = texts + ["".join(rng.choice(SNIPPETS) for _ in range(500))]
    # Every tenth character there is, between letters, spaces, digits and line ends.
    texts.append("".join(f" {c}{c}a{c} \n1{c}{c}!b {c}\n." for c in map(chr, range(0, 0x110000, 10))
                         if unicodedata.category(c) not in ("Cs", "Cn")))
    for text in texts:
        ids = tokenizer.encode(text)
        assert ids == [int(id) for id in run_ds4(program, ["tokenize", "-m", model], text).split()], text[:100]
        assert tokenizer.decode(ids) == text


def check_published(tokenizer_cases: Path, vocab: Path):
    metadata, _ = gguf.read(vocab)
    tokenizer = bpe.Tokenizer(metadata["tokenizer.ggml.tokens"], metadata["tokenizer.ggml.merges"])
    for case in json.loads(tokenizer_cases.read_text(encoding="utf-8")):
        assert tokenizer.encode(case["text"]) == case["ids"], case["text"]


def main(build: str):
    program = Path(build) / "ds4"
    texts = [path.read_text(encoding="utf-8") for path in sorted((ROOT / "src").glob("*/*.[ch]"))]
    vocabulary = bpe.train(texts + SNIPPETS, 1536)
    assert len(vocabulary.tokens) == 1536
    with tempfile.TemporaryDirectory() as folder:
        saved, model = Path(folder) / "vocab.json", Path(folder) / "vocab.gguf"
        bpe.Tokenizer(*vocabulary).save(saved)
        tokenizer = bpe.Tokenizer.load(saved)
        assert (tokenizer.tokens, tokenizer.merges) == vocabulary
        gguf.write(model, [("general.architecture", "string", "deepseek4")] + tokenizer.metadata(), [])
        check_cases()
        check_learned()
        check_text(program, model, tokenizer, texts[:20])
        check_requests(program, model, tokenizer, 200)
    check_published(DATA / "tokenizer_cases.json", DATA / "vocab.gguf")
    print("test_text: all is well")


if __name__ == "__main__":
    main(*sys.argv[1:])
