/* SPDX-License-Identifier: MIT */
/*
 * Nodes find each other and the homes of batches over a real DHT, whoever comes first, goes, or was cut off.
 */
#include <arpa/inet.h>
#include <dirent.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "dht/opendht.h"
#include "dht/spread.h"
#include "queue/error.h"
#include "rendezvous_fixture.h"

static struct node *const nodes = fixture_nodes;

static int begin(void **state)
{
	(void)state;
	fixture_begin();
	return 0;
}

static int end(void **state)
{
	(void)state;
	fixture_end();
	return 0;
}

/* Nodes `first` to `last`, who all know the first one's address. */
static void start_group(int first, int last)
{
	for (int i = first; i <= last; i++) {
		fixture_start(i, 0);
		if (i > first)
			fixture_bootstrap(i, first);
	}
	fixture_until_all_see_all(first, last);
}

/* A UDP socket on a free port of IPv4 alone. */
static int take_port(uint16_t *ret_port)
{
	struct sockaddr_in address = {.sin_family = AF_INET};
	socklen_t len = sizeof(address);
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&address, len), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &len), 0);
	*ret_port = ntohs(address.sin_port);
	return fd;
}

static uint16_t free_port(void)
{
	uint16_t port;

	close(take_port(&port));
	return port;
}

static void three_nodes_see_each_other_and_every_change(void **state)
{
	(void)state;
	start_group(0, 2);
	fixture_change(1, 250, PRESENCE_DRAINING);
	fixture_until_all_see_all(0, 2);
	fixture_change(0, 300, PRESENCE_NO_ENGINE);
	fixture_change(2, 400, 0);
	fixture_until_all_see_all(0, 2);
}

static bool all_joined(void *context)
{
	int count = *(int *)context;

	for (int i = 0; i < count; i++) {
		if (!nodes[i].joined)
			return false;
	}
	return true;
}

static void eight_nodes_see_each_other_and_a_late_one(void **state)
{
	int count = 9;

	(void)state;
	start_group(0, 7);
	fixture_start(8, 0);
	fixture_bootstrap(8, 5); /* any member will do */
	fixture_until_all_see_all(0, 8);
	fixture_until(all_joined, &count); /* the first one too, which has no seed */
}

static bool is_late(void *context)
{
	return uv_hrtime() >= *(uint64_t *)context;
}

static void a_seed_that_comes_late_is_found(void **state)
{
	uint64_t later = uv_hrtime() + UINT64_C(5000000000), back;
	uint16_t port = free_port();
	char address[32];

	(void)state;
	snprintf(address, sizeof(address), "localhost:%u", port);
	fixture_start(1, 0);
	rendezvous_bootstrap(nodes[1].rendezvous, address);
	fixture_until(is_late, &later);
	assert_false(nodes[1].joined);
	fixture_start(0, port);
	back = uv_hrtime();
	fixture_until_all_see_all(0, 1);
	/* OpenDHT alone would try again after 10 s, then 20 s. */
	assert_true(uv_hrtime() - back < UINT64_C(8000000000));
	assert_true(nodes[1].joined);
}

static void two_halves_become_one_by_one_address(void **state)
{
	(void)state;
	start_group(0, 2);
	start_group(3, 5);
	assert_false(fixture_sees(0, 3));
	rendezvous_known(nodes[1].rendezvous, &nodes[4].identity.node, nodes[4].address);
	fixture_until_all_see_all(0, 5);
}

static void set_left(void *context)
{
	*(bool *)context = true;
}

static bool is_set(void *context)
{
	return *(bool *)context;
}

static bool all_see_goodbye(void *context)
{
	(void)context;
	return fixture_sees(0, 2) && fixture_sees(1, 2) && (nodes[0].seen[2].flags & PRESENCE_LEFT) != 0;
}

