/* SPDX-License-Identifier: MIT */
/*
 * Any text is read as the key of an attempt, as an id, as a batch's name, and as what Postfix says of a
 * delivery. A key that is taken is written as the same text again, but for the case of its hex digits.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "queue/id.h"
#include "queue/mail.h"
#include "queue/outcome.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	char *text = strndup((const char *)data, len), again[ATTEMPT_TEXT_MAX], hex[OPT_ID_HEX];
	struct attempt_key key;
	enum mail_state state;
	struct opt_id id;

	if (text == NULL)
		abort();
	if (attempt_from_text(text, &key) == 0 && strcasecmp(attempt_to_text(&key, again), text) != 0)
		abort();
	/* id_from_hex() reads the digit behind the id: that is there, if only as the NUL. */
	if (id_from_hex(text, &id) == 0 && strncasecmp(id_to_hex(&id, hex), text, OPT_ID_HEX - 1) != 0)
		abort();
	if (batch_name_valid(text) && (strlen(text) > BATCH_NAME_MAX || strpbrk(text, "/ \r\n") != NULL))
		abort();
	if (mail_state_parse(text, &state) == 0 && strcmp(mail_state_name(state), text) != 0)
		abort();
	if (outcome_classify("relayed", "2.0.0", text) != OUTCOME_SENT ||
	    outcome_classify("failed", "5.0.0", text) != OUTCOME_BOUNCED ||
	    outcome_final(outcome_classify("delayed", "4.3.0", text)))
		abort();
	free(text);
	return 0;
}
