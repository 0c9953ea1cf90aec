// Sums of one-bit cells as sense amplifiers tell them, products with weights that are codes, and sums of squares; as
// in kernels.h.
#pragma once

#include <cstdint>

namespace memcore {

// out[i, g, j] = sum_u told(open[i, g, u], sum_k bits[i, g, u, k] cells[g, u, k, j]), open the sum of bits over k.
// What is told is drawn by Walker's aliases with a uniform number U of 24 bits for each e = (g units + u) cols + j of
// read reads[i]: with p = U sensed, the integer part of p is meant if its fraction lies below `threshold`, `other`
// otherwise. As sensed is a power of two, p is exact and draws are the same on every machine. The upper 16 bits of U
// are the lower (e even) or upper half of word e / 2 of the stream, the lower 8 the upper of word kSensedLow + e, which
// few sums need.
constexpr int64_t kSensedLow = int64_t{1} << 40;
struct SensedSums {
  const uint8_t* bits;     // [n, groups, units, rows] 1 for a word line that is open, else 0
  const uint8_t* cells;    // [groups, units, rows, cols] 0 or 1
  const int64_t* reads;    // [n]
  uint64_t key;            // of the uniform numbers, see Draws
  const float* threshold;  // [open 0 .. lines, sum 0 .. lines, sensed]; nullptr: every sum is told right
  const float* other;      // of the same shape
  int64_t n, groups, units, rows, cols;
  int64_t lines;   // rows <= lines <= 1024
  int64_t sensed;  // a power of two, at most 2^16
  float* out;      // [n, groups, cols]
};

// out[i, j] = sum_k x[i, k] book[codes[k, j]] + bias[j].
// Codes lie in panels of kPanel columns: [ceil(cols / kPanel), rows, kPanel bits / 8] bytes. Of 4 bits, byte b of a
// row holds column b in its low and column b + kPanel / 2 in its high half; of 8 bits, byte b holds column b.
struct CodebookProduct {
  const float* x;        // [n, rows]
  const uint8_t* codes;  // see above
  const float* book;     // [16] or [256]
  const float* bias;     // [cols] or nullptr
  int64_t n, rows, cols;
  int64_t bits;  // 4 or 8
  float* out;    // [n, cols]
};

// sum_{i, k} weights[k] z(x[i, k])^2 with z(x) = clamp(round_even(x inverse), lo, hi), or x itself if hi < lo.
struct WeightedSquares {
  const float* x;        // [n, size]
  const float* weights;  // [size]
  int64_t n, size;       // >= 0
  float inverse, lo, hi;
};

// What a GPU needs besides, in its memory: bits of 32 rows in a word, of ceil(rows / 32) words, and both tables in one.
struct SensedWords {
  uint32_t* bits;      // [n, groups, units, words], which is written
  uint32_t* cells;     // [groups, units, words, cols], which is written
  const float* pairs;  // [open, sum, sensed, 2] threshold and other; nullptr: every sum is told right
};

namespace cpu {

void sensed_sums(const SensedSums& args);
void codebook_product(const CodebookProduct& args);
double weighted_squares(const WeightedSquares& args);

}  // namespace cpu

namespace cuda {

// `threshold` and `other` are not used.
void sensed_sums(const SensedSums& args, const SensedWords& words, int device, void* stream);
void codebook_product(const CodebookProduct& args, int device, void* stream);

}  // namespace cuda
}  // namespace memcore
