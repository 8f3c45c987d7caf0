/* SPDX-License-Identifier: MIT */
/*
 * The client side of cleanup(8)'s protocol, as Postfix's own pickup(8) speaks it:
 *
 *   cleanup -> us   protocol name, queue id
 *   us -> cleanup   flags, then records: envelope, M, content, X, E
 *   cleanup -> us   status bits, reason
 *
 * Until the last record is out nothing is queued: cleanup removes its file when the connection breaks. Once
 * it is out only cleanup's answer tells, and without one the result is uncertain.
 *
 * The content is cut into records in the way of Postfix's sendmail(1), so that what leaves the machine is the
 * same, byte for byte, as if sendmail had been given the message. cleanup isn't asked to bounce anything:
 * a message that it refuses is reported to the cluster and to nobody else.
 */
#include "postfix-glue/inject.h"

#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <time.h>

#include <sys_defs.h>
#include <vstream.h>
#include <vstring.h>
#include <attr.h>
#include <mail_proto.h>
#include <mail_date.h>
#include <cleanup_user.h>
#include <deliver_request.h>
#include <record.h>
#include <rec_type.h>

#include "postfix-glue/params.h"
#include "postfix-glue/qualified.h"
#include "queue/error.h"

enum { INJECT_BUFFER = 64 * 1024 /* a usual message goes out in one write */ };

struct inject {
	VSTREAM *cleanup; /* NULL unless a message is begun */
	VSTRING *queue_id;
	VSTRING *why;
};

struct inject *inject_new(void)
{
	struct inject *inject = calloc(1, sizeof(*inject));

	if (!inject)
		abort();
	inject->queue_id = vstring_alloc(32);
	inject->why = vstring_alloc(100);
	return inject;
}

void inject_free(struct inject *inject)
{
	if (!inject)
		return;
	inject_drop(inject);
	vstring_free(inject->queue_id);
	vstring_free(inject->why);
	free(inject);
}

int inject_begin(struct inject *inject, const char **ret_queue_id)
{
	inject->cleanup = mail_connect(MAIL_CLASS_PUBLIC, var_cleanup_service, BLOCKING);
	if (!inject->cleanup)
		return OPT_E_AGAIN;
	vstream_control(inject->cleanup, CA_VSTREAM_CTL_BUFSIZE(INJECT_BUFFER), CA_VSTREAM_CTL_END);
	if (attr_scan(inject->cleanup, ATTR_FLAG_STRICT,
	        RECV_ATTR_STREQ(MAIL_ATTR_PROTO, MAIL_ATTR_PROTO_CLEANUP),
	        RECV_ATTR_STR(MAIL_ATTR_QUEUEID, inject->queue_id), ATTR_TYPE_END) != 1) {
		inject_drop(inject);
		return OPT_E_AGAIN;
	}
	*ret_queue_id = vstring_str(inject->queue_id);
	return 0;
}

void inject_drop(struct inject *inject)
{
	if (!inject->cleanup)
		return;
	vstream_fclose(inject->cleanup);
	inject->cleanup = NULL;
}

static bool is_ascii(const char *text)
{
	for (; *text; text++) {
		if ((unsigned char)*text > 127)
			return false;
	}
	return true;
}

static void put_envelope(VSTREAM *out, const struct inject_mail *mail)
{
	struct timeval now;

	gettimeofday(&now, NULL);
	rec_fprintf(out, REC_TYPE_TIME, REC_TYPE_TIME_FORMAT, REC_TYPE_TIME_ARG(now));
	rec_fprintf(out, REC_TYPE_ATTR, "%s=%s", MAIL_ATTR_RWR_CONTEXT,
	    headers_are_qualified(mail->content, mail->len) ? MAIL_ATTR_RWR_REMOTE : MAIL_ATTR_RWR_LOCAL);
	rec_fprintf(out, REC_TYPE_ATTR, "%s=%d", MAIL_ATTR_TRACE_FLAGS, DEL_REQ_FLAG_RECORD);
	rec_fprintf(out, REC_TYPE_ATTR, "%s=%s", MAIL_ATTR_DSN_ENVID, mail->attempt);
	rec_fputs(out, REC_TYPE_FROM, mail->sender);
	rec_fprintf(out, REC_TYPE_ATTR, "%s=x-optimus;%s", MAIL_ATTR_DSN_ORCPT, mail->attempt);
	rec_fputs(out, REC_TYPE_RCPT, mail->recipient);
}

