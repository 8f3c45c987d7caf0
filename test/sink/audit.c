/* SPDX-License-Identifier: MIT */
/*
 * The comparison.
 *
 * A person is an address, with its domain in lower case; a message is a Message-ID and an address. Each
 * person knows how often it was submitted and reported, each message how often the ledger holds it. All input
 * comes first, in any order, the comparison then walks both tables once.
 *
 * A message may be in the ledger more than once because the sender was never told (the sink dropped the
 * connection, or the sender had gone): such copies are what SMTP can't avoid and are counted apart.
 */
#include "test/sink/audit.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "test/sink/table.h"

enum { KEY_MAX = 2048, LEDGER_FIELDS = 9 };

struct person {
	uint32_t submitted;
	uint32_t final;        /* reported in a final state */
	uint32_t sent;         /* reported sent */
	uint32_t sent_unnamed; /* of those, without a Message-ID */
	uint32_t not_sent;     /* reported bounced, expired, cancelled or suppressed */
	uint32_t reported;
	uint32_t messages; /* different ones in the ledger */
};

struct message {
	uint32_t answered; /* in the ledger, and the sender was told */
	uint32_t flagged;  /* in the ledger, and it was not */
	uint32_t sent;     /* reported */
	uint32_t not_sent;
};

struct audit {
	struct table *people;
	struct table *messages;
	uint64_t reported;
	uint64_t sent;
	uint64_t bounced;
	uint64_t other;
	uint64_t malformed;
};

struct audit *audit_new(void)
{
	struct audit *audit = calloc(1, sizeof(*audit));
	if (audit == NULL)
		abort();
	audit->people = table_new(sizeof(struct person));
	audit->messages = table_new(sizeof(struct message));
	return audit;
}

void audit_free(struct audit *audit)
{
	if (audit == NULL)
		return;
	table_free(audit->people);
	table_free(audit->messages);
	free(audit);
}

/* Copies the address with its domain in lower case; returns its length, cut at the limit. */
static size_t fold(char key[KEY_MAX], const char *email, size_t len)
{
	if (len > KEY_MAX)
		len = KEY_MAX;
	memcpy(key, email, len);
	const char *at = memrchr(key, '@', len);
	for (size_t i = at == NULL ? len : (size_t)(at - key); i < len; i++)
		key[i] = (char)tolower((unsigned char)key[i]);
	return len;
}

static struct person *person_of(struct audit *audit, const char *email, size_t len)
{
	char key[KEY_MAX];
	len = fold(key, email, len);
	return table_get(audit->people, key, len);
}

static struct message *message_of(
    struct audit *audit, const char *id, size_t id_len, const char *email, size_t email_len)
{
	char key[2 * KEY_MAX + 1];
	/* The header has it in angle brackets, a report without. */
	if (id_len >= 2 && id[0] == '<' && id[id_len - 1] == '>') {
		id++;
		id_len -= 2;
	}
	size_t len = id_len < KEY_MAX ? id_len : KEY_MAX;
	memcpy(key, id, len);
	key[len++] = '\t';
	len += fold(key + len, email, email_len);
	return table_get(audit->messages, key, len);
}

void audit_submitted(struct audit *audit, const char *email, size_t len)
{
	person_of(audit, email, len)->submitted++;
}

void audit_malformed(struct audit *audit)
{
	audit->malformed++;
}

void audit_ledger_line(struct audit *audit, const char *line, size_t len)
{
	const char *field[LEDGER_FIELDS];
	size_t length[LEDGER_FIELDS];
	const char *end = line + len;
	for (int i = 0; i < LEDGER_FIELDS; i++) {
		const char *tab = line <= end ? memchr(line, '\t', (size_t)(end - line)) : NULL;
		if (line > end || (tab == NULL && i < LEDGER_FIELDS - 1)) {
			audit->malformed++;
			return;
		}
		field[i] = line;
		length[i] = (size_t)((tab == NULL ? end : tab) - line);
		line += length[i] + 1;
	}
	struct message *message = message_of(audit, field[3], length[3], field[2], length[2]);
	if (message->answered + message->flagged == 0)
		person_of(audit, field[2], length[2])->messages++;
	if (length[7] == 1 && field[7][0] == '-')
		message->answered++;
	else
		message->flagged++;
}

void audit_reported(struct audit *audit, const char *email, size_t email_len, const char *state,
    const char *message_id, size_t message_id_len)
{
	static const char *const not_sent[] = {"bounced", "expired", "cancelled", "suppressed"};
	struct person *person = person_of(audit, email, email_len);
	struct message *message = NULL;
	if (message_id_len > 0)
		message = message_of(audit, message_id, message_id_len, email, email_len);
	audit->reported++;
	person->reported++;
	if (strcmp(state, "sent") == 0) {
		audit->sent++;
		person->final++;
		person->sent++;
		if (message != NULL)
			message->sent++;
		else
			person->sent_unnamed++;
		return;
	}
	if (strcmp(state, "unknown") == 0) {
		audit->other++;
		person->final++;
		return;
	}
	for (size_t i = 0; i < sizeof(not_sent) / sizeof(not_sent[0]); i++) {
		if (strcmp(state, not_sent[i]) != 0)
			continue;
		if (i == 0)
			audit->bounced++;
		else
			audit->other++;
		person->final++;
		person->not_sent++;
		if (message != NULL)
			message->not_sent++;
	}
}

static uint64_t excess(uint64_t a, uint64_t b)
{
	return a > b ? a - b : 0;
}

static void compare_person(const struct person *person, bool with_report, struct audit_result *result)
{
	result->submitted += person->submitted;
	/* More different messages than submissions: somebody sent what nobody asked for, or a copy under
	 * another name. */
	result->foreign += excess(person->messages, person->submitted);
	if (!with_report) {
		result->missing += excess(person->submitted, person->messages);
		return;
	}
	result->lost += excess(person->submitted, person->final);
	result->mismatch += excess(person->reported, person->submitted);
	if (person->sent_unnamed > 0)
		result->missing += excess(person->sent, person->messages);
}

static void compare_message(const struct message *message, struct audit_result *result)
{
	uint32_t copies = message->answered + message->flagged;
	if (copies > 0) {
		uint32_t more = copies - 1;
		uint32_t apart = message->flagged < more ? message->flagged : more;
		result->received++;
		result->dropped_before += apart;
		result->duplicates += more - apart;
	}
	if (message->sent > 0 && copies == 0)
		result->missing += message->sent;
	if (message->not_sent > 0 && message->answered > 0)
		result->mismatch += message->not_sent;
}

struct audit_result audit_compare(const struct audit *audit, bool with_report)
{
	const char *key;
	size_t len;
	struct audit_result result = {
	    .reported = audit->reported,
	    .sent = audit->sent,
	    .bounced = audit->bounced,
	    .other = audit->other,
	    .malformed = audit->malformed,
	};
	for (size_t i = 0; i < table_count(audit->people); i++)
		compare_person(table_at(audit->people, i, &key, &len), with_report, &result);
	for (size_t i = 0; i < table_count(audit->messages); i++)
		compare_message(table_at(audit->messages, i, &key, &len), &result);
	return result;
}

bool audit_clean(const struct audit_result *result)
{
	return result->missing == 0 && result->lost == 0 && result->foreign == 0 && result->mismatch == 0 &&
	       result->malformed == 0;
}
