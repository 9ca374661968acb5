/* Where code goes. */
#ifndef CIMARRON_SECTION_H
#define CIMARRON_SECTION_H

#include <stdint.h>

/* Behind everything else, so that what every inference runs lies together: the instruction cache holds 4 KiB. */
#define APART __attribute__((noinline, section(".text.unlikely.apart")))

/* Behind what every inference runs, in front of everything else: in the same 4 KiB. */
#define NEAR __attribute__((noinline, section(".text.unlikely.near")))

/* Behind that, what loading a program runs: two thirds of the cache. */
#define LOADING __attribute__((noinline, section(".text.unlikely.loading")))

/* Behind that, what fewer networks run: in the cache's lines of NEAR, not in those of what all of them run. */
#define BESIDE __attribute__((noinline, section(".text.unlikely.beside")))

#endif
