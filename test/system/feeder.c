/* SPDX-License-Identifier: MIT */
/*
 * Plays optimusd for the tests of postfix-glue: stores a batch in Redis, feeds it to optimus-pickup, takes
 * and acknowledges what optimus-outcome reports, and prints what it counted.
 *
 *   feeder --redis SOCK --outcome SOCK [--pickup SOCK] [--mails N] [--shard N] [--to PATTERN] [--from ADDR]
 *          [--template FILE] [--connections N] [--window N] [--ledger FILE] [--name NAME] [--deaf N]
 *
 * PATTERN has %u where the mail's number goes. Without --pickup it feeds nothing and serves outcomes until
 * SIGTERM. --deaf N stops acknowledging after N facts. The ledger gets a line for each fact:
 *
 *   BEGUN|FED|APPEND|DONE <attempt text> ...
 *
 * Exits 0 when every mail was refused, put off or done, 1 otherwise. It trusts nobody's input to be small: it
 * is a test's tool, and asserts.
 */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include <hiredis/hiredis.h>
#include <zstd.h>

#include "queue/frames.h"
#include "queue/message/recipients.h"

enum { CONNECTIONS_MAX = 16, FRAME_MAILS = 25, STALL_S = 60 };

struct link {
	int fd;
	struct frame_decoder *decoder;
	struct buffer out;
	bool outcome;
};

static struct {
	const char *redis, *outcome, *pickup, *to, *from, *template, *name;
	unsigned mails, shard, connections, window;
	long deaf;
	FILE *ledger;
	struct opt_id batch, upload, node;
	struct link links[2 * CONNECTIONS_MAX];
	size_t link_count;
	int listener;
	unsigned next;    /* the next mail to feed */
	unsigned settled; /* mails done, refused or put off */
	unsigned in_flight;
	bool *done;
	unsigned fed[4], begun, sent, deferred, bounced, dones, strange;
	long facts;
} feeder = {.from = "sender@sender.test",
    .to = "user%u@example.test",
    .name = "glue-test",
    .mails = 100,
    .shard = SHARD_MAILS_MAX,
    .connections = 4,
    .window = 1000,
    .deaf = -1};

static volatile sig_atomic_t stopping;

static void on_term(int signal_number)
{
	(void)signal_number;
	stopping = 1;
}

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static int unix_connect(const char *path)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert(fd >= 0 && strlen(path) < sizeof(address.sun_path));
	memcpy(address.sun_path, path, strlen(path) + 1);
	if (connect(fd, (struct sockaddr *)&address, sizeof(address)) != 0) {
		fprintf(stderr, "feeder: %s: %s\n", path, strerror(errno));
		exit(1);
	}
	return fd;
}

static int unix_listen(const char *path)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert(fd >= 0 && strlen(path) < sizeof(address.sun_path));
	memcpy(address.sun_path, path, strlen(path) + 1);
	unlink(path);
	if (bind(fd, (struct sockaddr *)&address, sizeof(address)) != 0 || chmod(path, 0777) != 0 ||
	    listen(fd, 16) != 0) {
		fprintf(stderr, "feeder: %s: %s\n", path, strerror(errno));
		exit(1);
	}
	return fd;
}

static void add_link(int fd, bool outcome)
{
	assert(feeder.link_count < 2 * CONNECTIONS_MAX);
	struct link *link = &feeder.links[feeder.link_count++];

	*link = (struct link){.fd = fd, .decoder = frame_decoder_new(), .outcome = outcome};
	buffer_init(&link->out);
}

static void read_template(struct buffer *text)
{
	static const char head[] = "From: Sender <sender@sender.test>\nSubject: a test\n"
	                           "MIME-Version: 1.0\nContent-Type: text/plain; charset=utf-8\n\n";

	if (feeder.template) {
		FILE *file = fopen(feeder.template, "re");
		size_t n;

		assert(file);
		while ((n = fread(buffer_reserve(text, 65536), 1, 65536, file)) > 0)
			text->len += n;
		fclose(file);
		return;
	}
	buffer_add_text(text, head);
	for (int i = 0; i < 28; i++)
		buffer_add_text(
		    text, "One of many lines that make a message of about two kilobytes, as usual.\n");
}

