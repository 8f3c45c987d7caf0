/* SPDX-License-Identifier: MIT */
/*
 * What the view makes of what it hears: each rule by itself, with a clock that the test turns, and then
 * clusters of views that hear one another through their digests alone.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "view_clock.h"

enum { ME = 1, ANNE = 2, BOB = 3, CARL = 4, START_MS = 1000000 };

static struct view *view;

static void learn(uint32_t number, uint64_t incarnation)
{
	struct presence presence = record(number, incarnation, 1);

	assert_true(view_presence(view, &presence, now()));
}

static void link_event(uint32_t number, enum link_event event)
{
	struct opt_id id = node(number);

	assert_true(view_link(view, &id, event, now()));
}

static void hear(uint32_t number)
{
	struct opt_id id = node(number);

	assert_true(view_heard(view, &id, now()));
}

static const struct member *get(uint32_t number)
{
	struct opt_id id = node(number);
	const struct member *member = view_find(view, &id);

	assert_non_null(member);
	return member;
}

static size_t judge(void)
{
	const struct member *const *changed;

	return view_judge(view, now(), &changed);
}

static enum member_state state_of(uint32_t number)
{
	judge();
	return get(number)->state;
}

/* Time passes, judged every 100 ms. */
static void pass(uint64_t ms)
{
	for (uint64_t end = now_ms + ms; now_ms < end;) {
		now_ms += end - now_ms < 100 ? end - now_ms : 100;
		judge();
	}
}

/* The same, while these members are heard. */
static void pass_hearing(uint64_t ms, uint32_t first, uint32_t last)
{
	for (uint64_t end = now_ms + ms; now_ms < end;) {
		for (uint32_t i = first; i <= last; i++)
			hear(i);
		pass(100);
	}
}

static void take(uint32_t from, const struct presence *about, uint64_t beat, uint32_t age)
{
	struct digest_entry entry = {.presence = *about, .beat = beat, .age = age};
	struct opt_id id = node(from);

	view_take_digest(view, &id, &entry, 1, now());
}

static int set_up(void **state)
{
	struct presence self = record(ME, 10, 1);

	(void)state;
	now_ms = START_MS;
	view = view_new(&self);
	judge();
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	view_free(view);
	return 0;
}

static void a_view_begins_with_ourselves(void **state)
{
	(void)state;
	pass(60000);
	assert_int_equal(view_live(view), 1);
	assert_int_equal(view_members(view), 1);
	assert_int_equal(state_of(ME), MEMBER_UP);
	assert_ptr_equal(view_first(view), get(ME));
	assert_null(view_next(view, view_first(view)));
}

static void the_newest_record_counts(void **state)
{
	struct presence old = record(ANNE, 5, 7);
	struct presence presence = record(ANNE, 5, 8);

	(void)state;
	assert_true(view_presence(view, &presence, now()));
	assert_false(view_presence(view, &presence, now()));
	assert_false(view_presence(view, &old, now()));
	old.incarnation = 4;
	old.sequence = 100;
	assert_false(view_presence(view, &old, now()));
	presence.incarnation = 6;
	presence.sequence = 0;
	presence.weight = 300;
	assert_true(view_presence(view, &presence, now()));
	assert_int_equal(get(ANNE)->presence.weight, 300);
}

static void a_record_without_end_is_cut(void **state)
{
	struct presence presence = record(ANNE, 5, 7);

	(void)state;
	memset(presence.address, 'a', sizeof(presence.address));
	memset(presence.version, 'v', sizeof(presence.version));
	view_presence(view, &presence, now());
	assert_int_equal(strlen(get(ANNE)->presence.address), PRESENCE_ADDRESS_MAX);
	assert_int_equal(strlen(get(ANNE)->presence.version), PRESENCE_VERSION_MAX);
}

