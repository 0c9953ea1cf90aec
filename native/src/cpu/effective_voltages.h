// Voltages across all cells of crossbars for many drives: down the tree of blocks, with the interfaces kept from the
// way up, so that all drives share one elimination.
//
// With u the inputs of a joint block, u_z and u_y those of the lines that its parts keep, q = T^t (Y a u_z + b u_y)
// flows from the first part to the second and p = a u_z - Z q is the voltage there (effective_multiport.h): the inputs
// of the parts are (u_z, -q) and (u_y, p). At a cell, its voltage is d u / (1 + g (word + bit)).
// Internal linkage throughout: this header is compiled once per instruction set.
#pragma once

#include <cstdint>

#include "effective_kernels.h"

namespace memcore {
namespace {

// Drives handled together: a multiple of kUnit, enough for products, and their squares stay in the cache.
constexpr int64_t kDrives = 32;
// Distance between the cells of two drives: not a power of two, so that they fall into different cache sets.
constexpr int64_t kSquareStride = kUnit * kUnit + 1;

inline Lines all_of(int64_t count) {
  Lines lines{};
  lines.append(Run{0, count});
  return lines;
}

template <class E>
int64_t hand_inputs_scratch(int64_t m, int64_t n_z, int64_t n_y, int64_t drives) {
  return area<E>(n_z, m) + area<E>(n_y, m) + 3 * area<E>(m, drives);
}

// From the inputs of a joint block to those of its parts, one column for each drive.
template <class E>
void hand_inputs(const Node& node, const Interface<E>& between, int64_t drives, Matrix<E> u, Matrix<E> u_z,
                 Matrix<E> u_y, Scratch<E>& work) {
  const Side &z = node.z_side, &y = node.y_side;
  const auto [a, b, impedance, admittance, t] = between;
  const int64_t m = z.joined.count, n_z = z.rest.count, n_y = y.rest.count;
  E* const start = work.next;
  const Matrix<E> at = work.matrix(n_z, m), bt = work.matrix(n_y, m);
  const Matrix<E> p = work.matrix(m, drives), q = work.matrix(m, drives), inside = work.matrix(m, drives);
  const Matrix<E> rest_y = u.at(n_z, 0);
  transpose(m, n_z, a, at);
  transpose(m, n_y, b, bt);
  work.product({m, drives, n_z}, at, u, p, Mode::set);
  work.product({m, drives, n_y}, bt, rest_y, inside, Mode::set);
  work.product({m, drives, m}, admittance, p, inside, Mode::add);
  work.product({m, drives, m}, t, inside, q, Mode::set);
  work.product({m, drives, m}, impedance, q, p, Mode::subtract);
  negate(m, drives, q);
  const Lines columns = all_of(drives);
  scatter(constant(u), z.rest, columns, u_z);
  scatter(constant(q), z.joined, columns, u_z);
  scatter(constant(rest_y), y.rest, columns, u_y);
  scatter(constant(p), y.joined, columns, u_y);
  work.next = start;
}

// Memory for the inputs of all that is below a node.
template <class E>
int64_t inputs_below(const Plan<E>& plan, int64_t index, int64_t drives) {
  const Node& node = plan.nodes[index];
  if (node.z < 0) return 0;
  const Node &z = plan.nodes[node.z], &y = plan.nodes[node.y];
  const int64_t m = node.z_side.joined.count;
  const int64_t here = hand_inputs_scratch<E>(m, node.z_side.rest.count, node.y_side.rest.count, drives);
  const int64_t below = larger(inputs_below(plan, node.z, drives), inputs_below(plan, node.y, drives));
  return area<E>(z.layout.size, drives) + area<E>(y.layout.size, drives) + larger(here, below);
}

// Hands the inputs of a node down to its units.
template <class E, class Units>
void descend_inputs(const Plan<E>& plan, int64_t index, E* kept, int64_t drives, Matrix<E> u, Scratch<E>& work,
                    const Units& units) {
  const Node& node = plan.nodes[index];
  if (node.group) units.enter(index);
  if (node.z < 0) {
    units.take(node, u);
  } else {
    E* const start = work.next;
    const Matrix<E> u_z = work.matrix(plan.nodes[node.z].layout.size, drives);
    const Matrix<E> u_y = work.matrix(plan.nodes[node.y].layout.size, drives);
    hand_inputs(node, plan.interface(node, static_cast<E*>(nullptr), kept), drives, u, u_z, u_y, work);
    descend_inputs(plan, node.z, kept, drives, u_z, work, units);
    descend_inputs(plan, node.y, kept, drives, u_y, work, units);
    work.next = start;
  }
  if (node.group) units.leave();
}

// Voltages across the cells in all lanes, [drives, cells].
template <class T>
struct CellDrops {
  const SquareCells<T>& cells;
  Lanes<T>* out;
  int64_t drives;

