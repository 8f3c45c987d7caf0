/* SPDX-License-Identifier: MIT */
/*
 * The core's one entrance: an event in, effects out.
 *
 * A step hands the event to the part that it concerns, lets what is due by now happen, writes down what has
 * come together, feeds what there is room for, and says when it wants to be woken. The parts:
 *
 *   upload.c   a submission becomes a batch, or leaves no trace
 *   batch.c    accepted → started → done
 *   shard.c    mails and the facts that move them
 *   facts.c    outcomes into the journal, answers to Postfix
 *   lane.c     whose mail is next
 *   control.c  pause, resume, cancel, drain
 *   feed.c     claims, and mails into Postfix
 *   settle.c   what became of claimed mails when something died
 *   recover.c  the start
 *   gather.c   what the cluster knows of a batch
 *   fetch.c    a shard's value and journal, wherever they are
 *   lost_writes.c  a store that came back older than it was
 */
#include "queue/core.h"

#include <stdlib.h>
#include <string.h>

#include "queue/accept.h"
#include "queue/announce.h"
#include "queue/append.h"
#include "queue/batch.h"
#include "queue/call.h"
#include "queue/change.h"
#include "queue/cluster.h"
#include "queue/command.h"
#include "queue/control.h"
#include "queue/doubt.h"
#include "queue/error.h"
#include "queue/facts.h"
#include "queue/feed.h"
#include "queue/fetch.h"
#include "queue/gather.h"
#include "queue/home.h"
#include "queue/homeread.h"
#include "queue/homesync.h"
#include "queue/hop.h"
#include "queue/join.h"
#include "queue/lane.h"
#include "queue/left.h"
#include "queue/lost_writes.h"
#include "queue/propose.h"
#include "queue/recover.h"
#include "queue/settle.h"
#include "queue/shard.h"
#include "queue/stage.h"
#include "queue/state.h"
#include "queue/sync.h"
#include "queue/takeover.h"
#include "queue/upload.h"
#include "queue/write.h"

/* SplitMix64 (Steele, Lea, Flood, 2014): enough for who tries again when. */
uint64_t core_random(struct core *core, uint64_t bound)
{
	uint64_t z = core->random += UINT64_C(0x9e3779b97f4a7c15);

	z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
	z ^= z >> 31;
	return bound == 0 ? 0 : z % bound;
}

struct core_config core_config_default(void)
{
	return (struct core_config){
	    .window = 1000,
	    .domain_share = 15,
	    .claim_group = 100,
	    .min_backoff = 300 * USEC_PER_SEC,  /* postconf(5), minimal_backoff_time */
	    .max_backoff = 4000 * USEC_PER_SEC, /* postconf(5), maximal_backoff_time */
	    .domain_hold = 30 * USEC_PER_SEC,
	    .resend_in_doubt = true,
	    .open_mails_max = 1000000,
	    .presence = {.weight = WEIGHT_ONE},
	    .replicas = 3,
	    .stage_part = STAGE_PART,
	    .unreplicated_max = 50,
	    .doubt_hold = 60 * USEC_PER_SEC,
	    .replace_after = 300 * USEC_PER_SEC,
	    .alone_after = 600 * USEC_PER_SEC,
	};
}

struct core *core_new(const struct core_config *config)
{
	struct core *core = calloc(1, sizeof(*core));

	if (core == NULL)
		abort();
	core->config = *config;
	core->random = config->seed;
	core->next_token = 1; /* 0 is none */
	TAILQ_INIT(&core->awaited);
	TAILQ_INIT(&core->again);
	TAILQ_INIT(&core->dirty);
	TAILQ_INIT(&core->cancelling);
	TAILQ_INIT(&core->joins);
	timers_init(&core->boot_timers);
	timers_init(&core->utc_timers);
	timer_init(&core->feed_hold, TIMER_FEED_HOLD, core);
	timer_init(&core->store_retry, TIMER_STORE_RETRY, core);
	timer_init(&core->spool_check, TIMER_SPOOL_CHECK, core);
	core->reader = journal_reader_new();
	cluster_init(core);
	home_init(core);
	TAILQ_INIT(&core->stages);
	TAILQ_INIT(&core->accepts);
	TAILQ_INIT(&core->announces);
	TAILQ_INIT(&core->proposals);
	gather_init(core);
	return core;
}