static void what_changed_is_reported_once(void **state)
{
	const struct member *const *changed;
	struct presence presence = record(ANNE, 1, 2);

	(void)state;
	learn(CARL, 1);
	learn(ANNE, 1);
	assert_int_equal(view_judge(view, now(), &changed), 2);
	assert_ptr_equal(changed[0], get(ANNE));
	assert_ptr_equal(changed[1], get(CARL));
	assert_int_equal(changed[0]->changes, CHANGE_NEW);
	assert_int_equal(view_judge(view, now(), &changed), 0);
	link_event(ANNE, LINK_UP);
	assert_true(view_deadline(view).us <= now().us);
	assert_int_equal(view_judge(view, now(), &changed), 1);
	assert_int_equal(changed[0]->changes, CHANGE_STATE);
	assert_int_equal(changed[0]->before, MEMBER_SUSPECT);
	assert_int_equal(changed[0]->state, MEMBER_UP);
	assert_true(view_presence(view, &presence, now()));
	assert_true(view_deadline(view).us <= now().us);
	assert_int_equal(view_judge(view, now(), &changed), 1);
	assert_int_equal(changed[0]->changes, CHANGE_RECORD);
	assert_int_equal(view_judge(view, now(), &changed), 0);
	assert_true(view_deadline(view).us > now().us);
}

static void a_record_alone_is_suspect_then_gone(void **state)
{
	(void)state;
	learn(ANNE, 1);
	assert_int_equal(state_of(ANNE), MEMBER_SUSPECT);
	assert_int_equal(view_live(view), 2);
	pass(4900);
	assert_int_equal(state_of(ANNE), MEMBER_SUSPECT);
	pass(100);
	assert_int_equal(state_of(ANNE), MEMBER_GONE);
	assert_int_equal(view_live(view), 1);
	assert_int_equal(view_members(view), 2);
}

static void a_newcomer_learns_who_is_dead_at_once(void **state)
{
	struct presence anne = record(ANNE, 1, 1);
	struct presence carl = record(CARL, 1, 1);

	(void)state;
	learn(BOB, 1);
	link_event(BOB, LINK_UP);
	take(BOB, &anne, 9, 600000);
	/* Silent for longer than our clock runs. */
	take(BOB, &carl, 9, UINT32_MAX - 1);
	assert_int_equal(state_of(ANNE), MEMBER_GONE);
	assert_int_equal(state_of(CARL), MEMBER_GONE);
	assert_int_equal(view_live(view), 2);
}

static void silence_suspects_after_3_s_and_ends_after_5(void **state)
{
	(void)state;
	learn(ANNE, 1);
	link_event(ANNE, LINK_UP);
	assert_int_equal(state_of(ANNE), MEMBER_UP);
	pass(2900);
	assert_int_equal(state_of(ANNE), MEMBER_UP);
	pass(100);
	assert_int_equal(state_of(ANNE), MEMBER_SUSPECT);
	pass(1900);
	assert_int_equal(state_of(ANNE), MEMBER_SUSPECT);
	pass(100);
	assert_int_equal(state_of(ANNE), MEMBER_GONE);
	hear(ANNE);
	assert_true(view_deadline(view).us <= now().us);
	assert_int_equal(state_of(ANNE), MEMBER_UP);
}

static void the_deadline_names_each_change(void **state)
{
	(void)state;
	learn(ANNE, 1);
	link_event(ANNE, LINK_UP);
	while (state_of(ANNE) == MEMBER_UP)
		now_ms = view_deadline(view).us / USEC_PER_MSEC;
	assert_int_equal(now_ms, START_MS + 3000);
	while (state_of(ANNE) == MEMBER_SUSPECT)
		now_ms = view_deadline(view).us / USEC_PER_MSEC;
	assert_int_equal(now_ms, START_MS + 5000);
}

static void a_refused_redial_ends_after_1_s(void **state)
{
	(void)state;
	learn(ANNE, 1);
	link_event(ANNE, LINK_UP);
	pass_hearing(10000, ANNE, ANNE);
	link_event(ANNE, LINK_DOWN);
	pass(200);
	assert_int_equal(state_of(ANNE), MEMBER_UP);
	link_event(ANNE, LINK_REFUSED);
	pass(700);
	assert_int_equal(state_of(ANNE), MEMBER_UP);
	pass(100);
	assert_int_equal(state_of(ANNE), MEMBER_GONE);
	link_event(ANNE, LINK_UP);
	assert_int_equal(state_of(ANNE), MEMBER_UP);
	pass(1500);
	assert_int_equal(state_of(ANNE), MEMBER_UP);
}

