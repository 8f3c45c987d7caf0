/* SPDX-License-Identifier: MIT */
/*
 * What became of the mails that were claimed and have no outcome (rules 5 and 10).
 *
 * Postfix asks our trace server before it removes a message, and waits for the answer, which it gets when the
 * outcome is durable. So for a mail without an outcome:
 *
 *   its file is in a spool that is alive      it is on its way: wait for its outcome
 *   it is being written there                 it will be queued or vanish: look again
 *   no file, and its claim was for this spool it never got in: ready again
 *   the same, but a damaged file was found    when all are looked at: that may be its file, so in doubt
 *   no file, and the claim was for another    that spool is gone: in doubt
 *   Postfix is dead, file in incoming         no delivery agent ever saw it: ready again
 *   Postfix is dead, file in active or aside  it may have been sent: in doubt
 *   the same, but the spool is another one    the machine died, its disk may show what was before: in doubt
 *   put aside in deferred, hold or corrupt    in doubt, and the file must go: Postfix would try it by itself
 *
 * Damaged is a file in active or aside that does not tell its attempt. One that can't be read never comes
 * here: the shell looks again until it can be.
 *
 * A dead Postfix is started again only over an empty spool, and the spool is emptied only when what was found
 * in it is durable.
 *
 * A node that was away, killed or stopped, while its Postfix lived on: once doubt_hold is over the others
 * send again what they know to be claimed by it. Half of that is what such a node relies on. If it was away
 * for longer, it answers Postfix, which waits with all its delivery agents by then, only once Postfix's
 * master is dead, without which none of them takes another mail: what they have on the wire is reported, the
 * rest was never tried and is its owner's to feed. So, too, when it is told to end: it answers nobody if that
 * master outlives it.
 */
#include "queue/settle.h"

#include <stdlib.h>

#include "queue/facts.h"
#include "queue/replica.h"
#include "queue/shard.h"

/* A node of a cluster wakes up each second, and its links are silent for longer before the others doubt it.
 */
enum { ASKED_MAX = 10000 /* at once; the rest will be asked for again */ };
static const usec PAUSE_MIN = 3 * USEC_PER_SEC;

void settle_ask(struct core *core)
{
	if (core->settle_asked)
		return;
	core->settle_asked = true;
	effects_add(core->effects, EFFECT_ENGINE_SETTLE);
}

void settle_stand_down(struct core *core, const char *why)
{
	if (core->engine != ENGINE_UP)
		return;
	core->engine = ENGINE_STOPPING;
	effects_add(core->effects, EFFECT_ENGINE_STOP)->text = effects_copy_text(core->effects, why);
}

void settle_away(struct core *core, usec away)
{
	if (away <= core->config.doubt_hold / 2)
		return;
	if (core->engine == ENGINE_UP)
		settle_ask(core);
	if (core->engine != ENGINE_RESOLVING && core->engine != ENGINE_STARTING)
		core->stale = true; /* there may be a Postfix */
}

void settle_paused(struct core *core, usec gap)
{
	if (core->beating && gap > PAUSE_MIN)
		settle_away(core, gap);
}

static void not_stale(struct core *core)
{
	core->stale = false;
	facts_release(core);
}

/* Whether Postfix has, or may get, anything that another node may have sent. */
static bool shared(struct core *core, const struct event *event)
{
	for (size_t i = 0; i < event->spool.count; i++) {
		const struct shard *shard = shard_find(core, &event->spool.entries[i].key.shard);

		if (shard == NULL || !shard->mine || shard->member_count > 1)
			return true;
	}
	for (struct shard *shard = shard_next(core, NULL); shard != NULL; shard = shard_next(core, shard)) {
		if (shard->member_count > 1 && shard_has_mail_of(shard, core->self))
			return true;
	}
	return false;
}

static int compare_entries(const void *a, const void *b)
{
	const struct spool_entry *const *x = a, *const *y = b;
	int order = id_compare(&(*x)->key.shard, &(*y)->key.shard);

	if (order != 0)
		return order;
	if ((*x)->key.index != (*y)->key.index)
		return (*x)->key.index < (*y)->key.index ? -1 : 1;
	if ((*x)->key.attempt != (*y)->key.attempt)
		return (*x)->key.attempt < (*y)->key.attempt ? -1 : 1;
	if ((*x)->key.epoch != (*y)->key.epoch)
		return (*x)->key.epoch < (*y)->key.epoch ? -1 : 1;
	return id_compare(&(*x)->key.node, &(*y)->key.node);
}