static void a_goodbye_reaches_the_others(void **state)
{
	struct presence *tombstone = &nodes[2].presence;

	(void)state;
	start_group(0, 2);
	tombstone->sequence++;
	tombstone->flags = PRESENCE_LEFT;
	assert_int_equal(rendezvous_leave(nodes[2].rendezvous, tombstone, set_left, &nodes[2].left), 0);
	fixture_until(is_set, &nodes[2].left);
	fixture_close(2);
	fixture_until(all_see_goodbye, NULL);
	/* Also those who come later hear it, and not only what was said before. */
	fixture_start(3, 0);
	fixture_bootstrap(3, 0);
	fixture_until_all_see_all(0, 3);
}

static void leaving_alone_ends_too(void **state)
{
	(void)state;
	fixture_start(0, 0);
	nodes[0].presence.sequence++;
	nodes[0].presence.flags = PRESENCE_LEFT;
	assert_int_equal(
	    rendezvous_leave(nodes[0].rendezvous, &nodes[0].presence, set_left, &nodes[0].left), 0);
	fixture_until(is_set, &nodes[0].left);
}

static void a_batch_is_found_after_who_put_it_there_is_gone(void **state)
{
	struct opt_id batch = batch_key("news"), unknown = batch_key("nothing");
	struct opt_id homes[] = {nodes[0].identity.node, nodes[1].identity.node, nodes[2].identity.node};
	struct found found;

	(void)state;
	start_group(0, 3);
	assert_int_equal(rendezvous_put_batch(nodes[0].rendezvous, &batch, homes, 3), 0);
	found = fixture_until_homes(1, &batch, 3);
	assert_memory_equal(found.homes, homes, sizeof(homes));
	fixture_close(0);
	fixture_start(4, 0);
	fixture_bootstrap(4, 2);
	fixture_until_all_see_all(1, 4);
	found = fixture_get(4, &batch);
	assert_int_equal(found.status, 0);
	assert_memory_equal(found.homes, homes, sizeof(homes));
	assert_int_equal(fixture_get(4, &unknown).status, OPT_E_NOT_FOUND);
}

static void the_newest_homes_of_a_batch_count(void **state)
{
	struct opt_id batch = batch_key("news");
	struct opt_id homes[] = {nodes[0].identity.node, nodes[1].identity.node, nodes[2].identity.node};

	(void)state;
	start_group(0, 2);
	assert_int_equal(rendezvous_put_batch(nodes[0].rendezvous, &batch, homes, 2), 0);
	assert_int_equal(rendezvous_put_batch(nodes[0].rendezvous, &batch, homes, 0), OPT_E_INVALID);
	fixture_until_homes(2, &batch, 2);
	assert_int_equal(rendezvous_put_batch(nodes[1].rendezvous, &batch, homes + 1, 2), 0);
	assert_int_equal(rendezvous_put_batch(nodes[0].rendezvous, &batch, homes, 3), 0);
	fixture_until_homes(2, &batch, 3);
	rendezvous_drop_batch(nodes[0].rendezvous, &batch);
	rendezvous_drop_batch(nodes[0].rendezvous, &batch);
}

static void who_is_alone_can_not_say_that_there_is_no_batch(void **state)
{
	struct opt_id batch = batch_key("news");

	(void)state;
	fixture_start(0, 0);
	assert_int_equal(fixture_get(0, &batch).status, OPT_E_AGAIN);
}

struct answers {
	unsigned int again, other;
};

static void on_answer(void *context, int status, const struct opt_id *homes, size_t count)
{
	struct answers *answers = context;

	(void)homes;
	(void)count;
	if (status == OPT_E_AGAIN)
		answers->again++;
	else
		answers->other++;
}

enum { MANY = RENDEZVOUS_GETS_MAX + 100 };

static bool all_are_answered(void *context)
{
	const struct answers *answers = context;

	return answers->again + answers->other == MANY;
}

static bool no_get_is_left(void *context)
{
	(void)context;
	return rendezvous_counts(nodes[0].rendezvous).gets == 0;
}

