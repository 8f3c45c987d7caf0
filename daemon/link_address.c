/* SPDX-License-Identifier: MIT */
/*
 * Text and socket addresses. An IPv4 address that came over an IPv6 socket counts, and reads, as what it is.
 */
#include "daemon/link_address.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "queue/error.h"

int link_address_parse(const char *text, struct link_address *ret_address)
{
	const char *colon = strrchr(text, ':');
	const char *host = text;
	struct link_address address;
	size_t len, digits;

	if (colon == NULL)
		return OPT_E_INVALID;
	digits = strspn(colon + 1, "0123456789");
	len = (size_t)(colon - text);
	if (*text == '[') {
		if (len < 3 || text[len - 1] != ']')
			return OPT_E_INVALID;
		host++;
		len -= 2;
	} else if (memchr(text, ':', len) != NULL) {
		return OPT_E_INVALID;
	}
	if (len == 0 || len > LINK_HOST_MAX || digits == 0 || digits > 5 || colon[1 + digits] != '\0' ||
	    strtoul(colon + 1, NULL, 10) > UINT16_MAX)
		return OPT_E_INVALID;
	memcpy(address.host, host, len);
	address.host[len] = '\0';
	memcpy(address.port, colon + 1, digits + 1);
	*ret_address = address;
	return 0;
}

struct addrinfo *link_address_numbers(const struct link_address *address)
{
	const struct addrinfo hints = {
	    .ai_flags = AI_NUMERICHOST | AI_NUMERICSERV, .ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
	struct addrinfo *result = NULL;

	return getaddrinfo(address->host, address->port, &hints, &result) == 0 ? result : NULL;
}

char *link_address_text(const struct sockaddr *address, char text[LINK_ADDRESS_SIZE])
{
	const struct sockaddr_in *v4 = (const struct sockaddr_in *)address;
	const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)address;
	char host[INET6_ADDRSTRLEN] = "";

	if (address->sa_family == AF_INET) {
		inet_ntop(AF_INET, &v4->sin_addr, host, sizeof(host));
		snprintf(text, LINK_ADDRESS_SIZE, "%s:%u", host, ntohs(v4->sin_port));
	} else if (address->sa_family == AF_INET6 && IN6_IS_ADDR_V4MAPPED(&v6->sin6_addr)) {
		inet_ntop(AF_INET, v6->sin6_addr.s6_addr + 12, host, sizeof(host));
		snprintf(text, LINK_ADDRESS_SIZE, "%s:%u", host, ntohs(v6->sin6_port));
	} else if (address->sa_family == AF_INET6) {
		inet_ntop(AF_INET6, &v6->sin6_addr, host, sizeof(host));
		snprintf(text, LINK_ADDRESS_SIZE, "[%s]:%u", host, ntohs(v6->sin6_port));
	} else {
		snprintf(text, LINK_ADDRESS_SIZE, "?");
	}
	return text;
}

struct link_source link_address_source(const struct sockaddr *address)
{
	const struct sockaddr_in *v4 = (const struct sockaddr_in *)address;
	const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)address;
	struct link_source source = {{0}};

	/* As an IPv4 address mapped into IPv6; a /64 has zeros there, so the two never meet. */
	if (address->sa_family == AF_INET)
		memcpy(source.bytes + 12, &v4->sin_addr, 4);
	else if (IN6_IS_ADDR_V4MAPPED(&v6->sin6_addr))
		memcpy(source.bytes + 12, v6->sin6_addr.s6_addr + 12, 4);
	else
		memcpy(source.bytes, v6->sin6_addr.s6_addr, 8);
	return source;
}
