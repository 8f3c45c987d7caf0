/* SPDX-License-Identifier: MIT */
/*
 * optimus-spool: what is in the spool of an instance, by attempt key, and a way to remove it.
 *
 *   optimus-spool -c CONFIGDIR                                a line a file: QUEUE QUEUEID ATTEMPTTEXT|-
 *   optimus-spool -c CONFIGDIR --remove [QUEUE/QUEUEID]...    without names: from standard input, one a line
 *
 * optimusd asks this after a crash: what is still here was claimed and may or may not have been sent. QUEUE
 * is the folder, or `writing` for a file of incoming/ that cleanup(8) has not finished (its attempt may not
 * be in it yet). A file that vanishes while we look, because Postfix is running, is left out, and is no error
 * for `--remove`. Anything may be in the files; what makes no sense has no attempt. A file that can't be read
 * is an error: a listing without it would tell that its mail was never here.
 *
 * Exits as sysexits.h says: 0, 64 (usage), 66 (no such instance), 74 (a file or a folder could not be read),
 * 75 (a file could not be removed).
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sysexits.h>
#include <unistd.h>

#include <sys_defs.h>
#include <msg.h>
#include <msg_vstream.h>
#include <vstream.h>
#include <vstring.h>
#include <mail_conf.h>
#include <mail_proto.h>
#include <mail_queue.h>
#include <rec_type.h>
#include <record.h>

#include "postfix-glue/params.h"
#include "postfix-glue/version.h"
#include "queue/mail.h"

enum { RECORD_MAX = 64 * 1024, LINE_SIZE = 512, PATH_SIZE = 512 };

#define WRITING "writing"

static const char *const queues[] = {MAIL_QUEUE_INCOMING, MAIL_QUEUE_ACTIVE, MAIL_QUEUE_DEFERRED,
    MAIL_QUEUE_HOLD, MAIL_QUEUE_CORRUPT, MAIL_QUEUE_MAILDROP};
enum { QUEUES = sizeof(queues) / sizeof(queues[0]) };

static void usage(void)
{
	fprintf(stderr, "usage: optimus-spool -c CONFIGDIR [--remove [QUEUE/QUEUEID]...]\n");
	exit(EX_USAGE);
}

/* What is said of a file that can't be read would be taken for the whole truth about its mail. */
static void unreadable(const char *path)
{
	fprintf(stderr, "optimus-spool: can't read %s/%s: %s\n", var_queue_dir, path, strerror(errno));
	exit(EX_IOERR);
}

/* Reads envelope records up to the envelope id; "-" where none is found. */
static void read_attempt(VSTREAM *file, char text[ATTEMPT_TEXT_MAX])
{
	static const char name[] = MAIL_ATTR_DSN_ENVID "=";
	VSTRING *record = vstring_alloc(200);
	struct attempt_key key;
	int type;

	strcpy(text, "-");
	while ((type = rec_get_raw(file, record, RECORD_MAX, REC_FLAG_NONE)) > 0 && type != REC_TYPE_MESG) {
		const char *value = vstring_str(record) + strlen(name);

		if (type != REC_TYPE_ATTR || strncmp(vstring_str(record), name, strlen(name)) != 0)
			continue;
		if (attempt_from_text(value, &key) == 0)
			attempt_to_text(&key, text);
		break;
	}
	vstring_free(record);
}

static void list_file(const char *queue, const char *name)
{
	char path[PATH_SIZE];
	char text[ATTEMPT_TEXT_MAX] = "-";
	struct stat st;
	bool writing;

	if (snprintf(path, sizeof(path), "%s/%s", queue, name) >= (int)sizeof(path))
		return;
	if (lstat(path, &st) != 0) {
		if (errno != ENOENT)
			unreadable(path);
		return;
	}
	if (S_ISDIR(st.st_mode))
		return;
	if (S_ISREG(st.st_mode)) {
		VSTREAM *file = vstream_fopen(path, O_RDONLY | O_NOFOLLOW, 0);

		if (!file && errno == ENOENT)
			return;
		if (!file && errno != EACCES) /* which is no file of ours, and would stay so */
			unreadable(path);
		if (file) {
			read_attempt(file, text);
			if (vstream_ferror(file))
				unreadable(path);
			vstream_fclose(file);
		}
	}
	writing = strcmp(queue, MAIL_QUEUE_INCOMING) == 0 && (st.st_mode & S_IXUSR) == 0;
	printf("%s %s %s\n", writing ? WRITING : queue, name, text);
}

