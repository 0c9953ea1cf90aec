// The elementary operations of which recorded device models consist, as loops over the numbers of a block.
// Internal linkage throughout: this header is compiled once per instruction set.
#pragma once

#include <cstdint>

#include "memcore/kernels.h"
#include "parallel.h"
#include "philox_kernels.h"
#include "simulate_math.h"

namespace memcore {
namespace {

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

#define MEMCORE_FUNCTOR_1(name, expression)                                    \
  template <class Real>                                                        \
  struct Op_##name {                                                           \
    MEMCORE_ALWAYS_INLINE Real operator()(Real a) const { return expression; } \
  };
#define MEMCORE_FUNCTOR_2(name, expression)                                            \
  template <class Real>                                                                \
  struct Op_##name {                                                                   \
    MEMCORE_ALWAYS_INLINE Real operator()(Real a, Real b) const { return expression; } \
  };
#define MEMCORE_FUNCTOR_3(name, expression)                                                    \
  template <class Real>                                                                        \
  struct Op_##name {                                                                           \
    MEMCORE_ALWAYS_INLINE Real operator()(Real a, Real b, Real c) const { return expression; } \
  };
MEMCORE_UNARY(MEMCORE_FUNCTOR_1)
MEMCORE_BINARY(MEMCORE_FUNCTOR_2)
MEMCORE_TERNARY(MEMCORE_FUNCTOR_3)

// An operation ready to run: pointers to its operands, each to one number or to one per cell.
template <class Real>
struct Bound {
  void (*run)(const Bound&, int64_t n);
  int64_t skip;  // instructions to leave out; 0 for all that calculate
  bool unless;   // leave them out unless the operand is true for some cell; else if it is for all
  bool single;   // the operand of a skip is one number
  Real* out;     // may be one of the operands
  const Real* operand[3];
  uint64_t key;         // of random numbers
  const int64_t* read;  // of random numbers: which draw, and for which element
};

template <class Real, class Op, bool SA>
void unary(const Bound<Real>& bound, int64_t n) {
  Real* const out = bound.out;
  const Real *const a = bound.operand[0], first = *a;
#pragma GCC ivdep
  for (int64_t i = 0; i < n; ++i) out[i] = Op()(SA ? first : a[i]);
}

template <class Real, class Op, bool SA, bool SB>
void binary(const Bound<Real>& bound, int64_t n) {
  Real* const out = bound.out;
  const Real *const a = bound.operand[0], *const b = bound.operand[1];
  const Real a0 = *a, b0 = *b;
#pragma GCC ivdep
  for (int64_t i = 0; i < n; ++i) out[i] = Op()(SA ? a0 : a[i], SB ? b0 : b[i]);
}

template <class Real, class Op, bool SA, bool SB, bool SC>
void ternary(const Bound<Real>& bound, int64_t n) {
  Real* const out = bound.out;
  const Real *const a = bound.operand[0], *const b = bound.operand[1], *const c = bound.operand[2];
  const Real a0 = *a, b0 = *b, c0 = *c;
#pragma GCC ivdep
  for (int64_t i = 0; i < n; ++i) out[i] = Op()(SA ? a0 : a[i], SB ? b0 : b[i], SC ? c0 : c[i]);
}

// For a single number the C library's tables are faster than polynomials for vectors.
template <class Op>
struct Alone {
  using Type = Op;
};
#define MEMCORE_ALONE(name, function)     \
  struct Alone_##name {                   \
    template <class... Floats>            \
    float operator()(Floats... x) const { \
      return function(x...);              \
    }                                     \
  };                                      \
  template <>                             \
  struct Alone<Op_##name<float>> {        \
    using Type = Alone_##name;            \
  };
MEMCORE_ALONE(exp, __builtin_expf)
MEMCORE_ALONE(log, __builtin_logf)
MEMCORE_ALONE(pow, __builtin_powf)

// The same for one cell: without a loop, several times as fast.
template <class Real, class Op>
void unary_one(const Bound<Real>& bound, int64_t) {
  *bound.out = typename Alone<Op>::Type()(*bound.operand[0]);
}

