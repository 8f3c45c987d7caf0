#!/bin/bash
# SPDX-License-Identifier: MIT
# That a run of scripts/chaos can be found bad: scripts/judge.sh is given forged ledgers, reports and counts, each wrong in one
# way, and has to say so; and others in which nothing is wrong. So has scripts/verdict.sh, which scripts/demo and bench-cluster ask, too.
# And that faults which met nothing are marked (scripts/faults.sh).
# usage: judge_test.sh
# shellcheck disable=SC2034 # judge.sh reads them
set -euo pipefail
: "${BUILD:?BUILD is not set: the build folder}"
cd "$(dirname "$0")/../.."
# shellcheck source-path=SCRIPTDIR source=../../scripts/common.sh
. scripts/common.sh
# shellcheck source=../../scripts/node.sh
. scripts/node.sh
# shellcheck source=../../scripts/verdict.sh
. scripts/verdict.sh
# shellcheck source=../../scripts/faults.sh
. scripts/faults.sh
# shellcheck source=../../scripts/judge.sh
. scripts/judge.sh

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
at=$work/at
said=$work/said # by the nodes, when they are asked
cluster=$work/none
run_seed=7 nodes=2 submitted=2 batch_mails=5 mails=10 count=2 runs=1 json=no happened=kill spent=60
bad=0

# ---- what stands for the cluster

# shellcheck disable=SC2317 # judge.sh asks, in what it calls by name
running() { printf '%s\n' n1 n2; }
ask() {
	case $2-${4:-} in
	report-) cat "$said/$1/report${3##*-}" ;;
	report---format) : ;; # only the time of takeovers is taken from it
	status-*) cat "$said/$1/status${3##*-}" ;;
	esac
}
ask_any() { ask n1 "$@"; }
ask_journals() { cat "$said/journals" >"$at/journals"; }
wait_for() {
	shift
	"$@"
}

# ---- what is forged

# came BATCH MAIL [MESSAGE_ID [FLAG [ADDRESS]]]: a line of the ledger.
came() {
	printf '17000000000000%s%s\tnews@x\t%s\t<%s@x>\t900\tabc\t2525\t%s\t-\n' "$1" "$2" "${5:-reader$1-$2@mail.test}" \
		"${3:-shard$1.$2}" "${4:--}" >>"$at/ledger"
}
# reported BATCH MAIL STATE: a line of the report, in the place of the one before.
reported() {
	local file=$said/n1/report$1
	grep -v "^reader$1-$2@" "$file" >"$work/others" || true
	echo "reader$1-$2@mail.test,$3,2.0.0,\"250 ok, thanks\",relay,node,1,,,shard$1.$2@x" | cat "$work/others" - >"$file"
}
# unreported BATCH MAIL
unreported() { sed -i "/^reader$1-$2@/d" "$said/n1/report$1"; }
never_came() { sed -i "/<shard$1\.$2@x>/d" "$at/ledger"; }
# resent BATCH MAIL [ATTEMPT [returned]]: a claim in the journal of two nodes.
resent() {
	local line="shard$1.$2 1 ${3:-2} ${4:-resent}"
	printf '%s\n' "shard$1.$2 1 ${3:-2} resent" "$line" >>"$said/journals"
}
# in_doubt BATCH COUNT: what the status says of it.
in_doubt() { echo "{\"batch\": \"chaos-7-$1\", \"in_doubt_resent\": $2}" >"$said/n1/status$1"; }

# Two batches of five, of which the fifth bounces; nothing is wrong.
begin() {
	local batch mail
	rm -rf "$at" "$said"
	mkdir -p "$at" "$said/n1"
	: >"$said/journals"
	for batch in 1 2; do
		echo email,name >"$at/batch$batch.csv"
		echo email,state,dsn,reason,relay,node,attempts,first_attempt,last_attempt,message_id >"$said/n1/report$batch"
		for mail in 1 2 3 4 5; do
			echo "reader$batch-$mail@mail.test,Reader" >>"$at/batch$batch.csv"
			reported "$batch" "$mail" sent
			[ "$mail" = 5 ] || came "$batch" "$mail"
		done
		reported "$batch" 5 bounced
		in_doubt "$batch" 0
	done
	trouble=
	doubts=-
}

# judged WHAT ROW [TROUBLE]: sent, lost, twice, doubts and result in the row of the run, and a pattern for why it is not good.
judged() {
	local row
	[ -e "$said/n2" ] || cp -r "$said/n1" "$said/n2"
	: >"$work/rows"
	compare 2>/dev/null || true
	print_row >"$work/printed"
	row=$(<"$work/rows")
	if [ "$row" != "$2" ]; then
		echo "not ok: $1: wanted the row $2, got $row ($trouble)"
		bad=1
	fi
	# shellcheck disable=SC2053 # a pattern
	if [[ $trouble != ${3:-} ]]; then
		echo "not ok: $1: wanted the trouble ${3:-}, got $trouble"
		bad=1
	fi
}

