// Pulse trains on cells: counted, ordered and applied to some word lines after the others, while these stay in a cache.
// Internal linkage throughout: this header is compiled once per instruction set.
#pragma once

#include <cstdint>

#include "law_kernels.h"
#include "memcore/pulses.h"
#include "memory.h"
#include "parallel.h"
#include "pulses_kernels.h"
#include "simulate_kernels.h"

namespace memcore {
namespace {

constexpr int64_t kMovedCells = 4096;  // at least, that are moved together

// Numbers of pulses of some word lines, and those of their cells that come first and second.
struct LinePulses {
  int64_t height, stride;
  Memory<float> up, down, before, behind, conducts;

  explicit LinePulses(const PulseOrder& p)
      : height(ceil_div(ceil_div(kMovedCells, p.array_cols), kCountRows) * kCountRows),
        stride(ceil_div(p.data_cols, kLanes) * kLanes),
        up(height * stride),
        down(height * stride),
        before(height * p.array_cols),
        behind(height * p.array_cols),
        conducts(p.conductance == nullptr ? height * p.array_cols : 0) {}
};

// Counts of up to kCountRows word lines of one array.
inline void count_some(const FiredLines& fired, const WordLine& weights, int64_t lines, int64_t to, LinePulses& out) {
  for (int64_t j = 0; j < weights.count; j += kLanes) {
    Vec up[kCountRows], down[kCountRows];
    count_block(fired, weights.row, weights.col + j, up, down);
    for (int64_t r = 0; r < lines; ++r) {
      store(out.up.data + (to + r) * out.stride + j, up[r]);
      store(out.down.data + (to + r) * out.stride + j, down[r]);
    }
  }
}

inline void count_lines(const PulseOrder& p, const FiredLines& fired, int64_t begin, int64_t end, LinePulses& out) {
  for (int64_t line = begin; line < end;) {
    const int64_t lines = smaller(smaller(kCountRows, end - line), p.array_rows - line % p.array_rows);
    count_some(fired, WordLine(p, line), lines, line - begin, out);
    line += lines;
  }
}

// Moves the cells of some word lines by the pulses that they have; belongs to one thread.
class Mover {
 public:
  explicit Mover(const TrainPulses& t)
      : is_kept_(t.order.conductance != nullptr),
        places_(2 * t.model.n_state),
        model_(with_places(t.model, places_.data)),
        simulation_(model_),
        room_(simulation_) {}

  // Cells from a number on, by pulses that begin with theirs.
  void move(int64_t cell, int64_t cells, const LinePulses& pulses) {
    model_.voltage = pulses.before.data - cell;  // all is found by the number of a cell
    int64_t* const second = places_.data + model_.n_state - 1;
    second[0] = reinterpret_cast<int64_t>(pulses.behind.data - cell);
    if (!is_kept_) second[model_.n_state] = reinterpret_cast<int64_t>(pulses.conducts.data - cell);
    simulation_.over_some(cell, cell + cells, room_);
  }

 private:
  static Simulate with_places(Simulate s, int64_t* places) {
    for (int64_t k = 0; k < s.n_state; ++k) places[k] = s.state[k], places[s.n_state + k] = s.last[k];
    s.state = places, s.last = places + s.n_state;
    return s;
  }

  const bool is_kept_;            // what all cells conduct, in memory
  const Memory<int64_t> places_;  // of the variables before and after
  Simulate model_;
  Simulation<float> simulation_;
  Simulation<float>::Room room_;
};

// What cells of some word lines conduct before they are moved; belongs to one thread.
class Conductances {
 public:
  explicit Conductances(const TrainPulses& t) : kept_(t.order.conductance), law_(t.law) {}

  const float* of(int64_t cell, int64_t cells, const LinePulses& pulses) {
    if (kept_ != nullptr) return kept_ + cell;
    law_.conduct(cell, cells, pulses.conducts.data);
    return pulses.conducts.data;
  }

 private:
  const float* const kept_;  // of all cells, in memory
  Law law_;
};

// Some word lines of one group, and what they add to the sums of each part.
inline void pulse_lines(const TrainPulses& t, const FiredLines& fired, const Coins& coins, int64_t begin, int64_t end,
                        LinePulses& pulses, Conductances& conductances, Mover& mover, RowSums* sums) {
  const PulseOrder& p = t.order;
  count_lines(p, fired, begin, end, pulses);
  for (int64_t part = 0; part < t.parts; ++part) {
    const int64_t cell = (part * p.end + begin) * p.array_cols, cells = (end - begin) * p.array_cols;
    const float* const conducts = conductances.of(cell, cells, pulses);
    double sent = 0.0;
    for (int64_t line = begin; line < end; ++line) {
      const int64_t at = part * p.end + line, from = (line - begin) * pulses.stride;
      const int64_t to = (line - begin) * p.array_cols;
      const LineOrder order = {pulses.up.data + from,   pulses.down.data + from, conducts + to,
                               pulses.before.data + to, pulses.behind.data + to, t.opposite[part] != 0};
      sums[at] = order_line(order, WordLine(p, line), p.array_cols, coins);
      sent += sums[at].pulses;
    }
    if (sent > 0.0) mover.move(cell, cells, pulses);
  }
}

inline void pulse_trains(const TrainPulses& t) {
  const PulseOrder& p = t.order;
  const Memory<RowSums> sums(t.parts * p.end);
  const Coins coins(p);
  const int64_t lines = p.end / t.trains.groups;
  for (int64_t group = 0; group < t.trains.groups; ++group) {
    const TrainSlots slots(t.trains, group, slots_of(t.trains, group));
    const FiredLines fired(t.trains, group, slots);
    parallel_for_units(lines, kCountRows, ceil_div(kCellGrain, p.array_cols), [&](int64_t begin, int64_t end) {
      LinePulses pulses(p);
      Conductances conductances(t);
      Mover mover(t);
      for (int64_t line = begin; line < end; line += pulses.height)
        pulse_lines(t, fired, coins, group * lines + line, group * lines + smaller(end, line + pulses.height), pulses,
                    conductances, mover, sums.data);
    });
  }
  add_sums(sums.data, t.parts * p.end, p.sums);
}

}  // namespace
}  // namespace memcore
