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

#include "dht/view.h"

enum { ME = 1, ANNE = 2, BOB = 3, CARL = 4, START_MS = 1000000 };

static uint64_t now_ms;
static struct view *view;

static struct boot_time now(void)
{
	return (struct boot_time){now_ms * USEC_PER_MSEC};
}

static struct opt_id node(uint32_t number)
{
	struct opt_id id = {{0}};

	for (size_t i = 0; i < 4; i++)
		id.bytes[i] = (uint8_t)(number >> (24 - 8 * i));
	return id;
}

static struct presence record(uint32_t number, uint64_t incarnation, uint64_t sequence)
{
	struct presence presence = {.node = node(number),
	    .address = "192.0.2.1:4100",
	    .incarnation = incarnation,
	    .sequence = sequence,
	    .weight = WEIGHT_ONE,
	    .version = "0.1"};

	return presence;
}

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

/* A cluster of views on a network of the test's making. */
struct cluster {
	struct view **views;
	struct opt_id *cursors; /* one a direction */
	bool *dead;
	bool *cut; /* cut[from * size + to]: what `from` sends does not arrive */
	size_t size;
	size_t degree; /* how many links each node has, roughly; 0 is all */
	size_t digest;
	uint64_t delay_ms; /* what a digest is on its way for */
};

static bool has_link(const struct cluster *cluster, size_t a, size_t b)
{
	size_t distance = a > b ? a - b : b - a;

	if (distance > cluster->size / 2)
		distance = cluster->size - distance;
	/* Half of the links lead to the neighbours, half across. */
	return distance > 0 &&
	       (cluster->degree == 0 || distance <= cluster->degree / 4 ||
	           (distance % (cluster->size / cluster->degree) == 0 && distance > cluster->degree / 4));
}

static struct cluster *cluster_new(size_t size, size_t degree, size_t digest)
{
	struct cluster *cluster = calloc(1, sizeof(*cluster));

	cluster->size = size;
	cluster->degree = degree;
	cluster->digest = digest;
	cluster->views = calloc(size, sizeof(struct view *));
	cluster->cursors = calloc(size * size, sizeof(*cluster->cursors));
	cluster->dead = calloc(size, sizeof(bool));
	cluster->cut = calloc(size * size, sizeof(bool));
	for (size_t i = 0; i < size; i++) {
		struct presence self = record((uint32_t)i * 7919 % 65536, 1, 1);

		cluster->views[i] = view_new(&self);
	}
	for (size_t i = 0; i < size * size; i++) {
		cluster->cursors[i] = view_self(cluster->views[i % size])->node;
		if (has_link(cluster, i / size, i % size)) {
			view_presence(cluster->views[i / size], view_self(cluster->views[i % size]), now());
			view_link(cluster->views[i / size], &view_self(cluster->views[i % size])->node,
			    LINK_UP, now());
		}
	}
	return cluster;
}

static void cluster_free(struct cluster *cluster)
{
	for (size_t i = 0; i < cluster->size; i++)
		view_free(cluster->views[i]);
	free(cluster->views);
	free(cluster->cursors);
	free(cluster->dead);
	free(cluster->cut);
	free(cluster);
}

static void cluster_judge(struct cluster *cluster)
{
	const struct member *const *changed;

	for (size_t i = 0; i < cluster->size; i++) {
		if (!cluster->dead[i])
			view_judge(cluster->views[i], now(), &changed);
	}
}

/* A second: each node sends on each link at its own phase of it, in an order that hands on as fast as it can.
 */
static void cluster_second(struct cluster *cluster)
{
	uint64_t start = now_ms;

	for (size_t from = 0; from < cluster->size; from++) {
		now_ms = start + from * 1000 / cluster->size;
		for (size_t to = 0; to < cluster->size && !cluster->dead[from]; to++) {
			struct digest_entry out[VIEW_DIGEST_MAX];
			size_t link = from * cluster->size + to;
			uint64_t sent = now_ms;
			size_t count;

			if (!has_link(cluster, from, to) || cluster->dead[to] || cluster->cut[link])
				continue;
			count = view_digest(
			    cluster->views[from], now(), out, cluster->digest, &cluster->cursors[link]);
			now_ms += cluster->delay_ms;
			view_take_digest(
			    cluster->views[to], &view_self(cluster->views[from])->node, out, count, now());
			now_ms = sent;
		}
	}
	now_ms = start + 1000;
	cluster_judge(cluster);
}

