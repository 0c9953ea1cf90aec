// The effective matrix of crossbars with line resistance, see effective_multiport.h.
// Internal linkage throughout: this header is compiled once per instruction set.
#pragma once

#include <cstddef>
#include <cstdint>

#include "effective_cells.h"
#include "memcore/effective.h"
#include "memory.h"

namespace memcore {
namespace {

template <class T>
Cells<T> cells_of(const EffectiveConductance<T>& e, int64_t array) {
  const int64_t word_stride = e.cols + (e.drive_both ? 1 : 0), bit_rows = e.rows + (e.sense_both ? 1 : 0);
  const T* const bit = e.bit + array * bit_rows * e.cols + (e.sense_both ? e.cols : 0);
  return {e.rows, e.cols, word_stride, e.g + array * e.rows * e.cols, e.word + array * e.rows * word_stride, bit};
}

// The two ways in which lines are held at both ends, and what is left after each.
template <class T>
struct Closing {
  Layout layout[3];  // of the whole array, after tying R to L, after tying T to B
  bool tied[2];
  int64_t w[2], block[2], scratch, memory;  // where things are

  static constexpr Port far[2] = {kRight, kTop};
  static constexpr Port near[2] = {kLeft, kBottom};

  explicit Closing(const Layout& whole) {
    layout[0] = whole;
    memory = scratch = 0;
    for (int i = 0; i < 2; ++i) {
      const int64_t m = layout[i].port[far[i]].count;
      tied[i] = m > 0;
      layout[i + 1] = tied[i] ? tied_layout(layout[i], far[i]) : layout[i];
      const int64_t n = layout[i + 1].size;
      w[i] = memory;
      block[i] = w[i] + (tied[i] ? area<T>(m, m) : 0);
      memory = block[i] + (tied[i] ? area<T>(n, n) : 0);
      scratch = larger(scratch, tied[i] ? m + tie_scratch<T>(m, n) : 0);
    }
    memory += scratch;
  }

  Tie<T> tie(int i, Matrix<T> s, const T* resistances, T* base) const {
    const Side side = side_of(layout[i], far[i]);
    return {
        side, layout[i + 1].port[near[i]], resistances, constant(s), {base + w[i], stride_of<T>(side.joined.count)}};
  }
};

// Resistances between port R and the right driver, or between port T and the sense node at the top. A line without any
// resistance at all is at one voltage, and the current at its far end is of no consequence: any number will do.
template <class T>
void far_resistances(const EffectiveConductance<T>& e, const Cells<T>& cells, int i, int64_t count, T* out) {
  for (int64_t line = 0; line < count; ++line) {
    T last = 0, sum = 0;
    if (i == 0 && line < e.rows) {
      const T* const word = cells.word + line * cells.word_stride;
      last = word[e.cols];
      for (int64_t j = 0; j <= e.cols; ++j) sum += word[j];
    } else if (i == 1 && line < e.cols) {
      const T* const bit = cells.bit - e.cols + line;
      last = bit[0];
      for (int64_t j = 0; j <= e.rows; ++j) sum += bit[j * e.cols];
    }
    out[line] = sum == T(0) ? T(1) : last;
  }
}

// Ties what is to be tied; returns the block that is left.
template <class T>
Matrix<T> close_all(const EffectiveConductance<T>& e, const Cells<T>& cells, const Closing<T>& closing, Matrix<T> s,
                    T* base, double& operations) {
  for (int i = 0; i < 2; ++i) {
    if (!closing.tied[i]) continue;
    const int64_t m = closing.layout[i].port[Closing<T>::far[i]].count, n = closing.layout[i + 1].size;
    T* const resistances = base + closing.memory - closing.scratch;
    far_resistances(e, cells, i, m, resistances);
    const Matrix<T> out{base + closing.block[i], stride_of<T>(n)};
    Scratch<T> work{resistances + (m + 15) / 16 * 16, 0};
    close(closing.tie(i, s, resistances, base), out, work);
    operations += work.operations;
    s = out;
  }
  return s;
}

template <class T>
void write_matrix(const EffectiveConductance<T>& e, const Layout& layout, Matrix<T> s, T* out) {
  for_lines(layout.port[kLeft], [&](int64_t i, int64_t line_i) {
    for_lines(layout.port[kBottom], [&](int64_t j, int64_t line_j) {
      if (i < e.rows && j < e.cols) out[i * e.cols + j] = -s.row(line_i)[line_j];
    });
  });
}

template <class T>
Edges edges_of(const EffectiveConductance<T>& e) {
  return {e.drive_both, e.sense_both, true};
}

// How to solve arrays of one size; a solver is shared by all threads.
template <class T>
struct Solver {
  const EffectiveConductance<T>& e;
  const Plan<T> plan;
  const SquarePlan<T> squares;
  const Closing<T> closing;

  Solver(const EffectiveConductance<T>& args, bool keep, int64_t depth)
      : e(args),
        plan(ceil_div(e.rows, kUnit), ceil_div(e.cols, kUnit), kUnit, Lanes<T>::count, edges_of(e), keep, depth),
        squares(kUnit, kUnit, 1, 0, kSquareEdges, keep, 0),
        closing(plan.nodes[0].layout) {}

  bool tied() const { return closing.tied[0] || closing.tied[1]; }

  // The whole block and what comes of it when far ends are tied, kept like the interfaces.
  int64_t whole_size() const { return tied() ? plan.block_area(plan.nodes[0]) : 0; }
  int64_t ends_size() const { return tied() ? whole_size() + closing.memory : 0; }
  int64_t kept_size() const { return plan.kept + ends_size(); }

