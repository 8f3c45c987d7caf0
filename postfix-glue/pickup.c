/* SPDX-License-Identifier: MIT */
/*
 * optimus-pickup: feeds mails that optimusd names into Postfix. It takes the place of pickup(8).
 *
 * master(8) runs a few of these, each serving one connection from optimusd at a time (queue/frames.h). A FEED
 * names mails of one shard; for each of them the message is rendered from the shard and its template, given
 * to cleanup(8), and answered with FED.
 *
 * The one rule that keeps mail safe here: cleanup tells the queue id before it gets any content, and BEGUN
 * with that id is written to optimusd first. When that write fails optimusd is gone, and then nothing is fed:
 * a mail is never in Postfix without its claim's owner knowing where.
 *
 * Failures of ours (Redis away, cleanup away, Postfix stopping) are answered NOT_NOW and the mail stays with
 * optimusd. Only what can never work (a message that Postfix refuses, values that don't render) is REFUSED.
 *
 * The attempt key goes along as DSN envelope id and as original recipient; outcome.c gets it back that way.
 */
#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <sys_defs.h>
#include <vstream.h>
#include <msg.h>
#include <mail_conf.h>
#include <mail_server.h>
#include <mail_version.h>
#include <master_proto.h>

#include "postfix-glue/inject.h"
#include "postfix-glue/params.h"
#include "postfix-glue/source.h"
#include "postfix-glue/version.h"
#include "queue/error.h"
#include "queue/frames.h"
#include "queue/message/message_id.h"

enum {
	READ_SIZE = 64 * 1024,
	CLEANUP_PATIENCE_MS = 2000, /* for cleanup(8) to come back, for example after a crash */
	CLEANUP_PAUSE_MS = 50,
	DATE_SIZE = 64,
};

static char *var_optimus_redis_socket;

/* The connection being served, and what is reused from one mail to the next. */
static struct {
	int fd;             /* of optimusd */
	bool lost;          /* a write to it failed */
	struct buffer out;  /* answers not written yet */
	struct buffer text; /* the rendered message */
	struct buffer sender;
	struct buffer message_id;
	struct source *source;
	struct inject *inject;
} pickup;

/* Whether optimusd and master are both still there. */
static bool keep_going(void *context)
{
	struct pollfd fds[2] = {
	    {.fd = pickup.fd, .events = POLLRDHUP}, {.fd = MASTER_STATUS_FD, .events = POLLIN}};

	(void)context;
	if (pickup.lost)
		return false;
	return poll(fds, 2, 0) == 0;
}

static void flush_answers(void)
{
	size_t done = 0;

	while (!pickup.lost && done < pickup.out.len) {
		ssize_t n = write(pickup.fd, pickup.out.data + done, pickup.out.len - done);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			pickup.lost = true;
		else
			done += (size_t)n;
	}
	buffer_clear(&pickup.out);
}

static void answer_fed(const struct attempt_key *key, enum fed_status status, const char *reason)
{
	const struct frame frame = {.type = FRAME_FED, .key = *key, .status = status, .reason = reason};

	frame_encode(&frame, &pickup.out);
}

/* Tells optimusd the queue id, together with earlier answers, and makes sure that it was told. */
static bool announce(const struct attempt_key *key, const char *queue_id)
{
	const struct frame frame = {.type = FRAME_BEGUN, .key = *key, .queue_id = queue_id};

	frame_encode(&frame, &pickup.out);
	flush_answers();
	return !pickup.lost;
}

static int begin(const char **ret_queue_id)
{
	int waited = 0;

	while (inject_begin(pickup.inject, ret_queue_id) != 0) {
		flush_answers();
		if (waited >= CLEANUP_PATIENCE_MS || !keep_going(NULL))
			return OPT_E_AGAIN;
		poll(NULL, 0, CLEANUP_PAUSE_MS);
		waited += CLEANUP_PAUSE_MS;
	}
	return 0;
}

static void format_date(struct utc_time at, char date[DATE_SIZE])
{
	time_t seconds = (time_t)(at.us / USEC_PER_SEC);
	struct tm tm;

	gmtime_r(&seconds, &tm);
	strftime(date, DATE_SIZE, "%a, %d %b %Y %H:%M:%S +0000", &tm);
}

/* Renders mail `index` into pickup.text and pickup.sender. On failure *ret_reason is static or in *error. */
static int compose(const struct frame *feed, uint32_t index, const struct source_shard *shard,
    struct template_error *error, const char **ret_reason)
{
	const char *fields[TEMPLATE_FIELDS_MAX + 1] = {NULL};
	char date[DATE_SIZE];
	struct template_values values = {
	    .email = recipients_email(shard->recipients, index), .fields = fields, .date = date};

	buffer_clear(&pickup.text);
	buffer_clear(&pickup.sender);
	if (sender_expand(feed->sender, values.email, &pickup.sender) != 0) {
		*ret_reason = "the envelope sender is no address for this recipient";
		return OPT_E_INVALID;
	}
	for (size_t i = 0; i < recipients_fields(shard->recipients); i++)
		fields[i] = recipients_value(shard->recipients, index, i);
	buffer_clear(&pickup.message_id);
	message_id_make(
	    &feed->key.shard, index, buffer_text(&pickup.sender), var_myhostname, &pickup.message_id);
	values.message_id = buffer_text(&pickup.message_id);
	format_date(feed->created, date);
	if (template_check_values(shard->template, &values, error) != 0) {
		*ret_reason = error->text;
		return OPT_E_INVALID;
	}
	if (template_render(shard->template, &values, &pickup.text) != 0) {
		*ret_reason = "the message can't be rendered";
		return OPT_E_INVALID;
	}
	return 0;
}