/* OpenDHT keeps what it is asked while those that it knew are silent. */
static void who_is_cut_off_for_long_does_not_collect_questions(void **state)
{
	const struct opt_id questions = batch_key("questions");
	struct answers answers = {0};

	(void)state;
	start_group(0, 1);
	fixture_close(1);
	for (uint32_t i = 0; i < MANY; i++) {
		const struct opt_id batch = shard_id(&questions, i);

		rendezvous_get_batch(nodes[0].rendezvous, &batch, on_answer, &answers);
	}
	assert_int_equal(rendezvous_counts(nodes[0].rendezvous).gets, RENDEZVOUS_GETS_MAX);
	fixture_until(all_are_answered, &answers);
	assert_int_equal(answers.again, MANY);
	assert_int_equal(fixture_get(0, &questions).status, OPT_E_AGAIN);
	assert_true(rendezvous_counts(nodes[0].rendezvous).gets <= RENDEZVOUS_GETS_MAX);
	/* Later it asks as before. */
	fixture_start(2, 0);
	fixture_bootstrap(2, 0);
	fixture_until(no_get_is_left, NULL);
	assert_int_equal(fixture_get(0, &questions).status, OPT_E_NOT_FOUND);
}

static void ignore(void *context, const uint8_t *data, size_t len)
{
	(void)context;
	(void)data;
	(void)len;
}

static void ignore_done(void *context, bool ok)
{
	(void)context;
	(void)ok;
}

static bool two_were_rejected(void *context)
{
	(void)context;
	return rendezvous_counts(nodes[0].rendezvous).rejected >= 2 &&
	       rendezvous_counts(nodes[0].rendezvous).dropped >= 1;
}

static void values_of_strangers_are_counted_and_hurt_nobody(void **state)
{
	struct opt_id stranger = {{7}}, key = spread_key(&fixture_key, 0, 0);
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	uint8_t noise[2000] = {0};
	struct opendht *dht;
	char error[100];

	(void)state;
	start_group(0, 1);
	assert_int_equal(opendht_new(&fixture_loop, &stranger, seal_network(&fixture_key), 0, 500, &dht,
	                     error, sizeof(error)),
	    0);
	address.sin_port = htons(rendezvous_port(nodes[0].rendezvous));
	opendht_ping(dht, (struct sockaddr *)&address, ignore_done, NULL);
	opendht_listen(dht, &key, ignore, NULL);
	opendht_put(dht, &key, noise, 300, true, NULL, NULL);
	opendht_put(dht, &key, noise, 1, false, NULL, NULL);
	opendht_put(dht, &key, noise, sizeof(noise), true, NULL, NULL);
	fixture_until(two_were_rejected, NULL);
	fixture_change(0, 500, 0);
	fixture_until_all_see_all(0, 1);
	opendht_close(dht, NULL, NULL);
}

static void another_cluster_stays_apart(void **state)
{
	struct cluster_key foreign = {"the key of somebody else"};
	uint64_t later = uv_hrtime() + UINT64_C(3000000000);

	(void)state;
	fixture_start(0, 0);
	fixture_start_with_key(1, 0, &foreign);
	fixture_bootstrap(1, 0);
	fixture_until(is_late, &later); /* as long as it takes to give up on a ping */
	assert_false(nodes[1].joined);
	assert_false(fixture_sees(0, 1));
	assert_false(fixture_sees(1, 0));
}

static void assert_refused(uint16_t port)
{
	const struct rendezvous_callbacks callbacks = {NULL, NULL, NULL};
	struct rendezvous *rendezvous = NULL;
	char error[200] = "";

	assert_int_equal(rendezvous_new(&fixture_loop, &nodes[1].identity, &fixture_key, port, &callbacks,
	                     &rendezvous, error, sizeof(error)),
	    OPT_E_IO);
	assert_null(rendezvous);
	assert_non_null(strstr(error, "UDP port"));
}

static void a_port_that_is_taken_is_refused(void **state)
{
	uint16_t port;
	int fd = take_port(&port);

	(void)state;
	assert_refused(port); /* OpenDHT itself would go on with IPv6 alone */
	close(fd);
	fixture_start(0, 0);
	assert_refused(rendezvous_port(nodes[0].rendezvous));
}

