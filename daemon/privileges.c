/* SPDX-License-Identifier: MIT */
/*
 * Least privilege: of all that a node runs, only Postfix's master and the keeper stay root.
 */
#include "daemon/privileges.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "queue/error.h"

static const struct passwd *find_user(const struct config *config, char *error, size_t size)
{
	const struct passwd *user = getpwnam(config->user);

	if (user == NULL)
		snprintf(error, size,
		    "there is no user \"%s\": run scripts/setup, or set `user` in the configuration",
		    config->user);
	return user;
}

/* The group of the setting, or else the user's own. */
static gid_t find_group(const struct config *config, const struct passwd *user)
{
	const struct group *group = getgrnam(config->group);

	return group != NULL ? group->gr_gid : user->pw_gid;
}

static int own_folder(const struct config *config, const char *path, char *error, size_t size)
{
	const struct passwd *user;

	if (mkdir(path, 0750) != 0 && errno != EEXIST) {
		snprintf(error, size, "can't make the folder %s: %s", path, strerror(errno));
		return OPT_E_IO;
	}
	if (geteuid() != 0)
		return 0;
	user = find_user(config, error, size);
	if (user == NULL)
		return OPT_E_NOT_FOUND;
	if (chown(path, user->pw_uid, find_group(config, user)) != 0 || chmod(path, 0750) != 0) {
		snprintf(
		    error, size, "can't give the folder %s to %s: %s", path, config->user, strerror(errno));
		return OPT_E_IO;
	}
	return 0;
}

int privileges_open_data(const struct config *config, int *ret_lock, char *error, size_t size)
{
	char path[4096];
	int lock;
	int status = own_folder(config, config->data, error, size);

	if (status != 0)
		return status;
	snprintf(path, sizeof(path), "%s/lock", config->data);
	lock = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (lock < 0) {
		snprintf(error, size, "can't open %s: %s", path, strerror(errno));
		return OPT_E_IO;
	}
	if (flock(lock, LOCK_EX | LOCK_NB) != 0) {
		snprintf(error, size, "another optimusd runs on %s: stop it first, or use another --data",
		    config->data);
		close(lock);
		return OPT_E_AGAIN;
	}
	snprintf(path, sizeof(path), "%s/redis", config->data);
	status = own_folder(config, path, error, size);
	if (status == 0 && chmod(path, 0700) != 0)
		status = OPT_E_IO;
	if (status != 0) {
		close(lock);
		return status;
	}
	*ret_lock = lock;
	return 0;
}

int privileges_drop(const struct config *config, char *error, size_t size)
{
	const struct passwd *user;
	gid_t group;

	if (geteuid() != 0)
		return 0;
	user = find_user(config, error, size);
	if (user == NULL)
		return OPT_E_NOT_FOUND;
	group = find_group(config, user);
	if (initgroups(user->pw_name, group) != 0 || setresgid(group, group, group) != 0 ||
	    setresuid(user->pw_uid, user->pw_uid, user->pw_uid) != 0 ||
	    (user->pw_uid != 0 && setuid(0) == 0)) {
		snprintf(error, size, "can't become the user %s: %s", config->user, strerror(errno));
		return OPT_E_DENIED;
	}
	return 0;
}
