// Ladders: lines with a resistance in front of each node, a shunt at each node and ends at 0 V; as in kernels.h.
#pragma once

#include <cstdint>

namespace memcore {

// The lines of arrays: rows ("across" is false) or columns. Node 0 is next to the near end; it is in the first column
// or row, or, with near_last, in the last one.
template <class T>
struct LadderLines {
  int64_t arrays, rows, cols;
  bool across, near_last;
};

// What a solution needs of lines; packed in an order of its own, ladder_size() numbers for each array.
template <class T>
struct LadderFactor {
  LadderLines<T> lines;
  const T* shunt;     // [arrays, rows, cols] siemens, >= 0; nullptr: none, and inputs are currents instead of voltages
  const T* segments;  // [arrays, rows, cols] ohm, >= 0: in front of each node
  const T* far;       // [arrays, lines] ohm between the last node and a second end, may be infinite; nullptr: open ends
  T* packed;
};

// Node voltages for what is behind the shunts: (L + G) voltages = G inputs, where L are the segments.
template <class T>
struct LadderSolve {
  LadderLines<T> lines;
  int64_t each;     // inputs of each array
  const T* packed;  // by ladder_factor
  const T* inputs;  // [arrays, each, rows, cols]
  T* voltages;      // [arrays, each, rows, cols]
  double* energy;   // [arrays, each]: the product of G inputs with the voltages
};

namespace cpu {

int64_t ladder_size(const LadderLines<float>& lines);
int64_t ladder_size(const LadderLines<double>& lines);
void ladder_factor(const LadderFactor<float>& args);
void ladder_factor(const LadderFactor<double>& args);
void ladder_solve(const LadderSolve<float>& args);
void ladder_solve(const LadderSolve<double>& args);

}  // namespace cpu
}  // namespace memcore
