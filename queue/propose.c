/* SPDX-License-Identifier: MIT */
/*
 * Proposals. One round asks all homes twice; this node's own vote goes the same way, without a link. A round
 * that can't reach a majority any more, or takes ROUND_LIMIT, is followed by another one under a higher
 * ballot, after a wait that grows and differs from node to node, so that two proposers do not refuse each
 * other for ever. Who the homes are is looked at anew in each round.
 *
 * A ballot is used once: its number is never lower than any that this run has used, and its node is a hash
 * of this node and this run.
 *
 * A commit of another upload that a proposer finishes for somebody who is gone is announced by it.
 */
#include "queue/propose.h"

#include <stdlib.h>
#include <string.h>

#include "queue/announce.h"
#include "queue/cluster.h"
#include "queue/error.h"
#include "queue/home.h"
#include "queue/registers.h"

#define ROUND_MAX   (INT64_MAX / 2) /* that a home is believed: there is always a next one */
#define ROUND_LIMIT (2 * USEC_PER_SEC)
#define WAIT_MIN    (50 * USEC_PER_MSEC)
#define WAIT_MAX    (1600 * USEC_PER_MSEC)

struct value {
	struct ballot ballot; /* under which it was accepted; round 0: never */
	struct opt_id upload;
	void *record;
	size_t len; /* 0: the abort of the upload */
};

struct proposal {
	TAILQ_ENTRY(proposal) link;
	struct opt_id batch;
	struct value own;
	propose_done_fn *done;
	struct boot_time since;
	usec wait;
	bool queued;  /* until the others for this batch are over */
	bool waits;   /* for the next round */
	bool aborted; /* a home has the abort of our upload: only that can be proposed */
	bool failed;  /* the latest refusal was a store's */
	bool accepting;
	uint64_t number; /* of the round */
	struct ballot ballot;
	struct opt_id hash;
	struct peer *homes[REPLICAS_MAX];
	struct call *calls[REPLICAS_MAX];
	uint32_t home_count;
	uint32_t yes, no;  /* bits of homes */
	struct value best; /* of those that the homes have accepted */
	struct timer timer;
};

static struct opt_id proposer(const struct core *core)
{
	struct id_hash hash;
	uint64_t incarnation = core->config.presence.incarnation;

	id_hash_init(&hash);
	id_hash_add(&hash, "optimus proposer", 16);
	id_hash_add(&hash, core->config.node.bytes, OPT_ID_SIZE);
	id_hash_add(&hash, &incarnation, sizeof(incarnation));
	id_hash_add(&hash, &core->config.seed, sizeof(core->config.seed));
	return id_hash_done(&hash);
}

static void set_value(struct value *value, const struct ballot *ballot, const struct opt_id *upload,
    const void *record, size_t len)
{
	free(value->record);
	value->record = malloc(len + 1);
	if (value->record == NULL)
		opt_abort("out of memory");
	if (len > 0)
		memcpy(value->record, record, len);
	value->len = len;
	value->ballot = *ballot;
	value->upload = *upload;
}

static void end_calls(struct core *core, struct proposal *p)
{
	for (uint32_t i = 0; i < p->home_count; i++) {
		if (p->calls[i] != NULL)
			call_end(core, p->calls[i]);
		p->calls[i] = NULL;
	}
}

static struct proposal *find(const struct core *core, const struct opt_id *batch, bool queued)
{
	struct proposal *p;

	TAILQ_FOREACH (p, &core->proposals, link) {
		if (p->queued == queued && id_equal(&p->batch, batch))
			return p;
	}
	return NULL;
}

/* The next step begins its first round. */
static void next_in_queue(struct core *core, const struct opt_id *batch)
{
	struct proposal *p = find(core, batch, true);

	if (p == NULL || find(core, batch, false) != NULL)
		return;
	p->queued = false;
	p->waits = true;
	p->since = core->now;
	timer_arm(&core->boot_timers, &p->timer, core->now.us);
}

static void proposal_free(struct core *core, struct proposal *p)
{
	end_calls(core, p);
	timer_disarm(&core->boot_timers, &p->timer);
	TAILQ_REMOVE(&core->proposals, p, link);
	next_in_queue(core, &p->batch);
	free(p->own.record);
	free(p->best.record);
	free(p);
}

