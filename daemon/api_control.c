/* SPDX-License-Identifier: MIT */
/*
 * Commands as pages. Each is one event to the core and waits for its answer, which comes when the command is
 * durable. When the client leaves before, the command may stand or not, as with every request that is cut
 * off; all of them may be repeated.
 *
 * A batch is commanded by whoever may see it: the one who sent it, root, the node's own user. Nodes are
 * commanded by the latter two alone.
 */
#include "daemon/api_control.h"

#include <string.h>

#include "daemon/api_batches.h"
#include "daemon/api_nodes.h"
#include "daemon/log.h"
#include "queue/error.h"

static void answer_batch(struct api_request *request, const struct batch_view *view)
{
	log_info("batch_command", "batch", request->name, "state", batch_state_name(view->state), "uid",
	    log_u64(request->uid), NULL);
	api_answer(request, MHD_HTTP_OK, api_batch_json(view));
}

static void on_batch(struct api_request *request, const struct effect *effect)
{
	switch (effect->control) {
	case CONTROL_OK:
		api_batch(request, answer_batch);
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

static void command(struct api_request *request, enum control_what what)
{
	struct event event = {.type = EVENT_CONTROL};

	event.control.reply = api_expect(request, on_batch);
	event.control.batch = request->name;
	event.control.what = what;
	node_event(request->node, &event);
}

static void pause_it(struct api_request *request, const struct batch_view *view)
{
	(void)view;
	command(request, CONTROL_PAUSED);
}

static void resume_it(struct api_request *request, const struct batch_view *view)
{
	(void)view;
	command(request, CONTROL_RUNNING);
}

static void cancel_it(struct api_request *request, const struct batch_view *view)
{
	(void)view;
	command(request, CONTROL_CANCELLED);
}

void api_batch_pause(struct api_request *request)
{
	api_batch(request, pause_it);
}

void api_batch_resume(struct api_request *request)
{
	api_batch(request, resume_it);
}

void api_batch_cancel(struct api_request *request)
{
	api_batch(request, cancel_it);
}

/* The node in the path. False when the answer was given: the caller may not, or there is no such node. */
static bool find_node(struct api_request *request, struct member_view *ret_member)
{
	if (!request->admin) {
		api_fail(request, API_DENIED, "only root and the node's own user may command nodes");
		return false;
	}
	return api_recovered(request) && api_node_find(request, ret_member);
}

/* The word of another node comes before its own record does, so the state is the one that was answered. */
static void on_drained(struct api_request *request, const struct effect *effect)
{
	const char *state = request->state;
	struct member_view member;
	char hex[OPT_ID_HEX];

	switch (effect->control) {
	case CONTROL_OK:
		if (!api_node_find(request, &member))
			return;
		member.state = state;
		log_info("node_command", "node", id_to_hex(&member.id, hex), "state", state, "uid",
		    log_u64(request->uid), NULL);
		api_answer(request, MHD_HTTP_OK, api_node_json(request->node, &member));
		return;
	case CONTROL_NOT_FOUND:
		api_fail(request, API_NOT_FOUND, "there is no such node any more");
		return;
	case CONTROL_STARTING:
		api_fail_again(request, 1, "the node is starting; try again in a second");
		return;
	case CONTROL_AGAIN:
		api_fail_again(request, API_BUSY_SECONDS,
		    "the node %s does not answer; try again, or ask it by itself", request->name);
		return;
	default:
		api_fail_store(request);
		return;
	}
}

static void drain(struct api_request *request, bool on)
{
	struct event event = {.type = EVENT_DRAIN};
	struct member_view member;

	if (!find_node(request, &member))
		return;
	id_to_hex(&member.id, request->name); /* an address may change meanwhile */
	request->state = on ? "draining" : "up";
	event.drain.reply = api_expect(request, on_drained);
	event.drain.node = member.id;
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

static void on_forgotten(struct api_request *request, const struct effect *effect)
{
	switch (effect->status) {
	case 0:
		log_info("node_command", "node", request->name, "state", "forgotten", "uid",
		    log_u64(request->uid), NULL);
		api_answer(
		    request, MHD_HTTP_OK, json_pack("{s:s, s:s}", "id", request->name, "state", "gone"));
		return;
	case OPT_E_NOT_FOUND:
		api_fail(request, API_NOT_FOUND, "there is no such node any more");
		return;
	case OPT_E_CONFLICT:
		api_fail(request, API_CONFLICT,
		    "the node %s is alive: stop it first, or wait until `optimus nodes` shows it as gone",
		    request->name);
		return;
	case OPT_E_AGAIN:
		api_fail_nodes(request);
		return;
	default:
		api_fail_store(request);
	}
}

void api_node_forget(struct api_request *request)
{
	struct event event = {.type = EVENT_FORGET};
	struct member_view member;

	if (!find_node(request, &member))
		return;
	if (member.self) {
		api_fail(request, API_CONFLICT,
		    "a node can't forget itself; ask another one, when this one is gone for good");
		return;
	}
	id_to_hex(&member.id, request->name); /* what is asked and answered is the whole id */
	event.forget.reply = api_expect(request, on_forgotten);
	event.forget.node = member.id;
	node_event(request->node, &event);
}
