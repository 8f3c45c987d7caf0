/* SPDX-License-Identifier: MIT */
/*
 * Calls are repeated until they are answered, wait while there is no link, and are gone after their answer.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "queue/call.h"

enum { NOW = 1000000 };

static struct core *core;
static struct effects effects;
static struct peer peer, other;
static struct peer_reader *reader;

static int set_up(void **state)
{
	struct core_config config = core_config_default();

	(void)state;
	config.presence.incarnation = 1;
	core = core_new(&config);
	reader = peer_reader_new();
	effects_init(&effects);
	core->effects = &effects;
	core->now.us = NOW;
	peer = (struct peer){.id = {{1}}, .linked = true};
	other = (struct peer){.id = {{2}}, .linked = true};
	TAILQ_INIT(&peer.calls);
	TAILQ_INIT(&other.calls);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	core_free(core);
	effects_done(&effects);
	peer_reader_free(reader);
	return 0;
}

static struct call *start(uint32_t epoch, bool bulk)
{
	struct peer_message request = {.type = PEER_TAKE, .shard = {{3}}, .epoch = epoch};

	return call_start(core, &peer, CALL_GIVE, NULL, &request, bulk);
}

/* The epochs of what was sent to the peer since the last time, as digits of a number. */
static uint32_t sent(void)
{
	uint32_t epochs = 0;

	for (size_t i = 0; i < effects.count; i++) {
		const struct effect *effect = &effects.items[i];
		struct peer_message message;

		assert_int_equal(effect->type, EFFECT_SEND);
		assert_true(id_equal(&effect->id, &peer.id));
		assert_int_equal(peer_read(reader, effect->data, effect->len, &message), 0);
		epochs = epochs * 10 + message.epoch;
	}
	effects_clear(&effects);
	return epochs;
}

/* Time goes on to the next repeat. Returns how long that was. */
static usec wait_for_repeat(void)
{
	struct timer *timer = timers_first(&core->boot_timers);
	usec wait;

	assert_non_null(timer);
	assert_int_equal(timer->kind, TIMER_CALL);
	wait = timer->due - core->now.us;
	core->now.us = timer->due;
	timer_disarm(&core->boot_timers, timer);
	call_due(core, timer->owner);
	return wait;
}

static void answer_from(struct peer *from, enum peer_type type, uint64_t token)
{
	struct peer_message answer = {.type = type, .answer = true, .token = token};

	call_answered(core, from, &answer);
}

static void a_call_is_repeated_until_it_is_answered(void **state)
{
	const usec waits[] = {1, 2, 4, 8, 8, 8};
	struct call *call = start(4, false);
	const uint64_t token = call->token;

	(void)state;
	assert_int_equal(sent(), 4);
	for (int i = 0; i < 6; i++) {
		const usec wait = wait_for_repeat();

		assert_in_range(wait, waits[i] * USEC_PER_SEC, waits[i] * USEC_PER_SEC * 9 / 8);
		assert_int_equal(sent(), 4);
	}
	answer_from(&peer, PEER_TAKE, token);
	assert_null(timers_first(&core->boot_timers));
	assert_true(TAILQ_EMPTY(&peer.calls));
	answer_from(&peer, PEER_TAKE, token); /* once more: nothing happens */
	assert_int_equal(effects.count, 0);
}

static void bulk_is_repeated_more_slowly(void **state)
{
	(void)state;
	start(4, true);
	assert_true(effects.items[0].bulk);
	assert_true(wait_for_repeat() >= CALL_REPEAT_BULK);
	start(5, false);
	assert_false(effects.items[2].bulk);
}

static void without_a_link_a_call_waits_for_it(void **state)
{
	(void)state;
	peer.linked = false;
	start(4, false);
	start(5, false);
	assert_int_equal(sent(), 0);
	assert_null(timers_first(&core->boot_timers));
	peer.linked = true;
	calls_peer_up(core, &peer);
	assert_int_equal(sent(), 45);
	peer.linked = false;
	wait_for_repeat();
	wait_for_repeat();
	assert_int_equal(sent(), 0);
	assert_null(timers_first(&core->boot_timers));
	peer.linked = true;
	calls_peer_up(core, &peer);
	assert_int_equal(sent(), 45);
	assert_true(wait_for_repeat() < 2 * USEC_PER_SEC); /* the waiting starts again, too */
}

