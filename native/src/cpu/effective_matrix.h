// Small dense linear algebra for effective_kernels.h, on numbers and on vectors that hold one number of several blocks.
//
// All matrices are row-major with a row stride. Every product is C = A^T B, with A [k, m] and B [k, n]: the blocks
// are symmetric, so that no other form is needed and both factors are read along their rows.
// Internal linkage throughout: this header is compiled once per instruction set.
#pragma once

#include <cstdint>

#include "memory.h"
#include "parallel.h"
#include "simd.h"

namespace memcore {
namespace {

constexpr int kVectorBytes = kLanes * 4;
constexpr int64_t kUnit = 8;  // sizes of matrices of numbers are multiples of this
constexpr int64_t smaller_of(int64_t a, int64_t b) { return a < b ? a : b; }

// Vectors of numbers; not one template, because GCC 12 forgets attributes on types that depend on a parameter.
template <class T, int Bytes>
struct VectorOf;

#define MEMCORE_VECTOR(T, bytes)                        \
  template <>                                           \
  struct VectorOf<T, bytes> {                           \
    typedef T Type __attribute__((vector_size(bytes))); \
    static constexpr int count = bytes / sizeof(T);     \
  };
MEMCORE_VECTOR(float, 16)
MEMCORE_VECTOR(float, 32)
MEMCORE_VECTOR(float, 64)
MEMCORE_VECTOR(double, 16)
MEMCORE_VECTOR(double, 32)
MEMCORE_VECTOR(double, 64)
#undef MEMCORE_VECTOR

// Of any alignment.
template <class Vector, class T>
MEMCORE_ALWAYS_INLINE Vector load_as(const T* from) {
  Vector v;
  __builtin_memcpy(&v, from, sizeof(v));
  return v;
}
template <class Vector, class T>
MEMCORE_ALWAYS_INLINE void store_as(T* to, Vector v) {
  __builtin_memcpy(to, &v, sizeof(v));
}

// One number of each of `count` blocks.
template <class T>
struct Lanes {
  using Vector = typename VectorOf<T, kVectorBytes>::Type;
  static constexpr int count = kVectorBytes / sizeof(T);
  Vector v;

  Lanes() = default;
  MEMCORE_ALWAYS_INLINE Lanes(T x) : v(x - Vector{}) {}
  MEMCORE_ALWAYS_INLINE Lanes(Vector x) : v(x) {}
  MEMCORE_ALWAYS_INLINE Lanes operator-() const { return -v; }
  MEMCORE_ALWAYS_INLINE Lanes& operator+=(Lanes b) { return v += b.v, *this; }
  MEMCORE_ALWAYS_INLINE Lanes& operator-=(Lanes b) { return v -= b.v, *this; }
};

template <class T>
MEMCORE_ALWAYS_INLINE Lanes<T> operator+(Lanes<T> a, Lanes<T> b) {
  return a.v + b.v;
}
template <class T>
MEMCORE_ALWAYS_INLINE Lanes<T> operator-(Lanes<T> a, Lanes<T> b) {
  return a.v - b.v;
}
template <class T>
MEMCORE_ALWAYS_INLINE Lanes<T> operator*(Lanes<T> a, Lanes<T> b) {
  return a.v * b.v;
}
template <class T>
MEMCORE_ALWAYS_INLINE Lanes<T> operator/(Lanes<T> a, Lanes<T> b) {
  return a.v / b.v;
}

enum class Mode { set, add, subtract };

struct Shape {
  int64_t m, n, k;
};

template <class E>
struct Matrix {
  E* data;
  int64_t stride;

