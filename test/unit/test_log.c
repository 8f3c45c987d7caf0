/* SPDX-License-Identifier: MIT */
/*
 * A log line is one line of key=value, whatever is in the values.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "daemon/log.h"

static int saved_stderr;
static int pipe_fds[2];
static char text[8192];

/* From here to uncapture(), standard error goes into `text`. */
static void capture(void)
{
	assert_int_equal(pipe2(pipe_fds, O_CLOEXEC | O_NONBLOCK), 0);
	saved_stderr = dup(STDERR_FILENO);
	assert_int_equal(dup2(pipe_fds[1], STDERR_FILENO), STDERR_FILENO);
}

static const char *uncapture(void)
{
	ssize_t len;

	dup2(saved_stderr, STDERR_FILENO);
	close(saved_stderr);
	len = read(pipe_fds[0], text, sizeof(text) - 1);
	text[len > 0 ? len : 0] = '\0';
	close(pipe_fds[0]);
	close(pipe_fds[1]);
	return text;
}

/* What comes after time=. */
static const char *untimed(const char *line)
{
	int end = 0;

	assert_int_equal(strncmp(line, "time=", 5), 0);
	sscanf(line, "time=%*4d-%*2d-%*2dT%*2d:%*2d:%*2d.%*3dZ %n", &end);
	assert_true(end > 0);
	return line + end;
}

static void a_line_is_keys_and_values(void **state)
{
	(void)state;
	capture();
	log_info("batch_accepted", "batch", "news-47", "mails", log_u64(10000), "code", log_int(-3), NULL);
	assert_string_equal(
	    untimed(uncapture()), "level=info event=batch_accepted batch=news-47 mails=10000 code=-3\n");
}

static void values_cannot_break_out(void **state)
{
	(void)state;
	capture();
	log_error("e", "a", "two words", "b", "quo\"te\\", "c", "line\nlevel=info event=fake", "d", "", "e",
	    "\x01\x7f", "f", "x=y", NULL);
	assert_string_equal(untimed(uncapture()), "level=error event=e a=\"two words\" b=\"quo\\\"te\\\\\" "
	                                          "c=\"line\\nlevel=info event=fake\" d=\"\" "
	                                          "e=\"\\x01\\x7f\" f=\"x=y\"\n");
}

static void a_long_value_is_cut_and_the_line_ends(void **state)
{
	static char value[10000];
	size_t len;

	(void)state;
	memset(value, ' ', sizeof(value) - 1);
	capture();
	log_warning("long", "value", value, "next", "x", NULL);
	len = strlen(uncapture());
	assert_int_equal(len, 4096);
	assert_int_equal(text[len - 1], '\n');
	assert_ptr_equal(strchr(text, '\n'), text + len - 1);
}

static void the_level_is_a_threshold(void **state)
{
	(void)state;
	capture();
	log_debug("hidden", NULL);
	assert_string_equal(uncapture(), "");
	log_set_level(LOG_LEVEL_ERROR);
	capture();
	log_warning("hidden", NULL);
	log_error("seen", NULL);
	assert_string_equal(untimed(uncapture()), "level=error event=seen\n");
	log_set_level(LOG_LEVEL_DEBUG);
	capture();
	log_debug("seen", NULL);
	assert_string_equal(untimed(uncapture()), "level=debug event=seen\n");
	log_set_level(LOG_LEVEL_INFO);
}

static void journald_stamps_its_lines_itself(void **state)
{
	char stream[64];
	struct stat st;

	(void)state;
	capture();
	assert_int_equal(fstat(STDERR_FILENO, &st), 0);
	snprintf(stream, sizeof(stream), "%ju:%ju", (uintmax_t)st.st_dev, (uintmax_t)st.st_ino);
	setenv("JOURNAL_STREAM", stream, 1);
	log_info("e", NULL);
	assert_string_equal(uncapture(), "level=info event=e\n");
	/* A redirected standard error is not the journal's, though the variable is inherited. */
	setenv("JOURNAL_STREAM", "1:1", 1);
	capture();
	log_info("e", NULL);
	assert_string_equal(untimed(uncapture()), "level=info event=e\n");
	unsetenv("JOURNAL_STREAM");
}

static void errno_survives(void **state)
{
	(void)state;
	capture();
	errno = ENOSPC;
	log_info("e", NULL);
	assert_int_equal(errno, ENOSPC);
	uncapture();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_line_is_keys_and_values),
	    cmocka_unit_test(values_cannot_break_out),
	    cmocka_unit_test(a_long_value_is_cut_and_the_line_ends),
	    cmocka_unit_test(the_level_is_a_threshold),
	    cmocka_unit_test(journald_stamps_its_lines_itself),
	    cmocka_unit_test(errno_survives),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
