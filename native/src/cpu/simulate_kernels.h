// Runs a device model, recorded as a list of elementary operations, over many cells and many steps.
//
// Four lists, each executed as rarely as its inputs allow: once; once per step for all cells (vectorised over time);
// once per cell; once per step and cell. The last one runs over a block of cells that stays in the first-level cache,
// with the time loop inside, so an operation costs little more than its arithmetic.
// Internal linkage throughout: this header is compiled once per instruction set.
#pragma once

#include <cstdint>

#include "memcore/kernels.h"
#include "memory.h"
#include "parallel.h"
#include "simulate_operations.h"

namespace memcore {
namespace {

constexpr int64_t kTimeBlock = 512;
constexpr int64_t kCacheNumbers = 6 * 1024;  // of the registers of a block: 24 KiB of floats
constexpr int64_t kAlignment = 16;           // numbers; blocks of cells begin at multiples of it

// Where the operands of one list are at present.
template <class Real>
struct Places {
  Real* constants;  // one number each
  Real* series;     // [n_series, steps], at the present step
  int64_t steps;
  const int64_t* params;  // addresses of [cells] each
  int64_t cell;           // first cell of the block
  Real* registers;        // [n_registers, block]
  Real* states;           // [n_state, block]
  int64_t block;
  const Real* voltage;  // of the present step and block, or nullptr
  bool series_are_scalars;
};

template <class Real>
Real* locate(const Places<Real>& at, int32_t operand, bool& scalar) {
  const int64_t index = operand & kOperandIndex;
  scalar = false;
  switch (operand >> kOperandShift) {
    case kConstant:
      scalar = true;
      return at.constants + index;
    case kSeries:
      scalar = at.series_are_scalars;
      return at.series + index * at.steps;
    case kParameter:
      return reinterpret_cast<Real*>(at.params[index]) + at.cell;
    case kRegister:
      return at.registers + index * at.block;
    case kState:
      return at.states + index * at.block;
    default:
      return const_cast<Real*>(at.voltage);
  }
}

template <class Real>
void bind(const Simulate& s, int list, const Places<Real>& at, bool one, const int64_t* read, Bound<Real>* bound) {
  int64_t count;
  const Entry3<Real>* const table = operations<Real>(count);
  for (int64_t i = 0; i < s.length[list]; ++i) {
    const int32_t* const code = s.list[list] + i * kInstruction;
    const Entry3<Real>& entry = table[code[0]];
    if (entry.control != Control::kNone) {
      bound[i].skip = code[1];
      bound[i].unless = entry.control == Control::kSkipUnless;
      bound[i].operand[0] = locate(at, code[2], bound[i].single);
      continue;
    }
    bool ignored;
    bound[i].skip = 0;
    bound[i].out = locate(at, code[1], ignored);
    int scalars = 0;
    if (code[2] >= 0 && entry.run[1] == nullptr) {  // a random number: its operand is the index of its key
      bound[i].key = static_cast<uint64_t>(s.keys[code[2]]);
      bound[i].read = read;
    } else {
      for (int k = 0; k < 3; ++k) {
        bool scalar = false;
        bound[i].operand[k] = code[2 + k] < 0 ? bound[i].operand[0] : locate(at, code[2 + k], scalar);
        if (code[2 + k] >= 0 && scalar) scalars |= 1 << k;
      }
    }
    bound[i].run = one ? entry.one : entry.run[scalars];
  }
}

template <class Real>
void execute(const Bound<Real>* bound, int64_t count, int64_t n) {
  for (int64_t i = 0; i < count; ++i) {
    if (bound[i].skip != 0)
      i += left_out(bound[i], n);
    else
      bound[i].run(bound[i], n);
  }
}

template <class Real>
class Simulation {
 public:
  explicit Simulation(const Simulate& s)
      : s_(s), constants_(larger(s.n_constants, 1)), series_(larger(s.n_series, 1) * larger(s.steps, 1)) {
    for (int64_t i = 0; i < s.n_constants; ++i) constants_.data[i] = static_cast<const Real*>(s.constants)[i];
    once();
    over_time();
  }

  void over_cells() {
    const int64_t unit = block_size();
    parallel_for_units(s_.cells, unit, unit, [&](int64_t begin, int64_t end) {
      const Memory<Real> memory((s_.n_registers + s_.n_state) * unit);
      const Memory<Bound<Real>> lists(larger(s_.length[2], s_.length[3]));
      for (; begin < end; begin += unit) block(begin, smaller(unit, end - begin), unit, memory.data, lists.data);
    });
  }

