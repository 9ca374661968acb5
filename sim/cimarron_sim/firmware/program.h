#ifndef CIMARRON_PROGRAM_H
#define CIMARRON_PROGRAM_H

#include <stdint.h>

#include "outcome.h"
#include "section.h"

/* Where the host places the image; cached, so the data cache has to be invalidated after the host wrote. */
#define PROGRAM ((const uint32_t *)(RAM_BASE + PROGRAM_OFFSET))

/* Words of a step, with its first. */
#define STEP_LENGTH(word) ((word) >> 16)
#define STEP_KIND(word) ((word) & 0xFFu)
#define JOBS_LENGTH 3u

/* Whether the image at PROGRAM may run here: format, hardware, bounds, CRC and every step. */
LOADING struct outcome program_check(void);

#endif