/* How many of the living see `whom` in that state. */
static size_t seen_as(const struct cluster *cluster, size_t whom, enum member_state state)
{
	size_t count = 0;

	for (size_t i = 0; i < cluster->size; i++) {
		const struct member *member =
		    view_find(cluster->views[i], &view_self(cluster->views[whom])->node);

		count += i != whom && !cluster->dead[i] && member && member->state == state;
	}
	return count;
}

static void a_mesh_agrees_in_a_second(void **state)
{
	struct cluster *cluster = cluster_new(20, 0, VIEW_DIGEST_MAX);
	struct opt_id first;

	(void)state;
	cluster_second(cluster);
	first = view_hash(cluster->views[0]);
	for (size_t i = 0; i < 20; i++) {
		struct opt_id other = view_hash(cluster->views[i]);

		assert_true(id_equal(&first, &other));
		assert_int_equal(view_live(cluster->views[i]), 20);
	}
	view_self_changed(cluster->views[3], PRESENCE_DRAINING, 50, "192.0.2.5:1");
	cluster_second(cluster);
	for (size_t i = 0; i < 20; i++)
		assert_int_equal(
		    view_find(cluster->views[i], &view_self(cluster->views[3])->node)->presence.weight, 50);
	cluster_free(cluster);
}

/* Each transit makes what is handed on look younger, for ever: the dead must die nevertheless. */
static void the_last_words_of_the_dead_do_not_go_round(void **state)
{
	struct cluster *cluster = cluster_new(20, 0, VIEW_DIGEST_MAX);

	(void)state;
	cluster->delay_ms = 300;
	for (size_t i = 0; i < 5; i++)
		cluster_second(cluster);
	assert_int_equal(seen_as(cluster, 7, MEMBER_UP), 19);
	cluster->dead[7] = true;
	for (size_t i = 0; i < 4; i++)
		cluster_second(cluster);
	assert_int_equal(seen_as(cluster, 7, MEMBER_GONE), 0);
	for (size_t i = 0; i < 3; i++)
		cluster_second(cluster);
	assert_int_equal(seen_as(cluster, 7, MEMBER_GONE), 19);
	cluster->dead[7] = false;
	cluster_second(cluster);
	assert_int_equal(seen_as(cluster, 7, MEMBER_UP), 19);
	cluster_free(cluster);
}

static void one_way_cuts_make_suspects_only(void **state)
{
	struct cluster *cluster = cluster_new(5, 0, VIEW_DIGEST_MAX);

	(void)state;
	cluster_second(cluster);
	/* 0 does not hear 1; 1 hears 0. Nobody but 4 hears 3. */
	cluster->cut[1 * 5 + 0] = true;
	for (size_t to = 0; to < 4; to++)
		cluster->cut[3 * 5 + to] = true;
	for (size_t i = 0; i < 60; i++)
		cluster_second(cluster);
	assert_int_equal(seen_as(cluster, 0, MEMBER_UP), 4);
	assert_int_equal(seen_as(cluster, 1, MEMBER_SUSPECT), 1);
	assert_int_equal(seen_as(cluster, 1, MEMBER_UP), 3);
	assert_int_equal(seen_as(cluster, 3, MEMBER_SUSPECT), 3);
	assert_int_equal(seen_as(cluster, 3, MEMBER_UP), 1);
	/* Now nobody hears 3, which hears all. */
	cluster->cut[3 * 5 + 4] = true;
	for (size_t i = 0; i < 7; i++)
		cluster_second(cluster);
	assert_int_equal(seen_as(cluster, 3, MEMBER_GONE), 4);
	assert_int_equal(view_live(cluster->views[3]), 5);
	memset(cluster->cut, 0, 25 * sizeof(bool));
	cluster_second(cluster);
	cluster_second(cluster);
	for (size_t i = 0; i < 5; i++)
		assert_int_equal(seen_as(cluster, i, MEMBER_UP), 4);
	cluster_free(cluster);
}

