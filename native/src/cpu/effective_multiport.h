// Blocks of a crossbar as multiports, how two neighbours become one, and the gradient of that.
//
// A block has four groups of ports: word lines at its left (L) and right (R) edge, bit lines at its top (T) and
// bottom (B). L and B are held at voltages, currents are fed into R and T. With
//   u = (v_L, v_B, j_R, j_T),  j the currents into the block at R and T,
//   S u = (i_L, i_B, -v_R, -v_T), i the currents into the block at L and B,
// reciprocity makes S symmetric. Resistances appear in S as they are, never inverted: a resistance of zero is exact.
//
// Joining two blocks connects port z of one, which gives a voltage p, with port y of the other, which gives the
// current q that flows from the first to the second:
//   p = a u_z - Z q   a = -S_z[z, rest], Z = -S_z[z, z]
//   q = b u_y + Y p   b =  S_y[y, rest], Y =  S_y[y, y]
// so with T = (I + Z Y)^-1, W = Y T and V = T Z (both symmetric)
//   q = W a u_z + T^t b u_y,  p = T a u_z - V b u_y,
//   S = [ S_z + a^t W a    a^t T^t b    ]
//       [ b^t T a          S_y - b^t V b ]
// The pivots of I + Z Y, in any order, are at least (1 - the voltage transfer between the two ports)^2 > 0: no
// pivoting.
//
// Everything is for an element type E: a number, or Lanes of several blocks of the same shape.
// Internal linkage throughout: this header is compiled once per instruction set.
#pragma once

#include <cstdint>

#include "effective_matrix.h"

namespace memcore {
namespace {

enum Port { kLeft, kRight, kTop, kBottom };
constexpr int kPorts = 4;

// Consecutive lines of S, or a list of such runs.
struct Run {
  int64_t at, count;
};

struct Lines {
  Run run[6];
  int runs;
  int64_t count;  // of lines

  void append(Run more) {
    count += more.count;
    if (runs > 0 && run[runs - 1].at + run[runs - 1].count == more.at)
      run[runs - 1].count += more.count;
    else if (more.count > 0)
      run[runs++] = more;
  }
  void append(const Lines& more) {
    for (int i = 0; i < more.runs; ++i) append(more.run[i]);
  }
};

// Where the ports of a block are among the lines of S. Of `unused` ports, the sub-matrix S[port, port] is not needed
// and not computed: nobody asks for the current into the drivers.
struct Layout {
  Lines port[kPorts];
  bool unused[kPorts];
  int64_t size;
};

// One half of a joint: the block's port that is connected, and its other lines in the order in which they go into
// the joint block. Their first `first` and last `last` lines belong to unused ports; the first ones to a port that,
// if both blocks have any, goes on in the other block.
struct Side {
  Lines joined, rest;
  int64_t first, last;