  void enter(int64_t) const {}
  void leave() const {}
  void take(const Node& node, Matrix<Lanes<T>> u) const {
    const int64_t at = node.row * kUnit + node.col;
    const Lanes<T> g = cells.g[at], word = cells.word[at], bit = cells.bit[at];
    const Lanes<T> less = Lanes<T>(1) / (Lanes<T>(1) + g * (word + bit));
    for (int64_t k = 0; k < drives; ++k) {
      const Lanes<T> of_word = u.row(kLeft)[k] + word * u.row(kRight)[k];
      const Lanes<T> of_bit = u.row(kBottom)[k] + bit * u.row(kTop)[k];
      out[k * kSquareStride + at] = less * (of_word - of_bit);
    }
  }
};

// Units of the plan of numbers; the squares of a group are built again when their inputs are known.
template <class T>
struct SquareDrops {
  const SquarePlan<T>& squares;
  const SquareUnits<T>& forward;
  int64_t drives, wanted;  // handled together, and of those the first that are asked for
  Matrix<Lanes<T>> inputs;
  Lanes<T>*scratch, *drops;
  T* out;  // of the first drive

  void enter(int64_t index) const {
    forward.enter(index);
    for (int64_t i = 0; i < squares.nodes[0].layout.size; ++i)
      for (int64_t k = 0; k < drives; ++k) inputs.row(i)[k] = Lanes<T>(0);
  }

  void take(const Node& node, Matrix<T> u) const {
    const int64_t lane = forward.lane(node);
    for_lines(square_lines(squares.nodes[0].layout, node.layout), [&](int64_t i, int64_t line) {
      for (int64_t k = 0; k < drives; ++k) inputs.row(line)[k].v[lane] = u.row(i)[k];
    });
  }

  void leave() const {
    Scratch<Lanes<T>> work{scratch, 0};
    descend_inputs(squares, 0, forward.kept, drives, inputs, work, CellDrops<T>{*forward.loaded, drops, drives});
    for (int64_t k = 0; k < wanted; ++k)
      for (int64_t lane = 0; lane < forward.group->units(); ++lane) store(k, lane);
  }

  void store(int64_t k, int64_t lane) const {
    const Cells<T>& cells = forward.cells;
    const Node& group = *forward.group;
    const int64_t row = (group.row + lane / group.cols) * kUnit, col = (group.col + lane % group.cols) * kUnit;
    const int64_t height = smaller(kUnit, cells.rows - row), width = smaller(kUnit, cells.cols - col);
    for (int64_t i = 0; i < height; ++i) {
      const Lanes<T>* const from = drops + k * kSquareStride + i * kUnit;
      T* const to = out + (k * cells.rows + row + i) * cells.cols + col;
      for (int64_t j = 0; j < width; ++j) to[j] = from[j].v[lane];
    }
  }
};

// What one thread needs for some drives of one array.
template <class T>
struct Descent {
  const CellVoltages<T>& c;
  const Solver<T>& solver;
  const Worker<T> worker;
  const Memory<T> memory;
  const Memory<Lanes<T>> square_inputs, square_memory, drops;

  Descent(const CellVoltages<T>& args, const Solver<T>& s)
      : c(args),
        solver(s),
        worker(s),
        memory(size(s)),
        square_inputs(area<Lanes<T>>(s.squares.nodes[0].layout.size, kDrives)),
        square_memory(inputs_below(s.squares, 0, kDrives)),
        drops(kDrives * kSquareStride) {}

  static int64_t size(const Solver<T>& s) {
    int64_t ends = 0;
    for (int i = 0; i < 3; ++i) ends += area<T>(s.closing.layout[i].size, kDrives);
    int64_t ties = 0;
    for (int i = 0; i < 2; ++i) {
      const int64_t m = s.closing.layout[i].port[Closing<T>::far[i]].count, n = s.closing.layout[i].size;
      ties = larger(ties, area<T>(m, n) + area<T>(n, m) + 2 * area<T>(m, kDrives));
    }
    return ends + larger(ties, inputs_below(s.plan, 0, kDrives));
  }

