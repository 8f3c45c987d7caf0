/* SPDX-License-Identifier: MIT */
/*
 * An upload: rows come in, shards go out to the core.
 *
 * It owns the compiled template, the row parser and the shard that is being filled, so its memory is one
 * shard, one row and the template. Shards on their way to the store are counted by the core; api_upload.c
 * stops reading from the client when they are many.
 *
 * How the client cuts its rows into requests, and those into packets, leaves no trace: the same rows give the
 * same shards, which is how a repeated submission is recognised.
 *
 * An upload ends by commit, by an error, by the client or by its silence. It is freed right then, except for
 * the memory of its timer, which libuv gives back a turn later.
 */
#include "daemon/intake.h"

#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/log.h"
#include "queue/error.h"
#include "queue/message/address.h"

struct intakes *intakes_new(struct node *node, uv_loop_t *loop)
{
	struct intakes *intakes = calloc(1, sizeof *intakes);

	if (!intakes)
		abort();
	intakes->node = node;
	intakes->loop = loop;
	intakes->idle_ms = INTAKE_IDLE_MS;
	return intakes;
}

void intakes_free(struct intakes *intakes)
{
	if (!intakes)
		return;
	while (intakes->list)
		intake_free(intakes->list);
	free(intakes);
}

void intakes_set_idle(struct intakes *intakes, uint64_t milliseconds)
{
	intakes->idle_ms = milliseconds;
}

static void on_idle(uv_timer_t *timer)
{
	struct intake *intake = timer->data;

	log_info("upload_silent", "batch", intake->name, "mails", log_u64(intake->rows), NULL);
	intake_abort(intake);
}

struct intake *intake_new(struct intakes *intakes, struct api_settings *settings, uid_t uid)
{
	struct intake *intake = calloc(1, sizeof *intake);

	if (!intake)
		abort();
	intake->intakes = intakes;
	randombytes_buf(intake->id.bytes, sizeof intake->id.bytes);
	intake->uid = uid;
	intake->settings = *settings;
	*settings = (struct api_settings){0};
	intake->settings.batch.uid = uid;
	strcpy(intake->name, intake->settings.batch.name);
	intake->parser = row_parser_new(intake->settings.template);
	intake->writer = recipients_writer_new(template_field_count(intake->settings.template));
	intake->verp = strstr(intake->settings.batch.sender, "{{") != NULL;
	buffer_init(&intake->line);
	buffer_init(&intake->scratch);
	uv_timer_init(intakes->loop, &intake->idle);
	intake->idle.data = intake;
	intake->next = intakes->list;
	intakes->list = intake;
	intakes->count++;
	return intake;
}

static void on_closed(uv_handle_t *handle)
{
	free(handle->data);
}

void intake_free(struct intake *intake)
{
	struct intakes *intakes = intake->intakes;
	struct intake **at = &intakes->list;

	while (*at != intake)
		at = &(*at)->next;
	*at = intake->next;
	intakes->count--;
	if (intake->reply)
		node_forget(intakes->node, intake->reply);
	if (intake->waiting)
		node_wait_store_cancel(intakes->node, intake);
	api_settings_done(&intake->settings);
	row_parser_free(intake->parser);
	recipients_writer_free(intake->writer);
	buffer_done(&intake->line);
	buffer_done(&intake->scratch);
	uv_close((uv_handle_t *)&intake->idle, on_closed);
}

void intake_abort(struct intake *intake)
{
	struct event event = {.type = EVENT_UPLOAD_ABORT, .upload_abort = {.upload = intake->id}};
	struct node *node = intake->intakes->node;

	intake_free(intake);
	node_event(node, &event);
}

struct intake *intake_find(struct intakes *intakes, const struct opt_id *id)
{
	struct intake *intake = intakes->list;

	while (intake && !id_equal(&intake->id, id))
		intake = intake->next;
	return intake;
}

void intake_idle(struct intake *intake, bool on)
{
	if (on)
		uv_timer_start(&intake->idle, on_idle, intake->intakes->idle_ms, 0);
	else
		uv_timer_stop(&intake->idle);
}

void intake_flush(struct intake *intake)
{
	struct event event = {.type = EVENT_UPLOAD_SHARD};

	if (recipients_writer_count(intake->writer) == 0)
		return;
	buffer_clear(&intake->scratch);
	event.upload_shard.upload = intake->id;
	event.upload_shard.count = (uint32_t)recipients_writer_count(intake->writer);
	recipients_writer_finish(intake->writer, &intake->scratch, &event.upload_shard.hash);
	event.upload_shard.value = intake->scratch.data;
	event.upload_shard.len = intake->scratch.len;
	intake->shards++;
	node_event(intake->intakes->node, &event);
}

