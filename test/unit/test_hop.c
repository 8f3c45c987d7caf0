/* SPDX-License-Identifier: MIT */
/*
 * What Postfix gives back untried costs a claim and a fact each time, on every replica: a next hop that is
 * dead is asked after seldom, with one mail, and one that is back is soon known to be.
 */
#include "core_fixture.h"

#include <stdio.h>

enum { DOMAINS = 500 };

static size_t seen; /* of shell->fed */

static const char *own_domain(uint32_t index)
{
	static char names[DOMAINS][32];

	snprintf(names[index], sizeof(names[index]), "d%u.example", index);
	return names[index];
}

static const char *one_domain(uint32_t index)
{
	(void)index;
	return "one.example";
}

/* Every tenth is not behind the relay. */
static const char *some_routed(uint32_t index)
{
	return index % 10 == 0 ? "Routed.example" : own_domain(index);
}

static void start(const char *relay, const char *(*domain)(uint32_t))
{
	static char route[] = "routed.EXAMPLE=other.example:25";
	static char *routes[] = {route};
	struct core_config config = core_config_default();

	config.node = shell->config.node;
	config.relay = relay;
	config.routes = routes;
	config.route_count = 1;
	shell_free(shell);
	shell = shell_new(&config);
	shell->domain = domain;
	seen = 0;
}

static void tell(const struct attempt_key *key, enum outcome_kind kind, const char *relay)
{
	struct event event = {.type = EVENT_OUTCOME};

	event.outcome.outcome = (struct outcome){
	    .key = *key,
	    .kind = kind,
	    .at = shell->utc,
	    .dsn = "4.4.1",
	    .relay = relay,
	    .reason = "delivery temporarily suspended: connect to relay.example.com[192.0.2.1]:25: "
	              "Connection refused",
	};
	shell_step(shell, &event);
}

/* All that is fed now and here meets the same end; what that has fed, too. Returns how many. */
static size_t all_end(enum outcome_kind kind, const char *relay)
{
	size_t count = 0;

	while (seen < shell->fed_count) {
		tell(&shell->fed[seen++], kind, relay);
		if (++count % 20 == 0 || seen == shell->fed_count)
			shell_run(shell);
	}
	if (shell->fed_count > SHELL_MAX - 2 * DOMAINS)
		seen = shell->fed_count = 0;
	return count;
}

static size_t come_back(void)
{
	return all_end(OUTCOME_RETURNED, "none");
}

/* Returns how many were fed. */
static size_t suspended_for(usec duration)
{
	size_t count = 0;

	for (usec until = shell->now.us + duration; shell->now.us < until;) {
		count += come_back();
		shell_advance(shell, USEC_PER_SEC);
	}
	return count + come_back();
}

static size_t journal_bytes(void)
{
	size_t bytes = 0;

	for (size_t i = 0; i < shell->entry_count; i++)
		bytes += shell->entries[i].len;
	return bytes;
}

static void what_comes_back_untried_fills_no_journal(void **state)
{
	size_t first;

	(void)state;
	start(NULL, own_domain);
	shell_submit_name(shell, "news", DOMAINS);
	come_back();
	first = journal_bytes();
	suspended_for(180 * USEC_PER_SEC);
	assert_true(journal_bytes() < 5 * first);
}

static void a_dead_domain_is_asked_after_more_and_more_seldom(void **state)
{
	(void)state;
	start(NULL, own_domain);
	shell_submit_name(shell, "news", DOMAINS);
	assert_int_equal(come_back(), DOMAINS);
	/* After 30 s, 60, 120, ... 3840, and then every 4000. */
	assert_int_equal(suspended_for(29 * USEC_PER_SEC), 0);
	assert_int_equal(suspended_for(3600 * USEC_PER_SEC), 6 * DOMAINS);
	assert_int_equal(suspended_for(40000 * USEC_PER_SEC) / DOMAINS, 10);
}

static void one_mail_goes_after_a_rest_and_all_once_it_got_through(void **state)
{
	(void)state;
	start(NULL, one_domain);
	shell_submit_name(shell, "news", DOMAINS);
	assert_int_equal(come_back(), 150);
	assert_int_equal(suspended_for(90 * USEC_PER_SEC), 2);
	/* No server was reached. */
	shell_advance(shell, 120 * USEC_PER_SEC);
	assert_int_equal(all_end(OUTCOME_DEFERRED, "none"), 1);
	shell_advance(shell, 240 * USEC_PER_SEC);
	assert_int_equal(all_end(OUTCOME_SENT, "mx.example[192.0.2.1]:25"), DOMAINS - 1);
	assert_int_equal(shell_count(shell, "news", MAIL_SENT), DOMAINS - 1);
}

static void one_mail_that_takes_long_is_not_all_that_is_tried(void **state)
{
	size_t fed;

	(void)state;
	start("relay.example:25", own_domain);
	shell_submit_name(shell, "news", DOMAINS);
	suspended_for(30 * USEC_PER_SEC);
	fed = shell->fed_count;
	shell_advance(shell, 60 * USEC_PER_SEC);
	shell_advance(shell, 60 * USEC_PER_SEC);
	shell_advance(shell, 60 * USEC_PER_SEC);
	assert_int_equal(shell->fed_count, fed + 3);
}

