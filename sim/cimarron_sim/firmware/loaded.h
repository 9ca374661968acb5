/* The image that may run. */
#ifndef CIMARRON_LOADED_H
#define CIMARRON_LOADED_H

#include <stdint.h>

/* Its size in bytes, 0 if there is none. */
uint32_t loaded_image(void);

/* Memory from an offset behind PROGRAM_OFFSET on is about to change: an image that reaches there must not run. */
void forget_image(uint32_t offset);

#endif
