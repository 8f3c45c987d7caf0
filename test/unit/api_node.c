/* SPDX-License-Identifier: MIT */
/*
 * The node of the fixture: daemon/node.h over the real core and a store of lists in memory.
 *
 * The store answers from a timer, never inside the call that asked, as the real one does. Logging is
 * silenced.
 */
#include <stdio.h>
#include <stdlib.h>

#include "api_fixture.h"
#include "api_node.h"
#include "daemon/log.h"
#include "queue/core.h"
#include "queue/error.h"

struct expected {
	uint64_t reply;
	node_answer_fn *fn;
	void *context;
	struct expected *next;
};

struct value {
	bool journal;
	struct opt_id id;
	struct opt_id upload;
	void *data;
	size_t len;
	struct value *next;
};

struct job {
	uint64_t token; /* of a write */
	uint64_t read;  /* token of a read; 0: a write */
	bool journal;
	struct opt_id id;
	struct opt_id upload;
	struct job *next;
};

struct waiter {
	void (*fn)(void *);
	void *context;
	struct waiter *next;
};

struct node {
	const struct config *config;
	struct core *core;
	int room;
	bool hold;
	int store_status;
	uint64_t next_reply;
	struct expected *expected;
	struct value *values, **values_end;
	struct job *jobs, **jobs_end;
	struct waiter *waiters;
	unsigned events[EVENT_TICK + 1];
	size_t reads;
	uv_timer_t timer;
	uint64_t clock;
	bool closed;
};

static void work(uv_timer_t *timer);

static void *zeroed(size_t size)
{
	void *memory = calloc(1, size);

	assert_non_null(memory);
	return memory;
}

struct node *node_make(uv_loop_t *loop, const struct config *config)
{
	struct node *node = zeroed(sizeof *node);

	node->config = config;
	node->core = core_new(&config->core);
	node->next_reply = 1;
	node->values_end = &node->values;
	node->jobs_end = &node->jobs;
	node->clock = 1700000000 * USEC_PER_SEC;
	uv_timer_init(loop, &node->timer);
	node->timer.data = node;
	return node;
}

static void on_closed(uv_handle_t *handle)
{
	free(handle->data);
}

void node_unmake(struct node *node)
{
	while (node->jobs) {
		struct job *job = node->jobs;

		node->jobs = job->next;
		free(job);
	}
	while (node->values) {
		struct value *value = node->values;

		node->values = value->next;
		free(value->data);
		free(value);
	}
	assert_null(node->expected);
	assert_null(node->waiters);
	core_free(node->core);
	uv_close((uv_handle_t *)&node->timer, on_closed);
}

static void add_value(struct node *node, bool journal, const struct opt_id *id, const struct opt_id *upload,
    const void *data, size_t len)
{
	struct value *value = zeroed(sizeof *value);

	value->journal = journal;
	value->id = *id;
	value->upload = *upload;
	value->data = zeroed(len + 1);
	memcpy(value->data, data, len);
	value->len = len;
	*node->values_end = value;
	node->values_end = &value->next;
}

static struct job *add_job(struct node *node)
{
	struct job *job = zeroed(sizeof *job);

	*node->jobs_end = job;
	node->jobs_end = &job->next;
	if (!node->hold)
		uv_timer_start(&node->timer, work, 0, 0);
	return job;
}

static void answer(struct node *node, const struct effect *effect)
{
	for (struct expected **at = &node->expected; *at; at = &(*at)->next) {
		struct expected *found = *at;

		if (found->reply != effect->reply)
			continue;
		*at = found->next;
		found->fn(found->context, effect);
		free(found);
		return;
	}
}

static void read_later(struct node *node, const struct effect *effect)
{
	struct job *job = add_job(node);

	node->reads++;
	job->read = effect->token;
	job->journal = effect->type == EFFECT_LOAD_JOURNAL;
	job->id = effect->id;
	job->upload = effect->upload;
}