static void store_value(redisContext *redis, const char *key, const struct buffer *value)
{
	redisReply *reply = redisCommand(redis, "SET %s %b", key, value->data, value->len);

	assert(reply && reply->type == REDIS_REPLY_STATUS);
	freeReplyObject(reply);
}

static void store_batch(void)
{
	redisContext *redis = redisConnectUnix(feeder.redis);
	struct recipients_writer *writer = recipients_writer_new(0);
	struct buffer text, value;
	struct opt_id hash;
	char key[128], hex[OPT_ID_HEX], upload_hex[OPT_ID_HEX];

	assert(redis && !redis->err);
	buffer_init(&text);
	buffer_init(&value);
	read_template(&text);
	value.len = ZSTD_compress(buffer_reserve(&value, ZSTD_compressBound(text.len)),
	    ZSTD_compressBound(text.len), text.data, text.len, 3);
	assert(!ZSTD_isError(value.len));
	snprintf(key, sizeof(key), "template:%s", id_to_hex(&feeder.upload, upload_hex));
	store_value(redis, key, &value);
	for (unsigned i = 0; i < feeder.mails; i++) {
		char email[400];
		struct opt_id shard = shard_id(&feeder.batch, i / feeder.shard);

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
		snprintf(email, sizeof(email), feeder.to, i);
#pragma GCC diagnostic pop
		assert(recipients_writer_add(writer, email, NULL) == 0);
		if ((i + 1) % feeder.shard != 0 && i + 1 != feeder.mails)
			continue;
		buffer_clear(&value);
		recipients_writer_finish(writer, &value, &hash);
		snprintf(key, sizeof(key), "shard:%s:%s", id_to_hex(&shard, hex), upload_hex);
		store_value(redis, key, &value);
	}
	recipients_writer_free(writer);
	buffer_done(&text);
	buffer_done(&value);
	redisFree(redis);
}

static void flush_link(struct link *link)
{
	while (link->fd >= 0 && link->out.len > 0) {
		ssize_t n = send(link->fd, link->out.data, link->out.len, MSG_NOSIGNAL | MSG_DONTWAIT);

		if (n > 0)
			buffer_consume(&link->out, (size_t)n);
		else if (n < 0 && errno == EAGAIN)
			return;
		else if (errno != EINTR)
			break;
	}
}

static void feed_some(struct link *link)
{
	struct frame_mail mails[FRAME_MAILS];
	struct frame frame = {.type = FRAME_FEED,
	    .batch = feeder.name,
	    .batch_key = feeder.batch,
	    .upload = feeder.upload,
	    .sender = feeder.from,
	    .created = {1700000000000000},
	    .mails = mails};
	unsigned shard = feeder.next / feeder.shard;

	frame.key =
	    (struct attempt_key){.shard = shard_id(&feeder.batch, shard), .epoch = 7, .node = feeder.node};
	while (frame.mail_count < FRAME_MAILS && feeder.next < feeder.mails &&
	       feeder.next / feeder.shard == shard && feeder.in_flight < feeder.window) {
		mails[frame.mail_count++] =
		    (struct frame_mail){.index = feeder.next++ % feeder.shard, .attempt = 1};
		feeder.in_flight++;
	}
	if (frame.mail_count == 0)
		return;
	frame_encode(&frame, &link->out);
	flush_link(link);
}

/* The mail's number, or feeder.mails when the key isn't one of ours. */
static unsigned number_of(const struct attempt_key *key)
{
	for (unsigned s = 0; s <= (feeder.mails - 1) / feeder.shard; s++) {
		struct opt_id id = shard_id(&feeder.batch, s);
		unsigned number = s * feeder.shard + key->index;

		if (id_equal(&id, &key->shard) && key->epoch == 7 && key->attempt == 1 &&
		    number < feeder.mails)
			return number;
	}
	feeder.strange++;
	return feeder.mails;
}

