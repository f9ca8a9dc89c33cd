#!/bin/bash
# Mixed load on a server with the built-in model: all APIs, streams and bodies, conversations that grow, wrong requests,
# clients that hang up. Its memory must stay flat, and nothing may be left running at the end.
#
#   bench/serve_soak.sh [MINUTES [BUILD]]      default 30, build; needs curl; Linux or macOS
#
# Prints a line every ten seconds (seconds, RSS in MiB, ds4_kv_bytes in MiB, running, waiting, answers) and at the end
# what came of the requests. Exit status 1: memory grew, an answer was wrong, or something still ran.
set -u
minutes=${1:-30}
build=${2:-build}
workers=6
kv_mib=64
request_seconds=300
folder=$(mktemp -d) || exit 1
worker_pids=
server=

finish() {
    for pid in $worker_pids $server; do kill "$pid" 2>/dev/null; done
    wait 2>/dev/null
    rm -rf "$folder"
}
trap finish EXIT
trap 'exit 1' INT TERM

fail() {
    echo "serve_soak: $*" >&2
    tail -5 "$folder/log" >&2
    exit 1
}

DS4_MODEL=nano "$build/ds4" serve --port 0 --ctx 4096 --kv-ram $kv_mib --parallel 4 --queue 16 2>"$folder/log" &
server=$!
for _ in $(seq 100); do
    url=$(sed -n 's/.*listens at \(http[^ ,]*\).*/\1/p' "$folder/log")
    [ -n "$url" ] && break
    kill -0 $server 2>/dev/null || fail "the server did not start"
    sleep 0.1
done
[ -n "$url" ] || fail "the server does not listen"

# One request: its status goes to a file of the worker. hang_up: seconds after which the client goes away.
ask() { # path hang_up body
    local status
    status=$(curl -s -o "$answer" -w '%{http_code}' -m "$2" -H 'content-type: application/json' --data-binary "$3" "$url$1")
    if [ "$2" = $request_seconds ]; then echo "$status" >>"$statuses"; else echo hung-up >>"$statuses"; fi
}

questions=("What is 47 + 38?" "What is ds4?" "Spell the word window backwards." "My name is Ada. What is my name?")
tool='{"name":"get_weather","description":"The weather.","parameters":{"type":"object","properties":{"city":{"type":"string"}}}}'

one_request() {
    local question=${questions[RANDOM % 4]} hang_up=$request_seconds stream=false
    [ $((RANDOM % 4)) = 0 ] && hang_up=0.$((RANDOM % 9 + 1))
    [ $((RANDOM % 2)) = 0 ] && stream=true
    local user="{\"role\":\"user\",\"content\":\"$question $RANDOM\"}"
    case $((RANDOM % 9)) in
    0) ask /v1/chat/completions $hang_up "{\"messages\":[$user],\"stream\":$stream,\"max_tokens\":60}" ;;
    1) ask /v1/chat/completions $hang_up "{\"messages\":[$user],\"stream\":$stream,\"max_tokens\":40,\"n\":2,\"thinking\":false}" ;;
    2) ask /v1/chat/completions $hang_up "{\"messages\":[$user],\"stream\":$stream,\"max_tokens\":80,\"tools\":[{\"type\":\"function\",\"function\":$tool}]}" ;;
    3) ask /v1/completions $hang_up "{\"prompt\":\"$question $RANDOM\",\"stream\":$stream,\"logprobs\":2}" ;;
    4) ask /v1/responses $hang_up "{\"input\":\"$question $RANDOM\",\"stream\":$stream,\"max_output_tokens\":60}" ;;
    5) ask /v1/messages $hang_up "{\"messages\":[$user],\"max_tokens\":60,\"stream\":$stream}" ;;
    6) ask /v1/messages/count_tokens $hang_up "{\"messages\":[$user]}" ;;
    7) ask /v1/chat/completions $hang_up "{\"messages\":[$user" ;;
    8) # a long prompt, of which most is new each time
        local text
        text=$(seq -s ' ' $((RANDOM % 5000)) 100 $((RANDOM % 5000 + 30000)))
        ask /v1/chat/completions $hang_up "{\"messages\":[{\"role\":\"user\",\"content\":\"$text\"}],\"stream\":$stream,\"max_tokens\":20}"
        ;;
    esac
}

