#ifndef CIMARRON_CRC32_H
#define CIMARRON_CRC32_H

#include "section.h"

/* CRC-32 of IEEE 802.3 (reflected, as zlib's) over whole words in little-endian order. */
LOADING uint32_t crc32(const uint32_t *words, uint32_t count);

#endif
