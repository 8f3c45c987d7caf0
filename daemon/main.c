/* SPDX-License-Identifier: MIT */
/*
 * optimusd: one node.
 *
 * Start: configuration → lock on the data folder → the keeper is forked → root is given up → identity → Redis
 * → the store is claimed → batches are recovered → the outcome socket opens → Postfix is settled → the API
 * opens.
 *
 * The parts and who owns them: main owns all; node.c is the shell around the core; engine.c and driver.c look
 * after Postfix; http_server.c answers clients. Everything runs on one libuv loop.
 *
 * End (SIGTERM, SIGINT): the API closes → Postfix's deliveries under way finish, for a few seconds → what
 * they reported is stored, here and on other nodes → these are told goodbye, so that they take over at once
 * → Redis ends → exit 0. A second signal ends at once; nothing is lost by that either.
 *
 * Exit codes (sysexits.h): 0, 64 usage, 67 no such user, 69 a part is missing, 70 the keeper or libsodium, 71
 * a socket, 73 the data folder can't be used, 75 another optimusd runs there, 77 rights, 78 configuration or
 * key; and 1 for batch records that can't be read.
 */
#include <signal.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sysexits.h>
#include <unistd.h>
#include <uv.h>

#include "daemon/config.h"
#include "daemon/driver.h"
#include "daemon/engine.h"
#include "daemon/http_server.h"
#include "daemon/keeper.h"
#include "daemon/log.h"
#include "daemon/node_cluster.h"
#include "daemon/node_incarnation.h"
#include "daemon/node_start.h"
#include "daemon/outcome_server.h"
#include "daemon/privileges.h"
#include "daemon/redis_check.h"
#include "daemon/redis_server.h"
#include "daemon/store_redis.h"
#include "daemon/version.h"
#include "dht/identity.h"
#include "queue/error.h"

enum {
	ERROR_SIZE = 512,
	DRAIN_CHECK_MS = 20,
	DRAIN_MAX_MS = 3000,
	POSTFIX_END_MS = 40000, /* longer than all that optimus-instance waits for */
	SOCKET_PATH_MAX = 100,
	FILES_WANTED = 16384,
};

struct daemon {
	struct config config;
	struct identity identity;
	struct cluster_key key;
	int lock;
	int keeper_fd;
	uv_loop_t loop;
	uv_signal_t terminate, interrupt;
	uv_timer_t drain;
	int drained_ms;
	struct keeper *keeper;
	struct redis_server *redis;
	struct store *store;
	struct node *node;
	struct node_cluster *cluster;
	bool cluster_closing;
	struct driver *driver;
	struct engine *engine;
	struct outcome_server *outcomes;
	struct http_server *http;
	bool stopping;
	int exit_code;
};

static void stop(struct daemon *daemon, int exit_code);

static void cluster_left(void *context)
{
	struct daemon *daemon = context;

	daemon->cluster = NULL;
}

static void close_cluster(struct daemon *daemon)
{
	if (daemon->cluster != NULL && !daemon->cluster_closing)
		node_cluster_close(daemon->cluster, cluster_left, daemon);
	daemon->cluster_closing = true;
}

/* Redis tells how it is, the first time and later. */
static void redis_state(void *context, enum redis_server_state state, bool full)
{
	struct daemon *daemon = context;

	if (state == REDIS_SERVER_STOPPED) {
		uv_stop(&daemon->loop);
		return;
	}
	if (daemon->store != NULL)
		store_redis_set_full(daemon->store, full);
}

static void recovered(void *context)
{
	struct daemon *daemon = context;
	char *path;

	if (daemon->stopping)
		return;
	if (asprintf(&path, "%s/outcome.sock", daemon->config.data) < 0)
		abort();
	if (outcome_server_new(&daemon->loop, daemon->node, path, &daemon->outcomes) != 0 ||
	    http_server_listen(daemon->http) != 0) {
		free(path);
		stop(daemon, EX_OSERR);
		return;
	}
	free(path);
	engine_begin(daemon->engine);
	node_cluster_begin(daemon->cluster);
	log_info("node_up", "api", daemon->config.api.items[0], "postfix", engine_state_name(daemon->engine),
	    NULL);
}