/* The end: whoever started it may start another one right away. */
static void finish(
    struct core *core, struct proposal *p, enum propose_outcome outcome, const void *record, size_t len)
{
	const struct opt_id batch = p->batch, upload = p->own.upload;
	propose_done_fn *done = p->done;
	void *copy = malloc(len + 1);

	if (copy == NULL)
		opt_abort("out of memory");
	if (len > 0)
		memcpy(copy, record, len);
	proposal_free(core, p);
	done(core, &batch, &upload, outcome, copy, len);
	free(copy);
}

/* The value of this round: what may be decided already, else our own. */
static const struct value *chosen(const struct proposal *p)
{
	return p->best.len > 0 ? &p->best : &p->own;
}

static size_t chosen_len(const struct proposal *p)
{
	return p->best.len == 0 && p->aborted ? 0 : chosen(p)->len;
}

static uint32_t majority(const struct proposal *p)
{
	return p->home_count / 2 + 1;
}

static uint32_t votes(uint32_t set)
{
	return (uint32_t)__builtin_popcount(set);
}

/* Asks all homes, this node last: its own vote may end the proposal at once. */
static void ask(struct core *core, struct proposal *p, bool accepting)
{
	struct peer_message request = {
	    .type = accepting ? PEER_ACCEPT : PEER_PREPARE,
	    .batch = p->batch,
	    .upload = accepting ? chosen(p)->upload : p->own.upload,
	    .hash = p->hash,
	    .ballot = p->ballot,
	};
	bool home = false;

	end_calls(core, p);
	p->accepting = accepting;
	p->yes = p->no = 0;
	p->number = ++core->registers->number;
	if (accepting) {
		request.data = chosen(p)->record;
		request.len = chosen_len(p);
	}
	for (uint32_t i = 0; i < p->home_count; i++) {
		if (p->homes[i] == core->self) {
			home = true;
			continue;
		}
		p->calls[i] = call_start(
		    core, p->homes[i], accepting ? CALL_ACCEPT : CALL_PREPARE, p, &request, request.len > 0);
		p->calls[i]->number = i;
	}
	if (!home)
		return;
	request.token = p->number;
	if (accepting)
		home_accept(core, core->self, &request);
	else
		home_prepare(core, core->self, &request);
}

static void begin_round(struct core *core, struct proposal *p)
{
	struct registers *registers = core->registers;

	end_calls(core, p);
	p->hash = home_hash(core, &p->batch, p->homes, &p->home_count);
	p->ballot.round = ++registers->round;
	p->ballot.node = proposer(core);
	p->waits = false;
	free(p->best.record);
	memset(&p->best, 0, sizeof(p->best));
	timer_arm(&core->boot_timers, &p->timer, core->now.us + ROUND_LIMIT);
	ask(core, p, false);
}

/* This round comes to nothing. */
static void wait_or_give_up(struct core *core, struct proposal *p)
{
	end_calls(core, p);
	if (core->now.us - p->since.us >= PROPOSE_LIMIT) {
		finish(core, p, p->failed ? PROPOSE_FAILED : PROPOSE_AGAIN, NULL, 0);
		return;
	}
	p->number = 0; /* our own vote of this round comes too late */
	p->waits = true;
	p->wait = p->wait == 0 ? WAIT_MIN : p->wait * 2;
	if (p->wait > WAIT_MAX)
		p->wait = WAIT_MAX;
	timer_arm(&core->boot_timers, &p->timer, core->now.us + p->wait + core_random(core, p->wait));
}

static void decided(struct core *core, struct proposal *p)
{
	const struct value *value = chosen(p);
	size_t len = chosen_len(p);
	bool ours = id_equal(&value->upload, &p->own.upload) && (len > 0) == (p->own.len > 0);

	if (len > 0 && !ours)
		announce_start(core, value->record, len);
	finish(core, p, ours ? PROPOSE_OURS : PROPOSE_OTHER, value->record, len);
}

