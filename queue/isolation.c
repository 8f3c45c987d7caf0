/* SPDX-License-Identifier: MIT */
/* See isolation.h. */
#include "queue/isolation.h"

#include "queue/settle.h"
#include "queue/shard.h"

static const usec ISOLATED_MAX = 5 * USEC_PER_SEC;

/* Some shard of which Postfix has mail lacks a majority. */
static bool cut_off(struct core *core)
{
	for (struct shard *shard = shard_next(core, NULL); shard != NULL; shard = shard_next(core, shard)) {
		if (shard->mine && shard->cut_off && shard->member_count > 2 &&
		    shard->phase != SHARD_FINISHED && shard_has_mail_of(shard, core->self))
			return true;
	}
	return false;
}

void isolation_tick(struct core *core)
{
	if (!cut_off(core)) {
		core->isolated_since.us = 0;
		core->isolated = false;
		return;
	}
	if (core->isolated_since.us == 0)
		core->isolated_since = core->now;
	if (core->now.us - core->isolated_since.us < ISOLATED_MAX ||
	    core->config.broken_rule == CORE_BUG_ISOLATION_IGNORED)
		return;
	core->isolated = true;
	settle_stand_down(core, "too few nodes can be reached to make outcomes safe");
}