static void settle(unsigned number)
{
	if (number == feeder.mails || feeder.done[number])
		return;
	feeder.done[number] = true;
	feeder.settled++;
	if (feeder.in_flight > 0)
		feeder.in_flight--;
}

static void take_append(const struct frame *frame, const struct attempt_key *key)
{
	number_of(key);
	if (frame->dsn[0] == '2')
		feeder.sent++;
	else if (frame->dsn[0] == '5')
		feeder.bounced++;
	else
		feeder.deferred++;
	if (feeder.ledger) {
		fprintf(feeder.ledger, "APPEND %s %s %s %s %s %s\n", frame->attempt_text, frame->queue_id,
		    frame->dsn, frame->action, *frame->relay ? frame->relay : "-", frame->reason);
	}
}

static void take(struct link *link, const struct frame *frame)
{
	static const char *const words[] = {"queued", "not_now", "refused", "uncertain"};
	char text[ATTEMPT_TEXT_MAX];
	struct attempt_key key = frame->key;

	if (link->outcome) {
		struct frame ack = {.type = FRAME_ACK, .seq = frame->seq};

		if (feeder.deaf >= 0 && feeder.facts >= feeder.deaf)
			return;
		feeder.facts++;
		if (attempt_from_text(frame->attempt_text, &key) != 0) {
			feeder.strange++;
		} else if (frame->type == FRAME_APPEND) {
			take_append(frame, &key);
		} else {
			feeder.dones++;
			settle(number_of(&key));
			if (feeder.ledger)
				fprintf(feeder.ledger, "DONE %s %s\n", frame->attempt_text, frame->queue_id);
		}
		frame_encode(&ack, &link->out);
	} else if (frame->type == FRAME_BEGUN) {
		feeder.begun++;
		if (feeder.ledger)
			fprintf(feeder.ledger, "BEGUN %s %s\n", attempt_to_text(&key, text), frame->queue_id);
	} else {
		assert(frame->type == FRAME_FED && frame->status <= FED_UNCERTAIN);
		feeder.fed[frame->status]++;
		if (frame->status != FED_QUEUED)
			settle(number_of(&key));
		if (feeder.ledger) {
			fprintf(feeder.ledger, "FED %s %s %s\n", attempt_to_text(&key, text),
			    words[frame->status], frame->reason);
		}
	}
}

static void read_link(struct link *link)
{
	static char chunk[256 * 1024];
	ssize_t n = read(link->fd, chunk, sizeof(chunk));
	struct frame frame;

	if (n <= 0) {
		close(link->fd);
		link->fd = -1;
		return;
	}
	frame_decoder_feed(link->decoder, chunk, (size_t)n);
	while (frame_decoder_next(link->decoder, &frame) == 1)
		take(link, &frame);
	/* As in the daemon: a fact is on record before it is acknowledged. */
	if (feeder.ledger)
		fflush(feeder.ledger);
	flush_link(link);
}

static bool turn(void)
{
	struct pollfd fds[2 * CONNECTIONS_MAX + 1];
	size_t count = feeder.link_count;

	for (size_t i = 0; i < count; i++) {
		struct link *link = &feeder.links[i];

		/* An empty pipe of its own per connection: a little ahead, so that pickup never waits for us.
		 */
		if (!link->outcome && link->fd >= 0 && feeder.in_flight < feeder.window && link->out.len == 0)
			feed_some(link);
		fds[i] = (struct pollfd){
		    .fd = link->fd, .events = (short)(POLLIN | (link->out.len ? POLLOUT : 0))};
	}
	fds[count] = (struct pollfd){.fd = feeder.listener, .events = POLLIN};
	if (poll(fds, (nfds_t)count + 1, 1000) <= 0)
		return false;
	for (size_t i = 0; i < count; i++) {
		if (fds[i].revents & POLLOUT)
			flush_link(&feeder.links[i]);
		if (fds[i].revents & ~POLLOUT)
			read_link(&feeder.links[i]);
	}
	if (fds[count].revents)
		add_link(accept(feeder.listener, NULL, NULL), true);
	return true;
}

