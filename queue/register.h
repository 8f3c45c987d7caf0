/* SPDX-License-Identifier: MIT */
/*
 * The registers that a home keeps, and their bytes:
 *
 *   [ version = 1, [round, node] promised, [round, node] accepted, upload, record, [ aborted upload, ... ] ]
 *
 * Upload and record are what was accepted; an empty record is the abort of the upload.
 */
#ifndef OPTIMUS_QUEUE_REGISTER_H
#define OPTIMUS_QUEUE_REGISTER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "queue/peer.h"
#include "queue/tree.h"

enum { REGISTER_ABORTED_MAX = 1000 /* the latest ones are kept */ };

struct reg {
	RB_ENTRY(reg) node;
	struct opt_id batch;
	struct ballot promised;
	struct ballot accepted; /* round 0: nothing */
	struct opt_id upload;
	void *record;
	size_t len;
	struct opt_id *aborted;
	uint32_t aborted_count;
	struct ballot watched; /* of queue/homefinish.c: `accepted`, and since when it is that */
	struct boot_time watched_since;
	/* Of queue/homesync.c: homes that have the record instead, as they said since the latest push of this
	 * began.
	 */
	const struct peer *stands[REPLICAS_MAX];
	uint32_t stands_count;
};
RB_HEAD(reg_tree, reg);

/* Under this id a store has, among the registers, the mark of a node that knows what was decided: in the
 * record's place the ids of the members that may have decided something (home_mark()). */
struct opt_id register_mark(void);

/* Under this id it has, also among the registers, its sequence (queue/lost_writes.h): a decimal number. The
 * second one writes it and returns `text`. */
enum { SEQUENCE_TEXT = 24 };
struct opt_id register_sequence(void);
const char *register_sequence_text(uint64_t sequence, char text[SEQUENCE_TEXT]);

struct reg *register_find(struct reg_tree *tree, const struct opt_id *batch);
/* The one behind that batch; NULL: the first. */
struct reg *register_after(struct reg_tree *tree, const struct opt_id *batch);
/* The batch's register, empty when it is new. */
struct reg *register_of(struct reg_tree *tree, const struct opt_id *batch);
void register_free(struct reg_tree *tree, struct reg *reg);

bool register_has_aborted(const struct reg *reg, const struct opt_id *upload);
/* Takes what was proposed under the ballot: the record of `upload`, or with len = 0 its abort. */
void register_accept(struct reg *reg, const struct ballot *ballot, const struct opt_id *upload,
    const void *record, size_t len);
/* Takes in what another home has: aborts, higher promises, and what was accepted under a higher ballot. */
void register_merge(struct reg *into, const struct reg *other);

void register_encode(const struct reg *reg, struct buffer *out);
/* Any bytes may come. On success free *ret_reg's insides with register_done(). */
int register_decode(const void *data, size_t len, struct reg *ret_reg);
void register_done(struct reg *reg);

#endif
