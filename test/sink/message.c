/* SPDX-License-Identifier: MIT */
/*
 * The message being received, from MAIL to its line in the ledger.
 *
 * It owns its recipients and its content. The rules may be reloaded while an answer waits, so the verdict is
 * a copy. A file that can't be saved ends the sink, like a ledger that can't be written.
 */
#include "test/sink/message.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

void message_init(struct message *message, size_t max_size)
{
	memset(message, 0, sizeof(*message));
	content_init(&message->content, max_size);
}

static void free_recipients(struct message *message)
{
	for (size_t i = 0; i < message->count; i++)
		free(message->recipients[i]);
	message->count = 0;
}

void message_done(struct message *message)
{
	free_recipients(message);
	free(message->recipients);
	content_done(&message->content);
}

void message_reset(struct message *message)
{
	free_recipients(message);
	message->sender[0] = '\0';
	message->envid[0] = '\0';
	content_reset(&message->content);
}

void message_add_recipient(struct message *message, const char *address)
{
	/* Room grows at the powers of two: 1, 2, 4, ... */
	if ((message->count & (message->count - 1)) == 0) {
		size_t room = message->count == 0 ? 1 : message->count * 2;
		message->recipients = realloc(message->recipients, room * sizeof(*message->recipients));
		if (message->recipients == NULL)
			abort();
	}
	char *copy = strdup(address);
	if (copy == NULL)
		abort();
	message->recipients[message->count++] = copy;
}

struct message_verdict message_judge(const struct message *message, const struct server *server)
{
	struct message_verdict verdict = {.action = ACTION_ACCEPT};
	for (size_t i = 0; i < message->count; i++) {
		const char *recipient = message->recipients[i];
		const struct rule *rule = rules_match(server->rules, STAGE_DELAY, recipient);
		if (rule != NULL && rule->delay_ms > verdict.delay_ms)
			verdict.delay_ms = rule->delay_ms;
		rule = rules_match(server->rules, STAGE_END, recipient);
		if (rule == NULL || verdict.action != ACTION_ACCEPT)
			continue;
		if (rule->times > 0 &&
		    attempts_count(server->attempts, (int)rule->action, recipient) > rule->times)
			continue;
		verdict.action = rule->action;
		if (rule->reply != NULL)
			snprintf(verdict.reply, sizeof(verdict.reply), "%s", rule->reply);
	}
	return verdict;
}

static void save(const struct message *message, const struct server *server)
{
	char path[4096];
	snprintf(path, sizeof(path), "%s/%08llu.eml", server->save_dir, (unsigned long long)server->sequence);
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	size_t done = 0;
	while (fd >= 0 && done < message->content.len) {
		ssize_t n = write(fd, message->content.data + done, message->content.len - done);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			break;
		done += (size_t)n;
	}
	if (fd < 0 || done < message->content.len || close(fd) != 0) {
		fprintf(stderr, "optimus-sink: can't save %s: %s\n", path, strerror(errno));
		_exit(1);
	}
}

uint64_t message_record(const struct message *message, struct server *server, unsigned port, const char *flag)
{
	struct timespec now;
	char hash[CONTENT_HASH_HEX];
	char message_id[CONTENT_MESSAGE_ID_MAX];
	clock_gettime(CLOCK_REALTIME, &now);
	content_hash(&message->content, hash);
	content_message_id(&message->content, message_id);
	struct ledger_line line = {
	    .utc_us = (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000,
	    .sender = message->sender,
	    .message_id = message_id,
	    .size = message->content.len,
	    .hash = hash,
	    .port = port,
	    .flag = flag,
	    .envid = message->envid,
	};
	for (size_t i = 0; i < message->count; i++) {
		line.recipient = message->recipients[i];
		ledger_add(server->ledger, &line);
	}
	server->stats.recipients += message->count;
	server->stats.bytes += message->content.len;
	server->sequence++;
	if (server->save_dir != NULL)
		save(message, server);
	return server->sequence;
}
