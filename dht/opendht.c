/* SPDX-License-Identifier: MIT */
/*
 * Two threads meet here, at one locked queue of events. OpenDHT's thread holds OpenDHT's mutex while it calls
 * us and drops packets when it is kept waiting, so it copies the bytes, appends an event, wakes the loop, and
 * calls nothing of OpenDHT. The loop's thread takes the whole queue at once and calls whoever asked, without
 * holding the lock.
 *
 * Each operation is one object, handed to OpenDHT as its user data. It belongs to the loop's thread, which
 * frees it after the operation's last event; what has had none by the time the runner is deleted is freed
 * then, for after that nothing calls back any more. A put learns the id of its value, without which it can't
 * be cancelled, only when it is done: cancelling before that is remembered until then.
 *
 * OpenDHT opens its sockets so that child processes inherit them, and a redis-server that outlives us would
 * keep the port. There is no way to reach those sockets through the C bindings, so all of this process's
 * files are closed to children once it has started.
 */
#include "dht/opendht.h"

#include <errno.h>
#include <opendht/opendht_c.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "queue/error.h"
#include "queue/tree.h"

enum { EVENTS_MAX = 20000, CLOSE_WAIT_MS = 1500 };

struct op {
	TAILQ_ENTRY(op) link;
	struct opendht *dht;
	opendht_value_fn *value_fn;
	opendht_done_fn *done_fn;
	void *context;
	dht_infohash key;
	dht_op_token *token; /* of a listen */
	dht_value *value;    /* of a put; its id is there once the put is done */
	bool permanent;
	bool done;
	bool cancelled;
};

struct opendht_put {
	struct op op;
};

enum event_type { EVENT_VALUE, EVENT_DONE, EVENT_SHUT_DOWN };

struct event {
	STAILQ_ENTRY(event) link;
	enum event_type type;
	struct op *op;
	bool ok;
	size_t len;
	uint8_t data[];
};

STAILQ_HEAD(event_queue, event);

struct opendht {
	dht_runner *runner;
	uint16_t port;
	size_t value_max;
	TAILQ_HEAD(, op) ops;
	uv_async_t wakeup;
	uv_timer_t close_timer;
	int open_handles;
	bool closing; /* nobody is called any more */
	void (*closed_fn)(void *);
	void *closed_context;
	uv_mutex_t lock; /* of what follows */
	struct event_queue events;
	size_t event_count;
	uint64_t dropped;
};

static void *allocate(size_t size)
{
	void *memory = calloc(1, size);

	if (memory == NULL)
		opt_abort("out of memory");
	return memory;
}

/* From here to the next mark: on OpenDHT's thread. */

static void push(
    struct opendht *dht, enum event_type type, struct op *op, bool ok, const void *data, size_t len)
{
	struct event *event = allocate(sizeof(*event) + len);

	event->type = type;
	event->op = op;
	event->ok = ok;
	event->len = len;
	if (len > 0)
		memcpy(event->data, data, len);
	uv_mutex_lock(&dht->lock);
	STAILQ_INSERT_TAIL(&dht->events, event, link);
	dht->event_count++;
	uv_mutex_unlock(&dht->lock);
	uv_async_send(&dht->wakeup);
}

static void push_value(struct op *op, const dht_value *value)
{
	struct opendht *dht = op->dht;
	dht_data_view view = dht_value_get_data(value);
	bool drop;

	uv_mutex_lock(&dht->lock);
	drop = view.size > dht->value_max || dht->event_count >= EVENTS_MAX;
	if (drop)
		dht->dropped++;
	uv_mutex_unlock(&dht->lock);
	if (!drop)
		push(dht, EVENT_VALUE, op, true, view.data, view.size);
}

static bool on_listen_value(const dht_value *value, bool expired, void *user_data)
{
	/* That a value expired is said wrongly at times: whoever is gone, its links tell. */
	if (!expired)
		push_value(user_data, value);
	return true;
}

static bool on_get_value(const dht_value *value, void *user_data)
{
	push_value(user_data, value);
	return true;
}

static void on_done(bool ok, void *user_data)
{
	struct op *op = user_data;

	push(op->dht, EVENT_DONE, op, ok, NULL, 0);
}

