/* SPDX-License-Identifier: MIT */
/*
 * A new cluster key: 32 random bytes as one line of text, "optimus-key-1:" and their base64. The prefix tells
 * a key from other files and leaves room for another kind. The bytes are wiped after use.
 */
#include <sodium.h>
#include <stdio.h>

#include "daemon/cli_keygen.h"
#include "daemon/cli_say.h"

enum { KEY_SIZE = 32 };

int keygen_run(void)
{
	unsigned char key[KEY_SIZE];
	char text[sodium_base64_ENCODED_LEN(KEY_SIZE, sodium_base64_VARIANT_ORIGINAL)];

	if (sodium_init() < 0) {
		say("the random generator is not available");
		return CLI_OS;
	}
	randombytes_buf(key, sizeof key);
	sodium_bin2base64(text, sizeof text, key, sizeof key, sodium_base64_VARIANT_ORIGINAL);
	printf("optimus-key-1:%s\n", text);
	sodium_memzero(key, sizeof key);
	sodium_memzero(text, sizeof text);
	return say_flush(NULL);
}
