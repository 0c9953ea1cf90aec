// The elementary operations of which recorded device models consist, as loops over the numbers of a block.
// Internal linkage throughout: this header is compiled once per instruction set.
#pragma once

#include <cstdint>

#include "memcore/kernels.h"
#include "memcore/operations.h"
#include "parallel.h"
#include "philox_kernels.h"
#include "simulate_math.h"

namespace memcore {
namespace {

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
  uint64_t key;          // of random numbers
  int64_t round;         // what is added to the draw
  const int64_t* read;   // of random numbers: which draw, and for which element
  const int32_t* lanes;  // of random numbers: how far from that element each one is, ascending; nullptr for all
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

// Blocks of single elements, of each of which one number is kept.
struct Apart {
  Words words;
  alignas(64) int32_t lane[kBatch];  // of the number in its block
};

MEMCORE_ALWAYS_INLINE void pick(const Apart& apart, int count, Uniform, float* out) {
  const auto& w = apart.words.w;
  for (int i = 0; i < count; ++i) {
    const uint32_t low = (apart.lane[i] & 1) != 0 ? w[1][i] : w[0][i];
    const uint32_t high = (apart.lane[i] & 1) != 0 ? w[3][i] : w[2][i];
    out[i] = to_uniform((apart.lane[i] & 2) != 0 ? high : low);
  }
}
MEMCORE_ALWAYS_INLINE void pick(const Apart& apart, int count, Normal, float* out) {
  const auto& w = apart.words.w;
  for (int i = 0; i < count; ++i) {
    const uint32_t even = (apart.lane[i] & 2) != 0 ? w[2][i] : w[0][i];
    const uint32_t odd = (apart.lane[i] & 2) != 0 ? w[3][i] : w[1][i];
    const Pair pair = to_normal(even, odd);
    out[i] = (apart.lane[i] & 1) != 0 ? pair.second : pair.first;
  }
}

// Numbers of a table at truncated places, from its end on if they are negative; none lies outside of it.
template <class Real, bool SA>
void lookup(const Bound<Real>& bound, int64_t n) {
  Real* const out = bound.out;
  const Real *const a = bound.operand[0], *const table = bound.operand[1];
  const Real length = table[0], first = *a;
#pragma GCC ivdep
  for (int64_t i = 0; i < n; ++i) {
    Real place = trunc_(SA ? first : a[i]);
    place = place < Real(0) ? place + length : place;
    place = place > Real(0) ? place : Real(0);  // NaN, too
    out[i] = table[1 + static_cast<int32_t>(place < length ? place : length - Real(1))];
  }
}

template <class Real, class Transform>
void draw_apart(const Bound<Real>& bound, uint64_t read, int64_t n) {
  Apart apart = {};
  alignas(64) float numbers[kBatch];
  auto& w = apart.words.w;
  for (int64_t begin = 0; begin < n; begin += kBatch) {
    const int count = static_cast<int>(smaller(kBatch, n - begin));
    for (int i = 0; i < count; ++i) {
      const uint64_t element = static_cast<uint64_t>(bound.read[1]) + static_cast<uint64_t>(bound.lanes[begin + i]);
      apart.lane[i] = static_cast<int32_t>(element & 3);
      w[0][i] = static_cast<uint32_t>(element >> 2);
      w[1][i] = static_cast<uint32_t>(element >> 34);
      w[2][i] = static_cast<uint32_t>(read);
      w[3][i] = static_cast<uint32_t>(read >> 32);
    }
    scramble_some(bound.key, apart.words, count);
    pick(apart, count, Transform{}, numbers);
    for (int i = 0; i < count; ++i) bound.out[begin + i] = static_cast<Real>(numbers[i]);
  }
}

// Numbers of elements that lie so close together that all between them are drawn.
template <class Real, class Transform>
void draw_close(const Bound<Real>& bound, uint64_t read, int64_t n) {
  float numbers[4 * kBatch];
  for (int64_t i = 0; i < n;) {
    const int64_t first = (bound.read[1] + bound.lanes[i]) & ~static_cast<int64_t>(3), end = first + 4 * kBatch;
    draw_run(bound.key, read, first, smaller(end, bound.read[1] + bound.lanes[n - 1] + 1), Transform{},
             numbers - first);
    for (; i < n && bound.read[1] + bound.lanes[i] < end; ++i)
      bound.out[i] = static_cast<Real>(numbers[bound.read[1] + bound.lanes[i] - first]);
  }
}

constexpr int64_t kClose = 4;  // elements of which one is wanted, up to which all are drawn

template <class Real, class Transform>
void draw_block(const Bound<Real>& bound, int64_t n) {
  if (bound.lanes != nullptr) {
    const uint64_t read = static_cast<uint64_t>(bound.read[0]) + static_cast<uint64_t>(bound.round);
    const bool close = bound.lanes[n - 1] - bound.lanes[0] < kClose * n;
    return close ? draw_close<Real, Transform>(bound, read, n) : draw_apart<Real, Transform>(bound, read, n);
  }
  float numbers[4 * kBatch + 4];
  const uint64_t read = static_cast<uint64_t>(bound.read[0]) + static_cast<uint64_t>(bound.round);
  for (int64_t begin = 0; begin < n; begin += 4 * kBatch) {
    const int64_t first = bound.read[1] + begin, count = smaller(4 * kBatch, n - begin);
    const int64_t lead = first % 4;
    draw_run(bound.key, read, first - lead, first + count, Transform{}, numbers - (first - lead));
    for (int64_t i = 0; i < count; ++i) bound.out[begin + i] = static_cast<Real>(numbers[lead + i]);
  }
}

// How many of n lanes want the instructions that a skip leaves out, by its operand `a`.
template <class Real>
int64_t wanting(const Bound<Real>& bound, const Real* a, int64_t n) {
  const int64_t size = bound.single ? 1 : n;
  int32_t count = 0;
  if (bound.unless) {
    for (int64_t i = 0; i < size; ++i) count += a[i] != Real(0) ? 1 : 0;
  } else {
    for (int64_t i = 0; i < size; ++i) count += a[i] == Real(0) ? 1 : 0;
  }
  return bound.single ? count * n : count;
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
      {"lookup",
       &lookup<Real, true>,
       {&lookup<Real, false>, &lookup<Real, true>, &lookup<Real, false>, &lookup<Real, true>}},
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
