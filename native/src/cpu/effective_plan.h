// The order in which the blocks of a crossbar are joined (nested dissection), and where each of them is kept.
// Internal linkage throughout: this header is compiled once per instruction set.
#pragma once

#include <cstdint>

#include "effective_multiport.h"
#include "isa.h"

namespace memcore {
namespace {

// A rectangle of units: cells, or squares of kUnit x kUnit cells.
struct Node {
  int64_t row, col, rows, cols;
  int64_t z, y;  // the children, in the roles of join(), or -1
  Port z_port, y_port;
  Layout layout;
  Side z_side, y_side;
  int64_t block;      // where S is
  int64_t interface;  // where the interface between the children is
  int64_t scratch;    // where scratch memory begins
  int64_t gradient;   // where the gradient with respect to S is
  bool group;         // the largest block with no more units than a vector has lanes

  int64_t units() const { return rows * cols; }
};

// What is asked of the whole: which edges keep their ports, and whether currents at L and B are of no interest.
struct Edges {
  bool right, top, outer_unused;
};

template <class E>
struct Plan {
  int64_t rows, cols, unit;  // in units; and lines of a unit at each edge
  int64_t lanes;             // units computed together
  Edges edges;
  bool keep;       // all interfaces, for the gradient
  int64_t spread;  // blocks above this depth have memory of their own, so that several threads can build them
  Node* nodes;
  int64_t count;
  int64_t memory, kept, gradients;  // sizes: to build, of the interfaces if they are kept, for the gradients

  Plan(int64_t n_rows, int64_t n_cols, int64_t unit_lines, int64_t unit_lanes, Edges which, bool keep_all,
       int64_t depth)
      : rows(n_rows), cols(n_cols), unit(unit_lines), lanes(unit_lanes), edges(which), keep(keep_all), spread(depth) {
    const int64_t bytes = 2 * rows * cols * static_cast<int64_t>(sizeof(Node));
    nodes = reinterpret_cast<Node*>(allocate(bytes / 4));
    count = kept = gradients = 0;
    split(0, 0, rows, cols, false);
    nodes[0].block = nodes[0].gradient = 0;
    memory = place(0, block_area(nodes[0]), 0);
    if (keep) gradients = place_gradient(0, block_area(nodes[0]));
  }
  ~Plan() { release(reinterpret_cast<float*>(nodes)); }
  Plan(const Plan&) = delete;
  Plan& operator=(const Plan&) = delete;

  static int64_t block_area(const Node& node) { return area<E>(node.layout.size, node.layout.size); }

  Matrix<E> block(const Node& node, E* base) const { return {base + node.block, stride_of<E>(node.layout.size)}; }
  Matrix<E> gradient(const Node& node, E* base) const { return {base + node.gradient, stride_of<E>(node.layout.size)}; }

  Interface<E> interface(const Node& node, E* memory_base, E* kept_base) const {
    E* const at = (keep ? kept_base : memory_base) + node.interface;
    return Interface<E>::at(at, node.z_side.joined.count, node.z_side.rest.count, node.y_side.rest.count);
  }
  Joint<E> joint(const Node& node, E* base, E* kept_base) const {
    return {node.z_side, node.y_side, constant(block(nodes[node.z], base)), constant(block(nodes[node.y], base)),
            interface(node, base, kept_base)};
  }

