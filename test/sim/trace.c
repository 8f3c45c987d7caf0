/* SPDX-License-Identifier: MIT */
/*
 * The trace keeps formats and arguments and formats only what is read: most lines of most seeds never are.
 */
#include "test/sim/trace.h"

#include <inttypes.h>
#include <string.h>

#include "test/sim/truth.h"

void trace_init(struct trace *trace, FILE *live)
{
	memset(trace, 0, sizeof(*trace));
	trace->hash = UINT64_C(0xcbf29ce484222325);
	trace->live = live;
}

static void mix(uint64_t *hash, uint64_t value)
{
	*hash = (*hash ^ value) * UINT64_C(0x100000001b3);
	*hash ^= *hash >> 29;
}

static void mix_text(uint64_t *hash, const char *text)
{
	for (; *text != '\0'; text++)
		mix(hash, (unsigned char)*text);
}

static void print_line(const struct trace_line *line, FILE *out)
{
	int arg = 0;

	fprintf(out, "%6" PRIu64 ".%06" PRIu64 " ", line->at / USEC_PER_SEC, line->at % USEC_PER_SEC);
	if (line->who != NULL)
		fprintf(out, "%s ", line->who);
	for (const char *p = line->format; *p != '\0'; p++) {
		const union trace_arg *value = &line->args[arg];

		if (*p != '%') {
			fputc(*p, out);
			continue;
		}
		arg++;
		switch (*++p) {
		case 'u':
			fprintf(out, "%" PRIu64, value->number);
			break;
		case 'x':
			fprintf(out, "%08" PRIx64, value->number & UINT32_MAX);
			break;
		case 's':
			fputs(value->text, out);
			break;
		case 'm':
			fprintf(out, "%s/%" PRIu32 ".%" PRIu32, value->mail->batch->name,
			    value->mail->shard->index, value->mail->index);
			break;
		default:
			fputc('?', out);
			break;
		}
	}
	fputc('\n', out);
}

void trace_add(
    struct trace *trace, usec at, const char *who, const char *format, const union trace_arg args[TRACE_ARGS])
{
	struct trace_line *line = &trace->kept[trace->lines++ % TRACE_KEPT];
	int arg = 0;

	line->at = at;
	line->who = who;
	line->format = format;
	memcpy(line->args, args, sizeof(line->args));
	mix(&trace->hash, at);
	if (who != NULL)
		mix_text(&trace->hash, who);
	for (const char *p = format; *p != '\0'; p++) {
		mix(&trace->hash, (unsigned char)*p);
		if (*p != '%')
			continue;
		p++;
		if (*p == 's')
			mix_text(&trace->hash, args[arg].text);
		else if (*p == 'm')
			mix(&trace->hash, args[arg].mail->number);
		else
			mix(&trace->hash, args[arg].number);
		arg++;
	}
	if (trace->live != NULL)
		print_line(line, trace->live);
}

void trace_print(const struct trace *trace, FILE *out)
{
	uint64_t first = trace->lines > TRACE_KEPT ? trace->lines - TRACE_KEPT : 0;

	for (uint64_t i = first; i < trace->lines; i++)
		print_line(&trace->kept[i % TRACE_KEPT], out);
}
