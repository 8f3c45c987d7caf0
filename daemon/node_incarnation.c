/* SPDX-License-Identifier: MIT */
/* The file is written anew and renamed, so that a crash leaves the old number or the new one. */
#include "daemon/node_incarnation.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "queue/error.h"

/*
 * 0 when there is none yet. What can't be read as a number is taken for none: the clock is then all there is.
 * But a file that can't be opened may hold one that is ahead of the clock.
 */
static int last_one(const char *path, uint64_t *ret_number)
{
	FILE *file = fopen(path, "re");
	uint64_t number = 0;

	if (file == NULL && errno != ENOENT)
		return OPT_E_IO;
	if (file != NULL && fscanf(file, "%" SCNu64, &number) != 1)
		number = 0;
	if (file != NULL)
		fclose(file);
	*ret_number = number;
	return 0;
}

static int write_number(const char *path, uint64_t number)
{
	FILE *file = fopen(path, "we");
	int status;

	if (file == NULL)
		return OPT_E_IO;
	status = fprintf(file, "%" PRIu64 "\n", number) > 0 && fflush(file) == 0 && fsync(fileno(file)) == 0
	             ? 0
	             : OPT_E_IO;
	return fclose(file) == 0 ? status : OPT_E_IO;
}

static int sync_folder_of(const char *path)
{
	char *copy = strdup(path);
	int fd, status;

	if (copy == NULL)
		abort();
	fd = open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	free(copy);
	if (fd < 0)
		return OPT_E_IO;
	status = fsync(fd) == 0 ? 0 : OPT_E_IO;
	close(fd);
	return status;
}

int node_incarnation(const char *path, uint64_t *ret_incarnation)
{
	struct timespec now;
	uint64_t number;
	char *fresh;
	int status = last_one(path, &number);

	if (status != 0)
		return status;
	number++;
	clock_gettime(CLOCK_REALTIME, &now);
	if ((uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000 > number)
		number = (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
	if (asprintf(&fresh, "%s.new", path) < 0)
		abort();
	status = write_number(fresh, number);
	if (status == 0 && rename(fresh, path) != 0)
		status = OPT_E_IO;
	if (status == 0)
		status = sync_folder_of(path);
	free(fresh);
	if (status == 0)
		*ret_incarnation = number;
	return status;
}
