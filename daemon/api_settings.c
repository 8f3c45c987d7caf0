/* SPDX-License-Identifier: MIT */
/*
 * Checks the settings of a batch. Every mistake has its own sentence, because the person who reads it is not
 * the one who can read this code. A member that nobody knows is a mistake too: a misspelt "expires" would
 * otherwise be a newsletter that goes out a week late.
 *
 * Pure but for memory: the time comes in as an argument. jansson checks JSON and UTF-8.
 */
#include "daemon/api_settings.h"

#include <jansson.h>
#include <sodium.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/api_time.h"
#include "queue/error.h"
#include "queue/message/address.h"

static int invalid(struct api_error *error, const char *field, const char *text)
{
	api_error_set(error, API_INVALID, "%s", text);
	api_error_field(error, field);
	return OPT_E_INVALID;
}

/* A string without NUL; false when it is another thing. */
static bool plain_text(const json_t *value, const char **ret_text)
{
	if (!json_is_string(value) || strlen(json_string_value(value)) != json_string_length(value))
		return false;
	*ret_text = json_string_value(value);
	return true;
}

static int read_from(struct api_settings *settings, const json_t *value, struct api_error *error)
{
	struct buffer sample;
	const char *from;
	int status;

	if (!value)
		return invalid(error, "from",
		    "\"from\" is missing; give the envelope sender's address, or \"\" for none");
	if (!plain_text(value, &from))
		return invalid(error, "from", "\"from\" is not a string; give the envelope sender's address");
	if (strlen(from) > BATCH_SENDER_MAX)
		return invalid(error, "from", "\"from\" is too long; give an address of at most 320 bytes");
	buffer_init(&sample);
	status = sender_expand(from, "user@example.com", &sample);
	buffer_done(&sample);
	if (status < 0)
		return invalid(error, "from",
		    "\"from\" is not an e-mail address; give one without a name and without angle brackets, "
		    "maybe with {{verp}} before the @");
	strcpy(settings->batch.sender, from);
	return 0;
}

/* An integer within the range. Keeps the default when there is none. */
static bool read_number(const json_t *value, json_int_t min, json_int_t max, json_int_t *ret_number)
{
	if (!value)
		return true;
	if (!json_is_integer(value) || json_integer_value(value) < min || json_integer_value(value) > max)
		return false;
	*ret_number = json_integer_value(value);
	return true;
}

static int read_at(
    struct api_settings *settings, const json_t *value, struct utc_time now, struct api_error *error)
{
	const usec ahead = (usec)SETTINGS_AHEAD_MAX * USEC_PER_SEC;
	const char *text;

	if (!value)
		return 0;
	if (!plain_text(value, &text) || api_time_parse(text, &settings->batch.start) < 0)
		return invalid(error, "at", "\"at\" is not a time; write it like \"2026-12-01T08:00:00Z\"");
	if (settings->batch.start.us > now.us + ahead)
		return invalid(error, "at", "\"at\" is more than a year ahead; choose an earlier time");
	return 0;
}

static int read_numbers(struct api_settings *settings, const json_t *root, struct api_error *error)
{
	json_int_t expire = SETTINGS_EXPIRE_DEFAULT, priority = 0, replicas = SETTINGS_REPLICAS_DEFAULT;

	if (!read_number(json_object_get(root, "expire"), 1, SETTINGS_EXPIRE_MAX, &expire))
		return invalid(error, "expire",
		    "\"expire\" must be a whole number of seconds from 1 to 2592000 (30 days)");
	if (!read_number(json_object_get(root, "priority"), PRIORITY_MIN, PRIORITY_MAX, &priority))
		return invalid(error, "priority", "\"priority\" must be a whole number from -100 to 100");
	if (!read_number(json_object_get(root, "replicas"), 1, SETTINGS_REPLICAS_MAX, &replicas))
		return invalid(error, "replicas", "\"replicas\" must be a whole number from 1 to 7");
	settings->batch.expire = (usec)expire * USEC_PER_SEC;
	settings->batch.priority = (int32_t)priority;
	settings->batch.replicas = (uint32_t)replicas;
	return 0;
}

static int read_base64(struct api_settings *settings, const json_t *value, struct api_error *error)
{
	const char *text, *end;
	size_t size;

	if (!plain_text(value, &text))
		return invalid(error, "template_base64", "\"template_base64\" is not a string");
	size = json_string_length(value) / 4 * 3 + 4;
	settings->source = malloc(size);
	if (!settings->source)
		abort();
	if (sodium_base642bin((unsigned char *)settings->source, size, text, json_string_length(value),
	        "\r\n ", &settings->source_len, &end, sodium_base64_VARIANT_ORIGINAL) < 0 ||
	    *end)
		return invalid(
		    error, "template_base64", "\"template_base64\" is not base64 (RFC 4648, with padding)");
	return 0;
}

