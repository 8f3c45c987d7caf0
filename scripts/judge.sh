# SPDX-License-Identifier: MIT
# shellcheck shell=bash
# shellcheck disable=SC2154 # what they work with belongs to scripts/chaos
# What came of a run of scripts/chaos, for that and test/system/judge_test.sh: reports beside the ledger of the receiving
# server, rows of the table, and what a run that failed leaves.

# The run can't go on, or was not good: what is wrong first is said in its row.
broken() {
	trouble=${trouble:-$*}
	say "seed $run_seed: $*"
	return 1
}

# until_or_broken SECONDS TEXT COMMAND...
until_or_broken() {
	local seconds=$1 text=$2
	shift 2
	wait_for "$seconds" "$@" || broken "after $seconds s still not: $text"
}

# Each batch from the first running node that knows it.
fetch_reports() {
	local i
	for ((i = 1; i <= submitted; i++)); do
		ask_any report "chaos-$run_seed-$i" >"$at/report$i.csv" || return 1
		ask_any report "chaos-$run_seed-$i" --format jsonl >>"$at/report.jsonl" || return 1
		ask_any status "chaos-$run_seed-$i" --json >>"$at/status.jsonl" || return 1
	done
}

# Which mails were sent again in doubt no report says, the nodes' journals do.
ask_journals() {
	local node sockets=()
	for node in $(running); do
		sockets+=("$cluster/$node/data/redis/redis.sock")
	done
	"$BUILD/test/system/resent" "${sockets[@]}" >"$at/journals"
}

# fetch_resent: "SHARD.INDEX TIMES" of each mail that was sent again in doubt. Each node has the journals of its shards, so claims are
# there several times; one of which nothing came, as any of them knows, repeated nothing.
fetch_resent() {
	ask_journals 2>>"$at/send.log" || return 1
	sort -u "$at/journals" | awk '
		$4 == "returned" { returned[$1 FS $2 FS $3] = 1 }
		{ claim[$1 FS $2 FS $3] = $1 }
		END {
			for (key in claim) times[claim[key]] += !(key in returned)
			for (mail in times) if (times[mail] > 0) print mail, times[mail]
		}' >"$at/resent"
}

# Asked anew each time: what a node that was cut off had claimed may come to the others after a batch is done, and makes
# first_attempt earlier. A report that differs is left beside the first one.
same_everywhere() {
	local node first=$at/report$1.csv other
	ask_any report "chaos-$run_seed-$1" >"$first" || return 1
	for node in $(running); do
		other=$at/report$1.$node.csv
		ask "$node" report "chaos-$run_seed-$1" >"$other" 2>/dev/null && cmp -s "$first" "$other" && rm "$other" || return 1
	done
}

# Whoever is asked gives the same report.
compare_nodes() {
	local i
	for ((i = 1; i <= submitted; i++)); do
		until_or_broken 30 "all nodes give the same report of batch $i" same_everywhere "$i" || return 1
	done
}

figure() {
	jq ".$1" "$at/result.json"
}

# twice NUMBER: how often mails of that batch came once more, where the sender had been told that they came. Counted as
# optimus-ledger does it for all of them.
twice() {
	awk -F '\t' '
		FNR == NR { mine[substr($0, 1, index($0, ",") - 1)] = 1; next }
		$3 in mine { copies[$4 FS $3]++; if ($8 != "-") untold[$4 FS $3]++ }
		END {
			for (mail in copies) {
				more = copies[mail] - 1
				count += more > untold[mail] ? more - untold[mail] : 0
			}
			print count + 0
		}' "$at/batch$1.csv" "$at/ledger"
}

# unexplained: the mails, each by the first part of its Message-ID, that came more often than they were sent again in doubt, where
# the sender had been told that they came.
unexplained() {
	awk '
		FILENAME == ARGV[1] { times[$1] = $2; next }
		$4 ~ /^<.*@/ {
			id = substr($4, 2, index($4, "@") - 2)
			copies[id FS $3]++
			if ($8 != "-") untold[id FS $3]++
			name[id FS $3] = id
		}
		END {
			for (mail in copies)
				if (copies[mail] - 1 - untold[mail] > times[name[mail]]) print name[mail]
		}' "$at/resent" FS='\t' "$at/ledger" | sort
}

# A batch says how many of its mails were sent again in doubt, the journals which: each explains one that came twice.
judge_duplicates() {
	local i came explained ids
	mapfile -t ids < <(unexplained)
	[ "${#ids[@]}" -eq 0 ] ||
		broken "${#ids[@]} mails came twice and were not sent again in doubt: ${ids[*]:0:5}" || true
	doubts=$(jq -s 'map(.in_doubt_resent) | add' "$at/status.jsonl")
	for ((i = 1; i <= submitted; i++)); do
		came=$(twice "$i")
		explained=$(jq -s ".[$i - 1].in_doubt_resent" "$at/status.jsonl")
		[ "$came" -le "$explained" ] ||
			broken "$came mails of batch $i came twice, but only $explained were resent in doubt" || true
	done
}

