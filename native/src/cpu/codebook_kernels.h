// Products with weights that are codes of a codebook: codes are decoded once for many inputs, into the first-level
// cache, and multiplied from there. Each output has an accumulator of its own that runs over k in order.
// Internal linkage throughout: this header is compiled once per instruction set.
#pragma once

#include <cstdint>

#include "memcore/kernels.h"
#include "memcore/tables.h"
#include "memory.h"
#include "parallel.h"
#include "simd.h"

namespace memcore {
namespace {

constexpr int64_t kDecodedRows = 128;            // of a panel at once: 16 KB
constexpr int64_t kCodebookGrain = 1024 * 1024;  // multiplications of a task, about 20 us
constexpr int64_t kCodebookInputs = 256;         // that one decoding serves
constexpr int kPanelVecs = kPanel / kLanes;
#if defined(__AVX512F__)
constexpr int kCodebookRows = 8;  // 16 accumulators of 32 registers
#elif defined(__AVX2__)
constexpr int kCodebookRows = 3;  // 12 accumulators of 16 registers
#else
constexpr int kCodebookRows = 1;  // 8 accumulators
#endif

// The weights of kPanel codes of 4 bits.
inline void decode_halves(const uint8_t* codes, const float* book, float* out) {
#if defined(__AVX512F__)
  const __m512 entries = _mm512_loadu_ps(book);
  const __m512i both = _mm512_cvtepu8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(codes)));
  _mm512_storeu_ps(out, _mm512_permutexvar_ps(both, entries));  // which looks at the lowest four bits only
  _mm512_storeu_ps(out + 16, _mm512_permutexvar_ps(_mm512_srli_epi32(both, 4), entries));
#elif defined(__AVX2__)
  const __m256 low = _mm256_loadu_ps(book), high = _mm256_loadu_ps(book + 8);
  for (int j = 0; j < 16; j += 8) {
    const __m256i both = _mm256_cvtepu8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(codes + j)));
    for (int half = 0; half < 2; ++half) {
      const __m256i code = half == 0 ? both : _mm256_srli_epi32(both, 4);
      const __m256 upper = _mm256_castsi256_ps(_mm256_slli_epi32(code, 28));  // bit 3 is the sign
      const __m256 value =
          _mm256_blendv_ps(_mm256_permutevar8x32_ps(low, code), _mm256_permutevar8x32_ps(high, code), upper);
      _mm256_storeu_ps(out + 16 * half + j, value);
    }
  }
#else
  for (int j = 0; j < kPanel / 2; ++j) {
    out[j] = book[codes[j] & 15];
    out[j + kPanel / 2] = book[codes[j] >> 4];
  }
#endif
}

inline void decode_rows(const CodebookProduct& c, int64_t panel, int64_t k0, int64_t k1, float* out) {
  const int64_t bytes = kPanel * c.bits / 8;
  const uint8_t* codes = c.codes + (panel * c.rows + k0) * bytes;
  for (int64_t k = k0; k < k1; ++k, codes += bytes, out += kPanel) {
    if (c.bits == 4) {
      decode_halves(codes, c.book, out);
    } else {
      for (int64_t j = 0; j < kPanel; ++j) out[j] = c.book[codes[j]];
    }
  }
}

// Adds the products of Rows inputs, c.rows numbers apart, with decoded weights to sums [Rows, kPanel].
template <int Rows>
void multiply_decoded(const float* x, int64_t stride, const float* weights, int64_t count, float* sums) {
  Vec acc[Rows][kPanelVecs];
#pragma GCC unroll 8
  for (int i = 0; i < Rows; ++i)
#pragma GCC unroll 8
    for (int j = 0; j < kPanelVecs; ++j) acc[i][j] = load(sums + i * kPanel + j * kLanes);
  for (int64_t k = 0; k < count; ++k, weights += kPanel) {
    Vec w[kPanelVecs];
#pragma GCC unroll 8
    for (int j = 0; j < kPanelVecs; ++j) w[j] = load(weights + j * kLanes);
#pragma GCC unroll 8
    for (int i = 0; i < Rows; ++i) {
      const Vec xi = splat(x[i * stride + k]);
#pragma GCC unroll 8
      for (int j = 0; j < kPanelVecs; ++j) acc[i][j] += xi * w[j];
    }
  }
#pragma GCC unroll 8
  for (int i = 0; i < Rows; ++i)
#pragma GCC unroll 8
    for (int j = 0; j < kPanelVecs; ++j) store(sums + i * kPanel + j * kLanes, acc[i][j]);
}

// One panel and inputs first .. last-1, at most kCodebookInputs.
inline void codebook_task(const CodebookProduct& c, int64_t panel, int64_t first, int64_t last, float* decoded,
                          float* sums) {
  const int64_t col = panel * kPanel, width = smaller(kPanel, c.cols - col);
  for (int64_t i = 0; i < last - first; ++i)
    for (int64_t j = 0; j < kPanel; ++j) sums[i * kPanel + j] = c.bias != nullptr && j < width ? c.bias[col + j] : 0.0f;
  for (int64_t k0 = 0; k0 < c.rows; k0 += kDecodedRows) {
    const int64_t k1 = smaller(c.rows, k0 + kDecodedRows);
    decode_rows(c, panel, k0, k1, decoded);
    const float* const x = c.x + k0;
    int64_t i = first;
    for (; i + kCodebookRows <= last; i += kCodebookRows)
      multiply_decoded<kCodebookRows>(x + i * c.rows, c.rows, decoded, k1 - k0, sums + (i - first) * kPanel);
    for (; i < last; ++i) multiply_decoded<1>(x + i * c.rows, c.rows, decoded, k1 - k0, sums + (i - first) * kPanel);
  }
  for (int64_t i = first; i < last; ++i)
    for (int64_t j = 0; j < width; ++j) c.out[i * c.cols + col + j] = sums[(i - first) * kPanel + j];
}

inline void codebook_product(const CodebookProduct& c) {
  if (c.n == 0) return;
  const int64_t panels = ceil_div(c.cols, kPanel), parts = ceil_div(c.n, kCodebookInputs);
  const int64_t work = larger(1, c.rows * kPanel * ceil_div(c.n, parts));
  parallel_for(panels * parts, ceil_div(kCodebookGrain, work), [&](int64_t begin, int64_t end) {
    const Memory<float> decoded(kDecodedRows * kPanel), sums(kCodebookInputs * kPanel);
    for (int64_t task = begin; task < end; ++task) {
      const int64_t part = task % parts;
      codebook_task(c, task / parts, c.n * part / parts, c.n * (part + 1) / parts, decoded.data, sums.data);
    }
  });
}

}  // namespace
}  // namespace memcore
