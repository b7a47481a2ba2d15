// Scores rows with the net of fraud_ml/model.py, on one core, without any library.
//
// What it is faster by, over the same net in a framework: a number's embedding is looked up in a
// table instead of multiplied out; a layer's sums stay in registers, its activation included; and
// nothing is transposed, copied or allocated between layers. The tables, and how the weights are
// laid out, are those of fraud_ml/net_tables.py and fraud_ml/_native_net.py.
//
// Each sum is added up in the order of its terms, by fused multiply-adds: the score of a row is
// the same to the last bit whatever rows are beside it, and on every processor that runs this.

#include <stdint.h>

#ifdef __x86_64__
#include <cpuid.h>
#endif

namespace {

constexpr int kLanes = 8;           // floats in a vector
constexpr int kPanel = 2 * kLanes;  // columns of a layer that are computed together
constexpr int kRows = 96;           // rows that go through all layers together: they fit the cache
constexpr int kStrip = 6;           // rows whose sums are in registers together

typedef float Vector __attribute__((vector_size(4 * kLanes), aligned(4)));
typedef int32_t Mask __attribute__((vector_size(4 * kLanes), aligned(4)));

}  // namespace

extern "C" {

// Whether this processor has the instructions, and the system keeps their registers.
int32_t fraud_net_is_supported() {
#ifdef __x86_64__
  uint32_t a, b, c, d;
  if (!__get_cpuid(1, &a, &b, &c, &d)) return 0;
  const uint32_t needed = bit_FMA | bit_AVX | bit_OSXSAVE;
  if ((c & needed) != needed) return 0;
  uint32_t low, high;
  __asm__("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  if ((low & 6) != 6) return 0;
  if (!__get_cpuid_count(7, 0, &a, &b, &c, &d)) return 0;
  return (b & bit_AVX2) != 0;
#else
  return 1;  // all of its family have them
#endif
}

// A net. Arrays are row-major; F numbers, C categories, G groups of M members, E wide embeddings.
struct FraudNet {
  int32_t n_features;    // of a row
  int32_t n_numbers;     // F
  int32_t n_categories;  // C
  int32_t n_edges;       // of a number; those with fewer are filled up with infinity
  int32_t n_codes;       // of a category; filled up with NaN, which equals nothing
  int32_t n_groups;      // G
  int32_t n_members;     // M, of each group
  int32_t embedding;     // E
  int32_t n_hidden;      // layers between the first and the last
  int32_t width;         // W, a multiple of kPanel
  float slope, offset;   // of the calibration
  const int32_t* number_columns;    // (F)
  const int32_t* category_columns;  // (C)
  const float* edges;               // (F, n_edges), ascending
  const float* start;               // (F, n_edges + 2): where a piece begins
  const float* base;                // (F, n_edges + 2, G * E): the embedding there
  const float* rise;                // as base: its slope from there on
  const float* codes;               // (C, n_codes)
  const float* vectors;             // (C, n_codes + 2, G * E)
  const float* first;               // (G, M * W / kPanel, (F + C) * E, kPanel)
  const float* first_bias;          // (G, M * W)
  const float* hidden;              // (n_hidden, G * M, W / kPanel, W, kPanel)
  const float* hidden_bias;         // (n_hidden, G * M, W)
  const float* last;                // (G * M, W)
  const float* last_bias;           // (G * M)
};

}  // extern "C"

#ifdef __x86_64__
#pragma clang attribute push(__attribute__((target("avx2,fma"))), apply_to = function)
#endif

namespace {

inline __attribute__((always_inline)) Vector load(const float* from) {
  return *reinterpret_cast<const Vector*>(from);
}

inline __attribute__((always_inline)) Vector relu(Vector x) {
  return (Vector)((Mask)x & (Mask)(x > 0));
}

inline double magnitude(double x) { return x < 0 ? -x : x; }

// e^x for x from -700 to 0, to 1e-14: the power of two that is nearest, and a Taylor series.
inline double exponential(double x) {
  const double ln2_high = 6.93147180369123816490e-01, ln2_low = 1.90821492927058770002e-10;
  const int64_t power = (int64_t)(x * 1.44269504088896338700 - 0.5);
  const double r = (x - power * ln2_high) - power * ln2_low;
  double sum = 1;
  for (int n = 12; n > 0; n--) sum = 1 + sum * r / n;
  return sum * __builtin_bit_cast(double, (power + 1023) << 52);
}

// The natural logarithm of a positive normal number, to 1e-14: 2 artanh((m - 1) / (m + 1)).
inline double logarithm(double x) {
  const uint64_t bits = __builtin_bit_cast(uint64_t, x);
  int64_t power = (int64_t)(bits >> 52) - 1023;
  double m = __builtin_bit_cast(double, (bits & 0xfffffffffffffull) | 0x3ff0000000000000ull);
  if (m > 1.41421356237309504880) m /= 2, power++;
  const double s = (m - 1) / (m + 1), square = s * s;
  double sum = 0;
  for (int n = 17; n > 0; n -= 2) sum = sum * square + 1.0 / n;
  return 2 * s * sum + power * 6.93147180559945309417e-01;
}

// R rows of P panels of relu(x * weights + bias).
template <int R, int P>
inline __attribute__((always_inline)) void tile(const float* x, int x_step, const float* weights,
                                                int n_in, const float* bias, float* out,
                                                int out_step) {
  Vector sum[R][2 * P];
  for (int p = 0; p < 2 * P; p++)
    for (int r = 0; r < R; r++) sum[r][p] = load(bias + p * kLanes);
  for (int k = 0; k < n_in; k++) {
    for (int p = 0; p < 2 * P; p++) {
      const Vector w = load(weights + ((p / 2) * n_in + k) * kPanel + (p % 2) * kLanes);
      for (int r = 0; r < R; r++) sum[r][p] += x[r * x_step + k] * w;
    }
  }
  for (int r = 0; r < R; r++)
    for (int p = 0; p < 2 * P; p++)
      *reinterpret_cast<Vector*>(out + r * out_step + p * kLanes) = relu(sum[r][p]);
}

// All panels of a strip of R rows, P at a time.
template <int R, int P>
inline __attribute__((always_inline)) void strip(const float* x, int x_step, const float* weights,
                                                 int n_in, const float* bias, int n_out, float* out,
                                                 int out_step) {
  int from = 0;
  for (; from + P * kPanel <= n_out; from += P * kPanel)
    tile<R, P>(x, x_step, weights + from * n_in, n_in, bias + from, out + from, out_step);
  for (; from < n_out; from += kPanel)
    tile<R, 1>(x, x_step, weights + from * n_in, n_in, bias + from, out + from, out_step);
}

// A layer with its activation. A panel serves all strips while it is in the nearest cache; what is
// left of the rows takes several panels at once, so that there are always sums to work on.
void layer(const float* x, int x_step, int n_rows, const float* weights, int n_in,
           const float* bias, int n_out, float* out, int out_step) {
  const int whole = n_rows - n_rows % kStrip;
  for (int from = 0; whole > 0 && from < n_out; from += kPanel)
    for (int r = 0; r < whole; r += kStrip)
      tile<kStrip, 1>(x + r * x_step, x_step, weights + from * n_in, n_in, bias + from,
                      out + r * out_step + from, out_step);
  int r = whole;
  for (; r + 3 <= n_rows; r += 3)
    strip<3, 2>(x + r * x_step, x_step, weights, n_in, bias, n_out, out + r * out_step, out_step);
  for (; r < n_rows; r++)
    strip<1, 4>(x + r * x_step, x_step, weights, n_in, bias, n_out, out + r * out_step, out_step);
}

// Which row of its tables each number and category takes: shape (n_rows, F + C).
void look_up(const FraudNet* net, const float* x, int n_rows, int32_t* place, float* beyond) {
  const int n_numbers = net->n_numbers, n_all = n_numbers + net->n_categories;
  for (int r = 0; r < n_rows; r++) {
    const float* row = x + (int64_t)r * net->n_features;
    for (int f = 0; f < n_numbers; f++) {
      float value = row[net->number_columns[f]];
      const float* edges = net->edges + f * net->n_edges;
      int32_t piece = 0;
      for (int e = 0; e < net->n_edges; e++) piece += value > edges[e];
      if (value != value) piece = net->n_edges + 1;
      // The first and the last piece are flat, and 0 times infinity is no number.
      const bool is_flat = piece == 0 || !(magnitude(value) <= 3.4e38f);
      const int32_t at = f * (net->n_edges + 2) + piece;
      place[r * n_all + f] = at;
      beyond[r * n_all + f] = is_flat ? 0 : value - net->start[at];
    }
    for (int c = 0; c < net->n_categories; c++) {
      const float value = row[net->category_columns[c]];
      const float* codes = net->codes + c * net->n_codes;
      int32_t which = value == value ? net->n_codes : net->n_codes + 1;
      for (int k = 0; k < net->n_codes; k++)
        if (value == codes[k]) which = k;
      place[r * n_all + n_numbers + c] = c * (net->n_codes + 2) + which;
    }
  }
}

// The embeddings of one group: shape (n_rows, (F + C) * E).
void embed(const FraudNet* net, int group, int n_rows, const int32_t* place, const float* beyond,
           float* out) {
  const int n_numbers = net->n_numbers, n_all = n_numbers + net->n_categories;
  const int wide = net->embedding, step = net->n_groups * wide;
  for (int r = 0; r < n_rows; r++) {
    for (int f = 0; f < n_numbers; f++) {
      const int64_t at = (int64_t)place[r * n_all + f] * step + group * wide;
      const float far = beyond[r * n_all + f];
      for (int e = 0; e < wide; e++) {
        const float y = net->base[at + e] + far * net->rise[at + e];
        out[(r * n_all + f) * wide + e] = y > 0 ? y : 0;
      }
    }
    for (int c = n_numbers; c < n_all; c++) {
      const int64_t at = (int64_t)place[r * n_all + c] * step + group * wide;
      for (int e = 0; e < wide; e++) out[(r * n_all + c) * wide + e] = net->vectors[at + e];
    }
  }
}

// The product of a row with the weights of a member's log-odds.
inline float log_odds(const float* x, const float* weights, float bias, int n_in) {
  Vector sums = {};
  for (int k = 0; k < n_in; k += kLanes) sums += load(x + k) * load(weights + k);
  float sum = bias;
  for (int lane = 0; lane < kLanes; lane++) sum += sums[lane];
  return sum;
}

// The calibrated probability of fraud of a row, from the log-odds of its members.
inline float probability(const FraudNet* net, const float* logits, int n_members, int step) {
  double fraud = 0, honest = 0;  // sums of probabilities
  for (int k = 0; k < n_members; k++) {
    const double logit = logits[k * step];
    const double size = magnitude(logit);
    const double small = exponential(size < 700 ? -size : -700);
    const double likely = 1 / (1 + small), unlikely = small / (1 + small);
    fraud += logit > 0 ? likely : unlikely;
    honest += logit > 0 ? unlikely : likely;
  }
  const double mean = logarithm(fraud) - logarithm(honest);
  const double logit = net->slope * mean + net->offset;
  const double size = magnitude(logit);
  const double small = exponential(size < 700 ? -size : -700);
  return (float)((logit > 0 ? 1 : small) / (1 + small));
}

struct Scratch {
  float* embedded;   // (kRows, (F + C) * E)
  float* group;      // (kRows, M * W)
  float* layers[2];  // (kRows, W) each
  float* logits;     // (G * M, kRows)
  float* beyond;     // (kRows, F + C)
  int32_t* place;    // (kRows, F + C)
};

// The sizes of the parts of Scratch, in floats; returns their sum.
int64_t sizes(const FraudNet* net, int64_t (&size)[7]) {
  const int64_t n_all = net->n_numbers + net->n_categories;
  size[0] = kRows * n_all * net->embedding;
  size[1] = (int64_t)kRows * net->n_members * net->width;
  size[2] = size[3] = (int64_t)kRows * net->width;
  size[4] = (int64_t)kRows * net->n_groups * net->n_members;
  size[5] = size[6] = kRows * n_all;
  int64_t sum = 0;
  for (int64_t one : size) sum += one;
  return sum;
}

void score_block(const FraudNet* net, const float* x, int n_rows, const Scratch& to, float* out) {
  const int n_in = (net->n_numbers + net->n_categories) * net->embedding;
  const int width = net->width, n_members = net->n_members, n_all = net->n_groups * n_members;
  const int group_width = n_members * width;
  look_up(net, x, n_rows, to.place, to.beyond);
  for (int g = 0; g < net->n_groups; g++) {
    embed(net, g, n_rows, to.place, to.beyond, to.embedded);
    layer(to.embedded, n_in, n_rows, net->first + (int64_t)g * n_in * group_width, n_in,
          net->first_bias + g * group_width, group_width, to.group, group_width);
    for (int m = 0; m < n_members; m++) {
      const int member = g * n_members + m;
      const float* from = to.group + m * width;
      int step = group_width;
      for (int l = 0; l < net->n_hidden; l++) {
        const int64_t which = (int64_t)l * n_all + member;
        float* next = to.layers[l % 2];
        layer(from, step, n_rows, net->hidden + which * width * width, width,
              net->hidden_bias + which * width, width, next, width);
        from = next;
        step = width;
      }
      for (int r = 0; r < n_rows; r++)
        to.logits[member * kRows + r] = log_odds(
            from + r * step, net->last + member * width, net->last_bias[member], width);
    }
  }
  for (int r = 0; r < n_rows; r++) out[r] = probability(net, to.logits + r, n_all, kRows);
}

}  // namespace

extern "C" {

// How many floats fraud_net_score needs to work with.
int64_t fraud_net_scratch(const FraudNet* net) {
  int64_t size[7];
  return sizes(net, size);
}

// The probabilities of fraud of rows x, shape (n_rows, n_features), into out, shape (n_rows).
void fraud_net_score(const FraudNet* net, const float* x, int64_t n_rows, float* scratch,
                     float* out) {
  int64_t size[7];
  sizes(net, size);
  float* part[7];
  for (int n = 0; n < 7; scratch += size[n++]) part[n] = scratch;
  const Scratch to = {part[0], part[1], {part[2], part[3]}, part[4], part[5], (int32_t*)part[6]};
  for (int64_t row = 0; row < n_rows; row += kRows) {
    const int n = n_rows - row < kRows ? (int)(n_rows - row) : kRows;
    score_block(net, x + row * net->n_features, n, to, out + row);
  }
}

}  // extern "C"

#ifdef __x86_64__
#pragma clang attribute pop
#endif
