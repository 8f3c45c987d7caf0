/* SPDX-License-Identifier: MIT */
/*
 * A store that forgets everything at the end of the program.
 *
 * Every key of docs/store.md is a row in one ordered tree, its values an array; the two sets are rows named
 * `uploads:<upload>` and `batches:<batch key>`. A write takes effect inside the call, its answer waits in a
 * line that an idle handle of the loop works off, so that nobody is called back inside his own call. A read
 * is answered with what was there when it was asked.
 */
#include "daemon/store_memory.h"

#include <bsd/string.h>
#include <bsd/sys/queue.h>
#include <bsd/sys/tree.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/squash.h"
#include "queue/error.h"
#include "queue/register.h"

enum { KEY_SIZE = 96 };

struct value {
	void *data;
	size_t len;
};

struct row {
	RB_ENTRY(row) node;
	char key[KEY_SIZE];
	struct value *values;
	size_t count;
};

RB_HEAD(rows, row);

struct answer {
	TAILQ_ENTRY(answer) link;
	store_read_fn *read; /* NULL: a write */
	void *context;
	uint64_t token;
	int status;
	struct row values; /* of a read */
};

TAILQ_HEAD(answers, answer);

struct store_memory {
	struct store store;
	uv_idle_t idle;
	struct rows rows;
	struct answers answers;
	size_t pending;
	unsigned int fail_count;
	int fail_status;
	bool held;
};

static int row_compare(const struct row *a, const struct row *b)
{
	return strcmp(a->key, b->key);
}

RB_GENERATE_INTERNAL(rows, row, node, row_compare, __attribute__((unused)) static)

static void *allocate(size_t size)
{
	void *memory = calloc(1, size);

	if (memory == NULL)
		abort();
	return memory;
}

static void row_add(struct row *row, const void *data, size_t len)
{
	struct value *value;

	/* Grows at the powers of two. */
	if ((row->count & (row->count - 1)) == 0) {
		size_t size = row->count == 0 ? 1 : row->count * 2;

		row->values = realloc(row->values, size * sizeof(*row->values));
		if (row->values == NULL)
			abort();
	}
	value = &row->values[row->count++];
	value->data = allocate(len + 1);
	value->len = len;
	if (len > 0)
		memcpy(value->data, data, len);
}

static void row_clear(struct row *row)
{
	for (size_t i = 0; i < row->count; i++)
		free(row->values[i].data);
	free(row->values);
	row->values = NULL;
	row->count = 0;
}

/* `rest` follows the name after a colon; both ids may be NULL. */
static void key_write(
    char key[KEY_SIZE], const char *name, const struct opt_id *id, const struct opt_id *upload)
{
	char hex[OPT_ID_HEX], upload_hex[OPT_ID_HEX] = "";

	if (upload != NULL)
		id_to_hex(upload, upload_hex);
	snprintf(key, KEY_SIZE, "%s:%s%s%s", name, id_to_hex(id, hex), upload != NULL ? ":" : "", upload_hex);
}

static struct row *row_find(struct store_memory *memory, const char *key)
{
	struct row wanted;

	strlcpy(wanted.key, key, sizeof(wanted.key));
	return RB_FIND(rows, &memory->rows, &wanted);
}

static struct row *row_get(struct store_memory *memory, const char *key)
{
	struct row *row = row_find(memory, key);

	if (row == NULL) {
		row = allocate(sizeof(*row));
		strlcpy(row->key, key, sizeof(row->key));
		RB_INSERT(rows, &memory->rows, row);
	}
	return row;
}

static void row_remove(struct store_memory *memory, struct row *row)
{
	RB_REMOVE(rows, &memory->rows, row);
	row_clear(row);
	free(row);
}

static void key_remove(struct store_memory *memory, const char *key)
{
	struct row *row = row_find(memory, key);

	if (row != NULL)
		row_remove(memory, row);
}

static void key_set(struct store_memory *memory, const char *key, const void *data, size_t len)
{
	struct row *row = row_get(memory, key);

	row_clear(row);
	row_add(row, data, len);
}

static void on_idle(uv_idle_t *idle)
{
	struct store_memory *memory = idle->data;
	size_t due = memory->pending; /* what is asked from inside a call back waits for the next turn */

	while (due-- > 0 && !memory->held && !uv_is_closing((uv_handle_t *)idle)) {
		struct answer *answer = TAILQ_FIRST(&memory->answers);
		size_t count = answer->values.count;

		TAILQ_REMOVE(&memory->answers, answer, link);
		memory->pending--;
		if (answer->read != NULL) {
			struct span *spans = allocate((count + 1) * sizeof(*spans));

			for (size_t i = 0; i < count; i++)
				spans[i] = (struct span){
				    answer->values.values[i].data, answer->values.values[i].len};
			answer->read(answer->context, answer->status, spans, count);
			free(spans);
		} else {
			memory->store.done(memory->store.done_context, answer->token, answer->status);
		}
		row_clear(&answer->values);
		free(answer);
	}
	if ((memory->pending == 0 || memory->held) && !uv_is_closing((uv_handle_t *)idle))
		uv_idle_stop(idle);
}