static void a_link_that_is_down_without_refusal_waits_5_s(void **state)
{
	(void)state;
	learn(ANNE, 1);
	link_event(ANNE, LINK_UP);
	link_event(ANNE, LINK_DOWN);
	pass(1000);
	link_event(ANNE, LINK_DOWN);
	pass(3900);
	assert_int_equal(state_of(ANNE), MEMBER_SUSPECT);
	pass(100);
	assert_int_equal(state_of(ANNE), MEMBER_GONE);
}

static void who_never_answered_and_refuses_is_gone_after_1_s(void **state)
{
	(void)state;
	learn(ANNE, 1);
	link_event(ANNE, LINK_REFUSED);
	assert_int_equal(state_of(ANNE), MEMBER_SUSPECT);
	pass(1000);
	assert_int_equal(state_of(ANNE), MEMBER_GONE);
}

static void others_who_heard_it_later_stop_the_fast_path(void **state)
{
	struct presence anne = record(ANNE, 1, 1);

	(void)state;
	learn(ANNE, 1);
	learn(BOB, 1);
	link_event(ANNE, LINK_UP);
	take(ANNE, &anne, 100, 0);
	link_event(ANNE, LINK_DOWN);
	link_event(ANNE, LINK_REFUSED);
	pass(500);
	take(BOB, &anne, 101, 490);
	pass(500);
	assert_int_equal(state_of(ANNE), MEMBER_GONE);
	take(BOB, &anne, 102, 100);
	assert_int_equal(state_of(ANNE), MEMBER_UP);
	pass(1000);
	assert_int_equal(state_of(ANNE), MEMBER_UP);
}

static void who_said_goodbye_is_gone_with_its_link(void **state)
{
	struct presence presence = record(ANNE, 1, 2);

	(void)state;
	learn(ANNE, 1);
	link_event(ANNE, LINK_UP);
	presence.flags = PRESENCE_LEFT;
	view_presence(view, &presence, now());
	assert_int_equal(state_of(ANNE), MEMBER_UP);
	link_event(ANNE, LINK_DOWN);
	assert_int_equal(state_of(ANNE), MEMBER_GONE);
	/* It starts again: its record alone shows nothing, its link does. */
	presence = record(ANNE, 2, 1);
	view_presence(view, &presence, now());
	assert_int_equal(state_of(ANNE), MEMBER_GONE);
	link_event(ANNE, LINK_UP);
	assert_int_equal(state_of(ANNE), MEMBER_UP);
}

static void a_new_incarnation_alone_revives_nobody(void **state)
{
	struct presence presence = record(ANNE, 2, 1);

	(void)state;
	learn(ANNE, 1);
	link_event(ANNE, LINK_UP);
	learn(BOB, 1);
	pass_hearing(6000, BOB, BOB);
	assert_int_equal(state_of(ANNE), MEMBER_GONE);
	assert_true(view_presence(view, &presence, now()));
	assert_int_equal(state_of(ANNE), MEMBER_GONE);
	/* Evidence of the incarnation before is none of this one. */
	presence.incarnation = 1;
	take(BOB, &presence, 500, 10);
	assert_int_equal(state_of(ANNE), MEMBER_GONE);
	presence.incarnation = 2;
	take(BOB, &presence, 1, 10);
	assert_int_equal(state_of(ANNE), MEMBER_SUSPECT);
	link_event(ANNE, LINK_UP);
	assert_int_equal(state_of(ANNE), MEMBER_UP);
}

static void whom_only_others_hear_stays_suspect(void **state)
{
	struct presence anne = record(ANNE, 1, 1);

	(void)state;
	learn(ANNE, 1);
	learn(BOB, 1);
	link_event(ANNE, LINK_UP);
	link_event(BOB, LINK_UP);
	pass_hearing(2000, ANNE, BOB);
	for (uint64_t beat = 1; beat < 60; beat++) {
		take(BOB, &anne, beat, 900);
		pass(1000);
		assert_int_equal(state_of(BOB), MEMBER_UP);
		assert_int_equal(state_of(ANNE), beat < 3 ? MEMBER_UP : MEMBER_SUSPECT);
	}
	for (int i = 0; i < 4; i++) {
		take(BOB, &anne, 59, 0);
		pass(1000);
	}
	assert_int_equal(state_of(ANNE), MEMBER_GONE);
	take(BOB, &anne, 60, 100);
	assert_int_equal(state_of(ANNE), MEMBER_SUSPECT);
	hear(ANNE);
	assert_int_equal(state_of(ANNE), MEMBER_UP);
}