/* At the start the core reads journals; here they are empty. */
static void answer_journal(struct node *node, const struct opt_id *id)
{
	struct event event = {.type = EVENT_JOURNAL_LOADED, .journal_loaded.id = *id};

	node_event(node, &event);
}

/* It knows nothing. */
static void answer_directory(struct node *node, uint64_t token)
{
	struct event event = {.type = EVENT_DIRECTORY, .directory.token = token};

	node_event(node, &event);
}

static void carry_out(struct node *node, const struct effect *effect)
{
	switch (effect->type) {
	case EFFECT_STORE_SHARD:
		add_value(node, false, &effect->id, &effect->upload, effect->data, effect->len);
		add_job(node)->token = effect->token;
		break;
	case EFFECT_STORE_APPEND:
		add_value(node, true, &effect->id, &effect->upload, effect->data, effect->len);
		add_job(node)->token = effect->token;
		break;
	case EFFECT_STORE_UPLOAD:
	case EFFECT_STORE_COMMIT:
	case EFFECT_STORE_DROP_UPLOAD:
	case EFFECT_STORE_SQUASH:
		add_job(node)->token = effect->token;
		break;
	case EFFECT_LOAD_JOURNAL:
		if (effect->token == 0)
			answer_journal(node, &effect->id);
		else
			read_later(node, effect);
		break;
	case EFFECT_LOAD_VALUE:
		read_later(node, effect);
		break;
	case EFFECT_DIRECTORY_GET:
		answer_directory(node, effect->token);
		break;
	case EFFECT_UPLOAD_ANSWER:
	case EFFECT_CONTROL_ANSWER:
	case EFFECT_QUERY_ANSWER:
	case EFFECT_FETCH_ANSWER:
	case EFFECT_COMMAND_ANSWER:
		answer(node, effect);
		break;
	default:
		break;
	}
}

void node_event(struct node *node, struct event *event)
{
	struct effects effects;

	node->events[event->type]++;
	node->clock += USEC_PER_MSEC;
	event->now.us = node->clock;
	event->utc.us = node->clock;
	effects_init(&effects);
	core_step(node->core, event, &effects);
	for (size_t i = 0; i < effects.count; i++)
		carry_out(node, &effects.items[i]);
	effects_done(&effects);
}

static void finish_read(struct node *node, struct job *job)
{
	struct event event = {.type = job->journal ? EVENT_JOURNAL_LOADED : EVENT_VALUE_LOADED};
	struct span *spans = zeroed(sizeof *spans * 10000);
	size_t count = 0;
	int status = node->store_status;

	for (struct value *value = node->values; value && status == 0; value = value->next)
		if (value->journal == job->journal && id_equal(&value->id, &job->id) &&
		    (job->journal || id_equal(&value->upload, &job->upload)) && count < 10000)
			spans[count++] = (struct span){value->data, value->len};
	if (status == 0 && count == 0 && !job->journal)
		status = OPT_E_NOT_FOUND;
	if (job->journal) {
		event.journal_loaded.token = job->read;
		event.journal_loaded.id = job->id;
		event.journal_loaded.status = status;
		event.journal_loaded.entries = spans;
		event.journal_loaded.count = status == 0 ? count : 0;
	} else {
		event.value_loaded.token = job->read;
		event.value_loaded.status = status;
		event.value_loaded.data = count > 0 ? spans[0].data : NULL;
		event.value_loaded.len = count > 0 ? spans[0].len : 0;
	}
	node_event(node, &event);
	free(spans);
}

static void work(uv_timer_t *timer)
{
	struct node *node = timer->data;
	struct waiter *waiters;

	while (node->jobs && !node->hold) {
		struct job *job = node->jobs;
		struct event event = {.type = EVENT_STORE_DONE};

		node->jobs = job->next;
		if (!node->jobs)
			node->jobs_end = &node->jobs;
		if (job->token) {
			event.store_done.token = job->token;
			event.store_done.status = node->store_status;
			node_event(node, &event);
		} else {
			finish_read(node, job);
		}
		free(job);
	}
	waiters = node->waiters;
	node->waiters = NULL;
	while (waiters) {
		struct waiter *waiter = waiters;

		waiters = waiter->next;
		waiter->fn(waiter->context);
		free(waiter);
	}
}

