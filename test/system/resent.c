/* SPDX-License-Identifier: MIT */
/*
 * Which mails the nodes sent again in doubt, as their journals have it: for scripts/chaos, since a report
 * says how many these were and not which.
 *
 *   resent SOCKET...   of the nodes' Redis
 *
 * Each claim that repeats an attempt in doubt is a line, once for each node and place that has it:
 *
 *   SHARD.INDEX EPOCH ATTEMPT resent|returned
 *
 * where SHARD.INDEX is how the mail's Message-ID begins, and "returned" says that nothing came of the claim:
 * Postfix never tried it. Only reads. Exits 1 when a store or one of its journals can't be read: whoever asks
 * has to know of all.
 */
#include <hiredis/hiredis.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>

#include "daemon/squash.h"
#include "queue/journal.h"

enum { PREFIX = sizeof("journal:") - 1, TIMEOUT_S = 30 };

static _Noreturn void give_up(const char *socket, const char *what)
{
	fprintf(stderr, "resent: %s: %s\n", socket, what);
	exit(1);
}

static void print_line(
    const struct opt_id *shard, uint32_t index, uint32_t epoch, uint32_t attempt, bool returned)
{
	char hex[OPT_ID_HEX];

	printf("%s.%u %u %u %s\n", id_to_hex(shard, hex), index, epoch, attempt,
	    returned ? "returned" : "resent");
}

static void print_entry(const struct opt_id *shard, const struct journal_entry *entry)
{
	for (size_t i = 0; entry->type == JOURNAL_CLAIMS && i < entry->count; i++) {
		const struct claim *claim = &entry->claims[i];

		if ((claim->flags & CLAIM_AFTER_DOUBT) != 0)
			print_line(shard, claim->index, entry->epoch, claim->attempt, false);
	}
	for (size_t i = 0; entry->type == JOURNAL_OUTCOMES && i < entry->count; i++) {
		const struct outcome *outcome = &entry->outcomes[i];

		if ((outcome->claim_flags & CLAIM_AFTER_DOUBT) != 0)
			print_line(shard, outcome->key.index, outcome->key.epoch, outcome->key.attempt,
			    outcome->kind == OUTCOME_RETURNED);
	}
}

static redisReply *ask(redisContext *redis, const char *socket, const char *format, const char *argument)
{
	redisReply *reply = redisCommand(redis, format, argument);

	if (reply == NULL)
		give_up(socket, redis->errstr);
	if (reply->type != REDIS_REPLY_ARRAY)
		give_up(socket, reply->type == REDIS_REPLY_ERROR ? reply->str : "that is no list");
	return reply;
}

static void print_journal(
    redisContext *redis, struct journal_reader *reader, const char *socket, const char *key)
{
	redisReply *stored = ask(redis, socket, "LRANGE %s 0 -1", key);
	struct squash_list list;
	struct journal_entry entry;
	struct opt_id shard;

	squash_list_init(&list);
	if (id_from_hex(key + PREFIX, &shard) != 0)
		give_up(socket, key);
	for (size_t i = 0; i < stored->elements; i++)
		if (squash_list_add(&list, stored->element[i]->str, stored->element[i]->len) != 0)
			give_up(socket, key);
	for (size_t i = 0; i < list.count; i++) {
		if (journal_read(reader, &shard, list.entries[i].data, list.entries[i].len, &entry) != 0)
			give_up(socket, key);
		print_entry(&shard, &entry);
	}
	squash_list_done(&list);
	freeReplyObject(stored);
}

static void print_store(struct journal_reader *reader, const char *socket)
{
	redisContext *redis = redisConnectUnixWithTimeout(socket, (struct timeval){.tv_sec = TIMEOUT_S});
	redisReply *keys;

	if (redis == NULL || redis->err != 0)
		give_up(socket, redis != NULL ? redis->errstr : "out of memory");
	redisSetTimeout(redis, (struct timeval){.tv_sec = TIMEOUT_S});
	keys = ask(redis, socket, "KEYS %s", "journal:*");
	for (size_t i = 0; i < keys->elements; i++)
		print_journal(redis, reader, socket, keys->element[i]->str);
	freeReplyObject(keys);
	redisFree(redis);
}

int main(int argc, char **argv)
{
	struct journal_reader *reader = journal_reader_new();

	for (int i = 1; i < argc; i++)
		print_store(reader, argv[i]);
	journal_reader_free(reader);
	return fflush(stdout) == 0 ? 0 : 1;
}