# ---- nothing is wrong

begin
judged 'a clean run' '8 0 0 0 good'

begin
came 1 2
in_doubt 1 1
resent 1 2
judged 'a duplicate that was resent in doubt' '8 0 1 1 good'

begin
came 1 2
came 1 2
in_doubt 1 2
resent 1 2 2
resent 1 2 3
judged 'a mail that was resent in doubt twice' '8 0 2 2 good'

begin
came 1 2 shard1.2 gone
judged 'a copy of which the sender was never told' '8 0 0 0 good'

begin
came 1 2
came 1 2 shard1.2 gone
in_doubt 1 1
resent 1 2
judged 'both of it' '8 0 1 1 good'

begin
in_doubt 2 3
resent 2 1
resent 2 2
resent 2 2 3
judged 'doubts that came to nothing' '8 0 0 3 good'

# ---- lost mail

begin
unreported 1 3
never_came 1 3
judged 'a mail of which nothing is known' '7 1 0 0 FAILED' '*"lost": 1,*'

begin
reported 1 3 retry
never_came 1 3
judged 'a mail that ends in no final state' '7 1 0 0 FAILED' '*"lost": 1,*'

begin
never_came 2 1
judged 'a mail that was reported as sent and never came' '8 0 0 0 FAILED' '*"missing": 1,*'

begin
reported 2 1 unknown
judged 'a mail of which nobody knows what became of it' '7 0 0 0 FAILED' '1 mails were neither sent nor bounced'

# ---- mail that nobody submitted

begin
came 1 9 shard1.9
judged 'a mail to somebody else' '8 0 0 0 FAILED' '*"foreign": 1,*'

begin
came 1 2 shard8.2
judged 'a second mail to the same person' '8 0 0 0 FAILED' '*"foreign": 1,*'

begin
reported 1 9 sent
came 1 9
judged 'a mail that is reported and was not submitted' '9 0 0 0 FAILED' '*"foreign": 1,*"mismatch": 1,*'

# ---- duplicates

begin
came 1 2
judged 'a duplicate without doubt' '8 0 1 0 FAILED' '1 mails came twice and were not sent again in doubt: shard1.2'

begin
came 1 2
in_doubt 1 1
resent 1 3
judged 'a duplicate of one mail and a doubt of another' '8 0 1 1 FAILED' '1 mails came twice and were not *: shard1.2'

begin
came 1 2
came 1 2
in_doubt 1 2
resent 1 2
resent 1 3
judged 'two duplicates of one mail, and a doubt of it' '8 0 2 2 FAILED' '1 mails came twice and were not *: shard1.2'

begin
came 1 2
in_doubt 1 1
resent 1 2 2 returned
judged 'a claim in doubt of which nothing came' '8 0 1 1 FAILED' '1 mails came twice and were not *: shard1.2'

begin
came 1 2
came 1 3
came 2 4
in_doubt 1 2
in_doubt 2 1
resent 1 3
judged 'several of them' '8 0 3 3 FAILED' '2 mails came twice and were not sent again in doubt: shard1.2 shard2.4'

begin
came 1 2
resent 1 2
judged 'a duplicate of a batch that had no doubts' '8 0 1 0 FAILED' '1 mails of batch 1 came twice, but only 0 were resent in doubt'

begin
came 1 2
resent 1 2
in_doubt 2 1
judged 'a duplicate of one batch and a doubt of another' '8 0 1 1 FAILED' '1 mails of batch 1 came twice*'

begin
came 1 2
came 1 2
resent 1 2 2
resent 1 2 3
came 1 3 shard1.3 gone
in_doubt 1 1
judged 'more duplicates than doubts' '8 0 2 1 FAILED' '2 mails of batch 1 came twice, but only 1 were resent in doubt'

begin
came 2 2
resent 2 2
echo '{"batch": "chaos-7-2"}' >"$said/n1/status2"
judged 'a batch that does not say how many doubts it had' '8 0 1 0 FAILED' '1 mails of batch 2 came twice*'

begin
rm "$said/journals"
judged 'journals that nobody can read' '8 0 0 0 FAILED' "*the nodes' journals can be read"

# ---- reports that contradict

begin
reported 1 4 bounced
judged 'a mail that came and is reported as bounced' '7 0 0 0 FAILED' '*"mismatch": 1,*'

begin
came 1 5
judged 'the same, of one that was to bounce' '8 0 0 0 FAILED' '*"mismatch": 1,*'

begin
cp -r "$said/n1" "$said/n2"
reported 1 4 bounced
mv "$said/n1" "$said/n3" # the first one is right, the second one is not
mv "$said/n2" "$said/n1"
mv "$said/n3" "$said/n2"
judged 'two nodes that report differently' '8 0 0 0 FAILED' '*all nodes give the same report of batch 1'