static void whom_we_do_not_watch_lives_by_others(void **state)
{
	struct presence anne = record(ANNE, 1, 1);

	(void)state;
	learn(ANNE, 1);
	learn(BOB, 1);
	link_event(ANNE, LINK_UP);
	link_event(ANNE, LINK_UNWATCHED);
	for (uint64_t beat = 1; beat < 30; beat++) {
		take(BOB, &anne, beat, 900);
		pass(1000);
		assert_int_equal(state_of(ANNE), MEMBER_UP);
	}
	pass(1100);
	assert_int_equal(state_of(ANNE), MEMBER_SUSPECT);
	pass(2000);
	assert_int_equal(state_of(ANNE), MEMBER_GONE);
}

/* The answer takes two heartbeats where digests don't carry all members. */
static void peers_are_asked_before_a_member_of_many_is_gone(void **state)
{
	(void)state;
	for (uint32_t i = ANNE; i < 2 * VIEW_DIGEST_MAX; i++)
		learn(i, 1);
	link_event(ANNE, LINK_UP);
	pass(3000);
	assert_int_equal(state_of(ANNE), MEMBER_SUSPECT);
	pass(3400);
	assert_int_equal(state_of(ANNE), MEMBER_SUSPECT);
	pass(100);
	assert_int_equal(state_of(ANNE), MEMBER_GONE);
}

static void cut_off_from_all_they_are_gone(void **state)
{
	(void)state;
	for (uint32_t i = ANNE; i <= CARL; i++) {
		learn(i, 1);
		link_event(i, LINK_UP);
	}
	pass(5000);
	assert_int_equal(view_live(view), 1);
	assert_int_equal(view_members(view), 4);
}

static void a_pause_of_ours_is_forgiven_once(void **state)
{
	struct digest_entry out[VIEW_DIGEST_MAX];
	struct opt_id cursor = {{0}};
	struct presence anne = record(ANNE, 1, 1);

	(void)state;
	learn(ANNE, 1);
	learn(BOB, 1);
	learn(CARL, 1);
	link_event(ANNE, LINK_UP);
	take(ANNE, &anne, 7, 0);
	link_event(CARL, LINK_UP);
	pass_hearing(5000, ANNE, ANNE);
	assert_int_equal(state_of(BOB), MEMBER_GONE);
	assert_int_equal(state_of(CARL), MEMBER_GONE);
	now_ms += 60000;
	assert_int_equal(state_of(ANNE), MEMBER_UP);
	assert_int_equal(state_of(BOB), MEMBER_GONE);
	/* What we tell the others is what we heard. */
	assert_int_equal(view_digest(view, now(), out, VIEW_DIGEST_MAX, &cursor), 4);
	for (size_t i = 1; i < 4; i++) {
		if (id_equal(&out[i].presence.node, &anne.node))
			assert_int_equal(out[i].age, 60100);
	}
	pass(3000);
	assert_int_equal(state_of(ANNE), MEMBER_SUSPECT);
	pass(2000);
	assert_int_equal(state_of(ANNE), MEMBER_GONE);
}

static void a_short_delay_of_ours_is_not_forgiven(void **state)
{
	(void)state;
	learn(ANNE, 1);
	link_event(ANNE, LINK_UP);
	pass(1500);
	now_ms += 1600;
	assert_int_equal(state_of(ANNE), MEMBER_SUSPECT);
	now_ms += 1900;
	assert_int_equal(state_of(ANNE), MEMBER_GONE);
}

static void we_rise_above_what_others_say_of_us(void **state)
{
	struct presence presence = record(ME, 10, 1);

	(void)state;
	assert_false(view_presence(view, &presence, now()));
	presence.sequence = 40;
	presence.flags = PRESENCE_LEFT;
	assert_true(view_presence(view, &presence, now()));
	assert_int_equal(view_self(view)->incarnation, 10);
	assert_int_equal(view_self(view)->sequence, 41);
	assert_int_equal(view_self(view)->flags, 0);
	presence.incarnation = 99;
	presence.sequence = UINT64_MAX;
	take(ANNE, &presence, 1, 0);
	assert_int_equal(view_self(view)->incarnation, 100);
	assert_int_equal(view_self(view)->sequence, 0);
	presence.incarnation = UINT64_MAX;
	assert_true(view_presence(view, &presence, now()));
	assert_int_equal(view_self(view)->incarnation, 100);
}

