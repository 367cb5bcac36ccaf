/* The C library gives every thread an arena of its own, up to eight for each processor, and keeps in each what was freed there. One for each
 * processor is as fast here, and is less memory by a tenth to a half. Whoever sets MALLOC_ARENA_MAX or GLIBC_TUNABLES knows better. */
#include <malloc.h>
#include <stdlib.h>
#include <unistd.h>

/* Before main: what exists stays, so no thread may have been started. */
__attribute__((constructor)) static void darkslide_limit_arenas(void)
{
    long processors;

    if (getenv("MALLOC_ARENA_MAX") != NULL || getenv("GLIBC_TUNABLES") != NULL)
        return;
    processors = sysconf(_SC_NPROCESSORS_ONLN);
    mallopt(M_ARENA_MAX, processors < 2 ? 2 : processors > 64 ? 64 : (int)processors);
}
