/* CRC-32C (Castagnoli, RFC 3720 appendix B.4), the checksum of every file of the store. Uses the CPU's
 * instruction where there is one. */
#pragma once

#include <stddef.h>
#include <stdint.h>

/* Continues `crc` (0 to begin) over bytes[0..n). */
uint32_t crc32c(uint32_t crc, const void *bytes, size_t n);
/* The same without the CPU's help, for machines that have none (and to check the other one against). */
uint32_t crc32c_table(uint32_t crc, const void *bytes, size_t n);
