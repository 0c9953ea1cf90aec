// The gradient of the effective matrix: down the tree of blocks, with the interfaces kept from the way up.
//
// u^t S u of a joint block is the stationary value, over what happens at the joint, of the sum of u^t S u of the two
// blocks. So with G the gradient with respect to S, those with respect to S_z and S_y are x G x^t, where x takes u to
// the inputs of the child: u_z itself and -q at the joined port, or u_y itself and p.
// Internal linkage throughout: this header is compiled once per instruction set.
#pragma once

#include <cstdint>

#include "effective_kernels.h"

namespace memcore {
namespace {

// out [m, n] = h G, where ht is h^t and the rows of G are those of one side. Of its columns, `own` are the side's and
// `others` the other one's; the sub-matrices of G that belong to one unused port are zero.
template <class E>
void project(const Side& side, const Side& opposite, bool own_first, Matrix<E> ht, Matrix<E> g, Matrix<E> out,
             Scratch<E>& work) {
  const int64_t m = side.joined.count, k = side.rest.count, first = side.first, last = side.last;
  const int64_t own = own_first ? 0 : opposite.rest.count, others = own_first ? k : 0;
  const auto columns = [&](int64_t from, int64_t count, int64_t row, int64_t rows) {
    if (rows > 0) work.product({m, count, rows}, ht.at(row, 0), g.at(row, from), out.at(0, from), Mode::set);
    for (int64_t i = 0; i < m && rows == 0; ++i)
      for (int64_t j = 0; j < count; ++j) out.row(i)[from + j] = E(0);
  };
  columns(own, first, first, k - first);
  columns(own + first, k - first - last, 0, k);
  columns(own + k - last, last, 0, k - last);
  columns(others, opposite.first, first, k - first);
  columns(others + opposite.first, opposite.columns(), 0, k);
}

// Both triangles of the gradient at a child: its own part of G, and what comes from the joint.
template <class E>
void hand_down(const Side& side, Matrix<E> own, Matrix<E> cross, Matrix<E> cross_transposed, Matrix<E> at_joint,
               Matrix<E> out) {
  scatter(constant(own), side.rest, side.rest, out);
  scatter(constant(cross), side.joined, side.rest, out);
  transpose(side.joined.count, side.rest.count, cross, cross_transposed);
  scatter(constant(cross_transposed), side.rest, side.joined, out);
  scatter(constant(at_joint), side.joined, side.joined, out);
}

// From the gradient with respect to the joint block to those with respect to its two parts.
template <class E>
void join_gradient(const Side& z, const Side& y, const Interface<E>& between, Matrix<E> g, Matrix<E> g_z, Matrix<E> g_y,
                   Scratch<E>& work) {
  const auto [a, b, impedance, admittance, t] = between;
  const int64_t m = z.joined.count, n_z = z.rest.count, n_y = y.rest.count, n = n_z + n_y;
  E* const start = work.next;
  const auto square = [&] { return work.matrix(m, m); };
  const auto product = [&](Matrix<E> l, Matrix<E> r, Matrix<E> to, Mode mode) {
    work.product({m, m, m}, l, r, to, mode);
  };
  const Matrix<E> tt = square();
  transpose(m, m, t, tt);

  // What alpha = a u_z and beta = b u_y are correlated with: all inputs, and each other.
  const Matrix<E> at = work.matrix(n_z, m), bt = work.matrix(n_y, m), alpha = work.matrix(m, n),
                  beta = work.matrix(m, n);
  transpose(m, n_z, a, at);
  transpose(m, n_y, b, bt);
  project(z, y, true, at, g, alpha, work);
  project(y, z, false, bt, g.at(n_z, 0), beta, work);
  const Matrix<E> turned = work.matrix(n, m), aa = square(), ab = square(), ba = square(), bb = square();
  transpose(m, n, alpha, turned);
  work.product({m, m, n_z}, turned, at, aa, Mode::set);
  work.product({m, m, n_y}, turned.at(n_z, 0), bt, ab, Mode::set);
  transpose(m, n_y, beta.at(0, n_z), turned);
  work.product({m, m, n_y}, turned, bt, bb, Mode::set);
  transpose(m, m, ab, ba);

  // The same for q = T^t (Y alpha + beta) with both of them and itself, and for p = alpha - Z q.
  const Matrix<E> qa = square(), qb = square(), aq = square(), bq = square(), qq = square(), pq = square(),
                  pp = square();
  const Matrix<E> inside = square();
  const auto apply_q = [&](Matrix<E> with_alpha, Matrix<E> with_beta, Matrix<E> out) {
    copy(m, m, with_beta, inside);
    product(admittance, with_alpha, inside, Mode::add);
    product(t, inside, out, Mode::set);
  };
  apply_q(aa, ba, qa);
  apply_q(ab, bb, qb);
  transpose(m, m, qa, aq), transpose(m, m, qb, bq);
  apply_q(aq, bq, qq);
  copy(m, m, aq, pq);
  product(impedance, qq, pq, Mode::subtract);
  transpose(m, m, pq, inside);  // q with p
  copy(m, m, aa, pp);
  product(impedance, qa, pp, Mode::subtract);  // p with alpha
  transpose(m, m, pp, aq);
  copy(m, m, aq, pp);
  product(impedance, inside, pp, Mode::subtract);

  const Matrix<E> minus_q = work.matrix(m, n_z), p = work.matrix(m, n_y);
  work.product({m, n_z, m}, admittance, alpha, beta, Mode::add);
  work.product({m, n_z, m}, t, beta, minus_q, Mode::set);
  negate(m, n_z, minus_q);
  work.product({m, n_y, m}, impedance, beta.at(0, n_z), alpha.at(0, n_z), Mode::subtract);
  work.product({m, n_y, m}, tt, alpha.at(0, n_z), p, Mode::set);
  hand_down(z, g, minus_q, turned, qq, g_z);
  hand_down(y, g.at(n_z, n_z), p, turned, pp, g_y);
  work.next = start;
}

// The same for tied ends; also the gradient with respect to the resistances of the tie.
template <class T>
void close_gradient(const Tie<T>& tie, Matrix<T> g, Matrix<T> g_s, T* g_resistances, Scratch<T>& work) {
  const int64_t m = tie.far.joined.count, n = tie.far.rest.count;
  T* const start = work.next;
  const Matrix<T> h = work.matrix(m, n), ht = work.matrix(n, m), hg = work.matrix(m, n), turned = work.matrix(n, m);
  const Matrix<T> minus_q = work.matrix(m, n), hh = work.matrix(m, m), wh = work.matrix(m, m), qq = work.matrix(m, m);
  gather_tie(tie, h);
  transpose(m, n, h, ht);
  work.product({m, n, n}, ht, g, hg, Mode::set);
  work.product({m, n, m}, tie.w, hg, minus_q, Mode::set);
  negate(m, n, minus_q);
  transpose(m, n, hg, turned);
  work.product({m, m, n}, turned, ht, hh, Mode::set);
  work.product({m, m, m}, hh, tie.w, wh, Mode::set);
  work.product({m, m, m}, wh, tie.w, qq, Mode::set);
  hand_down(tie.far, g, minus_q, turned, qq, g_s);
  for (int64_t i = 0; i < m; ++i) g_resistances[i] = -qq.row(i)[i];
  work.next = start;
}

template <class T>
int64_t close_gradient_scratch(int64_t m, int64_t n) {
  return 3 * area<T>(m, n) + 2 * area<T>(n, m) + 3 * area<T>(m, m);
}

// Hands the gradient down from a node to its units; the reverse of build().
template <class E, class Units>
double descend(const Plan<E>& plan, int64_t index, E* kept, E* gradients, const Units& units) {
  const Node& node = plan.nodes[index];
  double operations = 0;
  if (node.group) operations += units.enter(index);
  if (node.z < 0) {
    units.take(node, plan.gradient(node, gradients));
  } else {
    const Node &z = plan.nodes[node.z], &y = plan.nodes[node.y];
    Scratch<E> work{plan.gradient_scratch(node, gradients), operations};
    join_gradient(node.z_side, node.y_side, plan.interface(node, static_cast<E*>(nullptr), kept),
                  plan.gradient(node, gradients), plan.gradient(z, gradients), plan.gradient(y, gradients), work);
    operations =
        work.operations + descend(plan, node.z, kept, gradients, units) + descend(plan, node.y, kept, gradients, units);
  }
  if (node.group) operations += units.leave(index);
  return operations;
}

// Gradients of the cells in all lanes.
template <class T>
struct CellGradients {
  const SquareCells<T>& cells;
  SquareCells<T>& out;

