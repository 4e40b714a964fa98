/* synth_pvt.h: what the generator and the writer of the generated data set share. @thread any. */
#ifndef RS_SYNTH_PVT_H
#define RS_SYNTH_PVT_H

#include "synth.h"

#define RS__SYNTH_SIDE 32
#define RS__SYNTH_PIXELS (3 * RS__SYNTH_SIDE * RS__SYNTH_SIDE)
#define RS__SYNTH_CLASSES 10
#define RS__SYNTH_STREAM                                                                                     \
    0x73796E00u /* train; test is the next: apart from the streams that epochs draw from */

const char *rs__synth_class_name(int32_t label);

#endif
