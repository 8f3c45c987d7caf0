/* SPDX-License-Identifier: MIT */
/*
 * A DHT that was cut in two for so long that OpenDHT has dropped the other half becomes one again by itself,
 * and each half then learns what the other one said meanwhile. Nobody's seed is in the other half, so that
 * only the pings to silent members can do it. It has to run in a network namespace of its own, by
 * test/system/partition_test.sh.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "rendezvous_fixture.h"

enum { CUT_MS = 95000 };

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

static uint16_t port(int number)
{
	return rendezvous_port(nodes[number].rendezvous);
}

/* Nodes 0 and 1 on one side, 2 and 3 on the other. */
static void cut(void)
{
	FILE *rules = popen("nft -f -", "w");

	assert_non_null(rules);
	fprintf(rules, "table inet cut { chain arrive { type filter hook input priority 0;");
	fprintf(
	    rules, " udp sport { %u, %u } udp dport { %u, %u } drop;", port(0), port(1), port(2), port(3));
	fprintf(rules, " udp sport { %u, %u } udp dport { %u, %u } drop; }; }\n", port(2), port(3), port(0),
	    port(1));
	assert_int_equal(pclose(rules), 0);
}

static void heal(void)
{
	assert_int_equal(system("nft delete table inet cut"), 0);
}

static bool is_late(void *context)
{
	return uv_hrtime() >= *(uint64_t *)context;
}

/* In parts, for nothing may be waited for for a minute. */
static void wait_until(uint64_t time)
{
	const uint64_t part = UINT64_C(30000000000);

	while (uv_hrtime() < time) {
		uint64_t next = uv_hrtime() + part < time ? uv_hrtime() + part : time;

		fixture_until(is_late, &next);
	}
}

static void what_was_cut_for_95_s_becomes_one_again(void **state)
{
	const struct opt_id batch = {{7}};
	uint64_t healed;

	(void)state;
	for (int i = 0; i < 4; i++)
		fixture_start(i, 0);
	fixture_bootstrap(1, 0);
	fixture_bootstrap(3, 2);
	rendezvous_known(nodes[1].rendezvous, &nodes[2].identity.node, nodes[2].address);
	fixture_until_all_see_all(0, 3);

	cut();
	healed = uv_hrtime() + CUT_MS * UINT64_C(1000000);
	for (int i = 0; i < 4; i++)
		fixture_change(i, 200, 0);
	assert_int_equal(rendezvous_put_batch(nodes[0].rendezvous, &batch, &nodes[0].identity.node, 1), 0);
	fixture_until_all_see_all(0, 1);
	fixture_until_all_see_all(2, 3);
	wait_until(healed);
	for (int i = 0; i < 2; i++) {
		assert_false(fixture_sees(i, 2) || fixture_sees(i, 3));
		assert_false(fixture_sees(2, i) || fixture_sees(3, i));
	}

	heal();
	healed = uv_hrtime();
	fixture_until_all_see_all(0, 3);
	fixture_until_homes(3, &batch, 1);
	print_message("the DHT is one again after %.1f s\n", (double)(uv_hrtime() - healed) / 1e9);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(what_was_cut_for_95_s_becomes_one_again, begin, end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
