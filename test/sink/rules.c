/* SPDX-License-Identifier: MIT */
/*
 * The sink's rules: parsing and matching.
 *
 * A rules object owns everything in it and never changes after parsing; a reload makes a new one, so whoever
 * keeps a rule across turns of the loop has to copy what it needs. A file with one wrong line is refused as a
 * whole: half a set of behaviours would make a test measure something else than it says.
 */
#include "test/sink/rules.h"

#include <ctype.h>
#include <errno.h>
#include <fnmatch.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "queue/error.h"

enum { RULES_FILE_MAX = 1024 * 1024, RULES_DELAY_MAX_MS = 3600 * 1000, RULES_REPLY_MAX = 400 };

struct rules {
	struct rule *list;
	size_t count;
	uint32_t max_connections;
};

enum argument { ARGUMENT_NONE, ARGUMENT_TIME, ARGUMENT_REPLY, ARGUMENT_TIMES_REPLY, ARGUMENT_MAYBE_TIMES };

static const struct {
	const char *name;
	enum rule_action action;
	enum rule_stage stage;
	enum argument argument;
} actions[] = {
    {"delay-banner", ACTION_DELAY_BANNER, STAGE_BANNER, ARGUMENT_TIME},
    {"reject", ACTION_REJECT, STAGE_RCPT, ARGUMENT_REPLY},
    {"tempfail-first", ACTION_TEMPFAIL_FIRST, STAGE_RCPT, ARGUMENT_TIMES_REPLY},
    {"accept", ACTION_ACCEPT, STAGE_RCPT, ARGUMENT_NONE},
    {"delay-data", ACTION_DELAY_DATA, STAGE_DELAY, ARGUMENT_TIME},
    {"reject-data", ACTION_REJECT_DATA, STAGE_END, ARGUMENT_REPLY},
    {"drop-mid-data", ACTION_DROP_MID_DATA, STAGE_END, ARGUMENT_MAYBE_TIMES},
    {"drop-before-reply", ACTION_DROP_BEFORE_REPLY, STAGE_END, ARGUMENT_MAYBE_TIMES},
    {"drop-after-reply", ACTION_DROP_AFTER_REPLY, STAGE_END, ARGUMENT_MAYBE_TIMES},
};

enum { ACTIONS = sizeof(actions) / sizeof(actions[0]) };

/* Cuts the next word off *cursor; NULL at the end of the line. */
static char *next_word(char **cursor)
{
	char *p = *cursor;
	while (*p == ' ' || *p == '\t')
		p++;
	if (*p == '\0') {
		*cursor = p;
		return NULL;
	}
	char *word = p;
	while (*p != '\0' && *p != ' ' && *p != '\t')
		p++;
	if (*p != '\0')
		*p++ = '\0';
	*cursor = p;
	return word;
}

static int parse_number(const char *word, uint32_t *ret_number)
{
	if (word == NULL || !isdigit((unsigned char)word[0]))
		return OPT_E_INVALID;
	char *end;
	errno = 0;
	unsigned long value = strtoul(word, &end, 10);
	if (errno != 0 || *end != '\0' || value > UINT32_MAX)
		return OPT_E_INVALID;
	*ret_number = (uint32_t)value;
	return 0;
}

static int parse_time(const char *word, uint64_t *ret_ms)
{
	if (word == NULL || !isdigit((unsigned char)word[0]))
		return OPT_E_INVALID;
	char *end;
	errno = 0;
	unsigned long value = strtoul(word, &end, 10);
	uint64_t unit = 0;
	if (strcmp(end, "ms") == 0)
		unit = 1;
	else if (strcmp(end, "s") == 0)
		unit = 1000;
	else if (strcmp(end, "m") == 0)
		unit = 60 * 1000;
	if (errno != 0 || unit == 0 || value > RULES_DELAY_MAX_MS / unit)
		return OPT_E_INVALID;
	*ret_ms = value * unit;
	return 0;
}

/* The rest of a line as an SMTP reply: three digits, 4xx or 5xx, and a text. */
static int parse_reply(char *rest, char **ret_reply)
{
	while (*rest == ' ' || *rest == '\t')
		rest++;
	size_t len = strlen(rest);
	if (len < 5 || len > RULES_REPLY_MAX || (rest[0] != '4' && rest[0] != '5') ||
	    !isdigit((unsigned char)rest[1]) || !isdigit((unsigned char)rest[2]) || rest[3] != ' ')
		return OPT_E_INVALID;
	*ret_reply = strdup(rest);
	if (*ret_reply == NULL)
		abort();
	return 0;
}

static int parse_argument(enum argument argument, char *rest, struct rule *rule)
{
	char *word;
	switch (argument) {
	case ARGUMENT_NONE:
		break;
	case ARGUMENT_TIME:
		if (parse_time(next_word(&rest), &rule->delay_ms) != 0)
			return OPT_E_INVALID;
		break;
	case ARGUMENT_TIMES_REPLY:
		if (parse_number(next_word(&rest), &rule->times) != 0 || rule->times == 0)
			return OPT_E_INVALID;
		return parse_reply(rest, &rule->reply);
	case ARGUMENT_REPLY:
		return parse_reply(rest, &rule->reply);
	case ARGUMENT_MAYBE_TIMES:
		word = next_word(&rest);
		if (word != NULL && (parse_number(word, &rule->times) != 0 || rule->times == 0))
			return OPT_E_INVALID;
		break;
	}
	return next_word(&rest) == NULL ? 0 : OPT_E_INVALID;
}

