/* SPDX-License-Identifier: MIT */
/*
 * How much room there is, and the ballast file.
 *
 * The ballast's blocks are allocated for real (posix_fallocate), a sparse file would give nothing back. Being
 * a file, it survives a restart of the daemon, and an operator who needs the room can remove it by hand. Who
 * frees it, and when it is made again, is decided elsewhere (redis_server.c).
 */
#include "daemon/disk.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "queue/error.h"

int disk_free(const char *path, uint64_t *ret_bytes)
{
	struct statvfs st;

	if (statvfs(path, &st) != 0)
		return OPT_E_IO;
	*ret_bytes = (uint64_t)st.f_bavail * (uint64_t)st.f_frsize;
	return 0;
}

int disk_room(const char *path, uint64_t reserve)
{
	uint64_t room;
	int r = disk_free(path, &room);

	if (r != 0)
		return r;
	return room >= reserve ? 0 : OPT_E_FULL;
}

bool disk_ballast_exists(const char *path, uint64_t bytes)
{
	struct stat st;

	if (lstat(path, &st) != 0 || !S_ISREG(st.st_mode))
		return false;
	return (uint64_t)st.st_size >= bytes && (uint64_t)st.st_blocks * 512 >= bytes;
}

int disk_ballast_create(const char *path, uint64_t bytes)
{
	struct statvfs st;
	int fd, error;

	if (bytes == 0 || bytes > INT64_MAX / 2 || disk_ballast_exists(path, bytes))
		return 0;
	fd = open(path, O_WRONLY | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0)
		return errno == ENOSPC || errno == EDQUOT ? OPT_E_FULL : OPT_E_IO;
	if (fstatvfs(fd, &st) != 0) {
		error = errno;
		goto fail_unlink;
	}
	if ((uint64_t)st.f_bavail * (uint64_t)st.f_frsize < 2 * bytes) {
		error = ENOSPC;
		goto fail_unlink;
	}
	error = posix_fallocate(fd, 0, (off_t)bytes);
	if (error != 0)
		goto fail_unlink;
	close(fd);
	return 0;

fail_unlink:
	close(fd);
	unlink(path);
	errno = error;
	return error == ENOSPC || error == EDQUOT || error == EFBIG ? OPT_E_FULL : OPT_E_IO;
}

int disk_ballast_free(const char *path)
{
	if (unlink(path) == 0)
		return 0;
	return errno == ENOENT ? OPT_E_NOT_FOUND : OPT_E_IO;
}