static struct mail *mail_of(struct core *core, const struct attempt_key *key, struct shard **ret_shard)
{
	struct shard *shard = shard_find(core, &key->shard);

	*ret_shard = shard;
	return shard == NULL || shard->mails == NULL || key->index >= shard->count
	           ? NULL
	           : &shard->mails[key->index];
}

static bool is_latest(const struct mail *mail, const struct attempt_key *key)
{
	return mail != NULL && mail->state == MAIL_CLAIMED && mail->attempt == key->attempt &&
	       mail->epoch == key->epoch && id_equal(&mail->node->id, &key->node);
}

static void remove_file(struct core *core, const struct spool_entry *entry)
{
	effects_add(core->effects, EFFECT_SPOOL_REMOVE)->text = effects_copy_text(core->effects, entry->file);
}

static void look_soon(struct core *core)
{
	if (!core->spool_check.armed)
		timer_arm(&core->boot_timers, &core->spool_check, core->now.us + 2 * USEC_PER_SEC);
}

/* While facts are being written, one of them may be about this very file: the next look tells. */
static bool must_wait(struct core *core, const struct spool_entry *entry)
{
	if (entry->place != SPOOL_ASIDE || core->outcome_writes == 0)
		return false;
	core->file_waits = true;
	look_soon(core);
	return true;
}

/* A file of a Postfix that runs, whose mail does not wait for it: leave it if it is leaving, else stop it. */
static void rogue(struct core *core, const struct spool_entry *entry)
{
	if (!must_wait(core, entry) && (entry->place == SPOOL_INCOMING || entry->place == SPOOL_ASIDE))
		remove_file(core, entry);
}

static void doubt(struct core *core, struct shard *shard, uint32_t index, const char *why, const char *file)
{
	fact_add_doubt(core, shard, index, why, file);
	shard_settle_one(core, shard, index);
}

static void never_fed(struct core *core, struct shard *shard, uint32_t index)
{
	fact_add_own(core, shard, index, OUTCOME_RETURNED, "", "");
	shard_settle_one(core, shard, index);
}

/* Files of a dead Postfix whose shards this node has left: their members wait for its word. */
static void look_at_left(struct core *core, const struct event *event)
{
	for (size_t i = 0; !event->spool.alive && i < event->spool.count; i++) {
		const struct spool_entry *entry = &event->spool.entries[i];
		const bool tried = entry->place == SPOOL_ACTIVE || entry->place == SPOOL_ASIDE ||
		                   event->spool.generation == 0;
		const struct outcome outcome = {
		    .key = entry->key,
		    .kind = tried ? OUTCOME_IN_DOUBT : OUTCOME_RETURNED,
		    .at = core->utc,
		    .dsn = tried ? "4.3.0" : "",
		    .relay = "",
		    .reason = tried ? "Postfix died with the mail in its active queue" : "",
		};
		struct shard *shard = shard_find(core, &entry->key.shard);

		if (shard != NULL && !shard->mine && entry->key.index < shard->count)
			fact_add(core, shard, &outcome, 0);
	}
}

/* Files that need something done although their mail is not looked at below. */
static void look_at_files(struct core *core, const struct event *event)
{
	for (size_t i = 0; event->spool.alive && i < event->spool.count; i++) {
		const struct spool_entry *entry = &event->spool.entries[i];
		struct shard *shard;
		struct mail *mail = mail_of(core, &entry->key, &shard);

		if (shard != NULL && !shard->mine && entry->place == SPOOL_ASIDE &&
		    entry->key.index < shard->count) {
			/* This node has left the shard, and its members wait for its word: once is enough. */
			if (!must_wait(core, entry))
				fact_add_doubt_of(
				    core, shard, &entry->key, "Postfix put the mail aside", entry->file);
		} else if (!is_latest(mail, &entry->key)) {
			rogue(core, entry);
		} else if (entry->place == SPOOL_ASIDE) {
			doubt(core, shard, entry->key.index, "Postfix put the mail aside", entry->file);
		}
	}
}

