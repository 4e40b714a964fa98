/* checkpoint.h: states as safetensors files.
 *
 * How it works: a file is 8 bytes of header length (little endian), a JSON header (name: dtype, shape,
 * data_offsets; and
 * "__metadata__", strings), the data. Weights carry PyTorch's state_dict names, num_batches_tracked as I64
 * scalars. A resume file holds the same tensors, "optimizer.moment1.<name>", "optimizer.moment2.<name>",
 * "optimizer.steps", and metadata given by the caller. Files are written beside (path + ".partial"), fsynced,
 * renamed, and the folder fsynced: a reader sees the old file or the new one. A load checks everything
 * against the file's real size before it believes the header.
 *
 * @thread any; one call at a time for a state.
 */
#ifndef RS_CHECKPOINT_H
#define RS_CHECKPOINT_H

#include "state.h"

struct rs_metadata { /* strings of "__metadata__", UTF-8 */
    const char *key, *value;
};

/* Weights and buffers; with_optimizer adds moments and steps. Errors: RS_E_IO, RS_E_NO_SPACE,
 * RS_E_PERMISSION, RS_E_NOT_FOUND (no such folder) with the path. After an error path is as it was, and the
 * partial file is gone. */
int rs_checkpoint_save(const char *path, const struct rs_state *state, int with_optimizer,
                       const struct rs_metadata *metadata, int metadata_count, struct rs_error *err);
/* Every tensor of the graph must be there with its shape (F32; num_batches_tracked I64), in any order,
 * nothing unknown but the optimizer's. with_optimizer: that must be there too. Without it moments and steps
 * stay as they are. Errors name file and tensor: RS_E_NOT_FOUND, RS_E_SHAPE (both shapes; or an unknown
 * tensor), RS_E_UNSUPPORTED (another dtype), RS_E_CORRUPT, RS_E_LIMIT, RS_E_PERMISSION, RS_E_IO. A file that
 * doesn't fit changes nothing; one that fails while its data is read (RS_E_IO, a negative counter, a file
 * that is written to) may have changed part of the state. */
int rs_checkpoint_load(const char *path, struct rs_state *state, int with_optimizer, struct rs_error *err);
/* Copies the metadata value of key to a new string that the caller frees with free(); NULL in *value when
 * there is none. */
int rs_checkpoint_metadata(const char *path, const char *key, char **value, struct rs_error *err);
/* Number of classes (rows of classifier.weight, or of the matrix that lies last in the file), for predict and
 * eval. */
int rs_checkpoint_classes(const char *path, int32_t *classes, struct rs_error *err);

#endif