template <class Real, class Op>
void binary_one(const Bound<Real>& bound, int64_t) {
  *bound.out = typename Alone<Op>::Type()(*bound.operand[0], *bound.operand[1]);
}

template <class Real, class Op>
void ternary_one(const Bound<Real>& bound, int64_t) {
  *bound.out = Op()(*bound.operand[0], *bound.operand[1], *bound.operand[2]);
}

template <class Real, class Transform>
void draw_block(const Bound<Real>& bound, int64_t n) {
  float numbers[4 * kBatch];
  const uint64_t read = static_cast<uint64_t>(bound.read[0]);
  for (int64_t begin = 0; begin < n; begin += 4 * kBatch) {
    const int64_t first = bound.read[1] + begin, count = smaller(4 * kBatch, n - begin);
    draw_run(bound.key, read, first, first + count, Transform{}, numbers - first);
    for (int64_t i = 0; i < count; ++i) bound.out[begin + i] = static_cast<Real>(numbers[i]);
  }
}

// How many instructions a skip leaves out.
template <class Real>
int64_t left_out(const Bound<Real>& bound, int64_t n) {
  const Real* const a = bound.operand[0];
  const int64_t count = bound.single ? 1 : n;
  bool some = false;
  if (bound.unless) {
    for (int64_t i = 0; i < count; ++i) some |= a[i] != Real(0);
  } else {
    for (int64_t i = 0; i < count; ++i) some |= a[i] == Real(0);
  }
  return some ? 0 : bound.skip;
}

enum class Control { kNone, kSkipUnless, kSkipIf };

// Indexed by the code of an operation, then by which operands are a single number (bit 0: the first).
template <class Real>
struct Entry3 {
  const char* name;
  void (*one)(const Bound<Real>&, int64_t);  // for a single cell
  void (*run[8])(const Bound<Real>&, int64_t);
  Control control = Control::kNone;
};

template <class Real>
const Entry3<Real>* operations(int64_t& count) {
#define MEMCORE_ROW_1(name, expression) \
  {#name,                               \
   &unary_one<Real, Op_##name<Real>>,   \
   {&unary<Real, Op_##name<Real>, false>, &unary<Real, Op_##name<Real>, true>}},
#define MEMCORE_ROW_2(name, expression)                                                        \
  {#name,                                                                                      \
   &binary_one<Real, Op_##name<Real>>,                                                         \
   {&binary<Real, Op_##name<Real>, false, false>, &binary<Real, Op_##name<Real>, true, false>, \
    &binary<Real, Op_##name<Real>, false, true>, &binary<Real, Op_##name<Real>, true, true>}},
#define MEMCORE_T(name, x, y, z) &ternary<Real, Op_##name<Real>, x, y, z>
#define MEMCORE_ROW_3(name, expression)                                                                             \
  {#name,                                                                                                           \
   &ternary_one<Real, Op_##name<Real>>,                                                                             \
   {MEMCORE_T(name, false, false, false), MEMCORE_T(name, true, false, false), MEMCORE_T(name, false, true, false), \
    MEMCORE_T(name, true, true, false), MEMCORE_T(name, false, false, true), MEMCORE_T(name, true, false, true),    \
    MEMCORE_T(name, false, true, true), MEMCORE_T(name, true, true, true)}},
  static const Entry3<Real> table[] = {
      MEMCORE_UNARY(MEMCORE_ROW_1) MEMCORE_BINARY(MEMCORE_ROW_2)
          MEMCORE_TERNARY(MEMCORE_ROW_3){"normal", &draw_block<Real, Normal>, {&draw_block<Real, Normal>}},
      {"uniform", &draw_block<Real, Uniform>, {&draw_block<Real, Uniform>}},
      {"skip_unless", nullptr, {}, Control::kSkipUnless},
      {"skip_if", nullptr, {}, Control::kSkipIf},
  };
  count = static_cast<int64_t>(sizeof(table) / sizeof(table[0]));
  return table;
}

inline const char* simulate_operation(int64_t code) {
  int64_t count = 0;
  const Entry3<float>* const table = operations<float>(count);
  return code < count ? table[code].name : nullptr;
}

}  // namespace
}  // namespace memcore
