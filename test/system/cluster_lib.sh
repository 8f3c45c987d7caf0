# shellcheck shell=bash
# shellcheck disable=SC2034 # the variables are for those who source this
# SPDX-License-Identifier: MIT
# For the system tests with several nodes: scripts/cluster and a receiving server in a folder of their own, inside
# namespaces of their own, so that processes, mounts and ports end with the test however it ends. Source it before anything
# else. Nothing here waits for seconds: everything waits for a condition, and a limit says how long.
#
# BUILD is the build folder; $work the test's own, $dir the cluster's.
set -euo pipefail
BUILD=$(realpath "${BUILD:?BUILD is not set: the build folder}")
export BUILD
# shellcheck source-path=SCRIPTDIR source=../../scripts/common.sh
. "$(dirname "${BASH_SOURCE[0]}")/../../scripts/common.sh"
# shellcheck source=../../scripts/node.sh
. "$root/scripts/node.sh"

# Runs the test again as the first process of its namespaces. Short paths: those of Unix sockets have to fit into 107 bytes.
if [ -z "${work:-}" ]; then
	work=$(mktemp -d /tmp/optimus.XXXXXX)
	export work
	chmod 755 "$work"
	# Whoever is killed takes the others along: this shell unshare, and unshare the first process.
	setpriv --pdeathsig KILL unshare --pid --mount --net --fork --kill-child=KILL --mount-proc "$0" "$@" &
	inner=$!
	trap 'kill -KILL "$inner" 2>/dev/null || true; wait "$inner" 2>/dev/null || true; rm -rf "$work"' EXIT
	trap 'exit 1' INT TERM HUP
	wait "$inner"
	exit
fi
ip link set lo up
mkdir -p /run/netns
mount -t tmpfs tmpfs /run/netns
dir=$work/c
trap 'control down || true' EXIT

control() { "$root/scripts/cluster" "$@" --dir "$dir"; }

fail() {
	local log
	say "FAILED: $*"
	control status || true
	for log in "$dir"/n*/log; do
		printf -- '--- %s\n' "$log"
		grep -v ' event=shard_taken_over ' "$log" | tail -n "${log_lines:-25}"
	done
	exit 1
}

# await SECONDS WHAT COMMAND...: until the command succeeds.
await() {
	local seconds=$1 what=$2
	shift 2
	wait_for "$seconds" "$@" || fail "after $seconds s still not: $what"
}

# expect WHAT WANTED GOT
expect() {
	[ "$2" = "$3" ] || fail "$1: wanted $2, got $3"
	echo "ok: $1 = $3"
}
expect_at_most() {
	awk -v most="$2" -v got="$3" 'BEGIN { exit !(got != "-" && got <= most) }' || fail "$1: wanted at most $2, got $3"
	echo "ok: $1 = $3 (at most $2)"
}
expect_at_least() {
	awk -v least="$2" -v got="$3" 'BEGIN { exit !(got != "-" && got >= least) }' || fail "$1: wanted at least $2, got $3"
	echo "ok: $1 = $3 (at least $2)"
}

# ---- the nodes

declare -A api address id
# meet NODE...: learns of those that run now.
meet() {
	local node
	for node in "$@"; do
		api[$node]=unix:$dir/$node/data/api.sock
		address[$node]=$(<"$dir/$node/listen")
		id[$node]=$(sed -n 's/.* event=node_starting node=\([0-9a-f]*\).*/\1/p' "$dir/$node/log" | tail -n 1)
	done
}

# at NODE COMMAND...: for as many seconds as `patience` says, which is 60 unless set.
at() {
	local node=$1
	shift
	timeout "${patience:-60}" "$BUILD/daemon/optimus" --api "${api[$node]}" "$@"
}

# sees NODE OTHER FILTER: what the one says of the other.
sees() { at "$1" nodes --json | jq -e --arg id "${id[$2]}" 'any(.nodes[]; .id == $id and ('"$3"'))'; }
# shows NODE OTHER FIELD
shows() { at "$1" nodes --json | jq -r --arg id "${id[$2]}" '.nodes[] | select(.id == $id).'"$3"; }
# What of the nodes does not change by itself: who is there and how.
picture_of='[.nodes[] | [.id, .address, .state, .weight, .version, .postfix == "up"]] | sort'
# picture NODE: as that one sees it.
picture() { at "$1" nodes --json | jq -c "$picture_of"; }
# same_picture FILTER NODE...: all of them show the same, and it is so.
same_picture() {
	local filter=$1 node first
	shift
	first=$(picture "$1")
	jq -e "$filter" <<<"$first" >/dev/null || return 1
	for node in "$@"; do
		[ "$(picture "$node")" = "$first" ] || return 1
	done
}

# postfix_pids NODE PROGRAM: the processes that run a program of that name for the node's Postfix.
postfix_pids() {
	{ find /proc/[0-9]*/exe -maxdepth 0 -lname "$dir/$1/data/postfix/libexec/$2" -printf '%h\n' 2>/dev/null || true; } |
		sed 's,/proc/,,'
}

# redis_pid NODE
redis_pid() {
	{ find /proc/[0-9]*/cwd -maxdepth 0 -lname "$dir/$1/data/redis" -printf '%h\n' 2>/dev/null || true; } |
		sed 's,/proc/,,' | head -n 1
}

