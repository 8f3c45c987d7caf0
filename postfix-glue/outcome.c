/* SPDX-License-Identifier: MIT */
/*
 * optimus-outcome: tells optimusd what became of each delivery attempt. It takes the place of bounce(8) as
 * Postfix's services trace, bounce and defer; each of them is one process of this program.
 *
 * Our mail carries the RECORD flag, which makes Postfix report every attempt to `trace` before it believes it
 * itself. So `trace` alone carries facts: APPEND (one attempt's result) and TRACE (the message is about to
 * leave the spool). Each becomes a frame to optimusd (queue/frames.h), and Postfix is answered when optimusd
 * has acknowledged it. `bounce` and `defer` hear the same news again and answer "done" to everything: no
 * bounce mail, no files.
 *
 * While optimusd is away the requests wait, and with them their senders. They are never answered with an
 * error: Postfix would take a message that was sent for one that was not. A client that dies while it waits
 * leaves its fact behind; it is delivered all the same.
 *
 * When master(8) is gone, or a SIGTERM has come, we stay until nothing that could still report is left of the
 * instance (afterlife.h) and every fact is acknowledged.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <sys_defs.h>
#include <vstream.h>
#include <vstring.h>
#include <attr.h>
#include <events.h>
#include <iostuff.h>
#include <msg.h>
#include <bounce.h>
#include <dsb_scan.h>
#include <mail_conf.h>
#include <mail_proto.h>
#include <mail_server.h>
#include <mail_version.h>
#include <master_proto.h>
#include <rcpt_buf.h>
#include <timed_ipc.h>

#include "postfix-glue/afterlife.h"
#include "postfix-glue/params.h"
#include "postfix-glue/reason.h"
#include "postfix-glue/uplink.h"
#include "postfix-glue/version.h"

enum {
	CLIENT_PATIENCE_S = 10, /* for a request that has begun to arrive in full */
	LEAVE_CHECK_S = 1,
	ACCEPT_PAUSE_MS = 100,
};

static char *var_optimus_outcome_socket;

static struct {
	bool is_trace;
	struct uplink *uplink; /* of trace only */
	size_t clients;
	bool leaving;
	int term_pipe[2];
	/* What a request is read into. */
	VSTRING *queue_id;
	VSTRING *queue_name;
	VSTRING *encoding;
	VSTRING *sender;
	VSTRING *envid;
	VSTRING *verp;
	RCPT_BUF *recipient;
	DSN_BUF *dsn;
} outcome;

static void hang_up(VSTREAM *client)
{
	outcome.clients--;
	vstream_fclose(client);
}

/* Ends a client's session with the answer that all is well. */
static void answer(void *context)
{
	VSTREAM *client = context;

	attr_print(client, ATTR_FLAG_NONE, SEND_ATTR_INT(MAIL_ATTR_STATUS, 0), ATTR_TYPE_END);
	vstream_fflush(client);
	hang_up(client);
}

static bool scan_append(VSTREAM *client)
{
	int flags;

	return attr_scan(client, ATTR_FLAG_STRICT, RECV_ATTR_INT(MAIL_ATTR_FLAGS, &flags),
	           RECV_ATTR_STR(MAIL_ATTR_QUEUEID, outcome.queue_id),
	           RECV_ATTR_FUNC(rcpb_scan, (void *)outcome.recipient),
	           RECV_ATTR_FUNC(dsb_scan, (void *)outcome.dsn), ATTR_TYPE_END) == 4;
}

