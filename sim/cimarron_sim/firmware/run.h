#ifndef CIMARRON_RUN_H
#define CIMARRON_RUN_H

#include "outcome.h"

/* One inference with the program that program_check() accepted. */
struct outcome program_run(void);

#endif
