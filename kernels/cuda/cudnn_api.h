/* cudnn_api.h: cuDNN's backend (graph) functions, found at run time.
 *
 * How it works: libcudnn.so.9 is opened by name along the loader's search path, then by the path in
 * RSTREAM_CUDNN (a file, or a folder that holds it), and its functions are looked up once. Nothing of cuDNN
 * is linked, so a machine without it can still load the plugin and hear why it can't be used.
 *
 * Owner: the creator. @thread any once open.
 */
#ifndef RS_CUDNN_API_H
#define RS_CUDNN_API_H

#include "errors.h"
#include <cudnn_graph.h>

struct rs__cudnn_api {
    void *library;
    size_t version; /* 91900: 9.19.0 */
    size_t (*get_version)(void);
    const char *(*error_string)(cudnnStatus_t status);
    void (*last_error)(char *message, size_t size);
    cudnnStatus_t (*create)(cudnnHandle_t *handle);
    cudnnStatus_t (*destroy)(cudnnHandle_t handle);
    cudnnStatus_t (*set_stream)(cudnnHandle_t handle, cudaStream_t stream);
    cudnnStatus_t (*descriptor_create)(cudnnBackendDescriptorType_t type, cudnnBackendDescriptor_t *out);
    cudnnStatus_t (*descriptor_destroy)(cudnnBackendDescriptor_t descriptor);
    cudnnStatus_t (*finalize)(cudnnBackendDescriptor_t descriptor);
    cudnnStatus_t (*set)(cudnnBackendDescriptor_t descriptor, cudnnBackendAttributeName_t name,
                         cudnnBackendAttributeType_t type, int64_t count, const void *elements);
    cudnnStatus_t (*get)(cudnnBackendDescriptor_t descriptor, cudnnBackendAttributeName_t name,
                         cudnnBackendAttributeType_t type, int64_t wanted, int64_t *count, void *elements);
    cudnnStatus_t (*execute)(cudnnHandle_t handle, cudnnBackendDescriptor_t plan,
                             cudnnBackendDescriptor_t pack);
};

/* Errors: RS_E_DEVICE naming what was searched; RS_E_UNSUPPORTED for a version before 9. */
int rs__cudnn_open(struct rs__cudnn_api *api, struct rs_error *err);
void rs__cudnn_close(struct rs__cudnn_api *api);
/* RS_E_BACKEND with what was tried, cuDNN's code and its last words. Returns the code; 0 for success without
 * touching err. */
int rs__cudnn_check(const struct rs__cudnn_api *api, cudnnStatus_t status, const char *what,
                    struct rs_error *err);

#endif