static void store_claimed(void *context, int status, const char *message)
{
	struct daemon *daemon = context;

	if (daemon->stopping)
		return;
	if (status != 0) {
		log_error("store_not_claimed", "reason", message, NULL);
		stop(daemon, EX_CONFIG);
		return;
	}
	node_recover(daemon->node, recovered, daemon);
}

/* A Redis of the operator's own must not lose writes. */
static int check_external_redis(const struct config *config)
{
	char error[ERROR_SIZE] = "";

	if (config->redis == NULL ||
	    redis_check_durability(config->redis + strlen("unix:"), error, sizeof(error)) == 0)
		return 0;
	log_error("redis_refused", "reason", error, NULL);
	return OPT_E_DENIED;
}

static int open_store(struct daemon *daemon)
{
	const struct config *config = &daemon->config;
	const char *socket;
	char *folder;
	int status;

	if (config->redis != NULL) {
		socket = config->redis + strlen("unix:");
	} else {
		if (asprintf(&folder, "%s/redis", config->data) < 0)
			abort();
		status = redis_server_new(
		    &daemon->loop, folder, config->ballast, redis_state, daemon, &daemon->redis);
		free(folder);
		if (status != 0) {
			log_error("redis_not_started", "error", opt_strerror(status), NULL);
			return status;
		}
		socket = redis_server_socket(daemon->redis);
	}
	daemon->store = store_redis_new(&daemon->loop, socket, node_store_done, daemon->node);
	return 0;
}

static void signalled(uv_signal_t *signal, int number)
{
	struct daemon *daemon = signal->data;

	log_info("signal", "number", log_int(number), NULL);
	if (daemon->stopping)
		_exit(0);
	stop(daemon, 0);
}

/* From here on the others know that we are gone. Closing the links sends it. */
static void leave_cluster(struct daemon *daemon)
{
	struct event event = {.type = EVENT_LEAVE};

	node_event(daemon->node, &event);
	close_cluster(daemon);
}

/* The last outcomes are stored: Redis may end. */
static void end_redis(struct daemon *daemon)
{
	if (daemon->redis != NULL)
		redis_server_stop(daemon->redis);
	else
		uv_stop(&daemon->loop);
}

/* Whether something that Postfix reported is not yet where it has to be. */
static bool stores(const struct daemon *daemon)
{
	return daemon->store != NULL && (store_redis_pending(daemon->store) > 0 ||
	                                    core_numbers(node_core(daemon->node)).unreplicated > 0);
}

static void drain_store(uv_timer_t *timer)
{
	struct daemon *daemon = timer->data;

	daemon->drained_ms += DRAIN_CHECK_MS;
	if (stores(daemon) && daemon->drained_ms < DRAIN_MAX_MS)
		return;
	uv_timer_stop(timer);
	leave_cluster(daemon);
	end_redis(daemon);
}

static void postfix_stopped(void *context)
{
	struct daemon *daemon = context;

	uv_timer_start(&daemon->drain, drain_store, 0, DRAIN_CHECK_MS);
}

/* The keeper hangs, on a broken disk for one. What Postfix still does is settled at the next start. */
static void postfix_stays(uv_timer_t *timer)
{
	log_error("postfix_not_stopped", "advice", "it is left running", NULL);
	postfix_stopped(timer->data);
}

static void stop(struct daemon *daemon, int exit_code)
{
	struct event event = {.type = EVENT_ENGINE_DOWN, .engine_down.lives = true};

	if (daemon->stopping)
		return;
	daemon->stopping = true;
	daemon->exit_code = exit_code;
	http_server_free(daemon->http);
	daemon->http = NULL;
	uv_timer_start(&daemon->drain, postfix_stays, POSTFIX_END_MS, 0);
	engine_stop(daemon->engine, postfix_stopped, daemon);
	/* From here on no mail is claimed: at the next start a claim without an outcome may be a mail in
	 * doubt. */
	node_event(daemon->node, &event);
	driver_stop(daemon->driver);
}