begin
rm "$said/n1/report2"
judged 'a batch that nobody reports' '- - - - FAILED' 'no node gives the report'

begin
echo nonsense >>"$at/ledger"
judged 'a ledger that can not be read' '8 0 0 0 FAILED' '*"malformed": 1*'

# ---- all runs in one

# summed WHAT TWICE "TAKEOVER..." [WRONG]: of 1,000 mails; a pattern for what is said at the end, where that is not good.
summed() {
	local status=0 wanted=0
	echo "1000 0 $2 $2 good" >"$work/rows"
	tr ' ' '\n' <<<"$3" >"$work/takeovers"
	(print_sum) 2>"$work/sum" || status=1
	[ -z "${4:-}" ] || wanted=1
	# shellcheck disable=SC2053 # a pattern
	if [ "$status" != "$wanted" ] || [[ $(tail -n +2 "$work/sum") != ${4:-} ]]; then
		echo "not ok: the sum of $1: $status, $(<"$work/sum")"
		bad=1
	fi
}

mails=1000
summed 'good runs' 0 '1.0 1.9 2.0 9.9'
summed 'runs in which no takeover was measured' 0 '- -'
summed 'too many duplicates' 1 '1.0' '*1 of 1000 mails came twice: that is 0.1 % or more'
summed 'takeovers that are slow' 0 '- 1.9 2.0 2.1' '*takeovers took 2.0 s in the median: that is 2 s or more'
summed 'one takeover that is very slow' 0 '1.0 10.0 1.3' '*a takeover took 10.0 s: that is 10 s or more'
summed 'all of that' 2 '12.0' '*2 of 1000 mails*12.0 s in the median*took 12.0 s: *'
mails=1002
summed 'less than 0.1 %' 1 '-'

# ---- one death, in scripts/demo and bench-cluster

# found WHAT WANTED COMMAND...
found() {
	local got
	got=$("${@:3}")
	[ "$got" = "$2" ] || { echo "not ok: $1: wanted $2, got $got"; bad=1; }
}
found 'nothing wrong' '' wrong_mails 0 3 3
found 'a lost mail' '1 mails are lost' wrong_mails 1 0 5
found 'more duplicates than doubts' '3 mails came twice, but only 2 were sent again in doubt' wrong_mails 0 3 2
found 'a lost one where duplicates are counted otherwise' '4 mails are lost' wrong_mails 4
found 'nothing lost' '' wrong_mails 0

# ---- faults that meet nothing

# meets WANTED KIND PICKED OTHERS RUNNING...: how the row names that fault, of these running nodes.
meets() {
	local kind=$2 alive=("${@:5}")
	running() { [ "${#alive[@]}" -eq 0 ] || printf '%s\n' "${alive[@]}"; }
	picked=$3 others=$4 happened=join met=yes
	"fault_$kind" 1 || true
	note_fault "$kind"
	found "$kind of $3" "join $1" echo "$happened"
}

control() { :; }
sleep() { :; }
dd() { : >"${2#of=}"; } # if= of= ...: the disk is not the test's
root=$work
mkdir -p "$work/scripts" "$cluster"/n{1,2,3}/data
cat >"$work/scripts/cluster" <<'END'
#!/bin/sh
[ "$2" = n1 ] || { echo "cluster: $2 runs no pickup" >&2; exit 1; }
END
chmod 755 "$work/scripts/cluster"
meets pickup:n1 pickup n1 '' n1 n2
meets 'pickup:n2(none)' pickup n2 '' n1 n2
meets full:n3 full n3 '' n2 n3
meets 'full:n3(none)' full n3 '' n1 n2 n30
[ ! -e "$cluster/n3/data/filler" ] || { echo 'not ok: the disk stays full'; bad=1; }
meets halves:n1+n2 halves 'n1 n2' 'n3 n4' n1 n2 n3 n4
meets 'halves(none)' halves '' n1 n1
meets bridge:n2 bridge n2 'n1 n3' n1 n2 n3
meets 'bridge(none)' bridge '' n1 n1
meets flap:n2 flap n2 n1 n1 n2
meets 'flap(none)' flap '' n1 n1
meets oneway:n1 oneway n1 '' n1 n2
meets 'oneway:n1(none)' oneway n1 '' n1
meets slow:n1 slow n1 '' n1 n2
meets 'slow:n1(none)' slow n1 '' n1
trouble=
printf '#!/bin/sh\necho "cluster: pickup of n1 survives kill -9" >&2; exit 1\n' >"$work/scripts/cluster"
picked=n1
! fault_pickup 1 2>/dev/null || { echo 'not ok: what could not be killed counts as killed'; bad=1; }
found 'why' 'scripts/cluster: cluster: pickup of n1 survives kill -9' echo "$trouble"

[ $bad = 0 ] || exit 1
echo 'ok: what is wrong is found'