static void feed_mail(
    const struct frame *feed, const struct attempt_key *key, const struct source_shard *shard)
{
	char attempt[ATTEMPT_TEXT_MAX];
	struct template_error error;
	const char *queue_id;
	const char *reason;
	enum fed_status status;

	if (key->index >= recipients_count(shard->recipients)) {
		answer_fed(key, FED_NOT_NOW, "the shard in the local store has no such mail");
		return;
	}
	if (compose(feed, key->index, shard, &error, &reason) != 0) {
		answer_fed(key, FED_REFUSED, reason);
		return;
	}
	if (begin(&queue_id) != 0) {
		answer_fed(key, FED_NOT_NOW, "cleanup doesn't answer");
		return;
	}
	if (!announce(key, queue_id)) {
		inject_drop(pickup.inject);
		return;
	}
	const struct inject_mail mail = {
	    .attempt = attempt_to_text(key, attempt),
	    .sender = buffer_text(&pickup.sender),
	    .recipient = recipients_email(shard->recipients, key->index),
	    .content = pickup.text.data ? pickup.text.data : "",
	    .len = pickup.text.len,
	};
	status = inject_send(pickup.inject, &mail, &reason);
	answer_fed(key, status, reason);
}

static void feed_mails(const struct frame *feed)
{
	struct source_shard shard;
	const char *reason;
	bool open = source_open(pickup.source, &feed->upload, &feed->key.shard, &shard, &reason) == 0;

	for (size_t i = 0; i < feed->mail_count; i++) {
		struct attempt_key key = feed->key;

		key.index = feed->mails[i].index;
		key.attempt = feed->mails[i].attempt;
		if (pickup.lost)
			return;
		if (!open)
			answer_fed(&key, FED_NOT_NOW, reason);
		else if (!keep_going(NULL))
			answer_fed(&key, FED_NOT_NOW, "Postfix is stopping");
		else
			feed_mail(feed, &key, &shard);
	}
	flush_answers();
}

/* Waits for bytes from optimusd. 0 at its end, or when master is gone. */
static ssize_t receive(char *chunk, size_t size)
{
	for (;;) {
		struct pollfd fds[2] = {
		    {.fd = pickup.fd, .events = POLLIN}, {.fd = MASTER_STATUS_FD, .events = POLLIN}};
		ssize_t n;

		if (poll(fds, 2, -1) < 0) {
			if (errno == EINTR)
				continue;
			return -1;
		}
		/* Nobody writes to us through the status pipe: readable means that master is gone. */
		if (fds[1].revents)
			return 0;
		n = read(pickup.fd, chunk, size);
		if (n < 0 && errno == EINTR)
			continue;
		return n;
	}
}

static void serve(VSTREAM *client, char *service, char **argv)
{
	static char chunk[READ_SIZE];
	struct frame_decoder *decoder = frame_decoder_new();
	struct frame frame;
	ssize_t n;
	int more = 0;

	(void)service;
	if (argv[0])
		msg_fatal("unexpected command-line argument: %s", argv[0]);
	pickup.fd = vstream_fileno(client);
	pickup.lost = false;
	buffer_clear(&pickup.out);
	while (!pickup.lost && (n = receive(chunk, sizeof(chunk))) > 0) {
		frame_decoder_feed(decoder, chunk, (size_t)n);
		while (!pickup.lost && (more = frame_decoder_next(decoder, &frame)) == 1) {
			if (frame.type == FRAME_FEED)
				feed_mails(&frame);
			else
				msg_warn("ignored a frame of type %d", (int)frame.type);
		}
		if (more < 0) {
			msg_warn("bad frame from optimusd: %s", opt_strerror(more));
			break;
		}
	}
	frame_decoder_free(decoder);
}

static void start(char *service, char **argv)
{
	(void)service;
	(void)argv;
	version_require();
	if (*var_optimus_redis_socket != '/')
		msg_fatal("optimus_redis_socket in main.cf must be the path of Redis's Unix socket");
	buffer_init(&pickup.out);
	buffer_init(&pickup.text);
	buffer_init(&pickup.sender);
	buffer_init(&pickup.message_id);
	pickup.source = source_new(var_optimus_redis_socket, keep_going, NULL);
	pickup.inject = inject_new();
}

MAIL_VERSION_STAMP_DECLARE;

int main(int argc, char **argv)
{
	static const CONFIG_STR_TABLE texts[] = {
	    {"optimus_redis_socket", "", &var_optimus_redis_socket, 0, 0},
	    {NULL, NULL, NULL, 0, 0},
	};

	MAIL_VERSION_STAMP_ALLOCATE;
	single_server_main(
	    argc, argv, serve, CA_MAIL_SERVER_STR_TABLE(texts), CA_MAIL_SERVER_POST_INIT(start), 0);
}
