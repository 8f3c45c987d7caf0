/* SPDX-License-Identifier: MIT */
/*
 * Streams a report: one shard after the other is fetched with its journal, from this node or from one that
 * knows more (queue/fetch.c), replayed, written, and forgotten.
 *
 * A few shards are fetched ahead into a ring of slots. libmicrohttpd asks for bytes whenever the client can
 * take some; when the next shard has not come, the connection rests until it has. A slow client therefore
 * holds a few shards in memory and nothing more.
 *
 * A shard that no live node has can't be listed, for its recipients are in it. The report goes on with the
 * others and says at its end, in a trailer, which ones are missing; a client that takes no trailers sees an
 * answer that breaks off. When the first shards are missing, the answer begins with the first one that is
 * there, and when none is, it is an error like any other. A shard that can't be read cuts the answer.
 *
 * Request and response both hold the report, and either may go first.
 *
 * Each shard is shown as it is when its turn comes: the report of a batch that is being sent is no snapshot.
 */
#include "daemon/api_report.h"

#include <stdlib.h>
#include <string.h>

#include "daemon/http_server.h"
#include "daemon/log.h"
#include "daemon/report_line.h"
#include "daemon/report_missing.h"
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
	uint64_t reply; /* that is still to come; 0: it is there */
	int status;
	struct recipients *recipients;
	struct replay *replay;
};

struct report {
	unsigned holders;
	struct api_request *request;   /* NULL: it is gone */
	struct MHD_Response *response; /* NULL: the answer has not begun */
	bool asking;                   /* read_ahead() is running */
	bool trailer;                  /* the client takes one */
	enum report_format format;
	bool filtered;
	enum mail_state only;
	char name[BATCH_NAME_MAX + 1];
	struct opt_id batch;
	char *sender;
	bool verp;
	char *host;
	uint32_t shards;
	uint64_t mails; /* of the batch */
	uint64_t seen;  /* of them in the shards so far */
	struct report_missing missing;
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
	report_missing_done(&report->missing);
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

static int take_shard(struct slot *slot, const struct effect *effect)
{
	struct journal_entry entry;
	int status = recipients_open(effect->data, effect->len, &slot->recipients);

	slot->replay = replay_new(SHARD_MAILS_MAX);
	for (size_t i = 0; i < effect->entry_count && status == 0; i++) {
		status = journal_read(slot->report->reader, &slot->shard, effect->entries[i].data,
		    effect->entries[i].len, &entry);
		if (status == 0)
			replay_entry(slot->replay, &entry);
	}
	return status;
}

static void begin_when_ready(struct report *report);

static void on_fetched(void *context, const struct effect *effect)
{
	struct slot *slot = context;
	struct report *report = slot->report;

	slot->reply = 0;
	slot->status = effect->status < 0 ? OPT_E_AGAIN : take_shard(slot, effect);
	if (slot != current(report) || report->asking)
		return;
	if (report->response)
		api_wake(report->request);
	else
		begin_when_ready(report);
}

/* An answer may come inside node_event(). */
static void read_ahead(struct report *report)
{
	report->asking = true;
	while (report->next_read < report->shards && report->next_read - report->next_written < SLOTS) {
		struct slot *slot = &report->slots[report->next_read % SLOTS];
		struct event event = {.type = EVENT_FETCH};

		slot->report = report;
		slot->shard = shard_id(&report->batch, report->next_read);
		slot->reply = node_expect(report->request->node, on_fetched, slot);
		event.fetch.reply = slot->reply;
		event.fetch.batch = report->batch;
		event.fetch.index = report->next_read++;
		node_event(report->request->node, &event);
	}
	report->asking = false;
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
	report->seen += count;
}

/* The current shard has been written or is missing: on to the next one. */
static void next_shard(struct report *report)
{
	slot_done(current(report));
	report->next_written++;
	read_ahead(report);
}

static bool is_missing(const struct slot *slot)
{
	return slot->reply == 0 && slot->status == OPT_E_AGAIN;
}

static void skip_missing(struct report *report)
{
	while (report->next_written < report->shards && is_missing(current(report))) {
		report_missing_add(&report->missing, report->next_written);
		next_shard(report);
	}
}

/* Fills `out` from the shards that are there. 0 also when nothing could be written now. */
static int write_more(struct report *report)
{
	for (skip_missing(report); report->out.len == 0 && report->next_written < report->shards;
	     skip_missing(report)) {
		struct slot *slot = current(report);

		if (slot->reply)
			return 0;
		if (slot->status < 0)
			return slot->status;
		write_shard(report, slot);
		next_shard(report);
	}
	return 0;
}

/* All is written but for shards that nobody has. */
static ssize_t end_report(struct report *report)
{
	const char *words;

	if (report->missing.count == 0)
		return MHD_CONTENT_READER_END_OF_STREAM;
	words = report_missing_text(&report->missing, report->shards, report->mails - report->seen);
	log_warning("report_incomplete", "batch", report->name, "missing", words, NULL);
	if (!report->trailer)
		return MHD_CONTENT_READER_END_WITH_ERROR;
	MHD_add_response_footer(report->response, REPORT_MISSING_TRAILER, words);
	return MHD_CONTENT_READER_END_OF_STREAM;
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
		return end_report(report);
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

	report_header(report->format, &report->out);
	report->holders++;
	report->response =
	    MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, BLOCK, on_reader, report, on_response_free);
	if (!report->response)
		abort();
	MHD_add_response_header(report->response, MHD_HTTP_HEADER_CONTENT_TYPE,
	    report->format == REPORT_CSV ? "text/csv; charset=utf-8" : "application/x-ndjson");
	if (report->trailer)
		MHD_add_response_header(report->response, MHD_HTTP_HEADER_TRAILER, REPORT_MISSING_TRAILER);
	MHD_set_connection_option(
	    request->connection, MHD_CONNECTION_OPTION_TIMEOUT, (unsigned)READER_SECONDS);
	api_answer_with(request, MHD_HTTP_OK, report->response);
}

