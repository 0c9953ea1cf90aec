// Pulses of a training in place: coincidences on word and bit lines, and the order in which cells take them. The rules
// of kernels.h hold. Results do not depend on the threads.
#pragma once

#include <cstdint>

#include "memcore/cells.h"
#include "memcore/kernels.h"

namespace memcore {

// Trains of n vectors. In each of the length[s, g] slots of a vector, a line fires where the uniform draw of element
// (slot * groups + g) * lines + line of read first + s is below the magnitude of its probability. A coincidence lowers
// a weight where both probabilities have one sign, and raises it where they have not.
struct Coincidences {
  const float* rows;          // [n, groups, inputs]
  const float* cols;          // [n, groups, outputs]
  const float* length;        // [n, groups] whole numbers
  int64_t n, groups;          // n >= 0, groups >= 1
  int64_t inputs, outputs;    // >= 1
  uint64_t row_key, col_key;  // of the draws
  int64_t first;              // >= 0
  float* up;                  // [groups, inputs, outputs] how many raise
  float* down;                // the same of those that lower
};

// The trains of a GPU besides, in its memory: the slots of all vectors of a group lie one behind the other in words of
// 32. Of each word of a line, the first number has a bit where the line fires, the second where it does with a negative
// sign.
struct TrainWords {
  const int64_t* ends;  // [groups, n] where the slots of each vector end
  int64_t words;        // of a line, enough for the slots of each group
  uint32_t* rows;       // [groups, words, inputs, 2], which is written
  uint32_t* cols;       // [groups, words, outputs, 2], which is written
};

// Numbers of pulses of the cells of one part of a matrix [groups, rows, cols], on arrays [groups, row tiles, col tiles,
// array_rows, array_cols] of which the first data_cols bit lines carry weights. First come those of one direction, then
// those of the other where there are both. Which is first is drawn for each weight: the raising ones where a bit is
// set, for weight n = (group * rows + row) * cols + col bit n % 32 of word n / 32 of those that `read` has under `key`.
struct PulseOrder {
  const float* up;    // [groups, rows, cols] whole numbers that raise a weight
  const float* down;  // the same of those that lower it
  int64_t rows, cols;
  int64_t array_rows, array_cols, data_cols;  // data_cols <= array_cols
  int64_t begin, end;                         // word lines that are wanted, those of all arrays one after another
  bool opposite;                              // whether pulses that raise a weight lower its cell
  const float* conductance;                   // [end - begin, array_cols]
  uint64_t key;
  int64_t read;
  float* before;  // [end - begin, array_cols] signed pulses that come first; none where no weight is
  float* behind;  // the same of those that follow
  double* sums;   // [4] cells that take pulses both ways; pulses; the conductances at those towards SET, and RESET
};

// The signed pulses that come first of weights, those of PulseOrder with no arrays: of weight n, the bit n % 32 of word
// n / 32 is drawn.
struct FirstPulses {
  const float* up;    // [count] whole numbers that raise a weight
  const float* down;  // the same of those that lower it
  int64_t count;      // >= 0
  uint64_t key;
  int64_t read;
  float* first;  // [count]
};

// Trains whose coincidences move the cells of all parts of a matrix, one part after the other in memory.
struct TrainPulses {
  Coincidences trains;  // `up` and `down` are not used
  PulseOrder order;     // of the word lines of one part; numbers of pulses and `opposite` are not used
  Simulate model;       // of all cells: behind the variables of the state, pulses that come second become conductances
  int64_t parts;        // >= 1
  const int64_t* opposite;  // [parts] whether pulses that raise a weight lower its cell
  // Conductances of all parts are in memory at order.conductance. Where that is nullptr, another model makes one of the
  // first variable of each cell, and leaves the others.
  Simulate law;
};

// FoldPairs of cells whose conductances follow from their states, for some rows.
struct FoldStates {
  Pairs at;
  bool reference;
  Simulate law;        // of all cells, as in TrainPulses
  int64_t begin, end;  // rows that are wanted
  const float* gain;   // [1] if gain_size == 1, else [cols]
  int64_t gain_size;
  float* out;                   // [groups, cols, end - begin]
  int64_t out_group, out_rows;  // from group to group and from column to column of out
  float* check;                 // [1] 0, or NaN if anything in out is infinite or NaN
};

// Whole numbers of pulses for products of lines, vector after vector, none of which is contracted to a fused
// multiply-add: results are those of PyTorch's operations one by one, to the bit. With a carry,
// carry -= cols * rows; whole = trunc(carry); carry -= whole; without one, whole = -round(cols * rows), halves to even.
struct CountedProducts {
  const float* rows;                   // [n, groups, inputs]
  const float* cols;                   // [n, groups, outputs]
  int64_t n, groups, inputs, outputs;  // n >= 0, the others >= 1
  float* carry;                        // [groups, outputs, inputs], which changes; or nullptr
  float* up;                           // [groups, inputs, outputs] whole numbers above 0, added up
  float* down;                         // magnitudes of those below
  double* slots;                       // [1] the largest magnitude of each vector, added up
};

// A recorded model of one step for a GPU, in its memory. Each number of a cell is in a row: registers, variables of the
// state, parameters, and what comes first of its pulses.
struct RecordedModel {
  // [once + length] Of the lowest bits on: 8 of the code, 8 of the row of the result, three operands of 16. An operand
  // is a row, or kScalar | constant; what there is not is the first one. Of random numbers, the first is an index of
  // keys; of skips it is the condition, and the second the number of instructions that are left out.
  const uint64_t* code;
  int64_t once;  // the first ones, whose operands and results are constants
  int64_t length;
  const float* constants;  // [n_constants]
  int64_t n_constants, n_registers, n_state, n_params;
  const int64_t* params;  // addresses of float [cells] each, multiples of 16
  const int64_t* keys;    // [.., 2] of the streams of random numbers, and what is added to the step to draw them
};
constexpr uint32_t kScalar = 1u << 15;
constexpr int64_t kMostVariables = 8;

// TrainPulses of a GPU, of trains or of numbers of pulses that are given.
struct CellMoves {
  Coincidences trains;  // without words, `up` and `down` are the numbers [groups, inputs, outputs], nullptr for none
  TrainWords words;
  PulseOrder order;  // as of TrainPulses; `sums` is [blocks, 4], those of each block of cells
  RecordedModel model;
  float* state[kMostVariables];  // [parts * end, array_cols] of each variable but the last
  float* conductance;            // the same, which is written
  int64_t parts;                 // 1 to 63
  uint64_t opposite;             // a bit for each part
  bool always;                   // whether cells without pulses are written, too
  int64_t first_step;
  int64_t threads;  // of a block, a multiple of 32 and at most kMoveThreads; each has four neighbouring cells of a line
};
constexpr int64_t kMoveThreads = 64;

namespace cpu {

void counted_products(const CountedProducts& args);
void coincidences(const Coincidences& args);
void pulse_order(const PulseOrder& args);
void pulse_trains(const TrainPulses& args);
void fold_states(const FoldStates& args);

}  // namespace cpu

namespace cuda {

// The CPU has its words to itself, and no `first_pulses`: its pulses come first as they are laid onto arrays.
void coincidences(const Coincidences& args, const TrainWords& words, int device, void* stream);
void first_pulses(const FirstPulses& args, int device, void* stream);
void move_cells(const CellMoves& args, int device, void* stream);

}  // namespace cuda

}  // namespace memcore