# A conversation that grows by a turn per question until its context is nearly full.
one_conversation() {
    local messages= turn
    for turn in $(seq $((RANDOM % 6 + 2))); do
        [ $SECONDS -lt $end ] || return
        messages="$messages${messages:+,}{\"role\":\"user\",\"content\":\"${questions[RANDOM % 4]} $RANDOM\"}"
        ask /v1/chat/completions $request_seconds "{\"messages\":[$messages],\"thinking\":false,\"max_tokens\":40}"
        messages="$messages,{\"role\":\"assistant\",\"content\":\"It is $turn.\"}"
    done
}

work() { # number
    RANDOM=$1
    answer=$folder/answer$1
    statuses=$folder/statuses$1
    while [ $SECONDS -lt $end ]; do
        if [ $((RANDOM % 5)) = 0 ]; then one_conversation; else one_request; fi
    done
}

metric() { # name, from the text on standard input
    awk -v name="$1" '$1 == name { print $2; found = 1 } END { if (!found) print 0 }'
}

end=$((SECONDS + minutes * 60))
began=$SECONDS
for number in $(seq $workers); do
    work "$number" &
    worker_pids="$worker_pids $!"
done
echo "seconds rss_mib kv_mib running waiting connections"
while [ $SECONDS -lt $end ]; do
    sleep 10
    text=$(curl -s -m 20 "$url/metrics") || fail "no metrics after $((SECONDS - began)) s"
    rss=$(ps -o rss= -p $server) || fail "the server is gone"
    kv=$(echo "$text" | metric ds4_kv_bytes)
    echo "$((SECONDS - began)) $((rss / 1024)) $(awk -v b="$kv" 'BEGIN { printf "%.1f", b / 1048576 }')" \
        "$(echo "$text" | metric ds4_running) $(echo "$text" | metric ds4_waiting) $(echo "$text" | metric ds4_connections)" |
        tee -a "$folder/samples"
done
for pid in $worker_pids; do wait "$pid"; done
worker_pids=

running=1
for _ in $(seq 60); do
    text=$(curl -s -m 20 "$url/metrics") || fail "no metrics at the end"
    running=$(($(echo "$text" | metric ds4_running) + $(echo "$text" | metric ds4_waiting)))
    [ "$running" = 0 ] && break
    sleep 1
done
cat "$folder"/statuses* | sort | uniq -c | sort -rn
result=0
complain() {
    echo "serve_soak: $*" >&2
    result=1
}
[ "$running" = 0 ] || complain "$running answers still run or wait a minute after the last client has gone"
# Refused are: what is no JSON, and what found the queue full.
odd=$(cat "$folder"/statuses* | grep -cvE '^(200|400|429|hung-up)$')
[ "$odd" = 0 ] || complain "$odd requests had another status than 200, 400 and 429"
# The first third fills caches and the allocator's arenas.
awk -v kv_limit=$((kv_mib * 5 / 4)) '
    { rss[NR] = $2; if ($3 > kv) kv = $3 }
    END {
        third = int(NR / 3)
        for (i = third + 1; i <= NR; i++)
            if (i <= 2 * third) { if (rss[i] > before) before = rss[i] } else if (rss[i] > after) after = rss[i]
        printf "RSS at most %d MiB in the second third, %d MiB in the last; ds4_kv_bytes at most %.1f MiB\n", before, after, kv
        if (NR >= 9 && after > before * 1.05 + 8) { print "serve_soak: the memory grows" >"/dev/stderr"; bad = 1 }
        if (kv > kv_limit) { print "serve_soak: more is kept than --kv-ram allows" >"/dev/stderr"; bad = 1 }
        exit bad
    }' "$folder/samples" || result=1
kill -TERM $server
wait $server || complain "the server ended with status $?"
server=
exit $result
