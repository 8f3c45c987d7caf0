/* SPDX-License-Identifier: MIT */
/*
 * Any bytes are read as a message of a peer. What is read holds the limits that the core trusts, and is
 * written and read again as the same.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "queue/message/recipients.h"
#include "queue/peer.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void check_shards(const struct peer_message *message)
{
	if (message->shard_count > BATCH_SHARDS_MAX)
		abort();
	for (size_t i = 0; i < message->shard_count; i++) {
		uint32_t total = 0;

		for (int state = 0; state < MAIL_STATES; state++)
			total += message->shards[i].states[state];
		if (total > SHARD_MAILS_MAX || message->shards[i].index >= BATCH_SHARDS_MAX ||
		    (i > 0 && message->shards[i].index <= message->shards[i - 1].index))
			abort();
	}
}

static void check_digest(const struct peer_message *message)
{
	if (message->digest_count > VIEW_DIGEST_MAX)
		abort();
	for (size_t i = 0; i < message->digest_count; i++) {
		const struct presence *presence = &message->digest[i].presence;

		if (strlen(presence->address) > PRESENCE_ADDRESS_MAX ||
		    strlen(presence->version) > PRESENCE_VERSION_MAX || presence->weight > WEIGHT_MAX)
			abort();
	}
}

static void check_limits(const struct peer_message *message)
{
	if (message->type == 0 || message->type >= PEER_TYPES || message->status >= PEER_STATUSES ||
	    message->index >= BATCH_SHARDS_MAX || message->epoch > PEER_NUMBER_MAX ||
	    message->config > PEER_NUMBER_MAX || message->version > PEER_VERSION_MAX ||
	    message->given > PEER_VERSION_MAX || message->heard.before > PEER_HEARD_MAX ||
	    message->member_count > REPLICAS_MAX || message->entry_count > PEER_ENTRIES_MAX ||
	    message->len > PEER_MESSAGE_MAX)
		abort();
	for (size_t i = 0; i < message->entry_count; i++) {
		if (message->entries[i].len == 0 ||
		    (message->type == PEER_GIVE && message->entries[i].len != OPT_ID_SIZE))
			abort();
	}
	check_shards(message);
	check_digest(message);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct peer_reader *first = peer_reader_new(), *second = peer_reader_new();
	struct peer_message message, again;
	struct buffer one, two;

	buffer_init(&one);
	buffer_init(&two);
	if (peer_read(first, data, len, &message) == 0) {
		check_limits(&message);
		peer_encode(&message, &one);
		if (one.len <= PEER_MESSAGE_MAX && peer_read(second, one.data, one.len, &again) != 0)
			abort();
		if (one.len <= PEER_MESSAGE_MAX) {
			peer_encode(&again, &two);
			if (one.len != two.len || memcmp(one.data, two.data, one.len) != 0)
				abort();
		}
	}
	buffer_done(&one);
	buffer_done(&two);
	peer_reader_free(first);
	peer_reader_free(second);
	return 0;
}