/* Without it Postfix can't be started again: end, so that whoever supervises us starts both anew. */
static void keeper_lost(void *context)
{
	log_error("keeper_ended", "advice", "start optimusd again; Postfix runs on meanwhile", NULL);
	stop(context, EX_SOFTWARE);
}

static void watch_signals(struct daemon *daemon)
{
	signal(SIGPIPE, SIG_IGN);
	uv_signal_init(&daemon->loop, &daemon->terminate);
	uv_signal_init(&daemon->loop, &daemon->interrupt);
	uv_timer_init(&daemon->loop, &daemon->drain);
	daemon->terminate.data = daemon;
	daemon->interrupt.data = daemon;
	daemon->drain.data = daemon;
	uv_signal_start(&daemon->terminate, signalled, SIGTERM);
	uv_signal_start(&daemon->interrupt, signalled, SIGINT);
}

/* Two API addresses with all their clients take more than the usual 1024, and then Postfix waits for us. */
static void allow_files(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur >= FILES_WANTED)
		return;
	limit.rlim_cur = limit.rlim_max < FILES_WANTED ? limit.rlim_max : FILES_WANTED;
	if (setrlimit(RLIMIT_NOFILE, &limit) != 0)
		log_warning("file_limit", "reason", "it can't be raised", NULL);
}

/* Opens the ports, and makes the node with the address that came of it. */
static int join_cluster(struct daemon *daemon)
{
	char error[ERROR_SIZE] = "";
	uint64_t incarnation = 0;
	char *path;
	int status;

	if (asprintf(&path, "%s/incarnation", daemon->config.data) < 0)
		abort();
	status = node_incarnation(path, &incarnation);
	if (status != 0)
		log_error("incarnation_not_written", "file", path, "error", strerror(errno), NULL);
	free(path);
	if (status == 0) {
		status = node_cluster_new(&daemon->loop, &daemon->config, &daemon->identity, &daemon->key,
		    &daemon->cluster, error, sizeof(error));
		if (status != 0)
			log_error("listen_failed", "address", daemon->config.listen, "reason", error, NULL);
	}
	daemon->node = node_new(&daemon->loop, &daemon->config, &daemon->identity.node, daemon->cluster,
	    daemon->cluster == NULL ? "" : node_cluster_address(daemon->cluster), incarnation);
	if (daemon->cluster != NULL)
		node_cluster_attach(daemon->cluster, daemon->node);
	return status;
}

static int run(struct daemon *daemon)
{
	int joined;

	allow_files();
	uv_loop_init(&daemon->loop);
	watch_signals(daemon);
	if (daemon->keeper_fd >= 0)
		daemon->keeper = keeper_new(&daemon->loop, daemon->keeper_fd, keeper_lost, daemon);
	joined = join_cluster(daemon);
	daemon->driver = driver_new(&daemon->loop, daemon->node);
	daemon->engine = engine_new(&daemon->loop, daemon->node, daemon->driver, daemon->keeper);
	daemon->http = http_server_new(daemon->node, &daemon->loop);
	if (joined != 0 || check_external_redis(&daemon->config) != 0 || open_store(daemon) != 0) {
		daemon->exit_code = EX_UNAVAILABLE;
		return daemon->exit_code;
	}
	node_attach(daemon->node, daemon->store, daemon->engine, daemon->driver);
	store_redis_claim(daemon->store, &daemon->identity.node, store_claimed, daemon);
	uv_run(&daemon->loop, UV_RUN_DEFAULT);
	return daemon->exit_code;
}

