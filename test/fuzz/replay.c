/* SPDX-License-Identifier: MIT */
/*
 * Runs a fuzz target on every file of its corpus, so that what a fuzzer once found stays found in builds
 * without one. Fails when a corpus is missing or empty.
 *
 *   replay-target CORPUS-FOLDER
 */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "queue/message/buffer.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static int run_file(const char *folder, const char *name)
{
	struct buffer path, content;
	size_t got;
	FILE *file;

	buffer_init(&path);
	buffer_init(&content);
	buffer_printf(&path, "%s/%s", folder, name);
	file = fopen(buffer_text(&path), "rb");
	if (file == NULL) {
		perror(buffer_text(&path));
		return 1;
	}
	while ((got = fread(buffer_reserve(&content, 65536), 1, 65536, file)) > 0)
		content.len += got;
	fclose(file);
	LLVMFuzzerTestOneInput((const uint8_t *)buffer_text(&content), content.len);
	buffer_done(&content);
	buffer_done(&path);
	return 0;
}

int main(int argc, char **argv)
{
	struct dirent *entry;
	int files = 0;
	DIR *folder;

	if (argc != 2 || (folder = opendir(argv[1])) == NULL) {
		fprintf(stderr, "usage: %s CORPUS-FOLDER\n", argv[0]);
		return 2;
	}
	while ((entry = readdir(folder)) != NULL) {
		if (entry->d_name[0] == '.')
			continue;
		if (run_file(argv[1], entry->d_name) != 0)
			return 1;
		files++;
	}
	closedir(folder);
	printf("%d files\n", files);
	return files > 0 ? 0 : 1;
}
