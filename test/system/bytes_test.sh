#!/bin/bash
# SPDX-License-Identifier: MIT
# What leaves the machine through our pickup is, byte for byte, what stock Postfix makes of the same message given
# to its sendmail(1): both are received by a sink and compared, apart from Received, Message-ID and Date.
# usage: bytes_test.sh BUILD_FOLDER     needs root; exits 77 (skipped) without
set -eu
export LC_ALL=C PATH=$PATH:/usr/sbin:/sbin
build=$(readlink -f "$1")
source=$(readlink -f "$(dirname "$0")/../..")
[ "$(id -u)" = 0 ] || { echo 'skipped: needs root'; exit 77; }

instance=$source/postfix-glue/optimus-instance
work=$(mktemp -d /tmp/optimus-bytes.XXXXXX)
chmod 755 "$work"
pids=()
passed=0 failed=0

cleanup() {
	for dir in ours stock; do
		"$instance" kill --dir "$work/$dir" 2>/dev/null || true
		"$instance" remove --dir "$work/$dir" 2>/dev/null || true
	done
	for pid in ${pids[@]+"${pids[@]}"}; do
		kill -9 "$pid" 2>/dev/null || true
		wait "$pid" 2>/dev/null || true
	done
	[ "${KEEP:-}" ] || rm -rf "$work"
}
trap cleanup EXIT
await() { # SECONDS COMMAND...
	local deadline=$((SECONDS + $1))
	shift
	until "$@"; do
		[ "$SECONDS" -lt "$deadline" ] || return 1
		sleep 0.05
	done
}
redis_answers() { [ "$(redis-cli -s "$work/redis.sock" ping 2>/dev/null)" = PONG ]; }

mkdir "$work/saved" "$work/cases"
redis-server --port 0 --unixsocket "$work/redis.sock" --unixsocketperm 777 --dir "$work" --save '' >"$work/redis.out" 2>&1 &
pids+=($!)
await 10 redis_answers
"$build/test/sink/optimus-sink" --listen 127.0.0.1:0 --ledger "$work/ledger" --save "$work/saved" >"$work/sink.out" 2>&1 &
pids+=($!)
await 10 grep -q listening "$work/sink.out"
port=$(sed -n 's/.*listening .*:\([0-9]*\).*/\1/p' "$work/sink.out")

prepare() { # DIR
	"$instance" prepare --dir "$work/$1" --libexec "$build/postfix-glue" --user postfix --redis "$work/redis.sock" \
		--outcome "$work/outcome.sock" --hostname node.test --relay "127.0.0.1:$port"
}
prepare ours
"$instance" start --dir "$work/ours"

# The same configuration with Postfix's own pickup and bounce.
prepare stock
for name in pickup bounce local; do
	install -m 755 "$(postconf -d -h daemon_directory)/$name" "$work/stock/libexec/$name"
done
sed -i -e 's/^optimus-pickup .*/pickup unix n - n 60 1 pickup/' \
	-e 's/^\(trace\|bounce\|defer\) .*/\1 unix - - n - 0 bounce/' "$work/stock/etc/master.cf"
MAIL_CONFIG=$work/stock/etc setsid "$work/stock/libexec/master" -w -c "$work/stock/etc" </dev/null

