/* SPDX-License-Identifier: MIT */
/*
 * What is too much for the API is refused with a sentence that names the limit and says what to do, and
 * nothing of it is kept. The program is linked with core_upload_shards_max() wrapped: a batch of 24,000
 * shards is nothing for a test.
 */
#include "api_fixture.h"

#include <stdio.h>
#include <stdlib.h>

#include "daemon/api_settings.h"
#include "queue/core.h"
#include "queue/message/recipients.h"

enum { COMMIT_TOO_LONG = 5000 };

static uint32_t shards_max; /* 0: as many as the core says */

uint32_t __real_core_upload_shards_max(const struct core *core, const struct opt_id *upload);
uint32_t __wrap_core_upload_shards_max(const struct core *core, const struct opt_id *upload);

uint32_t __wrap_core_upload_shards_max(const struct core *core, const struct opt_id *upload)
{
	const uint32_t real = __real_core_upload_shards_max(core, upload);

	return shards_max > 0 && shards_max < real ? shards_max : real;
}

static const char *page(char path[256], const char *name, const char *step, const char *upload)
{
	snprintf(path, 256, "/v1/batches/%s/%s?upload=%s", name, step, upload);
	return path;
}

/* A body that is refused, with these words among those of the error. Returns the number of its row. */
static json_int_t refuse(struct fixture *fixture, const char *path, const void *body, size_t len, long status,
    const char *code, const char *words)
{
	struct reply reply = fetch(fixture, "POST", path, body, len);
	json_int_t row;

	assert_int_equal(reply.status, status);
	assert_string_equal(json_string_value(json_object_get(reply.json, "code")), code);
	if (strstr(json_string_value(json_object_get(reply.json, "error")), words) == NULL)
		fail_msg(
		    "'%s' does not say '%s'", json_string_value(json_object_get(reply.json, "error")), words);
	row = json_integer_value(json_object_get(reply.json, "row"));
	reply_done(&reply);
	return row;
}

/* Rows from the first to the last, one a line. Free the result. */
static char *rows(uint32_t first, uint32_t last)
{
	enum { ROW = 64 };
	char *body = calloc(last - first + 2, ROW);
	size_t len = 0;

	assert_non_null(body);
	for (uint32_t i = first; i <= last; i++)
		len +=
		    (size_t)snprintf(body + len, ROW, "{\"email\":\"r%u@example.com\",\"name\":\"R\"}\n", i);
	return body;
}

static void a_batch_with_too_many_shards_is_refused_at_the_row_that_is_too_many(void **state)
{
	struct fixture *fixture = *state;
	const uint32_t most = 2 * SHARD_MAILS_MAX;
	char path[256], upload[OPT_ID_HEX], *body = rows(1, most), *one = rows(most + 1, most + 1);
	const unsigned aborted = fake_events(fixture->node, EVENT_UPLOAD_ABORT);

	shards_max = 2;
	open_upload(fixture, "many", upload);
	json_decref(expect(fixture, "POST", page(path, "many", "recipients", upload), body, 200));
	assert_int_equal(refuse(fixture, path, one, strlen(one), 422, "invalid",
	                     "more than 1000 recipients, which is too many; split it into several batches"),
	    most + 1);
	/* Nothing of it is kept: the client begins anew. */
	assert_int_equal(fake_events(fixture->node, EVENT_UPLOAD_ABORT), aborted + 1);
	expect_error(fixture, "POST", path, one, 404, "not_found");
	expect_error(fixture, "GET", "/v1/batches/many", NULL, 404, "not_found");
	free(body);
	free(one);
}

static void as_many_shards_as_there_may_be_are_a_batch(void **state)
{
	struct fixture *fixture = *state;
	char path[256], upload[OPT_ID_HEX], *body = rows(1, 2 * SHARD_MAILS_MAX);

	shards_max = 2;
	open_upload(fixture, "most", upload);
	json_decref(expect(fixture, "POST", page(path, "most", "recipients", upload), body, 200));
	json_decref(expect(fixture, "POST", page(path, "most", "commit", upload), "{\"rows\":1000}", 201));
	free(body);
}