static void set_uncertain(struct core *core, struct mail *mail, bool uncertain)
{
	if (uncertain == ((mail->flags & MAIL_UNCERTAIN) != 0))
		return;
	mail->flags ^= MAIL_UNCERTAIN;
	mail->flags &= (uint8_t)~MAIL_LOOKED_FOR;
	if (uncertain)
		core->uncertain++;
	else
		core->uncertain--;
}

void settle_learnt(struct core *core, struct shard *shard, uint32_t index)
{
	if (core->engine == ENGINE_NONE || core->engine == ENGINE_SETTLING)
		return;
	set_uncertain(core, &shard->mails[index], true);
	look_soon(core);
}

void settle_asked(struct core *core, struct shard *shard, const struct journal_entry *entry)
{
	const size_t count = core->asked_count;

	if (shard->mine || entry->type != JOURNAL_CLAIMS || !id_equal(&entry->node, &core->config.node))
		return;
	for (size_t i = 0; i < entry->count && core->asked_count < ASKED_MAX; i++) {
		if (core->asked == NULL)
			core->asked = calloc(ASKED_MAX, sizeof(*core->asked));
		if (core->asked == NULL)
			abort();
		if (entry->claims[i].index < shard->count)
			core->asked[core->asked_count++] =
			    (struct asked_claim){.key = {.shard = shard->id,
			                             .index = entry->claims[i].index,
			                             .epoch = entry->epoch,
			                             .node = core->config.node,
			                             .attempt = entry->claims[i].attempt},
			        .at = core->now};
	}
	if (core->asked_count == count)
		return;
	/* First what its journal says of them: its members may never have got that. */
	replica_behind_others(core, shard);
	look_soon(core);
}

static void settle_mail(struct core *core, const struct event *event, struct shard *shard, uint32_t index,
    const struct spool_entry *entry)
{
	struct mail *mail = &shard->mails[index];
	bool alive = event->spool.alive;

	if (entry == NULL && core->engine == ENGINE_UP && (mail->flags & MAIL_LOOKED_FOR) == 0) {
		/* This look may have begun before the mail got in: only the next one tells. */
		mail->flags |= MAIL_LOOKED_FOR;
		return;
	}
	if (entry == NULL) {
		if (mail->generation != event->spool.generation &&
		    core->config.broken_rule != CORE_BUG_SPOOL_FORGOTTEN)
			doubt(core, shard, index, "the spool of its Postfix is gone", NULL);
		else if (event->spool.nameless_tried)
			doubt(core, shard, index, "a damaged file of its Postfix may be its", NULL);
		else
			never_fed(core, shard, index);
		return;
	}
	if (!alive && mail->generation != event->spool.generation) {
		doubt(core, shard, index, "its file was found after the machine died", NULL);
		return;
	}
	switch (entry->place) {
	case SPOOL_WRITING:
		if (alive)
			set_uncertain(core, mail, true);
		else
			never_fed(core, shard, index);
		return;
	case SPOOL_INCOMING:
		if (alive)
			set_uncertain(core, mail, false);
		else
			never_fed(core, shard, index);
		return;
	case SPOOL_ACTIVE:
	case SPOOL_ASIDE:
		if (alive)
			set_uncertain(core, mail, false);
		else
			doubt(core, shard, index, "Postfix died with the mail in its active queue", NULL);
		return;
	}
}

/* Finds the file of a mail's latest attempt among the sorted entries. */
static const struct spool_entry *find_entry(
    const struct spool_entry **sorted, size_t count, const struct attempt_key *key)
{
	const struct spool_entry wanted = {.key = *key};
	const struct spool_entry *pointer = &wanted;
	const struct spool_entry **found = bsearch(&pointer, sorted, count, sizeof(*sorted), compare_entries);

	return found == NULL ? NULL : *found;
}

/*
 * Whether the journal, which may know of the mail, is yet to be compared with a member that can be reached. A
 * doubt that came before an outcome would be acted on. It comes late rather than never: the owner that asked
 * does so once in doubt_hold, and waits as long as this node lives.
 */
