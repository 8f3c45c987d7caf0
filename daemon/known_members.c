/* SPDX-License-Identifier: MIT */
/* One address a line, the latest last. The file is written anew and renamed into place. */
#include "daemon/known_members.h"

#include <bsd/string.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "daemon/log.h"
#include "dht/presence.h"

enum { KNOWN_MAX = 32 };

struct known_members {
	char *path;
	char addresses[KNOWN_MAX][PRESENCE_ADDRESS_MAX + 1];
	size_t count;
};

static void remember(struct known_members *known, const char *address)
{
	if (known->count == KNOWN_MAX)
		memmove(
		    known->addresses[0], known->addresses[1], --known->count * sizeof(known->addresses[0]));
	strlcpy(known->addresses[known->count++], address, sizeof(known->addresses[0]));
}

static bool has(const struct known_members *known, const char *address)
{
	for (size_t i = 0; i < known->count; i++) {
		if (strcmp(known->addresses[i], address) == 0)
			return true;
	}
	return false;
}

struct known_members *known_members_load(const char *data)
{
	struct known_members *known = calloc(1, sizeof(*known));
	char line[2 * PRESENCE_ADDRESS_MAX];
	FILE *file;

	if (known == NULL || asprintf(&known->path, "%s/members", data) < 0)
		abort();
	file = fopen(known->path, "re");
	if (file == NULL)
		return known;
	while (fgets(line, sizeof(line), file) != NULL) {
		line[strcspn(line, "\n")] = '\0';
		if (line[0] != '\0' && strlen(line) <= PRESENCE_ADDRESS_MAX && !has(known, line))
			remember(known, line);
	}
	fclose(file);
	return known;
}

void known_members_free(struct known_members *known)
{
	if (known == NULL)
		return;
	free(known->path);
	free(known);
}

size_t known_members_count(const struct known_members *known)
{
	return known->count;
}

const char *known_members_address(const struct known_members *known, size_t i)
{
	return known->addresses[i];
}

static bool write_all(const struct known_members *known, const char *path)
{
	FILE *file = fopen(path, "we");
	bool good = file != NULL;

	for (size_t i = 0; good && i < known->count; i++)
		good = fprintf(file, "%s\n", known->addresses[i]) > 0;
	if (file != NULL) {
		good = fflush(file) == 0 && fsync(fileno(file)) == 0 && good;
		good = fclose(file) == 0 && good;
	}
	return good;
}

void known_members_add(struct known_members *known, const char *address)
{
	char *fresh;

	if (has(known, address))
		return;
	remember(known, address);
	if (asprintf(&fresh, "%s.new", known->path) < 0)
		abort();
	if (!write_all(known, fresh) || rename(fresh, known->path) != 0)
		log_warning("members_not_written", "file", known->path, "error", strerror(errno), NULL);
	free(fresh);
}