  // Voltages of all ends, for the drives from `first` on.
  void start(int64_t array, int64_t first, int64_t wanted, Matrix<T> u) const {
    const Layout& layout = solver.closing.layout[2];
    const auto fill = [&](Port port, const T* volts, int64_t lines) {
      for_lines(layout.port[port], [&](int64_t i, int64_t line) {
        for (int64_t k = 0; k < kDrives; ++k)
          u.row(line)[k] = i < lines && k < wanted ? volts[(array * c.drives + first + k) * lines + i] : T(0);
      });
    };
    fill(kLeft, c.word_volts, c.crossbars.rows);
    fill(kBottom, c.bit_volts, c.crossbars.cols);
  }

  // From behind a tie to before it.
  void untie(int i, T* kept_ends, Matrix<T> u, Matrix<T> before, Scratch<T>& work) const {
    const Closing<T>& closing = solver.closing;
    T* const closed = kept_ends + solver.whole_size();
    const bool first = i == 0 || !closing.tied[0];
    const Matrix<T> s{first ? kept_ends : closed + closing.block[0], stride_of<T>(closing.layout[i].size)};
    const Tie<T> tie = closing.tie(i, s, nullptr, closed);
    const int64_t m = tie.far.joined.count, n = tie.far.rest.count;
    T* const start = work.next;
    const Matrix<T> h = work.matrix(m, n), ht = work.matrix(n, m);
    const Matrix<T> hu = work.matrix(m, kDrives), q = work.matrix(m, kDrives);
    gather_tie(tie, h);
    transpose(m, n, h, ht);
    work.product({m, kDrives, n}, ht, u, hu, Mode::set);
    work.product({m, kDrives, m}, tie.w, hu, q, Mode::set);
    negate(m, kDrives, q);
    scatter(constant(u), tie.far.rest, all_of(kDrives), before);
    scatter(constant(q), tie.far.joined, all_of(kDrives), before);
    work.next = start;
  }

  void run(int64_t array, int64_t first, int64_t wanted, T* kept) const {
    const Closing<T>& closing = solver.closing;
    Scratch<T> work{memory.data, 0};
    Matrix<T> u = work.matrix(closing.layout[2].size, kDrives);
    start(array, first, wanted, u);
    for (int i = 1; i >= 0; --i) {
      if (!closing.tied[i]) continue;
      const Matrix<T> before = work.matrix(closing.layout[i].size, kDrives);
      untie(i, kept + solver.plan.kept, u, before, work);
      u = before;
    }
    const Cells<T> cells = cells_of(c.crossbars, array);
    const SquareUnits<T> forward = worker.units(cells);
    const Matrix<Lanes<T>> inputs{square_inputs.data, stride_of<Lanes<T>>(kDrives)};
    T* const out = c.voltages + (array * c.drives + first) * cells.rows * cells.cols;
    const SquareDrops<T> units{solver.squares, forward, kDrives, wanted, inputs, square_memory.data, drops.data, out};
    descend_inputs(solver.plan, 0, kept, kDrives, u, work, units);
  }
};

template <class T>
void cell_voltages(const CellVoltages<T>& c) {
  const EffectiveConductance<T>& e = c.crossbars;
  const Solver<T> solver(e, true, 0);
  sum_over_arrays(e, [&](int64_t begin, int64_t end, double* operations) {
    const Memory<T> memory(solver.plan.memory), kept(solver.kept_size());
    const Worker<T> worker(solver);
    for (int64_t array = begin; array < end; ++array) {
      operations[array] = worker.build(cells_of(e, array), 0, memory.data, kept.data, !solver.tied());
      if (solver.tied()) solver.close(array, memory.data, kept.data + solver.plan.kept, operations[array]);
      parallel_for_units(c.drives, kUnit, kUnit, [&](int64_t first, int64_t last) {
        const Descent<T> descent(c, solver);
        for (int64_t at = first; at < last; at += kDrives)
          descent.run(array, at, smaller(kDrives, last - at), kept.data);
      });
    }
  });
}

}  // namespace
}  // namespace memcore
