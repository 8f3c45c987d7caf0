/* SPDX-License-Identifier: MIT */
/*
 * master(8) and all that it starts form one process group. When master is killed its children finish what
 * they do and then notice: an smtp(8) may be waiting for the answer to a message that it has sent in full,
 * for up to ten minutes, and will want to report it. So the outcome servers stay as long as such a process
 * lives. They run as the same user as their clients, so /proc shows those to them even where it hides others'
 * processes.
 */
#include "postfix-glue/afterlife.h"

#include <ctype.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* The names of those that have nothing to report, as the kernel shows them: cut after 15 characters. */
static const char *const silent[] = {"optimus-outcome", "postlogd"};

static bool counts(const char *pid, pid_t group)
{
	char path[64];
	char line[512];
	char state;
	char *name;
	char *end;
	int parent;
	int process_group;
	size_t n;
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%.20s/stat", pid);
	file = fopen(path, "re");
	if (!file)
		return false; /* ended meanwhile */
	n = fread(line, 1, sizeof(line) - 1, file);
	fclose(file);
	line[n] = '\0';
	/* PID (NAME) STATE PARENT GROUP ..., and the name may hold any byte. */
	name = strchr(line, '(');
	end = strrchr(line, ')');
	if (!name || !end || sscanf(end + 1, " %c %d %d", &state, &parent, &process_group) != 3)
		return false;
	if (process_group != group || state == 'Z' || state == 'X')
		return false;
	*end = '\0';
	for (size_t i = 0; i < sizeof(silent) / sizeof(silent[0]); i++) {
		if (strcmp(name + 1, silent[i]) == 0)
			return false;
	}
	return true;
}

static int is_number(const struct dirent *entry)
{
	return isdigit((unsigned char)entry->d_name[0]);
}

bool afterlife_has_others(void)
{
	pid_t group = getpgrp();
	bool found = false;
	struct dirent **entries;
	int n = scandir("/proc", &entries, is_number, alphasort);

	if (n < 0)
		return true;
	for (int i = 0; i < n; i++) {
		found = found || counts(entries[i]->d_name, group);
		free(entries[i]);
	}
	free(entries);
	return found;
}
