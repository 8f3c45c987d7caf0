/* SPDX-License-Identifier: MIT */
/*
 * Reading, writing and ending a connection.
 *
 * Control before bulk. Frames are sealed at the last moment: there is one write at a time, of at most
 * LINK_BATCH bytes, in which all control frames go first and at most LINK_BATCH_BULK bulk frames follow, and
 * TCP_NOTSENT_LOWAT keeps the kernel from holding more than LINK_UNSENT_MAX bytes that have not left. So a
 * control message waits behind some 100 KB and not behind what the socket buffer would take.
 *
 * A host that vanished shows by TCP: keepalive probes when nothing flows, TCP_USER_TIMEOUT when something
 * does.
 *
 * Half-open connections are bounded, in all and for each source. The newest is let in and the oldest goes: an
 * honest handshake takes milliseconds, so whoever is slow goes first.
 *
 * Callbacks may do anything to any connection. A connection is freed only when libuv has closed its handles,
 * so it is enough to look at its state after each callback.
 */
#include "daemon/link_connection.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>

#include "queue/error.h"

static void pump(struct link_connection *connection);

static void leave_half_open(struct link_connection *connection)
{
	if (!connection->accepted_half_open)
		return;
	connection->accepted_half_open = false;
	connection->ground->half_open_count--;
	TAILQ_REMOVE(&connection->ground->half_open, connection, half_open_link);
}

static void drop_handshake(struct link_connection *connection)
{
	if (connection->handshake == NULL)
		return;
	handshake_wipe(connection->handshake);
	free(connection->handshake);
	connection->handshake = NULL;
}

static void release(struct link_connection *connection)
{
	struct link_ground *ground = connection->ground;

	if (connection->timer_open || connection->tcp_open)
		return;
	TAILQ_REMOVE(&ground->all, connection, link);
	ground->events->gone(ground->context, connection);
	drop_handshake(connection);
	link_writer_wipe(&connection->writer);
	link_reader_done(&connection->reader);
	link_queue_done(&connection->queue);
	buffer_done(&connection->out);
	buffer_done(&connection->flying);
	free(connection);
}

static void timer_closed(uv_handle_t *handle)
{
	struct link_connection *connection = handle->data;

	connection->timer_open = false;
	release(connection);
}

static void tcp_closed(uv_handle_t *handle)
{
	struct link_connection *connection = handle->data;

	connection->tcp_open = false;
	release(connection);
}

/* Counts the end, and tells the owner when it could have sent until now. */
static void leave_open(struct link_connection *connection, enum link_end why)
{
	struct link_ground *ground = connection->ground;
	bool was_open = connection->state == CONNECTION_OPEN;

	if (!connection->counted) {
		connection->counted = true;
		connection->why = why;
		link_account_end(&ground->account, why, connection->address);
	}
	leave_half_open(connection);
	if (was_open) {
		connection->state = CONNECTION_DRAINING;
		ground->events->ended(ground->context, connection);
	}
}

void connection_end(struct link_connection *connection, enum link_end why)
{
	if (connection->state == CONNECTION_GONE)
		return;
	leave_open(connection, why);
	if (connection->state == CONNECTION_GONE)
		return;
	connection->state = CONNECTION_GONE;
	uv_close((uv_handle_t *)&connection->timer, timer_closed);
	uv_close((uv_handle_t *)&connection->tcp, tcp_closed);
}

static enum link_end end_of_error(const struct link_connection *connection, int status)
{
	if (connection->state == CONNECTION_CONNECTING)
		return status == UV_ECONNREFUSED ? LINK_REFUSED : LINK_UNREACHABLE;
	if (status == UV_EOF && connection->state == CONNECTION_HANDSHAKE)
		return LINK_CUT;
	if (status == UV_EOF)
		return link_reader_in_frame(&connection->reader) ? LINK_CUT : LINK_RESET;
	return status == UV_ETIMEDOUT || status == UV_EHOSTUNREACH || status == UV_ENETUNREACH ? LINK_TIMEOUT
	                                                                                       : LINK_RESET;
}