void core_free(struct core *core)
{
	struct batch *batch;
	struct write *write;

	if (core == NULL)
		return;
	gather_free(core);
	joins_free(core);
	uploads_free(core);
	proposals_free(core);
	announces_free(core);
	accepts_free(core);
	stages_free(core);
	while ((batch = batch_after(core, NULL)) != NULL)
		batch_free(core, batch);
	while ((write = write_first(core)) != NULL)
		write_free(core, write);
	homereads_free(core);
	calls_free(core);
	domains_free(core); /* the timers of those that rest are in the tree that the others leave */
	home_free(core);
	cluster_free(core);
	journal_reader_free(core->reader);
	free(core->held_replies);
	free(core->asked);
	free(core);
}

static void store_done(struct core *core, uint64_t token, int status)
{
	struct write *write = write_find(core, token);

	if (write == NULL)
		return;
	if (status == 0)
		lost_writes_stored(core, write);
	switch (write->kind) {
	case WRITE_UPLOAD:
		upload_written(core, write, status);
		write_free(core, write);
		return;
	case WRITE_COMMIT:
		accept_stored(core, write, status);
		write_free(core, write);
		return;
	case WRITE_STAGE:
		stage_stored(core, write, status);
		write_free(core, write);
		return;
	case WRITE_REGISTER:
		home_stored(core, write, status);
		write_free(core, write);
		return;
	case WRITE_CLAIMS:
		feed_claimed(core, write, status);
		return;
	case WRITE_OUTCOMES:
		facts_written(core, write, status);
		return;
	case WRITE_CONTROL:
		control_written(core, write, status);
		return;
	case WRITE_VERSION:
		command_version_written(core, write, status);
		return;
	case WRITE_CONFIG:
		change_stored(core, write, status);
		return;
	case WRITE_JOIN:
		join_stored(core, write, status);
		return;
	case WRITE_TOLD:
		left_stored(core, write, status);
		return;
	case WRITE_PEER_APPEND:
		append_stored(core, write, status);
		return;
	case WRITE_PROMISE:
		takeover_promise_stored(core, write, status);
		return;
	case WRITE_UNION:
		sync_stored(core, write, status);
		return;
	case WRITE_OTHER:
	case WRITE_DROP:
		if (status == 0)
			write_free(core, write);
		else
			facts_write_later(core, write);
		return;
	default:
		return;
	}
}

