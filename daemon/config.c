/* SPDX-License-Identifier: MIT */
/*
 * The configuration: defaults, then the file of --config, then the command line. A file has lines of a name,
 * an equals sign and a value; `#` starts a comment; route and postfix may be given several times. An unknown
 * name is an error, not a surprise in a month. The names are listed in optimusd(8).
 */
#include "daemon/config.h"

#include <errno.h>
#include <getopt.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "daemon/config_value.h"
#include "daemon/version.h"
#include "queue/error.h"

static char *copy(const char *text)
{
	char *result = strdup(text);

	if (result == NULL)
		abort();
	return result;
}

static void set_text(char **field, const char *value)
{
	free(*field);
	*field = copy(value);
}

static int list_add(struct config_list *list, const char *value)
{
	if (list->count == CONFIG_LIST_MAX)
		return OPT_E_LIMIT;
	list->items[list->count++] = copy(value);
	return 0;
}

static int set_route(struct config *config, const char *value)
{
	const char *equals = strchr(value, '=');

	if (equals == NULL || equals == value || config_check_address(equals + 1) != 0)
		return OPT_E_INVALID;
	return list_add(&config->routes, value);
}

static int set_doubt(struct config *config, const char *value)
{
	if (strcmp(value, "resend") != 0 && strcmp(value, "report") != 0)
		return OPT_E_INVALID;
	config->core.resend_in_doubt = value[2] == 's';
	return 0;
}

static int set_absolute(char **field, const char *value)
{
	if (value[0] == '/') {
		set_text(field, value);
	} else {
		char folder[PATH_MAX];
		char *joined;

		if (getcwd(folder, sizeof(folder)) == NULL || asprintf(&joined, "%s/%s", folder, value) < 0)
			return OPT_E_IO;
		free(*field);
		*field = joined;
	}
	return 0;
}

static int set_redis(struct config *config, const char *value)
{
	if (strncmp(value, "unix:/", 6) != 0)
		return OPT_E_INVALID;
	set_text(&config->redis, value);
	return 0;
}

static int set_postfix_dir(struct config *config, const char *value)
{
	if (strcmp(value, "none") == 0) {
		set_text(&config->postfix_dir, "");
		return 0;
	}
	return set_absolute(&config->postfix_dir, value);
}

/* 0 is the core's word for "never". */
static int set_alone_after(struct config *config, const char *value)
{
	int status;

	config->core.alone_after = 0;
	if (strcmp(value, "never") == 0)
		return 0;
	status = config_duration(value, &config->core.alone_after);
	return status == 0 && config->core.alone_after == 0 ? OPT_E_INVALID : status;
}

/* One setting by its name, as in the file. OPT_E_NOT_FOUND for an unknown name, OPT_E_INVALID for a bad
 * value. */
static int set(struct config *config, const char *name, const char *value)
{
	const struct {
		const char *name;
		char **text;
	} texts[] = {{"user", &config->user}, {"group", &config->group}, {"hostname", &config->hostname},
	    {"libexec", &config->libexec}};
	const struct {
		const char *name;
		uint32_t min, max;
		uint32_t *number;
	} numbers[] = {{"window", 1, 100000, &config->core.window},
	    {"domain_share", 1, 100, &config->core.domain_share},
	    {"claim_group", 1, 500, &config->core.claim_group}, {"pickups", 1, 64, &config->pickups},
	    {"weight", 1, 1000, &config->weight},
	    {"open_mails_max", 1000, 100000000, &config->core.open_mails_max}};
	const struct {
		const char *name;
		usec *duration;
	} durations[] = {{"min_backoff", &config->core.min_backoff},
	    {"max_backoff", &config->core.max_backoff}, {"domain_hold", &config->core.domain_hold},
	    {"doubt_hold", &config->core.doubt_hold}, {"replace_after", &config->core.replace_after}};

	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		if (strcmp(name, texts[i].name) == 0) {
			set_text(texts[i].text, value);
			return *value == '\0' ? OPT_E_INVALID : 0;
		}
	}
	for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
		if (strcmp(name, numbers[i].name) == 0)
			return config_number(value, numbers[i].min, numbers[i].max, numbers[i].number);
	}
	for (size_t i = 0; i < sizeof(durations) / sizeof(durations[0]); i++) {
		if (strcmp(name, durations[i].name) == 0)
			return config_duration(value, durations[i].duration);
	}
	if (strcmp(name, "relay") == 0) {
		set_text(&config->relay, value);
		return config_check_address(value);
	}
	if (strcmp(name, "route") == 0)
		return set_route(config, value);
	if (strcmp(name, "postfix") == 0)
		return strchr(value, '=') == NULL ? OPT_E_INVALID : list_add(&config->postfix, value);
	if (strcmp(name, "on_doubt") == 0)
		return set_doubt(config, value);
	if (strcmp(name, "alone_after") == 0)
		return set_alone_after(config, value);
	if (strcmp(name, "reserve") == 0)
		return config_bytes(value, &config->reserve);
	if (strcmp(name, "ballast") == 0)
		return config_bytes(value, &config->ballast);
	return OPT_E_NOT_FOUND;
}

