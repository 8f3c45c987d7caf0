/* SPDX-License-Identifier: MIT */
/* Registers in an ordered tree, and their bytes. What may be put into one is decided in home.c. */
#include "queue/register.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "queue/cursor.h"
#include "queue/error.h"

enum { REGISTER_VERSION = 1, REGISTER_ITEMS = 6 };

static int compare(const struct reg *a, const struct reg *b)
{
	return id_compare(&a->batch, &b->batch);
}

RB_GENERATE_STATIC(reg_tree, reg, node, compare)

struct opt_id register_mark(void)
{
	struct id_hash hash;

	id_hash_init(&hash);
	id_hash_add(&hash, "optimus home", 12);
	return id_hash_done(&hash);
}

struct opt_id register_sequence(void)
{
	struct id_hash hash;

	id_hash_init(&hash);
	id_hash_add(&hash, "optimus sequence", 16);
	return id_hash_done(&hash);
}

const char *register_sequence_text(uint64_t sequence, char text[SEQUENCE_TEXT])
{
	snprintf(text, SEQUENCE_TEXT, "%" PRIu64, sequence);
	return text;
}

struct reg *register_find(struct reg_tree *tree, const struct opt_id *batch)
{
	struct reg wanted = {.batch = *batch};

	return RB_FIND(reg_tree, tree, &wanted);
}

struct reg *register_after(struct reg_tree *tree, const struct opt_id *batch)
{
	struct reg wanted = {.batch = {{0}}};
	struct reg *found;

	if (batch == NULL)
		return RB_MIN(reg_tree, tree);
	wanted.batch = *batch;
	found = RB_NFIND(reg_tree, tree, &wanted);
	return found != NULL && id_equal(&found->batch, batch) ? RB_NEXT(reg_tree, tree, found) : found;
}

struct reg *register_of(struct reg_tree *tree, const struct opt_id *batch)
{
	struct reg *reg = register_find(tree, batch);

	if (reg != NULL)
		return reg;
	reg = calloc(1, sizeof(*reg));
	if (reg == NULL)
		opt_abort("out of memory");
	reg->batch = *batch;
	RB_INSERT(reg_tree, tree, reg);
	return reg;
}

void register_done(struct reg *reg)
{
	free(reg->record);
	free(reg->aborted);
}

void register_free(struct reg_tree *tree, struct reg *reg)
{
	RB_REMOVE(reg_tree, tree, reg);
	register_done(reg);
	free(reg);
}

bool register_has_aborted(const struct reg *reg, const struct opt_id *upload)
{
	for (uint32_t i = 0; i < reg->aborted_count; i++) {
		if (id_equal(&reg->aborted[i], upload))
			return true;
	}
	return false;
}

static void add_aborted(struct reg *reg, const struct opt_id *upload)
{
	if (register_has_aborted(reg, upload))
		return;
	if (reg->aborted_count == REGISTER_ABORTED_MAX)
		memmove(reg->aborted, reg->aborted + 1, --reg->aborted_count * sizeof(*reg->aborted));
	reg->aborted = reallocarray(reg->aborted, reg->aborted_count + 1, sizeof(*reg->aborted));
	if (reg->aborted == NULL)
		opt_abort("out of memory");
	reg->aborted[reg->aborted_count++] = *upload;
}

void register_accept(
    struct reg *reg, const struct ballot *ballot, const struct opt_id *upload, const void *record, size_t len)
{
	void *copy = NULL;

	if (len > 0) {
		copy = malloc(len);
		if (copy == NULL)
			opt_abort("out of memory");
		memcpy(copy, record, len);
	} else {
		add_aborted(reg, upload);
	}
	free(reg->record);
	reg->accepted = *ballot;
	reg->upload = *upload;
	reg->record = copy;
	reg->len = len;
}

void register_merge(struct reg *into, const struct reg *other)
{
	for (uint32_t i = 0; i < other->aborted_count; i++)
		add_aborted(into, &other->aborted[i]);
	/* Who holds `into` may have promised it, too, and have lost that; too much is always safe. */
	if (ballot_compare(&other->promised, &into->promised) > 0)
		into->promised = other->promised;
	if (ballot_compare(&other->accepted, &into->accepted) > 0)
		register_accept(into, &other->accepted, &other->upload, other->record, other->len);
}

void register_encode(const struct reg *reg, struct buffer *out)
{
	msgpack_packer pk;

	pack_to(&pk, out);
	msgpack_pack_array(&pk, REGISTER_ITEMS);
	msgpack_pack_uint32(&pk, REGISTER_VERSION);
	ballot_pack(&pk, &reg->promised);
	ballot_pack(&pk, &reg->accepted);
	pack_id(&pk, &reg->upload);
	msgpack_pack_bin(&pk, reg->len);
	msgpack_pack_bin_body(&pk, reg->record, reg->len);
	msgpack_pack_array(&pk, reg->aborted_count);
	for (uint32_t i = 0; i < reg->aborted_count; i++)
		pack_id(&pk, &reg->aborted[i]);
}

int register_decode(const void *data, size_t len, struct reg *ret_reg)
{
	struct cursor c = cursor_over(data, len);
	struct reg reg = {.len = 0};
	const void *record;
	uint32_t aborted;

	cursor_array_of(&c, REGISTER_ITEMS);
	if (cursor_uint(&c, REGISTER_VERSION) != REGISTER_VERSION)
		return OPT_E_INVALID;
	reg.promised = ballot_read(&c);
	reg.accepted = ballot_read(&c);
	reg.upload = cursor_id(&c);
	record = cursor_bytes(&c, PEER_MESSAGE_MAX, &reg.len);
	if (reg.len > 0) {
		reg.record = malloc(reg.len);
		if (reg.record == NULL)
			opt_abort("out of memory");
		memcpy(reg.record, record, reg.len);
	}
	aborted = cursor_array(&c, REGISTER_ABORTED_MAX);
	for (uint32_t i = 0; i < aborted && !c.failed; i++) {
		struct opt_id upload = cursor_id(&c);

		add_aborted(&reg, &upload);
	}
	if (cursor_end(&c) != 0) {
		register_done(&reg);
		return OPT_E_INVALID;
	}
	*ret_reg = reg;
	return 0;
}