static int check_address(struct intake *intake, const struct row *row, struct api_error *error)
{
	const char *problem = address_problem(row->email);

	if (problem) {
		api_error_set(error, API_RECIPIENT,
		    "\"%.*s\" is not an e-mail address: %s; correct or remove the row", ADDRESS_MAX,
		    row->email, problem);
		api_error_field(error, "email");
		return OPT_E_INVALID;
	}
	if (!intake->verp)
		return 0;
	buffer_clear(&intake->scratch);
	if (sender_expand(intake->settings.batch.sender, row->email, &intake->scratch) == 0)
		return 0;
	api_error_set(error, API_RECIPIENT,
	    "\"%.*s\" is too long for the envelope sender with {{verp}}; remove the row or send without "
	    "{{verp}}",
	    ADDRESS_MAX, row->email);
	api_error_field(error, "email");
	return OPT_E_INVALID;
}

static int check_values(struct intake *intake, const struct row *row, struct api_error *error)
{
	const struct template_values values = {
	    .email = row->email,
	    .fields = row->values,
	    .message_id = "0123456789abcdef0123456789abcdef01234567.499@example.com",
	    .date = "Thu, 01 Jan 1970 00:00:00 +0000",
	};
	struct template_error wrong = {0};
	int status = template_check_values(intake->settings.template, &values, &wrong);

	if (status < 0) {
		api_error_set(error, API_RECIPIENT, "%s", wrong.text);
		api_error_field(error, wrong.field);
	}
	return status;
}

static int add_row(struct intake *intake, const struct row *row, struct api_error *error)
{
	int status = recipients_writer_add(intake->writer, row->email, row->values);
	uint32_t most;

	if (status == OPT_E_FULL) {
		most = core_upload_shards_max(node_core(intake->intakes->node), &intake->id);
		if (most > 0 && intake->shards + 1 >= most) {
			api_error_set(error, API_INVALID,
			    "the batch has more than %llu recipients, which is too many; split it into "
			    "several batches",
			    (unsigned long long)intake->rows);
			return OPT_E_LIMIT;
		}
		intake_flush(intake);
		status = recipients_writer_add(intake->writer, row->email, row->values);
	}
	if (status < 0)
		api_error_set(error, API_RECIPIENT, "the row is longer than %d bytes; shorten its values",
		    RECIPIENT_BYTES_MAX);
	return status;
}

static int take_line(struct intake *intake, const char *line, size_t len, struct api_error *error)
{
	struct row row;
	size_t blank = 0;
	int status;

	while (blank < len && (line[blank] == ' ' || line[blank] == '\t' || line[blank] == '\r'))
		blank++;
	if (blank == len)
		return 0;
	if ((status = row_parse(intake->parser, line, len, &row, error)) < 0 ||
	    (status = check_address(intake, &row, error)) < 0 ||
	    (status = check_values(intake, &row, error)) < 0 || (status = add_row(intake, &row, error)) < 0) {
		error->row = intake->rows + 1;
		return status;
	}
	intake->rows++;
	return 0;
}

/* The beginning or a middle piece of a line. */
static int keep(struct intake *intake, const char *data, size_t len, struct api_error *error)
{
	if (len > RECIPIENT_BYTES_MAX - intake->line.len) {
		api_error_set(error, API_RECIPIENT, "the row is longer than %d bytes; shorten its values",
		    RECIPIENT_BYTES_MAX);
		error->row = intake->rows + 1;
		return OPT_E_LIMIT;
	}
	buffer_add(&intake->line, data, len);
	return 0;
}

int intake_rows(struct intake *intake, const char *data, size_t len, struct api_error *ret_error)
{
	while (len > 0) {
		const char *feed = memchr(data, '\n', len);
		size_t piece = feed ? (size_t)(feed - data) : len;
		int status;

		if (!feed || intake->line.len > 0) {
			status = keep(intake, data, piece, ret_error);
			if (status < 0)
				return status;
		}
		if (!feed)
			return 0;
		if (intake->line.len > 0)
			status = intake_rows_end(intake, ret_error);
		else
			status = take_line(intake, data, piece, ret_error);
		if (status < 0)
			return status;
		data += piece + 1;
		len -= piece + 1;
	}
	return 0;
}

int intake_rows_end(struct intake *intake, struct api_error *ret_error)
{
	int status = take_line(intake, intake->line.data, intake->line.len, ret_error);

	buffer_clear(&intake->line);
	return status;
}
