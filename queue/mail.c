/* SPDX-License-Identifier: MIT */
/*
 * Mail states as a table, and the text form of an attempt's key.
 *
 * The table is the only place that says which moves are legal; shard.c checks every move against it and
 * aborts on one that is not, because a mail that moved wrongly once can't be trusted to be sent once.
 */
#include "queue/mail.h"

#include <stdio.h>
#include <string.h>

#include "queue/error.h"

static const char *const state_names[MAIL_STATES] = {
    [MAIL_STAGED] = "staged",
    [MAIL_READY] = "ready",
    [MAIL_CLAIMED] = "claimed",
    [MAIL_RETRY] = "retry",
    [MAIL_IN_DOUBT] = "in_doubt",
    [MAIL_SENT] = "sent",
    [MAIL_BOUNCED] = "bounced",
    [MAIL_EXPIRED] = "expired",
    [MAIL_CANCELLED] = "cancelled",
    [MAIL_SUPPRESSED] = "suppressed",
    [MAIL_UNKNOWN] = "unknown",
};

#define TO(state) (1u << (state))

/* Every open state may be settled by a fact that was learnt elsewhere. */
#define ANY_FINAL                                                                                            \
	(TO(MAIL_SENT) | TO(MAIL_BOUNCED) | TO(MAIL_EXPIRED) | TO(MAIL_CANCELLED) | TO(MAIL_SUPPRESSED) |    \
	    TO(MAIL_UNKNOWN))

/* A final state only moves up the order of outcome_merge(). */
static const uint32_t moves[MAIL_STATES] = {
    [MAIL_STAGED] = TO(MAIL_READY),
    [MAIL_READY] = TO(MAIL_CLAIMED) | ANY_FINAL,
    [MAIL_CLAIMED] = TO(MAIL_READY) | TO(MAIL_RETRY) | TO(MAIL_IN_DOUBT) | ANY_FINAL,
    [MAIL_RETRY] = TO(MAIL_READY) | TO(MAIL_CLAIMED) | ANY_FINAL,
    [MAIL_IN_DOUBT] = TO(MAIL_READY) | TO(MAIL_RETRY) | ANY_FINAL,
    [MAIL_UNKNOWN] = ANY_FINAL & ~TO(MAIL_UNKNOWN),
    [MAIL_SUPPRESSED] = TO(MAIL_SENT) | TO(MAIL_BOUNCED) | TO(MAIL_EXPIRED) | TO(MAIL_CANCELLED),
    [MAIL_CANCELLED] = TO(MAIL_SENT) | TO(MAIL_BOUNCED) | TO(MAIL_EXPIRED),
    [MAIL_EXPIRED] = TO(MAIL_SENT) | TO(MAIL_BOUNCED),
    [MAIL_BOUNCED] = TO(MAIL_SENT),
    [MAIL_SENT] = 0,
};

const char *mail_state_name(enum mail_state state)
{
	return state < MAIL_STATES ? state_names[state] : "invalid";
}

int mail_state_parse(const char *name, enum mail_state *ret_state)
{
	for (int i = 0; i < MAIL_STATES; i++) {
		if (strcmp(name, state_names[i]) == 0) {
			*ret_state = (enum mail_state)i;
			return 0;
		}
	}
	return OPT_E_INVALID;
}

bool mail_state_final(enum mail_state state)
{
	return state >= MAIL_SENT && state < MAIL_STATES;
}

bool mail_move_allowed(enum mail_state from, enum mail_state to)
{
	return from < MAIL_STATES && to < MAIL_STATES && (moves[from] & TO(to)) != 0;
}

char *attempt_to_text(const struct attempt_key *key, char text[ATTEMPT_TEXT_MAX])
{
	char shard[OPT_ID_HEX];
	char node[OPT_ID_HEX];

	snprintf(text, ATTEMPT_TEXT_MAX, "%s.%u.%u.%s.%u", id_to_hex(&key->shard, shard), key->index,
	    key->epoch, id_to_hex(&key->node, node), key->attempt);
	return text;
}

/* A decimal number without sign or leading zeros, followed by `end`. Returns what comes after, or NULL. */
static const char *read_number(const char *text, char end, uint32_t *ret_number)
{
	uint64_t number = 0;
	const char *p = text;

	for (; *p >= '0' && *p <= '9'; p++) {
		number = number * 10 + (uint64_t)(*p - '0');
		if (number > UINT32_MAX)
			return NULL;
	}
	if (p == text || (*text == '0' && p != text + 1) || *p != end)
		return NULL;
	*ret_number = (uint32_t)number;
	return end == '\0' ? p : p + 1;
}

int attempt_from_text(const char *text, struct attempt_key *ret_key)
{
	struct attempt_key key;
	const char *p = text;

	if (strnlen(p, OPT_ID_HEX) < OPT_ID_HEX || id_from_hex(p, &key.shard) != 0 || p[40] != '.')
		return OPT_E_INVALID;
	p = read_number(p + OPT_ID_HEX, '.', &key.index);
	if (p == NULL)
		return OPT_E_INVALID;
	p = read_number(p, '.', &key.epoch);
	if (p == NULL)
		return OPT_E_INVALID;
	if (strnlen(p, OPT_ID_HEX) < OPT_ID_HEX || id_from_hex(p, &key.node) != 0 || p[40] != '.')
		return OPT_E_INVALID;
	p = read_number(p + OPT_ID_HEX, '\0', &key.attempt);
	if (p == NULL)
		return OPT_E_INVALID;
	*ret_key = key;
	return 0;
}
