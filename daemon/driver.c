/* SPDX-License-Identifier: MIT */
/*
 * Connections to pickup.
 *
 * Each connection is served by one pickup process, which works through its mails one after the other. A feed
 * is cut into pieces, and each piece goes to the connection with the fewest mails unanswered. For every mail
 * pickup says BEGUN before it sends any content to cleanup(8), and FED when that has answered. So when a
 * connection breaks or is let go, what it wrote before is still read, and then a mail without BEGUN was
 * certainly not fed, and one with BEGUN but without FED is uncertain: the core looks for it in the spool.
 *
 * Mails that come while no connection is up wait, and are given back when none comes up within a second.
 */
#include "daemon/driver.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "daemon/log.h"
#include "queue/error.h"
#include "queue/tree.h"

enum { PIECE_MAILS = 20, RECONNECT_MS = 100, WAIT_MS = 1000, READ_SIZE = 65536 };

struct mail_out {
	TAILQ_ENTRY(mail_out) link;
	struct attempt_key key;
	bool begun;
};
TAILQ_HEAD(mail_out_list, mail_out);

/* A piece of a feed that no connection has taken yet. */
struct piece {
	TAILQ_ENTRY(piece) link;
	struct buffer bytes;
	struct mail_out_list mails;
	size_t count;
};

struct connection {
	TAILQ_ENTRY(connection) link;
	struct driver *driver;
	uv_pipe_t pipe;
	uv_connect_t request;
	bool up;
	bool garbled; /* what pickup writes can't be understood any more */
	struct frame_decoder *decoder;
	struct mail_out_list mails; /* unanswered, in the order in which pickup works */
	size_t count;
	char *input;
};

struct driver {
	uv_loop_t *loop;
	struct node *node;
	char *socket_path;
	uint32_t wanted; /* connections */
	bool started;
	TAILQ_HEAD(, connection) connections;
	uint32_t count;
	TAILQ_HEAD(, piece) waiting;
	uv_timer_t reconnect;
	uv_timer_t give_back;
	int open;
	bool freed;
};

struct write_request {
	uv_write_t request;
	char *data;
};

static void fed(
    struct driver *driver, const struct attempt_key *key, enum fed_status status, const char *reason)
{
	struct event event = {.type = EVENT_FED};

	event.fed.key = *key;
	event.fed.status = status;
	event.fed.reason = reason;
	node_event(driver->node, &event);
}

/* Tells the core what can be said of mails whose connection is gone. Takes the list's mails. */
static void give_up_mails(struct driver *driver, struct mail_out_list *mails)
{
	struct mail_out *mail;

	while ((mail = TAILQ_FIRST(mails)) != NULL) {
		TAILQ_REMOVE(mails, mail, link);
		fed(driver, &mail->key, mail->begun ? FED_UNCERTAIN : FED_NOT_NOW,
		    "the connection to pickup was lost");
		free(mail);
	}
}

static void free_mails(struct mail_out_list *mails)
{
	struct mail_out *mail;

	while ((mail = TAILQ_FIRST(mails)) != NULL) {
		TAILQ_REMOVE(mails, mail, link);
		free(mail);
	}
}

static void piece_free(struct piece *piece)
{
	free_mails(&piece->mails);
	buffer_done(&piece->bytes);
	free(piece);
}

static void driver_closed(struct driver *driver)
{
	if (--driver->open > 0)
		return;
	free(driver->socket_path);
	free(driver);
}

static void connection_closed(uv_handle_t *handle)
{
	struct connection *connection = handle->data;

	frame_decoder_free(connection->decoder);
	free_mails(&connection->mails);
	free(connection->input);
	driver_closed(connection->driver);
	free(connection);
}

static struct mail_out *find_mail(struct connection *connection, const struct attempt_key *key)
{
	struct mail_out *mail;

	/* Pickup answers in order, so this is the first one or near to it. */
	TAILQ_FOREACH (mail, &connection->mails, link) {
		if (mail->key.index == key->index && mail->key.attempt == key->attempt &&
		    id_equal(&mail->key.shard, &key->shard))
			return mail;
	}
	return NULL;
}

static int take_frame(struct connection *connection, const struct frame *frame)
{
	struct mail_out *mail = find_mail(connection, &frame->key);

	if (mail == NULL)
		return OPT_E_INVALID;
	if (frame->type == FRAME_BEGUN) {
		mail->begun = true;
		return 0;
	}
	if (frame->type != FRAME_FED)
		return OPT_E_INVALID;
	TAILQ_REMOVE(&connection->mails, mail, link);
	connection->count--;
	if (frame->status == FED_NOT_NOW || frame->status == FED_REFUSED || frame->status == FED_DEFERRED) {
		char shard[OPT_ID_HEX];

		log_warning("mail_not_fed", "shard", id_to_hex(&mail->key.shard, shard), "index",
		    log_u64(mail->key.index), "reason", frame->reason, NULL);
	}
	fed(connection->driver, &mail->key, frame->status, frame->reason);
	free(mail);
	return 0;
}