  Matrix<T> whole(T* memory, T* ends) const {
    return {tied() ? ends : memory, plan.block(plan.nodes[0], memory).stride};
  }

  // Ties all far ends; returns the block that is left.
  Matrix<T> close(int64_t array, T* memory, T* ends, double& operations) const {
    const Matrix<T> s = plan.block(plan.nodes[0], memory);
    if (!tied()) return s;
    __builtin_memcpy(ends, memory, static_cast<std::size_t>(whole_size()) * sizeof(T));
    return close_all(e, cells_of(e, array), closing, s, ends + whole_size(), operations);
  }

  double finish(int64_t array, T* memory, T* ends) const {
    double operations = 0;
    const Matrix<T> s = close(array, memory, ends, operations);
    write_matrix(e, closing.layout[2], s, e.out + array * e.rows * e.cols);
    return operations;
  }
};

// Memory of one thread.
template <class T>
struct Worker {
  const Solver<T>& solver;
  const Memory<Lanes<T>> square_memory, square_kept;
  const Memory<SquareCells<T>> loaded;

  explicit Worker(const Solver<T>& s)
      : solver(s), square_memory(s.squares.memory), square_kept(s.squares.kept), loaded(1) {}

  SquareUnits<T> units(const Cells<T>& cells) const {
    return {solver.plan, solver.squares, cells, loaded.data, square_memory.data, square_kept.data};
  }
  double build(const Cells<T>& cells, int64_t index, T* memory, T* kept, bool interface_only = false) const {
    return memcore::build(solver.plan, index, memory, kept, units(cells), interface_only);
  }
};

// Builds the whole of one array by several threads: first the blocks at the depth up to which the plan keeps blocks
// apart, side by side, then the ones above, each with parallel products.
template <class T>
struct Together {
  const Solver<T>& solver;
  const Cells<T> cells;
  T* memory;

  const Plan<T>& plan() const { return solver.plan; }
  bool is_end(const Node& node, int64_t depth) const { return depth == plan().spread || node.z < 0; }

  void collect(int64_t index, int64_t depth, int64_t* found, int64_t& count) const {
    const Node& node = plan().nodes[index];
    if (is_end(node, depth)) {
      found[count++] = index;
      return;
    }
    collect(node.z, depth + 1, found, count);
    collect(node.y, depth + 1, found, count);
  }

  double above(int64_t index, int64_t depth) const {
    const Node& node = plan().nodes[index];
    if (is_end(node, depth)) return 0;
    Scratch<T> work{memory + node.scratch, above(node.z, depth + 1) + above(node.y, depth + 1)};
    join(plan().joint(node, memory, nullptr), plan().block(node, memory), work);
    return work.operations;
  }

  double build() const {
    const int64_t most = int64_t(1) << plan().spread;
    const Memory<int64_t> found(most);
    const Memory<double> operations(most);
    int64_t count = 0;
    collect(0, 0, found.data, count);
    parallel_for(count, 1, [&](int64_t begin, int64_t end) {
      const Worker<T> worker(solver);
      for (int64_t i = begin; i < end; ++i) operations.data[i] = worker.build(cells, found.data[i], memory, nullptr);
    });
    double sum = above(0, 0);
    for (int64_t i = 0; i < count; ++i) sum += operations.data[i];
    return sum;
  }
};

// Depth at which there are enough blocks for all threads, if they are not too small; 0 for one thread, or if there are
// enough arrays.
template <class T>
int64_t spread_of(const EffectiveConductance<T>& e) {
  const int64_t units = ceil_div(e.rows, kUnit) * ceil_div(e.cols, kUnit);
  int64_t depth = 0;
  while (e.arrays < max_threads() && (int64_t(1) << depth) < 2 * max_threads() &&
         (units >> (depth + 1)) >= 2 * Lanes<T>::count)
    ++depth;
  return depth;
}

// Calls fn(begin, end) for ranges of arrays, whose results are added up. A single array is left to parallel products.
template <class T, class Function>
double sum_over_arrays(const EffectiveConductance<T>& e, const Function& fn) {
  const Memory<double> operations(e.arrays);
  const auto some = [&](int64_t begin, int64_t end) { fn(begin, end, operations.data); };
  if (e.arrays < max_threads())
    some(0, e.arrays);
  else
    parallel_for(e.arrays, 1, some);
  double sum = 0;
  for (int64_t array = 0; array < e.arrays; ++array) sum += operations.data[array];
  return sum;
}

template <class T>
double effective_conductance(const EffectiveConductance<T>& e) {
  const bool keep = e.kept != nullptr;
  const Solver<T> solver(e, keep, keep ? 0 : spread_of(e));
  return sum_over_arrays(e, [&](int64_t begin, int64_t end, double* operations) {
    const Memory<T> memory(solver.plan.memory), own_ends(keep ? 0 : solver.ends_size());
    const Worker<T> worker(solver);
    for (int64_t array = begin; array < end; ++array) {
      T* const kept = keep ? e.kept + array * solver.kept_size() : nullptr;
      T* const ends = keep ? kept + solver.plan.kept : own_ends.data;
      const Cells<T> cells = cells_of(e, array);
      operations[array] = solver.plan.spread > 0 ? Together<T>{solver, cells, memory.data}.build()
                                                 : worker.build(cells, 0, memory.data, kept);
      operations[array] += solver.finish(array, memory.data, ends);
    }
  });
}

template <class T>
int64_t effective_conductance_kept(const EffectiveConductance<T>& e) {
  return Solver<T>(e, true, 0).kept_size();
}

}  // namespace
}  // namespace memcore
