/* SPDX-License-Identifier: MIT */
/*
 * The three steps of a submission, as pages.
 *
 * While a request works on an upload, intake->request names it and the other way round (request->state is the
 * upload, or the body that is being collected before there is one), and the timer for silence rests. So each
 * can be gone first: gone() takes the request out of the upload, and an upload that ends early answers its
 * request. A client that breaks off in the middle of its rows ends the upload, since nobody can know how many
 * of them have come.
 *
 * A commit can't be called back once the core has it: when the client leaves then, the answer goes nowhere,
 * and a repeat of the submission finds the batch.
 */
#include "daemon/api_upload.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <zstd.h>

#include "daemon/api_batches.h"
#include "daemon/log.h"
#include "daemon/intake.h"
#include "queue/error.h"

enum { COMMIT_BYTES_MAX = 4096, BUSY_SECONDS = 5 };

static void fail_full(struct api_request *request)
{
	api_fail(request, API_FULL,
	    "the node's disk is too full to accept mail; free some space or use another node");
}

static void fail_busy(struct api_request *request)
{
	api_fail_again(request, BUSY_SECONDS,
	    "another client is uploading the batch %s right now; try again later", request->name);
}

static void fail_store(struct api_request *request)
{
	if (node_room(request->node) < 0)
		fail_full(request);
	else
		api_fail_again(request, BUSY_SECONDS,
		    "the node could not store it, and nothing was kept; try again later");
}