  double enter(int64_t) const { return 0; }
  double leave(int64_t) const { return 0; }
  void take(const Node& node, Matrix<Lanes<T>> g) const {
    const int64_t at = node.row * kUnit + node.col;
    const Cell<T> cell(cells.g[at], cells.word[at], cells.bit[at]);
    Lanes<T> gd[kPorts], g_y(0);
    for (int i = 0; i < kPorts; ++i) {
      gd[i] = Lanes<T>(0);
      for (int j = 0; j < kPorts; ++j) gd[i] += g.row(i)[j] * cell.d[j];
      g_y += cell.d[i] * gd[i];
    }
    // y = g / (1 + g r): dy/dg = 1 / (1 + g r)^2, dy/dr = -y^2.
    const Lanes<T> less = Lanes<T>(1) / (Lanes<T>(1) + cells.g[at] * (cells.word[at] + cells.bit[at]));
    const Lanes<T> common = cell.y * cell.y * g_y, twice = cell.y + cell.y;
    out.g[at] = g_y * less * less;
    out.word[at] = twice * gd[kRight] - g.row(kRight)[kRight] - common;
    out.bit[at] = -(twice * gd[kTop]) - g.row(kTop)[kTop] - common;
  }
};

template <class T>
struct CellsOut {
  T *g, *word, *bit;
};

// Units of the plan of numbers; the squares of a group are built again when their gradients are known.
template <class T>
struct SquareGradients {
  const Plan<T>& plan;
  const SquarePlan<T>& squares;
  const SquareUnits<T>& forward;
  const CellsOut<T>& out;
  SquareCells<T>* found;
  Lanes<T>* gradients;

