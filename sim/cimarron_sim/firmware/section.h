/* Where code goes. */
#ifndef CIMARRON_SECTION_H
#define CIMARRON_SECTION_H

#include <stdint.h>

/* Behind everything else, so that what every inference runs lies together: the instruction cache holds 4 KiB. */
#define APART __attribute__((noinline, section(".text.unlikely.apart")))

/* Behind what every inference runs, in front of everything else: in the same 4 KiB. */
#define NEAR __attribute__((noinline, section(".text.unlikely.near")))

#endif
