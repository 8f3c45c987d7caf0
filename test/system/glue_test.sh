#!/bin/bash
# SPDX-License-Identifier: MIT
# What postfix-glue promises, tried on a private Postfix instance with a feeder in optimusd's place and a sink.
# usage: glue_test.sh BUILD_FOLDER [NAME...]     needs root; exits 77 (skipped) without
set -eu
export LC_ALL=C PATH=$PATH:/usr/sbin:/sbin
build=$(readlink -f "$1")
shift
source=$(readlink -f "$(dirname "$0")/../..")
[ "$(id -u)" = 0 ] || { echo 'skipped: needs root'; exit 77; }

instance=$source/postfix-glue/optimus-instance
libexec=$build/postfix-glue
feeder=$build/test/system/feeder
sink=$build/test/sink/optimus-sink
work=$(mktemp -d /tmp/optimus-glue.XXXXXX)
chmod 755 "$work"
pids=()
passed=0 failed=0 case_name=''

cleanup() {
	"$instance" kill --dir "$work/pf" 2>/dev/null || true
	"$instance" remove --dir "$work/pf" 2>/dev/null || true
	for pid in ${pids[@]+"${pids[@]}"}; do
		kill -9 "$pid" 2>/dev/null || true
		wait "$pid" 2>/dev/null || true
	done
	[ "${KEEP:-}" ] || rm -rf "$work"
}
trap cleanup EXIT

check() { # WHAT COMMAND...
	local what=$1
	shift
	if "$@"; then
		passed=$((passed + 1))
	else
		failed=$((failed + 1))
		echo "not ok: $case_name: $what"
		[ ! -s "$work/feeder.out" ] || tail -n 3 "$work/feeder.out"
		[ ! -s "$work/facts.ledger" ] || grep -m 3 '^APPEND' "$work/facts.ledger" || true
	fi
}
equal() { [ "$1" = "$2" ] || { echo "  expected $2, got $1"; false; }; }
await() { # SECONDS COMMAND...
	local deadline=$((SECONDS + $1))
	shift
	until "$@"; do
		[ "$SECONDS" -lt "$deadline" ] || return 1
		sleep 0.05
	done
}
# What the rest of a test builds on: without it the whole run ends, and says where everything stood.
must() { # SECONDS COMMAND...
	await "$@" && return
	echo "not ok: $case_name: after $1 s still not: ${*:2}"
	"$instance" status --dir "$work/pf"
	tail -n 5 "$work/feeder.out" || true
	grep -m 3 '^APPEND' "$work/facts.ledger" || true
	tail -n 20 "$work/pf/log/maillog" || true
	exit 1
}
lines() { if [ -e "$1" ]; then wc -l <"$1"; else echo 0; fi; }
spooled() { "$libexec/optimus-spool" -c "$work/pf/etc"; }
spool_empty() { [ -z "$(spooled)" ]; }
field() { sed -n "s/.*\\b$1=\\([0-9]*\\).*/\\1/p" "$work/feeder.out" | tail -n 1; }

start_redis() {
	redis-server --port 0 --unixsocket "$work/redis.sock" --unixsocketperm 777 --dir "$work" --save '' \
		--daemonize no >"$work/redis.out" 2>&1 &
	pids+=($!)
	await 10 redis_answers || { cat "$work/redis.out"; exit 1; }
}
redis_answers() { [ "$(redis-cli -s "$work/redis.sock" ping 2>/dev/null)" = PONG ]; }

sink_pid='' port=''
start_sink() { # RULE...
	printf '%s\n' "$@" >"$work/rules"
	rm -rf "$work/sink.ledger" "$work/sink.out" "$work/saved" # an older sink.out says "listening", too
	mkdir "$work/saved"
	"$sink" --listen "127.0.0.1:${port:-0}" --ledger "$work/sink.ledger" --rules "$work/rules" \
		--save "$work/saved" >"$work/sink.out" 2>&1 &
	sink_pid=$!
	pids+=("$sink_pid")
	await 10 grep -q listening "$work/sink.out" || { cat "$work/sink.out"; exit 1; }
	port=$(sed -n 's/.*listening .*:\([0-9]*\).*/\1/p' "$work/sink.out")
}
stop_sink() {
	kill "$sink_pid"
	wait "$sink_pid" || true
}

