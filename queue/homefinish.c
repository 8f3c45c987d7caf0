/* SPDX-License-Identifier: MIT */
/* The registers are looked at every LOOK_EVERY. One that waits for its own upload or proposal is left to
 * that. */
#include "queue/homefinish.h"

#include "queue/accept.h"
#include "queue/cluster.h"
#include "queue/homesync.h"
#include "queue/propose.h"
#include "queue/registers.h"
#include "queue/upload.h"

static const usec LOOK_EVERY = 5 * USEC_PER_SEC;

static bool is_home(struct core *core, const struct opt_id *batch)
{
	struct peer *homes[REPLICAS_MAX];
	const uint32_t count = cluster_homes(core, batch, homes);

	for (uint32_t i = 0; i < count; i++) {
		if (homes[i] == core->self)
			return true;
	}
	return false;
}

/* Without a decision it is looked at again. */
static void decided(struct core *core, const struct opt_id *batch, const struct opt_id *upload,
    enum propose_outcome outcome, const void *record, size_t len)
{
	(void)upload;
	if ((outcome == PROPOSE_OURS || outcome == PROPOSE_OTHER) && len > 0)
		accept_record(core, batch, record, len);
}

/* Whether nothing has happened to what it has accepted for long enough. */
static bool is_due(const struct core *core, struct reg *reg)
{
	if (ballot_compare(&reg->watched, &reg->accepted) != 0) {
		reg->watched = reg->accepted;
		reg->watched_since = core->now;
	}
	return core->now.us - reg->watched_since.us >= FINISH_AFTER;
}

/* Who is no home any more leaves it to those that are. */
static void look_after(struct core *core, struct reg *reg)
{
	const struct opt_id batch = reg->batch, upload = reg->upload;
	const bool home = is_home(core, &batch);

	if (home && (accept_under_way(core, &batch) || upload_find(core, &upload) != NULL ||
	                propose_runs(core, &batch)))
		return;
	reg->watched_since = core->now;
	if (home)
		propose_start(core, &batch, &upload, NULL, 0, decided);
	else
		homesync_push_again(core, reg);
}

void homefinish_tick(struct core *core)
{
	struct registers *registers = core->registers;
	struct reg *reg;

	if (!core->recovered || core->now.us - registers->finish_looked.us < LOOK_EVERY)
		return;
	registers->finish_looked = core->now;
	for (reg = register_after(&registers->tree, NULL); reg != NULL;) {
		const struct opt_id batch = reg->batch;

		if (reg->len > 0 && is_due(core, reg))
			look_after(core, reg);
		reg = register_after(&registers->tree, &batch); /* it may be gone by now */
	}
}