/* Frees everything, so that a leak checker sees what was forgotten. */
static void clean_up(struct daemon *daemon)
{
	http_server_free(daemon->http);
	outcome_server_free(daemon->outcomes);
	close_cluster(daemon);
	engine_free(daemon->engine);
	driver_free(daemon->driver);
	keeper_free(daemon->keeper);
	node_stop(daemon->node);
	if (daemon->store != NULL)
		store_free(daemon->store);
	redis_server_free(daemon->redis);
	uv_close((uv_handle_t *)&daemon->terminate, NULL);
	uv_close((uv_handle_t *)&daemon->interrupt, NULL);
	uv_close((uv_handle_t *)&daemon->drain, NULL);
	while (uv_run(&daemon->loop, UV_RUN_ONCE) != 0)
		;
	uv_loop_close(&daemon->loop);
	node_free(daemon->node);
	identity_wipe(&daemon->identity);
	cluster_key_wipe(&daemon->key);
	config_done(&daemon->config);
}

/* The end before anything was started. */
static int fail(struct daemon *daemon, int exit_code, const char *error)
{
	fprintf(stderr, "optimusd: %s\n", error);
	identity_wipe(&daemon->identity);
	cluster_key_wipe(&daemon->key);
	config_done(&daemon->config);
	return exit_code;
}

/* What has to be done as root, and giving root up. Returns an exit code. */
static int become_user(struct daemon *daemon, char *error)
{
	const struct config *config = &daemon->config;
	int status = cluster_key_load(config->key_file, &daemon->key, error, ERROR_SIZE);

	daemon->keeper_fd = -1;
	if (status != 0)
		return EX_CONFIG;
	status = privileges_open_data(config, &daemon->lock, error, ERROR_SIZE);
	if (status != 0)
		return status == OPT_E_AGAIN       ? EX_TEMPFAIL
		       : status == OPT_E_NOT_FOUND ? EX_NOUSER
		                                   : EX_CANTCREAT;
	if (config->postfix_dir != NULL) {
		if (geteuid() != 0) {
			snprintf(error, ERROR_SIZE,
			    "Postfix's master needs root: start optimusd as root (it gives root up), or "
			    "with --postfix none");
			return EX_NOPERM;
		}
		daemon->keeper_fd = keeper_fork(config, daemon->lock);
		if (daemon->keeper_fd < 0) {
			snprintf(error, ERROR_SIZE, "can't fork");
			return EX_OSERR;
		}
	}
	return privileges_drop(config, error, ERROR_SIZE) == 0 ? 0 : EX_NOPERM;
}

static int load_identity(struct daemon *daemon, char *error)
{
	char *path;
	int status;

	if (asprintf(&path, "%s/identity", daemon->config.data) < 0)
		abort();
	status = identity_load(path, &daemon->identity, error, ERROR_SIZE);
	free(path);
	return status == 0 ? 0 : EX_CONFIG;
}

/* sockaddr_un has room for 107 bytes; the longest name that we put behind the folder has to fit. */
static int check_lengths(const struct config *config, char *error)
{
	const char *folder = config->postfix_dir == NULL ? config->data : config->postfix_dir;

	if (strlen(folder) + strlen("/spool/private/optimus-pickup") <= SOCKET_PATH_MAX)
		return 0;
	snprintf(
	    error, ERROR_SIZE, "the path %s is too long for the sockets in it: use a shorter --data", folder);
	return EX_CONFIG;
}

int main(int argc, char **argv)
{
	struct daemon daemon = {.exit_code = 0};
	char error[ERROR_SIZE] = "";
	char hex[OPT_ID_HEX];
	bool done;
	int status;

	umask(027);
	if (sodium_init() < 0)
		return fail(&daemon, EX_SOFTWARE, "libsodium can't be used");
	if (config_read(argc, argv, &daemon.config, &done) != 0)
		return EX_USAGE;
	if (done) {
		config_done(&daemon.config);
		return 0;
	}
	status = check_lengths(&daemon.config, error);
	if (status == 0)
		status = become_user(&daemon, error);
	if (status == 0)
		status = load_identity(&daemon, error);
	if (status != 0)
		return fail(&daemon, status, error);
	log_info("node_starting", "node", id_to_hex(&daemon.identity.node, hex), "version", OPTIMUS_VERSION,
	    "data", daemon.config.data, NULL);
	status = run(&daemon);
	clean_up(&daemon);
	log_info("node_ended", "status", log_int(status), NULL);
	return status;
}
