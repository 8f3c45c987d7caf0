/* SPDX-License-Identifier: MIT */
/*
 * Asks a running sink: what scripts use in the place of a program that speaks over Unix-domain sockets.
 * Blocks, with a limit of ten seconds for the answer.
 */
#include "test/sink/ask.h"

#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

enum { ASK_SECONDS = 10, ASK_ANSWER_MAX = 8192 };

static int open_control(const char *path)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	struct timeval limit = {.tv_sec = ASK_SECONDS};
	if (strlen(path) >= sizeof(address.sun_path))
		return -1;
	strcpy(address.sun_path, path);
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -1;
	if (connect(fd, (struct sockaddr *)&address, sizeof(address)) == 0 &&
	    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit)) == 0)
		return fd;
	close(fd);
	return -1;
}

int ask_control(const char *path, const char *command)
{
	char text[ASK_ANSWER_MAX];
	int len = snprintf(text, sizeof(text), "%s\n", command);
	int fd = len > 0 && (size_t)len < sizeof(text) ? open_control(path) : -1;
	if (fd < 0 || send(fd, text, (size_t)len, MSG_NOSIGNAL) != len) {
		fprintf(stderr, "optimus-sink: can't ask the sink at %s\n", path);
		if (fd >= 0)
			close(fd);
		return 1;
	}
	size_t got = 0;
	ssize_t n = 1;
	while (n > 0 && got < sizeof(text) - 1 && memchr(text, '\n', got) == NULL) {
		n = recv(fd, text + got, sizeof(text) - 1 - got, 0);
		got += n > 0 ? (size_t)n : 0;
	}
	close(fd);
	text[got] = '\0';
	fputs(text, stdout);
	return got > 0 && strncmp(text, "error", 5) != 0 ? 0 : 1;
}