static void on_shut_down(void *user_data)
{
	push(user_data, EVENT_SHUT_DOWN, NULL, true, NULL, 0);
}

/* From here on: on the loop's thread. */

static struct op *op_init(struct opendht *dht, struct op *op, const struct opt_id *key)
{
	op->dht = dht;
	if (key != NULL)
		memcpy(op->key.d, key->bytes, OPT_ID_SIZE);
	TAILQ_INSERT_TAIL(&dht->ops, op, link);
	return op;
}

static struct op *op_new(struct opendht *dht, const struct opt_id *key)
{
	return op_init(dht, allocate(sizeof(struct op)), key);
}

static void op_free(struct op *op)
{
	TAILQ_REMOVE(&op->dht->ops, op, link);
	if (op->token != NULL)
		dht_op_token_delete(op->token);
	if (op->value != NULL)
		dht_value_unref(op->value);
	free(op);
}

static void end_put(struct op *op)
{
	dht_runner_cancel_put(op->dht->runner, &op->key, dht_value_get_id(op->value));
	op_free(op);
}

static void op_done(struct op *op, bool ok)
{
	opendht_done_fn *fn = op->done_fn;
	void *context = op->context;

	op->done = true;
	op->done_fn = NULL;
	if (op->cancelled) {
		end_put(op);
		return;
	}
	if (!op->permanent)
		op_free(op);
	if (fn != NULL)
		fn(context, ok);
}

static void on_handle_closed(uv_handle_t *handle)
{
	struct opendht *dht = handle->data;
	struct event *event;

	if (--dht->open_handles > 0)
		return;
	while ((event = STAILQ_FIRST(&dht->events)) != NULL) {
		STAILQ_REMOVE_HEAD(&dht->events, link);
		free(event);
	}
	uv_mutex_destroy(&dht->lock);
	if (dht->closed_fn != NULL)
		dht->closed_fn(dht->closed_context);
	free(dht);
}

static void close_handles(struct opendht *dht)
{
	uv_close((uv_handle_t *)&dht->wakeup, on_handle_closed);
	uv_close((uv_handle_t *)&dht->close_timer, on_handle_closed);
}

/* Joins OpenDHT's threads. After it no callback comes, so the operations are ours. */
static void finish(struct opendht *dht)
{
	struct op *op, *next;

	if (dht->runner == NULL)
		return;
	dht_runner_delete(dht->runner);
	dht->runner = NULL;
	TAILQ_FOREACH_SAFE (op, &dht->ops, link, next)
		op_free(op);
	close_handles(dht);
}

static void on_close_timer(uv_timer_t *timer)
{
	finish(timer->data);
}

static void handle_event(struct opendht *dht, struct event *event)
{
	if (dht->closing) {
		if (event->type == EVENT_SHUT_DOWN)
			finish(dht);
	} else if (event->type == EVENT_DONE) {
		op_done(event->op, event->ok);
	} else if (event->type == EVENT_VALUE) {
		event->op->value_fn(event->op->context, event->data, event->len);
	}
}

static void on_wakeup(uv_async_t *async)
{
	struct opendht *dht = async->data;
	struct event_queue events = STAILQ_HEAD_INITIALIZER(events);
	struct event *event;

	uv_mutex_lock(&dht->lock);
	STAILQ_CONCAT(&events, &dht->events);
	dht->event_count = 0;
	uv_mutex_unlock(&dht->lock);
	while ((event = STAILQ_FIRST(&events)) != NULL) {
		STAILQ_REMOVE_HEAD(&events, link);
		handle_event(dht, event);
		free(event);
	}
}

/* OpenDHT goes on with IPv6 alone when it can't have the port for IPv4, and says nothing. */
static int start_runner(
    struct opendht *dht, const struct opt_id *node, uint32_t network, uint16_t port, char *error, size_t size)
{
	dht_runner_config config;