static char *trim(char *text)
{
	size_t len;

	text += strspn(text, " \t\r\n");
	len = strlen(text);
	while (len > 0 && strchr(" \t\r\n", text[len - 1]) != NULL)
		text[--len] = '\0';
	return text;
}

/* One line of the file. 0, or what is wrong. */
static int read_line(struct config *config, char *line)
{
	char *text = trim(line);
	char *equals;

	if (*text == '\0' || *text == '#')
		return 0;
	equals = strchr(text, '=');
	if (equals == NULL)
		return OPT_E_INVALID;
	*equals = '\0';
	return set(config, trim(text), trim(equals + 1));
}

static int read_file(struct config *config, const char *path)
{
	FILE *file = fopen(path, "re");
	char *line = NULL;
	size_t size = 0;
	int number = 0;
	int status = 0;

	if (file == NULL) {
		fprintf(stderr, "optimusd: can't read the configuration %s: %s\n", path, strerror(errno));
		return OPT_E_INVALID;
	}
	while (status == 0 && getline(&line, &size, file) >= 0) {
		number++;
		status = read_line(config, line);
	}
	if (status != 0) {
		fprintf(stderr, "optimusd: %s, line %d: %s (see optimusd(8) for the settings)\n", path,
		    number,
		    status == OPT_E_NOT_FOUND ? "there is no such setting"
		    : status == OPT_E_LIMIT   ? "too many of these"
		                              : "the value can't be used, or this is no `name = value`");
		status = OPT_E_INVALID;
	}
	free(line);
	fclose(file);
	return status;
}

static const char usage[] =
    "usage: optimusd --data DIR --listen HOST:PORT --key FILE [options]\n"
    "\n"
    "  --data DIR             where the node keeps everything: its store, its identity, its Postfix\n"
    "  --listen HOST:PORT     where other nodes of the cluster reach this one\n"
    "  --advertise HOST:PORT  where the others reach this node, if --listen does not say it\n"
    "  --bootstrap HOST:PORT  a member of the cluster to join; may be repeated; none: the first node\n"
    "  --key FILE             the cluster key (optimus keygen > FILE; chmod 600 FILE)\n"
    "  --api ADDR             unix:PATH or http://HOST:PORT; may be repeated (default unix:DIR/api.sock)\n"
    "  --postfix DIR          where the private Postfix lives (default DIR/postfix), or \"none\"\n"
    "  --redis unix:PATH      a Redis that is already there, instead of a private one\n"
    "  --weight W             this node's share of the load, 1 to 1000 (default 100)\n"
    "  --config FILE          more settings, one `name = value` a line\n"
    "  --help, --version\n"
    "\n"
    "The settings of the file, signals and exit codes are in optimusd(8).\n";

enum option_id {
	OPT_DATA = 1,
	OPT_LISTEN,
	OPT_ADVERTISE,
	OPT_BOOTSTRAP,
	OPT_KEY,
	OPT_API,
	OPT_POSTFIX,
	OPT_REDIS,
	OPT_WEIGHT,
	OPT_CONFIG,
	OPT_HELP,
	OPT_VERSION
};

static const struct option options[] = {{"data", required_argument, NULL, OPT_DATA},
    {"listen", required_argument, NULL, OPT_LISTEN}, {"advertise", required_argument, NULL, OPT_ADVERTISE},
    {"bootstrap", required_argument, NULL, OPT_BOOTSTRAP}, {"key", required_argument, NULL, OPT_KEY},
    {"api", required_argument, NULL, OPT_API}, {"postfix", required_argument, NULL, OPT_POSTFIX},
    {"redis", required_argument, NULL, OPT_REDIS}, {"weight", required_argument, NULL, OPT_WEIGHT},
    {"config", required_argument, NULL, OPT_CONFIG}, {"help", no_argument, NULL, OPT_HELP},
    {"version", no_argument, NULL, OPT_VERSION}, {NULL, 0, NULL, 0}};

static int set_option(struct config *config, int option, const char *value)
{
	switch (option) {
	case OPT_DATA:
		return set_absolute(&config->data, value);
	case OPT_LISTEN:
		set_text(&config->listen, value);
		return config_check_address(value);
	case OPT_ADVERTISE:
		set_text(&config->advertise, value);
		return config_check_address(value);
	case OPT_BOOTSTRAP:
		return config_check_address(value) == 0 ? list_add(&config->bootstrap, value) : OPT_E_INVALID;
	case OPT_KEY:
		return set_absolute(&config->key_file, value);
	case OPT_API:
		if (strncmp(value, "unix:/", 6) != 0 && strncmp(value, "http://", 7) != 0)
			return OPT_E_INVALID;
		return list_add(&config->api, value);
	case OPT_POSTFIX:
		return set_postfix_dir(config, value);
	case OPT_REDIS:
		return set_redis(config, value);
	case OPT_WEIGHT:
		return set(config, "weight", value);
	}
	return OPT_E_INVALID;
}

