#!/bin/bash
# SPDX-License-Identifier: MIT
# A node whose store holds something that can't be read does not start: it says what, and ends with 1. Starting without it would
# forget mail, or what the node has promised to others. With the key as it was the node starts again.
. "$(dirname "$0")/lib.sh"
node_options=(--postfix none)

redis() { redis-cli -s "$work/d/redis/redis.sock" "$@" >/dev/null; }
killed() {
	kill -KILL "$node_pid"
	wait "$node_pid" 2>/dev/null || true
	node_pid=''
}
# refuses EVENT: the node ends by itself, with that word.
refuses() {
	local code=0
	"$optimusd" --data "$work/d" --listen 127.0.0.1:0 --key "$work/key" --config "$work/conf" \
		"${node_options[@]}" 2>"$work/refusal" &
	node_pid=$!
	await 30 "the node ends with $1" gone "$node_pid"
	wait "$node_pid" || code=$?
	node_pid=''
	expect "exit code, $1" 1 "$code"
	grep -q " event=$1 " "$work/refusal" || fail "no $1 in: $(cat "$work/refusal")"
}

sink_start
node_start
recipients 10 a.test >"$work/rcpt.csv"
expect 'the batch id' kept "$(send kept)"
for key in batches registers uploads; do
	killed
	redis EVAL 'if redis.call("EXISTS", KEYS[1]) == 1 then redis.call("RENAME", KEYS[1], "kept") end
		redis.call("SET", KEYS[1], "not what it has to be")' 1 "$key"
	refuses "${key}_unreadable"
	redis EVAL 'redis.call("DEL", KEYS[1]) if redis.call("EXISTS", "kept") == 1 then redis.call("RENAME", "kept", KEYS[1]) end' 1 "$key"
	node_start
	expect "mails of the batch, with $key as it was" 10 "$(batch_field kept total)"
done

# One field of the registers: what is no id, and what is no register.
batch=$(redis-cli -s "$work/d/redis/redis.sock" --raw HKEYS registers | head -n 1)
for field in garbage "${batch}00" 00112233445566778899aabbccddeeff00112233; do
	killed
	redis HSET registers "$field" 'not what it has to be'
	refuses register_unreadable
	redis HDEL registers "$field"
	node_start
	expect "mails of the batch, without the field $field" 10 "$(batch_field kept total)"
done
