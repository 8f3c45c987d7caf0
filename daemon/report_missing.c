/* SPDX-License-Identifier: MIT */
/*
 * Collects numbers into ranges. A list of any length would not fit into a header line, so only the first
 * RANGES_MAX ranges are named; the number of shards is always right.
 */
#include "daemon/report_missing.h"

#include <inttypes.h>

enum { RANGES_MAX = 40 };

void report_missing_init(struct report_missing *missing)
{
	*missing = (struct report_missing){0};
	buffer_init(&missing->list);
	buffer_init(&missing->text);
}

void report_missing_done(struct report_missing *missing)
{
	buffer_done(&missing->list);
	buffer_done(&missing->text);
}

static void add_range(const struct report_missing *missing, struct buffer *out)
{
	if (missing->ranges > RANGES_MAX)
		return;
	buffer_printf(out, "%s%" PRIu32, out->len > 0 ? ", " : "", missing->first);
	if (missing->last > missing->first)
		buffer_printf(out, "-%" PRIu32, missing->last);
}

void report_missing_add(struct report_missing *missing, uint32_t shard)
{
	uint32_t number = shard + 1;

	missing->count++;
	if (missing->ranges > 0 && number == missing->last + 1) {
		missing->last = number;
		return;
	}
	if (missing->ranges > 0)
		add_range(missing, &missing->list);
	missing->ranges++;
	missing->first = missing->last = number;
}

const char *report_missing_text(struct report_missing *missing, uint32_t shards, uint64_t mails)
{
	struct buffer list;

	buffer_init(&list);
	buffer_add(&list, buffer_text(&missing->list), missing->list.len);
	add_range(missing, &list);
	buffer_clear(&missing->text);
	buffer_printf(&missing->text, "%s %s%s of %" PRIu32 " (%" PRIu64 " %s) %s on no node that answers",
	    missing->count == 1 ? "shard" : "shards", buffer_text(&list),
	    missing->ranges > RANGES_MAX ? " and more" : "", shards, mails, mails == 1 ? "mail" : "mails",
	    missing->count == 1 ? "is" : "are");
	buffer_done(&list);
	return buffer_text(&missing->text);
}
