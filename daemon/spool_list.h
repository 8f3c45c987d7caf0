/* SPDX-License-Identifier: MIT */
/*
 * Runs optimus-spool and reads what it prints: what is in Postfix's spool, by attempt.
 */
#ifndef OPTIMUS_DAEMON_SPOOL_LIST_H
#define OPTIMUS_DAEMON_SPOOL_LIST_H

#include <stdbool.h>
#include <stddef.h>
#include <uv.h>

#include "queue/event.h"

struct spool_list {
	struct spool_entry *entries; /* files with an attempt key */
	size_t count;
	bool nameless_writing; /* a file is being written that has no key yet: look again */
	bool nameless_tried;   /* one in active or aside has none: it is damaged */
};

/* status: 0 or OPT_E_IO. The list is borrowed for the call. */
typedef void spool_list_fn(void *context, int status, const struct spool_list *list);

/* Lists the spool of the instance in `dir`; `program` is the path of optimus-spool. */
void spool_list_run(uv_loop_t *loop, const char *program, const char *dir, spool_list_fn *fn, void *context);
/* How many files one process is given to remove: far below the limit for arguments. */
enum { SPOOL_REMOVE_MAX = 200 };
/* status: 0, or OPT_E_IO when at least one of the files may still be there. */
typedef void spool_removed_fn(void *context, int status);
/* Removes files ("queue/id"), at most SPOOL_REMOVE_MAX, which are borrowed for the call. */
void spool_remove_run(uv_loop_t *loop, const char *program, const char *dir, const char *const *files,
    size_t count, spool_removed_fn *fn, void *context);

/* Reads the lines of a listing, in place. Frees nothing of `list`'s former content; free(list->entries)
 * after. */
void spool_list_parse(char *text, struct spool_list *ret_list);

#endif