  // The sub-matrices [first, first] and [last, last] are not needed.
  int64_t columns() const { return rest.count - first; }
};

inline Side side_of(const Layout& layout, Port joined) {
  // Left and right neighbours share T and B, upper and lower ones L and R.
  const bool beside = joined == kLeft || joined == kRight;
  const Port shared = beside ? kBottom : kLeft, other = beside ? kLeft : kBottom;
  Side side{layout.port[joined], {}, 0, 0};
  if (layout.unused[shared]) {
    side.rest.append(layout.port[shared]);
    side.first = side.rest.count;
  }
  for (int p = 0; p < kPorts; ++p)
    if (p != joined && !layout.unused[p]) side.rest.append(layout.port[p]);
  if (other != joined && layout.unused[other]) {
    side.last = layout.port[other].count;
    side.rest.append(layout.port[other]);
  }
  return side;
}

// Where line `line` of a child comes to lie.
inline int64_t moved(const Lines& order, int64_t line) {
  int64_t to = 0;
  for (int i = 0; i < order.runs; to += order.run[i++].count)
    if (line >= order.run[i].at && line < order.run[i].at + order.run[i].count) return to + line - order.run[i].at;
  return -1;
}

inline void move_ports(const Layout& child, Port joined, const Lines& order, int64_t offset, Layout& out) {
  for (int p = 0; p < kPorts; ++p) {
    if (p == joined) continue;
    for (int i = 0; i < child.port[p].runs; ++i) {
      const Run run = child.port[p].run[i];
      out.port[p].append(Run{offset + moved(order, run.at), run.count});
    }
    out.unused[p] = out.unused[p] || child.unused[p];
  }
}

// `first` is the block that comes first along the joint lines, so that its ports come first too.
inline Layout join_layouts(const Layout& z, Port z_port, const Layout& y, Port y_port, bool z_first) {
  const Side sz = side_of(z, z_port), sy = side_of(y, y_port);
  Layout out{};
  if (z_first) move_ports(z, z_port, sz.rest, 0, out);
  move_ports(y, y_port, sy.rest, sz.rest.count, out);
  if (!z_first) move_ports(z, z_port, sz.rest, 0, out);
  out.size = sz.rest.count + sy.rest.count;
  return out;
}

template <class E>
void gather(Matrix<const E> from, const Lines& rows, const Lines& cols, Matrix<E> to) {
  for (int r = 0; r < rows.runs; to.data += rows.run[r++].count * to.stride)
    for (int64_t i = 0; i < rows.run[r].count; ++i) {
      E* out = to.row(i);
      const E* const in = from.row(rows.run[r].at + i);
      for (int c = 0; c < cols.runs; out += cols.run[c++].count) copy_row(cols.run[c].count, in + cols.run[c].at, out);
    }
}

template <class E>
void scatter(Matrix<const E> from, const Lines& rows, const Lines& cols, Matrix<E> to) {
  for (int r = 0; r < rows.runs; from.data += rows.run[r++].count * from.stride)
    for (int64_t i = 0; i < rows.run[r].count; ++i) {
      const E* in = from.row(i);
      E* const out = to.row(rows.run[r].at + i);
      for (int c = 0; c < cols.runs; in += cols.run[c++].count) copy_row(cols.run[c].count, in, out + cols.run[c].at);
    }
}

template <class E>
void negate(int64_t rows, int64_t cols, Matrix<E> x) {
  for (int64_t i = 0; i < rows; ++i)
    for (int64_t j = 0; j < cols; ++j) x.row(i)[j] = -x.row(i)[j];
}

template <class E>
Matrix<const E> constant(Matrix<E> x) {
  return {x.data, x.stride};
}

// Hands out pieces of scratch memory, and counts multiplications and additions.
template <class E>
struct Scratch {
  E* next;
  double operations;

  Matrix<E> matrix(int64_t rows, int64_t cols) {
    const Matrix<E> out{next, stride_of<E>(cols)};
    next += area<E>(rows, cols);
    return out;
  }
  void product(Shape s, Matrix<E> a, Matrix<E> b, Matrix<E> c, Mode mode) {
    if (s.m == 0 || s.n == 0 || s.k == 0) return;
    operations += 2.0 * static_cast<double>(s.m) * static_cast<double>(s.n) * static_cast<double>(s.k);
    multiply(s, a, b, c, mode);
  }
  void invert(int64_t n, Matrix<E> x) {
    operations += 2.0 * static_cast<double>(n) * static_cast<double>(n) * static_cast<double>(n);
    memcore::invert(n, x, next);
  }
};

constexpr int64_t kSymmetricBlock = 32;

// out +- l^t r, which is symmetric: rows from the diagonal, or from behind the square that is not needed, on.
template <class E>
void update_symmetric(const Side& side, int64_t k, Matrix<E> l, Matrix<E> r, Matrix<E> out, Mode mode,
                      Scratch<E>& work) {
  const int64_t n = side.rest.count, first = side.first;
  if (first > 0) work.product({first, n - first, k}, l, r.at(0, first), out.at(0, first), mode);
  for (int64_t i = first; i < n - side.last; i += kSymmetricBlock) {
    const int64_t rows = smaller(kSymmetricBlock, n - side.last - i);
    work.product({rows, n - i, k}, l.at(0, i), r.at(0, i), out.at(i, i), mode);
  }
}

// Copies the upper triangle to the lower one.
template <class E>
void mirror(int64_t n, Matrix<E> x) {
  constexpr int64_t side = 8;
  for (int64_t i0 = 0; i0 < n; i0 += side)
    for (int64_t j0 = i0; j0 < n; j0 += side)
      for (int64_t j = j0; j < smaller(n, j0 + side); ++j)
        for (int64_t i = i0; i < smaller(smaller(n, i0 + side), j); ++i) x.row(j)[i] = x.row(i)[j];
}

// What the gradient of a joint needs to know.
template <class E>
struct Interface {
  Matrix<E> a, b, impedance, admittance, t;