 private:
  // The same for any number of threads, and small enough to give each of them something.
  int64_t block_size() const {
    const int64_t cached =
        kCacheNumbers * 4 / static_cast<int64_t>(sizeof(Real)) / larger(s_.n_registers + s_.n_state, 1);
    const int64_t fits = smaller(larger(cached, 64), 2048) / 64 * 64;
    return smaller(fits, larger(64, ceil_div(ceil_div(s_.cells, 16), 64) * 64));
  }

  Places<Real> places(bool series_are_scalars) {
    Places<Real> at = {};
    at.constants = constants_.data;
    at.series = series_.data;
    at.steps = s_.steps;
    at.params = s_.params;
    at.series_are_scalars = series_are_scalars;
    return at;
  }

  void once() {
    const Memory<Bound<Real>> lists(s_.length[0]);
    Bound<Real>* const bound = lists.data;
    bind(s_, 0, places(true), true, nullptr, bound);
    execute(bound, s_.length[0], 1);
  }

  // The operations that all cells share, vectorised over time.
  void over_time() {
    if (s_.shared)
      for (int64_t t = 0; t < s_.steps; ++t) series_.data[t] = static_cast<const Real*>(s_.voltage)[t];
    if (s_.length[1] == 0) return;
    const int64_t blocks = ceil_div(s_.steps, kTimeBlock);
    parallel_for(blocks, 8, [&](int64_t begin, int64_t end) {
      const Memory<Real> memory(larger(s_.n_registers, 1) * kTimeBlock);
      const Memory<Bound<Real>> lists(s_.length[1]);
      Bound<Real>* const bound = lists.data;
      for (; begin < end; ++begin) {
        Places<Real> at = places(false);
        at.series += begin * kTimeBlock;
        at.registers = memory.data;
        at.block = kTimeBlock;
        bind(s_, 1, at, false, nullptr, bound);
        execute(bound, s_.length[1], smaller(kTimeBlock, s_.steps - begin * kTimeBlock));
      }
    });
  }

  void block(int64_t cell, int64_t n, int64_t unit, Real* memory, Bound<Real>* bound) {
    Places<Real> at = places(true);
    at.cell = cell;
    at.registers = memory;
    at.states = memory + s_.n_registers * unit;
    at.block = unit;
    at.voltage = s_.shared ? nullptr : static_cast<const Real*>(s_.voltage) + cell;
    bind(s_, 2, at, n == 1, nullptr, bound);
    execute(bound, s_.length[2], n);
    int64_t read[2] = {s_.first_step, cell};
    bind(s_, 3, at, n == 1, read, bound);
    copy(static_cast<const Real*>(s_.state) + cell, s_.cells, at.states, unit, n);
    walk(at, n, read, bound);
    copy(at.states, unit, static_cast<Real*>(s_.last) + cell, s_.cells, n);
  }

  // An operand that is another number, or another row of the waveforms, at every step.
  struct Moving {
    const Real** operand;
    int64_t step;
  };

  int64_t find_moving(Bound<Real>* bound, Moving* moving) const {
    int64_t count = 0;
    for (int64_t i = 0; i < s_.length[3]; ++i)
      for (int k = 0; k < 3; ++k) {
        const int32_t operand = s_.list[3][i * kInstruction + 2 + k];
        const int32_t kind = operand < 0 ? -1 : operand >> kOperandShift;
        if (kind == kSeries) moving[count++] = {&bound[i].operand[k], 1};
        if (kind == kVoltage) moving[count++] = {&bound[i].operand[k], s_.cells};
      }
    return count;
  }

  void walk(const Places<Real>& at, int64_t n, int64_t* read, Bound<Real>* bound) {
    const int64_t count = s_.length[3];
    const Memory<Moving> memory(3 * count);
    Moving* const moving = memory.data;
    const int64_t n_moving = find_moving(bound, moving);
    Real* record = static_cast<Real*>(s_.record) + at.cell;
    int64_t until_record = 0;
    for (int64_t t = 0; t < s_.steps; ++t) {
      if (s_.stride != 0 && until_record-- == 0) {
        copy(at.states, at.block, record, s_.cells, n);
        record += s_.n_state * s_.cells;
        until_record = s_.stride - 1;
      }
      execute(bound, count, n);
      ++read[0];
      for (int64_t i = 0; i < n_moving; ++i) *moving[i].operand += moving[i].step;
    }
  }

  void copy(const Real* from, int64_t from_row, Real* to, int64_t to_row, int64_t n) const {
    for (int64_t k = 0; k < s_.n_state; ++k)
      for (int64_t i = 0; i < n; ++i) to[k * to_row + i] = from[k * from_row + i];
  }

  const Simulate& s_;
  const Memory<Real> constants_, series_;
};

inline void simulate(const Simulate& s) {
  if (s.is_double)
    Simulation<double>(s).over_cells();
  else
    Simulation<float>(s).over_cells();
}

}  // namespace
}  // namespace memcore
