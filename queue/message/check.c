/* SPDX-License-Identifier: MIT */
/*
 * Judges the values of one recipient before they are merged.
 *
 * What a value may be depends on where the template uses it; the compiler has collected that for each field.
 * A value that would let its owner write headers, add recipients or break the message is refused here, so
 * that rendering need not ask.
 */
#include "queue/message/template.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "queue/error.h"
#include "queue/message/address.h"
#include "queue/message/program.h"
#include "queue/message/utf8.h"

static bool is_printable(const char *text, bool angle)
{
	for (; *text != '\0'; text++) {
		if (*text < ' ' || *text > '~')
			return false;
		if (angle && (*text == ' ' || *text == '<' || *text == '>'))
			return false;
	}
	return true;
}

static bool is_address_part(const char *text)
{
	for (; *text != '\0'; text++) {
		if (!address_is_atext((unsigned char)*text) && *text != '.' && *text != '@')
			return false;
	}
	return true;
}

const char *value_problem(const char *value, unsigned int use)
{
	if ((use & USE_HEADER) != 0) {
		if (strpbrk(value, "\r\n") != NULL)
			return "has a line break in it, which can't stand in a header";
		if (strlen(value) > HEADER_VALUE_MAX)
			return "is longer than the 4096 octets that a header takes";
	}
	if ((use & (USE_ADDRESS_PART | USE_PLAIN)) != 0 && strlen(value) > PLAIN_VALUE_MAX)
		return "is longer than the 900 octets that can stand in this header";
	if ((use & USE_ADDRESS) != 0 && address_problem(value) != NULL)
		return "is no e-mail address, and stands where one must be";
	if ((use & USE_ADDRESS_PART) != 0 && !is_address_part(value))
		return "has a character that can't stand within an address";
	if ((use & USE_ANGLE) != 0 && !is_printable(value, true))
		return "has a character that can't stand between < and > in a header";
	if ((use & USE_PLAIN) != 0 && !is_printable(value, false))
		return "has a character outside ASCII, which this header can't encode";
	return NULL;
}

__attribute__((format(printf, 3, 4))) static int refuse(
    struct template_error *error, const char *field, const char *format, ...)
{
	va_list args;

	*error = (struct template_error){0};
	snprintf(error->field, sizeof(error->field), "%s", field);
	va_start(args, format);
	vsnprintf(error->text, sizeof(error->text), format, args);
	va_end(args);
	return OPT_E_INVALID;
}

static int check_address(
    const struct template *template, const struct template_values *values, struct template_error *ret_error)
{
	const char *problem = address_problem(values->email);
	struct buffer verp;

	if (problem != NULL)
		return refuse(ret_error, "email", "the address is not valid: %s", problem);
	problem = value_problem(values->email, template->email_use);
	if (problem != NULL)
		return refuse(ret_error, "email", "the value %s", problem);
	if (template->verp_use == 0)
		return 0;
	buffer_init(&verp);
	address_add_verp(&verp, values->email);
	problem = value_problem(buffer_text(&verp), template->verp_use);
	buffer_done(&verp);
	return problem == NULL ? 0 : refuse(ret_error, "verp", "the value %s", problem);
}

int template_check_values(
    const struct template *template, const struct template_values *values, struct template_error *ret_error)
{
	int result = check_address(template, values, ret_error);

	if (result != 0)
		return result;
	if (values->message_id[0] == '\0' || !is_printable(values->message_id, true))
		return refuse(ret_error, "", "the message id can't stand in a header");
	if (!is_printable(values->date, false))
		return refuse(ret_error, "", "the date can't stand in a header");
	for (size_t i = 0; i < template->field_count; i++) {
		const struct field *field = &template->fields[i];
		const char *value = values->fields[i];
		const char *problem;

		if (value == NULL) {
			if ((field->use & USE_REQUIRED) != 0)
				return refuse(ret_error, field->name,
				    "there is no value for the field and the template has no fallback for "
				    "it");
			continue;
		}
		if (!utf8_valid(value, strlen(value)))
			return refuse(ret_error, field->name, "the value is not UTF-8");
		/* An empty one gives way to the fallback where each use has one. */
		if (value[0] == '\0' && (field->use & USE_REQUIRED) == 0)
			continue;
		problem = value_problem(value, field->use);
		if (problem != NULL)
			return refuse(ret_error, field->name, "the value %s", problem);
	}
	return 0;
}