/* Takes the frames that have come whole. */
static int take_frames(struct connection *connection)
{
	struct frame frame;
	int status = 1;

	while (!uv_is_closing((uv_handle_t *)&connection->pipe) &&
	       (status = frame_decoder_next(connection->decoder, &frame)) == 1) {
		status = take_frame(connection, &frame);
		if (status != 0)
			break;
	}
	connection->garbled = status < 0;
	return status;
}

/*
 * Reads what pickup has written. From the shutdown on its writes fail, and it feeds nothing that it could not
 * announce, so at the end there is nothing left to learn. False when the end was not reached.
 */
static bool read_to_the_end(struct connection *connection)
{
	uv_os_fd_t fd;
	ssize_t got;

	if (connection->garbled || uv_fileno((uv_handle_t *)&connection->pipe, &fd) != 0 ||
	    shutdown(fd, SHUT_RD) != 0)
		return false;
	for (;;) {
		if (take_frames(connection) < 0)
			return false;
		got = read(fd, connection->input, READ_SIZE);
		if (got > 0)
			frame_decoder_feed(connection->decoder, connection->input, (size_t)got);
		else if (got == 0)
			return true;
		else if (errno != EINTR && errno != ECONNRESET) /* said once, of what pickup left unread */
			return false;
	}
}

static void reconnect_soon(struct driver *driver);

/* Drops the connection; its unanswered mails go back to the core. */
static void connection_lost(struct connection *connection)
{
	struct driver *driver = connection->driver;
	struct mail_out *mail;

	TAILQ_REMOVE(&driver->connections, connection, link);
	driver->count--;
	if (!driver->freed && !read_to_the_end(connection)) {
		TAILQ_FOREACH (mail, &connection->mails, link)
			mail->begun = true; /* for all that is known */
	}
	uv_close((uv_handle_t *)&connection->pipe, connection_closed);
	if (!driver->freed)
		give_up_mails(driver, &connection->mails);
	reconnect_soon(driver);
}

static void give_memory(uv_handle_t *handle, size_t suggested, uv_buf_t *buf)
{
	struct connection *connection = handle->data;

	(void)suggested;
	*buf = uv_buf_init(connection->input, READ_SIZE);
}

static void received(uv_stream_t *stream, ssize_t got, const uv_buf_t *buf)
{
	struct connection *connection = stream->data;
	int status;

	if (got < 0) {
		connection_lost(connection);
		return;
	}
	frame_decoder_feed(connection->decoder, buf->base, (size_t)got);
	status = take_frames(connection);
	if (status < 0 && !uv_is_closing((uv_handle_t *)stream)) {
		log_error("pickup_protocol", "error", opt_strerror(status), NULL);
		connection_lost(connection);
	}
}

static void written(uv_write_t *request, int status)
{
	struct write_request *write = (struct write_request *)request;

	(void)status; /* a broken connection shows in the reader */
	free(write->data);
	free(write);
}

static void give_piece(struct connection *connection, struct piece *piece)
{
	struct write_request *write = calloc(1, sizeof(*write));
	bool failed = false;
	uv_buf_t buf;

	if (write == NULL)
		abort();
	buf = uv_buf_init(piece->bytes.data, (unsigned int)piece->bytes.len);
	write->data = piece->bytes.data;
	buffer_init(&piece->bytes);
	TAILQ_CONCAT(&connection->mails, &piece->mails, link);
	connection->count += piece->count;
	if (uv_write(&write->request, (uv_stream_t *)&connection->pipe, &buf, 1, written) != 0) {
		free(write->data);
		free(write);
		failed = true;
	}
	piece_free(piece);
	if (failed)
		connection_lost(connection);
}

static struct connection *least_busy(struct driver *driver)
{
	struct connection *connection, *best = NULL;

	TAILQ_FOREACH (connection, &driver->connections, link) {
		if (driver->started && connection->up && (best == NULL || connection->count < best->count))
			best = connection;
	}
	return best;
}

static void give_pieces(struct driver *driver)
{
	struct connection *connection;
	struct piece *piece;

	while ((piece = TAILQ_FIRST(&driver->waiting)) != NULL && (connection = least_busy(driver)) != NULL) {
		TAILQ_REMOVE(&driver->waiting, piece, link);
		give_piece(connection, piece);
	}
	if (TAILQ_EMPTY(&driver->waiting))
		uv_timer_stop(&driver->give_back);
}

static void connected(uv_connect_t *request, int status)
{
	struct connection *connection = request->data;
	struct driver *driver = connection->driver;

	if (uv_is_closing((uv_handle_t *)&connection->pipe))
		return;
	if (status != 0 || uv_read_start((uv_stream_t *)&connection->pipe, give_memory, received) != 0) {
		connection_lost(connection);
		return;
	}
	connection->up = true;
	give_pieces(driver);
}

