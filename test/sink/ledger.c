/* SPDX-License-Identifier: MIT */
/*
 * Appends lines to the ledger file, many with one write(2).
 *
 * The caller flushes before any answer leaves, so a message that a client believes delivered is in the file
 * even when the sink is killed the moment after. Nothing is fsynced: the ledger survives the sink, not the
 * machine.
 */
#include "test/sink/ledger.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct ledger {
	int fd; /* -1: no file */
	char *text;
	size_t len;
	size_t cap;
};

struct ledger *ledger_open(const char *path)
{
	int fd = -1;
	if (path != NULL) {
		fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0644);
		if (fd < 0)
			return NULL;
	}
	struct ledger *ledger = calloc(1, sizeof(*ledger));
	if (ledger == NULL)
		abort();
	ledger->fd = fd;
	return ledger;
}

void ledger_close(struct ledger *ledger)
{
	if (ledger == NULL)
		return;
	ledger_flush(ledger);
	if (ledger->fd >= 0)
		close(ledger->fd);
	free(ledger->text);
	free(ledger);
}

static char *reserve(struct ledger *ledger, size_t more)
{
	if (more > ledger->cap - ledger->len) {
		size_t cap = ledger->cap < 65536 ? 65536 : ledger->cap;
		while (cap - ledger->len < more)
			cap *= 2;
		ledger->text = realloc(ledger->text, cap);
		if (ledger->text == NULL)
			abort();
		ledger->cap = cap;
	}
	return ledger->text + ledger->len;
}

static void add_field(struct ledger *ledger, const char *field, char end)
{
	static const char digits[] = "0123456789abcdef";
	char *p = reserve(ledger, strlen(field) * 4 + 1);
	for (; *field != '\0'; field++) {
		unsigned char c = (unsigned char)*field;
		if (c >= 0x20 && c != 0x7f && c != '\\') {
			*p++ = (char)c;
			continue;
		}
		*p++ = '\\';
		*p++ = 'x';
		*p++ = digits[c >> 4];
		*p++ = digits[c & 15];
	}
	*p++ = end;
	ledger->len = (size_t)(p - ledger->text);
}

void ledger_add(struct ledger *ledger, const struct ledger_line *line)
{
	if (ledger->fd < 0)
		return;
	char number[32];
	snprintf(number, sizeof(number), "%llu", (unsigned long long)line->utc_us);
	add_field(ledger, number, '\t');
	add_field(ledger, line->sender[0] != '\0' ? line->sender : "<>", '\t');
	add_field(ledger, line->recipient, '\t');
	add_field(ledger, line->message_id[0] != '\0' ? line->message_id : "-", '\t');
	snprintf(number, sizeof(number), "%zu", line->size);
	add_field(ledger, number, '\t');
	add_field(ledger, line->hash, '\t');
	snprintf(number, sizeof(number), "%u", line->port);
	add_field(ledger, number, '\t');
	add_field(ledger, line->flag, '\t');
	add_field(ledger, line->envid[0] != '\0' ? line->envid : "-", '\n');
}

void ledger_flush(struct ledger *ledger)
{
	size_t done = 0;
	while (done < ledger->len) {
		ssize_t n = write(ledger->fd, ledger->text + done, ledger->len - done);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0) {
			fprintf(stderr, "optimus-sink: can't write the ledger: %s\n", strerror(errno));
			_exit(1);
		}
		done += (size_t)n;
	}
	ledger->len = 0;
}
