#!/bin/bash
# SPDX-License-Identifier: MIT
# A node's time of day falls back by an hour while its Postfix has mail, and is set right again. Postfix passes over a queue
# file from the future (qmgr_active_feed() of src/qmgr/qmgr_active.c), so mail stays in incoming/; and no other mail comes
# that makes qmgr look again, for the window is full of these. They are sent soon after, once each.
# shellcheck source-path=SCRIPTDIR source=cluster_lib.sh
. "$(dirname "$0")/cluster_lib.sh"

mails=200
window=25

incoming() { find "$dir/n1/data/postfix/spool/incoming" -type f | wc -l; }
is_full() { [ "$(incoming)" = "$window" ]; }

slow_sink 0
control up --nodes 1 --clocks --relay "$sink_address" --set "window = $window"
meet n1
# A cleanup process compares its clock with the file system's once (src/global/mail_stream.c): here while they agree.
recipients before "$mails"
send n1 before
await 60 'the first batch is done' batch_is n1 before '.state == "done"'
control clock n1 -3600
recipients clock "$mails"
send n1 clock
await 30 "$window mails lie in Postfix's incoming queue" is_full
control clock n1 +0
right=$(now)
await 60 'all mails are sent' batch_is n1 clock '.state == "done"'
expect_at_most 'seconds from the right time to the end' 40 "$(seconds_since "$right")"
check_batches n1 before clock
expect 'mails that came twice' 0 "$duplicates"
expect 'mails resent in doubt' 0 "$doubts"
