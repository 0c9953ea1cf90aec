// The gradient of the effective matrix, array by array.
// Internal linkage throughout: this header is compiled once per instruction set.
#pragma once

#include <cstdint>

#include "effective_gradient.h"

namespace memcore {
namespace {

// Gradients with respect to the blocks left after each tie; the first is the one of the whole.
template <class T>
struct ClosingGradients {
  int64_t at[3], scratch, memory;

  explicit ClosingGradients(const Closing<T>& closing) : scratch(0), memory(0) {
    for (int i = 0; i < 3; ++i) {
      at[i] = memory;
      memory += i > 0 && !closing.tied[i - 1] ? 0 : area<T>(closing.layout[i].size, closing.layout[i].size);
      if (i > 0 && !closing.tied[i - 1]) at[i] = at[i - 1];
    }
    for (int i = 0; i < 2; ++i) {
      const int64_t m = closing.layout[i].port[Closing<T>::far[i]].count;
      scratch = larger(scratch, m + 16 + close_gradient_scratch<T>(m, closing.layout[i].size));
    }
    memory += scratch;
  }

  Matrix<T> gradient(const Closing<T>& closing, int i, T* base) const {
    return {base + at[i], stride_of<T>(closing.layout[i].size)};
  }
};

// All that one thread needs for the gradient of one array after the other.
template <class T>
struct Backward {
  const EffectiveConductance<T>& e;
  const Solver<T>& solver;
  const ClosingGradients<T> ends;
  const Worker<T> worker;
  const Memory<T> gradients, end_gradients;
  const Memory<Lanes<T>> square_gradients;
  const Memory<SquareCells<T>> found;
  const Memory<T> memory, own;  // if nothing was kept on the way forward

  explicit Backward(const Solver<T>& s)
      : e(s.e),
        solver(s),
        ends(s.closing),
        worker(s),
        gradients(s.plan.gradients),
        end_gradients(ends.memory),
        square_gradients(s.squares.gradients),
        found(1),
        memory(e.kept == nullptr ? s.plan.memory : 0),
        own(e.kept == nullptr ? s.kept_size() : 0) {}

  Matrix<T> end_gradient(int i) const { return ends.gradient(solver.closing, i, end_gradients.data); }

  // The gradient with respect to what is left when all ends are tied: out = -S[L, B].
  void start(int64_t array) const {
    const Layout& layout = solver.closing.layout[2];
    const Matrix<T> g = end_gradient(2);
    for (int64_t i = 0; i < layout.size; ++i)
      for (int64_t j = 0; j < layout.size; ++j) g.row(i)[j] = T(0);
    const T* const grad = e.grad + array * e.rows * e.cols;
    for_lines(layout.port[kLeft], [&](int64_t i, int64_t line_i) {
      for_lines(layout.port[kBottom], [&](int64_t j, int64_t line_j) {
        if (i >= e.rows || j >= e.cols) return;
        g.row(line_i)[line_j] = g.row(line_j)[line_i] = -grad[i * e.cols + j] / 2;
      });
    });
  }

  CellsOut<T> out(int64_t array) const {
    const int64_t word_stride = e.cols + (e.drive_both ? 1 : 0), bit_rows = e.rows + (e.sense_both ? 1 : 0);
    T* const bit = e.grad_bit + array * bit_rows * e.cols + (e.sense_both ? e.cols : 0);
    return {e.grad_g + array * e.rows * e.cols, e.grad_word + array * e.rows * word_stride, bit};
  }

  // From behind the last tie to before the first one.
  double untie(const Cells<T>& cells, const CellsOut<T>& to, T* kept_ends) const {
    const Closing<T>& closing = solver.closing;
    T* const closed = kept_ends + solver.whole_size();
    double operations = 0;
    for (int i = 1; i >= 0; --i) {
      if (!closing.tied[i]) continue;
      const int64_t m = closing.layout[i].port[Closing<T>::far[i]].count;
      T* const resistances = end_gradients.data + ends.memory - ends.scratch;
      const bool first = i == 0 || !closing.tied[0];
      const Matrix<T> s{first ? kept_ends : closed + closing.block[0], stride_of<T>(closing.layout[i].size)};
      Scratch<T> work{resistances + (m + 15) / 16 * 16, 0};
      close_gradient(closing.tie(i, s, resistances, closed), end_gradient(i + 1), end_gradient(i), resistances, work);
      operations += work.operations;
      for (int64_t line = 0; line < m; ++line) {
        if (i == 0 && line < e.rows) to.word[line * cells.word_stride + e.cols] = resistances[line];
        if (i == 1 && line < e.cols) to.bit[line - e.cols] = resistances[line];
      }
    }
    return operations;
  }

  double run(int64_t array) const {
    const Cells<T> cells = cells_of(e, array);
    const CellsOut<T> to = out(array);
    T* const kept = e.kept == nullptr ? own.data : e.kept + array * solver.kept_size();
    T* const kept_ends = kept + solver.plan.kept;
    double operations = 0;
    if (e.kept == nullptr) {
      operations += worker.build(cells, 0, memory.data, kept, !solver.tied());
      if (solver.tied()) solver.close(array, memory.data, kept_ends, operations);
    }
    start(array);
    operations += untie(cells, to, kept_ends);
    const int64_t size = solver.closing.layout[0].size;
    copy(size, size, end_gradient(0), solver.plan.gradient(solver.plan.nodes[0], gradients.data));
    const SquareUnits<T> forward = worker.units(cells);
    const SquareGradients<T> units{solver.plan, solver.squares, forward, to, found.data, square_gradients.data};
    return operations + descend(solver.plan, 0, kept, gradients.data, units);
  }
};

template <class T>
double effective_conductance_backward(const EffectiveConductance<T>& e) {
  const Solver<T> solver(e, true, 0);
  return sum_over_arrays(e, [&](int64_t begin, int64_t end, double* operations) {
    const Backward<T> backward(solver);
    for (int64_t array = begin; array < end; ++array) operations[array] = backward.run(array);
  });
}

}  // namespace
}  // namespace memcore