/* FLUSH, WARN and TRACE share a form; VERP and ONE have more behind it. */
static bool scan_notify(VSTREAM *client, int command)
{
	int flags;
	int smtputf8;
	int ret;
	int more = command == BOUNCE_CMD_VERP || command == BOUNCE_CMD_ONE ? ATTR_FLAG_MORE : 0;

	if (attr_scan(client, ATTR_FLAG_STRICT | more, RECV_ATTR_INT(MAIL_ATTR_FLAGS, &flags),
	        RECV_ATTR_STR(MAIL_ATTR_QUEUE, outcome.queue_name),
	        RECV_ATTR_STR(MAIL_ATTR_QUEUEID, outcome.queue_id),
	        RECV_ATTR_STR(MAIL_ATTR_ENCODING, outcome.encoding),
	        RECV_ATTR_INT(MAIL_ATTR_SMTPUTF8, &smtputf8), RECV_ATTR_STR(MAIL_ATTR_SENDER, outcome.sender),
	        RECV_ATTR_STR(MAIL_ATTR_DSN_ENVID, outcome.envid), RECV_ATTR_INT(MAIL_ATTR_DSN_RET, &ret),
	        ATTR_TYPE_END) != 8)
		return false;
	if (command == BOUNCE_CMD_VERP) {
		return attr_scan(client, ATTR_FLAG_STRICT, RECV_ATTR_STR(MAIL_ATTR_VERPDL, outcome.verp),
		           ATTR_TYPE_END) == 1;
	}
	if (command == BOUNCE_CMD_ONE) {
		return attr_scan(client, ATTR_FLAG_STRICT,
		           RECV_ATTR_FUNC(rcpb_scan, (void *)outcome.recipient),
		           RECV_ATTR_FUNC(dsb_scan, (void *)outcome.dsn), ATTR_TYPE_END) == 2;
	}
	return true;
}

static void report_append(VSTREAM *client)
{
	struct frame frame = {
	    .type = FRAME_APPEND,
	    .queue_id = vstring_str(outcome.queue_id),
	    .attempt_text = reason_attempt(vstring_str(outcome.recipient->dsn_orcpt)),
	    .dsn = vstring_str(outcome.dsn->status),
	    .action = vstring_str(outcome.dsn->action),
	};

	reason_split(vstring_str(outcome.dsn->reason), &frame.relay, &frame.reason);
	uplink_add(outcome.uplink, &frame, client);
}

static void report_done(VSTREAM *client)
{
	struct frame frame = {
	    .type = FRAME_DONE,
	    .queue_id = vstring_str(outcome.queue_id),
	    .attempt_text = vstring_str(outcome.envid),
	};

	uplink_add(outcome.uplink, &frame, client);
}

static void request_arrived(int event, void *context)
{
	VSTREAM *client = context;
	char first;
	int command;
	bool good = false;

	(void)event;
	event_disable_readwrite(vstream_fileno(client));
	/* master wakes us up with a single letter, so that we run before anybody needs us. */
	if (recv(vstream_fileno(client), &first, 1, MSG_PEEK | MSG_DONTWAIT) != 1 ||
	    first == TRIGGER_REQ_WAKEUP) {
		hang_up(client);
		return;
	}
	if (attr_scan(client, ATTR_FLAG_STRICT | ATTR_FLAG_MORE, RECV_ATTR_INT(MAIL_ATTR_NREQ, &command),
	        ATTR_TYPE_END) == 1) {
		if (command == BOUNCE_CMD_APPEND)
			good = scan_append(client);
		else if (command >= BOUNCE_CMD_FLUSH && command <= BOUNCE_CMD_TRACE)
			good = scan_notify(client, command);
	}
	if (!good) {
		/* Only a client that died in the middle sends such a thing: there is nobody to answer. */
		msg_warn("a client of ours broke off its request");
		hang_up(client);
		return;
	}
	if (outcome.is_trace && command == BOUNCE_CMD_APPEND)
		report_append(client);
	else if (outcome.is_trace && command == BOUNCE_CMD_TRACE)
		report_done(client);
	else
		answer(client);
}

static void greet(VSTREAM *client)
{
	outcome.clients++;
	vstream_control(client, CA_VSTREAM_CTL_TIMEOUT(CLIENT_PATIENCE_S), CA_VSTREAM_CTL_END);
	attr_print(
	    client, ATTR_FLAG_NONE, SEND_ATTR_STR(MAIL_ATTR_PROTO, MAIL_ATTR_PROTO_BOUNCE), ATTR_TYPE_END);
	vstream_fflush(client);
	event_enable_read(vstream_fileno(client), request_arrived, client);
}

static void accept_all(int event, void *context)
{
	struct sockaddr_un address;
	socklen_t len = sizeof(address);
	int fd;

	(void)event;
	(void)context;
	while ((fd = accept4(MASTER_LISTEN_FD, (struct sockaddr *)&address, &len, SOCK_CLOEXEC)) >= 0) {
		VSTREAM *client = vstream_fdopen(fd, O_RDWR);

		timed_ipc_setup(client);
		greet(client);
		len = sizeof(address);
	}
	if (errno != EAGAIN && errno != EINTR && errno != ECONNABORTED) {
		/* Out of descriptors: ending would lose what waits here. */
		msg_warn("accept: %m");
		poll(NULL, 0, ACCEPT_PAUSE_MS);
	}
}

