/* source_cases.h: what the tests of data sources share: sources that open, ones that are refused, and small
 * files. A failure fails the test. @thread main. */
#ifndef RS_TEST_SOURCE_CASES_H
#define RS_TEST_SOURCE_CASES_H

#include "source.h"

/* The caller destroys it. */
struct rs_source *must_open(const char *dir, enum rs_split split);
/* Opening dir/sub must fail with code; the message names the path and holds part. */
void refuse(const char *dir, const char *sub, enum rs_split split, int code, const char *part);
/* The files of a split below dir, in their order, a line each. */
void expect_files(const char *dir, enum rs_split split, const char *expected);
/* dir/name: count records of CIFAR-10. */
void write_cifar10(const char *dir, const char *name, size_t count);
/* dir/path: a file of one byte. */
void touch(const char *dir, const char *path);

#endif
