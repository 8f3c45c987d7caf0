/* SPDX-License-Identifier: MIT */
/* The promises of the sink's rules, and of the content and paths that it reads. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <sodium.h>

#include "queue/error.h"
#include "test/sink/attempts.h"
#include "test/sink/command.h"
#include "test/sink/content.h"
#include "test/sink/rules.h"

static struct rules *parse(const char *text)
{
	char error[RULES_ERROR_MAX] = "";
	struct rules *rules = NULL;
	if (rules_parse(text, strlen(text), &rules, error) != 0)
		fail_msg("refused: %s", error);
	return rules;
}

static void every_action_is_understood(void **state)
{
	(void)state;
	struct rules *rules = parse("# a comment\n\n"
	                            "max-connections 7\r\n"
	                            "* delay-banner 1s\n"
	                            "rcpt bounce*@* reject 550 5.1.1 no such user\n"
	                            "domain grey.test tempfail-first 2 451 4.7.1 greylisted\n"
	                            "\tdomain  slow.test\tdelay-data   10s  \n"
	                            "domain *.drop.test drop-before-reply 3\n"
	                            "domain after.test drop-after-reply\n"
	                            "domain half.test drop-mid-data\n"
	                            "domain full.test reject-data 452 4.3.1 full\n"
	                            "* delay-data 200ms");
	assert_int_equal(rules_max_connections(rules), 7);
	assert_int_equal(rules_match(rules, STAGE_BANNER, "")->delay_ms, 1000);
	const struct rule *rule = rules_match(rules, STAGE_RCPT, "bounce7@anywhere.test");
	assert_int_equal(rule->action, ACTION_REJECT);
	assert_string_equal(rule->reply, "550 5.1.1 no such user");
	rule = rules_match(rules, STAGE_RCPT, "a@GREY.test");
	assert_int_equal(rule->action, ACTION_TEMPFAIL_FIRST);
	assert_int_equal(rule->times, 2);
	assert_string_equal(rule->reply, "451 4.7.1 greylisted");
	assert_null(rules_match(rules, STAGE_RCPT, "a@other.test"));
	assert_int_equal(rules_match(rules, STAGE_DELAY, "a@slow.test")->delay_ms, 10000);
	assert_int_equal(rules_match(rules, STAGE_DELAY, "a@other.test")->delay_ms, 200);
	rule = rules_match(rules, STAGE_END, "a@x.drop.test");
	assert_int_equal(rule->action, ACTION_DROP_BEFORE_REPLY);
	assert_int_equal(rule->times, 3);
	assert_int_equal(rules_match(rules, STAGE_END, "a@after.test")->action, ACTION_DROP_AFTER_REPLY);
	assert_int_equal(rules_match(rules, STAGE_END, "a@half.test")->action, ACTION_DROP_MID_DATA);
	assert_int_equal(rules_match(rules, STAGE_END, "a@full.test")->action, ACTION_REJECT_DATA);
	rules_free(rules);
}

static void the_first_match_of_a_stage_wins(void **state)
{
	(void)state;
	struct rules *rules = parse("rcpt vip@a.test accept\n"
	                            "domain a.test delay-data 1s\n"
	                            "domain a.test reject 554 5.7.1 no\n"
	                            "* reject 550 5.1.1 nobody\n"
	                            "* drop-mid-data\n");
	assert_int_equal(rules_match(rules, STAGE_RCPT, "vip@a.test")->action, ACTION_ACCEPT);
	assert_string_equal(rules_match(rules, STAGE_RCPT, "x@a.test")->reply, "554 5.7.1 no");
	assert_string_equal(rules_match(rules, STAGE_RCPT, "x@b.test")->reply, "550 5.1.1 nobody");
	assert_int_equal(rules_match(rules, STAGE_DELAY, "vip@a.test")->delay_ms, 1000);
	assert_int_equal(rules_match(rules, STAGE_END, "vip@a.test")->action, ACTION_DROP_MID_DATA);
	rules_free(rules);
}

static void a_wrong_line_refuses_the_whole_file(void **state)
{
	(void)state;
	static const char *const wrong[] = {
	    "slow.test delay-data 1s",
	    "domain",
	    "domain a.test",
	    "domain a.test dance",
	    "domain a.test delay-data",
	    "domain a.test delay-data 10",
	    "domain a.test delay-data -1s",
	    "domain a.test delay-data 99999999999999999999s",
	    "domain a.test delay-data 1s 2s",
	    "domain a.test delay-banner 1s",
	    "domain a.test reject 250 hello",
	    "domain a.test reject 55",
	    "domain a.test tempfail-first 451 4.7.1 later",
	    "domain a.test tempfail-first 0 451 4.7.1 later",
	    "domain a.test drop-mid-data sometimes",
	    "max-connections many",
	    "max-connections 1 2",
	};
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		char text[200];
		char error[RULES_ERROR_MAX] = "";
		struct rules *rules = NULL;
		snprintf(text, sizeof(text), "* delay-data 1s\n%s\n* accept\n", wrong[i]);
		int err = rules_parse(text, strlen(text), &rules, error);
		if (err != OPT_E_INVALID || strncmp(error, "line 2 ", 7) != 0)
			fail_msg("'%s' gave %d, '%s'", wrong[i], err, error);
		assert_null(rules);
	}
}

static void check_content(const char *wire, const char *expected, size_t step)
{
	struct content content;
	size_t len = strlen(wire);
	size_t pos = 0;
	bool end = false;
	content_init(&content, 1000);
	while (!end && pos < len) {
		size_t n = len - pos < step ? len - pos : step;
		pos += content_feed(&content, (const unsigned char *)wire + pos, n, &end);
	}
	assert_true(end);
	assert_string_equal(wire + pos, "QUIT\r\n");
	assert_int_equal(content.len, strlen(expected));
	assert_memory_equal(content.data, expected, content.len);
	content_done(&content);
}

static void dots_come_off_however_the_bytes_are_cut(void **state)
{
	(void)state;
	const char *wire = "a: b\r\n\r\n..one\r\n.x\r\n.\rx\r\nbare\n.\nlf\r\r\n..\r\n.\r\nQUIT\r\n";
	const char *content = "a: b\r\n\r\n.one\r\nx\r\n\rx\r\nbare\n.\nlf\r\r\n.\r\n";
	for (size_t step = 1; step < 50; step++)
		check_content(wire, content, step);
	check_content(".\r\nQUIT\r\n", "", 2);
}

static void content_over_the_limit_is_read_but_not_kept(void **state)
{
	(void)state;
	struct content content;
	bool end;
	content_init(&content, 10);
	const char *wire = "0123456789\r\n012345\r\n.\r\nX";
	size_t used = content_feed(&content, (const unsigned char *)wire, strlen(wire), &end);
	assert_true(end);
	assert_int_equal(used, strlen(wire) - 1);
	assert_true(content.too_large);
	assert_true(content.len <= 10);
	content_reset(&content);
	assert_false(content.too_large);
	content_done(&content);
}

static void feed(struct content *content, const char *text)
{
	bool end;
	content_reset(content);
	content_feed(content, (const unsigned char *)text, strlen(text), &end);
	assert_true(end);
}

static void received_fields_do_not_change_the_hash(void **state)
{
	(void)state;
	struct content content;
	char plain[CONTENT_HASH_HEX];
	char hash[CONTENT_HASH_HEX];
	char id[CONTENT_MESSAGE_ID_MAX];
	content_init(&content, 1000);
	feed(&content, "From: a\r\nMessage-Id:\r\n <1@x>\r\n\r\nReceived: body\r\n.\r\n");
	content_hash(&content, plain);
	content_message_id(&content, id);
	assert_string_equal(id, "<1@x>");
	feed(&content, "Received: by b\r\n\tid 1\r\nFrom: a\r\nreceived: c\r\nMessage-Id:\r\n <1@x>\r\n\r\n"
	               "Received: body\r\n.\r\n");
	content_hash(&content, hash);
	assert_string_equal(hash, plain);
	feed(&content, "From: a\r\nMessage-Id:\r\n <1@x>\r\n\r\nReceived: other\r\n.\r\n");
	content_hash(&content, hash);
	assert_string_not_equal(hash, plain);
	feed(&content, "Subject: none\r\n\r\nMessage-ID: <no>\r\n.\r\n");
	content_message_id(&content, id);
	assert_string_equal(id, "");
	content_done(&content);
}

static void paths_are_read_as_servers_read_them(void **state)
{
	(void)state;
	struct command_path path;
	char value[COMMAND_PARAM_MAX];
	assert_int_equal(command_parse_path("<a@b.test> SIZE=12 ENVID=x+2By", &path), 0);
	assert_string_equal(path.address, "a@b.test");
	command_param(path.params, "ENVID", value);
	assert_string_equal(value, "x+2By");
	command_param(path.params, "size", value);
	assert_string_equal(value, "12");
	command_param(path.params, "RET", value);
	assert_string_equal(value, "");
	assert_int_equal(command_parse_path(" <\"odd > one\"@b.test>", &path), 0);
	assert_string_equal(path.address, "\"odd > one\"@b.test");
	assert_int_equal(command_parse_path("<@r1,@r2:u@b.test>", &path), 0);
	assert_string_equal(path.address, "u@b.test");
	assert_int_equal(command_parse_path("<>", &path), 0);
	assert_string_equal(path.address, "");
	assert_int_equal(command_parse_path("a@b.test", &path), OPT_E_INVALID);
	assert_int_equal(command_parse_path("<a@b.test", &path), OPT_E_INVALID);
	assert_int_equal(command_parse_path("<a\\", &path), OPT_E_INVALID);
	assert_int_equal(command_parse_path("<@nowhere>", &path), OPT_E_INVALID);
	char longest[COMMAND_ADDRESS_MAX + 3];
	memset(longest, 'a', sizeof(longest));
	longest[0] = '<';
	strcpy(longest + sizeof(longest) - 2, ">");
	assert_int_equal(command_parse_path(longest, &path), OPT_E_LIMIT);
}

static void attempts_are_counted_by_recipient(void **state)
{
	(void)state;
	struct attempts *attempts = attempts_new();
	char text[32];
	for (int i = 0; i < 5000; i++) {
		snprintf(text, sizeof(text), "User%d@a.test", i);
		assert_int_equal(attempts_count(attempts, 1, text), 1);
	}
	assert_int_equal(attempts_count(attempts, 1, "user0@A.test"), 2);
	assert_int_equal(attempts_count(attempts, 2, "user0@a.test"), 1);
	assert_int_equal(attempts_count(attempts, 1, "user4999@a.test"), 2);
	attempts_free(attempts);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(every_action_is_understood),
	    cmocka_unit_test(the_first_match_of_a_stage_wins),
	    cmocka_unit_test(a_wrong_line_refuses_the_whole_file),
	    cmocka_unit_test(dots_come_off_however_the_bytes_are_cut),
	    cmocka_unit_test(content_over_the_limit_is_read_but_not_kept),
	    cmocka_unit_test(received_fields_do_not_change_the_hash),
	    cmocka_unit_test(paths_are_read_as_servers_read_them),
	    cmocka_unit_test(attempts_are_counted_by_recipient),
	};
	if (sodium_init() < 0)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