# The reports and the receiving server's ledger, as they lie in $at.
judge() {
	local arguments=() i
	for ((i = 1; i <= submitted; i++)); do
		arguments+=(--submitted "$at/batch$i.csv" --report "$at/report$i.csv")
	done
	"$BUILD/test/sink/optimus-ledger" check --ledger "$at/ledger" "${arguments[@]}" --json >"$at/result.json" ||
		broken "report and ledger do not agree: $(tr -d '\n' <"$at/result.json")" || true
	[ "$(figure other)" -eq 0 ] || broken "$(figure other) mails were neither sent nor bounced" || true
	judge_duplicates
}

compare() {
	fetch_reports || broken "no node gives the report" || return 1
	until_or_broken 30 "the nodes' journals can be read" fetch_resent || : >"$at/resent"
	compare_nodes || true
	judge
}

# Seconds, one for each node that died for good: "-" where it had nothing left to send.
takeovers() {
	local killed id
	[ -e "$at/kills" ] && [ -e "$at/report.jsonl" ] || return 0
	while read -r killed id; do
		takeover_seconds "$at/ledger" "$at/report.jsonl" "$killed" "$id" "$because_dead" "$cluster"/n*/log
	done <"$at/kills"
}

# median_and_worst: of the numbers that are read.
median_and_worst() {
	grep -v -e - | sort -n | awk '{ at[NR] = $1 } END {
		if (NR == 0) print "- -"; else print at[int((NR + 1) / 2)], at[NR] }'
}

keep_traces() {
	local node
	mkdir -p "$kept"
	rm -rf "${kept:?}/$run_seed"
	cp -r "$at" "$kept/$run_seed"
	for node in "$cluster"/n*; do
		[ ! -e "$node/log" ] || cp "$node/log" "$kept/$run_seed/${node##*/}.log"
		[ ! -e "$node/data/postfix/log/maillog" ] ||
			cp "$node/data/postfix/log/maillog" "$kept/$run_seed/${node##*/}.maillog"
	done
}

# row CELL...: of the table in docs/chaos.md.
row() {
	printf '| %s ' "$@"
	echo '|'
}

print_head() {
	local columns=(seed nodes faults sent lost twice doubts takeover seconds result)
	[ "$json" = yes ] || {
		row "${columns[@]}"
		row "${columns[@]//*/---}"
	}
}

print_row() {
	local lost=- twice=- sent=- result=good
	if [ -s "$at/result.json" ]; then
		lost=$(figure lost)
		twice=$(figure duplicates)
		sent=$(figure sent)
	fi
	[ -z "$trouble" ] || result=FAILED
	takeovers >"$at/takeovers"
	cat "$at/takeovers" >>"$work/takeovers"
	printf '%s %s %s %s %s\n' "$sent" "$lost" "$twice" "$doubts" "$result" >>"$work/rows"
	if [ "$json" = yes ]; then
		jq -n -c --argjson seed "$run_seed" --argjson nodes "$nodes" --argjson mails $((submitted * batch_mails)) \
			--arg sent "$sent" --arg lost "$lost" --arg duplicates "$twice" --arg in_doubt_resent "$doubts" \
			--arg takeover "$(<"$at/takeovers")" \
			--argjson seconds "$spent" --arg faults "$happened" --arg result "$result" --arg trouble "$trouble" \
			'def n: if . == "-" then null else tonumber end;
			{seed: $seed, nodes: $nodes, mails: $mails, sent: ($sent | n), lost: ($lost | n),
			 duplicates: ($duplicates | n), in_doubt_resent: ($in_doubt_resent | n),
			 takeover: [$takeover | splits("\n") | select(. != "") | n],
			 seconds: $seconds, faults: ($faults | split(" ")), result: $result, trouble: $trouble}'
	else
		row "$run_seed" "$nodes" "$happened" "$sent" "$lost" "$twice" "$doubts" \
			"$(paste -s -d ' ' "$at/takeovers")" "$spent" "$result"
	fi
}

# All runs in one more row, and what is wrong with that.
print_sum() {
	local sum median worst wrong mails=$((runs * (mails / count) * count))
	sum=$(awk -v mails="$mails" '{ sent += $1; lost += $2; twice += $3; doubts += $4; good += $5 == "good" }
		END { printf "%d %d %d %d %d %.3f", sent, lost, twice, doubts, good, twice * 100 / mails }' "$work/rows")
	read -r sent lost twice doubts good percent <<<"$sum"
	read -r median worst < <(median_and_worst <"$work/takeovers")
	say "$good of $runs runs good: $sent sent, $lost lost, $twice twice ($percent % of $mails mails)," \
		"takeover median and worst: $median $worst s"
	wrong=$(wrong_share "$twice" "$mails"; wrong_takeovers "$median" "$worst")
	[ -z "$wrong" ] || die "$wrong"
}