static void too_late(uv_timer_t *timer)
{
	struct link_connection *connection = timer->data;

	switch (connection->state) {
	case CONNECTION_CONNECTING:
		connection_end(connection, LINK_UNREACHABLE);
		break;
	case CONNECTION_HANDSHAKE:
		connection_end(connection, LINK_SLOW);
		break;
	default:
		connection_end(connection, LINK_TIMEOUT);
		break;
	}
}

/* Every byte is said and heard. */
static bool is_finished(const struct link_connection *connection)
{
	return connection->state == CONNECTION_DRAINING && connection->peer_ended && connection->said_end &&
	       !connection->writing && connection->out.len == 0;
}

static void written(uv_write_t *request, int status)
{
	struct link_connection *connection = request->data;

	connection->writing = false;
	buffer_clear(&connection->flying);
	if (connection->state == CONNECTION_GONE)
		return;
	if (status < 0) {
		connection_end(connection, end_of_error(connection, status));
		return;
	}
	pump(connection);
	if (is_finished(connection)) {
		connection_end(connection, connection->why);
		return;
	}
	if (connection->state == CONNECTION_OPEN && link_queue_has_room_again(&connection->queue))
		connection->ground->events->room(connection->ground->context, connection);
}

static void fill(struct link_connection *connection)
{
	struct link_queue *queue = &connection->queue;

	while (connection->out.len < LINK_BATCH && !link_queue_is_empty(queue, LANE_CONTROL))
		link_queue_pop(queue, LANE_CONTROL, &connection->writer, &connection->out);
	for (int i = 0; i < LINK_BATCH_BULK && connection->out.len < LINK_BATCH &&
	                !link_queue_is_empty(queue, LANE_BULK);
	     i++)
		link_queue_pop(queue, LANE_BULK, &connection->writer, &connection->out);
	if (connection->state == CONNECTION_DRAINING && !connection->said_end &&
	    link_queue_is_empty(queue, LANE_CONTROL) && link_queue_is_empty(queue, LANE_BULK)) {
		link_writer_add(&connection->writer, FRAME_END, NULL, 0, &connection->out);
		connection->said_end = true;
	}
}

static void broken(uv_timer_t *timer)
{
	struct link_connection *connection = timer->data;

	connection_end(connection, connection->break_why);
}

void connection_break(struct link_connection *connection, enum link_end why)
{
	if (connection->state == CONNECTION_GONE)
		return;
	uv_read_stop((uv_stream_t *)&connection->tcp);
	connection->break_why = why;
	uv_timer_start(&connection->timer, broken, 0, 0);
}

/* Hands the next batch to the kernel unless one is still being taken. */
static void pump(struct link_connection *connection)
{
	struct buffer batch;
	uv_buf_t bytes;

	if (connection->writing || connection->state == CONNECTION_GONE)
		return;
	if (connection->state == CONNECTION_OPEN || connection->state == CONNECTION_DRAINING)
		fill(connection);
	if (connection->out.len == 0)
		return;
	batch = connection->flying;
	connection->flying = connection->out;
	connection->out = batch;
	bytes = uv_buf_init(connection->flying.data, (unsigned int)connection->flying.len);
	connection->write.data = connection;
	connection->writing = true;
	if (uv_write(&connection->write, (uv_stream_t *)&connection->tcp, &bytes, 1, written) < 0) {
		connection->writing = false;
		connection_break(connection, LINK_RESET);
	}
}

int connection_send(struct link_connection *connection, const void *data, size_t len, enum link_lane lane)
{
	int status;

	if (connection->state != CONNECTION_OPEN)
		return OPT_E_NOT_FOUND;
	status = link_queue_push(&connection->queue, lane, data, len);
	if (status == 0)
		pump(connection);
	return status;
}

