/* SPDX-License-Identifier: MIT */
/*
 * The SMTP server's side of a conversation (RFC 5321 with PIPELINING, 8BITMIME, SIZE, SMTPUTF8,
 * ENHANCEDSTATUSCODES and DSN).
 *
 * Replies collect in the output; the session sends them after the ledger is written. The rules are asked when
 * a recipient comes, when content starts and when it has ended. A delayed answer stops the taking of bytes,
 * so what a client has pipelined waits as it would at a slow server. No TLS, no authentication, no CHUNKING.
 */
#include "test/sink/dialog.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "queue/error.h"

enum { LINE_LIMIT = 8192 };

void dialog_init(struct dialog *dialog, struct server *server, unsigned port)
{
	memset(dialog, 0, sizeof(*dialog));
	dialog->server = server;
	dialog->port = port;
	dialog->state = DIALOG_BANNER;
	message_init(&dialog->message, server->max_size);
}

void dialog_done(struct dialog *dialog)
{
	message_done(&dialog->message);
	free(dialog->output);
}

static __attribute__((format(printf, 2, 3))) void reply(struct dialog *dialog, const char *format, ...)
{
	char line[1024];
	va_list args;
	va_start(args, format);
	int n = vsnprintf(line, sizeof(line) - 2, format, args);
	va_end(args);
	if (n < 0 || (size_t)n >= sizeof(line) - 2)
		abort();
	size_t len = (size_t)n + 2;
	memcpy(line + n, "\r\n", 2);
	if (len > dialog->output_cap - dialog->output_len) {
		dialog->output_cap = (dialog->output_cap + len) * 2;
		dialog->output = realloc(dialog->output, dialog->output_cap);
		if (dialog->output == NULL)
			abort();
	}
	memcpy(dialog->output + dialog->output_len, line, len);
	dialog->output_len += len;
}

static void forget_message(struct dialog *dialog)
{
	dialog->mail = false;
	dialog->drop_mid = false;
	message_reset(&dialog->message);
}

void dialog_greet(struct dialog *dialog)
{
	reply(dialog, "220 sink.test ESMTP optimus-sink");
	dialog->state = DIALOG_COMMAND;
}

void dialog_refuse(struct dialog *dialog, const char *text)
{
	reply(dialog, "%s", text);
	dialog->state = DIALOG_END;
}

static void ehlo(struct dialog *dialog, const char *argument)
{
	(void)argument;
	forget_message(dialog);
	reply(dialog, "250-sink.test");
	reply(dialog, "250-PIPELINING");
	reply(dialog, "250-SIZE %zu", dialog->server->max_size);
	if (dialog->server->dsn)
		reply(dialog, "250-DSN");
	reply(dialog, "250-ENHANCEDSTATUSCODES");
	reply(dialog, "250-8BITMIME");
	reply(dialog, "250 SMTPUTF8");
}

static void helo(struct dialog *dialog, const char *argument)
{
	(void)argument;
	forget_message(dialog);
	reply(dialog, "250 sink.test");
}

static void mail(struct dialog *dialog, const char *argument)
{
	struct command_path path;
	char size[COMMAND_PARAM_MAX];
	if (dialog->mail) {
		reply(dialog, "503 5.5.1 Nested MAIL");
		return;
	}
	if (strncasecmp(argument, "FROM:", 5) != 0 || command_parse_path(argument + 5, &path) != 0) {
		reply(dialog, "501 5.5.4 Syntax: MAIL FROM:<address>");
		return;
	}
	command_param(path.params, "SIZE", size);
	if (strtoull(size, NULL, 10) > dialog->server->max_size) {
		dialog->server->stats.rejected++;
		reply(dialog, "552 5.3.4 Message too big");
		return;
	}
	forget_message(dialog);
	command_param(path.params, "ENVID", dialog->message.envid);
	memcpy(dialog->message.sender, path.address, sizeof(path.address));
	dialog->mail = true;
	reply(dialog, "250 2.1.0 Ok");
}

/* Whether a rule lets the recipient pass; has replied when not. */
static bool recipient_allowed(struct dialog *dialog, const char *address)
{
	struct server *server = dialog->server;
	const struct rule *rule = rules_match(server->rules, STAGE_RCPT, address);
	if (rule == NULL || rule->action == ACTION_ACCEPT)
		return true;
	if (rule->action == ACTION_TEMPFAIL_FIRST &&
	    attempts_count(server->attempts, ACTION_TEMPFAIL_FIRST, address) > rule->times)
		return true;
	if (rule->reply[0] == '4')
		server->stats.tempfailed++;
	else
		server->stats.rejected++;
	reply(dialog, "%s", rule->reply);
	return false;
}

static void rcpt(struct dialog *dialog, const char *argument)
{
	struct command_path path;
	if (!dialog->mail) {
		reply(dialog, "503 5.5.1 MAIL first");
	} else if (strncasecmp(argument, "TO:", 3) != 0 || command_parse_path(argument + 3, &path) != 0 ||
	           path.address[0] == '\0') {
		reply(dialog, "501 5.5.4 Syntax: RCPT TO:<address>");
	} else if (dialog->message.count == MESSAGE_RECIPIENTS_MAX) {
		reply(dialog, "452 4.5.3 Too many recipients");
	} else if (recipient_allowed(dialog, path.address)) {
		message_add_recipient(&dialog->message, path.address);
		reply(dialog, "250 2.1.5 Ok");
	}
}

