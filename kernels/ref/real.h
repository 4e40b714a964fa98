/* real.h: the type that the reference operators compute in.
 *
 * How it works: the operators are one source, compiled twice: rs_ref computes in float, the backend "ref";
 * rs_ref_double in double, what tests hold against finite differences and call exact. RS_REF_DOUBLE comes
 * from the build; RS__REF gives each compilation its own names, so that a program may link both.
 *
 * @thread any.
 */
#ifndef RS_REF_REAL_H
#define RS_REF_REAL_H

#ifdef RS_REF_DOUBLE
typedef double rs__real;
#define RS__REF(name) rs__ref_f64_##name
#define RS__REAL_MATH(function) function
#else
typedef float rs__real;
#define RS__REF(name) rs__ref_f32_##name
#define RS__REAL_MATH(function) function##f
#endif

#endif
