/* SPDX-License-Identifier: MIT */
/*
 * What waits to be sent over one link: a lane for control messages, which go first, and one for bulk.
 */
#ifndef OPTIMUS_DAEMON_LINK_QUEUE_H
#define OPTIMUS_DAEMON_LINK_QUEUE_H

#include <stdbool.h>
#include <stddef.h>

#include "daemon/link_frame.h"
#include "queue/tree.h"

enum {
	LINK_QUEUE_HIGH = 4 * 1024 * 1024, /* a lane that holds as much takes no further message */
	LINK_QUEUE_LOW = 1024 * 1024,
};

struct link_queue {
	struct {
		TAILQ_HEAD(, link_message) messages;
		size_t bytes;
	} lanes[LANES];
	bool full; /* the bulk lane reached its high mark, and has not been under the low one since */
};

void link_queue_init(struct link_queue *queue);
void link_queue_done(struct link_queue *queue);
/* Copies a message to the lane's end. OPT_E_LIMIT above LINK_MESSAGE_MAX, OPT_E_AGAIN when the lane is full.
 */
int link_queue_push(struct link_queue *queue, enum link_lane lane, const void *data, size_t len);
bool link_queue_is_empty(const struct link_queue *queue, enum link_lane lane);
/* Appends the lane's next frame, which must exist, to `out`. */
void link_queue_pop(
    struct link_queue *queue, enum link_lane lane, struct link_writer *writer, struct buffer *out);
/* True once after the bulk lane was full and has fallen under its low mark. */
bool link_queue_has_room_again(struct link_queue *queue);

#endif
