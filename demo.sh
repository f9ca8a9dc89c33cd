#!/bin/sh
# Asks the built-in model three questions, the last one with a tool that it may call. The tool is described in a request
# as chat programs send it; build/answers prints what comes back as JSON.
set -eu
build=$1
export DS4_MODEL=nano # also where a larger one is downloaded
ask() {
    echo "\$ ds4 -p \"$1\""
    "$build/ds4" --seed 1 --temp 0 -p "$1"
    echo
}
ask "What is ds4?"
ask "What is 47 + 38?"

request='{"request": {"reasoning_effort": "none",
  "messages": [{"role": "user", "content": "What is the weather in Lisbon?"}],
  "tools": [{"type": "function", "function": {"name": "get_weather", "description": "Get the weather of a city",
    "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}}}]},
 "max_tokens": 100}'
echo "\$ answers < weather.json       # \"What is the weather in Lisbon?\", with a tool get_weather(city)"
answer=$(printf '%s' "$request" | tr -d '\n' | "$build/answers")
echo "$answer" | sed 's/.*\("tool_calls":\[.*\]\),"finish".*/\1/'
echo
echo "That was ds4-nano, the small model inside the program: it knows about ds4 and little else. To talk to it: $build/ds4"