static void our_changes_raise_our_sequence(void **state)
{
	(void)state;
	judge();
	assert_false(view_self_changed(view, 0, WEIGHT_ONE, "192.0.2.1:4100"));
	assert_int_equal(view_self(view)->sequence, 1);
	assert_true(view_self_changed(view, PRESENCE_DRAINING, WEIGHT_ONE, "192.0.2.1:4100"));
	assert_true(view_self_changed(view, PRESENCE_DRAINING, 200, "192.0.2.9:4100"));
	assert_int_equal(view_self(view)->sequence, 3);
	assert_string_equal(view_self(view)->address, "192.0.2.9:4100");
	assert_int_equal(judge(), 1);
	assert_string_equal(member_state_name(get(ME)), "draining");
}

static void states_have_their_names(void **state)
{
	struct opt_id anne = node(ANNE);

	(void)state;
	learn(ANNE, 1);
	judge();
	assert_string_equal(member_state_name(get(ANNE)), "suspect");
	link_event(ANNE, LINK_UP);
	judge();
	assert_string_equal(member_state_name(get(ANNE)), "up");
	pass(5000);
	assert_string_equal(member_state_name(get(ANNE)), "gone");
	view_forget(view, &anne, now());
	assert_string_equal(member_state_name(get(ANNE)), "forgotten");
}

static void a_forgotten_member_counts_nowhere_until_it_is_born_again(void **state)
{
	struct opt_id before = view_hash(view);
	struct opt_id anne = node(ANNE);
	struct opt_id me = node(ME);
	struct opt_id stranger = node(77);
	struct opt_id hash;

	(void)state;
	learn(ANNE, 5);
	link_event(ANNE, LINK_UP);
	hash = view_hash(view);
	assert_false(id_equal(&hash, &before));
	assert_false(view_forget(view, &me, now()));
	assert_false(view_forget(view, &stranger, now()));
	assert_true(view_forget(view, &anne, now()));
	assert_int_equal(judge(), 1);
	assert_true(get(ANNE)->changes & CHANGE_FORGOTTEN);
	assert_false(view_heard(view, &anne, now()));
	assert_int_equal(state_of(ANNE), MEMBER_GONE);
	assert_int_equal(view_members(view), 1);
	assert_int_equal(view_live(view), 1);
	hash = view_hash(view);
	assert_true(id_equal(&hash, &before));
	/* The same incarnation does not come back, whatever it says. */
	struct presence presence = record(ANNE, 5, 9);

	assert_false(view_presence(view, &presence, now()));
	take(BOB, &presence, 4, 0);
	assert_int_equal(state_of(ANNE), MEMBER_GONE);
	presence.incarnation = 6;
	assert_true(view_presence(view, &presence, now()));
	assert_int_equal(state_of(ANNE), MEMBER_SUSPECT);
	assert_true(get(ANNE)->changes & CHANGE_NEW);
	assert_int_equal(view_members(view), 2);
	link_event(ANNE, LINK_UP);
	assert_int_equal(state_of(ANNE), MEMBER_UP);
}

/* One digest of `from` for `to`. */
static void exchange(struct view *from, struct view *to)
{
	struct digest_entry out[VIEW_DIGEST_MAX];
	struct opt_id cursor = {{0}};
	size_t count = view_digest(from, now(), out, VIEW_DIGEST_MAX, &cursor);

	view_take_digest(to, &view_self(from)->node, out, count, now());
}