void connection_drain(struct link_connection *connection, enum link_end why)
{
	if (connection->state == CONNECTION_CONNECTING || connection->state == CONNECTION_HANDSHAKE) {
		connection_end(connection, why);
		return;
	}
	if (connection->state != CONNECTION_OPEN)
		return;
	leave_open(connection, why);
	if (connection->state != CONNECTION_DRAINING)
		return;
	uv_timer_start(&connection->timer, too_late, LINK_DRAIN_MS, 0);
	pump(connection);
}

bool connection_is_clean(const struct link_connection *connection)
{
	return connection->peer_ended && connection->said_end;
}

/* The peer says nothing more, but still listens. */
static void peer_ends(struct link_connection *connection)
{
	connection->peer_ended = true;
	connection_drain(connection, LINK_CLOSED);
	if (is_finished(connection))
		connection_end(connection, connection->why);
}

static void read_frames(struct link_connection *connection, const void *data, size_t len)
{
	const void *message = NULL;
	size_t message_len = 0;
	enum link_end why = LINK_DAMAGED;
	int status = 1;

	link_reader_feed(&connection->reader, data, len);
	while (status == 1 && connection->state != CONNECTION_GONE) {
		status = link_reader_next(&connection->reader, &message, &message_len, &why);
		if (status == 1)
			connection->ground->events->message(
			    connection->ground->context, connection, message, message_len);
	}
	if (connection->state == CONNECTION_GONE)
		return;
	if (status == OPT_E_INVALID)
		connection_end(connection, why);
	else if (status == OPT_E_CLOSED && !connection->peer_ended)
		peer_ends(connection);
}

/* The other side is proven: from here on there are frames. */
static void open_streams(struct link_connection *connection)
{
	struct handshake *handshake = connection->handshake;

	connection->peer = handshake->peer;
	connection->number = connection->dialled ? handshake->number : handshake->peer.number;
	link_writer_init(&connection->writer, handshake->send_key, &connection->out);
	link_reader_init(&connection->reader, handshake->receive_key);
	drop_handshake(connection);
	leave_half_open(connection);
	uv_timer_stop(&connection->timer);
	connection->state = CONNECTION_OPEN;
	pump(connection);
	connection->ground->events->proven(connection->ground->context, connection);
}

static void read_handshake(struct link_connection *connection, const char *data, size_t len)
{
	enum link_end why = LINK_FOREIGN;
	size_t used = 0;
	int status = handshake_take(connection->handshake, data, len, &used, &connection->out, &why);

	if (status < 0) {
		connection_end(connection, why);
		return;
	}
	if (status == 0) {
		pump(connection);
		return;
	}
	open_streams(connection);
	if (connection->state != CONNECTION_GONE && used < len)
		read_frames(connection, data + used, len - used);
}

static void give_memory(uv_handle_t *handle, size_t suggested, uv_buf_t *ret_memory)
{
	struct link_connection *connection = handle->data;

	(void)suggested;
	*ret_memory = uv_buf_init(connection->ground->input, sizeof(connection->ground->input));
}

static void on_read(uv_stream_t *stream, ssize_t len, const uv_buf_t *memory)
{
	struct link_connection *connection = stream->data;

	if (connection->state == CONNECTION_GONE || len == 0)
		return;
	if (len < 0)
		connection_end(connection, end_of_error(connection, (int)len));
	else if (connection->state == CONNECTION_HANDSHAKE)
		read_handshake(connection, memory->base, (size_t)len);
	else
		read_frames(connection, memory->base, (size_t)len);
}

static void set_option(int fd, int level, int option, int value)
{
	/* Each only makes the link better; on a socket that is already dead, reading will tell. */
	(void)setsockopt(fd, level, option, &value, sizeof(value));
}

