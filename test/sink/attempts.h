/* SPDX-License-Identifier: MIT */
/*
 * Counts how often something was tried, by a text (a recipient and what is counted about it).
 */
#ifndef OPTIMUS_SINK_ATTEMPTS_H
#define OPTIMUS_SINK_ATTEMPTS_H

#include <stdint.h>

struct attempts;

struct attempts *attempts_new(void);
void attempts_free(struct attempts *attempts);
/* Adds one try of `text`, whose case does not matter, in the name space `kind`; returns how many that makes.
 */
uint32_t attempts_count(struct attempts *attempts, int kind, const char *text);

#endif
