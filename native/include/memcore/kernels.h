// The interface between the Python bindings and the kernels; that of line resistance is in effective.h and ladder.h.
//
// No Python, no torch: plain structs of pointers and sizes. All pointers of one call point to memory of the
// same device (host memory for memcore::cpu, memory of `device` for memcore::cuda), are contiguous and are not
// checked here: shapes are checked once, in memcore/ops. Inputs and outputs never overlap.
//
// memcore::cuda has the functions of memcore::cpu with two more arguments: the device index and the stream
// (a cudaStream_t). They enqueue work and return; failures are thrown as std::runtime_error.
#pragma once

#include <cstdint>

namespace memcore {

// Columns of one weight panel: panels[g, p, k, j] = W[g, k, kPanel * p + j], zero where the column does not exist.
constexpr int64_t kPanel = 32;

// Which numbers to draw: the Philox4x32-10 outputs of n_reads x size elements, written row-major.
struct Draws {
  const int64_t* reads;     // [n_reads] 64-bit read indices: counter words 2 (low) and 3 (high)
  int64_t n_reads;          // >= 0
  const int64_t* elements;  // [size] element indices, or nullptr for 0 .. size-1
  int64_t size;             // >= 0
  uint64_t key;             // low half is key word 0
  int64_t first = 0;        // without `elements` and on CPU: element `first` is written first; a multiple of 4
};

// out = clamp(round_half_even(x / step), lo, hi) * step; NaN stays NaN.
struct QuantizeUniform {
  const float* x;     // [count], the last dimension running fastest
  int64_t count;      // >= 0
  const float* step;  // [1] if cols == 1, else [cols]: element i uses step[i % cols]
  int64_t cols;       // >= 1; count is a multiple of cols
  float lo, hi;       // in steps
  float* out;         // [count]
};

// out = the level nearest to x, ties to the lower one; NaN stays NaN.
struct QuantizeLevels {
  const float* x;       // [count]
  int64_t count;        // >= 0
  const float* levels;  // [cols, n_levels], each row ascending; element i uses row i % cols
  int64_t n_levels;     // >= 1
  int64_t cols;         // >= 1; 1 means one table for the whole tensor
  float* out;           // [count]
};

// out[i, g, j] = scale[g, j] * sum_t adc(sum_{k in tile t} dac(x[i, g, k]) * W[g, k, j]) + bias[g, j]
//   dac(v) = clamp(round_half_even(v * dac[0]), dac[1], dac[2]), or v if dac[0] == 0
//   adc(v) = clamp(round_half_even(v), lo, hi),                  or v if hi < lo
// Tiles are tile_rows consecutive rows, the last one may be shorter. The order of summation over k and t is the
// same for every n and every number of threads, so that results are bit-identical (on one instruction set).
struct CrossbarMvm {
  const float* x;                            // [n, groups, rows]
  const float* panels;                       // [groups, ceil(cols / kPanel), rows, kPanel]
  const float* dac;                          // [3] inverse step, lowest code, highest code
  const float* scale;                        // [1] if scale_size == 1, else [groups * cols]
  int64_t scale_size;                        // 1 or groups * cols
  const float* bias;                         // [groups * cols] or nullptr
  int64_t n, groups, rows, cols, tile_rows;  // n >= 0, the others >= 1
  float lo, hi;                              // ADC codes; hi < lo: no ADC
  float* out;                                // [n, groups, cols]
};

// Kinds of operands of a recorded device model: an operand is kind << kOperandShift | index, or negative for none.
enum OperandKind : int32_t {
  kConstant,   // one number: a constant, or a result of list 0
  kSeries,     // one number per step, the same for all cells: the shared waveform, or a result of list 1
  kParameter,  // one number per cell
  kRegister,   // scratch: one number per step in list 1, one number per cell in lists 2 and 3
  kState,      // one number per cell, carried from step to step
  kVoltage,    // one number per step and cell
};
constexpr int kOperandShift = 24;
constexpr int32_t kOperandIndex = (1 << kOperandShift) - 1;
// Code, result, three operands. Of random numbers, the first operand is an index of keys; of skips, the result is the
// number of instructions that are left out and the operand the condition.
constexpr int64_t kInstruction = 5;

// Carries the states of `cells` devices through `steps` steps of a recorded model.
// List 0 runs once, 1 once per step, 2 once per cell, 3 once per step and cell; within a list in order. A result may
// take the place of an operand. Real is double if is_double, else float. Results do not depend on the threads.
struct Simulate {
  const int32_t* list[4];  // [length, kInstruction]
  int64_t length[4];
  bool is_double;
  bool shared;  // voltage is [steps] and series 0, else [steps, cells]
  int64_t n_constants, n_series, n_registers, n_state;
  const void* constants;  // Real [n_constants], those that are given; results of list 0 may have any value
  // What operations of list 3 that may be left out read and leave. First the number of parameters; then, for each
  // instruction, where its region begins in this table, 0 for those that are no test; then the regions: work of a cell
  // in additions, how many places it reads and how many it leaves, and these places, as operands are written.
  const int32_t* regions;
  const int64_t* params;  // addresses of Real [cells] each
  const int64_t* keys;    // [.., 2] of the streams of random numbers, and what is added to the step to draw them
  const void* voltage;    // Real
  const int64_t* state;   // addresses of Real [cells] before the first step, one for each variable
  const int64_t* last;    // the same after the last one; may be those of the state
  void* record;           // Real [ceil(steps / stride), n_state, cells] before every stride-th step
  int64_t stride;         // 0: no record
  int64_t steps, cells;   // >= 0
  int64_t first_step;     // index of the first step, for random numbers, which are drawn for (step, cell)
  int64_t first_cell;     // that of the first cell
};

// Energy that pulses of one width spend, each cell at a constant voltage of its own: the integral of its power while
// its state moves from `begin` to `end`, as memcore/writing/energy.py defines it. Neither model draws random numbers.
// Lists 2 and 3 of both see `voltage`; results do not depend on the threads, nor on which cells are in one call.
struct PulseEnergy {
  Simulate step;          // the model that moves; series 0 is the duration, which is filled in; `steps`: most halvings
  Simulate power;         // result 0: the power in W, from the same states; `steps` is 1
  const int64_t* params;  // addresses of Real [cells] each, for both
  int64_t n_params;
  const void* begin;                      // Real [n_state, cells]
  const void* end;                        // Real [n_state, cells]
  const void* voltage;                    // Real [cells]
  void* energy;                           // Real [cells], J
  int64_t cells;                          // >= 0
  double width;                           // s
  double accuracy, change, missed, same;  // shares of an energy that the algorithm may miss
};

namespace cpu {

// (x >> 8) * 2^-24 in [0, 1).
void philox_uniform(const Draws& draws, float* out);
// Box-Muller on the lane pairs (0, 1) and (2, 3), see philox.h.
void philox_normal(const Draws& draws, float* out);
// out = uniform < p, as 0 or 1.
void philox_bernoulli(const Draws& draws, float p, uint8_t* out);
void quantize_uniform(const QuantizeUniform& args);
void quantize_levels(const QuantizeLevels& args);
void crossbar_mvm(const CrossbarMvm& args);
void simulate(const Simulate& args);
void pulse_energy(const PulseEnergy& args);
// Name of the operation with this code, nullptr beyond the last one.
const char* simulate_operation(int64_t code);

// Name of the instruction set in use: "baseline", "avx2" or "avx512". Throws std::runtime_error if the
// environment variable MEMCORE_ISA names one that does not exist or that this machine lacks.
const char* isa();
// Threads that the next kernel may use.
int threads();
// Asks the system for large pages for memory that is about to be written for the first time. Pages of 4 KB cost more
// than what most kernels do with them. Does nothing where there are none.
void use_large_pages(void* memory, int64_t bytes);

}  // namespace cpu

namespace cuda {

void philox_uniform(const Draws& draws, float* out, int device, void* stream);
void philox_normal(const Draws& draws, float* out, int device, void* stream);
void philox_bernoulli(const Draws& draws, float p, uint8_t* out, int device, void* stream);
void quantize_uniform(const QuantizeUniform& args, int device, void* stream);
void quantize_levels(const QuantizeLevels& args, int device, void* stream);
void crossbar_mvm(const CrossbarMvm& args, int device, void* stream);

}  // namespace cuda

}  // namespace memcore
