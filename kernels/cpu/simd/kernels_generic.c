/* kernels_generic.c: the kernels for any x86-64; see kernels.h. CMakeLists.txt gives this file its flags. */
#define LANES 8
#define TABLE rs__kernels_generic
#define TABLE_TEXT "generic"
#include "kernels_body.inc"
