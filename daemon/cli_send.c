/* SPDX-License-Identifier: MIT */
/*
 * Sending a batch: the three steps of docs/api.md.
 *
 * The batch id is printed before anything is sent. Whatever happens then (a node that dies, a connection that
 * breaks after "commit") the same command with that id finishes the work or finds it done, and never sends
 * anybody anything twice. What fails before "commit" leaves nothing behind: the upload is given up, and where
 * the node can't hear that any more it drops the upload by itself.
 */
#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#include "daemon/cli_json.h"
#include "daemon/cli_rows.h"
#include "daemon/cli_say.h"
#include "daemon/cli_send.h"
#include "daemon/cli_status.h"
#include "daemon/cli_time.h"
#include "daemon/cli_upload.h"
#include "queue/error.h"
#include "queue/id.h"
#include "queue/message/template.h"
#include "queue/message/utf8.h"

enum { RANDOM_ID_BYTES = 16, UPLOAD_ID_MAX = 64, PATH_SIZE = 256 };

struct sending {
	struct client *client;
	const struct send_options *options;
	char id[BATCH_NAME_MAX + 1];
	const char *file; /* the recipients' name, for messages */
	int fd;           /* the recipients */
	uint64_t size;    /* of them, 0 where it isn't known */
	struct rows *rows;
	struct buffer template;
	char upload[UPLOAD_ID_MAX + 1]; /* "" before step one */
};

static int open_failure(const char *file)
{
	int rc = errno == EACCES ? CLI_DENIED : errno == ENOENT || errno == ENOTDIR ? CLI_NO_INPUT : CLI_IO;

	say("%s: %s", file, strerror(errno));
	return rc;
}

static ssize_t read_fd(void *context, void *data, size_t size)
{
	const struct sending *sending = context;
	ssize_t got;

	do
		got = read(sending->fd, data, size);
	while (got < 0 && errno == EINTR);
	return got;
}

static int read_template(struct sending *sending)
{
	const char *file = sending->options->template;
	int fd = open(file, O_RDONLY | O_CLOEXEC);
	ssize_t got = 0;

	if (fd < 0)
		return open_failure(file);
	do {
		char *to = buffer_reserve(&sending->template, 64 * 1024);

		got = read(fd, to, 64 * 1024);
		if (got > 0)
			sending->template.len += (size_t)got;
	} while ((got > 0 || (got < 0 && errno == EINTR)) && sending->template.len <= TEMPLATE_SIZE_MAX);
	if (got < 0) {
		say("%s: %s", file, strerror(errno));
		close(fd);
		return CLI_IO;
	}
	close(fd);
	if (sending->template.len > TEMPLATE_SIZE_MAX || sending->template.len == 0) {
		say(sending->template.len == 0 ? "%s is empty"
		                               : "%s is too large: a template may have 32 MiB",
		    file);
		return CLI_DATA;
	}
	return CLI_OK;
}

static enum rows_format format_of(const char *file)
{
	const char *dot = strrchr(file, '.');

	if (dot != NULL && strcasecmp(dot, ".csv") == 0)
		return ROWS_CSV;
	if (dot != NULL && (strcasecmp(dot, ".ndjson") == 0 || strcasecmp(dot, ".jsonl") == 0))
		return ROWS_NDJSON;
	return ROWS_GUESS;
}

static int open_recipients(struct sending *sending)
{
	struct input_source source = {.read = read_fd, .context = sending};
	const char *file = sending->options->recipients;
	char error[ROWS_TEXT_MAX];
	struct stat status;
	int rc;

	sending->file = strcmp(file, "-") == 0 ? "standard input" : file;
	sending->fd = strcmp(file, "-") == 0 ? STDIN_FILENO : open(file, O_RDONLY | O_CLOEXEC);
	if (sending->fd < 0)
		return open_failure(file);
	if (fstat(sending->fd, &status) == 0 && S_ISREG(status.st_mode))
		sending->size = (uint64_t)status.st_size;
	rc = rows_open(&source, format_of(file), &sending->rows, error);
	if (rc < 0) {
		say("%s: %s", sending->file, error);
		return rc == OPT_E_IO ? CLI_IO : CLI_DATA;
	}
	return CLI_OK;
}

