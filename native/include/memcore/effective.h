// The effective matrix of crossbars with line resistance; plain structs as in kernels.h.
#pragma once

#include <cstdint>

namespace memcore {

// The crossbar is driven from the left and sensed at the bottom. Word line i runs from the left driver over cells
// (i, 0) .. (i, cols - 1); segment word[i, j] (with the driver's resistance in it for j = 0) is to the left of cell j.
// With drive_both there is a segment word[i, cols] to a second driver at the right, at the same voltage. Bit line j
// runs from the top to the sense node at the bottom; bit[i, j] is below cell i. With sense_both bit has one more row in
// front, the segment to a second sense node at the top, and the current of a line is the sum of both.
template <class T>
struct EffectiveConductance {
  int64_t arrays, rows, cols;  // arrays >= 0, the others >= 1
  bool drive_both, sense_both;
  const T* g;     // [arrays, rows, cols] siemens, >= 0
  const T* word;  // [arrays, rows, cols (+ 1)] ohm, >= 0
  const T* bit;   // [arrays, rows (+ 1), cols] ohm, >= 0
  T* out;         // [arrays, rows, cols] current of line j for 1 V at line i

  // nullptr, or memory of arrays x effective_conductance_kept() numbers: filled with what the gradient needs, or, for
  // the gradient, as it was filled. The gradient computes it again if there is none.
  T* kept;

  // Only for the gradient; out is not written then.
  const T* grad;                     // [arrays, rows, cols] with respect to out
  T *grad_g, *grad_word, *grad_bit;  // of the shapes of g, word and bit
};

// The voltages across all cells for many drives, by one elimination of each array.
template <class T>
struct CellVoltages {
  EffectiveConductance<T> crossbars;  // sizes, ends, g, word and bit
  int64_t drives;                     // of each array
  const T* word_volts;                // [arrays, drives, rows] at the drivers
  const T* bit_volts;                 // [arrays, drives, cols] at the sense nodes
  T* voltages;                        // [arrays, drives, rows, cols] across the cells
};

namespace cpu {

// Both return the number of floating-point operations that were needed.
double effective_conductance(const EffectiveConductance<float>& args);
double effective_conductance(const EffectiveConductance<double>& args);
double effective_conductance_backward(const EffectiveConductance<float>& args);
double effective_conductance_backward(const EffectiveConductance<double>& args);
// Numbers to keep of one array; only sizes and ends are read.
int64_t effective_conductance_kept(const EffectiveConductance<float>& args);
int64_t effective_conductance_kept(const EffectiveConductance<double>& args);
void cell_voltages(const CellVoltages<float>& args);
void cell_voltages(const CellVoltages<double>& args);

}  // namespace cpu
}  // namespace memcore
