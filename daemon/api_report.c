/* SPDX-License-Identifier: MIT */
/*
 * Streams a report: one shard after the other is read with its journal, replayed, written, and forgotten.
 *
 * A few shards are read ahead into a ring of slots. libmicrohttpd asks for bytes whenever the client can take
 * some; when the next shard has not come, the connection rests until it has. A slow client therefore holds a
 * few shards in memory and nothing more.
 *
 * Reads from the store can't be called back, so the report is counted: the request, the response and every
 * read under way hold it. A read that fails once the answer has begun cuts the connection, which the client
 * sees as an incomplete answer; one that fails before is an error like any other.
 *
 * Each shard is shown as it is when its turn comes: the report of a batch that is being sent is no snapshot.
 */
#include "daemon/api_report.h"

#include <stdlib.h>
#include <string.h>

#include "daemon/http_server.h"
#include "daemon/log.h"
#include "daemon/report_line.h"
#include "queue/error.h"
#include "queue/journal.h"
#include "queue/message/message_id.h"
#include "queue/message/recipients.h"
#include "queue/replay.h"

enum {
	SLOTS = 4,
	BLOCK = 32 * 1024,
	READER_SECONDS = 600, /* how long a reader may pause, for pagers */
};

struct slot {
	struct report *report;
	struct opt_id shard;
	unsigned reading; /* answers of the store that are still to come */
	int status;
	struct recipients *recipients;
	struct replay *replay;
};

struct report {
	unsigned holders;
	struct api_request *request; /* NULL: it is gone */
	bool answering;              /* the answer has begun */
	enum report_format format;
	bool filtered;
	enum mail_state only;
	char name[BATCH_NAME_MAX + 1];
	struct opt_id batch;
	struct opt_id upload;
	char *sender;
	bool verp;
	char *host;
	uint32_t shards;
	uint32_t next_read;
	uint32_t next_written;
	struct slot slots[SLOTS];
	struct journal_reader *reader;
	struct buffer out;
	size_t out_sent;
	struct buffer address;
	struct buffer message_id;
};

static void slot_done(struct slot *slot)
{
	recipients_free(slot->recipients);
	replay_free(slot->replay);
	slot->recipients = NULL;
	slot->replay = NULL;
}

static void release(struct report *report)
{
	if (--report->holders > 0)
		return;
	for (int i = 0; i < SLOTS; i++)
		slot_done(&report->slots[i]);
	journal_reader_free(report->reader);
	buffer_done(&report->out);
	buffer_done(&report->address);
	buffer_done(&report->message_id);
	free(report->sender);
	free(report->host);
	free(report);
}

static struct slot *current(struct report *report)
{
	return &report->slots[report->next_written % SLOTS];
}

static void begin_answer(struct report *report);

/* One of the two reads of a slot is over. */
static void slot_read(struct slot *slot, int status)
{
	struct report *report = slot->report;

	if (status < 0 && slot->status == 0)
		slot->status = status;
	if (--slot->reading == 0 && report->request && slot == current(report)) {
		if (!report->answering)
			begin_answer(report);
		else
			api_wake(report->request);
	}
	release(report);
}

static void on_shard(void *context, int status, const struct span *values, size_t count)
{
	struct slot *slot = context;

	if (status == 0)
		status = count == 1 ? recipients_open(values[0].data, values[0].len, &slot->recipients)
		                    : OPT_E_STORE;
	slot_read(slot, status);
}

static void on_journal(void *context, int status, const struct span *values, size_t count)
{
	struct slot *slot = context;
	struct journal_entry entry;

	for (size_t i = 0; i < count && status == 0; i++) {
		status =
		    journal_read(slot->report->reader, &slot->shard, values[i].data, values[i].len, &entry);
		if (status == 0)
			replay_entry(slot->replay, &entry);
	}
	slot_read(slot, status);
}

static void read_ahead(struct report *report)
{
	struct store *store = node_store(report->request->node);

	while (report->next_read < report->shards && report->next_read - report->next_written < SLOTS) {
		struct slot *slot = &report->slots[report->next_read % SLOTS];

		slot->report = report;
		slot->shard = shard_id(&report->batch, report->next_read++);
		slot->reading = 2;
		slot->status = 0;
		slot->replay = replay_new(SHARD_MAILS_MAX);
		report->holders += 2;
		store_read_shard(store, &slot->shard, &report->upload, on_shard, slot);
		store_read_journal(store, &slot->shard, on_journal, slot);
	}
}

static const char *message_id(
    struct report *report, const struct slot *slot, uint32_t index, const char *email)
{
	const char *sender = report->sender;

	if (report->verp) {
		buffer_clear(&report->address);
		if (sender_expand(report->sender, email, &report->address) == 0)
			sender = buffer_text(&report->address);
	}
	buffer_clear(&report->message_id);
	message_id_make(&slot->shard, index, sender, report->host, &report->message_id);
	return buffer_text(&report->message_id);
}

static void write_shard(struct report *report, const struct slot *slot)
{
	size_t count = recipients_count(slot->recipients);

	for (uint32_t i = 0; i < count && i < SHARD_MAILS_MAX; i++) {
		const char *email = recipients_email(slot->recipients, i);
		struct replay_mail mail;

		replay_mail(slot->replay, i, &mail);
		if (report->filtered && mail.state != report->only)
			continue;
		report_line(report->format, email, message_id(report, slot, i, email), &mail, &report->out);
	}
}