static int choose_id(struct sending *sending)
{
	unsigned char random[RANDOM_ID_BYTES];

	if (sending->options->id != NULL) {
		snprintf(sending->id, sizeof sending->id, "%s", sending->options->id);
	} else {
		if (sodium_init() < 0) {
			say("the random generator is not available");
			return CLI_OS;
		}
		randombytes_buf(random, sizeof random);
		sodium_bin2hex(sending->id, sizeof sending->id, random, sizeof random);
	}
	if (!sending->options->json)
		printf("%s\n", sending->id);
	else if (sending->options->id == NULL)
		say_plain("batch %s", sending->id);
	return say_flush(NULL);
}

static void add_template(struct buffer *body, const struct buffer *template)
{
	size_t size;

	/* JSON has no way to write a NUL that all readers take, and none for bytes that are no UTF-8. */
	if (memchr(template->data, '\0', template->len) == NULL &&
	    utf8_valid(template->data, template->len)) {
		buffer_add_text(body, ",\"template\":");
		json_add_string(body, template->data, template->len);
		return;
	}
	buffer_add_text(body, ",\"template_base64\":\"");
	size = sodium_base64_encoded_len(template->len, sodium_base64_VARIANT_ORIGINAL);
	sodium_bin2base64(buffer_reserve(body, size), size, (const unsigned char *)template->data,
	    template->len, sodium_base64_VARIANT_ORIGINAL);
	body->len += size - 1;
	buffer_add_char(body, '"');
}

static void describe(const struct sending *sending, struct buffer *body)
{
	const struct send_options *options = sending->options;
	char at[CLI_TIME_TEXT];
	bool first = true;

	buffer_add_text(body, "{\"from\":");
	json_add_string(body, options->from, strlen(options->from));
	add_template(body, &sending->template);
	if (rows_column_count(sending->rows) > 0)
		buffer_add_text(body, ",\"columns\":[");
	for (size_t i = 0; i < rows_column_count(sending->rows); i++) {
		const char *name = rows_column(sending->rows, i);

		if (name[0] == '\0')
			continue;
		if (!first)
			buffer_add_char(body, ',');
		first = false;
		json_add_string(body, name, strlen(name));
	}
	if (!first)
		buffer_add_char(body, ']');
	if (options->expire > 0)
		buffer_printf(body, ",\"expire\":%llu", (unsigned long long)options->expire);
	if (options->has_at)
		buffer_printf(body, ",\"at\":\"%s\"", cli_time_format(options->at, at));
	if (options->priority != 0)
		buffer_printf(body, ",\"priority\":%lld", options->priority);
	if (options->replicas != 0)
		buffer_printf(body, ",\"replicas\":%lld", options->replicas);
	buffer_add_char(body, '}');
}

/* Keeps the upload's id and tells the reader which members to send. */
static int take_begun(struct sending *sending, const json_t *json)
{
	const char *upload = json_string_value(json_object_get(json, "upload"));
	const json_t *fields = json_object_get(json, "fields");
	const char **names;
	json_t *field;
	size_t i, count = 0;

	if (upload == NULL || strlen(upload) > UPLOAD_ID_MAX ||
	    upload[strspn(upload, "0123456789abcdef")] != '\0' || !json_is_array(fields)) {
		say("the node's answer names no upload");
		return CLI_PROTOCOL;
	}
	snprintf(sending->upload, sizeof sending->upload, "%s", upload);
	names = calloc(json_array_size(fields) + 1, sizeof *names);
	if (names == NULL)
		abort();
	json_array_foreach (fields, i, field) {
		if (json_is_string(field))
			names[count++] = json_string_value(field);
	}
	rows_want(sending->rows, names, count);
	free(names);
	return CLI_OK;
}

/* What the API gave as the reason, at the file that it is about. */
static void say_answer(const struct sending *sending, const struct client_answer *answer)
{
	const char *file = sending->options->template;
	char line[32];

	snprintf(line, sizeof line, "line %lld", answer->line);
	/* Some sentences name the line themselves. */
	bool named = answer->line <= 0 || strstr(answer->error, line) != NULL;
	if (strcmp(answer->code, "template") == 0 && !named)
		say("%s: %s: %s", file, line, answer->error);
	else if (strcmp(answer->code, "template") == 0)
		say("%s: %s", file, answer->error);
	else
		say("%s", answer->error);
}