now() { date +%s%6N; }
seconds_between() { awk -v from="$1" -v to="$2" 'BEGIN { printf "%.1f", (to - from) / 1e6 }'; }
seconds_since() { seconds_between "$1" "$(now)"; }

# log_time NODE PATTERN: when the node last said that, in UTC microseconds.
log_time() {
	local stamp
	stamp=$(grep -E "$2" "$dir/$1/log" | tail -n 1 | sed -n 's/^time=\([^ ]*\) .*/\1/p')
	[ -z "$stamp" ] || date -d "$stamp" +%s%6N
}

# first_log_time NODE SINCE PATTERN: when the node first said that after SINCE, both in UTC microseconds. Nothing: it did not.
first_log_time() {
	local stamp time
	{ grep -E "$3" "$dir/$1/log" 2>/dev/null || true; } | sed -n 's/^time=\([^ ]*\) .*/\1/p' | while read -r stamp; do
		time=$(date -d "$stamp" +%s%6N)
		[ "$time" -le "$2" ] || { echo "$time" && break; }
	done
}

# ---- mail

# slow_sink MILLISECONDS: a receiving server that takes its time with each mail, so that a batch lasts.
slow_sink() {
	echo "domain * delay-data $1ms" >"$work/rules"
	if [ -z "${sink_pid:-}" ]; then
		start_sink "$work/sink" --rules "$work/rules"
	else
		ask_sink "$work/sink" "rules $work/rules" >/dev/null
	fi
}

# recipients ID COUNT [LENGTH]: writes the list of the batch. With long rows a shard has few of them (768 KiB).
recipients() {
	awk -v id="$1" -v mails="$2" -v length_="${3:-1}" 'BEGIN {
		print "email,name"
		for (long = "x"; length(long) < length_; long = long long) continue # printf has a limit in some awks
		long = substr(long, 1, length_)
		for (i = 1; i <= mails; i++) print id "-" i "@d" i % 20 ".test,Reader " long i
	}' >"$work/$1.csv"
}

# send NODE ID [OPTION...]
send() {
	local node=$1 batch=$2
	shift 2
	[ -e "$work/t.eml" ] || printf 'From: a@example.com\nTo: {{email}}\nSubject: x\n\nDear {{name}}\n' >"$work/t.eml"
	at "$node" send --from a@example.com --template "$work/t.eml" --recipients "$work/$batch.csv" --id "$batch" "$@" >/dev/null
}

batch_field() { at "$1" status "$2" --json | jq -r ".$3"; }
batch_is() { at "$1" status "$2" --json | jq -e "$3"; }
# The counts of the states, whoever is asked.
adds_up='.total == .ready + .claimed + .retry + .sent + .bounced + .expired + .cancelled + .suppressed + .unknown + .unavailable'

received() { sink_count "$work/sink"; }
# mails_of BATCH: how many of its mails the sink has.
mails_of() { awk -F '\t' -v id="$1" 'index($3, id "-") == 1 { n++ } END { print n + 0 }' "$work/sink/ledger"; }
received_more() { [ "$(received)" -ge "$1" ]; }

# check_batches NODE ID...: reports and ledger agree and every mail was sent. Sets duplicates and doubts. `ledger` is that of the
# sink unless set.
check_batches() {
	local node=$1 batch arguments=()
	shift
	: >"$work/report.jsonl"
	doubts=0
	for batch in "$@"; do
		at "$node" report "$batch" >"$work/$batch.report"
		at "$node" report "$batch" --format jsonl >>"$work/report.jsonl"
		arguments+=(--submitted "$work/$batch.csv" --report "$work/$batch.report")
		doubts=$((doubts + $(batch_field "$node" "$batch" in_doubt_resent)))
	done
	"$BUILD/test/sink/optimus-ledger" check --ledger "${ledger:-$work/sink/ledger}" "${arguments[@]}" --json >"$work/result" ||
		fail "reports and ledger do not agree: $(tr -d '\n' <"$work/result")"
	echo "ok: ledger $(tr -d '\n' <"$work/result")"
	expect 'mails that were not sent' 0 "$(($(jq .submitted "$work/result") - $(jq .sent "$work/result")))"
	duplicates=$(jq .duplicates "$work/result")
}

# deliveries: of each mail that was sent when it came (UTC microseconds), the first time, and the node that reports it. After
# check_batches.
deliveries() {
	awk -F '\t' 'FILENAME == ARGV[1] { gsub(/[<>]/, "", $4); if (!($4 in at)) at[$4] = $1; next }
		$1 in at { print at[$1], $2 }' "$work/sink/ledger" \
		<(jq -r '[.message_id // "", .node // ""] | map(gsub("[<>]"; "")) | @tsv' "$work/report.jsonl")
}

# taken_over_in SECONDS NODE SINCE [WHY]: the first mail of a shard that was taken over from that node was sent by another one
# so soon after SINCE: because it is dead, or for one of the reasons in WHY. No death can be seen within a second.
taken_over_in() {
	local took why=${4:-$because_dead}
	took=$(takeover_seconds "$work/sink/ledger" "$work/report.jsonl" "$3" "${id[$2]}" "$why" "$dir"/n*/log)
	expect_at_most "seconds until another node sent what $2 had (${why// / or })" "$1" "$took"
	[ "$why" != "$because_dead" ] || expect_at_least 'so long a death is not seen' 1 "$took"
}
