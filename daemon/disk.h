/* SPDX-License-Identifier: MIT */
/*
 * Room on the disk of the data folder, and the ballast: a file of real blocks that is given back when the
 * disk is full, so that what was accepted can still be written down.
 */
#ifndef OPTIMUS_DAEMON_DISK_H
#define OPTIMUS_DAEMON_DISK_H

#include <stdbool.h>
#include <stdint.h>

/* Bytes that an ordinary user can still write on the file system of `path`. OPT_E_IO. */
int disk_free(const char *path, uint64_t *ret_bytes);
/* 0 while at least `reserve` bytes are free there, otherwise OPT_E_FULL. OPT_E_IO. */
int disk_room(const char *path, uint64_t reserve);

/*
 * Makes the ballast file of `bytes`, unless it is there already. Only where as much again stays free beside
 * it: OPT_E_FULL otherwise. OPT_E_IO. Nothing is left behind on failure.
 */
int disk_ballast_create(const char *path, uint64_t bytes);
/* True when the file is there with all of its `bytes`. */
bool disk_ballast_exists(const char *path, uint64_t bytes);
/* Gives the room back. OPT_E_NOT_FOUND when it was given back before. OPT_E_IO. */
int disk_ballast_free(const char *path);

#endif
