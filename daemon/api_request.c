/* SPDX-License-Identifier: MIT */
/*
 * What all pages share: answers, errors, resting, and who may see a batch.
 *
 * An answer that comes while the server is inside the page's own callback is only noted; the server sends it
 * when the callback is over. One that comes later wakes the connection first. Nothing here can fail but for
 * memory, and that aborts.
 */
#include "daemon/api_request.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/http_server.h"
#include "queue/error.h"

void api_answer_with(struct api_request *request, unsigned status, struct MHD_Response *response)
{
	if (!response)
		abort();
	if (request->response) {
		MHD_destroy_response(response); /* an error has overtaken it */
		return;
	}
	MHD_add_response_header(response, MHD_HTTP_HEADER_CACHE_CONTROL, "no-store");
	request->status = status;
	request->response = response;
	api_wake(request);
}

static struct MHD_Response *json_response(json_t *body)
{
	struct MHD_Response *response;
	char *text = json_dumps(body, JSON_COMPACT | JSON_REAL_PRECISION(12));

	json_decref(body);
	if (!text)
		abort();
	response = MHD_create_response_from_buffer(strlen(text), text, MHD_RESPMEM_MUST_FREE);
	if (response)
		MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, "application/json");
	return response;
}

void api_answer(struct api_request *request, unsigned status, json_t *body)
{
	api_answer_with(request, status, json_response(body));
}

/* Text that may quote what the client sent: bytes that are no UTF-8 become question marks. */
static json_t *safe_text(const char *text)
{
	json_t *value = json_string(text);
	char copy[sizeof((struct api_error *)0)->text];

	if (value)
		return value;
	snprintf(copy, sizeof copy, "%s", text);
	for (char *at = copy; *at; at++)
		if ((unsigned char)*at >= 0x80)
			*at = '?';
	return json_string(copy);
}

static json_t *error_body(const struct api_error *error)
{
	json_t *body = json_object();

	json_object_set_new(body, "error", safe_text(error->text));
	json_object_set_new(body, "code", json_string(api_code_name(error->code)));
	if (error->row)
		json_object_set_new(body, "row", json_integer((json_int_t)error->row));
	if (error->line)
		json_object_set_new(body, "line", json_integer(error->line));
	if (error->field[0])
		json_object_set_new(body, "field", safe_text(error->field));
	return body;
}

static void answer_error(struct api_request *request, const struct api_error *error, unsigned retry_after)
{
	struct MHD_Response *response = json_response(error_body(error));
	char seconds[16];

	if (response && retry_after) {
		snprintf(seconds, sizeof seconds, "%u", retry_after);
		MHD_add_response_header(response, MHD_HTTP_HEADER_RETRY_AFTER, seconds);
	}
	api_answer_with(request, api_code_status(error->code), response);
}

void api_answer_error(struct api_request *request, const struct api_error *error)
{
	answer_error(request, error, error->code == API_AGAIN ? 1 : 0);
}

void api_fail(struct api_request *request, enum api_code code, const char *format, ...)
{
	struct api_error error = {.code = code};
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(error.text, sizeof error.text, format, arguments);
	va_end(arguments);
	api_answer_error(request, &error);
}

void api_fail_again(struct api_request *request, unsigned seconds, const char *format, ...)
{
	struct api_error error = {.code = API_AGAIN};
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(error.text, sizeof error.text, format, arguments);
	va_end(arguments);
	answer_error(request, &error, seconds);
}

void api_fail_full(struct api_request *request)
{
	api_fail(request, API_FULL,
	    "the node's disk is too full to accept mail; free some space or use another node");
}

void api_fail_busy(struct api_request *request)
{
	api_fail_again(request, API_BUSY_SECONDS,
	    "another client is uploading the batch %s right now; try again later", request->name);
}

void api_fail_store(struct api_request *request)
{
	if (node_room(request->node) < 0)
		api_fail_full(request);
	else
		api_fail_again(request, API_BUSY_SECONDS,
		    "the node could not store it, and nothing was kept; try again later");
}

void api_fail_nodes(struct api_request *request)
{
	api_fail_again(request, API_BUSY_SECONDS, "too few nodes of the cluster answer now; try again");
}

void api_rest(struct api_request *request)
{
	if (request->suspended)
		return;
	request->suspended = true;
	MHD_suspend_connection(request->connection);
}

void api_wake(struct api_request *request)
{
	if (!request->suspended)
		return;
	request->suspended = false;
	MHD_resume_connection(request->connection);
	http_server_kick(request->listener);
}

const char *api_query(struct api_request *request, const char *key)
{
	return MHD_lookup_connection_value(request->connection, MHD_GET_ARGUMENT_KIND, key);
}

bool api_recovered(struct api_request *request)
{
	if (core_numbers(node_core(request->node)).recovered)
		return true;
	api_fail_again(request, 1, "the node is starting and still reads its store; try again in a second");
	return false;
}

static void on_answer(void *context, const struct effect *effect)
{
	struct api_request *request = context;

	request->reply = 0;
	request->answered(request, effect);
}

uint64_t api_expect(struct api_request *request, api_answered_fn *fn)
{
	request->answered = fn;
	request->reply = node_expect(request->node, on_answer, request);
	return request->reply;
}

static void on_batch(struct api_request *request, const struct effect *effect)
{
	if (effect->status == OPT_E_AGAIN)
		api_fail_nodes(request);
	else if (effect->status < 0 || (!request->admin && effect->view->uid != request->uid))
		api_fail(request, API_NOT_FOUND,
		    "there is no batch %s; `optimus status` lists those that you may see", request->name);
	else
		request->found(request, effect->view);
}

void api_batch(struct api_request *request, api_batch_fn *fn)
{
	struct event event = {.type = EVENT_QUERY};

	if (!api_recovered(request))
		return;
	request->found = fn;
	event.query.reply = api_expect(request, on_batch);
	event.query.batch = request->name;
	node_event(request->node, &event);
}
