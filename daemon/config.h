/* SPDX-License-Identifier: MIT */
/*
 * The node's configuration: the command line over the file of --config over the defaults.
 */
#ifndef OPTIMUS_DAEMON_CONFIG_H
#define OPTIMUS_DAEMON_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "queue/core.h"

enum { CONFIG_LIST_MAX = 64 };

struct config_list {
	char *items[CONFIG_LIST_MAX];
	size_t count;
};

struct config {
	char *data;      /* --data: absolute path */
	char *listen;    /* --listen HOST:PORT: links of other nodes */
	char *advertise; /* --advertise HOST:PORT: where others reach us; NULL: as --listen says */
	struct config_list bootstrap;
	char *key_file;         /* --key */
	struct config_list api; /* --api unix:PATH or http://HOST:PORT; default unix:DATA/api.sock */
	char *postfix_dir;      /* --postfix: the private instance; default DATA/postfix; NULL with "none" */
	char *redis;            /* --redis unix:PATH, NULL: start a private one */
	uint32_t weight;
	char *user;                 /* user = optimus: who optimusd, Redis and the Postfix daemons run as */
	char *group;                /* group = optimus: who may open the API socket */
	char *libexec;              /* where the Postfix daemons of ours and optimus-instance lie */
	char *hostname;             /* hostname = : what Postfix calls itself; default gethostname(2) */
	char *relay;                /* relay = HOST:PORT: all mail goes there; NULL: to the MX hosts */
	struct config_list routes;  /* route = DOMAIN=HOST:PORT */
	struct config_list postfix; /* postfix = name=value: more main.cf parameters */
	uint32_t pickups;           /* connections to pickup */
	uint64_t reserve;           /* bytes that must stay free on the disk for accepting a batch */
	uint64_t ballast;           /* bytes of the ballast file */
	struct core_config core;
};

/*
 * Reads the command line and the file. On failure OPT_E_INVALID, with the message already on standard error.
 * *ret_done is set when --help or --version was asked for and answered.
 */
int config_read(int argc, char **argv, struct config *ret_config, bool *ret_done);
void config_done(struct config *config);

#endif
