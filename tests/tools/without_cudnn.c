/* without_cudnn.c: hides cuDNN from a process: named in LD_AUDIT, it sends the loader's search for it to a
 * folder that isn't there, so that its words are those of a machine without one. A whole path is opened.
 *
 * @thread any.
 */
#include <link.h>
#include <stdint.h>
#include <string.h>

unsigned la_version(unsigned version);
char *la_objsearch(const char *name, uintptr_t *cookie, unsigned flag);

unsigned la_version(unsigned version)
{
    return version;
}

/* flag: LA_SER_ORIG is the name as it was asked for, the others are places where it might be. */
char *la_objsearch(const char *name, uintptr_t *cookie, unsigned flag)
{
    static char nowhere[] = "/nowhere/libcudnn.so.9";
    const char *slash = strrchr(name, '/');
    (void)cookie;
    if (flag != LA_SER_ORIG && slash && strncmp(slash + 1, "libcudnn", 8) == 0)
        return nowhere;
    return (char *)name; /* as it is */
}
