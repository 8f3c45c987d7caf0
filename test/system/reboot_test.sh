#!/bin/bash
# SPDX-License-Identifier: MIT
# A machine that is shut down in good order in the middle of a batch loses its spool, which is in memory, but no mail is in
# doubt after it: what Postfix had not sent was settled before the end. With on_doubt = report, doubt would be mail not sent.
extra_settings='on_doubt = report'
. "$(dirname "$0")/lib.sh"

echo 'domain slow.test delay-data 1s' >"$work/rules"
sink_start --rules "$work/rules"
start_sending reboot 3000 a.test b.test c.test slow.test
await 60 'a part is sent' batch_has reboot sent 300
node_end 20
if mountpoint -q "$work/d/postfix/spool"; then
	umount "$work/d/postfix/spool"
else
	find "$work/d/postfix/spool" -type f -delete
fi
node_start
await 120 'the batch is done' batch_is reboot done
expect 'mails that were not sent' 0 "$(batch_field reboot unknown)"
expect 'sent' 3000 "$(batch_field reboot sent)"
check_ledger reboot
expect 'copies' 0 "$(jq .duplicates "$work/check.json")"