# A case: NAME, then the message as printf(1) writes it.
# shellcheck disable=SC2059
message() { printf "$2" >"$work/cases/$1"; }
head='From: s@sender.test\nTo: r@example.test\nSubject: case\nMessage-ID: <1@sender.test>\nDate: Thu, 1 Jan 2026 00:00:00 +0000\n'
long=$(head -c 1500 /dev/zero | tr '\0' x)
longer=$(head -c 5000 /dev/zero | tr '\0' y)
exact=$(head -c 2048 /dev/zero | tr '\0' z)
message plain "$head\nHello\n\nWorld\n"
message crlf "${head//\\n/\\r\\n}\r\nHello\r\n\r\nWorld\r\n"
message mixed_line_ends "$head\nunix\nwindows\r\ntwo\r\r\nend\n"
message bare_cr "$head\nbefore\rafter\nend\n"
message no_final_newline "$head\nHello"
message latin1 "${head}MIME-Version: 1.0\nContent-Type: text/plain; charset=iso-8859-1\nContent-Transfer-Encoding: 8bit\n\ncaf\351\n"
message utf8 "${head}MIME-Version: 1.0\nContent-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: 8bit\n\ncaf\303\251 \342\202\254\n"
message undeclared_8bit "$head\ncaf\351 \377\n"
message line_of_1500 "$head\n$long\nend\n"
message line_of_5000 "$head\n$longer\nend\n"
message line_of_2048 "$head\n$exact\n.dot\nend\n"
message line_of_4096 "$head\n$exact$exact\nend\n"
message long_header "${head}X-Long: $long $longer\n\nbody\n"
message dots "$head\n.\n..\n.hidden\n...\nend\n"
message dot_last "$head\nend\n."
message empty_body "$head\n"
message headers_only "$head"
message blank_lines "$head\n\n\n\nbody\n\n\n"
message from_lines "From s@sender.test Thu Jan  1 00:00:00 2026\n$head\nFrom here\n>From there\n"
message folded_headers "${head}X-Folded: one\n\ttwo\n   three\n\nbody\n"
message dropped_headers "${head}Return-Path: <x@y.test>\nContent-Length: 5\nX-Kept: yes\n\nbody\n"
message unqualified "From: s\nTo: r@example.test, other\nSubject: case\nMessage-ID: <1@sender.test>\nDate: Thu, 1 Jan 2026 00:00:00 +0000\n\nbody\n"
message no_from 'To: r@example.test\nSubject: case\n\nbody\n'
message multipart "${head}MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=b\n\npreamble\n--b\nContent-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: 8bit\n\n\303\251\n--b\n\n.two\n--b--\nepilogue\n"
message nul "$head\nbefore\000after\nend\n"
message starts_with_space " lost\n$head\nbody\n"
message not_a_header "nonsense here\n\nbody\n"

# Without the lines that must differ. A template without any header gets a To: when it is merged.
normal() { # FILE
	awk -v drop="$drop" 'BEGIN { RS = "\r\n"; ORS = "\r\n" } body { print; next } $0 == "" { body = 1 }
		$0 ~ "^(" drop "):" { skip = 1; next } skip && /^[ \t]/ { next } { skip = 0; print }' "$1"
}
saved_count() { find "$work/saved" -name '*.eml' | wc -l; }
arrived() { [ "$(saved_count)" -gt "$before" ] && [ "$(wc -l <"$work/ledger")" -gt "$before" ]; }
newest() { find "$work/saved" -name '*.eml' | sort | tail -n 1; }

for file in "$work"/cases/*; do
	name=$(basename "$file")
	drop='Received|Message-I[Dd]|Date'
	case $name in starts_with_space | not_a_header) drop="$drop|To" ;; esac
	before=$(saved_count)
	sendmail -C "$work/stock/etc" -i -F '' -f s@sender.test r@example.test <"$file"
	if ! await 20 arrived; then
		echo "not ok: $name: stock Postfix did not send it"
		failed=$((failed + 1))
		continue
	fi
	normal "$(newest)" >"$work/stock.eml"
	before=$(saved_count)
	"$build/test/system/feeder" --redis "$work/redis.sock" --outcome "$work/outcome.sock" --mails 1 --connections 1 \
		--pickup "$work/ours/spool/private/optimus-pickup" --template "$file" --name "$name" --from s@sender.test \
		--to r@example.test --ledger "$work/facts" >"$work/feeder.out" 2>&1 || true
	if ! await 5 arrived; then
		echo "not ok: $name: ours did not send it: $(cat "$work/feeder.out"; tail -n 1 "$work/facts")"
		failed=$((failed + 1))
	elif normal "$(newest)" >"$work/ours.eml" && cmp "$work/stock.eml" "$work/ours.eml"; then
		passed=$((passed + 1))
	else
		echo "not ok: $name"
		diff <(cat -A "$work/stock.eml") <(cat -A "$work/ours.eml") | cut -c 1-200 | head -n 10 || true
		failed=$((failed + 1))
	fi
done
echo "$passed passed, $failed failed"
[ "$failed" = 0 ]
