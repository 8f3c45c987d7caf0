/* SPDX-License-Identifier: MIT */
/*
 * HOST:PORT, as it is written on a command line and in a presence record: "192.0.2.1:4100",
 * "[2001:db8::1]:4100", "host.example:4100".
 */
#ifndef OPTIMUS_DHT_ENDPOINT_H
#define OPTIMUS_DHT_ENDPOINT_H

enum { ENDPOINT_HOST_SIZE = 128, ENDPOINT_PORT_SIZE = 6 };

struct endpoint {
	char host[ENDPOINT_HOST_SIZE]; /* without brackets */
	char port[ENDPOINT_PORT_SIZE]; /* "1" to "65535" */
};

/* Whoever wrote `text`, what comes out is fit for getaddrinfo(3). OPT_E_INVALID when it is no HOST:PORT. */
int endpoint_parse(const char *text, struct endpoint *ret_endpoint);

#endif
