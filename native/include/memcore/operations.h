// The operations of which recorded device models consist, by their operands a, b and c, shared by CPU and CUDA: the
// code of an operation is its place in these lists, one behind the other. After them come "normal" and "uniform",
// random numbers, "skip_unless" and "skip_if", and "lookup", which is of the CPU alone. Functions that end with _ are
// those of each place, for its Real numbers.
#pragma once

#define MEMCORE_UNARY(X)                                               \
  X(copy, a)                                                           \
  X(neg, -a)                                                           \
  X(abs, abs_(a))                                                      \
  X(reciprocal, Real(1) / a)                                           \
  X(sqrt, sqrt_(a))                                                    \
  X(exp, exp_(a))                                                      \
  X(expm1, expm1_(a))                                                  \
  X(log, log_(a))                                                      \
  X(log1p, log1p_(a))                                                  \
  X(sinh, sinh_(a))                                                    \
  X(cosh, cosh_(a))                                                    \
  X(asinh, asinh_(a))                                                  \
  X(tanh, tanh_(a))                                                    \
  X(sin, sin_(a))                                                      \
  X(cos, cos_(a))                                                      \
  X(atan, atan_(a))                                                    \
  X(erf, erf_(a))                                                      \
  X(sigmoid, Real(1) / (Real(1) + exp_(-a)))                           \
  X(log_sigmoid, (a > Real(0) ? Real(0) : a) - log1p_(exp_(-abs_(a)))) \
  X(sign, a > Real(0) ? Real(1) : (a < Real(0) ? Real(-1) : Real(0)))  \
  X(floor, floor_(a))                                                  \
  X(ceil, ceil_(a))                                                    \
  X(round, round_(a))                                                  \
  X(trunc, trunc_(a))                                                  \
  X(logical_not, a == Real(0) ? Real(1) : Real(0))
#define MEMCORE_BINARY(X)                                               \
  X(add, a + b)                                                         \
  X(sub, a - b)                                                         \
  X(mul, a* b)                                                          \
  X(div, a / b)                                                         \
  X(pow, pow_(a, b))                                                    \
  X(maximum, (a > b || a != a) ? a : b)                                 \
  X(minimum, (a < b || a != a) ? a : b)                                 \
  X(lt, a < b ? Real(1) : Real(0))                                      \
  X(le, a <= b ? Real(1) : Real(0))                                     \
  X(gt, a > b ? Real(1) : Real(0))                                      \
  X(ge, a >= b ? Real(1) : Real(0))                                     \
  X(eq, a == b ? Real(1) : Real(0))                                     \
  X(ne, a != b ? Real(1) : Real(0))                                     \
  X(logical_and, ((a != Real(0)) & (b != Real(0))) ? Real(1) : Real(0)) \
  X(logical_or, ((a != Real(0)) | (b != Real(0))) ? Real(1) : Real(0))  \
  X(logical_xor, (a != Real(0)) != (b != Real(0)) ? Real(1) : Real(0))
#define MEMCORE_TERNARY(X)                            \
  X(where, a != Real(0) ? b : c)                      \
  X(clamp, (a < b ? b : a) > c ? c : (a < b ? b : a)) \
  X(mul_add, a* b + c)                                \
  X(mul_sub, a* b - c)                                \
  X(sub_mul, c - a * b)