/* Whether sendmail(1) would skip this first line: an mbox separator, maybe quoted. */
static bool is_mbox_line(const char *line, size_t len)
{
	while (len > 0 && *line == '>') {
		line++;
		len--;
	}
	return len >= 5 && memcmp(line, "From ", 5) == 0;
}

/*
 * Pieces of line_length_limit bytes as "continued" records, the rest of the line as a "normal" one. A line
 * that is an exact multiple of the limit ends with an empty normal record, as sendmail(1) makes it.
 */
static void put_line(VSTREAM *out, const char *line, size_t len, bool ended)
{
	size_t limit = (size_t)var_line_limit;

	while (len >= limit) {
		rec_put(out, REC_TYPE_CONT, line, (ssize_t)limit);
		line += limit;
		len -= limit;
	}
	if (!ended) {
		if (len > 0)
			rec_put(out, REC_TYPE_CONT, line, (ssize_t)len);
		return;
	}
	while (len > 0 && line[len - 1] == '\r')
		len--;
	rec_put(out, REC_TYPE_NORM, line, (ssize_t)len);
}

static void put_content(VSTREAM *out, const char *content, size_t len)
{
	bool first = true;

	while (len > 0) {
		const char *end = memchr(content, '\n', len);
		size_t line = end ? (size_t)(end - content) : len;
		size_t step = end ? line + 1 : line;

		if (first && end && is_mbox_line(content, line)) {
			content += step;
			len -= step;
			continue;
		}
		/* Otherwise it would continue our Received: line. */
		if (first && (*content == ' ' || *content == '\t'))
			rec_put(out, REC_TYPE_NORM, "", 0);
		first = false;
		put_line(out, content, line, end != NULL);
		content += step;
		len -= step;
	}
}

static void put_message(VSTREAM *out, const struct inject_mail *mail, const char *queue_id)
{
	rec_fputs(out, REC_TYPE_MESG, "");
	rec_fprintf(out, REC_TYPE_NORM, "Received: by %s (OPTIMUS)", var_myhostname);
	rec_fprintf(out, REC_TYPE_NORM, "\tid %s; %s", queue_id, mail_date(time(NULL)));
	put_content(out, mail->content, mail->len);
	rec_fputs(out, REC_TYPE_XTRA, "");
	rec_fputs(out, REC_TYPE_END, "");
}

static enum fed_status judge(int status)
{
	if (status == CLEANUP_STAT_OK)
		return FED_QUEUED;
	if (status & CLEANUP_STAT_DEFER)
		return FED_DEFERRED;
	if (status & (CLEANUP_STAT_WRITE | CLEANUP_STAT_PROXY))
		return FED_NOT_NOW;
	if (status & (CLEANUP_STAT_SIZE | CLEANUP_STAT_HOPS | CLEANUP_STAT_CONT | CLEANUP_STAT_BAD |
	                 CLEANUP_STAT_RCPT | CLEANUP_STAT_NOPERM))
		return FED_REFUSED;
	return FED_NOT_NOW;
}

enum fed_status inject_send(struct inject *inject, const struct inject_mail *mail, const char **ret_reason)
{
	VSTREAM *cleanup = inject->cleanup;
	enum fed_status result;
	int flags = CLEANUP_FLAG_MASK_EXTERNAL;
	int status;

	if (!is_ascii(mail->sender) || !is_ascii(mail->recipient))
		flags |= CLEANUP_FLAG_SMTPUTF8;
	attr_print(cleanup, ATTR_FLAG_NONE, SEND_ATTR_INT(MAIL_ATTR_FLAGS, flags), ATTR_TYPE_END);
	put_envelope(cleanup, mail);
	put_message(cleanup, mail, vstring_str(inject->queue_id));
	if (vstream_fflush(cleanup) != 0) {
		/* The end record is the last byte of all: it did not get through. */
		*ret_reason = "lost the connection to cleanup before the end of the message";
		result = FED_NOT_NOW;
	} else if (attr_scan(cleanup, ATTR_FLAG_MISSING, RECV_ATTR_INT(MAIL_ATTR_STATUS, &status),
	               RECV_ATTR_STR(MAIL_ATTR_WHY, inject->why), ATTR_TYPE_END) != 2) {
		*ret_reason = "lost the connection to cleanup after the end of the message";
		result = FED_UNCERTAIN;
	} else {
		result = judge(status);
		*ret_reason = result == FED_QUEUED       ? ""
		              : VSTRING_LEN(inject->why) ? vstring_str(inject->why)
		                                         : cleanup_strerror((unsigned)status);
	}
	inject_drop(inject);
	return result;
}