/* Step 1: settings. The state is the body so far until the upload takes its place. */

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
		fail_full(request);
	else if (request->intakes->count >= INTAKES_MAX)
		api_fail_again(request, BUSY_SECONDS, "the node receives %d batches already; try again later",
		    INTAKES_MAX);
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
		api_fail_again(request, BUSY_SECONDS,
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
		fail_busy(request);
		break;
	case UPLOAD_CONFLICT:
		api_fail(request, API_CONFLICT,
		    "the batch %s was accepted before, with other content; choose another id", request->name);
		break;
	default:
		fail_store(request);
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
	len = ZSTD_compress(value, bound, settings->source, settings->source_len, 3);
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
		api_fail_again(request, BUSY_SECONDS, "the node receives %d batches already; try again later",
		    INTAKES_MAX);
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

/* The upload in the query, for a request that now works on it. NULL when the answer was given already. */
static struct intake *take_upload(struct api_request *request)
{
	const char *hex = api_query(request, "upload");
	struct intake *intake = NULL;
	struct opt_id id;

	if (!api_recovered(request))
		return NULL;
	if (hex && strlen(hex) == OPT_ID_HEX - 1 && id_from_hex(hex, &id) == 0)
		intake = intake_find(request->intakes, &id);
	if (!intake || !intake->opened || strcmp(intake->name, request->name) != 0 ||
	    (!request->admin && intake->uid != request->uid)) {
		api_fail(request, API_NOT_FOUND,
		    "there is no such upload of the batch %s: it was ended by an error, by a minute of "
		    "silence or by a restart "
		    "of the node; send the batch again",
		    request->name);
		return NULL;
	}
	return intake;
}

/* As take_upload(), for one request at a time. */
static void begin_work(struct api_request *request)
{
	struct intake *intake = take_upload(request);

	if (!intake)
		return;
	if (intake->request) {
		api_fail(request, API_INVALID,
		    "another request of this upload is not finished yet; send its parts one after the other");
		return;
	}
	intake_idle(intake, false);
	intake->request = request;
	request->state = intake;
}

/* Ends the upload because of what the client has sent. */
static void end_by_error(struct api_request *request, struct intake *intake, const struct api_error *error)
{
	request->state = NULL;
	intake_abort(intake);
	api_answer_error(request, error);
}

/* Step 2: recipients. */

void api_rows_begin(struct api_request *request)
{
	begin_work(request);
}

static bool too_many_pending(const struct intake *intake)
{
	return core_upload_pending(node_core(intake->intakes->node), &intake->id) > INTAKE_PENDING_MAX;
}

static void on_room(void *context)
{
	struct intake *intake = context;

	if (too_many_pending(intake)) {
		node_wait_store(intake->intakes->node, on_room, intake);
		return;
	}
	intake->waiting = false;
	if (intake->request)
		api_wake(intake->request);
}

void api_rows_body(struct api_request *request, const char *data, size_t len)
{
	struct intake *intake = request->state;
	struct api_error error;

	if (node_room(request->node) < 0) {
		request->state = NULL;
		intake_abort(intake);
		fail_full(request);
		return;
	}
	if (intake_rows(intake, data, len, &error) < 0) {
		end_by_error(request, intake, &error);
		return;
	}
	if (too_many_pending(intake)) {
		intake->waiting = true;
		node_wait_store(request->node, on_room, intake);
		api_rest(request);
	}
}

void api_rows_end(struct api_request *request)
{
	struct intake *intake = request->state;
	struct api_error error;

	if (intake_rows_end(intake, &error) < 0) {
		end_by_error(request, intake, &error);
		return;
	}
	api_answer(request, MHD_HTTP_OK, json_pack("{s:I}", "rows", (json_int_t)intake->rows));
}

void api_rows_gone(struct api_request *request, bool completed)
{
	struct intake *intake = request->state;

	if (!intake)
		return;
	intake->request = NULL;
	/* All rows have come when there was an answer, even if the client did not wait for it. */
	if (completed || request->response)
		intake_idle(intake, true);
	else
		intake_abort(intake);
}

/* Step 3: commit. */

void api_commit_begin(struct api_request *request)
{
	begin_work(request);
}

void api_commit_body(struct api_request *request, const char *data, size_t len)
{
	struct intake *intake = request->state;
	struct api_error error;

	if (len <= COMMIT_BYTES_MAX - intake->line.len) {
		buffer_add(&intake->line, data, len);
		return;
	}
	api_error_set(&error, API_INVALID, "the commit is longer than %d bytes; send only {\"rows\": N}",
	    COMMIT_BYTES_MAX);
	end_by_error(request, intake, &error);
}

static void on_committed(void *context, const struct effect *effect)
{
	struct intake *intake = context;
	struct api_request *request = intake->request;
	struct batch_view view;

	intake->reply = 0;
	if (request)
		request->state = NULL;
	intake_free(intake);
	if (!request)
		return;
	switch (effect->answer) {
	case UPLOAD_ACCEPTED:
	case UPLOAD_SAME:
		if (core_batch(node_core(request->node), request->name, &view) < 0)
			fail_store(request);
		else
			api_answer(request,
			    effect->answer == UPLOAD_ACCEPTED ? MHD_HTTP_CREATED : MHD_HTTP_OK,
			    api_batch_json(&view));
		break;
	case UPLOAD_CONFLICT:
		api_fail(request, API_CONFLICT,
		    "the batch %s was accepted before, with other content; choose another id", request->name);
		break;
	case UPLOAD_BUSY:
		fail_busy(request);
		break;
	case UPLOAD_GONE:
		api_fail(request, API_NOT_FOUND, "the upload of the batch %s has ended; send the batch again",
		    request->name);
		break;
	default:
		fail_store(request);
	}
}

/* Reads {"rows": N} and compares it with what has come. */
static int check_commit(const struct intake *intake, struct api_error *error)
{
	const char *text = intake->line.len > 0 ? intake->line.data : "";
	json_t *root = json_loadb(text, intake->line.len, JSON_REJECT_DUPLICATES, NULL);
	const json_t *rows = json_object_get(root, "rows");
	bool good = json_is_integer(rows);
	json_int_t expected = json_integer_value(rows);

	json_decref(root);
	if (!good)
		api_error_set(error, API_INVALID,
		    "the commit is not {\"rows\": N} with the number of rows that were sent");
	else if ((uint64_t)expected != intake->rows)
		api_error_set(error, API_INVALID, "%llu rows have come, not %lld; send the batch again",
		    (unsigned long long)intake->rows, (long long)expected);
	else if (expected == 0)
		api_error_set(error, API_INVALID, "the batch has no recipients; send at least one");
	else
		return 0;
	return OPT_E_INVALID;
}

void api_commit_end(struct api_request *request)
{
	struct intake *intake = request->state;
	struct event event = {.type = EVENT_UPLOAD_COMMIT};
	struct api_error error;

	if (check_commit(intake, &error) < 0) {
		end_by_error(request, intake, &error);
		return;
	}
	intake_flush(intake);
	intake->reply = node_expect(request->node, on_committed, intake);
	event.upload_commit.reply = intake->reply;
	event.upload_commit.upload = intake->id;
	node_event(request->node, &event);
}

void api_commit_gone(struct api_request *request, bool completed)
{
	struct intake *intake = request->state;

	(void)completed;
	if (!intake)
		return;
	intake->request = NULL;
	/* Once the core has the commit, on_committed() frees the upload. */
	if (!intake->reply)
		intake_abort(intake);
}

/* Giving up. */

void api_upload_drop(struct api_request *request)
{
	struct intake *intake = take_upload(request);
	struct api_request *other;

	if (!intake)
		return;
	other = intake->request;
	if (intake->reply) {
		api_fail(request, API_INVALID,
		    "the upload is being committed, which can't be called back; look at the batch");
		return;
	}
	if (other)
		other->state = NULL;
	intake_abort(intake);
	if (other)
		api_fail(other, API_NOT_FOUND, "the upload of the batch %s was given up", other->name);
	api_answer(request, MHD_HTTP_OK, json_object());
}