static const char *parse_pattern(char *word, char **cursor, struct rule *rule)
{
	if (strcmp(word, "*") == 0) {
		rule->scope = SCOPE_ALL;
		return NULL;
	}
	if (strcmp(word, "domain") == 0)
		rule->scope = SCOPE_DOMAIN;
	else if (strcmp(word, "rcpt") == 0)
		rule->scope = SCOPE_RCPT;
	else
		return "starts with none of: * domain rcpt max-connections";
	char *glob = next_word(cursor);
	if (glob == NULL)
		return "has no pattern";
	rule->glob = strdup(glob);
	if (rule->glob == NULL)
		abort();
	return NULL;
}

/* Parses one line with a pattern and an action. NULL, or what is wrong with it. */
static const char *parse_rule(char *word, char *cursor, struct rule *rule)
{
	const char *wrong = parse_pattern(word, &cursor, rule);
	if (wrong != NULL)
		return wrong;
	char *name = next_word(&cursor);
	if (name == NULL)
		return "has no action";
	for (size_t i = 0; i < ACTIONS; i++) {
		if (strcmp(name, actions[i].name) != 0)
			continue;
		rule->action = actions[i].action;
		if (actions[i].stage == STAGE_BANNER && rule->scope != SCOPE_ALL)
			return "delays the banner, when the recipient is not known yet: use *";
		return parse_argument(actions[i].argument, cursor, rule) == 0 ? NULL : "has a wrong argument";
	}
	return "has an unknown action";
}

static void rule_done(struct rule *rule)
{
	free(rule->glob);
	free(rule->reply);
}

void rules_free(struct rules *rules)
{
	if (rules == NULL)
		return;
	for (size_t i = 0; i < rules->count; i++)
		rule_done(&rules->list[i]);
	free(rules->list);
	free(rules);
}

static const char *parse_line(struct rules *rules, char *line)
{
	char *cursor = line;
	char *word = next_word(&cursor);
	if (word == NULL || word[0] == '#')
		return NULL;
	if (strcmp(word, "max-connections") == 0) {
		if (parse_number(next_word(&cursor), &rules->max_connections) != 0)
			return "has no number";
		return next_word(&cursor) == NULL ? NULL : "goes on after the number";
	}
	if (rules->count == RULES_MAX)
		return "is one rule too many";
	struct rule rule = {0};
	const char *wrong = parse_rule(word, cursor, &rule);
	if (wrong != NULL) {
		rule_done(&rule);
		return wrong;
	}
	rules->list[rules->count++] = rule;
	return NULL;
}

int rules_parse(const char *text, size_t len, struct rules **ret_rules, char *error)
{
	if (len > RULES_FILE_MAX || memchr(text, '\0', len) != NULL) {
		snprintf(error, RULES_ERROR_MAX, "the rules are too long or no text");
		return OPT_E_LIMIT;
	}
	struct rules *rules = calloc(1, sizeof(*rules));
	char *copy = strndup(text, len);
	if (rules == NULL || copy == NULL)
		abort();
	rules->list = calloc(RULES_MAX, sizeof(*rules->list));
	if (rules->list == NULL)
		abort();
	int number = 0;
	const char *wrong = NULL;
	char *rest = copy;
	char *line;
	while (wrong == NULL && (line = strsep(&rest, "\n")) != NULL) {
		number++;
		line[strcspn(line, "\r")] = '\0';
		wrong = parse_line(rules, line);
	}
	free(copy);
	if (wrong != NULL) {
		snprintf(error, RULES_ERROR_MAX, "line %d %s", number, wrong);
		rules_free(rules);
		return OPT_E_INVALID;
	}
	*ret_rules = rules;
	return 0;
}

int rules_load(const char *path, struct rules **ret_rules, char *error)
{
	FILE *file = fopen(path, "re");
	if (file == NULL) {
		snprintf(error, RULES_ERROR_MAX, "can't open the rules: %s", strerror(errno));
		return OPT_E_IO;
	}
	char *text = malloc(RULES_FILE_MAX + 1);
	if (text == NULL)
		abort();
	size_t len = fread(text, 1, RULES_FILE_MAX + 1, file);
	int err;
	if (ferror(file)) {
		snprintf(error, RULES_ERROR_MAX, "can't read the rules: %s", strerror(errno));
		err = OPT_E_IO;
	} else {
		err = rules_parse(text, len, ret_rules, error);
	}
	free(text);
	fclose(file);
	return err;
}

static bool matches(const struct rule *rule, const char *recipient)
{
	const char *at;
	switch (rule->scope) {
	case SCOPE_ALL:
		return true;
	case SCOPE_DOMAIN:
		at = strrchr(recipient, '@');
		return at != NULL && fnmatch(rule->glob, at + 1, FNM_CASEFOLD) == 0;
	case SCOPE_RCPT:
		return fnmatch(rule->glob, recipient, FNM_CASEFOLD) == 0;
	}
	return false;
}

const struct rule *rules_match(const struct rules *rules, enum rule_stage stage, const char *recipient)
{
	if (rules == NULL)
		return NULL;
	for (size_t i = 0; i < rules->count; i++) {
		const struct rule *rule = &rules->list[i];
		if (actions[rule->action].stage == stage && matches(rule, recipient))
			return rule;
	}
	return NULL;
}

uint32_t rules_max_connections(const struct rules *rules)
{
	return rules == NULL ? 0 : rules->max_connections;
}