static void a_server_that_puts_mail_off_is_there_but_trusted_later(void **state)
{
	(void)state;
	start(NULL, one_domain);
	shell_submit_name(shell, "news", DOMAINS);
	assert_int_equal(come_back(), 150);
	shell_advance(shell, 30 * USEC_PER_SEC);
	assert_int_equal(shell->fed_count, seen + 1);
	tell(&shell->fed[seen++], OUTCOME_DEFERRED, "mx.example[192.0.2.1]:25");
	shell_run(shell);
	assert_int_equal(shell->fed_count, seen + 150);
	/* The rest before was one of 60 s, since that mail went. */
	assert_int_equal(come_back(), 150);
	assert_int_equal(suspended_for(119 * USEC_PER_SEC), 0);
	shell_advance(shell, USEC_PER_SEC);
	assert_int_equal(shell->fed_count, seen + 1);
	tell(&shell->fed[seen++], OUTCOME_SENT, "mx.example[192.0.2.1]:25");
	shell_run(shell);
	assert_int_equal(come_back(), 150);
	assert_int_equal(suspended_for(29 * USEC_PER_SEC), 0);
	assert_int_equal(suspended_for(USEC_PER_SEC), 1);
}

static void a_relay_that_is_down_rests_for_all_domains_behind_it(void **state)
{
	(void)state;
	start("relay.example:25", own_domain);
	shell_submit_name(shell, "news", DOMAINS);
	assert_int_equal(come_back(), DOMAINS);
	/* One after 30 s, then one a minute. */
	assert_int_equal(suspended_for(3600 * USEC_PER_SEC), 60);
	/* So it is back for a minute at most before that is known. */
	shell_advance(shell, 60 * USEC_PER_SEC);
	assert_int_equal(all_end(OUTCOME_SENT, "relay.example[192.0.2.1]:25"), DOMAINS);
	assert_int_equal(shell_view(shell, "news").state, BATCH_DONE);
}

static void a_route_is_a_hop_of_its_own(void **state)
{
	size_t routed = 0;

	(void)state;
	start("relay.example:25", some_routed);
	shell_submit_name(shell, "news", DOMAINS);
	assert_int_equal(shell->fed_count, DOMAINS);
	for (; seen < shell->fed_count; seen++) {
		const bool is_routed = shell->fed[seen].index % 10 == 0;

		if (!is_routed)
			tell(&shell->fed[seen], OUTCOME_RETURNED, "none");
		else if (routed++ < 10)
			tell(&shell->fed[seen], OUTCOME_SENT, "other.example[192.0.2.2]:25");
	}
	shell_run(shell);
	/* A dead relay holds no routed domain up, and what goes through there says nothing of the relay. */
	shell_submit_name(shell, "more", 1);
	assert_int_equal(shell->fed_count, DOMAINS + 1);
	tell(&shell->fed[seen++], OUTCOME_SENT, "other.example[192.0.2.2]:25");
	assert_int_equal(suspended_for(29 * USEC_PER_SEC), 0);
	assert_int_equal(suspended_for(USEC_PER_SEC), 1);
}

static void a_bounce_of_our_own_says_nothing_of_a_relay(void **state)
{
	(void)state;
	start("relay.example:25", own_domain);
	shell_submit_name(shell, "news", DOMAINS);
	come_back();
	shell_advance(shell, 30 * USEC_PER_SEC);
	assert_int_equal(all_end(OUTCOME_BOUNCED, "none"), 1);
	/* But it is all that there is to know of a domain that does not exist. */
	start(NULL, one_domain);
	shell_submit_name(shell, "news", DOMAINS);
	come_back();
	shell_advance(shell, 30 * USEC_PER_SEC);
	assert_int_equal(all_end(OUTCOME_BOUNCED, "none"), DOMAINS);
}

static void a_batch_that_is_paused_takes_nobodys_turn(void **state)
{
	size_t fed;

	(void)state;
	start("relay.example:25", own_domain);
	shell_submit_name(shell, "paused", 10);
	shell_submit_name(shell, "news", 10);
	come_back();
	shell_control(shell, "paused", CONTROL_PAUSED);
	fed = shell->fed_count;
	shell_advance(shell, 30 * USEC_PER_SEC);
	assert_int_equal(shell->fed_count, fed + 1);
	assert_int_equal(all_end(OUTCOME_SENT, "relay.example[192.0.2.1]:25"), 10);
	assert_int_equal(shell_count(shell, "paused", MAIL_READY), 10);
	shell_control(shell, "paused", CONTROL_RUNNING);
	assert_int_equal(all_end(OUTCOME_SENT, "relay.example[192.0.2.1]:25"), 10);
}

static void what_rests_expires_when_its_time_is_over(void **state)
{
	struct batch_settings settings;

	(void)state;
	start("relay.example:25", own_domain);
	settings = shell_settings("news");
	settings.expire = 600 * USEC_PER_SEC;
	shell_submit(shell, &settings, 20);
	suspended_for(700 * USEC_PER_SEC);
	assert_int_equal(shell_count(shell, "news", MAIL_EXPIRED), 20);
	assert_int_equal(shell_view(shell, "news").state, BATCH_DONE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    CORE_TEST(what_comes_back_untried_fills_no_journal),
	    CORE_TEST(a_dead_domain_is_asked_after_more_and_more_seldom),
	    CORE_TEST(one_mail_goes_after_a_rest_and_all_once_it_got_through),
	    CORE_TEST(one_mail_that_takes_long_is_not_all_that_is_tried),
	    CORE_TEST(a_server_that_puts_mail_off_is_there_but_trusted_later),
	    CORE_TEST(a_relay_that_is_down_rests_for_all_domains_behind_it),
	    CORE_TEST(a_route_is_a_hop_of_its_own),
	    CORE_TEST(a_bounce_of_our_own_says_nothing_of_a_relay),
	    CORE_TEST(a_batch_that_is_paused_takes_nobodys_turn),
	    CORE_TEST(what_rests_expires_when_its_time_is_over),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