static void parse(int argc, char **argv)
{
	static const struct option options[] = {{"redis", 1, 0, 'r'}, {"outcome", 1, 0, 'o'},
	    {"pickup", 1, 0, 'p'}, {"mails", 1, 0, 'n'}, {"shard", 1, 0, 's'}, {"to", 1, 0, 't'},
	    {"from", 1, 0, 'f'}, {"template", 1, 0, 'T'}, {"connections", 1, 0, 'c'}, {"window", 1, 0, 'w'},
	    {"ledger", 1, 0, 'l'}, {"name", 1, 0, 'N'}, {"deaf", 1, 0, 'd'}, {0, 0, 0, 0}};
	int c;

	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		switch (c) {
		case 'r':
			feeder.redis = optarg;
			break;
		case 'o':
			feeder.outcome = optarg;
			break;
		case 'p':
			feeder.pickup = optarg;
			break;
		case 'n':
			feeder.mails = (unsigned)strtoul(optarg, NULL, 10);
			break;
		case 's':
			feeder.shard = (unsigned)strtoul(optarg, NULL, 10);
			break;
		case 't':
			feeder.to = optarg;
			break;
		case 'f':
			feeder.from = optarg;
			break;
		case 'T':
			feeder.template = optarg;
			break;
		case 'c':
			feeder.connections = (unsigned)strtoul(optarg, NULL, 10);
			break;
		case 'w':
			feeder.window = (unsigned)strtoul(optarg, NULL, 10);
			break;
		case 'l':
			feeder.ledger = fopen(optarg, "ae");
			assert(feeder.ledger);
			break;
		case 'N':
			feeder.name = optarg;
			break;
		case 'd':
			feeder.deaf = strtol(optarg, NULL, 10);
			break;
		default:
			exit(64);
		}
	}
	if (!feeder.outcome || (feeder.pickup && !feeder.redis) || feeder.mails < 1 || feeder.shard < 1 ||
	    feeder.connections > CONNECTIONS_MAX) {
		fprintf(stderr, "feeder: bad options\n");
		exit(64);
	}
}

int main(int argc, char **argv)
{
	struct sigaction action = {.sa_handler = on_term};
	double start, progress;
	unsigned before;

	parse(argc, argv);
	sigaction(SIGTERM, &action, NULL);
	feeder.batch = batch_key(feeder.name);
	feeder.upload = shard_id(&feeder.batch, 1000000);
	feeder.node = batch_key("node");
	feeder.done = calloc(feeder.mails + 1, sizeof(bool));
	assert(feeder.done);
	feeder.listener = unix_listen(feeder.outcome);
	if (feeder.pickup) {
		store_batch();
		for (unsigned i = 0; i < feeder.connections; i++)
			add_link(unix_connect(feeder.pickup), false);
	}
	start = progress = now();
	before = 0;
	while (!stopping && (!feeder.pickup || feeder.settled < feeder.mails)) {
		turn();
		if (feeder.settled != before || !feeder.pickup || feeder.deaf >= 0)
			progress = now();
		before = feeder.settled;
		if (now() - progress > STALL_S) {
			fprintf(stderr, "feeder: no progress for %d s\n", STALL_S);
			break;
		}
	}
	printf("queued=%u not_now=%u refused=%u uncertain=%u begun=%u sent=%u deferred=%u bounced=%u done=%u "
	       "strange=%u seconds=%.2f rate=%.0f\n",
	    feeder.fed[0], feeder.fed[1], feeder.fed[2], feeder.fed[3], feeder.begun, feeder.sent,
	    feeder.deferred, feeder.bounced, feeder.dones, feeder.strange, now() - start,
	    feeder.settled / (now() - start));
	if (feeder.ledger)
		fclose(feeder.ledger);
	return feeder.pickup && feeder.settled < feeder.mails ? 1 : 0;
}