static void a_row_that_is_too_long_is_refused_with_its_number(void **state)
{
	struct fixture *fixture = *state;
	const size_t len = RECIPIENT_BYTES_MAX + 1;
	char path[256], upload[OPT_ID_HEX], *body = calloc(1, len + 256);
	size_t used = (size_t)sprintf(body, "{\"email\":\"a@example.com\",\"name\":\"A\"}\n{\"name\":\"");

	assert_non_null(body);
	memset(body + used, 'x', len);
	open_upload(fixture, "wide", upload);
	assert_int_equal(refuse(fixture, page(path, "wide", "recipients", upload), body, used + len, 422,
	                     "recipient", "longer than 65536 bytes; shorten its values"),
	    2);
	expect_error(fixture, "POST", path, "", 404, "not_found");
	free(body);
}

static void a_commit_that_is_too_long_ends_the_upload(void **state)
{
	struct fixture *fixture = *state;
	char path[256], upload[OPT_ID_HEX], body[COMMIT_TOO_LONG];

	memset(body, ' ', sizeof(body));
	open_upload(fixture, "long", upload);
	refuse(fixture, page(path, "long", "commit", upload), body, sizeof(body), 422, "invalid",
	    "longer than 4096 bytes; send only {\"rows\": N}");
	expect_error(fixture, "POST", path, "{\"rows\":1}", 404, "not_found");
}

/* Settings with a template of so many bytes. Free the result. */
static char *settings_with(size_t bytes)
{
	const char *start =
	    "{\"from\":\"a@example.com\",\"template\":\"From: a@example.com\\nSubject: x\\n\\n";
	char *body = malloc(strlen(start) + bytes + 3);

	assert_non_null(body);
	strcpy(body, start);
	memset(body + strlen(start), 'x', bytes);
	strcpy(body + strlen(start) + bytes, "\"}");
	return body;
}

static void a_template_that_is_too_large_is_refused(void **state)
{
	struct fixture *fixture = *state;
	char *body = settings_with(TEMPLATE_SIZE_MAX);

	refuse(fixture, "/v1/batches/large", body, strlen(body), 422, "template",
	    "at most 33554432 are allowed; make it smaller");
	free(body);
	body = settings_with(SETTINGS_BYTES_MAX);
	refuse(fixture, "/v1/batches/large", body, strlen(body), 422, "invalid",
	    "longer than 67108864 bytes; make them shorter");
	free(body);
	assert_int_equal(fake_events(fixture->node, EVENT_UPLOAD_OPEN), 0);
}

static void settings_out_of_their_range_are_refused(void **state)
{
	static const struct {
		const char *setting, *words;
	} cases[] = {
	    {"\"expire\":2592001", "1 to 2592000"},
	    {"\"priority\":101", "-100 to 100"},
	    {"\"replicas\":8", "1 to 7"},
	    {"\"replicas\":0", "1 to 7"},
	    {"\"at\":\"9999-01-01T00:00:00Z\"", "choose an earlier time"},
	};
	struct fixture *fixture = *state;
	char body[256];

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		snprintf(body, sizeof(body), "{\"from\":\"\",\"template\":\"Subject: x\\n\\nx\",%s}",
		    cases[i].setting);
		refuse(fixture, "/v1/batches/range", body, strlen(body), 422, "invalid", cases[i].words);
	}
	assert_int_equal(fake_events(fixture->node, EVENT_UPLOAD_OPEN), 0);
}

static void too_many_columns_are_refused(void **state)
{
	struct fixture *fixture = *state;
	const char *end = "\"email\"]}";
	char *body = malloc(128 + 4 * SETTINGS_COLUMNS_MAX + strlen(end) + 1);
	size_t len;

	assert_non_null(body);
	len = (size_t)sprintf(body, "{\"from\":\"\",\"template\":\"Subject: x\\n\\nx\",\"columns\":[");
	for (int i = 0; i < SETTINGS_COLUMNS_MAX; i++)
		len += (size_t)sprintf(body + len, "\"a\",");
	strcpy(body + len, end);
	refuse(fixture, "/v1/batches/columns", body, strlen(body), 422, "invalid", "at most 1000 names");
	free(body);
}

static int tear_down(void **state)
{
	shards_max = 0;
	return fixture_teardown(state);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define CASE(name) cmocka_unit_test_setup_teardown(name, fixture_setup, tear_down)
	    CASE(a_batch_with_too_many_shards_is_refused_at_the_row_that_is_too_many),
	    CASE(as_many_shards_as_there_may_be_are_a_batch),
	    CASE(a_row_that_is_too_long_is_refused_with_its_number),
	    CASE(a_commit_that_is_too_long_ends_the_upload),
	    CASE(a_template_that_is_too_large_is_refused),
	    CASE(settings_out_of_their_range_are_refused),
	    CASE(too_many_columns_are_refused),
#undef CASE
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