static void children_do_not_inherit_the_port(void **state)
{
	struct dirent *entry;
	DIR *folder;
	int sockets = 0;

	(void)state;
	fixture_start(0, 0);
	folder = opendir("/proc/self/fd");
	assert_non_null(folder);
	while ((entry = readdir(folder)) != NULL) {
		int fd = atoi(entry->d_name);
		int type;
		socklen_t len = sizeof(type);

		if (fd <= STDERR_FILENO || getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len) != 0)
			continue;
		assert_true((fcntl(fd, F_GETFD) & FD_CLOEXEC) != 0);
		sockets += type == SOCK_DGRAM;
	}
	closedir(folder);
	assert_true(sockets > 0);
}

static void only_its_own_presence_is_published(void **state)
{
	struct presence presence;

	(void)state;
	fixture_start(0, 0);
	presence = nodes[0].presence;
	presence.node = nodes[1].identity.node;
	assert_int_equal(rendezvous_publish(nodes[0].rendezvous, &presence), OPT_E_INVALID);
	presence = nodes[0].presence;
	presence.address[0] = '\0';
	assert_int_equal(rendezvous_publish(nodes[0].rendezvous, &presence), OPT_E_INVALID);
}

static bool third_change_is_seen(void *context)
{
	(void)context;
	return nodes[0].seen[1].sequence >= 4;
}

static void one_that_changes_all_the_time_does_not_flood_its_key(void **state)
{
	uint64_t later;

	(void)state;
	start_group(0, 1);
	for (uint32_t i = 0; i < 50; i++)
		fixture_change(1, WEIGHT_ONE + i, 0);
	fixture_until(third_change_is_seen, NULL);
	later = uv_hrtime() + UINT64_C(2000000000); /* ticks pass, and no minute */
	fixture_until(is_late, &later);
	assert_int_equal(nodes[0].seen[1].sequence, 4);
}

/* Nodes 0 to 2 know of so many members that they leave level 0 to some of them. Node 3 knows nobody. */
static void members_on_other_levels_are_heard_of_on_level_0(void **state)
{
	const struct opt_id crowd = {{42}};
	bool sampled = false, moved = false;

	(void)state;
	for (int i = 0; i < 3; i++) {
		bool stays = spread_publishes(&nodes[i].identity.node, 1, 0);

		sampled = sampled || stays;
		moved = moved || !stays;
		fixture_start(i, 0);
		for (uint32_t member = 0; member < SPREAD_PER_KEY; member++) {
			struct opt_id node = shard_id(&crowd, member);

			rendezvous_known(nodes[i].rendezvous, &node, "127.0.0.1:9");
		}
		if (i > 0)
			fixture_bootstrap(i, 0);
		fixture_change(i, 200, 0); /* this one only on the new levels */
	}
	assert_true(sampled && moved); /* or these identities prove nothing */
	fixture_start(3, 0);
	fixture_bootstrap(3, 1);
	fixture_until_all_see_all(0, 3);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, begin, end)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    CASE(three_nodes_see_each_other_and_every_change),
	    CASE(eight_nodes_see_each_other_and_a_late_one),
	    CASE(a_seed_that_comes_late_is_found),
	    CASE(two_halves_become_one_by_one_address),
	    CASE(a_goodbye_reaches_the_others),
	    CASE(leaving_alone_ends_too),
	    CASE(a_batch_is_found_after_who_put_it_there_is_gone),
	    CASE(the_newest_homes_of_a_batch_count),
	    CASE(who_is_alone_can_not_say_that_there_is_no_batch),
	    CASE(who_is_cut_off_for_long_does_not_collect_questions),
	    CASE(values_of_strangers_are_counted_and_hurt_nobody),
	    CASE(another_cluster_stays_apart),
	    CASE(a_port_that_is_taken_is_refused),
	    CASE(children_do_not_inherit_the_port),
	    CASE(only_its_own_presence_is_published),
	    CASE(one_that_changes_all_the_time_does_not_flood_its_key),
	    CASE(members_on_other_levels_are_heard_of_on_level_0),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
