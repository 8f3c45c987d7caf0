/* SPDX-License-Identifier: MIT */
/*
 * Messages in two lanes, cut into frames only when they leave: until then a control message can still go
 * before what is left of a bulk message. The memory of a link is bounded by the high mark of each lane and
 * one message.
 */
#include "daemon/link_queue.h"

#include <stdlib.h>
#include <string.h>

#include "queue/error.h"

struct link_message {
	TAILQ_ENTRY(link_message) link;
	size_t len;
	size_t sent;
	unsigned char data[];
};

void link_queue_init(struct link_queue *queue)
{
	memset(queue, 0, sizeof(*queue));
	for (int lane = 0; lane < LANES; lane++)
		TAILQ_INIT(&queue->lanes[lane].messages);
}

void link_queue_done(struct link_queue *queue)
{
	for (int lane = 0; lane < LANES; lane++) {
		struct link_message *message;

		while ((message = TAILQ_FIRST(&queue->lanes[lane].messages)) != NULL) {
			TAILQ_REMOVE(&queue->lanes[lane].messages, message, link);
			free(message);
		}
		queue->lanes[lane].bytes = 0;
	}
}

int link_queue_push(struct link_queue *queue, enum link_lane lane, const void *data, size_t len)
{
	struct link_message *message;

	if (len > LINK_MESSAGE_MAX)
		return OPT_E_LIMIT;
	if (queue->lanes[lane].bytes >= LINK_QUEUE_HIGH) {
		queue->full = queue->full || lane == LANE_BULK;
		return OPT_E_AGAIN;
	}
	message = malloc(sizeof(*message) + len);
	if (message == NULL)
		abort();
	message->len = len;
	message->sent = 0;
	if (len > 0)
		memcpy(message->data, data, len);
	TAILQ_INSERT_TAIL(&queue->lanes[lane].messages, message, link);
	/* Empty messages take memory, too. */
	queue->lanes[lane].bytes += sizeof(*message) + len;
	return 0;
}

bool link_queue_is_empty(const struct link_queue *queue, enum link_lane lane)
{
	return TAILQ_EMPTY(&queue->lanes[lane].messages);
}

void link_queue_pop(
    struct link_queue *queue, enum link_lane lane, struct link_writer *writer, struct buffer *out)
{
	struct link_message *message = TAILQ_FIRST(&queue->lanes[lane].messages);
	size_t left = message->len - message->sent;
	size_t part = left < LINK_CHUNK_MAX ? left : LINK_CHUNK_MAX;
	enum link_frame_kind kind = lane == LANE_BULK ? FRAME_BULK_PART : FRAME_CONTROL_PART;

	if (part == left)
		kind = lane == LANE_BULK ? FRAME_BULK_LAST : FRAME_CONTROL_LAST;
	link_writer_add(writer, kind, message->data + message->sent, part, out);
	message->sent += part;
	queue->lanes[lane].bytes -= part;
	if (part < left)
		return;
	queue->lanes[lane].bytes -= sizeof(*message);
	TAILQ_REMOVE(&queue->lanes[lane].messages, message, link);
	free(message);
}

bool link_queue_has_room_again(struct link_queue *queue)
{
	if (!queue->full || queue->lanes[LANE_BULK].bytes > LINK_QUEUE_LOW)
		return false;
	queue->full = false;
	return true;
}
