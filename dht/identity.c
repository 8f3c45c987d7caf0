/* SPDX-License-Identifier: MIT */
/*
 * Key files. Both are one line of text, a word that says what it is and base64, so that a file put in the
 * wrong place is recognised:
 *
 *   optimus-node-1:<64 bytes>    the Ed25519 secret key of a node
 *   optimus-key-1:<32 bytes>     the cluster key
 *
 * A new identity is written beside its place and renamed, so that a crash leaves either none or a whole one.
 */
#include "dht/identity.h"

#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "queue/error.h"

static const char node_word[] = "optimus-node-1:";
static const char key_word[] = "optimus-key-1:";

enum { LINE_MAX_SIZE = 200 };

/* The bytes behind `word` on the file's line. */
static int read_key(
    const char *path, const char *word, unsigned char *bytes, size_t len, char *error, size_t size)
{
	char line[LINE_MAX_SIZE] = "";
	struct stat st;
	size_t got;
	int status = OPT_E_INVALID;
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	ssize_t count;

	if (fd < 0) {
		snprintf(error, size, "can't read %s: %s", path, strerror(errno));
		return errno == ENOENT ? OPT_E_NOT_FOUND : OPT_E_IO;
	}
	count = fstat(fd, &st) == 0 ? read(fd, line, sizeof(line) - 1) : -1;
	close(fd);
	if (count < 0) {
		snprintf(error, size, "can't read %s: %s", path, strerror(errno));
		return OPT_E_IO;
	}
	line[strcspn(line, "\r\n")] = '\0';
	if ((st.st_mode & 077) != 0)
		snprintf(error, size, "others may read %s: chmod 600 %s", path, path);
	else if (strncmp(line, word, strlen(word)) != 0)
		snprintf(error, size, "%s does not begin with \"%s\"", path, word);
	else if (sodium_base642bin(bytes, len, line + strlen(word), strlen(line) - strlen(word), NULL, &got,
	             NULL, sodium_base64_VARIANT_ORIGINAL) != 0 ||
	         got != len)
		snprintf(error, size, "the key in %s is damaged", path);
	else
		status = 0;
	sodium_memzero(line, sizeof(line));
	return status;
}

static int write_identity(const char *path, const unsigned char *secret, char *error, size_t size)
{
	char line[LINE_MAX_SIZE];
	char temporary[4096];
	int fd;
	int status = OPT_E_IO;
	size_t len;

	memcpy(line, node_word, sizeof(node_word));
	len = sizeof(node_word) - 1;
	sodium_bin2base64(line + len, sizeof(line) - len - 1, secret, crypto_sign_SECRETKEYBYTES,
	    sodium_base64_VARIANT_ORIGINAL);
	len = strlen(line);
	line[len++] = '\n';
	snprintf(temporary, sizeof(temporary), "%s.new", path);
	fd = open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (fd >= 0 && write(fd, line, len) == (ssize_t)len && fsync(fd) == 0 && rename(temporary, path) == 0)
		status = 0;
	else
		snprintf(error, size, "can't write %s: %s", path, strerror(errno));
	if (fd >= 0)
		close(fd);
	sodium_memzero(line, sizeof(line));
	return status;
}

int identity_load(const char *path, struct identity *ret_identity, char *error, size_t size)
{
	struct identity identity;
	struct id_hash hash;
	int status = read_key(path, node_word, identity.secret_key, sizeof(identity.secret_key), error, size);

	if (status == OPT_E_NOT_FOUND) {
		crypto_sign_keypair(identity.public_key, identity.secret_key);
		status = write_identity(path, identity.secret_key, error, size);
	}
	if (status != 0)
		return status;
	crypto_sign_ed25519_sk_to_pk(identity.public_key, identity.secret_key);
	id_hash_init(&hash);
	id_hash_add(&hash, identity.public_key, sizeof(identity.public_key));
	identity.node = id_hash_done(&hash);
	*ret_identity = identity;
	identity_wipe(&identity);
	return 0;
}

int cluster_key_load(const char *path, struct cluster_key *ret_key, char *error, size_t size)
{
	struct cluster_key key;
	int status = read_key(path, key_word, key.bytes, sizeof(key.bytes), error, size);

	if (status == OPT_E_NOT_FOUND)
		snprintf(error, size,
		    "there is no cluster key at %s: make one with \"optimus keygen\", or copy that of the "
		    "cluster",
		    path);
	if (status == 0)
		*ret_key = key;
	cluster_key_wipe(&key);
	return status;
}

void identity_wipe(struct identity *identity)
{
	sodium_memzero(identity->secret_key, sizeof(identity->secret_key));
}

void cluster_key_wipe(struct cluster_key *key)
{
	sodium_memzero(key->bytes, sizeof(key->bytes));
}
