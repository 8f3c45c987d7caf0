/* SPDX-License-Identifier: MIT */
/*
 * A holder of the cluster key who misbehaves, for attack_test.sh: an identity of its own, a real handshake
 * with a running node, and then something that no node sends.
 *
 *   insider HOST:PORT KEYFILE nested|long|frame|flipped
 *
 * Exit code 0: the node has closed the link, within 20 s. 1: it has not. 2: there was no link.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <sodium.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "daemon/link_frame.h"
#include "daemon/link_handshake.h"

enum { NESTED = 10000, SECONDS = 20 };

static void die(const char *what)
{
	fprintf(stderr, "insider: %s\n", what);
	exit(2);
}

/* IPv4 alone. */
static int dial(const char *where)
{
	const struct timeval limit = {.tv_sec = SECONDS};
	struct sockaddr_in address = {.sin_family = AF_INET};
	const char *colon = strrchr(where, ':');
	char host[INET_ADDRSTRLEN];
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (colon == NULL || fd < 0 || (size_t)(colon - where) >= sizeof(host))
		die("no HOST:PORT");
	memcpy(host, where, (size_t)(colon - where));
	host[colon - where] = '\0';
	address.sin_port = htons((uint16_t)strtoul(colon + 1, NULL, 10));
	if (inet_pton(AF_INET, host, &address.sin_addr) != 1 ||
	    connect(fd, (struct sockaddr *)&address, sizeof(address)) != 0)
		die("no connection");
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
	return fd;
}

static void read_all(int fd, void *data, size_t len)
{
	if (recv(fd, data, len, MSG_WAITALL) != (ssize_t)len)
		die("no handshake");
}

/* All that waits. The node may close before it has read the last of it. */
static void write_all(int fd, struct buffer *out)
{
	for (size_t at = 0; at < out->len;) {
		ssize_t sent = send(fd, out->data + at, out->len - at, MSG_NOSIGNAL);

		if (sent < 0)
			return;
		at += (size_t)sent;
	}
	buffer_clear(out);
}

/* Up to an open link; what follows goes into `writer`. */
static void shake_hands(int fd, const struct link_self *self, struct link_writer *writer, struct buffer *out)
{
	unsigned char first[LINK_FIRST_SIZE], third[LINK_THIRD_SIZE];
	struct handshake handshake;
	enum link_end why;
	size_t used;

	handshake_begin(&handshake, self, true, 1, out);
	read_all(fd, first, sizeof(first));
	if (handshake_take(&handshake, first, sizeof(first), &used, out, &why) != 0)
		die("no first message");
	write_all(fd, out);
	read_all(fd, third, sizeof(third));
	if (handshake_take(&handshake, third, sizeof(third), &used, out, &why) != 1)
		die("no third message");
	link_writer_init(writer, handshake.send_key, out);
	handshake_wipe(&handshake);
}

/* False: no such word. */
static bool misbehave(const char *how, struct link_writer *writer, struct buffer *out)
{
	static uint8_t data[LINK_CHUNK_MAX];

	memset(data, 0x91, sizeof(data)); /* msgpack: an array in an array in ... */
	if (strcmp(how, "nested") == 0) {
		link_writer_add(writer, FRAME_CONTROL_LAST, data, NESTED, out);
	} else if (strcmp(how, "long") == 0) {
		for (int i = 0; i <= LINK_MESSAGE_MAX / LINK_CHUNK_MAX; i++)
			link_writer_add(writer, FRAME_BULK_PART, data, sizeof(data), out);
	} else if (strcmp(how, "frame") == 0) {
		buffer_add(out, "\xff\xff", 2);
	} else if (strcmp(how, "flipped") == 0) {
		link_writer_add(writer, FRAME_CONTROL_LAST, data, 100, out);
		out->data[out->len - 1] ^= 1;
	} else {
		return false;
	}
	return true;
}

/* The node goes on to send heartbeats until it does. */
static bool is_closed(int fd)
{
	const time_t begin = time(NULL);
	char data[4096];
	ssize_t got;

	do
		got = recv(fd, data, sizeof(data), 0);
	while (got > 0 && time(NULL) - begin < SECONDS);
	return got == 0 || (got < 0 && errno == ECONNRESET);
}

int main(int argc, char **argv)
{
	struct link_self self;
	struct link_writer writer;
	struct buffer out;
	struct id_hash hash;
	char error[200];
	int fd;

	if (argc != 4 || sodium_init() < 0)
		die("HOST:PORT KEYFILE nested|long|frame|flipped");
	if (cluster_key_load(argv[2], &self.key, error, sizeof(error)) != 0)
		die(error);
	crypto_sign_keypair(self.identity.public_key, self.identity.secret_key);
	id_hash_init(&hash);
	id_hash_add(&hash, self.identity.public_key, sizeof(self.identity.public_key));
	self.identity.node = id_hash_done(&hash);
	randombytes_buf(self.instance, sizeof(self.instance));
	buffer_init(&out);
	fd = dial(argv[1]);
	shake_hands(fd, &self, &writer, &out);
	if (!misbehave(argv[3], &writer, &out))
		die("nested, long, frame or flipped");
	write_all(fd, &out);
	buffer_done(&out);
	return is_closed(fd) ? 0 : 1;
}
