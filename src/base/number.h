/* Text of numbers: shortest round-trip formatting and bounded parsing (C++17 charconv behind C names).
 * Independent of the locale. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define NUMBER_TEXT_MAX 32

/* Writes the shortest text that reads back as v ("NaN", "+Inf", "-Inf" for the rest); returns its length. */
size_t number_format(double v, char out[NUMBER_TEXT_MAX]);
/* The same for expositions: whole numbers below 2^53, most of all samples, in plain digits ("1000000", not
 * "1e+06"), which is also the fast way. */
size_t number_text(double v, char out[NUMBER_TEXT_MAX]);
/* As Go's %g, which Prometheus's messages have: an exponent below 1e-4 and from 1e6 on. */
size_t number_go(double v, char out[NUMBER_TEXT_MAX]);
/* As Prometheus's JSON has it, which is how Go writes a float ("f" with the shortest digits, "e" below 1e-6 and from
 * 1e21 on): "1000000", "1e+21", "1e-07". Numbers of at most 15 digits are fast. */
size_t number_json(double v, char out[NUMBER_TEXT_MAX]);
#define NUMBER_PLAIN_MAX 352
/* The shortest text again, but never with an exponent: "0.0000001"; up to 325 digits. */
size_t number_plain(double v, char out[NUMBER_PLAIN_MAX]);
/* The whole of text[0..n) as a double (also "NaN", "Inf", "+Inf", any case):
 * 0, -EINVAL (not a number, trailing bytes) or -ERANGE. */
int number_parse(const char *text, size_t n, double *ret_v);

#ifdef __cplusplus
}
#endif
