/* SPDX-License-Identifier: MIT */
/*
 * A wrong clock, for tests: preloaded into a program it moves the time of day by as many seconds as the file
 * /etc/optimus-clock says ("+0000003600", always 11 characters), from the moment that the file says so.
 * Clocks that count since boot stay right, as they do when somebody sets a real clock.
 *
 * The file is mapped, so a change counts at the next call. Where there is none the time is right. libfaketime
 * does more, and a redis-server with it never starts: its allocator asks for the time before malloc() works.
 */
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

enum { TEXT_SIZE = 11 };

static const char *text;

__attribute__((constructor)) static void open_clock(void)
{
	int fd = open("/etc/optimus-clock", O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return;
	if (lseek(fd, 0, SEEK_END) >= TEXT_SIZE) {
		void *page = mmap(NULL, TEXT_SIZE, PROT_READ, MAP_SHARED, fd, 0);

		if (page != MAP_FAILED)
			text = page;
	}
	close(fd);
}

static time_t seconds_off(void)
{
	char copy[TEXT_SIZE + 1] = {0};

	if (text == NULL)
		return 0;
	memcpy(copy, text, TEXT_SIZE);
	return (time_t)strtol(copy, NULL, 10);
}

int clock_gettime(clockid_t clock, struct timespec *now)
{
	int r = (int)syscall(SYS_clock_gettime, clock, now);

	if (r == 0 && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE))
		now->tv_sec += seconds_off();
	return r;
}

int gettimeofday(struct timeval *restrict now, void *restrict zone)
{
	struct timespec precise;

	(void)zone;
	clock_gettime(CLOCK_REALTIME, &precise);
	now->tv_sec = precise.tv_sec;
	now->tv_usec = precise.tv_nsec / 1000;
	return 0;
}

time_t time(time_t *ret_now)
{
	struct timespec precise;

	clock_gettime(CLOCK_REALTIME, &precise);
	if (ret_now != NULL)
		*ret_now = precise.tv_sec;
	return precise.tv_sec;
}