static void data(struct dialog *dialog, const char *argument)
{
	if (*argument != '\0') {
		reply(dialog, "501 5.5.4 Syntax: DATA");
	} else if (dialog->message.count == 0) {
		/* Also what a client gets that has pipelined DATA behind recipients that were all refused. */
		reply(dialog, dialog->mail ? "554 5.5.1 No valid recipients" : "503 5.5.1 MAIL first");
	} else {
		dialog->verdict = message_judge(&dialog->message, dialog->server);
		dialog->drop_mid = dialog->verdict.action == ACTION_DROP_MID_DATA;
		dialog->state = DIALOG_CONTENT;
		reply(dialog, "354 End data with <CR><LF>.<CR><LF>");
	}
}

static void rset(struct dialog *dialog, const char *argument)
{
	(void)argument;
	forget_message(dialog);
	reply(dialog, "250 2.0.0 Ok");
}

static void noop(struct dialog *dialog, const char *argument)
{
	(void)argument;
	reply(dialog, "250 2.0.0 Ok");
}

static void vrfy(struct dialog *dialog, const char *argument)
{
	(void)argument;
	reply(dialog, "252 2.0.0 Send some mail, I'll try my best");
}

static void quit(struct dialog *dialog, const char *argument)
{
	(void)argument;
	dialog_refuse(dialog, "221 2.0.0 Bye");
}

static const struct {
	const char *verb;
	void (*run)(struct dialog *dialog, const char *argument);
} commands[] = {
    {"MAIL", mail},
    {"RCPT", rcpt},
    {"DATA", data},
    {"QUIT", quit},
    {"EHLO", ehlo},
    {"HELO", helo},
    {"RSET", rset},
    {"NOOP", noop},
    {"VRFY", vrfy},
};

static void command(struct dialog *dialog, char *line)
{
	size_t len = strcspn(line, " ");
	for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
		if (len != strlen(commands[i].verb) || strncasecmp(line, commands[i].verb, len) != 0)
			continue;
		const char *argument = line + len;
		while (*argument == ' ')
			argument++;
		commands[i].run(dialog, argument);
		return;
	}
	reply(dialog, "500 5.5.2 Command not recognized");
}

/* Uses one line of `bytes`, or nothing when there is no whole one. */
static size_t feed_line(struct dialog *dialog, const char *bytes, size_t len)
{
	const char *lf = memchr(bytes, '\n', len);
	size_t used = lf == NULL ? len : (size_t)(lf - bytes) + 1;
	if (lf == NULL && used <= LINE_LIMIT && !dialog->skipping_line)
		return 0;
	if (dialog->skipping_line || used > LINE_LIMIT) {
		dialog->skipping_line = lf == NULL;
		if (lf != NULL)
			reply(dialog, "500 5.5.2 Line too long");
		return used;
	}
	char line[LINE_LIMIT + 1];
	size_t end = used - 1;
	while (end > 0 && isspace((unsigned char)bytes[end - 1]))
		end--;
	memcpy(line, bytes, end);
	line[end] = '\0';
	if (memchr(line, '\0', end) != NULL)
		reply(dialog, "500 5.5.2 Command not recognized");
	else
		command(dialog, line);
	return used;
}

static size_t feed_content(struct dialog *dialog, const char *bytes, size_t len)
{
	if (dialog->drop_mid) {
		dialog->server->stats.dropped_mid++;
		dialog->state = DIALOG_END;
		return 0;
	}
	bool end;
	size_t used = content_feed(&dialog->message.content, (const unsigned char *)bytes, len, &end);
	if (end && dialog->verdict.delay_ms > 0)
		dialog->state = DIALOG_ANSWER;
	else if (end)
		dialog_answer(dialog, false);
	return used;
}

size_t dialog_feed(struct dialog *dialog, const char *bytes, size_t len)
{
	size_t done = 0;
	while (done < len) {
		size_t used = 0;
		if (dialog->state == DIALOG_COMMAND)
			used = feed_line(dialog, bytes + done, len - done);
		else if (dialog->state == DIALOG_CONTENT)
			used = feed_content(dialog, bytes + done, len - done);
		if (used == 0)
			break;
		done += used;
	}
	return done;
}

static void accept_message(struct dialog *dialog, bool gone)
{
	struct server_stats *stats = &dialog->server->stats;
	bool drop_before = dialog->verdict.action == ACTION_DROP_BEFORE_REPLY;
	const char *flag = drop_before ? "dropped-before" : gone ? "gone" : "-";
	uint64_t id = message_record(&dialog->message, dialog->server, dialog->port, flag);
	if (drop_before) {
		stats->dropped_before++;
		dialog->state = DIALOG_END;
		return;
	}
	if (gone)
		stats->gone++;
	else
		stats->messages++;
	reply(dialog, "250 2.0.0 Ok: queued as %llu", (unsigned long long)id);
	if (dialog->verdict.action == ACTION_DROP_AFTER_REPLY) {
		stats->dropped_after++;
		dialog->state = DIALOG_END;
	}
}

void dialog_answer(struct dialog *dialog, bool gone)
{
	struct server_stats *stats = &dialog->server->stats;
	dialog->state = gone ? DIALOG_END : DIALOG_COMMAND;
	if (dialog->message.content.too_large) {
		stats->rejected++;
		reply(dialog, "552 5.3.4 Message too big");
	} else if (dialog->verdict.action == ACTION_REJECT_DATA) {
		if (dialog->verdict.reply[0] == '4')
			stats->tempfailed++;
		else
			stats->rejected++;
		reply(dialog, "%s", dialog->verdict.reply);
	} else {
		accept_message(dialog, gone);
	}
	forget_message(dialog);
}