static void an_answer_of_somebody_else_or_to_something_else_is_dropped(void **state)
{
	const uint64_t token = start(4, false)->token;

	(void)state;
	answer_from(&other, PEER_TAKE, token);
	answer_from(&peer, PEER_CATCH_UP, token);
	answer_from(&peer, PEER_TAKE, token + 1);
	assert_false(TAILQ_EMPTY(&peer.calls));
	answer_from(&peer, PEER_TAKE, token);
	assert_true(TAILQ_EMPTY(&peer.calls));
}

static void a_call_that_was_ended_is_not_sent_again(void **state)
{
	(void)state;
	call_end(core, start(4, false));
	sent();
	assert_null(timers_first(&core->boot_timers));
	calls_peer_up(core, &peer);
	assert_int_equal(sent(), 0);
}

static uint64_t first_token_of(uint64_t incarnation, uint64_t seed)
{
	struct core_config config = core_config_default();
	struct peer_message request = {.type = PEER_TAKE};
	struct core *run;

	config.presence.incarnation = incarnation;
	config.seed = seed;
	run = core_new(&config);
	run->effects = &effects;
	call_start(run, &other, CALL_GIVE, NULL, &request, false);
	core_free(run);
	return request.token;
}

static void a_later_run_of_the_node_uses_other_tokens(void **state)
{
	const uint64_t token = first_token_of(1, 1);

	(void)state;
	assert_true(first_token_of(1, 1) == token);
	/* Far enough that counting does not get there. */
	assert_true(first_token_of(2, 1) - token > UINT32_MAX);
	assert_true(token - first_token_of(2, 1) > UINT32_MAX);
	assert_true(first_token_of(1, 2) - token > UINT32_MAX);
	assert_true(token - first_token_of(1, 2) > UINT32_MAX);
}

static void an_answer_carries_the_token_of_its_request(void **state)
{
	const struct peer_message request = {.type = PEER_GIVE, .token = 77, .count = 3};
	struct peer_message answer = {.entries = NULL}, got;

	(void)state;
	call_reply(core, &peer, &request, PEER_REFUSED, &answer);
	assert_int_equal(effects.count, 1);
	assert_false(effects.items[0].bulk);
	assert_int_equal(peer_read(reader, effects.items[0].data, effects.items[0].len, &got), 0);
	assert_int_equal(got.type, PEER_GIVE);
	assert_true(got.answer);
	assert_true(got.token == 77);
	assert_int_equal(got.status, PEER_REFUSED);
	peer.linked = false;
	call_reply(core, &peer, &request, PEER_OK, &answer);
	assert_int_equal(effects.count, 1);
}

static void what_no_link_would_carry_is_a_notice(void **state)
{
	char *data = calloc(1, PEER_MESSAGE_MAX);
	struct peer_message answer = {.data = data, .len = PEER_MESSAGE_MAX};

	(void)state;
	assert_non_null(data);
	call_reply_to(core, &peer, PEER_FETCH, 1, PEER_OK, &answer);
	assert_int_equal(effects.count, 1);
	assert_int_equal(effects.items[0].type, EFFECT_NOTICE);
	assert_string_equal(effects.items[0].text, "message_too_long");
	answer.len = PEER_MESSAGE_MAX / 2;
	call_reply_to(core, &peer, PEER_FETCH, 1, PEER_OK, &answer);
	assert_int_equal(effects.items[1].type, EFFECT_SEND);
	assert_true(effects.items[1].bulk);
	free(data);
}

#define CALL_TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    CALL_TEST(a_call_is_repeated_until_it_is_answered),
	    CALL_TEST(bulk_is_repeated_more_slowly),
	    CALL_TEST(without_a_link_a_call_waits_for_it),
	    CALL_TEST(an_answer_of_somebody_else_or_to_something_else_is_dropped),
	    CALL_TEST(a_call_that_was_ended_is_not_sent_again),
	    CALL_TEST(a_later_run_of_the_node_uses_other_tokens),
	    CALL_TEST(an_answer_carries_the_token_of_its_request),
	    CALL_TEST(what_no_link_would_carry_is_a_notice),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
