/* store.h: the encoded bytes of a small data set, kept in memory after they were read once.
 *
 * How it works: a source whose files sum up to RS_STORE_LIMIT bytes gets an arena with a place for each file.
 * Packed files (CIFAR) are loaded before the first batch, in large reads, many in flight; a folder's images
 * are read when a batch first asks for them and kept. A larger source has no store: its samples are read for
 * each batch. A place is absent, loading or present.
 *
 * Owner: the read stage. @thread loop; bytes that are present never change, so workers read them.
 */
#ifndef RS_STORE_H
#define RS_STORE_H

#include "loop.h"
#include "source.h"
#include <stdbool.h>

#define RS_STORE_LIMIT ((uint64_t)1 << 30)
#define RS_STORE_PIECE ((uint64_t)8 << 20) /* bytes a read when loading packed files */

struct rs_store;

/* A source that is too large is not kept: find and claim answer NULL. Errors: RS_E_NOMEM. */
int rs_store_create(struct rs_store **out, const struct rs_source *source, struct rs_error *err);
void rs_store_destroy(struct rs_store *store); /* no read may be in flight */

/* Starts loading packed files whole; done(arg, code, error) is called once on the loop, also when there is
 * nothing to load (then at once). */
int rs_store_load(struct rs_store *store, struct rs_loop *loop,
                  void (*done)(void *arg, int code, const struct rs_error *error), void *arg,
                  struct rs_error *err);

/* The file's bytes if they are present, else NULL. */
const uint8_t *rs_store_find(const struct rs_store *store, uint32_t file);
/* The place to read an absent file into, now marked as loading; NULL when it is loading already or nothing is
 * kept. */
uint8_t *rs_store_claim(struct rs_store *store, uint32_t file);
/* A claimed place was filled. */
void rs_store_fill(struct rs_store *store, uint32_t file);

#endif