static bool still_telling(const struct core *core, const struct shard *shard, const struct asked_claim *asked)
{
	return core->now.us - asked->at.us < core->config.doubt_hold / 2 &&
	       replica_catchable(core, shard) != 0;
}

/* What is found, Postfix reports, or look_at_left() has told. */
static void look_at_asked(struct core *core, const struct event *event, const struct spool_entry **sorted)
{
	size_t left = 0;

	for (size_t i = 0; i < core->asked_count; i++) {
		const struct asked_claim *asked = &core->asked[i];
		struct shard *shard = shard_find(core, &asked->key.shard);

		if (shard == NULL || shard->mine ||
		    find_entry(sorted, event->spool.count, &asked->key) != NULL)
			continue;
		if (still_telling(core, shard, asked))
			core->asked[left++] = *asked;
		else
			fact_add_doubt_of(
			    core, shard, &asked->key, "the node that had the mail does not know of it", NULL);
	}
	core->asked_count = left;
	if (left > 0)
		return;
	free(core->asked);
	core->asked = NULL;
}

/* Every claimed mail that Postfix may have; while Postfix runs on, only those that nobody is sure of. */
static void look_at_claims(struct core *core, const struct event *event, const struct spool_entry **sorted)
{
	bool all = core->engine == ENGINE_SETTLING;

	for (struct shard *shard = shard_next(core, NULL); shard != NULL; shard = shard_next(core, shard)) {
		if (shard->mails == NULL || shard->states[MAIL_CLAIMED] == 0)
			continue;
		for (uint32_t i = 0; shard->mails != NULL && i < shard->count; i++) {
			const struct mail *mail = &shard->mails[i];
			const struct attempt_key key = shard_key(core, shard, i);

			if (mail->state != MAIL_CLAIMED || mail->node != core->self ||
			    (mail->flags & MAIL_CLAIM_WRITING) != 0)
				continue;
			if (all || (mail->flags & MAIL_UNCERTAIN) != 0)
				settle_mail(
				    core, event, shard, i, find_entry(sorted, event->spool.count, &key));
		}
	}
}

void settle_spool(struct core *core, const struct event *event)
{
	size_t count = event->spool.count;
	const struct spool_entry **sorted;

	core->settle_asked = core->file_waits = false;
	if (core->engine != ENGINE_SETTLING && !(core->engine == ENGINE_UP && event->spool.alive))
		return;
	if (core->stale && event->spool.alive && shared(core, event)) {
		core->engine = ENGINE_UP;
		settle_stand_down(core, "it was away, and others may have sent what is in its queue");
		return;
	}
	not_stale(core);
	sorted = calloc(count + 1, sizeof(*sorted));
	if (sorted == NULL)
		abort();
	for (size_t i = 0; i < count; i++)
		sorted[i] = &event->spool.entries[i];
	qsort(sorted, count, sizeof(*sorted), compare_entries);
	look_at_files(core, event);
	look_at_left(core, event);
	look_at_asked(core, event, sorted);
	look_at_claims(core, event, sorted);
	free(sorted);
	if (core->uncertain > 0 || core->asked_count > 0)
		look_soon(core);
	if (core->engine != ENGINE_SETTLING)
		return;
	core->generation = event->spool.generation;
	core->engine = event->spool.alive ? ENGINE_UP : ENGINE_RESOLVING;
	core->master_dead = !event->spool.alive;
}

void settle_run(struct core *core)
{
	if (core->engine != ENGINE_RESOLVING || core->outcome_writes > 0 || !TAILQ_EMPTY(&core->dirty) ||
	    core->isolated)
		return;
	core->engine = ENGINE_STARTING;
	effects_add(core->effects, EFFECT_ENGINE_RESTART);
}

void settle_engine_up(struct core *core, uint64_t generation)
{
	if (core->engine != ENGINE_STARTING)
		return;
	core->generation = generation;
	core->engine = ENGINE_UP;
	core->master_dead = false;
}

void settle_engine_down(struct core *core, bool lives)
{
	if (!lives) {
		not_stale(core);
		core->master_dead = true;
		facts_answer_held(core);
	}
	if (core->engine == ENGINE_NONE)
		return; /* the start settles anyway */
	core->engine = ENGINE_SETTLING;
	core->settle_asked = false;
	settle_ask(core);
}
