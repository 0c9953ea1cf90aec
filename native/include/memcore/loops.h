// Voltages across the ohmic cells of arrays, by conjugate gradients between word and bit lines; as in kernels.h.
#pragma once

#include <cstdint>

#include "memcore/ladder.h"

namespace memcore {

// The word lines or the bit lines of arrays, as in LadderFactor. Resistances that are the same in all arrays are there
// once, and `arrays` is 1.
template <class T>
struct LoopLines {
  int64_t arrays;
  bool near_last;
  const T* segments;  // [arrays, rows, cols] ohm
  const T* far;       // [arrays, lines] ohm; nullptr: open ends
  const T* packed;    // the lines without cells, by ladder_factor
};

// What is known of the arrays and is wanted of them: u + K G u = s for the voltages u across cells, where K is what
// wires lose, and s the difference of the voltages at the ends of the lines. A residual is the larger one of what is
// missing in V, relative to the largest s, and of what it drives through its cell, relative to the largest current.
template <class T>
struct LoopsSolve {
  int64_t arrays, rows, cols;
  LoopLines<T> word, bit;
  const T* g;           // [arrays, rows, cols] siemens, >= 0
  const T* word_volts;  // [arrays, rows] at the ends of word lines
  const T* bit_volts;   // [arrays, cols]
  double tolerance;     // of the residual
  double rounding;      // of voltages, relative to the largest at an end, which drives no current
  int64_t iterations;   // most for an array
  T* voltages;          // [arrays, rows, cols], a guess before
  double* residual;     // [arrays]
  double* lost;         // [arrays]: power that the wires take in W
};

namespace cpu {

void loops_solve(const LoopsSolve<float>& args);
void loops_solve(const LoopsSolve<double>& args);

}  // namespace cpu
}  // namespace memcore
