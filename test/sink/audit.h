/* SPDX-License-Identifier: MIT */
/*
 * Compares three lists: what was submitted, what the sender reports, what the sink's ledger holds.
 */
#ifndef OPTIMUS_SINK_AUDIT_H
#define OPTIMUS_SINK_AUDIT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct audit;

struct audit_result {
	uint64_t submitted;
	uint64_t reported; /* lines of the report */
	uint64_t received; /* different messages in the ledger */
	uint64_t sent;     /* reported states */
	uint64_t bounced;
	uint64_t other;          /* reported in another final state */
	uint64_t missing;        /* reported sent, not in the ledger */
	uint64_t lost;           /* submitted, in no final state of the report */
	uint64_t duplicates;     /* messages that the ledger holds once too often, each time counted */
	uint64_t dropped_before; /* the same, where an answer could not reach the sender */
	uint64_t foreign;        /* in the ledger, not submitted */
	uint64_t mismatch;  /* reported as not sent, but answered as accepted; or reported, not submitted */
	uint64_t malformed; /* lines that could not be read */
};

struct audit *audit_new(void);
void audit_free(struct audit *audit);

/* One address that was submitted; as often as it was. */
void audit_submitted(struct audit *audit, const char *email, size_t len);
/* One line of the ledger, without its line end. */
void audit_ledger_line(struct audit *audit, const char *line, size_t len);
/* One line of a report. */
void audit_reported(struct audit *audit, const char *email, size_t email_len, const char *state,
    const char *message_id, size_t message_id_len);
void audit_malformed(struct audit *audit);

/* Compares what was given. Without a report every submitted mail is taken as reported sent. */
struct audit_result audit_compare(const struct audit *audit, bool with_report);
/* Whether every mail is accounted for. Duplicates are counted, not judged. */
bool audit_clean(const struct audit_result *result);

#endif