static void connect_one(struct driver *driver)
{
	struct connection *connection = calloc(1, sizeof(*connection));

	if (connection == NULL || (connection->input = malloc(READ_SIZE)) == NULL)
		abort();
	connection->driver = driver;
	connection->decoder = frame_decoder_new();
	TAILQ_INIT(&connection->mails);
	uv_pipe_init(driver->loop, &connection->pipe, 0);
	connection->pipe.data = connection;
	connection->request.data = connection;
	TAILQ_INSERT_TAIL(&driver->connections, connection, link);
	driver->count++;
	driver->open++;
	uv_pipe_connect(&connection->request, &connection->pipe, driver->socket_path, connected);
}

static void reconnect(uv_timer_t *timer)
{
	struct driver *driver = timer->data;

	while (driver->started && driver->count < driver->wanted)
		connect_one(driver);
}

static void reconnect_soon(struct driver *driver)
{
	if (driver->started && !driver->freed && !uv_is_active((uv_handle_t *)&driver->reconnect))
		uv_timer_start(&driver->reconnect, reconnect, RECONNECT_MS, 0);
}

/* Nobody took what waits: back to the core. */
static void give_back(uv_timer_t *timer)
{
	struct driver *driver = timer->data;
	struct piece *piece;

	while ((piece = TAILQ_FIRST(&driver->waiting)) != NULL) {
		TAILQ_REMOVE(&driver->waiting, piece, link);
		give_up_mails(driver, &piece->mails);
		piece_free(piece);
	}
}

static struct piece *piece_new(struct driver *driver, const struct effect *effect, size_t first, size_t count)
{
	struct piece *piece = calloc(1, sizeof(*piece));
	struct frame frame = {
	    .type = FRAME_FEED,
	    .key = {.shard = effect->id, .epoch = effect->epoch, .node = *node_id(driver->node)},
	    .batch = effect->text,
	    .batch_key = effect->batch,
	    .upload = effect->upload,
	    .sender = effect->sender,
	    .created = effect->created,
	    .mails = effect->mails + first,
	    .mail_count = count,
	};

	if (piece == NULL)
		abort();
	buffer_init(&piece->bytes);
	TAILQ_INIT(&piece->mails);
	frame_encode(&frame, &piece->bytes);
	piece->count = count;
	for (size_t i = 0; i < count; i++) {
		struct mail_out *mail = calloc(1, sizeof(*mail));

		if (mail == NULL)
			abort();
		mail->key = frame.key;
		mail->key.index = effect->mails[first + i].index;
		mail->key.attempt = effect->mails[first + i].attempt;
		TAILQ_INSERT_TAIL(&piece->mails, mail, link);
	}
	return piece;
}

void driver_feed(struct driver *driver, const struct effect *effect)
{
	for (size_t first = 0; first < effect->mail_count; first += PIECE_MAILS) {
		size_t count = effect->mail_count - first;
		struct piece *piece;

		if (count > PIECE_MAILS)
			count = PIECE_MAILS;
		piece = piece_new(driver, effect, first, count);
		TAILQ_INSERT_TAIL(&driver->waiting, piece, link);
	}
	give_pieces(driver);
	if (!TAILQ_EMPTY(&driver->waiting) && !uv_is_active((uv_handle_t *)&driver->give_back))
		uv_timer_start(&driver->give_back, give_back, WAIT_MS, 0);
}

void driver_start(struct driver *driver)
{
	driver->started = true;
	reconnect(&driver->reconnect);
}

void driver_stop(struct driver *driver)
{
	struct connection *connection;

	driver->started = false;
	uv_timer_stop(&driver->reconnect);
	while ((connection = TAILQ_FIRST(&driver->connections)) != NULL)
		connection_lost(connection);
	uv_timer_stop(&driver->give_back);
	give_back(&driver->give_back);
}

struct driver *driver_new(uv_loop_t *loop, struct node *node)
{
	struct driver *driver = calloc(1, sizeof(*driver));
	const struct config *config = node_config(node);

	if (driver == NULL || asprintf(&driver->socket_path, "%s/spool/private/optimus-pickup",
	                          config->postfix_dir == NULL ? "" : config->postfix_dir) < 0)
		abort();
	driver->loop = loop;
	driver->node = node;
	driver->wanted = config->pickups;
	TAILQ_INIT(&driver->connections);
	TAILQ_INIT(&driver->waiting);
	uv_timer_init(loop, &driver->reconnect);
	uv_timer_init(loop, &driver->give_back);
	driver->reconnect.data = driver;
	driver->give_back.data = driver;
	driver->open = 2;
	return driver;
}

static void timer_closed(uv_handle_t *handle)
{
	driver_closed(handle->data);
}

void driver_free(struct driver *driver)
{
	struct connection *connection;
	struct piece *piece;

	if (driver == NULL)
		return;
	driver->freed = true;
	driver->started = false;
	while ((connection = TAILQ_FIRST(&driver->connections)) != NULL)
		connection_lost(connection);
	while ((piece = TAILQ_FIRST(&driver->waiting)) != NULL) {
		TAILQ_REMOVE(&driver->waiting, piece, link);
		piece_free(piece);
	}
	uv_close((uv_handle_t *)&driver->reconnect, timer_closed);
	uv_close((uv_handle_t *)&driver->give_back, timer_closed);
}
