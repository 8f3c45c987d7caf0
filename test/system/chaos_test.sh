#!/bin/bash
# SPDX-License-Identifier: MIT
# scripts/chaos: a run with a death for good, a cluster in halves and a full disk is made, judged and found good, and the journals
# name as many mails sent again in doubt as the batches count. These are up to a window's; none where the node that died had
# claimed nothing just then.
# shellcheck source-path=SCRIPTDIR source=cluster_lib.sh
. "$(dirname "$0")/cluster_lib.sh"

# The cluster is the script's own, and gone by then.
fail() {
	echo "FAILED: $*"
	exit 1
}

# The exit status is about how many came twice and how long takeovers took as well: of so few mails, beside other tests, that
# says nothing.
"$root/scripts/chaos" --nodes 3 --mails 12000 --count 3 --faults kill,halves,full --seed 8597 --set 'doubt_hold = 5s' \
	--json --keep --dir "$work/kept" >"$work/row" 2>"$work/said" || true
cat "$work/said"
[ "$(wc -l <"$work/row")" -eq 1 ] || fail 'there is not one row'
cat "$work/row"

# row FIELD
row() { jq -r ".$1" "$work/row"; }
expect 'trouble' '' "$(row trouble)"
expect 'result' good "$(row result)"
expect 'sent' 11880 "$(row sent)"
expect 'lost' 0 "$(row lost)"
expect 'kinds of fault' 'full halves kill' "$(row 'faults | map(split(":")[0]) | sort | join(" ")')"
expect_at_most 'duplicates' "$(row in_doubt_resent)" "$(row duplicates)"
expect 'mails sent again in doubt, as the journals name them' "$(row in_doubt_resent)" \
	"$(awk '{ sum += $2 } END { print sum + 0 }' "$work/kept/8597/resent")"
