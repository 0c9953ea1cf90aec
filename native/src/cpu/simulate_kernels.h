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
#include "simulate_lanes.h"
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
    bound[i].lanes = nullptr;
    bound[i].out = locate(at, code[1], ignored);
    int scalars = 0;
    if (code[2] >= 0 && entry.run[1] == nullptr) {  // a random number: its operand is the index of its key
      bound[i].key = static_cast<uint64_t>(s.keys[2 * code[2]]);
      bound[i].round = s.keys[2 * code[2] + 1];
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
      i += wanting(bound[i], bound[i].operand[0], n) != 0 ? 0 : bound[i].skip;
    else
      bound[i].run(bound[i], n);
  }
}

// Cells that take one step, wherever they come from.
template <class Real>
struct Batch {
  const int64_t* params;  // addresses of [n] each
  Real* registers;        // [n_registers, unit]
  Real* states;           // [n_state, unit], which are replaced
  int64_t unit;           // >= n
  const Real* voltage;    // [n]
};

template <class Real>
class Simulation {
 public:
  explicit Simulation(const Simulate& s)
      : s_(s), constants_(larger(s.n_constants, 1)), series_(larger(s.n_series, 1) * larger(s.steps, 1)) {
    for (int64_t i = 0; i < s.n_constants; ++i) constants_.data[i] = static_cast<const Real*>(s.constants)[i];
    once();
    over_time();
  }

  // One step of a model that draws no random numbers.
  void apply(int64_t step, const Batch<Real>& batch, int64_t n, Bound<Real>* bound) const {
    Places<Real> at = places(true);
    at.series += step;
    at.params = batch.params;
    at.registers = batch.registers;
    at.states = batch.states;
    at.block = batch.unit;
    at.voltage = batch.voltage;
    for (int list = 2; list < 4; ++list) {
      bind(s_, list, at, false, nullptr, bound);
      execute(bound, s_.length[list], n);
    }
  }

  void over_cells() {
    const int64_t unit = block_size();
    parallel_for_units(s_.cells, unit, unit, [&](int64_t begin, int64_t end) {
      Room room(*this, unit);
      over_some(begin, end, room);
    });
  }

  // What one thread needs to go over cells.
  class Room;

  // All cells by one thread.
  void over_cells_alone() {
    Room room(*this);
    over_some(0, s_.cells, room);
  }

  // Some cells by one thread.
  void over_some(int64_t begin, int64_t end, Room& room) {
    for (; begin < end; begin += room.blocks.unit) block(begin, smaller(room.blocks.unit, end - begin), room.blocks);
  }

 private:
  // Cells whose registers stay in a cache.
  int64_t cached_cells() const {
    // What runs once over each block gains more from long blocks than from a cache that holds all registers.
    const int64_t numbers = s_.steps > 1 ? kCacheNumbers : 12 * kCacheNumbers, unit = s_.steps > 1 ? 64 : 4 * kBatch;
    const int64_t cached = numbers * 4 / static_cast<int64_t>(sizeof(Real)) / larger(s_.n_registers + s_.n_state, 1);
    return smaller(larger(cached, unit), 2048) / unit * unit;
  }

  // The same for any number of threads, and small enough to give each of them something.
  int64_t block_size() const { return smaller(cached_cells(), larger(64, ceil_div(ceil_div(s_.cells, 16), 64) * 64)); }

