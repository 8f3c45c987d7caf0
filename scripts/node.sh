# SPDX-License-Identifier: MIT
# shellcheck shell=bash
# shellcheck disable=SC2154,SC2034 # root comes from common.sh; the variables are for those who source this
# A sink and a node for the scripts that run one: started, awaited, and ended without a trace. Sourced after
# common.sh.

build=${BUILD:-$root/build}
sink_runs=(env) # what runs it

# start_sink DIR [OPTION...]: a sink with its ledger and control socket in DIR. Sets sink_pid, sink_address.
start_sink() {
	local dir=$1
	shift
	mkdir -p "$dir"
	"${sink_runs[@]}" "$build/test/sink/optimus-sink" --listen 127.0.0.1:0 --ledger "$dir/ledger" --control "$dir/control" \
		"$@" >"$dir/listening" 2>"$dir/errors" &
	sink_pid=$!
	wait_for 10 grep -q '^listening ' "$dir/listening" || {
		cat "$dir/errors" >&2
		die "the sink does not start"
	}
	sink_address=$(awk '{ print $2; exit }' "$dir/listening")
}

# ask_sink DIR COMMAND
ask_sink() {
	"$build/test/sink/optimus-sink" --control "$1/control" --ask "$2"
}

# sink_count DIR: messages accepted so far.
sink_count() {
	ask_sink "$1" stats | jq .messages
}

sink_has() {
	[ "$(sink_count "$1")" -ge "$2" ]
}

node_ready() {
	is_running "$node_pid" || return 0
	"$build/daemon/optimus" --api "unix:$1/api.sock" nodes --json >"$1.nodes" 2>/dev/null &&
		jq -e '[.. | objects | select(has("postfix"))] | any(.postfix == "up")' "$1.nodes" >/dev/null
}

# start_node DIR RELAY [CONFIGURATION LINE...]: a node with data in DIR, beside which its key, configuration
# and log lie. Sets node_pid and node_dir; returns when its Postfix is up.
start_node() {
	local dir=$1 relay=$2 libexec=$1.libexec
	shift 2
	node_dir=$dir
	mkdir -p "$dir" "$libexec"
	cp "$build/postfix-glue/optimus-pickup" "$build/postfix-glue/optimus-outcome" \
		"$build/postfix-glue/optimus-spool" "$root/postfix-glue/optimus-instance" "$libexec/"
	[ -e "$dir.key" ] || (umask 077 && "$build/daemon/optimus" keygen >"$dir.key")
	printf '%s\n' "relay = $relay" "libexec = $libexec" "$@" >"$dir.conf"
	"$build/daemon/optimusd" --data "$dir" --listen "127.0.0.1:$(unused_port)" --key "$dir.key" \
		--config "$dir.conf" >"$dir.log" 2>&1 &
	node_pid=$!
	if ! wait_for 60 node_ready "$dir" || ! is_running "$node_pid"; then
		tail -n 30 "$dir.log" >&2
		die "the node does not come up"
	fi
}

# Ends the node, its Redis and its Postfix, and takes the spool's mount away.
stop_node() {
	[ -n "${node_pid:-}" ] || return 0
	stop_pid "$node_pid" 60
	node_pid=
	[ ! -d "$node_dir/postfix" ] ||
		"$node_dir.libexec/optimus-instance" remove --dir "$node_dir/postfix" >>"$node_dir.log" 2>&1 || true
}

optimus() {
	"$build/daemon/optimus" --api "unix:$node_dir/api.sock" "$@"
}

# Why the others take over from a node that is dead, as they say it.
because_dead='silent refused'

# taken_over NODE SINCE WHY LOG...: the shards that others took over from NODE after SINCE (UTC microseconds) for one of the
# reasons in WHY, with the time of that. Shards move for other reasons as well, and dead nodes have had others.
taken_over() {
	local node=$1 since=$2 why=$3
	shift 3
	cat "$@" | awk -v node="$node" -v reasons="$why" '
		BEGIN { n = split(reasons, list, " "); for (i = 1; i <= n; i++) wanted[list[i]] = 1 }
		/ event=shard_taken_over / {
			delete is
			for (i = 1; i <= NF; i++) is[substr($i, 1, index($i, "=") - 1)] = substr($i, index($i, "=") + 1)
			if (is["from"] == node && is["why"] in wanted) print is["time"], is["id"]
		}' | while read -r time shard; do
		time=$(date -d "$time" +%s%6N)
		[ "$time" -le "$since" ] || echo "$time $shard"
	done
}

# takeover_seconds LEDGER REPORT KILLED_AT NODE WHY LOG...: how long after NODE was killed (UTC microseconds) the first mail of a
# shard that another took over from it, because of that, was sent by another; "-" when there was none. REPORT has JSON lines;
# the first part of a Message-ID is its shard. Before the takeover others may send what they had in their Postfix when the shard
# was moved to NODE. Where a mail came twice, the earlier one may be the dead node's own: it was resent in doubt.
takeover_seconds() {
	local ledger=$1 report=$2 killed=$3 node=$4 why=$5
	shift 5
	awk -v killed="$killed" -v dead="$node" '
		FILENAME == ARGV[1] { if (!($2 in taken) || $1 < taken[$2]) taken[$2] = $1; next }
		FILENAME == ARGV[3] { gsub(/[<>]/, "", $4); at[$4] = $1; next }
		$1 in at {
			shard = substr($1, 1, index($1, ".") - 1)
			if (shard in taken && at[$1] >= taken[shard] && $2 != dead && (best == "" || at[$1] < best)) best = at[$1]
		}
		END { if (best == "") print "-"; else printf "%.1f\n", (best - killed) / 1e6 }' \
		<(taken_over "$node" "$killed" "$why" "$@") FS='\t' "$ledger" \
		<(jq -r '[.message_id // "", .node // ""] | map(gsub("[<>]"; "")) | @tsv' "$report")
}
