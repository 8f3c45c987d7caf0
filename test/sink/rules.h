/* SPDX-License-Identifier: MIT */
/*
 * How the sink behaves towards whom, read from a file of lines:
 *
 *   # comment
 *   max-connections N
 *   PATTERN ACTION
 *
 *   PATTERN  *  |  domain GLOB  |  rcpt GLOB           (case does not matter)
 *   ACTION   delay-banner TIME                         only with the pattern *
 *            reject CODE TEXT                          answer to RCPT
 *            tempfail-first N CODE TEXT                the first N RCPT of each recipient
 *            accept                                    ends the search among reject and tempfail-first
 *            delay-data TIME                           wait that long before answering the final dot
 *            reject-data CODE TEXT                     answer to the final dot
 *            drop-mid-data [N]                         close once content arrives
 *            drop-before-reply [N]                     accept, then close instead of answering the final dot
 *            drop-after-reply [N]                      answer the final dot, then close
 *   TIME     a number with ms, s or m                  N after a drop: only the first N of each recipient
 *
 * At each stage of a delivery the first line that matches and speaks about that stage wins, so one line may
 * delay a domain and another one drop its connections.
 */
#ifndef OPTIMUS_SINK_RULES_H
#define OPTIMUS_SINK_RULES_H

#include <stddef.h>
#include <stdint.h>

enum { RULES_MAX = 1000, RULES_ERROR_MAX = 200 };

enum rule_stage { STAGE_BANNER, STAGE_RCPT, STAGE_DELAY, STAGE_END };

enum rule_action {
	ACTION_DELAY_BANNER,
	ACTION_REJECT,
	ACTION_TEMPFAIL_FIRST,
	ACTION_ACCEPT,
	ACTION_DELAY_DATA,
	ACTION_REJECT_DATA,
	ACTION_DROP_MID_DATA,
	ACTION_DROP_BEFORE_REPLY,
	ACTION_DROP_AFTER_REPLY,
};

enum rule_scope { SCOPE_ALL, SCOPE_DOMAIN, SCOPE_RCPT };

struct rule {
	enum rule_scope scope;
	char *glob; /* NULL for SCOPE_ALL */
	enum rule_action action;
	uint32_t times; /* tempfail-first and drops; 0: every time */
	uint64_t delay_ms;
	char *reply; /* "550 5.1.1 no such user", or NULL */
};

struct rules;

/*
 * Reads the text of a rules file. Returns 0 and *ret_rules, which the caller frees, or OPT_E_INVALID or
 * OPT_E_LIMIT with a sentence that names the line in `error` (RULES_ERROR_MAX bytes).
 */
int rules_parse(const char *text, size_t len, struct rules **ret_rules, char *error);
/* Reads a file; OPT_E_IO when it can't be read. */
int rules_load(const char *path, struct rules **ret_rules, char *error);
void rules_free(struct rules *rules);

/* The first rule of that stage for the recipient ("" for the banner), or NULL. NULL rules match nothing. */
const struct rule *rules_match(const struct rules *rules, enum rule_stage stage, const char *recipient);
/* The most connections at once; 0: no limit. */
uint32_t rules_max_connections(const struct rules *rules);

#endif