static struct answer *answer_add(struct store_memory *memory, int status)
{
	struct answer *answer = allocate(sizeof(*answer));

	answer->status = status;
	TAILQ_INSERT_TAIL(&memory->answers, answer, link);
	memory->pending++;
	if (!memory->held)
		uv_idle_start(&memory->idle, on_idle);
	return answer;
}

static int commit(struct store_memory *memory, const struct effect *effect)
{
	char key[KEY_SIZE];
	const struct row *row;

	key_write(key, "batch", &effect->id, NULL);
	row = row_find(memory, key);
	if (row != NULL && (row->values[0].len != effect->len ||
	                       memcmp(row->values[0].data, effect->data, effect->len) != 0))
		return OPT_E_CONFLICT;
	key_set(memory, key, effect->data, effect->len);
	key_write(key, "batches", &effect->id, NULL);
	key_set(memory, key, effect->text, strlen(effect->text));
	key_write(key, "uploads", &effect->upload, NULL);
	key_remove(memory, key);
	key_write(key, "registers", &effect->id, NULL);
	key_remove(memory, key);
	return 0;
}

static void set_upload(struct store_memory *memory, const struct effect *effect)
{
	char key[KEY_SIZE], batch[OPT_ID_HEX], node[OPT_ID_HEX], about[2 * OPT_ID_HEX];

	snprintf(
	    about, sizeof(about), "%s %s", id_to_hex(&effect->id, batch), id_to_hex(&effect->node, node));
	key_write(key, "uploads", &effect->upload, NULL);
	key_set(memory, key, about, strlen(about));
	key_write(key, "template", &effect->upload, NULL);
	key_set(memory, key, effect->data, effect->len);
}

static void set_register(struct store_memory *memory, const struct effect *effect)
{
	char key[KEY_SIZE];

	key_write(key, "registers", &effect->id, NULL);
	if (effect->len > 0)
		key_set(memory, key, effect->data, effect->len);
	else
		key_remove(memory, key);
}

static void set_sequence(struct store_memory *memory, uint64_t sequence)
{
	const struct opt_id id = register_sequence();
	char key[KEY_SIZE], number[SEQUENCE_TEXT];

	key_write(key, "registers", &id, NULL);
	register_sequence_text(sequence, number);
	key_set(memory, key, number, strlen(number));
}

/* Every key that starts or ends like this; nobody measures the speed of this store. */
static void drop_upload(struct store_memory *memory, const struct opt_id *upload)
{
	char hex[OPT_ID_HEX];
	struct row *row, *next;

	id_to_hex(upload, hex);
	for (row = RB_MIN(rows, &memory->rows); row != NULL; row = next) {
		const char *last = strrchr(row->key, ':');

		next = RB_NEXT(rows, &memory->rows, row);
		if (last == NULL || strcmp(last + 1, hex) != 0)
			continue;
		if (strncmp(row->key, "shard:", 6) == 0 || strncmp(row->key, "template:", 9) == 0 ||
		    strncmp(row->key, "uploads:", 8) == 0)
			row_remove(memory, row);
	}
}

static void squash(struct store_memory *memory, const char *key)
{
	struct row *row = row_find(memory, key);
	struct squash_list list;
	struct buffer packed;

	if (row == NULL || (row->count == 1 && squash_is(row->values[0].data, row->values[0].len)))
		return;
	squash_list_init(&list);
	buffer_init(&packed);
	for (size_t i = 0; i < row->count; i++)
		if (squash_list_add(&list, row->values[i].data, row->values[i].len) != 0)
			goto fail_list;
	if (squash_pack(list.entries, list.count, &packed) == 0)
		key_set(memory, key, packed.data, packed.len);

fail_list:
	buffer_done(&packed);
	squash_list_done(&list);
}

static int write_effect(struct store_memory *memory, const struct effect *effect)
{
	char key[KEY_SIZE];

	switch (effect->type) {
	case EFFECT_STORE_UPLOAD:
		set_upload(memory, effect);
		return 0;
	case EFFECT_STORE_REGISTER:
		set_register(memory, effect);
		return 0;
	case EFFECT_STORE_SHARD:
		key_write(key, "shard", &effect->id, &effect->upload);
		key_set(memory, key, effect->data, effect->len);
		return 0;
	case EFFECT_STORE_COMMIT:
		return commit(memory, effect);
	case EFFECT_STORE_DROP_UPLOAD:
		drop_upload(memory, &effect->upload);
		return 0;
	case EFFECT_STORE_APPEND:
		key_write(key, "journal", &effect->id, NULL);
		row_add(row_get(memory, key), effect->data, effect->len);
		return 0;
	case EFFECT_STORE_SQUASH:
		key_write(key, "journal", &effect->id, NULL);
		squash(memory, key);
		return 0;
	default:
		abort(); /* not for the store */
	}
}

static void memory_apply(struct store *store, const struct effect *effect)
{
	struct store_memory *memory = (struct store_memory *)store;
	int status;

	if (memory->fail_count > 0) {
		memory->fail_count--;
		status = memory->fail_status;
	} else {
		status = write_effect(memory, effect);
		if (effect->sequence > 0)
			set_sequence(memory, effect->sequence);
	}
	answer_add(memory, status)->token = effect->token;
}

