/* SPDX-License-Identifier: MIT */
/*
 * Step 1 of a submission: the settings, with the template, open an upload.
 *
 * The body is collected as a whole, because JSON with a template in it can't be judged before its end. All
 * such bodies together are limited, and each is given back as soon as it has been read. Then there is an
 * upload: request->state holds it until the answer is out, and from there on it waits for its recipients. A
 * client that does not take the answer ends it.
 */
#include "daemon/api_open.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <zstd.h>

#include "daemon/api_settings.h"
#include "daemon/intake.h"
#include "queue/error.h"

enum { TEMPLATE_LEVEL = 3 /* of zstd */ };

/* The state of the request: the body so far, then the upload. */
struct opening {
	struct buffer body;
	struct intake *intake;
};

static void opening_done(struct api_request *request)
{
	struct opening *opening = request->state;

	request->intakes->settings_bytes -= opening->body.len;
	buffer_done(&opening->body);
	buffer_init(&opening->body);
}

void api_open_begin(struct api_request *request)
{
	struct opening *opening = calloc(1, sizeof *opening);
	struct batch_view view;

	if (!opening)
		abort();
	buffer_init(&opening->body);
	request->state = opening;
	if (!api_recovered(request))
		return;
	if (node_room(request->node) < 0)
		api_fail_full(request);
	else if (request->intakes->count >= INTAKES_MAX)
		api_fail_again(request, API_BUSY_SECONDS,
		    "the node receives %d batches already; try again later", INTAKES_MAX);
	else if (!request->admin && core_batch(node_core(request->node), request->name, &view) == 0 &&
	         view.state != BATCH_UPLOADING && view.uid != request->uid)
		api_fail(request, API_CONFLICT, "the id %s is taken by another user; choose another id",
		    request->name);
}

void api_open_body(struct api_request *request, const char *data, size_t len)
{
	struct opening *opening = request->state;
	struct intakes *intakes = request->intakes;

	if (len > SETTINGS_BYTES_MAX - opening->body.len) {
		opening_done(request);
		api_fail(request, API_INVALID,
		    "the settings with the template are longer than %d bytes; make them shorter",
		    SETTINGS_BYTES_MAX);
	} else if (len > INTAKE_SETTINGS_MAX - intakes->settings_bytes) {
		opening_done(request);
		api_fail_again(request, API_BUSY_SECONDS,
		    "the node receives many large templates right now; try again later");
	} else {
		buffer_add(&opening->body, data, len);
		intakes->settings_bytes += len;
	}
}

static json_t *opened_body(const struct intake *intake, bool exists)
{
	const struct template *template = intake->settings.template;
	char hex[OPT_ID_HEX];
	json_t *fields = json_array();

	for (size_t i = 0; i < template_field_count(template); i++)
		json_array_append_new(fields, json_string(template_field(template, i)));
	return json_pack("{s:s, s:o, s:b}", "upload", id_to_hex(&intake->id, hex), "fields", fields, "exists",
	    exists ? 1 : 0);
}

static void on_opened(void *context, const struct effect *effect)
{
	struct intake *intake = context;
	struct api_request *request = intake->request;

	intake->reply = 0;
	switch (effect->answer) {
	case UPLOAD_OPENED:
	case UPLOAD_COMPARES:
		intake->opened = true;
		api_answer(request, MHD_HTTP_OK, opened_body(intake, effect->answer == UPLOAD_COMPARES));
		return; /* the upload begins to wait when the answer is out */
	case UPLOAD_BUSY:
		api_fail_busy(request);
		break;
	case UPLOAD_CONFLICT:
		api_fail(request, API_CONFLICT,
		    "the batch %s was accepted before, with other content; choose another id", request->name);
		break;
	case UPLOAD_AGAIN:
		api_fail_nodes(request);
		break;
	default:
		api_fail_store(request);
	}
	((struct opening *)request->state)->intake = NULL;
	intake_free(intake);
}

/* Hands a new upload to the core, with its template as it will be stored. */
static void open_upload(struct api_request *request, struct intake *intake)
{
	struct event event = {.type = EVENT_UPLOAD_OPEN};
	const struct api_settings *settings = &intake->settings;
	size_t bound = ZSTD_compressBound(settings->source_len), len;
	void *value = malloc(bound);
	struct id_hash hash;

	if (!value)
		abort();
	len = ZSTD_compress(value, bound, settings->source, settings->source_len, TEMPLATE_LEVEL);
	if (ZSTD_isError(len))
		abort();
	id_hash_init(&hash);
	id_hash_add(&hash, settings->source, settings->source_len);
	intake->reply = node_expect(request->node, on_opened, intake);
	event.upload_open.reply = intake->reply;
	event.upload_open.upload = intake->id;
	event.upload_open.settings = &settings->batch;
	event.upload_open.template_hash = id_hash_done(&hash);
	event.upload_open.template_value = value;
	event.upload_open.template_len = len;
	node_event(request->node, &event);
	free(value);
}

static struct utc_time utc_now(void)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	return (struct utc_time){(uint64_t)now.tv_sec * USEC_PER_SEC + (uint64_t)now.tv_nsec / 1000};
}

void api_open_end(struct api_request *request)
{
	struct opening *opening = request->state;
	struct api_settings settings;
	struct api_error error;
	int status;

	status = api_settings_parse(request->name, opening->body.data ? opening->body.data : "",
	    opening->body.len, utc_now(), &settings, &error);
	opening_done(request);
	if (status < 0) {
		api_answer_error(request, &error);
		return;
	}
	/* Others may have come while the body did. */
	if (request->intakes->count >= INTAKES_MAX) {
		api_settings_done(&settings);
		api_fail_again(request, API_BUSY_SECONDS,
		    "the node receives %d batches already; try again later", INTAKES_MAX);
		return;
	}
	opening->intake = intake_new(request->intakes, &settings, request->uid);
	opening->intake->request = request;
	open_upload(request, opening->intake);
}

void api_open_gone(struct api_request *request, bool completed)
{
	struct opening *opening = request->state;
	struct intake *intake = opening->intake;

	opening_done(request);
	free(opening);
	if (!intake)
		return;
	intake->request = NULL;
	if (completed)
		intake_idle(intake, true);
	else
		intake_abort(intake);
}