/*
 * The skeleton would accept one connection a turn and tell master twice about each that we are busy and free
 * again, which costs as much as the rest. There is one of us and we are never busy: accept them ourselves.
 */
static int each_turn(char *service, char **argv)
{
	static bool taken_over;

	(void)service;
	(void)argv;
	if (!taken_over) {
		event_disable_readwrite(MASTER_LISTEN_FD);
		event_enable_read(MASTER_LISTEN_FD, accept_all, NULL);
		taken_over = true;
	}
	if (outcome.uplink)
		uplink_flush(outcome.uplink);
	return -1;
}

/* What the skeleton would call for a connection. */
static void never_served(VSTREAM *client, char *service, char **argv)
{
	(void)service;
	(void)argv;
	greet(client);
}

static bool idle(void)
{
	return outcome.clients == 0 && (!outcome.uplink || uplink_pending(outcome.uplink) == 0);
}

static void leave_if_done(int event, void *context)
{
	(void)event;
	(void)context;
	if (idle() && !afterlife_has_others())
		exit(0);
	event_request_timer(leave_if_done, NULL, LEAVE_CHECK_S);
}

static void leave(void)
{
	if (outcome.leaving)
		return;
	outcome.leaving = true;
	leave_if_done(0, NULL);
}

/* Called each time that the skeleton finds master gone. */
static void master_gone(char *service, char **argv)
{
	(void)service;
	(void)argv;
	leave();
}

static void on_sigterm(int signal_number)
{
	int saved = errno;

	(void)signal_number;
	if (write(outcome.term_pipe[1], "", 1) < 0) {
		/* Full: the wish has been noted already. */
	}
	errno = saved;
}

static void asked_to_stop(int event, void *context)
{
	char junk[16];

	(void)event;
	(void)context;
	if (read(outcome.term_pipe[0], junk, sizeof(junk)) < 0) {
		/* Non-blocking, and nothing depends on what is in it. */
	}
	leave();
}

static void start(char *service, char **argv)
{
	struct sigaction action = {.sa_handler = on_sigterm, .sa_flags = SA_RESTART};

	version_require();
	if (argv[0])
		msg_fatal("unexpected command-line argument: %s", argv[0]);
	outcome.is_trace = strcmp(service, MAIL_SERVICE_TRACE) == 0;
	outcome.queue_id = vstring_alloc(32);
	outcome.queue_name = vstring_alloc(32);
	outcome.encoding = vstring_alloc(32);
	outcome.sender = vstring_alloc(100);
	outcome.envid = vstring_alloc(200);
	outcome.verp = vstring_alloc(4);
	outcome.recipient = rcpb_create();
	outcome.dsn = dsb_create();
	if (pipe2(outcome.term_pipe, O_NONBLOCK | O_CLOEXEC) != 0)
		msg_fatal("pipe: %m");
	event_enable_read(outcome.term_pipe[0], asked_to_stop, NULL);
	sigaction(SIGTERM, &action, NULL);
	if (!outcome.is_trace)
		return;
	if (*var_optimus_outcome_socket != '/')
		msg_fatal("optimus_outcome_socket in main.cf must be the path of optimusd's Unix socket");
	outcome.uplink = uplink_new(var_optimus_outcome_socket, answer);
}

MAIL_VERSION_STAMP_DECLARE;

int main(int argc, char **argv)
{
	static const CONFIG_STR_TABLE texts[] = {
	    {"optimus_outcome_socket", "", &var_optimus_outcome_socket, 0, 0},
	    {NULL, NULL, NULL, 0, 0},
	};

	MAIL_VERSION_STAMP_ALLOCATE;
	event_server_main(argc, argv, never_served, CA_MAIL_SERVER_STR_TABLE(texts),
	    CA_MAIL_SERVER_POST_INIT(start), CA_MAIL_SERVER_LOOP(each_turn),
	    CA_MAIL_SERVER_SLOW_EXIT(master_gone), CA_MAIL_SERVER_SOLITARY, 0);
}