static void say_repeat(const struct sending *sending)
{
	if (sending->options->recipients[0] == '-' && sending->options->recipients[1] == '\0')
		say_plain("The same input sent again with --id %s is safe: nobody gets anything twice.",
		    sending->id);
	else
		say_plain("The same command with --id %s is safe: nobody gets anything twice.", sending->id);
}

static int begin(struct sending *sending)
{
	struct client_answer answer = {0};
	struct buffer body;
	char path[PATH_SIZE];
	int rc;

	buffer_init(&body);
	describe(sending, &body);
	snprintf(path, sizeof path, "/v1/batches/%s", sending->id);
	rc = client_call_patiently(sending->client, "POST", path, body.data, body.len, &answer);
	if (rc == CLI_OK)
		rc = take_begun(sending, answer.json);
	else
		say_answer(sending, &answer);
	client_answer_done(&answer);
	buffer_done(&body);
	return rc;
}

static int send_rows(struct sending *sending, uint64_t *ret_rows)
{
	struct upload_options options = {
	    .file = sending->file,
	    .size = sending->size,
	    .skip_invalid = sending->options->skip_invalid,
	    .keep_duplicates = sending->options->keep_duplicates,
	};
	char path[PATH_SIZE];
	struct upload *upload;
	int rc;

	snprintf(path, sizeof path, "/v1/batches/%s/recipients?upload=%s", sending->id, sending->upload);
	upload = upload_new(sending->client, path, sending->rows, &options);
	rc = upload_run(upload, ret_rows);
	upload_free(upload);
	return rc;
}

static void give_up(struct sending *sending)
{
	struct client_answer answer = {0};
	char path[PATH_SIZE];

	/* No matter whether it arrives: an upload that stays silent ends by itself. */
	snprintf(path, sizeof path, "/v1/batches/%s/upload?upload=%s", sending->id, sending->upload);
	client_call(sending->client, "DELETE", path, NULL, 0, &answer);
	client_answer_done(&answer);
}

static int commit(struct sending *sending, uint64_t rows)
{
	struct client_answer answer = {0};
	char path[PATH_SIZE], body[64];
	int rc;

	snprintf(path, sizeof path, "/v1/batches/%s/commit?upload=%s", sending->id, sending->upload);
	int len = snprintf(body, sizeof body, "{\"rows\":%llu}", (unsigned long long)rows);
	/* Not patiently: "again" is the end of this upload, and the batch has to be sent again. */
	rc = client_call(sending->client, "POST", path, body, (size_t)len, &answer);
	if (rc != CLI_OK) {
		say_answer(sending, &answer);
		if (answer.sent)
			say_plain("Whether the batch was accepted is not known.");
		if (rc == CLI_AGAIN || rc == CLI_UNAVAILABLE)
			say_repeat(sending);
	} else if (sending->options->json) {
		json_dumpf(answer.json, stdout, JSON_COMPACT);
		putchar('\n');
		rc = say_flush(NULL);
	}
	if (rc == CLI_OK && say_terminal(stderr)) {
		say_plain(answer.status == 201 ? "%llu mails accepted; see \"optimus status %s\""
		                               : "%llu mails, accepted before; see \"optimus status %s\"",
		    (unsigned long long)rows, sending->id);
	}
	client_answer_done(&answer);
	return rc;
}

static int deliver(struct sending *sending)
{
	uint64_t rows = 0;
	int rc = begin(sending);

	if (rc != CLI_OK)
		return rc;
	rc = send_rows(sending, &rows);
	if (rc != CLI_OK) {
		give_up(sending);
		if (rc == CLI_AGAIN || rc == CLI_UNAVAILABLE)
			say_repeat(sending);
		return rc;
	}
	rc = commit(sending, rows);
	if (rc != CLI_OK || !sending->options->watch)
		return rc;
	return status_run(
	    sending->client, &(struct status_options){.batch = sending->id, .watch = true, .out = stderr});
}

int send_run(struct client *client, const struct send_options *options)
{
	struct sending sending = {.client = client, .options = options, .fd = -1};
	int rc;

	buffer_init(&sending.template);
	rc = read_template(&sending);
	if (rc == CLI_OK)
		rc = open_recipients(&sending);
	if (rc == CLI_OK)
		rc = choose_id(&sending);
	if (rc == CLI_OK)
		rc = deliver(&sending);
	rows_free(sending.rows);
	if (sending.fd > STDIN_FILENO)
		close(sending.fd);
	buffer_done(&sending.template);
	return rc;
}