  static int64_t size(int64_t m, int64_t n_z, int64_t n_y) {
    return area<E>(m, n_z) + area<E>(m, n_y) + 3 * area<E>(m, m);
  }
  static Interface at(E* base, int64_t m, int64_t n_z, int64_t n_y) {
    Scratch<E> from{base, 0};
    const Matrix<E> a = from.matrix(m, n_z), b = from.matrix(m, n_y), impedance = from.matrix(m, m);
    const Matrix<E> admittance = from.matrix(m, m);
    return {a, b, impedance, admittance, from.matrix(m, m)};
  }
};

// Two blocks; `between` is filled by join().
template <class E>
struct Joint {
  const Side &z, &y;
  Matrix<const E> s_z, s_y;
  Interface<E> between;
};

template <class E>
int64_t join_scratch(int64_t m, int64_t n_z, int64_t n_y) {
  return 3 * area<E>(m, m) + area<E>(m, n_z) + 2 * area<E>(m, n_y) + area<E>(m, n_z + n_y) + invert_scratch<E>(m);
}

// For join_gradient() in effective_gradient.h.
template <class E>
int64_t join_gradient_scratch(int64_t m, int64_t n_z, int64_t n_y) {
  return 20 * area<E>(m, m) + 3 * area<E>(m, n_z + n_y) + 2 * (area<E>(n_z, m) + area<E>(n_y, m)) +
         area<E>(n_z + n_y, m);
}

// out = T^t Y x or T Z x, whichever of the two ways of setting the brackets is the cheaper: `outer` is T or T^t
// and `inner` Y or Z.
template <class E>
void apply(int64_t m, int64_t n, Matrix<E> outer, Matrix<E> inner, Matrix<E> x, Matrix<E> out, Scratch<E>& work) {
  if (n < m) {
    const Matrix<E> inside = work.matrix(m, n);
    work.product({m, n, m}, inner, x, inside, Mode::set);
    work.product({m, n, m}, outer, inside, out, Mode::set);
  } else {
    const Matrix<E> both = work.matrix(m, m);
    work.product({m, m, m}, inner, outer, both, Mode::set);  // the transpose of a symmetric matrix
    work.product({m, n, m}, both, x, out, Mode::set);
  }
}

// Fills joint.between and computes the joint block into `out`, unless that is nowhere.
template <class E>
void join(const Joint<E>& joint, Matrix<E> out, Scratch<E>& work) {
  const Side &z = joint.z, &y = joint.y;
  const auto [a, b, impedance, admittance, t] = joint.between;
  const int64_t m = z.joined.count, n_z = z.rest.count, n_y = y.rest.count;
  E* const start = work.next;
  gather(joint.s_z, z.joined, z.rest, a);
  gather(joint.s_z, z.joined, z.joined, impedance);
  gather(joint.s_y, y.joined, y.rest, b);
  gather(joint.s_y, y.joined, y.joined, admittance);
  negate(m, n_z, a);
  negate(m, m, impedance);

  work.product({m, m, m}, impedance, admittance, t, Mode::set);
  for (int64_t i = 0; i < m; ++i) t.row(i)[i] += E(1);
  work.invert(m, t);
  if (out.data == nullptr) return;
  const Matrix<E> t_transposed = work.matrix(m, m);
  transpose(m, m, t, t_transposed);

  gather(joint.s_z, z.rest, z.rest, out);
  gather(joint.s_y, y.rest, y.rest, out.at(n_z, n_z));
  const Matrix<E> tb = work.matrix(m, n_y), wa = work.matrix(m, n_z), vb = work.matrix(m, n_y);
  work.product({m, n_y, m}, t, b, tb, Mode::set);
  work.product({z.first, y.columns(), m}, a, tb.at(0, y.first), out.at(0, n_z + y.first), Mode::set);
  work.product({z.columns(), n_y, m}, a.at(0, z.first), tb, out.at(z.first, n_z), Mode::set);
  if (z.columns() > 0) {
    apply(m, z.columns(), t, admittance, a.at(0, z.first), wa.at(0, z.first), work);
    update_symmetric(z, m, a, wa, out, Mode::add, work);
  }
  if (y.columns() > 0) {
    apply(m, y.columns(), t_transposed, impedance, b.at(0, y.first), vb.at(0, y.first), work);
    update_symmetric(y, m, b, vb, out.at(n_z, n_z), Mode::subtract, work);
  }
  mirror(n_z + n_y, out);
  work.next = start;
}

// The far end of lines that are held at both ends: port `far` is connected through resistances to the voltages of port
// `near`. With h = a - (1 at the lines of `near`) the current that flows out is q = W h u, W = (Z + resistances)^-1.
template <class E>
struct Tie {
  Side far;
  Lines near;  // among the lines of far.rest
  const E* resistances;
  Matrix<const E> s;
  Matrix<E> w;  // [m, m]
};

inline Layout tied_layout(const Layout& layout, Port far) {
  Layout out{};
  const Side side = side_of(layout, far);
  move_ports(layout, far, side.rest, 0, out);
  out.size = side.rest.count;
  return out;
}

template <class E>
int64_t tie_scratch(int64_t m, int64_t n) {
  return 2 * area<E>(m, n) + area<E>(m, m) + invert_scratch<E>(m);
}

template <class E>
void gather_tie(const Tie<E>& tie, Matrix<E> h) {
  const int64_t m = tie.far.joined.count, n = tie.far.rest.count;
  gather(tie.s, tie.far.joined, tie.far.rest, h);
  negate(m, n, h);
  for (int r = 0, i = 0; r < tie.near.runs; ++r)
    for (int64_t j = 0; j < tie.near.run[r].count; ++j, ++i) h.row(i)[tie.near.run[r].at + j] -= E(1);
}

template <class E>
void close(const Tie<E>& tie, Matrix<E> out, Scratch<E>& work) {
  const int64_t m = tie.far.joined.count, n = tie.far.rest.count;
  E* const start = work.next;
  const Matrix<E> h = work.matrix(m, n), wh = work.matrix(m, n);
  gather_tie(tie, h);
  gather(tie.s, tie.far.joined, tie.far.joined, tie.w);
  negate(m, m, tie.w);
  for (int64_t i = 0; i < m; ++i) tie.w.row(i)[i] += tie.resistances[i];
  work.invert(m, tie.w);
  gather(tie.s, tie.far.rest, tie.far.rest, out);
  work.product({m, n, m}, tie.w, h, wh, Mode::set);
  update_symmetric(tie.far, m, h, wh, out, Mode::add, work);
  mirror(n, out);
  work.next = start;
}

}  // namespace
}  // namespace memcore
