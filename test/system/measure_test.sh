#!/bin/bash
# SPDX-License-Identifier: MIT
# What scripts/node.sh measures from a ledger and a report: the time until another node sent what a dead one had left.
# usage: measure_test.sh
set -euo pipefail
cd "$(dirname "$0")/../.."
# shellcheck source-path=SCRIPTDIR source=../../scripts/common.sh
. scripts/common.sh
# shellcheck source=../../scripts/node.sh
. scripts/node.sh

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
killed=1000000000000000
bad=0

# came SECONDS SHARD.INDEX: the ledger's line of a mail that came so long after the death.
came() { printf '%s\ta@x\tb@x\t<%s@x>\n' "$((killed + $1 * 1000000))" "$2" >>"$work/ledger"; }
# by NODE SHARD.INDEX: the report's line of that mail.
by() { printf '{"message_id":"<%s@x>","node":"%s"}\n' "$2" "$1" >>"$work/report"; }
begin() { rm -f "$work"/*; touch "$work/taken"; }
# measures WANTED WHAT ARGUMENT...
measures() {
	local got
	got=$(takeover_seconds "$work/ledger" "$work/report" $killed dead "${@:3}")
	[ "$got" = "$1" ] || { echo "not ok: $2: wanted $1, got $got"; bad=1; }
}

begin # begun by the dead node, gone on with by another
came -1 one.0; by dead one.0
came 3 one.1; by other one.1
came 1 two.0; by other two.0 # another node's own
came -1 two.1; by other two.1
measures 3.0 'a shard that the dead node had begun'
came 2 one.2; by dead one.2 # was on the wire when it died
measures 3.0 'what the dead node had on the wire'
echo one >"$work/taken"
measures 3.0 'the same, said to be taken over' "$work/taken"

begin # the dead node had sent nothing of it
came 4 one.0; by other one.0
came 2 two.0; by other two.0
echo one >"$work/taken"
measures - 'nothing is known of a shard of which nobody had sent anything'
measures 4.0 'a shard of which nobody had sent anything, taken over' "$work/taken"
came -1 three.0; by dead three.0
came 6 three.1; by other three.1
echo three >>"$work/taken"
measures 6.0 'a shard that it had begun goes before one that it had not' "$work/taken"
measures 4.0 'unless all count' "$work/taken" untouched

begin # resent in doubt: it came before the death, and again
came -1 one.0
came 9 one.0; by other one.0
came 5 one.1; by other one.1
measures 5.0 'a shard whose latest mail came twice is the dead node'"'"'s'

[ $bad = 0 ] || exit 1
echo 'ok: takeovers are measured'