  Places<Real> places(bool series_are_scalars) const {
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

  // An operand that is at another place in every block, at every step, or both.
  struct Moving {
    const Real** operand;
    int32_t code;
    int64_t step;
  };

  // What the blocks of one thread have in common: memory, and both lists as they are bound to it.
  struct Blocks {
    Real* memory;
    Bound<Real>* bound;
    Moving* moving;
    Lanes<Real>* lanes;
    int64_t unit;
    bool is_bound;
    int64_t n_moving, n_stepping;  // of all, the first ones also move at a step
    int64_t read[2];
  };

  void block(int64_t cell, int64_t n, Blocks& blocks) {
    Places<Real> at = places(true);
    at.cell = cell;
    at.registers = blocks.memory;
    at.states = blocks.memory + s_.n_registers * blocks.unit;
    at.block = blocks.unit;
    at.voltage = s_.shared ? nullptr : static_cast<const Real*>(s_.voltage) + cell;
    blocks.read[0] = s_.first_step, blocks.read[1] = s_.first_cell + cell;
    bind_block(at, n == 1, blocks);
    execute(blocks.bound, s_.length[2], n);
    for (int64_t k = 0; k < s_.n_state; ++k)
      copy(reinterpret_cast<const Real*>(s_.state[k]) + cell, at.states + k * at.block, n);
    walk(at, n, blocks);
    for (int64_t k = 0; k < s_.n_state; ++k)
      copy(at.states + k * at.block, reinterpret_cast<Real*>(s_.last[k]) + cell, n);
  }

  // Binds both lists; behind the first block, only what is at another place.
  void bind_block(const Places<Real>& at, bool one, Blocks& blocks) const {
    if (blocks.is_bound && !one) {
      bool ignored;
      for (int64_t i = 0; i < blocks.n_moving; ++i) {
        const Moving& moving = blocks.moving[i];
        *moving.operand = locate(at, moving.code, ignored);
      }
      return;
    }
    bind(s_, 2, at, one, nullptr, blocks.bound);
    bind(s_, 3, at, one, blocks.read, blocks.bound + s_.length[2]);
    blocks.n_moving = 0;
    find_moving(kSeries, 1, blocks);
    find_moving(kVoltage, s_.cells, blocks);
    blocks.n_stepping = blocks.n_moving;
    find_moving(kParameter, 0, blocks);
    blocks.is_bound = !one;
  }

  // Of one kind, and how far they move at a step; behind those that are known already.
  void find_moving(int32_t kind, int64_t step, Blocks& blocks) const {
    Bound<Real>* bound = blocks.bound;
    for (int list = 2; list < 4; ++list)
      for (int64_t i = 0; i < s_.length[list]; ++i, ++bound)
        for (int k = 0; k < 3; ++k) {
          const int32_t code = s_.list[list][i * kInstruction + 2 + k];
          if (code >= 0 && code >> kOperandShift == kind)
            blocks.moving[blocks.n_moving++] = {&bound->operand[k], code, step};
        }
  }

  void walk(const Places<Real>& at, int64_t n, Blocks& blocks) {
    Bound<Real>* const bound = blocks.bound + s_.length[2];
    Real* record = static_cast<Real*>(s_.record) + at.cell;
    int64_t until_record = 0;
    for (int64_t t = 0; t < s_.steps; ++t) {
      if (s_.stride != 0 && until_record-- == 0) {
        for (int64_t k = 0; k < s_.n_state; ++k) copy(at.states + k * at.block, record + k * s_.cells, n);
        record += s_.n_state * s_.cells;
        until_record = s_.stride - 1;
      }
      if (blocks.lanes->few)
        blocks.lanes->execute(bound, at.registers, at.block, at.cell, n);
      else
        execute(bound, s_.length[3], n);
      ++blocks.read[0];
      for (int64_t i = 0; i < blocks.n_stepping; ++i) *blocks.moving[i].operand += blocks.moving[i].step;
    }
  }

  static void copy(const Real* from, Real* to, int64_t n) {
    for (int64_t i = 0; i < n; ++i) to[i] = from[i];
  }

  const Simulate& s_;
  const Memory<Real> constants_, series_;
};

template <class Real>
class Simulation<Real>::Room {
 public:
  explicit Room(const Simulation& of) : Room(of, of.cached_cells()) {}

  Room(const Simulation& of, int64_t unit)
      : memory_((of.s_.n_registers + of.s_.n_state) * unit),
        lists_(of.s_.length[2] + of.s_.length[3]),
        moving_(3 * (of.s_.length[2] + of.s_.length[3])),
        lanes_(of.s_, unit),
        blocks{memory_.data, lists_.data, moving_.data, &lanes_, unit, false, 0, 0, {of.s_.first_step, 0}} {}

 private:
  const Memory<Real> memory_;
  const Memory<Bound<Real>> lists_;
  const Memory<Moving> moving_;
  Lanes<Real> lanes_;

 public:
  Blocks blocks;
};

inline void simulate(const Simulate& s) {
  if (s.is_double)
    Simulation<double>(s).over_cells();
  else
    Simulation<float>(s).over_cells();
}

}  // namespace
}  // namespace memcore
