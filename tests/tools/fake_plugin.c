/* fake_plugin.c: a plugin with two devices, of which the first can't be used; of the version FAKE_VERSION.
 *
 * How it works: probe answers; open refuses with the ordinal that it was given, so that a test sees what
 * reached it. @thread any.
 */
#include "plugin.h"
#include <stdio.h>
#include <string.h>

/* No library of the project is linked: a plugin may come with its own, or none. */
static int refuse(struct rs_error *err, const char *what, uint32_t ordinal)
{
    if (err)
        (void)snprintf(err->message, sizeof(err->message), "%s %u", what, ordinal);
    return RS_E_DEVICE;
}

static int fake_probe(uint32_t ordinal, struct rs_device_info *info, struct rs_error *err)
{
    *info = (struct rs_device_info){.library = "a library", .precisions = "fp32", .count = 2};
    if (ordinal != 1)
        return refuse(err, "the test refuses number", ordinal);
    (void)snprintf(info->name, sizeof(info->name), "a made-up GPU, number %u", ordinal);
    info->memory_bytes = (uint64_t)3 << 30;
    return 0;
}

static int fake_open(struct rs_device **out, const struct rs_device_options *options, struct rs_error *err)
{
    *out = NULL;
    return refuse(err, "the test opens no number", options->ordinal);
}

static const struct rs_backend backend = {.name = "cuda", .probe = fake_probe, .open = fake_open};

const struct rs_backend *rs_backend_plugin(uint32_t version)
{
    return version == FAKE_VERSION ? &backend : NULL;
}
