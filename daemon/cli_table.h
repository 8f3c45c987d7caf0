/* SPDX-License-Identifier: MIT */
/* Tables of text, aligned by what the characters take on a terminal. */
#ifndef OPTIMUS_DAEMON_CLI_TABLE_H
#define OPTIMUS_DAEMON_CLI_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

enum { TABLE_COLUMNS_MAX = 16 };

struct table;

/* `heads` has `columns` texts; those that begin with '>' stand for numbers, aligned to the right. */
struct table *table_new(const char *const *heads, size_t columns);
void table_free(struct table *table);
/* The next cell, row by row. Copied, cleaned of control characters. */
void table_add(struct table *table, const char *text);
__attribute__((format(printf, 2, 3))) void table_addf(struct table *table, const char *format, ...);
/* Prints heads and rows; heads in bold when `bold`. */
void table_print(const struct table *table, FILE *stream, bool bold);

/* Columns that the UTF-8 text takes; bytes that are no character count as one. */
int table_width(const char *text);

#endif
