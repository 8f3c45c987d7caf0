/* SPDX-License-Identifier: MIT */
/*
 * Marks in a spool: its generation, that it was drained in order, and when optimusd was at work last. They
 * lie in the folder `flush`, which this Postfix does not use and the node's user may write to.
 *
 * A spool on disk outlives the machine's death, but the last that Postfix did to its folders may be lost: a
 * file may lie in incoming that was on the wire, or nowhere. So each mark names the boot it was made in.
 */
#include "daemon/spool_mark.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "daemon/log.h"
#include "queue/clock.h"

enum { BOOT_ID = 37 };

static void mark_path(const char *dir, const char *name, char *path, size_t size)
{
	snprintf(path, size, "%s/spool/flush/%s", dir, name);
}

/* "" where the system does not tell. */
static void boot_id(char id[BOOT_ID])
{
	FILE *file = fopen("/proc/sys/kernel/random/boot_id", "re");

	if (file == NULL || fscanf(file, "%36s", id) != 1)
		id[0] = '\0';
	if (file != NULL)
		fclose(file);
}

uint64_t spool_mark_read(const char *dir, const char *name)
{
	char path[4096], made[BOOT_ID], now[BOOT_ID];
	uint64_t number = 0;
	FILE *file;
	int read;

	mark_path(dir, name, path, sizeof(path));
	file = fopen(path, "re");
	if (file == NULL)
		return 0;
	read = fscanf(file, "%" SCNu64 " %36s", &number, made);
	fclose(file);
	boot_id(now);
	/* Earlier versions did not name the boot. */
	return read == 1 || (read == 2 && strcmp(made, now) == 0) ? number : 0;
}

void spool_mark_write(const char *dir, const char *name, uint64_t number)
{
	char path[4096], whole[4100], boot[BOOT_ID];
	FILE *file;
	bool written;

	mark_path(dir, name, path, sizeof(path));
	snprintf(whole, sizeof(whole), "%s.new", path);
	boot_id(boot);
	file = fopen(whole, "we");
	written = file != NULL && fprintf(file, "%" PRIu64 " %s\n", number, boot) > 0;
	if (file != NULL && fclose(file) != 0)
		written = false;
	/* Who is killed in between leaves the one before. */
	if (!written || rename(whole, path) != 0)
		log_error("spool_not_writable", "path", path, NULL);
}

static uint64_t boot_time(void)
{
	struct timespec now;

	clock_gettime(CLOCK_BOOTTIME, &now);
	return (uint64_t)now.tv_sec * USEC_PER_SEC + (uint64_t)now.tv_nsec / 1000;
}

void spool_mark_worked(const char *dir)
{
	spool_mark_write(dir, "worked", boot_time());
}

uint64_t spool_mark_away(const char *dir)
{
	const uint64_t worked = spool_mark_read(dir, "worked"), now = boot_time();

	return worked == 0 || worked > now ? UINT64_MAX : now - worked;
}