/* Begins the answer with the first shard that is there. */
static void begin_when_ready(struct report *report)
{
	struct api_request *request = report->request;

	skip_missing(report);
	if (report->missing.count > 0 && report->next_written == report->shards)
		api_fail_again(request, API_BUSY_SECONDS,
		    "no node that answers has anything of the batch %s; try again when its nodes are back",
		    request->name);
	else if (report->shards == 0 || (current(report)->reply == 0 && current(report)->status == 0))
		begin_answer(report);
	else if (current(report)->reply == 0) {
		log_error("report_failed", "batch", report->name, "reason",
		    opt_strerror(current(report)->status), NULL);
		api_fail_again(request, API_BUSY_SECONDS,
		    "the node can't read the batch %s now; try again later", request->name);
	}
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

static bool takes_trailer(struct api_request *request)
{
	const char *te =
	    MHD_lookup_connection_value(request->connection, MHD_HEADER_KIND, MHD_HTTP_HEADER_TE);

	return te && strstr(te, "trailers") != NULL;
}

static void start(struct api_request *request, const struct batch_view *view)
{
	const char *host = node_config(request->node)->hostname;
	struct report *report;
	struct report query = {0};

	if (!read_query(request, &query))
		return;
	if (view->state == BATCH_UPLOADING) {
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
	report->trailer = takes_trailer(request);
	strcpy(report->name, view->name);
	report->batch = view->key;
	report->sender = copy(view->sender);
	report->verp = strstr(view->sender, "{{") != NULL;
	report->host = copy(host ? host : "localhost");
	report->shards = view->shards;
	report->mails = view->total;
	report->reader = journal_reader_new();
	report_missing_init(&report->missing);
	buffer_init(&report->out);
	buffer_init(&report->address);
	buffer_init(&report->message_id);
	request->state = report;
	read_ahead(report);
	begin_when_ready(report);
}

void api_report_start(struct api_request *request)
{
	api_batch(request, start);
}

void api_report_gone(struct api_request *request, bool completed)
{
	struct report *report = request->state;

	if (!report)
		return;
	if (completed)
		MHD_set_connection_option(
		    request->connection, MHD_CONNECTION_OPTION_TIMEOUT, (unsigned)HTTP_IDLE_SECONDS);
	for (int i = 0; i < SLOTS; i++) {
		if (report->slots[i].reply)
			node_forget(request->node, report->slots[i].reply);
	}
	report->request = NULL;
	release(report);
}
