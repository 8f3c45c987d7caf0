/* SPDX-License-Identifier: MIT */
/*
 * The Message-ID of a mail: the same on every attempt and on every node, because it is made of what never
 * changes.
 */
#ifndef OPTIMUS_QUEUE_MESSAGE_MESSAGE_ID_H
#define OPTIMUS_QUEUE_MESSAGE_MESSAGE_ID_H

#include <stdint.h>

#include "queue/id.h"
#include "queue/message/buffer.h"

/*
 * Appends `<shard, 40 hex>.<index>@<domain>`, without angle brackets. The domain is that of `sender`, the
 * expanded envelope sender of this mail, or fallback_host where that has none (the null sender).
 */
void message_id_make(const struct opt_id *shard, uint32_t index, const char *sender,
    const char *fallback_host, struct buffer *out);

#endif