static int is_visible(const struct dirent *entry)
{
	return entry->d_name[0] != '.';
}

static void list(void)
{
	for (size_t i = 0; i < QUEUES; i++) {
		struct dirent **entries;
		int n = scandir(queues[i], &entries, is_visible, alphasort);

		if (n < 0) {
			fprintf(
			    stderr, "optimus-spool: %s/%s: %s\n", var_queue_dir, queues[i], strerror(errno));
			exit(EX_NOINPUT);
		}
		for (int j = 0; j < n; j++) {
			list_file(queues[i], entries[j]->d_name);
			free(entries[j]);
		}
		free(entries);
	}
}

/* Removes QUEUE/QUEUEID. */
static int remove_file(const char *file)
{
	const char *name = strchr(file, '/');
	const char *queue = NULL;
	char path[PATH_SIZE];

	if (name && strncmp(file, WRITING "/", strlen(WRITING) + 1) == 0)
		queue = MAIL_QUEUE_INCOMING;
	for (size_t i = 0; name && i < QUEUES; i++) {
		if (strncmp(file, queues[i], (size_t)(name - file)) == 0 && queues[i][name - file] == '\0')
			queue = queues[i];
	}
	if (!queue || name[1] == '\0' || name[1] == '.' || strchr(name + 1, '/') ||
	    snprintf(path, sizeof(path), "%s/%s", queue, name + 1) >= (int)sizeof(path)) {
		fprintf(stderr, "optimus-spool: not a file of the spool: %s\n", file);
		return EX_USAGE;
	}
	if (unlink(path) != 0 && errno != ENOENT) {
		fprintf(stderr, "optimus-spool: can't remove %s: %s\n", path, strerror(errno));
		return EX_TEMPFAIL;
	}
	return EX_OK;
}

static int remove_listed(void)
{
	char line[LINE_SIZE];
	int result = EX_OK;

	while (fgets(line, sizeof(line), stdin)) {
		int err;

		line[strcspn(line, "\n")] = '\0';
		if (line[0] == '\0')
			continue;
		err = remove_file(line);
		if (err)
			result = err;
	}
	return result;
}

static void enter(const char *config_dir)
{
	char path[PATH_SIZE];

	if (snprintf(path, sizeof(path), "%s/main.cf", config_dir) >= (int)sizeof(path) ||
	    access(path, R_OK) != 0) {
		fprintf(stderr, "optimus-spool: no instance of Postfix at %s\n", config_dir);
		exit(EX_NOINPUT);
	}
	msg_vstream_init("optimus-spool", VSTREAM_ERR);
	version_require();
	setenv(CONF_ENV_PATH, config_dir, 1);
	mail_conf_read();
	if (chdir(var_queue_dir) != 0) {
		fprintf(stderr, "optimus-spool: %s: %s\n", var_queue_dir, strerror(errno));
		exit(EX_NOINPUT);
	}
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
	    {"remove", no_argument, NULL, 'r'}, {"help", no_argument, NULL, 'h'}, {NULL, 0, NULL, 0}};
	const char *config_dir = NULL;
	bool removing = false;
	int result = EX_OK;
	int c;

	while ((c = getopt_long(argc, argv, "c:", options, NULL)) != -1) {
		if (c == 'c')
			config_dir = optarg;
		else if (c == 'r')
			removing = true;
		else
			usage();
	}
	if (!config_dir || (!removing && optind < argc))
		usage();
	enter(config_dir);
	if (!removing) {
		list();
	} else if (optind == argc) {
		result = remove_listed();
	} else {
		for (int i = optind; i < argc; i++) {
			int err = remove_file(argv[i]);

			if (err)
				result = err;
		}
	}
	if (fflush(stdout) != 0)
		result = EX_IOERR;
	return result;
}