# setup RULE...; the options of `prepare` in the array `options`
options=()
setup() {
	rm -f "$work"/*.ledger "$work/feeder.out"
	start_sink "$@"
	"$instance" prepare --dir "$work/pf" --libexec "$libexec" --user postfix --redis "$work/redis.sock" \
		--outcome "$work/outcome.sock" --hostname node.test --route "example.test=127.0.0.1:$port" \
		--route closed.test=127.0.0.1:1 ${options[@]+"${options[@]}"}
	"$instance" start --dir "$work/pf"
}
teardown() {
	"$instance" kill --dir "$work/pf"
	"$instance" sweep --dir "$work/pf"
	stop_sink
	options=()
}
feed() { # OPTIONS...
	"$feeder" --redis "$work/redis.sock" --outcome "$work/outcome.sock" --ledger "$work/facts.ledger" \
		--pickup "$work/pf/spool/private/optimus-pickup" "$@" >>"$work/feeder.out" 2>&1
}

test_sent_mail_is_reported_with_its_key_and_leaves_nothing() {
	setup
	feed --mails 1000
	check 'all sent' equal "$(field sent)/$(field "done")/$(field strange)" 1000/1000/0
	check 'all received' equal "$(cut -f 3 "$work/sink.ledger" | sort -u | wc -l)" 1000
	check 'none twice' equal "$(lines "$work/sink.ledger")" 1000
	check 'no key on the wire' equal "$(cut -f 9 "$work/sink.ledger" | sort -u)" -
	check 'no key in the content' equal "$(cat "$work"/saved/* | grep -c 'x-optimus\|[0-9a-f]\{40\}\.[0-9]*\.7\.')" 0
	check 'the relay is told' equal "$(awk '$1 == "APPEND" { print $6 }' "$work/facts.ledger" | sort -u)" \
		"127.0.0.1[127.0.0.1]:$port"
	check 'each attempt once' equal "$(awk '$1 == "APPEND" { print $2 }' "$work/facts.ledger" | sort -u | wc -l)" 1000
	check 'begun before queued' equal "$(awk '$1 == "BEGUN" { seen[$2] = 1 } $1 == "FED" && !seen[$2]' \
		"$work/facts.ledger" | wc -l)" 0
	check 'an empty spool' await 10 spool_empty
	check 'postfix check finds nothing' equal "$(postfix -c "$work/pf/etc" check 2>&1)" ''
	teardown
}

test_refusals_are_reported_with_the_remotes_words() {
	setup 'rcpt user1*@example.test reject 450 4.2.1 come back later' \
		'rcpt user2*@example.test reject 550 5.1.1 nobody of that name'
	feed --mails 30
	check 'sorted' equal "$(field sent)/$(field deferred)/$(field bounced)/$(field "done")" 8/11/11/30
	check 'temporary' grep -q '^APPEND .* 4.2.1 delayed .*450 4.2.1 come back later' "$work/facts.ledger"
	check 'permanent' grep -q '^APPEND .* 5.1.1 failed .*550 5.1.1 nobody of that name' "$work/facts.ledger"
	check 'an empty spool' await 10 spool_empty
	teardown
}

test_a_dead_destination_defers_and_holds_nobody_else_up() {
	setup
	feed --mails 50 --to user%u@closed.test --name closed
	check 'all deferred' equal "$(field deferred)/$(field "done")" 50/50
	check 'why' grep -q '^APPEND .* 4.4.1 delayed - .*Connection refused' "$work/facts.ledger"
	feed --mails 50 --name open
	check 'the others go out' equal "$(field sent)" 50
	check 'an empty spool' await 10 spool_empty
	teardown
}

test_a_relay_without_its_port_is_refused() {
	local hop
	for hop in 127.0.0.1: :25 '127.0.0.1:0' '127.0.0.1:70000' '127.0.0.1:smtp' '[::1]:' 'a b:25' beef: ::1 ::1:25; do
		check "relay '$hop'" equal "$("$instance" prepare --dir "$work/pf" --libexec "$libexec" --user postfix \
			--redis "$work/redis.sock" --outcome "$work/outcome.sock" --relay "$hop" 2>/dev/null; echo $?)" 64
		check "route '$hop'" equal "$("$instance" prepare --dir "$work/pf" --libexec "$libexec" --user postfix \
			--redis "$work/redis.sock" --outcome "$work/outcome.sock" --route "a.test=$hop" 2>/dev/null; echo $?)" 64
	done
	for hop in mail.test mail.test:2525 '[127.0.0.1]' '[::1]:25'; do
		check "relay '$hop'" "$instance" prepare --dir "$work/pf" --libexec "$libexec" --user postfix \
			--redis "$work/redis.sock" --outcome "$work/outcome.sock" --relay "$hop"
	done
	"$instance" remove --dir "$work/pf"
}

test_what_postfix_will_not_take_is_refused() {
	options=(--set message_size_limit=1500)
	setup
	feed --mails 5
	check 'refused' equal "$(field refused)/$(field queued)" 5/0
	check 'why' grep -q '^FED .* refused .*too big' "$work/facts.ledger"
	check 'an empty spool' spool_empty
	teardown
}

test_without_redis_mail_stays_where_it_is() {
	setup
	"$instance" kill --dir "$work/pf"
	"$instance" prepare --dir "$work/pf" --libexec "$libexec" --user postfix --redis "$work/nothing.sock" \
		--outcome "$work/outcome.sock" --hostname node.test --route "example.test=127.0.0.1:$port"
	"$instance" start --dir "$work/pf"
	feed --mails 5 --connections 1
	check 'put off' equal "$(field not_now)/$(field begun)" 5/0
	teardown
}

test_killing_the_daemon_loses_and_doubles_nothing() {
	local pid
	setup
	feed --mails 3000 &
	pid=$!
	must 30 enough_received 300
	pkill_child "$pid"
	wait "$pid" 2>/dev/null || true
	"$feeder" --outcome "$work/outcome.sock" --ledger "$work/facts2.ledger" --mails 3000 >>"$work/feeder.out" 2>&1 &
	pid=$!
	pids+=("$pid")
	check 'the spool empties once somebody listens again' await 60 spool_empty
	kill "$pid"
	wait "$pid" || true
	cat "$work/facts.ledger" "$work/facts2.ledger" 2>/dev/null >"$work/all.ledger"
	check 'none twice' equal "$(cut -f 4 "$work/sink.ledger" | sort | uniq -d | wc -l)" 0
	check 'every delivery is reported' equal "$(awk '$1 == "APPEND" && $4 ~ /^2/ { print $2 }' "$work/all.ledger" | sort -u | wc -l)" \
		"$(lines "$work/sink.ledger")"
	awk '$1 == "APPEND" { print $2 }' "$work/all.ledger" | sort -u >"$work/reported"
	awk '$1 == "FED" && $3 == "queued" { print $2 }' "$work/all.ledger" | sort -u >"$work/queued"
	check 'everything queued is reported' equal "$(comm -13 "$work/reported" "$work/queued" | wc -l)" 0
	awk '$1 == "BEGUN" { print $2 }' "$work/all.ledger" | sort -u >"$work/begun"
	check 'fed nothing more when the daemon was gone' [ "$(lines "$work/sink.ledger")" -lt 3000 ]
	teardown
}
enough_received() { [ "$(lines "$work/sink.ledger")" -ge "$1" ]; }
pkill_child() { # the feeder that a subshell runs
	local child
	child=$(ps -o pid= --ppid "$1" | tr -d ' ')
	kill -9 "${child:-$1}"
}

test_outcomes_outlive_master() {
	local pid master
	setup '* delay-data 2s'
	feed --mails 20 --window 20 &
	pid=$!
	must 20 talking 20
	master=$("$instance" status --dir "$work/pf" | cut -d ' ' -f 2)
	kill -9 "$master"
	check 'all delivered ones reported' await 20 reported 20
	pkill_child "$pid"
	wait "$pid" 2>/dev/null || true
	check 'then all is gone' await 20 is_down
	check 'the spool still has them' equal "$(spooled | grep -c '\.7\.')" 20
	check 'it does not start over them' equal "$("$instance" start --dir "$work/pf" 2>/dev/null; echo $?)" 75
	spooled | awk '{ print $1 "/" $2 }' | "$libexec/optimus-spool" -c "$work/pf/etc" --remove
	check 'they can be removed' spool_empty
	check 'then it starts' "$instance" start --dir "$work/pf"
	teardown
}
reported() { [ "$(awk '$1 == "APPEND" && $4 ~ /^2/' "$work/facts.ledger" | wc -l)" -eq "$1" ]; }
# So many deliveries have reached the sink, which answers them later.
talking() { [ "$(ss -Htn state established "( sport = :$port )" | wc -l)" -ge "$1" ]; }
is_down() { [ "$("$instance" status --dir "$work/pf")" = down ]; }

# A file of an attempt that is damaged has none; one that can't be read at the moment is no file without an attempt.
test_a_spool_that_cannot_be_read_is_not_listed() {
	local file
	setup
	file=$work/pf/spool/active/damaged
	printf 'no records' >"$file"
	check 'a damaged file is listed without an attempt' equal "$(spooled 2>/dev/null)" 'active damaged -'
	# Reading that one is an error of input and output.
	if mount --bind "/proc/$$/mem" "$file" 2>/dev/null; then
		check 'a file that cannot be read is an error' equal "$(spooled >/dev/null 2>&1; echo $?)" 74
		umount "$file"
	fi
	rm "$file"
	teardown
}

test_stop_lets_deliveries_finish() {
	local pid
	setup '* delay-data 2s'
	feed --mails 20 &
	pid=$!
	must 20 talking 20
	"$instance" stop --dir "$work/pf"
	check 'down' is_down
	check 'all reported' equal "$(awk '$1 == "APPEND" && $4 ~ /^2/' "$work/facts.ledger" | wc -l)" 20
	pkill_child "$pid"
	wait "$pid" 2>/dev/null || true
	teardown
}

test_orphans_are_seen() {
	local master
	setup
	feed --mails 1
	master=$("$instance" status --dir "$work/pf" | cut -d ' ' -f 2)
	# Stopped processes can't notice that master is gone.
	ps -o pid= -g "$master" | awk -v master="$master" '$1 != master' | xargs kill -STOP
	kill -9 "$master"
	check 'orphans' equal "$("$instance" status --dir "$work/pf" | cut -d ' ' -f 1)" orphans
	check 'no start beside them' equal "$("$instance" start --dir "$work/pf" 2>/dev/null; echo $?)" 75
	"$instance" kill --dir "$work/pf"
	check 'kill ends them' is_down
	teardown
}

start_redis
if [ $# = 0 ]; then
	mapfile -t tests < <(declare -F | sed -n 's/^declare -f test_//p')
	set -- "${tests[@]}"
fi
for case_name; do
	"test_$case_name"
	echo "ran $case_name"
done
echo "$passed passed, $failed failed"
[ "$failed" = 0 ]
