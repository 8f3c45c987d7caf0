/* SPDX-License-Identifier: MIT */
/*
 * Any text is judged as an address and put into a sender by VERP. What is taken has no character that could
 * end an SMTP command or a header.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "queue/message/address.h"
#include "queue/message/template.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	char *text = strndup((const char *)data, len), domain[ADDRESS_MAX + 1];
	struct buffer out;

	buffer_init(&out);
	address_domain(text, domain);
	if (address_problem(text) == NULL) {
		if (strlen(text) > ADDRESS_MAX || strpbrk(text, "\r\n") != NULL || domain[0] == '\0')
			abort();
		if (sender_expand("bounce+{{verp}}@example.org", text, &out) == 0 &&
		    strpbrk(buffer_text(&out), "\r\n") != NULL)
			abort();
	}
	buffer_clear(&out);
	if (sender_expand(text, "jane@example.com", &out) == 0 && strpbrk(buffer_text(&out), "\r\n") != NULL)
		abort();
	buffer_done(&out);
	free(text);
	return 0;
}
