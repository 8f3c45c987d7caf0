/* SPDX-License-Identifier: MIT */
/*
 * Takes HOST:PORT apart. Strict, since the text may come from another node: letters, digits, '.', '-', '_' in
 * a name; hex digits, ':', '.' and a zone behind '%' in brackets; a port without sign, space or leading zero.
 */
#include "dht/endpoint.h"

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "queue/error.h"

static const char name_letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_";
static const char inside_brackets[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_:%";

static int parse_port(const char *text, char port[ENDPOINT_PORT_SIZE])
{
	size_t len = strlen(text);
	uint32_t number = 0;

	if (len == 0 || len >= ENDPOINT_PORT_SIZE || strspn(text, "0123456789") != len || text[0] == '0')
		return OPT_E_INVALID;
	for (size_t i = 0; i < len; i++)
		number = number * 10 + (uint32_t)(text[i] - '0');
	if (number > UINT16_MAX)
		return OPT_E_INVALID;
	memcpy(port, text, len + 1);
	return 0;
}

int endpoint_parse(const char *text, struct endpoint *ret_endpoint)
{
	struct endpoint endpoint;
	const char *colon = strrchr(text, ':');
	const char *host = text;
	const char *letters = name_letters;
	size_t len;

	if (colon == NULL)
		return OPT_E_INVALID;
	len = (size_t)(colon - text);
	if (len > 2 && text[0] == '[' && colon[-1] == ']') {
		host++;
		len -= 2;
		letters = inside_brackets;
	}
	if (len == 0 || len >= ENDPOINT_HOST_SIZE || strspn(host, letters) < len || host[0] == '-')
		return OPT_E_INVALID;
	memcpy(endpoint.host, host, len);
	endpoint.host[len] = '\0';
	if (parse_port(colon + 1, endpoint.port) != 0)
		return OPT_E_INVALID;
	*ret_endpoint = endpoint;
	return 0;
}