static void forgetting_spreads_and_tells_the_forgotten(void **state)
{
	struct presence bob = record(BOB, 3, 1);
	struct presence anne = record(ANNE, 5, 1);
	struct view *others = view_new(&bob);
	struct view *forgotten = view_new(&anne);
	const struct member *const *changed;

	(void)state;
	exchange(others, view);
	exchange(forgotten, others);
	assert_true(view_forget(others, &anne.node, now()));
	exchange(others, view);
	assert_true(get(ANNE)->forgotten);
	assert_int_equal(view_members(view), 2);
	/* A stale peer that still has it as a member changes nothing. */
	take(BOB, &anne, 9, 0);
	assert_true(get(ANNE)->forgotten);
	assert_false(view_self_forgotten(forgotten));
	exchange(others, forgotten);
	assert_true(view_self_forgotten(forgotten));
	view_self_rejoin(forgotten, 4);
	assert_false(view_self_forgotten(forgotten));
	assert_int_equal(view_self(forgotten)->incarnation, 6);
	exchange(others, forgotten);
	assert_false(view_self_forgotten(forgotten));
	exchange(forgotten, others);
	assert_int_equal(view_members(others), 2);
	view_judge(others, now(), &changed);
	assert_int_equal(view_find(others, &anne.node)->state, MEMBER_UP);
	exchange(others, view);
	assert_false(get(ANNE)->forgotten);
	assert_int_equal(state_of(ANNE), MEMBER_UP);
	/* The old marker comes late. */
	struct digest_entry late = {.presence = anne, .forgotten = true};

	view_take_digest(view, &bob.node, &late, 1, now());
	assert_false(get(ANNE)->forgotten);
	view_free(others);
	view_free(forgotten);
}

static void there_is_a_most_of_members(void **state)
{
	struct presence presence;

	(void)state;
	for (uint32_t i = 2; i <= VIEW_MEMBERS_MAX; i++)
		learn(i, 1);
	presence = record(VIEW_MEMBERS_MAX + 1, 1, 1);
	assert_false(view_presence(view, &presence, now()));
	take(ANNE, &presence, 1, 0);
	assert_int_equal(view_members(view), VIEW_MEMBERS_MAX);
}

static void a_digest_goes_round_all_members(void **state)
{
	struct digest_entry out[VIEW_DIGEST_MAX];
	struct opt_id cursor = {{0}};
	unsigned seen[200] = {0};

	(void)state;
	for (uint32_t i = 2; i < 200; i++)
		learn(i, 1);
	for (size_t round = 0; round < 5; round++) {
		size_t count;

		pass(1000);
		count = view_digest(view, now(), out, VIEW_DIGEST_MAX, &cursor);
		assert_int_equal(count, VIEW_DIGEST_MAX);
		assert_true(id_equal(&out[0].presence.node, &view_self(view)->node));
		for (size_t i = 0; i < count; i++)
			seen[out[i].presence.node.bytes[3]]++;
		for (size_t i = 1; i < count; i++)
			assert_int_equal(out[i].age, VIEW_AGE_NONE);
	}
	for (uint32_t i = 1; i < 200; i++)
		assert_true(seen[i] > 0);
	assert_int_equal(view_digest(view, now(), out, 0, &cursor), 0);
	assert_int_equal(view_digest(view, now(), out, 1, &cursor), 1);
}

#define view_test(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    view_test(a_view_begins_with_ourselves),
	    view_test(the_newest_record_counts),
	    view_test(a_record_without_end_is_cut),
	    view_test(what_changed_is_reported_once),
	    view_test(a_record_alone_is_suspect_then_gone),
	    view_test(a_newcomer_learns_who_is_dead_at_once),
	    view_test(silence_suspects_after_3_s_and_ends_after_5),
	    view_test(the_deadline_names_each_change),
	    view_test(a_refused_redial_ends_after_1_s),
	    view_test(a_link_that_is_down_without_refusal_waits_5_s),
	    view_test(who_never_answered_and_refuses_is_gone_after_1_s),
	    view_test(others_who_heard_it_later_stop_the_fast_path),
	    view_test(who_said_goodbye_is_gone_with_its_link),
	    view_test(a_new_incarnation_alone_revives_nobody),
	    view_test(whom_only_others_hear_stays_suspect),
	    view_test(whom_we_do_not_watch_lives_by_others),
	    view_test(peers_are_asked_before_a_member_of_many_is_gone),
	    view_test(cut_off_from_all_they_are_gone),
	    view_test(a_pause_of_ours_is_forgiven_once),
	    view_test(a_short_delay_of_ours_is_not_forgiven),
	    view_test(we_rise_above_what_others_say_of_us),
	    view_test(our_changes_raise_our_sequence),
	    view_test(states_have_their_names),
	    view_test(a_forgotten_member_counts_nowhere_until_it_is_born_again),
	    view_test(forgetting_spreads_and_tells_the_forgotten),
	    view_test(there_is_a_most_of_members),
	    view_test(a_digest_goes_round_all_members),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