static struct answer *read_add(struct store *store, int status, store_read_fn *fn, void *context)
{
	struct answer *answer = answer_add((struct store_memory *)store, status);

	answer->read = fn;
	answer->context = context;
	return answer;
}

static void read_key(struct store *store, const char *key, store_read_fn *fn, void *context)
{
	const struct row *row = row_find((struct store_memory *)store, key);
	struct answer *answer = read_add(store, row != NULL ? 0 : OPT_E_NOT_FOUND, fn, context);

	if (row != NULL)
		row_add(&answer->values, row->values[0].data, row->values[0].len);
}

static void memory_read_journal(
    struct store *store, const struct opt_id *id, store_read_fn *fn, void *context)
{
	struct answer *answer = read_add(store, 0, fn, context);
	struct squash_list list;
	const struct row *row;
	char key[KEY_SIZE];

	key_write(key, "journal", id, NULL);
	row = row_find((struct store_memory *)store, key);
	if (row == NULL)
		return;
	squash_list_init(&list);
	for (size_t i = 0; i < row->count && answer->status == 0; i++)
		answer->status =
		    squash_list_add(&list, row->values[i].data, row->values[i].len) != 0 ? OPT_E_INVALID : 0;
	for (size_t i = 0; i < list.count && answer->status == 0; i++)
		row_add(&answer->values, list.entries[i].data, list.entries[i].len);
	squash_list_done(&list);
}

static void memory_read_shard(struct store *store, const struct opt_id *shard, const struct opt_id *upload,
    store_read_fn *fn, void *context)
{
	char key[KEY_SIZE];

	key_write(key, "shard", shard, upload);
	read_key(store, key, fn, context);
}

static void memory_read_template(
    struct store *store, const struct opt_id *upload, store_read_fn *fn, void *context)
{
	char key[KEY_SIZE];

	key_write(key, "template", upload, NULL);
	read_key(store, key, fn, context);
}

/* All rows whose key starts with `prefix`: their values, with `keys` the rest of their keys before each. */
static void read_prefix(struct store *store, const char *prefix, bool keys, store_read_fn *fn, void *context)
{
	struct answer *answer = read_add(store, 0, fn, context);
	struct row *row;

	RB_FOREACH (row, rows, &((struct store_memory *)store)->rows) {
		if (strncmp(row->key, prefix, strlen(prefix)) != 0)
			continue;
		if (keys)
			row_add(
			    &answer->values, row->key + strlen(prefix), strlen(row->key) - strlen(prefix));
		row_add(&answer->values, row->values[0].data, row->values[0].len);
	}
}

static void memory_read_batches(struct store *store, store_read_fn *fn, void *context)
{
	read_prefix(store, "batch:", false, fn, context);
}

static void memory_read_uploads(struct store *store, store_read_fn *fn, void *context)
{
	read_prefix(store, "uploads:", true, fn, context);
}

static void memory_read_registers(struct store *store, store_read_fn *fn, void *context)
{
	read_prefix(store, "registers:", true, fn, context);
}

static void on_close(uv_handle_t *handle)
{
	struct store_memory *memory = handle->data;
	struct row *row;
	struct answer *answer;

	while ((row = RB_ROOT(&memory->rows)) != NULL)
		row_remove(memory, row);
	while ((answer = TAILQ_FIRST(&memory->answers)) != NULL) {
		TAILQ_REMOVE(&memory->answers, answer, link);
		row_clear(&answer->values);
		free(answer);
	}
	free(memory);
}

static void memory_free(struct store *store)
{
	uv_close((uv_handle_t *)&((struct store_memory *)store)->idle, on_close);
}

static const struct store_table memory_table = {
    .apply = memory_apply,
    .read_journal = memory_read_journal,
    .read_shard = memory_read_shard,
    .read_template = memory_read_template,
    .read_batches = memory_read_batches,
    .read_uploads = memory_read_uploads,
    .read_registers = memory_read_registers,
    .free = memory_free,
};

struct store *store_memory_new(uv_loop_t *loop, store_done_fn *done, void *context)
{
	struct store_memory *memory = allocate(sizeof(*memory));

	memory->store = (struct store){.table = &memory_table, .done = done, .done_context = context};
	RB_INIT(&memory->rows);
	TAILQ_INIT(&memory->answers);
	uv_idle_init(loop, &memory->idle);
	memory->idle.data = memory;
	return &memory->store;
}

void store_memory_fail(struct store *store, unsigned int count, int status)
{
	((struct store_memory *)store)->fail_count = count;
	((struct store_memory *)store)->fail_status = status;
}

void store_memory_hold(struct store *store, bool hold)
{
	struct store_memory *memory = (struct store_memory *)store;

	memory->held = hold;
	if (!hold && memory->pending > 0)
		uv_idle_start(&memory->idle, on_idle);
}

size_t store_memory_pending(const struct store *store)
{
	return ((const struct store_memory *)store)->pending;
}
