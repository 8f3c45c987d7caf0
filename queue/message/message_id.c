/* SPDX-License-Identifier: MIT */
/*
 * Message-IDs. The server that feeds Postfix and the report both make them here, so that an operator finds a
 * line of the report again in the mail log of the receiving side.
 *
 * Pure: the same mail gives the same bytes. Nothing can fail; addresses were checked when the batch came in.
 */
#include "queue/message/message_id.h"

#include "queue/message/address.h"

void message_id_make(const struct opt_id *shard, uint32_t index, const char *sender,
    const char *fallback_host, struct buffer *out)
{
	char hex[OPT_ID_HEX];
	char domain[ADDRESS_MAX + 1];

	address_domain(sender, domain);
	buffer_add(out, id_to_hex(shard, hex), OPT_ID_HEX - 1);
	buffer_printf(out, ".%u@", index);
	buffer_add_text(out, domain[0] ? domain : fallback_host);
}