  double enter(int64_t index) const {
    const double operations = forward.enter(index);
    const Matrix<Lanes<T>> all = squares.gradient(squares.nodes[0], gradients);
    const int64_t size = squares.nodes[0].layout.size;
    for (int64_t i = 0; i < size; ++i)
      for (int64_t j = 0; j < size; ++j) all.row(i)[j] = Lanes<T>(0);
    return operations;
  }

  void take(const Node& node, Matrix<T> g) const {
    const Matrix<Lanes<T>> all = squares.gradient(squares.nodes[0], gradients);
    const int64_t lane = forward.lane(node);
    const Lines lines = square_lines(squares.nodes[0].layout, node.layout);
    for_lines(lines, [&](int64_t i, int64_t line_i) {
      for_lines(lines, [&](int64_t j, int64_t line_j) { all.row(line_i)[line_j].v[lane] = g.row(i)[j]; });
    });
  }

  double leave(int64_t) const {
    const CellGradients<T> units{*forward.loaded, *found};
    const double operations = descend(squares, 0, forward.kept, gradients, units);
    const Node& group = *forward.group;
    for (int64_t lane = 0; lane < group.units(); ++lane)
      store((group.row + lane / group.cols) * kUnit, (group.col + lane % group.cols) * kUnit, lane);
    return operations * static_cast<double>(group.units());
  }

  void store(int64_t row, int64_t col, int64_t lane) const {
    const Cells<T>& cells = forward.cells;
    const int64_t height = smaller(kUnit, cells.rows - row), width = smaller(kUnit, cells.cols - col);
    for (int64_t i = 0; i < height; ++i)
      for (int64_t j = 0; j < width; ++j) {
        const int64_t at = i * kUnit + j;
        out.g[(row + i) * cells.cols + col + j] = found->g[at].v[lane];
        out.word[(row + i) * cells.word_stride + col + j] = found->word[at].v[lane];
        out.bit[(row + i) * cells.cols + col + j] = found->bit[at].v[lane];
      }
  }
};

}  // namespace
}  // namespace memcore
