/* SPDX-License-Identifier: MIT */
/*
 * A shard's value comes back as it was written, has one hash, and no other bytes are taken for one.
 */
#include "merge.h"

#include <msgpack.h>
#include <zstd.h>

#include "queue/message/recipients.h"

static const char *const VALUES[] = {"Jane", NULL, "", "\xc3\xa9\n"};

static struct opt_id write_shard(size_t mails, struct buffer *out)
{
	struct recipients_writer *writer = recipients_writer_new(4);
	struct opt_id hash = {{0}};
	char email[64];

	for (size_t i = 0; i < mails; i++) {
		snprintf(email, sizeof(email), "user%zu@example.com", i);
		assert_int_equal(recipients_writer_add(writer, email, VALUES), 0);
	}
	assert_int_equal(recipients_writer_count(writer), mails);
	recipients_writer_finish(writer, out, &hash);
	assert_int_equal(recipients_writer_count(writer), 0);
	recipients_writer_free(writer);
	return hash;
}

static void recipients_come_back(void **state)
{
	struct recipients *recipients = NULL;
	struct buffer out;

	(void)state;
	buffer_init(&out);
	write_shard(SHARD_MAILS_MAX, &out);
	assert_int_equal(recipients_open(out.data, out.len, &recipients), 0);
	assert_int_equal(recipients_count(recipients), SHARD_MAILS_MAX);
	assert_int_equal(recipients_fields(recipients), 4);
	assert_string_equal(recipients_email(recipients, 0), "user0@example.com");
	assert_string_equal(recipients_email(recipients, 499), "user499@example.com");
	assert_string_equal(recipients_value(recipients, 499, 0), "Jane");
	assert_null(recipients_value(recipients, 499, 1));
	assert_string_equal(recipients_value(recipients, 0, 2), "");
	assert_string_equal(recipients_value(recipients, 0, 3), "\xc3\xa9\n");
	recipients_free(recipients);
	recipients = NULL;
	out.len = 0;
	write_shard(0, &out);
	assert_int_equal(recipients_open(out.data, out.len, &recipients), 0);
	assert_int_equal(recipients_count(recipients), 0);
	recipients_free(recipients);
	buffer_done(&out);
}

static void the_same_recipients_have_the_same_bytes_and_hash(void **state)
{
	struct buffer one, two;
	struct opt_id a, b;

	(void)state;
	buffer_init(&one);
	buffer_init(&two);
	a = write_shard(100, &one);
	b = write_shard(100, &two);
	assert_memory_equal(a.bytes, b.bytes, sizeof(a.bytes));
	assert_int_equal(one.len, two.len);
	assert_memory_equal(one.data, two.data, one.len);
	b = write_shard(99, &two);
	assert_memory_not_equal(a.bytes, b.bytes, sizeof(a.bytes));
	buffer_done(&one);
	buffer_done(&two);
}

static void a_full_shard_asks_for_the_next(void **state)
{
	struct recipients_writer *writer = recipients_writer_new(1);
	char *large = malloc(RECIPIENT_BYTES_MAX + 1);
	const char *values[] = {large};
	struct recipients *recipients = NULL;
	struct buffer out;
	struct opt_id hash;
	size_t count = 0;
	int result;

	(void)state;
	buffer_init(&out);
	memset(large, 'x', RECIPIENT_BYTES_MAX);
	large[RECIPIENT_BYTES_MAX] = '\0';
	assert_int_equal(recipients_writer_add(writer, "a@b", values), OPT_E_LIMIT);
	large[RECIPIENT_BYTES_MAX - 3] = '\0';
	while ((result = recipients_writer_add(writer, "a@b", values)) == 0)
		count++;
	assert_int_equal(result, OPT_E_FULL);
	assert_int_equal(count, 11);
	recipients_writer_finish(writer, &out, &hash);
	assert_int_equal(recipients_open(out.data, out.len, &recipients), 0);
	recipients_free(recipients);
	values[0] = NULL;
	for (count = 0; (result = recipients_writer_add(writer, "a@b", values)) == 0; count++)
		;
	assert_int_equal(result, OPT_E_FULL);
	assert_int_equal(count, SHARD_MAILS_MAX);
	recipients_writer_free(writer);
	free(large);
	buffer_done(&out);
}

static int open_packed(const void *data, size_t len)
{
	struct recipients *recipients = NULL;
	size_t size = ZSTD_compressBound(len);
	char *packed = malloc(size);
	int result;

	size = ZSTD_compress(packed, size, data, len, 1);
	result = recipients_open(packed, size, &recipients);
	if (result == 0)
		recipients_free(recipients);
	free(packed);
	return result;
}

#define OPEN(bytes) open_packed(bytes, sizeof(bytes) - 1)

static void broken_values_are_refused(void **state)
{
	char *bomb = calloc(1, SHARD_BYTES_MAX + 1);
	struct recipients *recipients = NULL;
	struct buffer out;

	(void)state;
	assert_int_equal(OPEN("\x93\x01\x01\x91\x92\xa3"
	                      "a@b\xc0"),
	    0);
	assert_int_equal(OPEN("\x93\x02\x01\x91\x92\xa3"
	                      "a@b\xc0"),
	    OPT_E_INVALID); /* version */
	assert_int_equal(OPEN("\x93\x01\x02\x91\x92\xa3"
	                      "a@b\xc0"),
	    OPT_E_INVALID); /* fields */
	assert_int_equal(OPEN("\x93\x01\x01\x92\x92\xa3"
	                      "a@b\xc0"),
	    OPT_E_INVALID); /* mails */
	assert_int_equal(OPEN("\x93\x01\x01\x91\x92\xa3"
	                      "a\0b\xc0"),
	    OPT_E_INVALID); /* NUL */
	assert_int_equal(OPEN("\x93\x01\x01\x91\x92\xa3"
	                      "a@b\xc0\xc0"),
	    OPT_E_INVALID); /* more */
	assert_int_equal(OPEN("\x93\x01\x01\x91\x92\xa3"
	                      "a@b\x90"),
	    OPT_E_INVALID);                                                                /* type */
	assert_int_equal(OPEN("\x93\x01\x01\xdd\xff\xff\xff\xff"), OPT_E_INVALID);         /* mails */
	assert_int_equal(OPEN("\x93\x01\xcd\x01\x01\x90"), OPT_E_INVALID);                 /* fields */
	assert_int_equal(OPEN("\x93\x01\x00\x91\x91\xdb\xff\xff\xff\xff"), OPT_E_INVALID); /* text */
	assert_int_equal(OPEN("\x93\x01\x00\x91\x91\xd9\x40"), OPT_E_INVALID);             /* cut */
	assert_int_equal(OPEN(""), OPT_E_INVALID);
	assert_int_equal(recipients_open("", 0, &recipients), OPT_E_INVALID);
	assert_int_equal(recipients_open("junk that is no zstd", 20, &recipients), OPT_E_INVALID);
	assert_int_equal(open_packed(bomb, SHARD_BYTES_MAX + 1), OPT_E_LIMIT);
	buffer_init(&out);
	write_shard(3, &out);
	assert_int_equal(recipients_open(out.data, out.len - 1, &recipients), OPT_E_INVALID);
	buffer_add_char(&out, 'x');
	assert_int_equal(recipients_open(out.data, out.len, &recipients), OPT_E_INVALID);
	assert_null(recipients);
	buffer_done(&out);
	free(bomb);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(recipients_come_back),
	    cmocka_unit_test(the_same_recipients_have_the_same_bytes_and_hash),
	    cmocka_unit_test(a_full_shard_asks_for_the_next),
	    cmocka_unit_test(broken_values_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
