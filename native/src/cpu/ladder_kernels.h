// Node voltages of lines with a shunt at each node, by elimination from the far end.
//
// With r_k the segment in front of node k, G_k its shunt to the voltage x_k, and z_k what is behind it (infinite for an
// open end), the rest of a line from node k on is an admittance y_k with a current source s_k:
//   y_k = G_k + 1 / z_k,  z_{k-1} = r_k + 1 / y_k,  t_k = 1 / (1 + r_k y_k)
//   s_k = G_k x_k + t_{k+1} s_{k+1}
//   v_k = t_k (v_{k-1} + r_k s_k),  v_{-1} = 0
// A resistance is never inverted where it may be 0, except for z = 0: there y is infinite and t = 0, as it should be.
// Where r_k = 0 too, t_k = 1: whatever flows, the nodes are one. (L + G)^-1 = U^-t diag(r t) U^-1, so that the sum of
// r_k t_k s_k^2 is the product of G x with v.
// Internal linkage throughout: this header is compiled once per instruction set.
#pragma once

#include <cstdint>

#include "ladder_panel.h"

namespace memcore {
namespace {

// One node of a panel.
template <class T>
struct Node128 {
  using Vector = typename VectorOf<T, kVectorBytes>::Type;
  static constexpr int count = kPanelBytes / kVectorBytes;
  Vector v[count];

  static Node128 at(const T* from) {
    Node128 out;
    __builtin_memcpy(&out, from, sizeof(out));
    return out;
  }
  void to(T* out) const { __builtin_memcpy(out, this, sizeof(*this)); }
};

// The three coefficients of a node, one after the other.
enum { kShunt, kTransfer, kImpedance, kCoefficients };

template <class T>
void eliminate(int64_t nodes, const T* shunt, const T* segments, const T* far, T* packed) {
  constexpr int64_t width = kPanelLines<T>;
  T behind[width];
  for (int64_t i = 0; i < width; ++i) behind[i] = far[i];
  for (int64_t k = nodes - 1; k >= 0; --k) {
    const T *const g = shunt + k * width, *const r = segments + k * width;
    T* const out = packed + k * kCoefficients * width;
    for (int64_t i = 0; i < width; ++i) {
      const T y = g[i] + T(1) / behind[i], t = r[i] == T(0) ? T(1) : T(1) / (T(1) + r[i] * y);
      behind[i] = r[i] + T(1) / y;
      out[kShunt * width + i] = g[i];
      out[kTransfer * width + i] = t;
      out[kImpedance * width + i] = r[i] * t;
    }
  }
}

// From what is behind the shunts to the voltages, in place; returns the energy.
template <class T>
double sweep(int64_t nodes, const T* packed, T* panel) {
  using Node = Node128<T>;
  constexpr int64_t width = kPanelLines<T>, step = kCoefficients * width;
  Node s{}, transfer{}, energy{};
  for (int64_t k = nodes - 1; k >= 0; --k) {
    const T* const at = packed + k * step;
    const Node shunt = Node::at(at), impedance = Node::at(at + kImpedance * width), x = Node::at(panel + k * width);
    for (int i = 0; i < Node::count; ++i) {
      s.v[i] = shunt.v[i] * x.v[i] + transfer.v[i] * s.v[i];
      energy.v[i] += impedance.v[i] * s.v[i] * s.v[i];
    }
    s.to(panel + k * width);
    transfer = Node::at(at + kTransfer * width);
  }
  Node v{};
  for (int64_t k = 0; k < nodes; ++k) {
    const T* const at = packed + k * step;
    const Node t = Node::at(at + kTransfer * width), impedance = Node::at(at + kImpedance * width);
    const Node source = Node::at(panel + k * width);
    for (int i = 0; i < Node::count; ++i) v.v[i] = t.v[i] * v.v[i] + impedance.v[i] * source.v[i];
    v.to(panel + k * width);
  }
  double sum = 0;
  for (int i = 0; i < Node::count; ++i)
    for (int lane = 0; lane < kVectorBytes / static_cast<int>(sizeof(T)); ++lane) sum += energy.v[i][lane];
  return sum;
}

template <class T>
int64_t ladder_size(const LadderLines<T>& lines) {
  const Panels<T> panels{lines};
  return panels.count() * panels.size() * kCoefficients;
}

constexpr int64_t kLadderGrain = 16 * 1024;  // nodes, about 30 us

template <class T>
int64_t panels_of_grain(const Panels<T>& panels, int64_t each) {
  return ceil_div(kLadderGrain, larger(panels.size() * each, 1));
}

template <class T>
void ladder_factor(const LadderFactor<T>& f) {
  const Panels<T> panels{f.lines};
  const int64_t count = panels.count(), cells = f.lines.rows * f.lines.cols;
  parallel_for(f.lines.arrays * count, panels_of_grain(panels, 1), [&](int64_t begin, int64_t end) {
    const Memory<T> shunt(panels.size()), segments(panels.size());
    for (int64_t i = begin; i < end; ++i) {
      const int64_t array = i / count, panel = i % count, first = panel * kPanelLines<T>;
      T far[kPanelLines<T>];
      for (int64_t line = 0; line < kPanelLines<T>; ++line)
        far[line] = f.far == nullptr || line >= panels.lines_of(panel)
                        ? static_cast<T>(__builtin_inf())
                        : f.far[array * panels.all_lines() + first + line];
      panels.gather(f.segments + array * cells, panel, segments.data);
      T* const packed = f.packed + i * panels.size() * kCoefficients;
      if (f.shunt != nullptr)
        panels.gather(f.shunt + array * cells, panel, shunt.data);
      else
        for (int64_t k = 0; k < panels.size(); ++k) shunt.data[k] = T(0);
      eliminate(panels.nodes(), shunt.data, segments.data, far, packed);
      if (f.shunt != nullptr) continue;
      for (int64_t k = 0; k < panels.nodes(); ++k)
        for (int64_t line = 0; line < kPanelLines<T>; ++line)
          packed[(k * kCoefficients + kShunt) * kPanelLines<T> + line] = T(1);
    }
  });
}

template <class T>
void ladder_solve(const LadderSolve<T>& s) {
  const Panels<T> panels{s.lines};
  const int64_t count = panels.count(), cells = s.lines.rows * s.lines.cols;
  const Memory<double> energies(s.lines.arrays * count * s.each);
  parallel_for(s.lines.arrays * count, panels_of_grain(panels, s.each), [&](int64_t begin, int64_t end) {
    const Memory<T> panel(panels.size());
    for (int64_t i = begin; i < end; ++i)
      for (int64_t n = 0; n < s.each; ++n) {
        const int64_t at = (i / count * s.each + n) * cells;
        panels.gather(s.inputs + at, i % count, panel.data);
        const T* const packed = s.packed + i * panels.size() * kCoefficients;
        energies.data[i * s.each + n] = sweep(panels.nodes(), packed, panel.data);
        panels.scatter(panel.data, i % count, s.voltages + at);
      }
  });
  // In an order that does not depend on the number of threads.
  for (int64_t array = 0; array < s.lines.arrays; ++array)
    for (int64_t n = 0; n < s.each; ++n) {
      double sum = 0;
      for (int64_t i = 0; i < count; ++i) sum += energies.data[(array * count + i) * s.each + n];
      s.energy[array * s.each + n] = sum;
    }
}

}  // namespace
}  // namespace memcore
