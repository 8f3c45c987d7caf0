/* SPDX-License-Identifier: MIT */
/*
 * Commands as pages. Each is one event to the core and waits for its answer, which comes when the command is
 * durable; request->state holds the number of that answer meanwhile. When the client leaves before, the
 * command may stand or not, as with every request that is cut off; all of them may be repeated.
 *
 * A batch is commanded by whoever may see it: the one who sent it, root, the node's own user. Nodes are
 * commanded by the latter two alone.
 */
#include "daemon/api_control.h"

#include <string.h>

#include "daemon/api_batches.h"
#include "daemon/api_nodes.h"
#include "daemon/log.h"

enum { NODE_ID_SHOWN = 12 /* digits, by `optimus nodes` */ };

static void answer_batch(struct api_request *request)
{
	struct batch_view view;

	if (core_batch(node_core(request->node), request->name, &view) < 0) {
		api_fail_store(request);
		return;
	}
	log_info("batch_command", "batch", request->name, "state", batch_state_name(view.state), "uid",
	    log_u64(request->uid), NULL);
	api_answer(request, MHD_HTTP_OK, api_batch_json(&view));
}

static void on_batch(void *context, const struct effect *effect)
{
	struct api_request *request = context;

	request->state = NULL;
	switch (effect->control) {
	case CONTROL_OK:
		answer_batch(request);
		return;
	case CONTROL_NOT_FOUND:
		api_fail_again(request, API_BUSY_SECONDS,
		    "the batch %s is still being uploaded; try again when it is accepted", request->name);
		return;
	case CONTROL_ALREADY:
		api_fail(request, API_CONFLICT,
		    "the batch %s is done or cancelled already, and nothing can change that", request->name);
		return;
	case CONTROL_STARTING:
		api_fail_again(request, 1, "the node is starting; try again in a second");
		return;
	case CONTROL_FAILED:
		api_fail_store(request);
		return;
	case CONTROL_AGAIN:
		api_fail_again(request, 1, "too few of the batch's home nodes can be reached; try again");
		return;
	}
}

static void on_node(void *context, const struct effect *effect)
{
	struct api_request *request = context;

	request->state = NULL;
	if (effect->control == CONTROL_STARTING) {
		api_fail_again(request, 1, "the node is starting; try again in a second");
	} else if (effect->control != CONTROL_OK) {
		api_fail_store(request);
	} else {
		log_info("node_command", "state",
		    core_numbers(node_core(request->node)).draining ? "draining" : "up", "uid",
		    log_u64(request->uid), NULL);
		api_answer(request, MHD_HTTP_OK, api_node_json(request->node));
	}
}

/* The number under which the request waits. */
static uint64_t wait_for(struct api_request *request, node_answer_fn *fn)
{
	uint64_t reply = node_expect(request->node, fn, request);

	request->state = (void *)(uintptr_t)reply;
	return reply;
}

void api_control_gone(struct api_request *request, bool completed)
{
	(void)completed;
	if (request->state)
		node_forget(request->node, (uint64_t)(uintptr_t)request->state);
}

static void command(struct api_request *request, enum control_what what)
{
	struct event event = {.type = EVENT_CONTROL};
	struct batch_view view;

	if (!api_batch(request, &view))
		return;
	event.control.reply = wait_for(request, on_batch);
	event.control.batch = request->name;
	event.control.what = what;
	node_event(request->node, &event);
}

void api_batch_pause(struct api_request *request)
{
	command(request, CONTROL_PAUSED);
}

void api_batch_resume(struct api_request *request)
{
	command(request, CONTROL_RUNNING);
}

void api_batch_cancel(struct api_request *request)
{
	command(request, CONTROL_CANCELLED);
}

/* Whether the node in the path is this one: "self", its id, or as much of it as `optimus nodes` shows. */
static bool is_self(const struct api_request *request)
{
	size_t len = strlen(request->name);
	char hex[OPT_ID_HEX];

	if (strcmp(request->name, "self") == 0)
		return true;
	return len >= NODE_ID_SHOWN &&
	       strncmp(request->name, id_to_hex(node_id(request->node), hex), len) == 0;
}

/* False when the answer was given: the caller may not, or there is no such node. */
static bool check_node(struct api_request *request)
{
	if (!request->admin) {
		api_fail(request, API_DENIED, "only root and the node's own user may command nodes");
		return false;
	}
	if (is_self(request))
		return true;
	api_fail(
	    request, API_NOT_FOUND, "there is no such node %s; `optimus nodes` lists them", request->name);
	return false;
}

static void drain(struct api_request *request, bool on)
{
	struct event event = {.type = EVENT_DRAIN};

	if (!check_node(request) || !api_recovered(request))
		return;
	event.drain.reply = wait_for(request, on_node);
	event.drain.on = on;
	node_event(request->node, &event);
}

void api_node_drain(struct api_request *request)
{
	drain(request, true);
}

void api_node_undrain(struct api_request *request)
{
	drain(request, false);
}

void api_node_forget(struct api_request *request)
{
	if (check_node(request))
		api_fail(request, API_CONFLICT,
		    "a node can't forget itself; ask another one, when this one is gone for good");
}
