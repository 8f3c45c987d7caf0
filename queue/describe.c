/* SPDX-License-Identifier: MIT */
/* See describe.h. */
#include "queue/describe.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

#include "queue/cluster.h"
#include "queue/control.h"
#include "queue/error.h"
#include "queue/replica.h"
#include "queue/shard.h"
#include "queue/state.h"
#include "queue/write.h"

struct text {
	char *to;
	size_t len;
};

__attribute__((format(printf, 2, 3))) static void add(struct text *text, const char *format, ...)
{
	const size_t room = DESCRIBE_MAX - text->len;
	va_list args;
	int len;

	va_start(args, format);
	len = vsnprintf(text->to + text->len, room, format, args);
	va_end(args);
	text->len += len < 0 ? 0 : (size_t)len < room ? (size_t)len : room - 1;
}

static void add_flag(struct text *text, bool set, const char *name)
{
	if (set)
		add(text, ", %s", name);
}

static void add_timer(struct text *text, const struct core *core, const struct timer *timer, const char *name)
{
	if (timer->armed)
		add(text, ", %s in %" PRIu64 " ms", name,
		    timer->due > core->now.us ? (timer->due - core->now.us) / USEC_PER_MSEC : 0);
}

static void add_members(struct text *text, const struct core *core, const struct shard *shard,
    describe_name_fn *name, void *context)
{
	add(text, ", config %u:", shard->config);
	for (uint32_t i = 0; i < shard->member_count; i++)
		add(text, " %s%s%s", name(context, &shard->members[i]->id),
		    (shard->behind >> i & 1U) != 0 ? "-" : "",
		    peer_alive(core, shard->members[i]) ? "" : "!");
}

static void add_state(struct text *text, const struct core *core, const struct shard *shard)
{
	add_flag(text, shard->mine, "mine");
	add_flag(text, shard->owning, "owning");
	add_flag(text, shard->synced, "synced");
	add_flag(text, shard->cut_off, "cut off");
	add_flag(text, shard->resting, "members silent");
	add_flag(text, !shard->batch->started, "not started");
	add_flag(text, shard->batch->control.now.what == CONTROL_PAUSED, "paused");
	add_flag(text, control_cancelled(shard->batch), "cancelled");
	add_flag(text, shard->batch->summary, "known by its summary");
	add_flag(text, shard->journal_loading, "journal being read");
	add_flag(text, shard->reload, "to be read again");
	add_flag(text, shard->rereads > 0, "being read again");
	add_flag(text, shard->in_closed, "to be opened");
	add_flag(text, shard->sync != NULL, "sync");
	add_flag(text, shard->takeover != NULL, "takeover");
	add_flag(text, shard->change != NULL, "change");
	add_flag(text, shard->catch_up != NULL, "catching up");
	add_flag(text, shard->hand_over != NULL, "handing over");
	add_flag(text, !TAILQ_EMPTY(&shard->facts), "facts to be written");
	add_flag(text, !TAILQ_EMPTY(&shard->early), "early facts");
	if (shard->writes > 0)
		add(text, ", %u writes", shard->writes);
	if (shard->peer_writes > 0)
		add(text, ", %u writes of peers", shard->peer_writes);
	add_timer(text, core, &shard->takeover_timer, "takeover");
	add_timer(text, core, &shard->doubt_timer, "end of doubt");
}

static void describe(const struct core *core, const struct shard *shard, describe_name_fn *name,
    void *context, struct text *text)
{
	static const char *const phases[] = {"closed", "loading", "open", "finished"};

	for (size_t i = 0; i < 4; i++)
		add(text, "%02x", shard->id.bytes[i]);
	add(text, " of %s: %s, epoch %u of ", shard->batch->record.settings.name, phases[shard->phase],
	    shard->epoch);
	add(text, "%s, promised %u ", name(context, &shard->owner->id), shard->promised);
	add(text, "to %s", name(context, &shard->promised_to->id));
	add_members(text, core, shard, name, context);
	for (int state = 0; state < MAIL_SENT; state++) {
		if (shard->states[state] > 0)
			add(text, ", %u %s", shard->states[state], mail_state_name((enum mail_state)state));
	}
	add_state(text, core, shard);
}

/* It is nothing to this node, or nothing is left to do for it. */
static bool is_over(const struct shard *shard)
{
	return !shard->mine ||
	       (shard->behind == 0 && (shard->phase == SHARD_FINISHED || shard->batch->summary));
}

int describe_open_shard(const struct core *core, const struct opt_id *after, describe_name_fn *name,
    void *context, struct opt_id *ret_id, char ret_text[DESCRIBE_MAX])
{
	struct core *walked = (struct core *)(uintptr_t)core;
	struct shard *shard = after == NULL ? NULL : shard_find(walked, after);
	struct text text = {.to = ret_text};

	do
		shard = shard_next(walked, shard);
	while (shard != NULL && is_over(shard));
	if (shard == NULL)
		return OPT_E_NOT_FOUND;
	*ret_id = shard->id;
	ret_text[0] = '\0';
	describe(core, shard, name, context, &text);
	return 0;
}

/* A claim or an outcome that some member has not answered for. */
static bool writes_left(struct core *core)
{
	struct write *write = write_first(core);

	while (write != NULL && write->kind != WRITE_CLAIMS && write->kind != WRITE_OUTCOMES)
		write = write_next(write);
	return write != NULL;
}

bool describe_spreading(const struct core *core)
{
	struct core *walked = (struct core *)(uintptr_t)core;
	struct shard *shard = core->behind == 0 ? NULL : shard_next(walked, NULL);

	for (; shard != NULL; shard = shard_next(walked, shard)) {
		for (int i = 0; i < shard->member_count; i++) {
			if ((shard->behind >> i & 1U) != 0 && peer_alive(core, shard->members[i]))
				return true;
		}
	}
	return writes_left(walked);
}