/* The first pass over the command line finds --config, --help and --version; the second applies the rest. */
static int read_options(int argc, char **argv, struct config *config, bool first, bool *ret_done)
{
	int option;
	int index = 0;

	optind = 1;
	while ((option = getopt_long(argc, argv, "", options, &index)) != -1) {
		if (option == '?')
			return OPT_E_INVALID;
		if (option == OPT_HELP || option == OPT_VERSION) {
			fputs(option == OPT_HELP ? usage : "optimusd " OPTIMUS_VERSION "\n", stdout);
			*ret_done = true;
			return 0;
		}
		if (option == OPT_CONFIG) {
			if (first && read_file(config, optarg) != 0)
				return OPT_E_INVALID;
		} else if (!first && set_option(config, option, optarg) != 0) {
			fprintf(stderr, "optimusd: --%s can't be \"%s\": see optimusd --help\n",
			    options[index].name, optarg);
			return OPT_E_INVALID;
		}
	}
	if (optind < argc) {
		fprintf(stderr, "optimusd: unexpected argument \"%s\": see optimusd --help\n", argv[optind]);
		return OPT_E_INVALID;
	}
	return 0;
}

/* The folder of the Postfix daemons: beside the program in a build folder, else where they were installed. */
static char *find_libexec(void)
{
	char self[PATH_MAX];
	ssize_t len = readlink("/proc/self/exe", self, sizeof(self) - 1);
	char *slash;
	char *built;

	if (len <= 0)
		return copy(OPTIMUS_LIBEXEC);
	self[len] = '\0';
	slash = strrchr(self, '/');
	if (slash != NULL)
		*slash = '\0';
	if (asprintf(&built, "%s/../postfix-glue", self) < 0)
		abort();
	if (access(built, X_OK) == 0)
		return built;
	free(built);
	return copy(OPTIMUS_LIBEXEC);
}

static void fill_in(struct config *config)
{
	if (config->api.count == 0) {
		char *address;

		if (asprintf(&address, "unix:%s/api.sock", config->data) < 0)
			abort();
		config->api.items[config->api.count++] = address;
	}
	if (config->postfix_dir == NULL && asprintf(&config->postfix_dir, "%s/postfix", config->data) < 0)
		abort();
	if (config->postfix_dir[0] == '\0') {
		free(config->postfix_dir);
		config->postfix_dir = NULL;
	}
	if (config->hostname == NULL) {
		char name[HOST_NAME_MAX + 1] = "localhost";

		gethostname(name, sizeof(name) - 1);
		/* As Postfix completes a name without a dot: Message-IDs end in it, in the mails and in the
		 * report. */
		if (asprintf(&config->hostname, strchr(name, '.') == NULL ? "%s.localdomain" : "%s", name) <
		    0)
			abort();
	}
	if (config->libexec == NULL)
		config->libexec = find_libexec();
}

/* One a processor: more of them only get into each other's way (1.30 against 1.25 ms of CPU time a mail, 4
 * against 2 on 2). */
static uint32_t default_pickups(void)
{
	long processors = sysconf(_SC_NPROCESSORS_ONLN);

	return processors < 2 ? 2 : processors > 16 ? 16 : (uint32_t)processors;
}

int config_read(int argc, char **argv, struct config *ret_config, bool *ret_done)
{
	struct config config = {.weight = 100,
	    .pickups = default_pickups(),
	    .reserve = 256 << 20,
	    .ballast = 64 << 20,
	    .core = core_config_default()};

	*ret_done = false;
	config.user = copy("optimus");
	config.group = copy("optimus");
	if (read_options(argc, argv, &config, true, ret_done) != 0)
		goto fail;
	if (*ret_done)
		goto done;
	if (read_options(argc, argv, &config, false, ret_done) != 0)
		goto fail;
	if (config.data == NULL || config.listen == NULL || config.key_file == NULL) {
		fprintf(stderr, "optimusd: --data, --listen and --key are needed: see optimusd --help\n");
		goto fail;
	}
	fill_in(&config);
done:
	*ret_config = config;
	return 0;
fail:
	config_done(&config);
	return OPT_E_INVALID;
}

static void list_done(struct config_list *list)
{
	for (size_t i = 0; i < list->count; i++)
		free(list->items[i]);
	list->count = 0;
}

void config_done(struct config *config)
{
	list_done(&config->bootstrap);
	list_done(&config->api);
	list_done(&config->routes);
	list_done(&config->postfix);
	free(config->data);
	free(config->listen);
	free(config->advertise);
	free(config->key_file);
	free(config->postfix_dir);
	free(config->redis);
	free(config->user);
	free(config->group);
	free(config->libexec);
	free(config->hostname);
	free(config->relay);
	memset(config, 0, sizeof(*config));
}
