/* SPDX-License-Identifier: MIT */
/*
 * An answer of the HTTP API that says no: docs/api.md has the table of the codes.
 */
#ifndef OPTIMUS_DAEMON_API_ERROR_H
#define OPTIMUS_DAEMON_API_ERROR_H

#include <stdint.h>

#include "queue/message/template.h"

enum api_code {
	API_INVALID,
	API_TEMPLATE,
	API_RECIPIENT,
	API_DENIED,
	API_NOT_FOUND,
	API_METHOD,
	API_CONFLICT,
	API_AGAIN,
	API_FULL,
	API_CODES,
};

struct api_error {
	enum api_code code;
	uint64_t row;                   /* 0: not about a row */
	int line;                       /* of the template; 0: none */
	char field[FIELD_NAME_MAX + 1]; /* "": none */
	char text[512];                 /* one English sentence: what happened and what to do */
};

/* Sets code and text, and clears the rest. Cuts what is too long. */
__attribute__((format(printf, 3, 4))) void api_error_set(
    struct api_error *error, enum api_code code, const char *format, ...);
/* Names the field that the error is about; one that is too long to be a field is left out. */
void api_error_field(struct api_error *error, const char *field);

const char *api_code_name(enum api_code code);
unsigned api_code_status(enum api_code code);

#endif