static void dispatch(struct core *core, const struct event *event)
{
	switch (event->type) {
	case EVENT_RECOVER_BATCH:
		recover_batch(core, event->recover_batch.data, event->recover_batch.len);
		return;
	case EVENT_RECOVER_UPLOAD:
		stage_recover(core, event);
		return;
	case EVENT_RECOVER_REGISTER:
		home_recover(core, &event->recover_register.batch, event->recover_register.data,
		    event->recover_register.len);
		return;
	case EVENT_RECOVER_DONE:
		settle_away(core, event->recover_done.away);
		recover_records_done(core);
		return;
	case EVENT_JOURNAL_LOADED:
		if (!fetch_journal_loaded(core, event))
			recover_journal(core, event);
		return;
	case EVENT_VALUE_LOADED:
		if (!fetch_value_loaded(core, event))
			join_value_loaded(core, event);
		return;
	case EVENT_QUERY:
		gather_query(core, event->query.reply, event->query.batch);
		return;
	case EVENT_FETCH:
		fetch_shard(core, event->fetch.reply, &event->fetch.batch, event->fetch.index);
		return;
	case EVENT_DIRECTORY:
		gather_directory(core, event);
		return;
	case EVENT_SHARD_LOADED:
		feed_shard_loaded(core, event);
		return;
	case EVENT_UPLOAD_OPEN:
		upload_open(core, event);
		return;
	case EVENT_UPLOAD_SHARD:
		upload_shard(core, event);
		return;
	case EVENT_UPLOAD_COMMIT:
		upload_commit(core, event->upload_commit.reply, &event->upload_commit.upload);
		return;
	case EVENT_UPLOAD_ABORT:
		upload_abort(core, &event->upload_abort.upload);
		return;
	case EVENT_CONTROL:
		control_command(core, event);
		return;
	case EVENT_DRAIN:
		control_drain(core, event);
		return;
	case EVENT_STORE_DONE:
		store_done(core, event->store_done.token, event->store_done.status);
		return;
	case EVENT_ENGINE_DOWN:
		settle_engine_down(core, event->engine_down.lives);
		return;
	case EVENT_ENGINE_UP:
		settle_engine_up(core, event->engine_up.generation);
		return;
	case EVENT_SPOOL:
		settle_spool(core, event);
		return;
	case EVENT_FED:
		feed_result(core, &event->fed.key, event->fed.status, event->fed.reason);
		return;
	case EVENT_OUTCOME:
		facts_outcome(core, &event->outcome.outcome, event->outcome.reply);
		return;
	case EVENT_LEFT_SPOOL:
		facts_left_spool(core, &event->left_spool.key, event->left_spool.reply);
		return;
	case EVENT_PRESENCE:
		cluster_presence(core, event->presence.presence);
		return;
	case EVENT_PEER_UP:
		cluster_peer_up(core, &event->peer.node);
		return;
	case EVENT_PEER_DOWN:
		cluster_peer_down(core, &event->peer.node);
		return;
	case EVENT_PEER_REFUSED:
		cluster_peer_refused(core, &event->peer.node);
		return;
	case EVENT_FRAME:
		cluster_frame(core, &event->frame.node, event->frame.data, event->frame.len);
		return;
	case EVENT_FORGET:
		cluster_forget(core, event->forget.reply, &event->forget.node);
		return;
	case EVENT_JOINED:
		homesync_joined(core);
		return;
	case EVENT_LEAVE:
		cluster_leave(core);
		return;
	case EVENT_TICK:
		core->timer_told = 0; /* also when it comes a little early: then it is asked for again */
		return;
	default:
		return;
	}
}

static void timer_fired(struct core *core, struct timer *timer)
{
	switch (timer->kind) {
	case TIMER_SHARD_RETRY:
		shard_retry_due(core, timer->owner);
		return;
	case TIMER_BATCH:
		batch_due(core, timer->owner);
		return;
	case TIMER_BATCH_REST:
		feed_batch_rested(core);
		return;
	case TIMER_HOP:
		hop_rested(core, timer->owner);
		return;
	case TIMER_FEED_HOLD:
		core->feed_held = false;
		return;
	case TIMER_STORE_RETRY:
		facts_write_again(core);
		return;
	case TIMER_CLAIMS:
		feed_claims_late(core, timer->owner);
		return;
	case TIMER_TAKEOVER:
		takeover_due(core, timer->owner);
		return;
	case TIMER_DOUBT:
		doubt_due(core, timer->owner);
		return;
	case TIMER_HEARTBEAT:
		cluster_tick(core);
		return;
	case TIMER_HOME:
		propose_due(core, timer->owner);
		return;
	case TIMER_STAGE:
		stage_due(core, timer->owner);
		return;
	case TIMER_CALL:
		call_due(core, timer->owner);
		return;
	case TIMER_SPOOL_CHECK:
		if (core->uncertain == 0 && core->asked_count == 0 && !core->file_waits)
			return;
		if (core->engine == ENGINE_UP)
			settle_ask(core);
		else
			timer_arm(&core->boot_timers, timer, core->now.us + USEC_PER_SEC);
		return;
	case TIMER_QUERY:
		gather_due(core, timer->owner);
		return;
	default:
		return;
	}
}

static void fire(struct core *core, struct timers *timers, uint64_t now)
{
	struct timer *timer;

	while ((timer = timers_first(timers)) != NULL && timer->due <= now) {
		timer_disarm(timers, timer);
		timer_fired(core, timer);
	}
}

