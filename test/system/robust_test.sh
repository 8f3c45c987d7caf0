#!/bin/bash
# SPDX-License-Identifier: MIT
# The daemon's manners: SIGTERM in the middle of a batch ends it cleanly and quickly and the batch goes on after the next
# start; a second start on the same folder is refused; a wrong key, a wrong option, a folder too deep are explained; a user
# sees only what is his own.
. "$(dirname "$0")/lib.sh"

sink_start
start_sending stop 3000 a.test b.test c.test d.test
await 60 'a third is sent' batch_has stop sent 1000

# A second one on the same folder.
status=0
"$optimusd" --data "$work/d" --listen 127.0.0.1:0 --key "$work/key" 2>"$work/err" || status=$?
expect 'exit code of a second start (EX_TEMPFAIL)' 75 "$status"
grep -q 'another optimusd runs' "$work/err" || fail "the refusal says: $(cat "$work/err")"

# Least privilege: optimusd, Redis and the Postfix daemons are not root; the master and the keeper are.
expect 'user of optimusd' optimus "$(ps -o user= -p "$node_pid" | tr -d ' ')"
expect 'user of redis-server' optimus "$(ps -o user= -p "$(redis_pid)" | tr -d ' ')"
expect 'mode and owner of the data folder' 1770/root "$(stat -c %a/%U "$work/d")"
# Root runs what lies in the instance: its user must not be able to put one of his own there.
if runuser -u optimus -- mv "$work/d/postfix" "$work/d/mine" 2>/dev/null; then
	fail 'the user optimus could move the Postfix instance away'
fi
say 'ok: the user optimus can not move the Postfix instance away'
expect 'mode of the API socket' 660 "$(stat -c %a "$work/d/api.sock")"
expect 'mode of the identity' 600 "$(stat -c %a "$work/d/identity")"
# Another user reaches the socket only through the group; and does not see the batch of root.
if runuser -u nobody -- "$optimus" status >/dev/null 2>&1; then
	fail 'a stranger could open the API socket'
fi
say 'ok: a stranger can not open the API socket'
if runuser -u nobody -g nogroup -G optimus -- "$optimus" status stop >/dev/null 2>"$work/err"; then
	fail "another user sees the batch of root"
fi
say 'ok: another user of the group does not see the batch'

# SIGTERM.
node_end 12
check_goes_on stop

# SIGTERM while it starts, in each phase. A Redis that listens before the first try is never away.
for phase in node_starting redis_started 'store_away\|redis_up' redis_up batches_recovered api_open node_up spool_settled; do
	node_end 20 "before $phase"
	: >"$work/log"
	"$optimusd" --data "$work/d" --listen 127.0.0.1:0 --key "$work/key" --config "$work/conf" 2>>"$work/log" &
	node_pid=$!
	await 30 "the start has come to $phase" grep -q "$phase" "$work/log"
	node_end 20 "at $phase"
	node_start
done

# A journal that can't be read: the node says so and does not start, for it would not know what was sent.
node_end 20 'before the damage'
runuser -u optimus -- redis-server "$work/d/redis/redis.conf" --daemonize yes >/dev/null
damage() {
	local redis=(redis-cli -s "$work/d/redis/redis.sock") key
	"${redis[@]}" ping | grep PONG >/dev/null || return 1
	for key in $("${redis[@]}" keys 'journal:*'); do
		printf '\x93\x09\xce\x00\x00\x00\x10\xc6\x00\x00\x00\x02ab' | "${redis[@]}" -x lset "$key" 0 | grep OK >/dev/null || return 1
	done
}
cp -a "$work/d/redis" "$work/healthy"
await 20 'the journals are damaged' damage
: >"$work/log"
status=0
timeout 30 "$optimusd" --data "$work/d" --listen 127.0.0.1:0 --key "$work/key" --config "$work/conf" 2>>"$work/log" || status=$?
expect 'exit code with a journal that can not be read' 1 "$status"
grep -q 'event=journal_unreadable' "$work/log" || fail 'the log does not say which journal'
pid=$(redis_pid)
kill -KILL "$pid"
await 10 'redis-server is gone' gone "$pid"
rm -r "$work/d/redis"
mv "$work/healthy" "$work/d/redis"
node_start

