/* SPDX-License-Identifier: MIT */
/*
 * The listening sockets of the HTTP API.
 */
#ifndef OPTIMUS_DAEMON_HTTP_LISTEN_H
#define OPTIMUS_DAEMON_HTTP_LISTEN_H

/* Both return the descriptor, or a negative code with the reason in the log. */

/*
 * A socket at the path, mode 0660 and of the group (NULL: left alone), in a folder that is made with mode
 * 0750 where it is missing. A socket that a dead process left is replaced; a living one is not
 * (OPT_E_CONFLICT).
 */
int http_listen_unix(const char *path, const char *group);

/* "http://HOST:PORT", where HOST is a loopback address or "localhost". */
int http_listen_tcp(const char *address);

#endif
