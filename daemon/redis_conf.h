/* SPDX-License-Identifier: MIT */
/*
 * The configuration file of the private redis-server.
 */
#ifndef OPTIMUS_DAEMON_REDIS_CONF_H
#define OPTIMUS_DAEMON_REDIS_CONF_H

/*
 * Writes it whole to DIR/redis.conf (0600), replacing what is there at once or not at all. OPT_E_IO,
 * OPT_E_FULL.
 */
int redis_conf_write(const char *dir, const char *socket_path);

#endif
