/* SPDX-License-Identifier: MIT */
/*
 * The errors of the HTTP API: their words and their HTTP status. Pure; nothing can fail.
 */
#include "daemon/api_error.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static const struct {
	const char *name;
	unsigned status;
} codes[API_CODES] = {
    [API_INVALID] = {"invalid", 422},
    [API_TEMPLATE] = {"template", 422},
    [API_RECIPIENT] = {"recipient", 422},
    [API_DENIED] = {"denied", 403},
    [API_NOT_FOUND] = {"not_found", 404},
    [API_METHOD] = {"method", 405},
    [API_CONFLICT] = {"conflict", 409},
    [API_AGAIN] = {"again", 503},
    [API_FULL] = {"full", 507},
};

void api_error_set(struct api_error *error, enum api_code code, const char *format, ...)
{
	va_list arguments;

	*error = (struct api_error){.code = code};
	va_start(arguments, format);
	vsnprintf(error->text, sizeof error->text, format, arguments);
	va_end(arguments);
}

void api_error_field(struct api_error *error, const char *field)
{
	if (strlen(field) <= FIELD_NAME_MAX)
		strcpy(error->field, field);
}

const char *api_code_name(enum api_code code)
{
	return codes[code].name;
}

unsigned api_code_status(enum api_code code)
{
	return codes[code].status;
}