/* The batch exists. Ours, when our own record was finished by somebody else. */
static void learnt(struct core *core, struct proposal *p, const struct peer_message *answer)
{
	bool ours = p->own.len > 0 && id_equal(&answer->upload, &p->own.upload);

	finish(core, p, ours ? PROPOSE_OURS : PROPOSE_OTHER, answer->data, answer->len);
}

static void take_yes(struct core *core, struct proposal *p, uint32_t home, const struct peer_message *answer)
{
	p->yes |= 1U << home;
	if (!p->accepting && answer->what == HOME_WORD_ABORTED)
		p->aborted = true;
	if (!p->accepting && ballot_compare(&answer->accepted, &p->best.ballot) > 0)
		set_value(&p->best, &answer->accepted, &answer->upload, answer->data, answer->len);
	if (votes(p->yes) < majority(p))
		return;
	if (p->accepting)
		decided(core, p);
	else
		ask(core, p, true);
}

static void take_no(struct core *core, struct proposal *p, uint32_t home, const struct peer_message *answer)
{
	p->no |= 1U << home;
	p->failed = answer->status == PEER_FULL || answer->status == PEER_FAILED;
	if (answer->status == PEER_REFUSED) {
		if (answer->ballot.round > core->registers->round && answer->ballot.round <= ROUND_MAX)
			core->registers->round = answer->ballot.round;
		if (p->accepting && answer->what == HOME_WORD_ABORTED &&
		    id_equal(&chosen(p)->upload, &p->own.upload))
			p->aborted = true;
	}
	if (votes(p->no) > p->home_count - majority(p))
		wait_or_give_up(core, p);
}

static void take(struct core *core, struct proposal *p, uint32_t home, const struct peer_message *answer)
{
	if (answer->status == PEER_OK && answer->what == HOME_WORD_DECIDED)
		learnt(core, p, answer);
	else if (answer->status == PEER_OK)
		take_yes(core, p, home, answer);
	else
		take_no(core, p, home, answer);
}

void propose_answered(struct core *core, struct call *call, const struct peer_message *answer)
{
	struct proposal *p = call->owner;
	uint32_t home = (uint32_t)call->number;

	p->calls[home] = NULL;
	take(core, p, home, answer);
}

void propose_voted(struct core *core, uint64_t number, const struct peer_message *answer)
{
	struct proposal *p;

	TAILQ_FOREACH (p, &core->proposals, link) {
		if (p->number != number)
			continue;
		for (uint32_t i = 0; i < p->home_count; i++) {
			if (p->homes[i] == core->self) {
				take(core, p, i, answer);
				return;
			}
		}
	}
}

void propose_start(struct core *core, const struct opt_id *batch, const struct opt_id *upload,
    const void *record, size_t len, propose_done_fn *done)
{
	const struct ballot none = {.round = 0};
	struct proposal *p, *next;

	TAILQ_FOREACH_SAFE (p, &core->proposals, link, next) {
		if (id_equal(&p->own.upload, upload))
			proposal_free(core, p);
	}
	p = calloc(1, sizeof(*p));
	if (p == NULL)
		opt_abort("out of memory");
	p->batch = *batch;
	p->done = done;
	p->since = core->now;
	set_value(&p->own, &none, upload, record, len);
	timer_init(&p->timer, TIMER_HOME, p);
	p->queued = len == 0 && find(core, batch, false) != NULL;
	TAILQ_INSERT_TAIL(&core->proposals, p, link);
	if (p->queued)
		timer_arm(&core->boot_timers, &p->timer, core->now.us + PROPOSE_LIMIT);
	else
		begin_round(core, p);
}

bool propose_runs(const struct core *core, const struct opt_id *batch)
{
	return find(core, batch, false) != NULL || find(core, batch, true) != NULL;
}

void propose_due(struct core *core, struct proposal *p)
{
	if (p->queued)
		finish(core, p, PROPOSE_AGAIN, NULL, 0);
	else if (p->waits)
		begin_round(core, p);
	else
		wait_or_give_up(core, p);
}

void proposals_free(struct core *core)
{
	struct proposal *p, *next;

	TAILQ_FOREACH_SAFE (p, &core->proposals, link, next)
		proposal_free(core, p);
}
