/* SPDX-License-Identifier: MIT */
/*
 * Postfix tells the trace service which host it talked to in front of the remote's words. The name of a relay
 * holds no space and no ": " ("mx.example.com[192.0.2.1]:25"); a Unix-domain or empty one comes the same way.
 */
#include "postfix-glue/reason.h"

#include <string.h>

#define RELAY_PREFIX   "delivery via "
#define ATTEMPT_PREFIX "x-optimus;"

void reason_split(char *text, const char **ret_relay, const char **ret_words)
{
	size_t prefix = strlen(RELAY_PREFIX);
	char *end;

	*ret_relay = "";
	*ret_words = text;
	if (strncmp(text, RELAY_PREFIX, prefix) != 0)
		return;
	end = strstr(text + prefix, ": ");
	if (!end)
		return;
	*end = '\0';
	*ret_relay = text + prefix;
	*ret_words = end + 2;
}

const char *reason_attempt(const char *original_recipient)
{
	size_t prefix = strlen(ATTEMPT_PREFIX);

	if (strncmp(original_recipient, ATTEMPT_PREFIX, prefix) != 0)
		return "";
	return original_recipient + prefix;
}