uint64_t node_expect(struct node *node, node_answer_fn *fn, void *context)
{
	struct expected *expected = zeroed(sizeof *expected);

	*expected = (struct expected){node->next_reply++, fn, context, node->expected};
	node->expected = expected;
	return expected->reply;
}

void node_forget(struct node *node, uint64_t reply)
{
	for (struct expected **at = &node->expected; *at; at = &(*at)->next) {
		struct expected *found = *at;

		if (found->reply != reply)
			continue;
		*at = found->next;
		free(found);
		return;
	}
}

const struct core *node_core(const struct node *node)
{
	return node->core;
}

const struct config *node_config(const struct node *node)
{
	return node->config;
}

const struct opt_id *node_id(const struct node *node)
{
	return &node->config->core.node;
}

const char *node_postfix_state(const struct node *node)
{
	(void)node;
	return "up";
}

double node_rate(const struct node *node)
{
	(void)node;
	return 12.34;
}

const char *link_end_name(enum link_end why)
{
	static char name[16];

	snprintf(name, sizeof(name), "cause%u", (unsigned int)why % 1000);
	return name;
}

struct links_numbers node_links(const struct node *node)
{
	(void)node;
	return (struct links_numbers){.up = 2, .accepted = 7, .dialled = 3, .ended = {[LINK_FOREIGN] = 5}};
}

int node_room(const struct node *node)
{
	return node->room;
}

void node_wait_store(struct node *node, void (*fn)(void *context), void *context)
{
	struct waiter *waiter = zeroed(sizeof *waiter);

	*waiter = (struct waiter){fn, context, node->waiters};
	node->waiters = waiter;
}

void node_wait_store_cancel(struct node *node, void *context)
{
	struct waiter **at = &node->waiters;

	while (*at) {
		struct waiter *found = *at;

		if (found->context != context) {
			at = &found->next;
			continue;
		}
		*at = found->next;
		free(found);
	}
}

void fake_recovered(struct node *node, bool recovered)
{
	struct event event = {.type = EVENT_RECOVER_DONE};

	if (recovered) {
		node_event(node, &event);
		return;
	}
	core_free(node->core);
	node->core = core_new(&node->config->core);
}

void fake_room(struct node *node, int room)
{
	node->room = room;
}

void fake_hold_store(struct node *node, bool hold)
{
	node->hold = hold;
	if (!hold)
		uv_timer_start(&node->timer, work, 0, 0);
}

void fake_fail_store(struct node *node, int status)
{
	node->store_status = status;
}

void fake_journal(struct node *node, const struct opt_id *id, const void *data, size_t len)
{
	add_value(node, true, id, id, data, len);
}

void fake_lost(struct node *node, const struct opt_id *id)
{
	for (struct value *value = node->values; value; value = value->next)
		if (!value->journal && id_equal(&value->id, id))
			memset(&value->id, 0xff, sizeof value->id);
}

void fake_member(struct node *node, const struct presence *presence)
{
	struct event event = {.type = EVENT_PRESENCE, .presence.presence = presence};

	node_event(node, &event);
}

unsigned fake_events(const struct node *node, enum event_type type)
{
	return node->events[type];
}

unsigned fake_waiting(const struct node *node)
{
	unsigned count = 0;

	for (const struct waiter *waiter = node->waiters; waiter; waiter = waiter->next)
		count++;
	return count;
}

size_t fake_reads(const struct node *node)
{
	return node->reads;
}

#define SILENT(name)                                                                                         \
	void name(const char *event, ...)                                                                    \
	{                                                                                                    \
		(void)event;                                                                                 \
	}
SILENT(log_error)
SILENT(log_warning)
SILENT(log_info)

const char *log_u64(uint64_t value)
{
	(void)value;
	return "";
}
