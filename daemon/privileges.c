/* SPDX-License-Identifier: MIT */
/*
 * Least privilege: of all that a node runs, only Postfix's master and the keeper stay root.
 */
#include "daemon/privileges.h"

#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/xattr.h>
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

static int folder_failed(const char *what, const char *path, char *error, size_t size)
{
	snprintf(error, size, "can't %s the folder %s: %s", what, path, strerror(errno));
	return OPT_E_IO;
}

/* Lets the user write into a folder of root's, and the group look. False where there are no access lists. */
static bool admit_user(int fd, uid_t user)
{
	enum { USER_OBJ = 1, USER = 2, GROUP_OBJ = 4, MASK = 16, OTHER = 32, READ_SEARCH = 5, ALL = 7 };
	const struct {
		uint32_t version;
		struct {
			uint16_t tag, mode;
			uint32_t id;
		} entries[5];
	} list = {
	    .version = htole32(2), /* linux/posix_acl_xattr.h */
	    .entries = {{htole16(USER_OBJ), htole16(ALL), UINT32_MAX},
	        {htole16(USER), htole16(ALL), htole32(user)},
	        {htole16(GROUP_OBJ), htole16(READ_SEARCH), UINT32_MAX},
	        {htole16(MASK), htole16(ALL), UINT32_MAX}, {htole16(OTHER), 0, UINT32_MAX}},
	};

	return fsetxattr(fd, "system.posix_acl_access", &list, sizeof(list), 0) == 0;
}

/*
 * The data folder stays root's, with the sticky bit: the user makes and removes files of his own in it, but
 * can't put anything in the place of the Postfix instance, out of which root runs programs. Without access
 * lists the folder is the user's, and then optimus-instance refuses an instance inside of it.
 */
static int give_data(int fd, const struct passwd *user, gid_t group)
{
	if (fchown(fd, 0, group) == 0 && fchmod(fd, 01750) == 0 && admit_user(fd, user->pw_uid))
		return 0;
	return fchown(fd, user->pw_uid, group) == 0 && fchmod(fd, 0750) == 0 ? 0 : OPT_E_IO;
}

static int own_data(const struct config *config, char *error, size_t size)
{
	const struct passwd *user;
	int fd, status;

	if (mkdir(config->data, 0750) != 0 && errno != EEXIST)
		return folder_failed("make", config->data, error, size);
	if (geteuid() != 0)
		return 0;
	user = find_user(config, error, size);
	if (user == NULL)
		return OPT_E_NOT_FOUND;
	fd = open(config->data, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return folder_failed("open", config->data, error, size);
	status = give_data(fd, user, find_group(config, user));
	if (status != 0)
		folder_failed("give away", config->data, error, size);
	close(fd);
	return status;
}

/* The store's folder is the user's alone. He could have put a link in its place: root follows none. */
static int own_store(const struct config *config, const char *path, char *error, size_t size)
{
	const struct passwd *user = NULL;
	int fd, status = 0;

	if (mkdir(path, 0700) != 0 && errno != EEXIST)
		return folder_failed("make", path, error, size);
	if (geteuid() == 0) {
		user = find_user(config, error, size);
		if (user == NULL)
			return OPT_E_NOT_FOUND;
	}
	fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return folder_failed("open", path, error, size);
	if ((user != NULL && fchown(fd, user->pw_uid, find_group(config, user)) != 0) ||
	    fchmod(fd, 0700) != 0)
		status = folder_failed("give away", path, error, size);
	close(fd);
	return status;
}

int privileges_open_data(const struct config *config, int *ret_lock, char *error, size_t size)
{
	char path[4096];
	int lock;
	int status = own_data(config, error, size);

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
	status = own_store(config, path, error, size);
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
