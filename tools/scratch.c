/* scratch.c: see scratch.h. */
#include "scratch.h"

#include <errno.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>

int rs__scratch_create(struct rs_scratch *scratch, struct rs_error *err)
{
    const char *parent = getenv("TMPDIR");
    if (!parent || !*parent)
        parent = "/tmp";
    int length = snprintf(scratch->path, sizeof scratch->path, "%s/rstream-bench-XXXXXX", parent);
    if (length < 0 || (size_t)length >= sizeof scratch->path) {
        scratch->path[0] = '\0';
        return rs_error_set(err, RS_E_LIMIT, "TMPDIR's path is too long: %.80s", parent);
    }
    if (mkdtemp(scratch->path))
        return RS_OK;
    scratch->path[0] = '\0';
    return rs_error_set_errno(err, errno, "no temporary folder can be made in %s: set TMPDIR", parent);
}

static int remove_entry(const char *path, const struct stat *about, int type, struct FTW *where)
{
    (void)about;
    (void)type;
    (void)where;
    (void)remove(path);
    return 0;
}

void rs__scratch_remove(struct rs_scratch *scratch)
{
    if (scratch->path[0])
        (void)nftw(scratch->path, remove_entry, 8, FTW_DEPTH | FTW_PHYS);
    scratch->path[0] = '\0';
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

double rs__median(double *values, size_t count)
{
    qsort(values, count, sizeof *values, compare);
    return count % 2 ? values[count / 2] : (values[count / 2 - 1] + values[count / 2]) / 2;
}