/* 300 nodes with 17 links each, whose digests carry a fifteenth of the members. */
static void digests_keep_a_large_cluster_alive(void **state)
{
	struct cluster *cluster = cluster_new(300, 12, 20);
	uint64_t limit;
	size_t seconds = 0;

	(void)state;
	for (size_t i = 0; i < 40; i++)
		cluster_second(cluster);
	for (size_t i = 0; i < 300; i++)
		assert_int_equal(view_members(cluster->views[i]), 300);
	for (size_t i = 0; i < 40; i++) {
		cluster_second(cluster);
		for (size_t j = 0; j < 300; j += 7)
			assert_int_equal(seen_as(cluster, j, MEMBER_UP), 299);
	}
	/* Node 150 goes silent for node 151 alone, which asks around before it gives it up. */
	cluster->cut[150 * 300 + 151] = true;
	for (size_t i = 0; i < 20; i++) {
		cluster_second(cluster);
		assert_int_equal(seen_as(cluster, 150, MEMBER_GONE), 0);
	}
	assert_int_equal(seen_as(cluster, 150, MEMBER_SUSPECT), 1);
	cluster->dead[150] = true;
	limit = (VIEW_GONE + view_rotation(cluster->views[0])) / USEC_PER_SEC;
	while (seen_as(cluster, 150, MEMBER_GONE) < 299 && seconds < 2 * limit) {
		cluster_second(cluster);
		seconds++;
	}
	assert_true(seconds <= limit + 5);
	cluster_free(cluster);
}

/* 10 of 999 others have links with us, and one each with the rest. */
static void a_thousand_members_live_by_rotating_digests(void **state)
{
	enum { PEERS = 10, ALL = 1000 };
	struct view *peers[PEERS];
	struct opt_id cursors[PEERS];
	struct presence dead = record(ME + 500, 1, 1);

	(void)state;
	for (uint32_t p = 0; p < PEERS; p++) {
		struct presence self = record(ME + 1 + p, 1, 1);

		peers[p] = view_new(&self);
		cursors[p] = self.node;
	}
	for (uint64_t second = 1; second <= 120; second++) {
		for (uint32_t i = PEERS + 1; i < ALL; i++) {
			struct digest_entry own = {.presence = record(ME + i, 1, 1), .beat = second * 1000};

			if (i != 500 || second <= 60)
				view_take_digest(peers[i % PEERS], &own.presence.node, &own, 1, now());
		}
		for (size_t p = 0; p < PEERS; p++) {
			struct digest_entry out[VIEW_DIGEST_MAX];
			const struct member *const *changed;
			size_t count = view_digest(peers[p], now(), out, VIEW_DIGEST_MAX, &cursors[p]);

			view_take_digest(view, &view_self(peers[p])->node, out, count, now());
			view_judge(peers[p], now(), &changed);
		}
		pass(1000);
		if (second >= 30 && second <= 60) {
			assert_int_equal(view_members(view), ALL);
			for (const struct member *m = view_first(view); m; m = view_next(view, m))
				assert_int_equal(m->state, MEMBER_UP);
		}
	}
	assert_int_equal(view_find(view, &dead.node)->state, MEMBER_GONE);
	assert_int_equal(view_live(view), ALL - 1);
	for (size_t p = 0; p < PEERS; p++)
		view_free(peers[p]);
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
	    view_test(a_mesh_agrees_in_a_second),
	    view_test(the_last_words_of_the_dead_do_not_go_round),
	    view_test(one_way_cuts_make_suspects_only),
	    view_test(digests_keep_a_large_cluster_alive),
	    view_test(a_thousand_members_live_by_rotating_digests),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