/* The next deadline in boot time. UTC may be set while we wait, so it is looked at again every half minute.
 */
static void tell_timer(struct core *core)
{
	const struct timer *boot = timers_first(&core->boot_timers);
	const struct timer *utc = timers_first(&core->utc_timers);
	uint64_t deadline = boot == NULL ? UINT64_MAX : boot->due;

	/* Before, nothing in UTC fires: a deadline that is over would be asked for again and again. */
	if (utc != NULL && core->recovered) {
		uint64_t wait = utc->due > core->utc.us ? utc->due - core->utc.us : 0;

		if (wait > 30 * USEC_PER_SEC)
			wait = 30 * USEC_PER_SEC;
		if (core->now.us + wait < deadline)
			deadline = core->now.us + wait;
	}
	if (deadline == UINT64_MAX)
		return;
	if (core->timer_told > core->now.us && core->timer_told <= deadline)
		return; /* it will be woken in time, and asks again then */
	core->timer_told = deadline;
	effects_add(core->effects, EFFECT_TIMER)->deadline.us = deadline;
}

void core_step(struct core *core, const struct event *event, struct effects *effects)
{
	const uint64_t before = core->now.us;
	const size_t first = effects->count;

	core->now = event->now;
	core->utc = event->utc;
	core->effects = effects;
	if (before != 0 && core->now.us > before)
		settle_paused(core, core->now.us - before);
	dispatch(core, event);
	/* The others want to hear of this node while it still reads what it has. */
	fire(core, &core->boot_timers, core->now.us);
	if (core->recovered)
		fire(core, &core->utc_timers, core->utc.us);
	cluster_run(core);
	control_run(core);
	facts_flush(core);
	settle_run(core);
	if (core->recovered)
		feed_run(core);
	facts_flush(core);
	tell_timer(core);
	lost_writes_number(core, first);
	core->effects = NULL;
}

const char *batch_state_name(enum batch_state state)
{
	static const char *const names[] = {
	    "uploading", "scheduled", "sending", "paused", "done", "cancelled"};

	return names[state];
}

int core_batch(const struct core *core, const char *name, struct batch_view *ret_view)
{
	struct opt_id key = batch_key(name);
	const struct batch *batch = batch_find((struct core *)(uintptr_t)core, &key);

	if (batch != NULL) {
		batch_look(core, batch, ret_view);
		return 0;
	}
	for (const struct upload *upload = upload_after(core, NULL); upload != NULL;
	     upload = upload_after(core, &upload->id)) {
		if (id_equal(&upload->batch, &key)) {
			upload_look(upload, ret_view);
			return 0;
		}
	}
	return OPT_E_NOT_FOUND;
}

int core_batch_next(const struct core *core, const struct opt_id *after, struct batch_view *ret_view)
{
	const struct batch *batch = batch_after(core, after);

	if (batch == NULL)
		return OPT_E_NOT_FOUND;
	batch_look(core, batch, ret_view);
	return 0;
}

uint32_t core_upload_pending(const struct core *core, const struct opt_id *upload)
{
	const struct upload *found = upload_find(core, upload);

	return found == NULL ? 0 : upload_pending(found);
}

uint32_t core_upload_shards_max(const struct core *core, const struct opt_id *upload)
{
	const struct upload *found = upload_find(core, upload);

	return found == NULL ? 0 : found->shards_max;
}

uint64_t core_upload_mails(const struct core *core, const struct opt_id *upload)
{
	const struct upload *found = upload_find(core, upload);

	return found == NULL ? 0 : found->mails;
}

struct core_numbers core_numbers(const struct core *core)
{
	return (struct core_numbers){
	    .owned = core->owned_shards,
	    .replicas = core->unfinished_shards,
	    .in_flight = core->in_flight,
	    .sent = core->sent,
	    .unreplicated = core->unreplicated,
	    .writes = core->write_count,
	    .recovered = core->recovered,
	    .engine_up = core->engine == ENGINE_UP,
	    .stale = core->stale,
	    .draining = control_draining(core),
	};
}