static int read_source(struct api_settings *settings, const json_t *root, struct api_error *error)
{
	const json_t *text = json_object_get(root, "template");
	const json_t *base64 = json_object_get(root, "template_base64");

	if (!text == !base64)
		return invalid(error, "template",
		    text ? "\"template\" and \"template_base64\" are both there; send one of them"
		         : "\"template\" is missing; send the whole message with its header");
	if (base64)
		return read_base64(settings, base64, error);
	if (!json_is_string(text))
		return invalid(error, "template",
		    "\"template\" is not a string; send the whole message with its header");
	settings->source_len = json_string_length(text);
	settings->source = malloc(settings->source_len + 1);
	if (!settings->source)
		abort();
	memcpy(settings->source, json_string_value(text), settings->source_len + 1);
	return 0;
}

static int compile(struct api_settings *settings, struct api_error *error)
{
	struct template_error wrong = {0};
	int status;

	if (settings->source_len > TEMPLATE_SIZE_MAX) {
		api_error_set(error, API_TEMPLATE,
		    "the template has %zu bytes; at most %d are allowed; make it smaller",
		    settings->source_len, TEMPLATE_SIZE_MAX);
		return OPT_E_LIMIT;
	}
	status = template_compile(settings->source, settings->source_len, &settings->template, &wrong);
	if (status < 0) {
		api_error_set(error, API_TEMPLATE, "%s", wrong.text);
		api_error_field(error, wrong.field);
		error->line = wrong.line;
	}
	return status;
}

static bool has_column(const json_t *columns, const char *name)
{
	for (size_t i = 0; i < json_array_size(columns); i++)
		if (strcmp(json_string_value(json_array_get(columns, i)), name) == 0)
			return true;
	return false;
}

/* The names that every row has: what the template needs must be among them. */
static int check_columns(const struct api_settings *settings, const json_t *columns, struct api_error *error)
{
	const struct template *template = settings->template;

	if (!columns)
		return 0;
	if (!json_is_array(columns) || json_array_size(columns) > SETTINGS_COLUMNS_MAX)
		return invalid(error, "columns", "\"columns\" must be a list of at most 1000 names");
	for (size_t i = 0; i < json_array_size(columns); i++) {
		const char *name;

		if (!plain_text(json_array_get(columns, i), &name))
			return invalid(error, "columns", "\"columns\" must be a list of strings");
	}
	if (!has_column(columns, "email"))
		return invalid(
		    error, "email", "the recipients have no column \"email\"; add one with the addresses");
	for (size_t i = 0; i < template_field_count(template); i++) {
		const char *field = template_field(template, i);

		if (!template_field_required(template, i) || has_column(columns, field))
			continue;
		api_error_set(error, API_TEMPLATE,
		    "the template uses {{%s}} in line %d, but the recipients have no column \"%s\"; add the "
		    "column, or "
		    "write {{%s|some text}}",
		    field, template_field_line(template, i), field, field);
		api_error_field(error, field);
		error->line = template_field_line(template, i);
		return OPT_E_INVALID;
	}
	return 0;
}

static int check_members(const json_t *root, struct api_error *error)
{
	static const char *const known[] = {
	    "from", "template", "template_base64", "columns", "expire", "at", "priority", "replicas"};
	const char *name;
	json_t *value;

	json_object_foreach ((json_t *)root, name, value) {
		bool found = false;

		for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
			found = found || strcmp(name, known[i]) == 0;
		if (found)
			continue;
		api_error_set(
		    error, API_INVALID, "there is no setting \"%.64s\"; correct or remove it", name);
		api_error_field(error, name);
		return OPT_E_INVALID;
	}
	return 0;
}

static int read_all(
    struct api_settings *settings, const json_t *root, struct utc_time now, struct api_error *error)
{
	int status;

	if ((status = check_members(root, error)) < 0 ||
	    (status = read_from(settings, json_object_get(root, "from"), error)) < 0 ||
	    (status = read_at(settings, json_object_get(root, "at"), now, error)) < 0 ||
	    (status = read_numbers(settings, root, error)) < 0 ||
	    (status = read_source(settings, root, error)) < 0 || (status = compile(settings, error)) < 0)
		return status;
	return check_columns(settings, json_object_get(root, "columns"), error);
}

int api_settings_parse(const char *name, const void *data, size_t len, struct utc_time now,
    struct api_settings *ret_settings, struct api_error *ret_error)
{
	struct api_settings settings = {0};
	json_error_t problem;
	json_t *root;
	int status;

	root = json_loadb(data, len, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, &problem);
	if (!json_is_object(root)) {
		if (root)
			api_error_set(ret_error, API_INVALID, "the settings are not a JSON object; send one");
		else
			api_error_set(ret_error, API_INVALID,
			    "the settings are not JSON: %s at byte %d; correct them", problem.text,
			    problem.position);
		json_decref(root);
		return OPT_E_INVALID;
	}
	strncpy(settings.batch.name, name, BATCH_NAME_MAX);
	status = read_all(&settings, root, now, ret_error);
	json_decref(root);
	if (status < 0) {
		api_settings_done(&settings);
		return status;
	}
	*ret_settings = settings;
	return 0;
}

void api_settings_done(struct api_settings *settings)
{
	free(settings->source);
	template_free(settings->template);
	settings->source = NULL;
	settings->template = NULL;
}
