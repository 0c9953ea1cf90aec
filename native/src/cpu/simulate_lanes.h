// Runs what only few cells of a block want on these cells alone: what its operations read is gathered, and what they
// leave is put back. Cells do not know of each other, so that results are the same to the bit.
// Internal linkage throughout: this header is compiled once per instruction set.
#pragma once

#include <cstdint>

#include "memcore/kernels.h"
#include "memory.h"
#include "parallel.h"
#include "simulate_operations.h"

namespace memcore {
namespace {

constexpr int64_t kFewest = 64;         // cells of a block, below which all are computed
constexpr int64_t kLevels = 32;         // of regions inside of regions
constexpr int64_t kMoveWork = 3;        // of a number that is gathered or put back, in additions
constexpr int64_t kSelectWork = 3;      // of a lane that is looked at
constexpr int64_t kBindWork = 12;       // of an instruction that is bound anew
constexpr int64_t kSpare = 4 * kLanes;  // numbers between two rows

template <class Real>
class Lanes {
 public:
  const bool few;  // whether anything is run for some cells alone

  // For blocks of `unit` cells.
  Lanes(const Simulate& s, int64_t unit)
      : few(s.steps == 1 && !s.shared && s.regions != nullptr && unit > kFewest),
        s_(s),
        params_(few ? s.regions[0] : 0),
        places_(s.n_registers + s.n_state + 1 + params_),
        slots_(few ? kSlots * s.length[3] : 0),
        rows_(few ? (kLevels + 1) * places_ : 0),
        numbers_(few ? places_ * (unit + kLevels * kSpare) : 0),
        lanes_(few ? 2 * (unit + kLevels * kSpare) : 0) {
    for (int64_t i = 0; few && i < s.length[3]; ++i) find_slots(i);
  }

  // List 3 of a block whose registers and states are [.., block].
  void execute(Bound<Real>* bound, Real* registers, int64_t block, int64_t cell, int64_t n) {
    bound_ = bound;
    Real** const rows = rows_.data;
    for (int64_t k = 0; k < s_.n_registers + s_.n_state; ++k) rows[k] = registers + k * block;
    rows[s_.n_registers + s_.n_state] = const_cast<Real*>(static_cast<const Real*>(s_.voltage)) + cell;
    for (int64_t k = 0; k < params_; ++k)
      rows[s_.n_registers + s_.n_state + 1 + k] = reinterpret_cast<Real*>(s_.params[k]) + cell;
    run({rows, numbers_.data, nullptr, lanes_.data, 0}, 0, s_.length[3], n);
  }

 private:
  static constexpr int64_t kSlots = 4;  // of an instruction: its result and its operands

  // Some lanes and where their numbers are.
  struct Level {
    Real** rows;           // of each place
    Real* free;            // memory that is left
    const int32_t* lanes;  // of the block, nullptr for all
    int32_t* free_lanes;
    int64_t depth;
  };

  // The row of a place, -1 if it has one number for all cells.
  int32_t slot_of(int32_t place) const {
    const int64_t index = place & kOperandIndex;
    if (place < 0) return -1;
    switch (place >> kOperandShift) {
      case kParameter:
        return static_cast<int32_t>(s_.n_registers + s_.n_state + 1 + index);
      case kRegister:
        return static_cast<int32_t>(index);
      case kState:
        return static_cast<int32_t>(s_.n_registers + index);
      case kVoltage:
        return static_cast<int32_t>(s_.n_registers + s_.n_state);
      default:
        return -1;
    }
  }

  void find_slots(int64_t i) {
    int64_t count = 0;
    const int32_t* const code = s_.list[3] + i * kInstruction;
    const Entry3<Real>& entry = operations<Real>(count)[code[0]];
    const bool is_test = entry.control != Control::kNone, is_draw = !is_test && entry.run[1] == nullptr;
    int32_t* const slots = slots_.data + kSlots * i;
    slots[0] = is_test ? -1 : slot_of(code[1]);
    // Operands that are not there are the first one, as in `bind`.
    for (int k = 0; k < 3; ++k) slots[1 + k] = is_draw ? -1 : slot_of(code[code[2 + k] < 0 ? 2 : 2 + k]);
  }