# What the user optimus may have left in the data folder leads root nowhere.
node_end 20 'before the link'
mkdir "$work/roots"
runuser -u optimus -- mv "$work/d/redis" "$work/d/redis.away"
runuser -u optimus -- ln -s "$work/roots" "$work/d/redis"
status=0
"$optimusd" --data "$work/d" --listen 127.0.0.1:0 --key "$work/key" 2>"$work/err" || status=$?
expect 'exit code with a link in the place of the store (EX_CANTCREAT)' 73 "$status"
expect 'owner of where the link leads' root "$(stat -c %U "$work/roots")"
rm "$work/d/redis"
mv "$work/d/redis.away" "$work/d/redis"
status=0
install -d -o optimus "$work/optimus"
"$instance" prepare --dir "$work/optimus/pf" --libexec "$build/postfix-glue" --user optimus --redis /r --outcome /o \
	2>"$work/err" || status=$?
expect 'exit code of an instance in a folder of its user' 77 "$status"
status=0
runuser -u optimus -- mkdir "$work/d/forged"
"$instance" prepare --dir "$work/d/forged" --libexec "$build/postfix-glue" --user optimus --redis /r --outcome /o \
	2>"$work/err" || status=$?
expect 'exit code of an instance that is not the folder of root' 77 "$status"
runuser -u optimus -- ln -s "$work/roots" "$work/d/link"
status=0
"$instance" status --dir "$work/d/link" 2>"$work/err" || status=$?
expect 'exit code of an instance behind a link' 77 "$status"

# An instance that does not start leaves nothing behind that would stand in the way of the next start.
"$instance" prepare --dir "$work/broken" --libexec "$build/postfix-glue" --user optimus --redis "$work/d/redis/redis.sock" \
	--outcome "$work/d/outcome.sock"
cp /bin/false "$work/broken/libexec/optimus-outcome"
status=0
"$instance" start --dir "$work/broken" 2>"$work/err" || status=$?
expect 'exit code of a start without outcome servers' 70 "$status"
expect 'what is left of it' down "$("$instance" status --dir "$work/broken" || true)"
"$instance" remove --dir "$work/broken"

# Without its keeper a node could not start Postfix again: it ends, and the next one finds all as it was.
node_start
await 60 'Postfix is up' postfix_is up
kill -KILL "$(pgrep -P "$node_pid" optimus-keeper)"
status=0
wait "$node_pid" || status=$?
expect 'exit code without the keeper (EX_SOFTWARE)' 70 "$status"
node_pid=''
node_start
await 60 'Postfix is up again' postfix_is up

# Mistakes are explained.
refused() {
	local code=$1 words=$2 status=0
	shift 2
	"$optimusd" "$@" >/dev/null 2>"$work/err" || status=$?
	expect "exit code of: $words" "$code" "$status"
	grep -qi -- "$words" "$work/err" || fail "it says: $(cat "$work/err")"
}
refused 64 'are needed' --data "$work/e"
refused 64 'listen can.t be' --data "$work/e" --listen nonsense --key "$work/key"
refused 78 'no cluster key' --data "$work/e" --listen 127.0.0.1:0 --key "$work/none"
cp "$work/key" "$work/open-key"
chmod 644 "$work/open-key"
refused 78 'chmod 600' --data "$work/e" --listen 127.0.0.1:0 --key "$work/open-key"
echo 'windo = 5' >"$work/bad.conf"
refused 64 'line 1: there is no such setting' --data "$work/e" --listen 127.0.0.1:0 --key "$work/key" --config "$work/bad.conf"
refused 78 'too long' --data "/tmp/$(printf 'x%.0s' {1..100})" --listen 127.0.0.1:0 --key "$work/key"