  E* row(int64_t i) const { return data + i * stride; }
  Matrix at(int64_t i, int64_t j) const { return {data + i * stride + j, stride}; }
};

// Distance between rows: of long ones one more cache line, so that rows fall into different cache sets.
template <class E>
constexpr int64_t stride_of(int64_t cols) {
  constexpr int64_t line = 64 / static_cast<int64_t>(sizeof(E));
  return cols < 8 * line ? cols : cols + line;
}
template <>
constexpr int64_t stride_of<Lanes<float>>(int64_t cols) {
  return cols;
}
template <>
constexpr int64_t stride_of<Lanes<double>>(int64_t cols) {
  return cols;
}

template <class E>
constexpr int64_t area(int64_t rows, int64_t cols) {
  return rows * stride_of<E>(cols);
}

// What of a row is handled at a time.
template <class T>
struct RowOf {  // of numbers
  static constexpr int64_t step = smaller_of(VectorOf<T, kVectorBytes>::count, kUnit);
  using Part = typename VectorOf<T, step * sizeof(T)>::Type;
};
template <class T>
struct RowOf<Lanes<T>> {
  static constexpr int64_t step = 1;
  using Part = Lanes<T>;
};

// Inline, because most rows are short.
template <class E>
MEMCORE_ALWAYS_INLINE void copy_row(int64_t count, const E* from, E* to) {
  for (int64_t j = 0; j < count; j += RowOf<E>::step) __builtin_memcpy(to + j, from + j, RowOf<E>::step * sizeof(E));
}

// --- products of matrices of Lanes -------------------------------------------------------------------------------

template <class E>
MEMCORE_ALWAYS_INLINE void put(E& c, E value, Mode mode) {
  if (mode == Mode::set) c = value;
  if (mode == Mode::add) c += value;
  if (mode == Mode::subtract) c -= value;
}

template <int Rows, int Cols, class E>
MEMCORE_ALWAYS_INLINE void lane_tile(int64_t k, Matrix<E> a, Matrix<E> b, Matrix<E> c, Mode mode) {
  E sum[Rows][Cols];
  for (int i = 0; i < Rows; ++i)
    for (int j = 0; j < Cols; ++j) sum[i][j] = a.data[i] * b.data[j];
  for (int64_t l = 1; l < k; ++l)
    for (int i = 0; i < Rows; ++i)
      for (int j = 0; j < Cols; ++j) sum[i][j] += a.row(l)[i] * b.row(l)[j];
  for (int i = 0; i < Rows; ++i)
    for (int j = 0; j < Cols; ++j) put(c.row(i)[j], sum[i][j], mode);
}

template <int Rows, class E>
MEMCORE_ALWAYS_INLINE void lane_rows(Shape s, Matrix<E> a, Matrix<E> b, Matrix<E> c, Mode mode) {
  int64_t j = 0;
  for (; j + 4 <= s.n; j += 4) lane_tile<Rows, 4>(s.k, a, b.at(0, j), c.at(0, j), mode);
  for (; j < s.n; ++j) lane_tile<Rows, 1>(s.k, a, b.at(0, j), c.at(0, j), mode);
}

template <class T>
void multiply(Shape s, Matrix<Lanes<T>> a, Matrix<Lanes<T>> b, Matrix<Lanes<T>> c, Mode mode) {
  int64_t i = 0;
  for (; i + 4 <= s.m; i += 4) lane_rows<4>(s, a.at(0, i), b, c.at(i, 0), mode);
  for (; i + 2 <= s.m; i += 2) lane_rows<2>(s, a.at(0, i), b, c.at(i, 0), mode);
  for (; i < s.m; ++i) lane_rows<1>(s, a.at(0, i), b, c.at(i, 0), mode);
}

// --- products of matrices of numbers -----------------------------------------------------------------------------

#if defined(__AVX512F__)
constexpr int kTileRows = 8;  // times two vectors: 16 accumulators of 32 registers
#else
constexpr int kTileRows = 4;
#endif
constexpr int64_t kDepth = 128;                 // of packed factors
constexpr int64_t kPackedBytes = 1024;          // of one row of a packed A
constexpr int64_t kPackFrom = 64;               // smaller factors are read where they are
constexpr int64_t kProductGrain = 1024 * 1024;  // multiplications, about 30 us

template <class T, int Bytes, int Cols>
void number_tile(int64_t k, Matrix<const T> a, Matrix<const T> b, Matrix<T> c, Mode mode) {
  using Vector = typename VectorOf<T, Bytes>::Type;
  constexpr int width = VectorOf<T, Bytes>::count;
  Vector sum[kTileRows][Cols] = {};
  for (; k > 0; --k, a.data += a.stride, b.data += b.stride) {
    Vector right[Cols];
    for (int j = 0; j < Cols; ++j) right[j] = load_as<Vector>(b.data + j * width);
#pragma GCC unroll 8
    for (int i = 0; i < kTileRows; ++i) {
      const Vector left = a.data[i] - Vector{};
      for (int j = 0; j < Cols; ++j) sum[i][j] += left * right[j];
    }
  }
#pragma GCC unroll 8
  for (int i = 0; i < kTileRows; ++i)
    for (int j = 0; j < Cols; ++j) {
      T* const to = c.row(i) + j * width;
      const Vector old = mode == Mode::set ? Vector{} : load_as<Vector>(to);
      store_as(to, mode == Mode::subtract ? old - sum[i][j] : old + sum[i][j]);
    }
}

// kTileRows rows of C.
template <class T>
void number_rows(int64_t n, int64_t k, Matrix<const T> a, Matrix<const T> b, Matrix<T> c, Mode mode) {
  constexpr int width = kVectorBytes / sizeof(T);
  int64_t j = 0;
  for (; j + 2 * width <= n; j += 2 * width) number_tile<T, kVectorBytes, 2>(k, a, b.at(0, j), c.at(0, j), mode);
  for (; j + width <= n; j += width) number_tile<T, kVectorBytes, 1>(k, a, b.at(0, j), c.at(0, j), mode);
  if constexpr (width > kUnit) {
    if (j < n) number_tile<T, kUnit * sizeof(T), 1>(k, a, b.at(0, j), c.at(0, j), mode);
  }
}

template <class T>
constexpr int64_t kPackedHeight = kPackedBytes / sizeof(T);
template <class T>
constexpr int64_t kPackedWidth = 2 * kVectorBytes / sizeof(T);

// One piece of a product: m and k are at most what fits into the packed A, at `left`.
template <class T>
void multiply_packed(Shape s, Matrix<const T> a, Matrix<const T> b, Matrix<T> c, Mode mode, T* left, T* right) {
  constexpr int64_t width = kPackedWidth<T>;
  for (int64_t l = 0; l < s.k; ++l)
    for (int64_t i = 0; i < s.m; i += kTileRows)
      __builtin_memcpy(left + i * s.k + l * kTileRows, a.row(l) + i, kTileRows * sizeof(T));
  for (int64_t j = 0; j < s.n; j += width) {
    const int64_t cols = smaller(width, s.n - j);
    for (int64_t l = 0; l < s.k; ++l) copy_row(cols, b.row(l) + j, right + l * width);
    for (int64_t i = 0; i < s.m; i += kTileRows)
      number_rows<T>(cols, s.k, {left + i * s.k, kTileRows}, {right, width}, c.at(i, j), mode);
  }
}

template <class T>
void multiply_serial(Shape s, Matrix<const T> a, Matrix<const T> b, Matrix<T> c, Mode mode) {
  if (s.m < kPackFrom || s.n < kPackFrom || s.k < kPackFrom) {
    for (int64_t i = 0; i < s.m; i += kTileRows) number_rows<T>(s.n, s.k, a.at(0, i), b, c.at(i, 0), mode);
    return;
  }
  // Not on the stack: it may be short, and where it cannot grow the process ends.
  constexpr int64_t height = kPackedHeight<T>;
  const Memory<T> left(kDepth * height), right(kDepth * kPackedWidth<T>);
  for (int64_t l = 0; l < s.k; l += kDepth, mode = mode == Mode::set ? Mode::add : mode)
    for (int64_t i = 0; i < s.m; i += height) {
      const Shape piece{smaller(height, s.m - i), s.n, smaller(kDepth, s.k - l)};
      multiply_packed<T>(piece, a.at(l, i), b.at(l, 0), c.at(i, 0), mode, left.data, right.data);
    }
}

// C = A^T B, or C +- A^T B; k >= 1, and all sizes are multiples of kUnit.
template <class T>
void multiply_numbers(Shape s, Matrix<T> a, Matrix<T> b, Matrix<T> c, Mode mode) {
  const int64_t columns = 4 * kVectorBytes / static_cast<int64_t>(sizeof(T));
  const int64_t grain = ceil_div(kProductGrain, larger(s.m * s.k, 1));
  parallel_for_units(s.n, columns, grain, [&](int64_t begin, int64_t end) {
    multiply_serial<T>({s.m, end - begin, s.k}, {a.data, a.stride}, {b.data + begin, b.stride}, c.at(0, begin), mode);
  });
}
inline void multiply(Shape s, Matrix<float> a, Matrix<float> b, Matrix<float> c, Mode mode) {
  multiply_numbers<float>(s, a, b, c, mode);
}
inline void multiply(Shape s, Matrix<double> a, Matrix<double> b, Matrix<double> c, Mode mode) {
  multiply_numbers<double>(s, a, b, c, mode);
}

// --- the rest ----------------------------------------------------------------------------------------------------

template <class E>
void copy(int64_t rows, int64_t cols, Matrix<E> from, Matrix<E> to) {
  for (int64_t i = 0; i < rows; ++i) copy_row(cols, from.row(i), to.row(i));
}

// to [cols, rows] = from^T, in squares that stay in the first-level cache.
template <class E>
void transpose(int64_t rows, int64_t cols, Matrix<E> from, Matrix<E> to) {
  constexpr int64_t side = 8;
  for (int64_t i0 = 0; i0 < rows; i0 += side)
    for (int64_t j0 = 0; j0 < cols; j0 += side)
      for (int64_t j = j0; j < smaller(cols, j0 + side); ++j)
        for (int64_t i = i0; i < smaller(rows, i0 + side); ++i) to.row(j)[i] = from.row(i)[j];
}

// x = x^-1 by Gauss-Jordan elimination, without pivoting.
template <class E>
void invert_small(int64_t n, Matrix<E> x) {
  using Part = typename RowOf<E>::Part;
  const auto part = [&](int64_t i, int64_t j) { return load_as<Part>(x.row(i) + j); };
  const auto eliminate = [&](int64_t k, int64_t first, int64_t last, E inverse) {
    for (int64_t i = first; i < last; ++i) {
      const E factor = x.row(i)[k];
      for (int64_t j = 0; j < n; j += RowOf<E>::step) store_as(x.row(i) + j, part(i, j) - factor * part(k, j));
      x.row(i)[k] = -(factor * inverse);  // after the row, which is loaded in one piece
    }
  };
  for (int64_t k = 0; k < n; ++k) {
    const E inverse = E(1) / x.row(k)[k];
    for (int64_t j = 0; j < n; j += RowOf<E>::step) store_as(x.row(k) + j, part(k, j) * inverse);
    x.row(k)[k] = inverse;
    eliminate(k, 0, k, inverse);
    eliminate(k, k + 1, n, inverse);
  }
}

constexpr int64_t kInvertBlock = 16;

template <class E>
int64_t invert_scratch(int64_t n) {
  return 2 * area<E>(kInvertBlock, n) + area<E>(kInvertBlock, kInvertBlock);
}

template <class T>
void invert(int64_t n, Matrix<Lanes<T>> x, Lanes<T>*) {
  invert_small(n, x);
}

// The same in blocks: almost all of it is in the products.
template <class T>
void invert(int64_t n, Matrix<T> x, T* scratch) {
  if (n <= kInvertBlock) return invert_small(n, x);
  const Matrix<T> column{scratch, stride_of<T>(n)}, row{scratch + area<T>(kInvertBlock, n), stride_of<T>(n)};
  const Matrix<T> diagonal{scratch + 2 * area<T>(kInvertBlock, n), stride_of<T>(kInvertBlock)};
  for (int64_t k = 0; k < n; k += kInvertBlock) {
    const int64_t b = smaller(kInvertBlock, n - k), rest = n - k - b;
    invert_small(b, x.at(k, k));
    transpose(b, b, x.at(k, k), diagonal);
    multiply({b, n, b}, diagonal, x.at(k, 0), row, Mode::set);
    copy(b, b, x.at(k, k), row.at(0, k));
    transpose(n, b, x.at(0, k), column);
    for (int64_t i = 0; i < n; ++i)
      for (int64_t j = 0; j < b; ++j) x.row(i)[k + j] = T(0);
    if (k > 0) multiply({k, n, b}, column, row, x, Mode::subtract);
    if (rest > 0) multiply({rest, n, b}, column.at(0, k + b), row, x.at(k + b, 0), Mode::subtract);
    copy(b, n, row, x.at(k, 0));
  }
}

}  // namespace
}  // namespace memcore
