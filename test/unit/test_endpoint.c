/* SPDX-License-Identifier: MIT */
/* HOST:PORT is taken apart, and what is none is refused, whoever wrote it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "dht/endpoint.h"
#include "queue/error.h"

static void assert_parses(const char *text, const char *host, const char *port)
{
	struct endpoint endpoint;

	assert_int_equal(endpoint_parse(text, &endpoint), 0);
	assert_string_equal(endpoint.host, host);
	assert_string_equal(endpoint.port, port);
}

static void host_and_port_are_taken_apart(void **state)
{
	(void)state;
	assert_parses("192.0.2.1:4100", "192.0.2.1", "4100");
	assert_parses("[2001:db8::1]:65535", "2001:db8::1", "65535");
	assert_parses("[fe80::1%eth0]:1", "fe80::1%eth0", "1");
	assert_parses("node-1.example:80", "node-1.example", "80");
}

static void what_is_no_host_and_port_is_refused(void **state)
{
	static const char *const bad[] = {"", ":", "a", ":1", "a:", "a:0", "a:01", "a:65536", "a:99999",
	    "a:100000", "a:+1", "a: 1", "a:1 ", "a b:1", "a/b:1", "-a:1", "a\n:1", "a:1\n", "\xc3\xa9:1",
	    "::1:80", "[]:1", "[::1]", "[::1:1", "::1]:1", "[:/]:1", "[::1]x:1", "a;b:1", "$(a):1"};
	struct endpoint endpoint = {"before", "1"};

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(endpoint_parse(bad[i], &endpoint), OPT_E_INVALID);
	assert_string_equal(endpoint.host, "before");
}

static void a_host_has_a_limit(void **state)
{
	char text[ENDPOINT_HOST_SIZE + 8];
	struct endpoint endpoint;

	(void)state;
	memset(text, 'a', sizeof(text));
	memcpy(text + ENDPOINT_HOST_SIZE - 1, ":1", 3);
	assert_int_equal(endpoint_parse(text, &endpoint), 0);
	memset(text, 'a', sizeof(text));
	memcpy(text + ENDPOINT_HOST_SIZE, ":1", 3);
	assert_int_equal(endpoint_parse(text, &endpoint), OPT_E_INVALID);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(host_and_port_are_taken_apart),
	    cmocka_unit_test(what_is_no_host_and_port_is_refused),
	    cmocka_unit_test(a_host_has_a_limit),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