 private:
  int64_t split(int64_t row, int64_t col, int64_t n_rows, int64_t n_cols, bool grouped) {
    const int64_t index = count++;
    Node& node = nodes[index];
    node = Node{};
    node.row = row, node.col = col, node.rows = n_rows, node.cols = n_cols;
    node.group = !grouped && node.units() <= lanes;
    node.z = node.y = -1;
    if (node.units() == 1) return node.layout = unit_layout(node), index;
    grouped = grouped || node.group;
    if (n_cols >= n_rows) {  // left and right: the left one gives voltages at R
      const int64_t half = (n_cols + 1) / 2;
      node.z = split(row, col, n_rows, half, grouped), node.z_port = kRight;
      node.y = split(row, col + half, n_rows, n_cols - half, grouped), node.y_port = kLeft;
    } else {  // top and bottom: the bottom one gives voltages at T
      const int64_t half = (n_rows + 1) / 2;
      node.y = split(row, col, half, n_cols, grouped), node.y_port = kBottom;
      node.z = split(row + half, col, n_rows - half, n_cols, grouped), node.z_port = kTop;
    }
    const bool z_first = n_cols >= n_rows;
    node.z_side = side_of(nodes[node.z].layout, node.z_port);
    node.y_side = side_of(nodes[node.y].layout, node.y_port);
    node.layout = join_layouts(nodes[node.z].layout, node.z_port, nodes[node.y].layout, node.y_port, z_first);
    return index;
  }

  Layout unit_layout(const Node& node) const {
    const bool has[kPorts] = {true, edges.right || node.col + 1 < cols, edges.top || node.row > 0, true};
    Layout out{};
    for (int p = 0; p < kPorts; ++p) {
      out.port[p].append(Run{out.size, has[p] ? unit : 0});
      out.size += has[p] ? unit : 0;
    }
    out.unused[kLeft] = edges.outer_unused && node.col == 0;
    out.unused[kBottom] = edges.outer_unused && node.row + 1 == rows;
    return out;
  }

  // Places what is below a node, from `base` on, and returns the end of it. Blocks are dropped once they are joined.
  int64_t place(int64_t index, int64_t base, int64_t depth) {
    Node& node = nodes[index];
    if (node.z < 0) return base;
    const int64_t m = node.z_side.joined.count, n_z = node.z_side.rest.count, n_y = node.y_side.rest.count;
    const int64_t between = Interface<E>::size(m, n_z, n_y);
    nodes[node.z].block = base;
    nodes[node.y].block = base + block_area(nodes[node.z]);
    base = nodes[node.y].block + block_area(nodes[node.y]);
    node.interface = keep ? kept : base;
    (keep ? kept : base) += between;
    node.scratch = base;
    const int64_t after_z = place(node.z, base, depth + 1);
    const int64_t after_y = place(node.y, depth < spread ? after_z : base, depth + 1);
    return larger(larger(after_z, after_y), base + join_scratch<E>(m, n_z, n_y));
  }

  // The gradients of two children are dropped once they are handed down.
  int64_t place_gradient(int64_t index, int64_t base) {
    const Node& node = nodes[index];
    if (node.z < 0) return base;
    const int64_t m = node.z_side.joined.count, n_z = node.z_side.rest.count, n_y = node.y_side.rest.count;
    nodes[node.z].gradient = base;
    nodes[node.y].gradient = base + block_area(nodes[node.z]);
    base = nodes[node.y].gradient + block_area(nodes[node.y]);
    const int64_t below = larger(place_gradient(node.z, base), place_gradient(node.y, base));
    return larger(below, base + join_gradient_scratch<E>(m, n_z, n_y));
  }

 public:
  // Behind the gradients of the children, where those further below come later.
  E* gradient_scratch(const Node& node, E* base) const {
    const Node& last = nodes[node.y];
    return base + last.gradient + block_area(last);
  }
};

// Builds the block of a node from its units; `units.enter(node)` is called before what is below a node is built, and
// `units.build(node, S)` for a single unit. With `interface_only`, the node's own S is not computed. Returns the number
// of operations.
template <class E, class Units>
double build(const Plan<E>& plan, int64_t index, E* memory, E* kept, const Units& units, bool interface_only = false) {
  const Node& node = plan.nodes[index];
  double operations = 0;
  if (node.group) operations += units.enter(index);
  if (node.z < 0) {
    units.build(node, plan.block(node, memory));
    return operations;
  }
  operations += build(plan, node.z, memory, kept, units) + build(plan, node.y, memory, kept, units);
  Scratch<E> work{memory + node.scratch, operations};
  join(plan.joint(node, memory, kept), interface_only ? Matrix<E>{} : plan.block(node, memory), work);
  return work.operations;
}

}  // namespace
}  // namespace memcore
