// What becomes of the conductances of cells, one form after another while they stay in the first-level cache, and how
// far they end up from what they should be.
// Internal linkage throughout: this header is compiled once per instruction set.
#pragma once

#include <cstdint>

#include "cells_kernels.h"
#include "memcore/cells.h"
#include "memory.h"
#include "parallel.h"
#include "simd.h"

namespace memcore {
namespace {

constexpr int64_t kFormed = 2048;  // cells that take all forms together

struct Line {
  Vec operator()(Vec g, Vec a, Vec b) const {
    const Vec scaled = g * a;
    return scaled + b;
  }
};

template <bool Inverse>
struct Levels {
  float last;
  Vec operator()(Vec g, Vec a, Vec b) const {
    const Vec ratio = ((Inverse ? 1.0f / g : g) - a) / b;
    const Vec share = clamp(ratio == ratio ? ratio : Vec{}, Vec{}, splat(1.0f));
    const Vec place = round_even(share * last) / last;
    const Vec level = place * b + a;
    return Inverse ? 1.0f / level : level;
  }
};

struct Held {
  Vec operator()(Vec g, Vec a, Vec) const { return a == a ? a : g; }
};

struct AtLeast {
  Vec operator()(Vec g, Vec a, Vec) const { return g < a ? a : g; }
};

// Cells begin .. begin + count - 1, which are at g, to `out`; parameters follow each other if EachA or EachB.
template <bool EachA, bool EachB, class Form>
float form_cells(const Form& form, const float* a, const float* b, const float* g, int64_t count, float* out) {
  Vec check = {};
  const Vec common_a = splat(a[0]), common_b = splat(b[0]);
  int64_t i = 0;
  for (; i + kLanes <= count; i += kLanes) {
    const Vec value = form(load(g + i), EachA ? load(a + i) : common_a, EachB ? load(b + i) : common_b);
    store(out + i, value);
    check += value - value;
  }
  for (; i < count; ++i) {
    out[i] = form(splat(g[i]), splat(a[EachA ? i : 0]), splat(b[EachB ? i : 0]))[0];
    check += splat(out[i] - out[i]);
  }
  for (int lane = 1; lane < kLanes; ++lane) check[0] += check[lane];
  return check[0];
}

template <class Form>
float form_cells(const Form& form, const CellForm& f, const float* g, int64_t begin, int64_t count, float* out) {
  static constexpr float nothing = 0.0f;
  const bool each_a = f.a_size > 1, each_b = f.b != nullptr && f.b_size > 1;
  const float* const a = f.a + (each_a ? begin : 0);
  const float* const b = f.b == nullptr ? &nothing : f.b + (each_b ? begin : 0);
  if (each_a && each_b) return form_cells<true, true>(form, a, b, g, count, out);
  if (each_a) return form_cells<true, false>(form, a, b, g, count, out);
  if (each_b) return form_cells<false, true>(form, a, b, g, count, out);
  return form_cells<false, false>(form, a, b, g, count, out);
}

inline float form_cells(const CellForm& f, const float* g, int64_t begin, int64_t count, float* out) {
  if (f.kind == CellForm::kAffine) return form_cells(Line{}, f, g, begin, count, out);
  if (f.kind == CellForm::kLevels) return form_cells(Levels<false>{f.last}, f, g, begin, count, out);
  if (f.kind == CellForm::kInverseLevels) return form_cells(Levels<true>{f.last}, f, g, begin, count, out);
  if (f.kind == CellForm::kHeld) return form_cells(Held{}, f, g, begin, count, out);
  return form_cells(AtLeast{}, f, g, begin, count, out);
}

inline void cell_forms(const CellForms& c) {
  const int64_t pieces = ceil_div(c.count, kFormed);
  for (int64_t k = 0; k < c.forms; ++k) c.check[k] = 0.0f;
  if (pieces == 0) return;
  const Memory<float> found(pieces * c.forms);
  parallel_for(pieces, 8, [&](int64_t first, int64_t last) {
    for (int64_t piece = first; piece < last; ++piece) {
      const int64_t begin = piece * kFormed, count = smaller(kFormed, c.count - begin);
      float* const out = c.out + begin;
      for (int64_t k = 0; k < c.forms; ++k) {
        const float* const g = k == 0 ? c.g + begin : out;
        found.data[piece * c.forms + k] = form_cells(c.form[k], g, begin, count, out);
      }
    }
  });
  for (int64_t i = 0; i < pieces * c.forms; ++i) c.check[i % c.forms] += found.data[i];
}

inline void cell_shares(const CellShares& c) {
  parallel_for_units(c.count, kLanes, 8 * kFormed, [&](int64_t begin, int64_t end) {
    const Vec nothing = splat(__builtin_nanf(""));
    int64_t i = begin;
    for (; i + kLanes <= end; i += kLanes) {
      const Vec draw = load(c.x + i);
      Vec value = nothing;
      for (int64_t k = c.shares - 1; k >= 0; --k) {
        const Vec level = c.size[k] > 1 ? load(c.level[k] + i) : splat(c.level[k][0]);
        value = draw < c.bound[k] ? level : value;
      }
      store(c.x + i, value);
    }
    for (; i < end; ++i) {
      float value = nothing[0];
      for (int64_t k = c.shares - 1; k >= 0; --k)
        if (c.x[i] < c.bound[k]) value = c.level[k][c.size[k] > 1 ? i : 0];
      c.x[i] = value;
    }
  });
}

inline void errors_of_piece(const float* x, const float* y, int64_t count, double* out) {
  WideEight squares[2] = {}, sizes[2] = {};
  int64_t i = 0;
  for (; i + 16 <= count; i += 16)
    for (int k = 0; k < 2; ++k) {
      const Eight one = *reinterpret_cast<const UnalignedEight*>(x + i + 8 * k);
      const Eight difference = one - *reinterpret_cast<const UnalignedEight*>(y + i + 8 * k);
      const WideEight wide = __builtin_convertvector(difference, WideEight);
      const WideEight size = (WideEight)((BitsEight)wide & INT64_MAX);
      squares[k] += wide * wide;
      sizes[k] = size > sizes[k] ? size : sizes[k];
    }
  const WideEight sum = squares[0] + squares[1];
  out[0] = out[1] = 0;
  for (int lane = 0; lane < 8; ++lane) {
    out[0] += sum[lane];
    for (int k = 0; k < 2; ++k) out[1] = sizes[k][lane] > out[1] ? sizes[k][lane] : out[1];
  }
  for (; i < count; ++i) {
    const double difference = static_cast<double>(x[i] - y[i]), size = __builtin_fabs(difference);
    out[0] += difference * difference;
    out[1] = size > out[1] ? size : out[1];
  }
}

inline void cell_errors(const CellErrors& e) {
  const int64_t pieces = ceil_div(e.count, kSummed);
  e.out[0] = e.out[1] = 0;
  if (pieces == 0) return;
  const Memory<double> partial(2 * pieces);
  parallel_for(pieces, 4, [&](int64_t begin, int64_t end) {
    for (int64_t piece = begin; piece < end; ++piece) {
      const int64_t first = piece * kSummed;
      errors_of_piece(e.x + first, e.y + first, smaller(kSummed, e.count - first), partial.data + 2 * piece);
    }
  });
  for (int64_t piece = 0; piece < pieces; ++piece) {
    const double* const here = partial.data + 2 * piece;
    e.out[0] += here[0];
    e.out[1] = here[1] > e.out[1] ? here[1] : e.out[1];
  }
}

}  // namespace
}  // namespace memcore
