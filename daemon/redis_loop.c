/* SPDX-License-Identifier: MIT */
/*
 * What hiredis's own libuv adapter does, less its traps: that one drops the error that libuv reports when
 * Redis dies with unread commands in the socket, and the connection then hangs for ever; it doesn't keep the
 * socket from child processes; and it leaks when the poll handle can't be made. Here an error is turned into
 * a read, which finds out what it is and ends the connection in the ordinary way.
 *
 * The handle belongs to the connection; hiredis calls cleanup exactly once.
 */
#include "daemon/redis_loop.h"

#include <fcntl.h>
#include <stdlib.h>

#include "queue/error.h"

struct redis_poll {
	uv_poll_t handle;
	redisAsyncContext *connection; /* NULL once hiredis is done with it */
	int events;
};

static void on_poll(uv_poll_t *handle, int status, int events);

static void update(struct redis_poll *poll)
{
	if (poll->events != 0)
		uv_poll_start(&poll->handle, poll->events, on_poll);
	else
		uv_poll_stop(&poll->handle);
}

static void on_poll(uv_poll_t *handle, int status, int events)
{
	struct redis_poll *poll = handle->data;

	if (poll->connection != NULL && (status != 0 || (events & UV_READABLE) != 0))
		redisAsyncHandleRead(poll->connection);
	if (poll->connection != NULL && status == 0 && (events & UV_WRITABLE) != 0)
		redisAsyncHandleWrite(poll->connection);
	/* libuv has stopped the handle, but replies that came before the error are still being read. */
	if (poll->connection != NULL && status != 0)
		update(poll);
}

static void add_read(void *data)
{
	struct redis_poll *poll = data;

	poll->events |= UV_READABLE;
	update(poll);
}

static void del_read(void *data)
{
	struct redis_poll *poll = data;

	poll->events &= ~UV_READABLE;
	update(poll);
}

static void add_write(void *data)
{
	struct redis_poll *poll = data;

	if ((poll->events & UV_WRITABLE) != 0)
		return; /* called for every command */
	poll->events |= UV_WRITABLE;
	update(poll);
}

static void del_write(void *data)
{
	struct redis_poll *poll = data;

	poll->events &= ~UV_WRITABLE;
	update(poll);
}

static void on_close(uv_handle_t *handle)
{
	free(handle->data);
}

static void cleanup(void *data)
{
	struct redis_poll *poll = data;

	poll->connection = NULL;
	uv_close((uv_handle_t *)&poll->handle, on_close);
}

int redis_loop_connect(uv_loop_t *loop, const char *socket_path, redisAsyncContext **ret_connection)
{
	redisAsyncContext *connection = redisAsyncConnectUnix(socket_path);
	struct redis_poll *poll = calloc(1, sizeof(*poll));

	if (connection == NULL || poll == NULL)
		abort();
	if (connection->err != 0)
		goto fail_poll;
	fcntl(connection->c.fd, F_SETFD, FD_CLOEXEC);
	if (uv_poll_init(loop, &poll->handle, connection->c.fd) != 0)
		goto fail_poll;
	poll->handle.data = poll;
	poll->connection = connection;
	connection->ev.data = poll;
	connection->ev.addRead = add_read;
	connection->ev.delRead = del_read;
	connection->ev.addWrite = add_write;
	connection->ev.delWrite = del_write;
	connection->ev.cleanup = cleanup;
	*ret_connection = connection;
	return 0;

fail_poll:
	free(poll);
	redisAsyncFree(connection);
	return OPT_E_IO;
}
