/* Identifiers. Random bytes come from getrandom(2). Any thread. */
#ifndef SLUICE_BASE_ID_H
#define SLUICE_BASE_ID_H

#include <stddef.h>
#include <stdint.h>

#define ID_UUID_SIZE 37

/* A version 7 UUID (RFC 9562 5.7): ordered by time within this process. */
void id_uuid7(char out[ID_UUID_SIZE]);

/* n random bytes. */
void id_random(void *out, size_t n);

/* n random bytes as 2*n hex digits and a NUL. */
void id_random_hex(char *out, size_t n);

uint64_t id_random_u64(void);

#endif
