"""The official prompt encoding, for training: what src/text/prompt.c makes of a request, in segments that say what
the model learns to write.

Supported is what the data generators produce: messages of the system, the user, the assistant and tools with text
as content, tools in OpenAI form, reasoning effort none (think=False) and high (think=True).
"""
import json
import re
from typing import NamedTuple

BOS, EOS = "<｜begin▁of▁sentence｜>", "<｜end▁of▁sentence｜>"
USER, ASSISTANT = "<｜User｜>", "<｜Assistant｜>"
THINK, END_THINK = "<think>", "</think>"
DSML = "｜DSML｜"

TOOLS_BEFORE_SCHEMAS = f"""\
## Tools

You have access to a set of tools to help answer the user's question. You can invoke tools by writing a \
"<{DSML}tool_calls>" block like the following:

<{DSML}tool_calls>
<{DSML}invoke name="$TOOL_NAME">
<{DSML}parameter name="$PARAMETER_NAME" string="true|false">$PARAMETER_VALUE</{DSML}parameter>
...
</{DSML}invoke>
<{DSML}invoke name="$TOOL_NAME2">
...
</{DSML}invoke>
</{DSML}tool_calls>

String parameters should be specified as is and set `string="true"`. For all other types (numbers, booleans, arrays, \
objects), pass the value in JSON format and set `string="false"`.

If thinking_mode is enabled (triggered by {THINK}), you MUST output your complete reasoning inside \
{THINK}...{END_THINK} BEFORE any tool calls or final response.

Otherwise, output directly after {END_THINK} with tool calls or final response.

### Available Tool Schemas

"""
TOOLS_AFTER_SCHEMAS = """

You MUST strictly follow the above defined tool name and parameter schemas to invoke tool calls.
"""


class Segment(NamedTuple):
    text: str
    control: bool               # the text is the string of one control token
    learn: bool                 # an assistant writes this; everything else is given to it


class _Writer:
    """Fixed text of the format goes through template, which finds the control tokens in it; everything that came
    with the request goes through plain, so what a user or a tool says cannot become a control token."""

    def __init__(self):
        self.segments = []
        self.learn = False

    def control(self, token: str):
        self.segments.append(Segment(token, True, self.learn))

    def plain(self, text: str):
        last = self.segments[-1]
        if not text:
            return
        if last.control:
            self.segments.append(Segment(text, False, self.learn))
        else:                   # the engine tokenises the text between two control tokens as a whole
            assert last.learn == self.learn
            self.segments[-1] = Segment(last.text + text, False, self.learn)

    def template(self, text: str):
        for i, part in enumerate(re.split(f"({THINK}|{END_THINK}|{DSML})", text)):
            if i % 2:
                self.control(part)
            else:
                self.plain(part)


def _json(value) -> str:
    return json.dumps(value, ensure_ascii=False)


def _put_tools(out: _Writer, tools: list):
    out.plain("\n\n")
    out.template(TOOLS_BEFORE_SCHEMAS)
    out.plain("\n".join(_json(tool["function"]) for tool in tools))
    out.template(TOOLS_AFTER_SCHEMAS)


def _put_parameter(out: _Writer, name: str, value):
    is_string = isinstance(value, str)
    closing_tag = f"</{DSML}parameter>"
    out.template(f'<{DSML}parameter name="')
    out.plain(name)
    out.template(f'" string="{"true" if is_string else "false"}">')
    # The closing tag must not occur in the value: its "<" is escaped.
    escaped = closing_tag.replace("<", "&lt;" if is_string else "\\u003c")
    out.plain((value if is_string else _json(value)).replace(closing_tag, escaped))
    out.template(closing_tag)


def _put_tool_calls(out: _Writer, calls: list):
    out.template(f"\n\n<{DSML}tool_calls>\n")
    for call in calls:
        out.template(f'<{DSML}invoke name="')
        out.plain(call["function"]["name"])
        out.template('">\n')
        arguments = call["function"]["arguments"]
        if isinstance(arguments, str):
            arguments = json.loads(arguments)
        for i, (name, value) in enumerate(arguments.items()):
            if i:
                out.plain("\n")
            _put_parameter(out, name, value)
        out.template(f"\n</{DSML}invoke>\n")
    out.template(f"</{DSML}tool_calls>")


def _put_answer(out: _Writer, message: dict, with_reasoning: bool):
    out.learn = True
    if with_reasoning:
        out.plain(message.get("reasoning_content") or "")
        out.control(END_THINK)
    out.plain(message.get("content") or "")
    if message.get("tool_calls"):
        _put_tool_calls(out, message["tool_calls"])
    out.control(EOS)
    out.learn = False


def _put_question(out: _Writer, messages: list):
    """User and tool messages that follow each other share a turn."""
    out.control(USER)
    for i, message in enumerate(messages):
        text = message.get("content") or ""
        if message["role"] == "tool":
            text = "<tool_result>" + text.replace("</tool_result>", "&lt;/tool_result>") + "</tool_result>"
        out.plain("\n\n" + text if i else text)


def _sorted_results(messages: list, calls: list) -> list:
    """The tool results of a turn, in the order of the calls that they answer, at the places of tool results."""
    order = {call.get("id"): i for i, call in enumerate(calls)}
    results = [message for message in messages if message["role"] == "tool"]
    results.sort(key=lambda message: order.get(message.get("tool_call_id"), 0))
    return [results.pop(0) if message["role"] == "tool" else message for message in messages]


def _turns(messages: list) -> list:
    """[role, messages] of each turn; tool results belong to the turn of the user."""
    turns, calls = [], []
    for message in messages:
        role = "user" if message["role"] == "tool" else message["role"]
        if role == "user" and turns and turns[-1][0] == "user":
            turns[-1][1].append(message)
        else:
            turns.append([role, [message]])
    for turn in turns:
        if turn[0] == "assistant":
            calls = turn[1][0].get("tool_calls") or calls
        elif turn[0] == "user":
            turn[1] = _sorted_results(turn[1], calls)
    return turns


def render(messages: list, tools: list, think: bool) -> list:
    """Segments of a conversation. It may end with an answer: what comes before it is then what prompt() makes of the
    conversation without it, and its reasoning is kept."""
    turns = _turns(messages)
    if tools and not any(role == "system" for role, _ in turns):
        turns.insert(0, ["system", [{"role": "system", "content": ""}]])
    last_user = max((i for i, (role, _) in enumerate(turns) if role == "user"), default=0)
    out = _Writer()
    out.control(BOS)
    shown = False
    for i, (role, turn) in enumerate(turns):
        # Without tools the reasoning that led to earlier answers is left out.
        reasons = think and (bool(tools) or i >= last_user)
        if role == "system":
            out.plain(turn[0].get("content") or "")
            if tools and not shown:
                _put_tools(out, tools)
                shown = True
        elif role == "assistant":
            _put_answer(out, turn[0], reasons)
        elif role == "user":
            _put_question(out, turn)
            if i + 1 == len(turns) or turns[i + 1][0] == "assistant":
                out.control(ASSISTANT)
                out.control(THINK if reasons else END_THINK)
        else:
            raise ValueError(f"role {role!r} is not supported")
    return out.segments


def prompt(messages: list, tools: list, think: bool) -> list:
    """Segments of a request for the next answer, equal to `ds4 render`."""
    assert messages[-1]["role"] in ("user", "tool"), "nothing to answer"
    return render(messages, tools, think)


def text(segments: list) -> str:
    return "".join(segment.text for segment in segments)
