/* SPDX-License-Identifier: MIT */
/*
 * The recipients and the commit of a submission, as pages; api_open.c has the settings before them.
 *
 * While a request works on an upload, intake->request names it, request->state names the upload, and the
 * timer for silence rests. So each can be gone first: gone() takes the request out of the upload, and an
 * upload that ends early answers its request. A client that breaks off in the middle of its rows ends the
 * upload, since nobody can know how many of them have come.
 *
 * A commit can't be called back once the core has it: when the client leaves then, the answer goes nowhere,
 * and a repeat of the submission finds the batch.
 */
#include "daemon/api_upload.h"

#include <string.h>

#include "daemon/api_batches.h"
#include "daemon/intake.h"
#include "queue/error.h"

enum { COMMIT_BYTES_MAX = 4096 };

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
		api_fail_full(request);
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

/* Accepted is accepted: where nobody can tell the counts now, this node's own word has to do. */
static void answer_accepted(struct api_request *request, const struct effect *effect, unsigned status)
{
	struct batch_view view = {.name = request->name, .state = BATCH_SENDING};

	if (effect->status == 0)
		view = *effect->view;
	else if (core_batch(node_core(request->node), request->name, &view) == 0)
		api_batch_add_up(&view);
	api_answer(request, status, api_batch_json(&view));
}

static void on_counts_of_new(struct api_request *request, const struct effect *effect)
{
	answer_accepted(request, effect, MHD_HTTP_CREATED);
}

static void on_counts_of_same(struct api_request *request, const struct effect *effect)
{
	answer_accepted(request, effect, MHD_HTTP_OK);
}

static void ask_for_counts(struct api_request *request, api_answered_fn *fn)
{
	struct event event = {.type = EVENT_QUERY};

	event.query.reply = api_expect(request, fn);
	event.query.batch = request->name;
	node_event(request->node, &event);
}

static void on_committed(void *context, const struct effect *effect)
{
	struct intake *intake = context;
	struct api_request *request = intake->request;

	intake->reply = 0;
	if (request)
		request->state = NULL;
	intake_free(intake);
	if (!request)
		return;
	switch (effect->answer) {
	case UPLOAD_ACCEPTED:
		ask_for_counts(request, on_counts_of_new);
		break;
	case UPLOAD_SAME:
		ask_for_counts(request, on_counts_of_same);
		break;
	case UPLOAD_CONFLICT:
		api_fail(request, API_CONFLICT,
		    "the batch %s was accepted before, with other content; choose another id", request->name);
		break;
	case UPLOAD_BUSY:
		api_fail_busy(request);
		break;
	case UPLOAD_AGAIN:
		api_fail_nodes(request);
		break;
	case UPLOAD_GONE:
		api_fail(request, API_NOT_FOUND, "the upload of the batch %s has ended; send the batch again",
		    request->name);
		break;
	default:
		api_fail_store(request);
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