	dht_runner_config_default(&config);
	config.dht_config.node_config.network = network;
	memcpy(config.dht_config.node_config.node_id.d, node->bytes, OPT_ID_SIZE);
	snprintf(error, size, "the DHT can't have UDP port %u", port);
	if (dht_runner_run_config(dht->runner, port, &config) != 0)
		return OPT_E_IO;
	dht->port = dht_runner_get_bound_port(dht->runner, AF_INET);
	if (dht->port == 0 || (port != 0 && dht->port != port))
		return OPT_E_IO;
	if (close_range(STDERR_FILENO + 1, ~0U, CLOSE_RANGE_CLOEXEC) == 0)
		return 0;
	snprintf(error, size, "can't keep the DHT's sockets from child processes: %s", strerror(errno));
	return OPT_E_IO;
}

int opendht_new(uv_loop_t *loop, const struct opt_id *node, uint32_t network, uint16_t port, size_t value_max,
    struct opendht **ret_dht, char *error, size_t size)
{
	struct opendht *dht;
	dht_runner *runner = dht_runner_new();

	if (runner == NULL)
		opt_abort("out of memory");
	dht = allocate(sizeof(*dht));
	dht->runner = runner;
	dht->value_max = value_max;
	TAILQ_INIT(&dht->ops);
	STAILQ_INIT(&dht->events);
	if (start_runner(dht, node, network, port, error, size) != 0) {
		dht_runner_delete(runner);
		free(dht);
		return OPT_E_IO;
	}
	if (uv_mutex_init(&dht->lock) != 0 || uv_async_init(loop, &dht->wakeup, on_wakeup) != 0 ||
	    uv_timer_init(loop, &dht->close_timer) != 0)
		opt_abort("opendht: libuv gives no handles");
	dht->wakeup.data = dht;
	dht->close_timer.data = dht;
	dht->open_handles = 2;
	*ret_dht = dht;
	return 0;
}

uint16_t opendht_port(const struct opendht *dht)
{
	return dht->port;
}

void opendht_listen(struct opendht *dht, const struct opt_id *key, opendht_value_fn *fn, void *context)
{
	struct op *op = op_new(dht, key);

	op->value_fn = fn;
	op->context = context;
	op->token = dht_runner_listen(dht->runner, &op->key, on_listen_value, NULL, op);
}

void opendht_ping(struct opendht *dht, const struct sockaddr *address, opendht_done_fn *fn, void *context)
{
	struct op *op = op_new(dht, NULL);
	struct sockaddr_storage copy = {.ss_family = address->sa_family};
	socklen_t len =
	    address->sa_family == AF_INET6 ? sizeof(struct sockaddr_in6) : sizeof(struct sockaddr_in);

	memcpy(&copy, address, len);
	op->done_fn = fn;
	op->context = context;
	dht_runner_ping(dht->runner, (struct sockaddr *)&copy, len, on_done, op);
}

struct opendht_put *opendht_put(struct opendht *dht, const struct opt_id *key, const void *data, size_t len,
    bool permanent, opendht_done_fn *fn, void *context)
{
	struct opendht_put *put = allocate(sizeof(*put));

	op_init(dht, &put->op, key);
	put->op.done_fn = fn;
	put->op.context = context;
	put->op.permanent = permanent;
	put->op.value = dht_value_new(data, len);
	dht_runner_put(dht->runner, &put->op.key, put->op.value, on_done, &put->op, permanent);
	return put;
}

void opendht_cancel(struct opendht_put *put)
{
	put->op.cancelled = true;
	if (put->op.done)
		end_put(&put->op);
}

void opendht_get(
    struct opendht *dht, const struct opt_id *key, opendht_value_fn *fn, opendht_done_fn *done, void *context)
{
	struct op *op = op_new(dht, key);

	op->value_fn = fn;
	op->done_fn = done;
	op->context = context;
	dht_runner_get(dht->runner, &op->key, on_get_value, on_done, op);
}

uint64_t opendht_dropped(struct opendht *dht)
{
	uint64_t dropped;

	uv_mutex_lock(&dht->lock);
	dropped = dht->dropped;
	uv_mutex_unlock(&dht->lock);
	return dropped;
}

void opendht_close(struct opendht *dht, void (*fn)(void *), void *context)
{
	dht->closing = true;
	dht->closed_fn = fn;
	dht->closed_context = context;
	uv_timer_start(&dht->close_timer, on_close_timer, CLOSE_WAIT_MS, 0);
	dht_runner_shutdown(dht->runner, on_shut_down, dht);
}
