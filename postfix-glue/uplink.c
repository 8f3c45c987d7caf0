/* SPDX-License-Identifier: MIT */
/*
 * A queue of frames, numbered one after the other, of which optimusd acknowledges each by its number.
 *
 *          first                                   first + count
 *     ... +------+------+------+------+------+------+
 *         | sent | acked| sent | sent | new  | new  |      acknowledged ones leave when they reach the front
 *         +------+------+------+------+------+------+
 *
 * The frames stay here, encoded, until they are acknowledged. When the connection breaks all of them are sent
 * again on the next one; optimusd takes a fact any number of times. Numbers start at the time of day in
 * microseconds, so that those of a restarted server are never mistaken for its predecessor's.
 *
 * Runs on Postfix's event loop, which watches a descriptor for reading or for writing but not for both. So a
 * write that would block is tried again when the next acknowledgement arrives: optimusd can't have stopped
 * reading for any other reason than being busy, and it acknowledges what it has read.
 */
#include "postfix-glue/uplink.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include <sys_defs.h>
#include <events.h>
#include <msg.h>

#include "queue/error.h"

enum { READ_SIZE = 64 * 1024, RETRY_S = 1 };

struct entry {
	char *bytes;
	size_t len;
	void *context;
	bool acked;
};

struct uplink {
	const char *path;
	void (*acked)(void *context);
	int fd; /* -1 while not connected */
	struct frame_decoder *decoder;
	struct buffer out; /* what goes out next on this connection */
	struct buffer scratch;
	struct entry *entries; /* a ring of `size` (a power of two) */
	size_t size;
	size_t head; /* index of the oldest */
	size_t count;
	size_t pending; /* of them not acknowledged */
	uint64_t first; /* number of the oldest */
	bool complained;
};

static void try_connect(int event, void *context);

struct uplink *uplink_new(const char *path, void (*acked)(void *context))
{
	struct uplink *uplink = calloc(1, sizeof(*uplink));
	struct timeval now;

	if (!uplink)
		abort();
	gettimeofday(&now, NULL);
	uplink->path = path;
	uplink->acked = acked;
	uplink->fd = -1;
	uplink->first = (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_usec;
	uplink->size = 256;
	uplink->entries = calloc(uplink->size, sizeof(*uplink->entries));
	if (!uplink->entries)
		abort();
	buffer_init(&uplink->out);
	buffer_init(&uplink->scratch);
	try_connect(0, uplink);
	return uplink;
}

static struct entry *entry_at(struct uplink *uplink, size_t offset)
{
	return &uplink->entries[(uplink->head + offset) & (uplink->size - 1)];
}

static void disconnect(struct uplink *uplink, const char *why)
{
	msg_warn("lost optimusd at %s: %s; %lu facts wait for it", uplink->path, why,
	    (unsigned long)uplink->pending);
	event_disable_readwrite(uplink->fd);
	close(uplink->fd);
	uplink->fd = -1;
	frame_decoder_free(uplink->decoder);
	uplink->decoder = NULL;
	buffer_clear(&uplink->out);
	event_request_timer(try_connect, uplink, RETRY_S);
}

static void acknowledge(struct uplink *uplink, uint64_t seq)
{
	struct entry *entry;

	/* Numbers that we never gave out or that left already are none of our business. */
	if (seq < uplink->first || seq - uplink->first >= uplink->count)
		return;
	entry = entry_at(uplink, (size_t)(seq - uplink->first));
	if (entry->acked)
		return;
	entry->acked = true;
	free(entry->bytes);
	entry->bytes = NULL;
	uplink->pending--;
	uplink->acked(entry->context);
	while (uplink->count > 0 && entry_at(uplink, 0)->acked) {
		uplink->head = (uplink->head + 1) & (uplink->size - 1);
		uplink->count--;
		uplink->first++;
	}
}

static void readable(int event, void *context)
{
	static char chunk[READ_SIZE];
	struct uplink *uplink = context;
	struct frame frame;
	ssize_t n;
	int more;

	(void)event;
	n = read(uplink->fd, chunk, sizeof(chunk));
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		disconnect(uplink, n == 0 ? "it closed the connection" : strerror(errno));
		return;
	}
	frame_decoder_feed(uplink->decoder, chunk, (size_t)n);
	while ((more = frame_decoder_next(uplink->decoder, &frame)) == 1) {
		if (frame.type == FRAME_ACK)
			acknowledge(uplink, frame.seq);
	}
	if (more < 0)
		disconnect(uplink, opt_strerror(more));
}

static void try_connect(int event, void *context)
{
	struct uplink *uplink = context;
	struct sockaddr_un address = {.sun_family = AF_UNIX};

	(void)event;
	if (strlen(uplink->path) >= sizeof(address.sun_path))
		msg_fatal("the path of optimus_outcome_socket is too long: %s", uplink->path);
	memcpy(address.sun_path, uplink->path, strlen(uplink->path) + 1);
	uplink->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (uplink->fd < 0 || connect(uplink->fd, (struct sockaddr *)&address, sizeof(address)) != 0) {
		if (!uplink->complained)
			msg_warn("can't connect to optimusd at %s: %m; trying again", uplink->path);
		uplink->complained = true;
		if (uplink->fd >= 0)
			close(uplink->fd);
		uplink->fd = -1;
		event_request_timer(try_connect, uplink, RETRY_S);
		return;
	}
	uplink->complained = false;
	uplink->decoder = frame_decoder_new();
	for (size_t i = 0; i < uplink->count; i++) {
		struct entry *entry = entry_at(uplink, i);

		if (!entry->acked)
			buffer_add(&uplink->out, entry->bytes, entry->len);
	}
	event_enable_read(uplink->fd, readable, uplink);
}

static void grow(struct uplink *uplink)
{
	struct entry *larger = calloc(uplink->size * 2, sizeof(*larger));

	if (!larger)
		abort();
	for (size_t i = 0; i < uplink->count; i++)
		larger[i] = *entry_at(uplink, i);
	free(uplink->entries);
	uplink->entries = larger;
	uplink->size *= 2;
	uplink->head = 0;
}

void uplink_add(struct uplink *uplink, struct frame *frame, void *context)
{
	struct entry *entry;

	if (uplink->count == uplink->size)
		grow(uplink);
	frame->seq = uplink->first + uplink->count;
	buffer_clear(&uplink->scratch);
	frame_encode(frame, &uplink->scratch);
	entry = entry_at(uplink, uplink->count);
	*entry = (struct entry){
	    .bytes = malloc(uplink->scratch.len), .len = uplink->scratch.len, .context = context};
	if (!entry->bytes)
		abort();
	memcpy(entry->bytes, uplink->scratch.data, entry->len);
	uplink->count++;
	uplink->pending++;
	if (uplink->fd >= 0)
		buffer_add(&uplink->out, entry->bytes, entry->len);
}

void uplink_flush(struct uplink *uplink)
{
	while (uplink->fd >= 0 && uplink->out.len > 0) {
		ssize_t n = send(uplink->fd, uplink->out.data, uplink->out.len, MSG_NOSIGNAL);

		if (n >= 0) {
			buffer_consume(&uplink->out, (size_t)n);
		} else if (errno == EAGAIN) {
			return;
		} else if (errno != EINTR) {
			disconnect(uplink, strerror(errno));
		}
	}
}

size_t uplink_pending(const struct uplink *uplink)
{
	return uplink->pending;
}
