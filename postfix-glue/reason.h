/* SPDX-License-Identifier: MIT */
/*
 * What Postfix's trace records say, taken apart.
 */
#ifndef OPTIMUS_GLUE_REASON_H
#define OPTIMUS_GLUE_REASON_H

/*
 * Splits "delivery via RELAY: WORDS" in place. *ret_relay and *ret_words point into `text`, or to "" where
 * there is no relay because nobody was connected to.
 */
void reason_split(char *text, const char **ret_relay, const char **ret_words);

/* The attempt text inside a DSN original recipient, or "" when it isn't one of ours. */
const char *reason_attempt(const char *original_recipient);

#endif
