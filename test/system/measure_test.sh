#!/bin/bash
# SPDX-License-Identifier: MIT
# What scripts/node.sh measures from a ledger and a report: the time until another node sent what a dead one had left. And that a
# section that is saved in a page of results replaces itself alone.
# usage: measure_test.sh
set -euo pipefail
cd "$(dirname "$0")/../.."
# shellcheck source-path=SCRIPTDIR source=../../scripts/common.sh
. scripts/common.sh
# shellcheck source=../../scripts/node.sh
. scripts/node.sh
# shellcheck source=../../scripts/measure.sh
. scripts/measure.sh

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
killed=1000000000000000
bad=0

# came SECONDS SHARD.INDEX: the ledger's line of a mail that came so long after the death.
came() { printf '%s\ta@x\tb@x\t<%s@x>\n' "$((killed + $1 * 1000000))" "$2" >>"$work/ledger"; }
# by NODE SHARD.INDEX: the report's line of that mail.
by() { printf '{"message_id":"<%s@x>","node":"%s"}\n' "$2" "$1" >>"$work/report"; }
# said SECONDS WORD...: a line of the log, so long after the death.
said() { echo "time=$(date -u -d "@$((killed / 1000000 + $1))" +%FT%T.000Z) level=info ${*:2}" >>"$work/log"; }
# takes SECONDS SHARD FROM WHY: another node has taken that shard over.
takes() { said "$1" event=shard_taken_over "id=$2" epoch=2 "from=$3" "why=$4"; }
begin() { rm -f "$work"/*; touch "$work/log" "$work/ledger" "$work/report"; }
# measures WANTED WHAT [WHY]
measures() {
	local got
	got=$(takeover_seconds "$work/ledger" "$work/report" $killed dead "${3:-$because_dead}" "$work/log")
	[ "$got" = "$1" ] || { echo "not ok: $2: wanted $1, got $got"; bad=1; }
}

begin
measures - 'nothing was taken over'
came -1 one.0; by dead one.0
came 4 one.1; by other one.1
came 1 two.0; by other two.0 # another node's own
came 3 three.0; by other three.0 # the dead node had sent nothing of it
measures - 'no log says that these were taken over'
takes 2 one dead refused
measures 4.0 'a shard that the dead node had begun'
takes 2 three dead silent
measures 3.0 'one that it had not begun'

begin # what others did at the same time
came 2 moved.0; by other moved.0
takes 1 moved dead moved
takes 1 drained dead draining
came 2 drained.0; by other drained.0
takes 1 foreign live refused
came 2 foreign.0; by other foreign.0
takes -5 earlier dead silent # it was away before
came 2 earlier.0; by other earlier.0
said 1 event=shard_taken_over id=nameless epoch=2
came 2 nameless.0; by other nameless.0
measures - 'what was moved, drained, of others, or taken over before the death, is no takeover from the dead'
takes 2 one dead refused
came 5 one.0; by other one.0
measures 5.0 'of all that moves, what was taken over from the dead'
takes 3 sick dead unable
came 4 sick.0; by other sick.0
measures 4.0 'for other reasons only where they are asked for' unable

begin # what comes before anybody can have taken it over
takes 2 one dead refused
came 1 one.0; by other one.0 # it had been moved to the dead node a moment before
came 3 one.1; by dead one.1 # was on the wire when it died
came 6 one.2; by other one.2
measures 6.0 'the first one after the takeover'
takes 4 one third refused
measures 6.0 'a shard that is taken over once more, from another'

begin # resent in doubt: it came before the death, and again
takes 2 one dead refused
came -1 one.0
came 9 one.0; by other one.0
measures 9.0 'a mail that came twice'

# saved WANTED WHAT: what save_section made of $work/page.
saved() {
	diff <(printf '%b' "$1") "$work/page" || { echo "not ok: $2"; bad=1; }
}
printf '# Page\n\n## One\n\nold 1\n\n### More\n\n## Two\n\n## old\n\n## One more\n\nkept\n' >"$work/page"
printf '## One\n\nnew \\1 &\n' | save_section "$work/page"
saved '# Page\n\n## One\n\nnew \\1 &\n\n## Two\n\n## old\n\n## One more\n\nkept\n' 'a section in the middle'
printf '## One more\n\nnew\n' | save_section "$work/page"
saved '# Page\n\n## One\n\nnew \\1 &\n\n## Two\n\n## old\n\n## One more\n\nnew\n' 'the last section'
printf '## Three\n\nnew\n' | save_section "$work/page"
saved '# Page\n\n## One\n\nnew \\1 &\n\n## Two\n\n## old\n\n## One more\n\nnew\n\n## Three\n\nnew\n' 'a section that was not there'
cp docs/bench.md "$work/page"
sed -n '/^## A node beside stock Postfix$/,/^## /p' docs/bench.md | sed '$d' | sed '$d' | save_section "$work/page"
cmp docs/bench.md "$work/page" || { echo 'not ok: the page as it is'; bad=1; }

[ $bad = 0 ] || exit 1
echo 'ok: takeovers are measured, sections saved'
