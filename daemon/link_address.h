/* SPDX-License-Identifier: MIT */
/*
 * Addresses of links: HOST:PORT or [IPv6]:PORT as text.
 */
#ifndef OPTIMUS_DAEMON_LINK_ADDRESS_H
#define OPTIMUS_DAEMON_LINK_ADDRESS_H

#include <stdint.h>
#include <netdb.h>
#include <sys/socket.h>

enum { LINK_HOST_MAX = 255, LINK_ADDRESS_SIZE = LINK_HOST_MAX + 10 /* brackets, port, NUL */ };

struct link_address {
	char host[LINK_HOST_MAX + 1]; /* without brackets */
	char port[6];
};

/* Who counts as one source of connections: an IPv4 address, or a /64 of IPv6. */
struct link_source {
	uint8_t bytes[16];
};

/* OPT_E_INVALID when it is neither; a port is a number up to 65535. */
int link_address_parse(const char *text, struct link_address *ret_address);
/* The addresses of a host that is written as numbers, to be freed with freeaddrinfo(); NULL for a name. */
struct addrinfo *link_address_numbers(const struct link_address *address);
/* Writes numbers. Returns text. */
char *link_address_text(const struct sockaddr *address, char text[LINK_ADDRESS_SIZE]);
struct link_source link_address_source(const struct sockaddr *address);

#endif