  void run(const Level& level, int64_t begin, int64_t end, int64_t n) {
    for (int64_t i = begin; i < end; ++i) {
      if (bound_[i].skip != 0)
        i += take_region(level, i, n);
      else if (level.lanes == nullptr)
        bound_[i].run(bound_[i], n);
      else
        run_anew(level, i, n);
    }
  }

  // One instruction on the rows of a level.
  void run_anew(const Level& level, int64_t i, int64_t n) const {
    Bound<Real> bound = bound_[i];
    const int32_t* const slots = slots_.data + kSlots * i;
    bound.out = level.rows[slots[0]];
    for (int k = 0; k < 3; ++k)
      if (slots[1 + k] >= 0) bound.operand[k] = level.rows[slots[1 + k]];
    bound.lanes = level.lanes;
    bound.run(bound, n);
  }

  // Runs the instructions behind a test for those lanes that want them, if these are few; how many are then done.
  int64_t take_region(const Level& level, int64_t i, int64_t n) {
    const Bound<Real>& test = bound_[i];
    const Real* const wanted = test.single ? test.operand[0] : level.rows[slots_.data[kSlots * i + 1]];
    const int64_t count = wanting(test, wanted, n);
    if (count == 0) return test.skip;
    const int32_t* const region = s_.regions + s_.regions[1 + i];
    if (!is_worth(region, level, test.skip, count, n)) return 0;
    run_some(level, i, region, wanted, n);
    return test.skip;
  }

  static bool is_worth(const int32_t* region, const Level& level, int64_t length, int64_t count, int64_t n) {
    if (2 * count > n || n < kFewest || level.depth + 1 >= kLevels) return false;
    const int64_t moved = kMoveWork * (region[1] + region[2]) * count + kSelectWork * n + kBindWork * length;
    return (n - count) * region[0] > moved;
  }

  void run_some(const Level& level, int64_t i, const int32_t* region, const Real* wanted, int64_t n) {
    int32_t* const chosen = level.free_lanes;
    const int64_t count = choose(wanted, bound_[i].unless, n, chosen), row = ceil_div(count, kSpare) * kSpare;
    Level few = {level.rows + places_, level.free, chosen + row, chosen + 2 * row, level.depth + 1};
    for (int64_t k = 0; k < count; ++k) chosen[row + k] = level.lanes == nullptr ? chosen[k] : level.lanes[chosen[k]];
    for (int64_t k = 0; k < places_; ++k, few.free += row) few.rows[k] = few.free;
    const int32_t* const places = region + 3;
    for (int32_t k = 0; k < region[1]; ++k) {
      const int32_t slot = slot_of(places[k]);
      const Real* const from = level.rows[slot];
      Real* const to = few.rows[slot];
      for (int64_t lane = 0; lane < count; ++lane) to[lane] = from[chosen[lane]];
    }
    run(few, i + 1, i + 1 + bound_[i].skip, count);
    for (int32_t k = region[1]; k < region[1] + region[2]; ++k) {
      const int32_t slot = slot_of(places[k]);
      const Real* const from = few.rows[slot];
      Real* const to = level.rows[slot];
      for (int64_t lane = 0; lane < count; ++lane) to[chosen[lane]] = from[lane];
    }
  }

  // Which of n lanes want a region, filled up to whole vectors with the last one; how many.
  static int64_t choose(const Real* wanted, bool unless, int64_t n, int32_t* chosen) {
    int64_t count = 0;
    for (int64_t lane = 0; lane < n; ++lane) {
      chosen[count] = static_cast<int32_t>(lane);
      count += (wanted[lane] != Real(0)) == unless ? 1 : 0;
    }
    const int32_t last = chosen[count - 1];
    for (; count % kLanes != 0; ++count) chosen[count] = last;
    return count;
  }

  const Simulate& s_;
  const int64_t params_, places_;
  const Memory<int32_t> slots_;
  const Memory<Real*> rows_;
  const Memory<Real> numbers_;
  const Memory<int32_t> lanes_;
  Bound<Real>* bound_ = nullptr;
};

}  // namespace
}  // namespace memcore
