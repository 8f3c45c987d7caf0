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

# taken_over_after TIME LOG...: the shards for which some node says so. Shards move for other reasons as well.
taken_over_after() {
	local time
	time="time=$(date -u -d "@${1%??????}.${1: -6}" +%FT%T.%3NZ)"
	shift
	cat "$@" | awk -v after="$time" '/ event=shard_taken_over / && $1 > after { print substr($4, 4) }'
}

# takeover_seconds LEDGER REPORT KILLED_AT NODE [SHARDS [untouched]]: how long after NODE was killed (UTC microseconds) the first mail of
# one of its shards was sent by another; "-" when there was none. REPORT has JSON lines. The first part of a
# Message-ID is its shard; the shards of NODE are those of which it had sent the latest mail by then, and of these only those
# in the file SHARDS where it is given: then, where it had begun none that it had not finished, also those of which nobody had
# sent anything; always with `untouched`. Where a mail came twice, before and after, the earlier one is the dead node's own: it
# was resent in doubt.
takeover_seconds() {
	awk -F '\t' -v killed="$3" -v dead="$4" -v some="${5:-}" -v too="${6:-}" '
		BEGIN { while (some != "" && (getline shard <some) > 0) taken[shard] = 1 }
		FNR == NR { gsub(/[<>]/, "", $4); at[$4] = $1; if (!($4 in once)) once[$4] = $1; next }
		$1 in at {
			shard = substr($1, 1, index($1, ".") - 1)
			if (once[$1] <= killed && once[$1] > latest[shard]) {
				latest[shard] = once[$1]
				owner[shard] = at[$1] > killed ? dead : $2
			}
			if (at[$1] > killed && $2 != dead && (!(shard in first) || at[$1] < first[shard]))
				first[shard] = at[$1]
		}
		END {
			for (shard in first) {
				if (some != "" && !(shard in taken)) continue
				# Asked first, because reading an element makes it.
				if (shard in owner) {
					if (owner[shard] == dead && (best == "" || first[shard] < best)) best = first[shard]
				} else if (some != "" && (untouched == "" || first[shard] < untouched)) untouched = first[shard]
			}
			if (untouched != "" && (best == "" || (too != "" && untouched < best))) best = untouched
			if (best == "") print "-"; else printf "%.1f\n", (best - killed) / 1e6
		}' "$1" <(jq -r '[.message_id // "", .node // ""] | map(gsub("[<>]"; "")) | @tsv' "$2")
}
