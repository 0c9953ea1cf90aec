// Reads of cells that hold whole numbers, digit by digit of the input. The rules of kernels.h hold.
#pragma once

#include <cstdint>

namespace memcore {

// One bit of the codes of all inputs, and what it counts for in the digit of a phase.
struct BitPlane {
  enum Source : int64_t {
    kPositive,        // of max(code, 0)
    kNegative,        // of max(-code, 0)
    kTwosComplement,  // of code where it is not negative, else of code - lowest code
    kSign,            // bit 0 is set where code is negative
  };
  int64_t phase, source, bit, weight;
};

// With code(v) = clamp(round_half_even(v / step), dac_lo, dac_hi) and the digit of phase p in row k
//   z[p, k] = sum over the planes b of the phase: weight_b * bit_b(code(x[i, g, k])),
// each phase and tile t of tile_rows rows has the whole number N[p, t, j] = sum_{k in t} z[p, k] W[g, k, j], and
//   out[i, g, j] = sum_p places[p] * (scale[g, j] * sum_t adc(factor[j] * (N[p, t, j] + base[j] * sum_{k in t} z[p,
//   k])))
// with adc(v) = clamp(round_half_even(v), lo, hi), sums over p and t in order. Where an input is NaN, so are its
// outputs.
//
// All sums N fit into 16 bits with their sign. Where multiplier[j] is not 0, round_half_even(factor[j] * N) within lo
// .. hi is floor(N * 2^raised[j] * multiplier[j] / 2^15 + 1/2) for all of them, base is nullptr and sums of codes fit,
// too.
//
// W lies in tables of what four rows give for each of the 16 subsets of them, none negative:
//   tables[g, j / 4, t, q, j % 4, s] = sum of W[g, k, j] over the rows k = 4 q + i of the tile with bit i in s, less
//   the least of these 16 sums; rows beyond a tile count 0. shift[g, j, t] is the sum over q of what was taken away,
//   not negative.
struct SerialRead {
  const float* x;             // [n, groups, rows]
  const uint8_t* tables;      // [groups, ceil(cols / 4), tiles, ceil(tile_rows / 4), 4, 16]
  const float* shift;         // [groups, cols, tiles]
  const int8_t* cells;        // [groups, ceil(cols / 128), rows, 128]
  const float* factor;        // [cols]
  const int32_t* multiplier;  // [cols] below 2^15
  const int32_t* raised;      // [cols]
  const float* base;          // [cols] or nullptr for 0
  const float* scale;         // [1] if scale_size == 1, else [groups * cols]
  const float* step;          // [1]
  const float* places;        // [phases]
  const BitPlane* planes;     // [plane_count], by phases
  int64_t plane_count, phases;
  int64_t scale_size;
  int64_t n, groups, rows, cols, tile_rows;  // n >= 0, the others >= 1
  int64_t together;                          // numbers of tables whose sum is below 256; that of a tile is below 65536
  int64_t within;                            // numbers of cells whose sum fits into a byte with its sign
  float dac_lo, dac_hi, lo, hi;              // lowest and highest codes
  float* out;                                // [n, groups, cols]
};

// The digits of a GPU besides, in its memory, of `together` reads at a time: a word has those of four rows, a byte
// each. A phase is one slot, or two where its digits are `wide`: then the first has their lower byte with its sign, and
// the second what is left. Behind the last slot come those that no phase has, of zeros.
struct SerialWords {
  int32_t* words;    // [groups, tiles, ceil(tile_rows / 4), together, slots], which is written
  uint8_t* invalid;  // [groups, n] zeros; 1 is written where an input is NaN
  int64_t together;  // >= 1
  int64_t slots;     // 1, 2, 4 or a multiple of 8; if `wide`, of 8
  bool wide;         // whether digits are beyond -128 .. 127; no digit is beyond -32767 .. 32639
};
constexpr int64_t kMostPlanes = 64;  // of a GPU, and as many phases

namespace cpu {

void serial_read(const SerialRead& args);
bool looks_up_bytes();  // whether one instruction looks up a vector of bytes; without, products of floats are faster

}  // namespace cpu

namespace cuda {

// `places` and `planes` lie in host memory; `cells`, `multiplier`, `raised`, `shift`, `together` and `within` of the
// reads are not used.
void serial_read(const SerialRead& args, const SerialWords& words, int device, void* stream);

}  // namespace cuda

}  // namespace memcore