/* Fills `out` from the shards that are there. 0 also when nothing could be written now. */
static int write_more(struct report *report)
{
	while (report->out.len == 0 && report->next_written < report->shards) {
		struct slot *slot = current(report);

		if (slot->reading > 0)
			return 0;
		if (slot->status < 0)
			return slot->status;
		write_shard(report, slot);
		slot_done(slot);
		report->next_written++;
		read_ahead(report);
	}
	return 0;
}

static ssize_t on_reader(void *context, uint64_t position, char *buffer, size_t max)
{
	struct report *report = context;
	size_t len;
	int status;

	(void)position;
	if (report->out_sent == report->out.len) {
		buffer_clear(&report->out);
		report->out_sent = 0;
		status = write_more(report);
		if (status < 0) {
			log_error("report_cut", "batch", report->name, "reason", opt_strerror(status), NULL);
			return MHD_CONTENT_READER_END_WITH_ERROR;
		}
	}
	len = report->out.len - report->out_sent;
	if (len == 0 && report->next_written == report->shards)
		return MHD_CONTENT_READER_END_OF_STREAM;
	if (len == 0) {
		api_rest(report->request);
		return 0;
	}
	if (len > max)
		len = max;
	memcpy(buffer, report->out.data + report->out_sent, len);
	report->out_sent += len;
	return (ssize_t)len;
}

static void on_response_free(void *context)
{
	release(context);
}

static void begin_answer(struct report *report)
{
	struct api_request *request = report->request;
	struct MHD_Response *response;
	int status = report->shards > 0 ? current(report)->status : 0;

	if (status < 0) {
		log_error("report_failed", "batch", report->name, "reason", opt_strerror(status), NULL);
		api_fail_again(request, API_BUSY_SECONDS,
		    "the node can't read the batch %s from its store now; try again later", request->name);
		return;
	}
	report->answering = true;
	report_header(report->format, &report->out);
	report->holders++;
	response =
	    MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, BLOCK, on_reader, report, on_response_free);
	if (!response)
		abort();
	MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE,
	    report->format == REPORT_CSV ? "text/csv; charset=utf-8" : "application/x-ndjson");
	MHD_set_connection_option(
	    request->connection, MHD_CONNECTION_OPTION_TIMEOUT, (unsigned)READER_SECONDS);
	api_answer_with(request, MHD_HTTP_OK, response);
}

/* The query: ?format=csv|jsonl&only=STATE. False when the answer was given. */
static bool read_query(struct api_request *request, struct report *report)
{
	const char *format = api_query(request, "format");
	const char *only = api_query(request, "only");

	report->format = format && strcmp(format, "jsonl") == 0 ? REPORT_JSONL : REPORT_CSV;
	if (format && report->format == REPORT_CSV && strcmp(format, "csv") != 0) {
		api_fail(request, API_INVALID, "there is no such format; choose csv or jsonl");
		return false;
	}
	report->filtered = only != NULL;
	if (only && strcmp(only, "unavailable") == 0) {
		report->only = MAIL_STAGED; /* no mail of a report is in this state: an empty answer */
		return true;
	}
	if (only && (mail_state_parse(only, &report->only) < 0 || report->only == MAIL_STAGED ||
	                report->only == MAIL_IN_DOUBT)) {
		api_fail(request, API_INVALID,
		    "there is no such state; choose one of ready, claimed, retry, sent, bounced, expired, "
		    "cancelled, "
		    "suppressed, unknown and unavailable");
		return false;
	}
	return true;
}

static char *copy(const char *text)
{
	char *result = strdup(text);

	if (!result)
		abort();
	return result;
}

void api_report_start(struct api_request *request)
{
	struct report *report;
	struct report query = {0};
	struct batch_view view;

	if (!api_batch(request, &view) || !read_query(request, &query))
		return;
	if (view.state == BATCH_UPLOADING) {
		api_fail_again(request, API_BUSY_SECONDS,
		    "the batch %s is still being uploaded; try again later", request->name);
		return;
	}
	report = malloc(sizeof *report);
	if (!report)
		abort();
	*report = query;
	report->holders = 1;
	report->request = request;
	strcpy(report->name, request->name);
	report->batch = view.key;
	report->upload = view.upload;
	report->sender = copy(view.sender);
	report->verp = strstr(view.sender, "{{") != NULL;
	report->host =
	    copy(node_config(request->node)->hostname ? node_config(request->node)->hostname : "localhost");
	report->shards = view.shards;
	report->reader = journal_reader_new();
	buffer_init(&report->out);
	buffer_init(&report->address);
	buffer_init(&report->message_id);
	request->state = report;
	if (report->shards == 0)
		begin_answer(report);
	else
		read_ahead(report);
}

void api_report_gone(struct api_request *request, bool completed)
{
	struct report *report = request->state;

	if (!report)
		return;
	if (completed)
		MHD_set_connection_option(
		    request->connection, MHD_CONNECTION_OPTION_TIMEOUT, (unsigned)HTTP_IDLE_SECONDS);
	report->request = NULL;
	release(report);
}