static void tune(struct link_connection *connection)
{
	uv_os_fd_t fd;

	if (uv_fileno((uv_handle_t *)&connection->tcp, &fd) != 0)
		return;
	set_option(fd, IPPROTO_TCP, TCP_NODELAY, 1);
	set_option(fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, LINK_UNSENT_MAX);
	set_option(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
	set_option(fd, IPPROTO_TCP, TCP_KEEPIDLE, 2);
	set_option(fd, IPPROTO_TCP, TCP_KEEPINTVL, 1);
	set_option(fd, IPPROTO_TCP, TCP_KEEPCNT, 3);
	set_option(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, LINK_SILENCE_MS);
}

static void begin_handshake(struct link_connection *connection, uint64_t number)
{
	struct link_ground *ground = connection->ground;

	connection->state = CONNECTION_HANDSHAKE;
	tune(connection);
	connection->handshake = calloc(1, sizeof(*connection->handshake));
	if (connection->handshake == NULL)
		abort();
	handshake_begin(connection->handshake, &ground->self, connection->dialled, number, &connection->out);
	uv_timer_start(&connection->timer, too_late, LINK_HANDSHAKE_MS, 0);
	uv_read_start((uv_stream_t *)&connection->tcp, give_memory, on_read);
	pump(connection);
}

static struct link_connection *new_connection(struct link_ground *ground)
{
	struct link_connection *connection = calloc(1, sizeof(*connection));

	if (connection == NULL)
		abort();
	connection->ground = ground;
	uv_tcp_init(ground->loop, &connection->tcp);
	uv_timer_init(ground->loop, &connection->timer);
	connection->tcp.data = connection;
	connection->timer.data = connection;
	connection->timer_open = connection->tcp_open = true;
	link_queue_init(&connection->queue);
	buffer_init(&connection->out);
	buffer_init(&connection->flying);
	TAILQ_INSERT_TAIL(&ground->all, connection, link);
	return connection;
}

static void connected(uv_connect_t *request, int status)
{
	struct link_connection *connection = request->data;

	if (connection->state == CONNECTION_GONE)
		return;
	if (status < 0)
		connection_end(connection, end_of_error(connection, status));
	else
		begin_handshake(connection, ++connection->ground->dials);
}

struct link_connection *connection_dial(
    struct link_ground *ground, const struct sockaddr *address, void *owner)
{
	struct link_connection *connection = new_connection(ground);
	int status;

	connection->owner = owner;
	connection->dialled = true;
	connection->state = CONNECTION_CONNECTING;
	connection->connect.data = connection;
	link_address_text(address, connection->address);
	uv_timer_start(&connection->timer, too_late, LINK_CONNECT_MS, 0);
	status = uv_tcp_connect(&connection->connect, &connection->tcp, address, connected);
	if (status < 0)
		connection_end(connection, end_of_error(connection, status));
	return connection;
}

static void make_place(struct link_ground *ground, const struct link_source *source)
{
	struct link_connection *each, *oldest = NULL;
	size_t count = 0;

	TAILQ_FOREACH (each, &ground->half_open, half_open_link) {
		if (memcmp(&each->source, source, sizeof(*source)) != 0)
			continue;
		if (count++ == 0)
			oldest = each;
	}
	if (count >= LINK_HALF_OPEN_SOURCE)
		connection_end(oldest, LINK_CROWDED);
	else if (ground->half_open_count >= LINK_HALF_OPEN_MAX)
		connection_end(TAILQ_FIRST(&ground->half_open), LINK_CROWDED);
}

void connection_accept(struct link_ground *ground, uv_stream_t *listener)
{
	struct link_connection *connection = new_connection(ground);
	struct sockaddr_storage address = {0};
	int len = sizeof(address);

	connection->state = CONNECTION_CONNECTING;
	if (uv_accept(listener, (uv_stream_t *)&connection->tcp) < 0 ||
	    uv_tcp_getpeername(&connection->tcp, (struct sockaddr *)&address, &len) < 0) {
		connection_end(connection, LINK_RESET);
		return;
	}
	ground->accepted++;
	link_address_text((struct sockaddr *)&address, connection->address);
	connection->source = link_address_source((struct sockaddr *)&address);
	make_place(ground, &connection->source);
	TAILQ_INSERT_TAIL(&ground->half_open, connection, half_open_link);
	connection->accepted_half_open = true;
	ground->half_open_count++;
	begin_handshake(connection, 0);
}
