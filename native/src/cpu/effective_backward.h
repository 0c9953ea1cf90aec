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
  const Plan<T>& plan;
  const SquarePlan<T>& squares;
  const Closing<T> closing;
  const ClosingGradients<T> ends;
  Worker<T> worker;
  const Memory<T> blocks, closed, gradients, end_gradients;
  const Memory<Lanes<T>> square_gradients;
  const Memory<SquareCells<T>> found;

  Backward(const EffectiveConductance<T>& args, const Plan<T>& p, const SquarePlan<T>& s)
      : e(args),
        plan(p),
        squares(s),
        closing(p.nodes[0].layout),
        ends(closing),
        worker(p, s),
        blocks(p.memory),
        closed(closing.memory),
        gradients(p.gradients),
        end_gradients(ends.memory),
        square_gradients(s.gradients),
        found(1) {}

  // The gradient with respect to what is left when all ends are tied: out = -S[L, B].
  void start(int64_t array) const {
    const Layout& layout = closing.layout[2];
    const Matrix<T> g = ends.gradient(closing, 2, end_gradients.data);
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
  double untie(const Cells<T>& cells, const CellsOut<T>& to, Matrix<T> whole) const {
    double operations = 0;
    for (int i = 1; i >= 0; --i) {
      if (!closing.tied[i]) continue;
      const int64_t m = closing.layout[i].port[Closing<T>::far[i]].count;
      T* const resistances = end_gradients.data + ends.memory - ends.scratch;
      const bool first = i == 0 || !closing.tied[0];
      const Matrix<T> s =
          first ? whole : Matrix<T>{closed.data + closing.block[0], stride_of<T>(closing.layout[1].size)};
      Scratch<T> work{resistances + (m + 15) / 16 * 16, 0};
      close_gradient(closing.tie(i, s, resistances, closed.data), ends.gradient(closing, i + 1, end_gradients.data),
                     ends.gradient(closing, i, end_gradients.data), resistances, work);
      operations += work.operations;
      for (int64_t line = 0; line < m; ++line) {
        if (i == 0 && line < e.rows) to.word[line * cells.word_stride + e.cols] = resistances[line];
        if (i == 1 && line < e.cols) to.bit[line - e.cols] = resistances[line];
      }
    }
    return operations;
  }

  double run(int64_t array) {
    const Cells<T> cells = cells_of(e, array);
    const CellsOut<T> to = out(array);
    const Matrix<T> whole = plan.block(plan.nodes[0], blocks.data), g = plan.gradient(plan.nodes[0], gradients.data);
    double operations = worker.build(cells, 0, blocks.data, !closing.tied[0] && !closing.tied[1]);
    close_all(e, cells, closing, whole, closed.data, operations);
    start(array);
    operations += untie(cells, to, whole);
    const int64_t size = closing.layout[0].size;
    copy(size, size, ends.gradient(closing, 0, end_gradients.data), g);
    const SquareUnits<T> forward{plan, squares, cells, worker.loaded.data, worker.square_memory.data};
    const SquareGradients<T> units{plan, squares, forward, to, found.data, square_gradients.data};
    return operations + descend(plan, 0, blocks.data, gradients.data, units);
  }
};

template <class T>
double effective_conductance_backward(const EffectiveConductance<T>& e) {
  const int64_t rows = ceil_div(e.rows, kUnit), cols = ceil_div(e.cols, kUnit);
  const Plan<T> plan(rows, cols, kUnit, Lanes<T>::count, edges_of(e), true, 0);
  const SquarePlan<T> squares(kUnit, kUnit, 1, 0, kSquareEdges, true, 0);
  const Memory<double> operations(e.arrays);
  const auto some = [&](int64_t begin, int64_t end) {
    Backward<T> backward(e, plan, squares);
    for (int64_t array = begin; array < end; ++array) operations.data[array] = backward.run(array);
  };
  if (e.arrays < max_threads())
    some(0, e.arrays);  // the products are parallel
  else
    parallel_for(e.arrays, 1, some);
  double sum = 0;
  for (int64_t array = 0; array < e.arrays; ++array) sum += operations.data[array];
  return sum;
}

}  // namespace
}  // namespace memcore
