// Reads the rows of a PostgreSQL COPY ... TO STDOUT (FORMAT binary) into columns, without any
// library (https://www.postgresql.org/docs/current/sql-copy.html, "Binary Format").
//
// libpq is given: its functions, by which the caller has begun the COPY. It yields a row at a time.
// Nothing is trusted: a row that is not as the caller described it ends the reading.

#include <stdint.h>

namespace {

// What a value is sent as, and becomes.
enum Form : int32_t {
  kSkipped = 0,
  kBit = 1,           // a byte, of which one bit is kept
  kTwoBytes = 2,      // as they are, in this machine's order
  kFourBytes = 3,
  kEightBytes = 4,
  kDays = 5,          // 32 bits, counted from 1970
  kMicroseconds = 6,  // 64 bits, counted from 1970
  kUnsigned = 7,      // 32 bits, made 64
  kBytes = 8,         // a text: any number of bytes
  kNumeric = 9,       // digits to the base 10,000, made a text
};

constexpr int32_t kSizes[] = {0, 1, 2, 4, 8, 4, 8, 4};  // what is sent of each up to kUnsigned

bool is_text(int32_t form) { return form == kBytes || form == kNumeric; }

enum State : int32_t {
  kFull = 0,       // the block has no room for another row
  kWaiting = 1,    // the server has sent no more yet
  kEnded = 2,      // there are no more rows, or the server gave up: its result says which
  kFailed = 3,     // the connection is lost
  kMalformed = 4,  // what came is no such row
};

constexpr uint32_t kDaysTo2000 = 10957;  // PostgreSQL counts from 2000-01-01
constexpr uint64_t kMicrosecondsTo2000 = uint64_t{kDaysTo2000} * 86400 * 1000000;

constexpr uint8_t kSignature[] = {'P', 'G', 'C', 'O', 'P', 'Y', '\n', 0xff, '\r', '\n', 0};
constexpr int64_t kHeader = sizeof kSignature + 4 + 4;  // flags, and the length of an extension

// Signs of a NUMERIC.
constexpr uint16_t kNegative = 0x4000;
constexpr uint16_t kNotANumber = 0xC000;
constexpr uint16_t kInfinity = 0xD000;
constexpr uint16_t kNegativeInfinity = 0xF000;

uint16_t read16(const uint8_t* from) {
  uint16_t value;
  __builtin_memcpy(&value, from, sizeof value);
  return __builtin_bswap16(value);
}

uint32_t read32(const uint8_t* from) {
  uint32_t value;
  __builtin_memcpy(&value, from, sizeof value);
  return __builtin_bswap32(value);
}

uint64_t read64(const uint8_t* from) {
  uint64_t value;
  __builtin_memcpy(&value, from, sizeof value);
  return __builtin_bswap64(value);
}

template <class T>
void store(uint8_t* values, int64_t row, T value) {
  __builtin_memcpy(values + row * sizeof value, &value, sizeof value);
}

// The compiler makes wide moves of it.
void copy(uint8_t* to, const uint8_t* from, int64_t size) {
  for (int64_t at = 0; at < size; ++at) to[at] = from[at];
}

// A NUMERIC as it is sent: its digits to the base 10,000, the first of which counts 10,000**weight.
struct Numeric {
  int32_t n_digits;
  int32_t weight;
  uint16_t sign;
  int32_t scale;  // decimal digits after the point
  const uint8_t* digits;

  // Whether `size` bytes are one.
  bool parse(const uint8_t* from, int64_t size) {
    if (size < 8) return false;
    n_digits = read16(from);
    weight = static_cast<int16_t>(read16(from + 2));
    sign = read16(from + 4);
    scale = read16(from + 6);
    digits = from + 8;
    return size == 8 + 2 * int64_t{n_digits};
  }

  // Bytes that its text has at most.
  int64_t longest() const { return 8 + 4 * int64_t{weight > 0 ? weight + 1 : 1} + scale; }

  // Four decimal digits: those that count 10,000**power.
  uint32_t group(int32_t power) const {
    const int32_t index = weight - power;
    return index < 0 || index >= n_digits ? 0 : read16(digits + 2 * index);
  }

  // Writes it as PostgreSQL does: how many bytes.
  int64_t write(uint8_t* to) const {
    uint8_t* const start = to;
    if (sign == kNotANumber || sign == kInfinity || sign == kNegativeInfinity) {
      const char* name = sign == kNotANumber ? "NaN" : sign == kInfinity ? "Infinity" : "-Infinity";
      while (*name) *to++ = static_cast<uint8_t>(*name++);
      return to - start;
    }
    if (sign == kNegative) *to++ = '-';
    bool leading = true;
    for (int32_t power = weight > 0 ? weight : 0; power >= 0; --power) {
      uint32_t rest = group(power);
      for (uint32_t unit = 1000; unit > 0; unit /= 10) {
        const uint8_t digit = static_cast<uint8_t>(rest / unit % 10);
        if (leading && digit == 0 && !(power == 0 && unit == 1)) continue;
        leading = false;
        *to++ = '0' + digit;
      }
    }
    if (scale > 0) *to++ = '.';
    for (int32_t place = 0; place < scale; ++place) {
      constexpr uint32_t kUnits[] = {1000, 100, 10, 1};
      *to++ = static_cast<uint8_t>('0' + group(-1 - place / 4) / kUnits[place % 4] % 10);
    }
    return to - start;
  }
};

}  // namespace

extern "C" {

// Functions of the libpq that has the connection.
struct Libpq {
  int (*get_copy_data)(void*, char**, int);
  int (*consume_input)(void*);
  void (*free)(void*);
};

// A column of a block of N rows; the memory is the caller's.
struct Column {
  uint8_t* valid;    // (N,) bits, all 0 before: whether there is a value
  uint8_t* values;   // (N,) numbers; of kBit bits, all 0 before
  int32_t* offsets;  // of texts (N + 1,): where each one's bytes begin, and where the last one's end
  uint8_t* bytes;    // of texts, one after the other
  int64_t room;      // bytes there are for them
  int32_t form;
};

struct Progress {
  char* message;   // a row that was taken from libpq and is in no block yet; else null
  int64_t size;    // its bytes
  int64_t needed;  // bytes that a column has no room for, where the block ended for that; else 0
  int32_t state;
  int32_t is_begun;  // whether the header has been read
};

// Writes the row at `from`: whether it is one. Sets `needed` where there is no room for it, and
// then nothing of it counts.
static bool write_row(const uint8_t* from, const uint8_t* end, int32_t n_columns, Column* columns,
                      int64_t row, Progress* progress) {
  for (int32_t c = 0; c < n_columns; ++c) {
    Column& column = columns[c];
    if (end - from < 4) return false;
    const int32_t size = static_cast<int32_t>(read32(from));
    from += 4;
    const int32_t start = is_text(column.form) ? column.offsets[row] : 0;
    if (is_text(column.form)) column.offsets[row + 1] = start;
    if (size == -1) continue;
    if (size < 0 || size > end - from) return false;
    const bool is_fixed = column.form >= kBit && column.form <= kUnsigned;
    if (is_fixed && size != kSizes[column.form]) return false;
    switch (column.form) {
      case kSkipped:
        break;
      case kBit:
        if (*from) column.values[row >> 3] |= static_cast<uint8_t>(1 << (row & 7));
        break;
      case kTwoBytes:
        store(column.values, row, read16(from));
        break;
      case kFourBytes:
        store(column.values, row, read32(from));
        break;
      case kEightBytes:
        store(column.values, row, read64(from));
        break;
      case kDays:
        store(column.values, row, read32(from) + kDaysTo2000);
        break;
      case kMicroseconds:
        store(column.values, row, read64(from) + kMicrosecondsTo2000);
        break;
      case kUnsigned:
        store(column.values, row, uint64_t{read32(from)});
        break;
      case kBytes:
        if (size > column.room - start) {
          progress->needed = size;
          return true;
        }
        copy(column.bytes + start, from, size);
        column.offsets[row + 1] = start + size;
        break;
      case kNumeric: {
        Numeric number;
        if (!number.parse(from, size)) return false;
        if (number.longest() > column.room - start) {
          progress->needed = number.longest();
          return true;
        }
        column.offsets[row + 1] =
            start + static_cast<int32_t>(number.write(column.bytes + start));
        break;
      }
      default:
        return false;
    }
    column.valid[row >> 3] |= static_cast<uint8_t>(1 << (row & 7));
    from += size;
  }
  return from == end;
}

// Forgets what a row that had no room has left behind.
static void forget_row(int32_t n_columns, Column* columns, int64_t row) {
  const uint8_t others = static_cast<uint8_t>(~(1 << (row & 7)));
  for (int32_t c = 0; c < n_columns; ++c) {
    columns[c].valid[row >> 3] &= others;
    if (columns[c].form == kBit) columns[c].values[row >> 3] &= others;
  }
}

// Lets go of a row that is in no block.
void postgresql_rows_free(const Libpq* libpq, Progress* progress) {
  if (progress->message != nullptr) libpq->free(progress->message);
  progress->message = nullptr;
}

// Reads rows into a block that has `row` already, up to `n_rows`: how many it has then. What ended
// it is in `progress->state`. It never waits.
int64_t postgresql_rows_read(const Libpq* libpq, void* connection, int32_t n_columns,
                             Column* columns, int64_t row, int64_t n_rows, Progress* progress) {
  progress->needed = 0;
  while (row < n_rows) {
    if (progress->message == nullptr) {
      int size = libpq->get_copy_data(connection, &progress->message, 1);
      // Twice, for TLS holds back what libpq has had no room for, and no socket tells of that.
      for (int tries = 0; size == 0 && tries < 2; ++tries) {
        if (!libpq->consume_input(connection)) {
          progress->state = kFailed;
          return row;
        }
        size = libpq->get_copy_data(connection, &progress->message, 1);
      }
      if (size <= 0) {
        progress->message = nullptr;
        progress->state = size == 0 ? kWaiting : size == -1 ? kEnded : kFailed;
        return row;
      }
      progress->size = size;
    }
    progress->state = kMalformed;
    const uint8_t* from = reinterpret_cast<const uint8_t*>(progress->message);
    const uint8_t* const end = from + progress->size;
    if (!progress->is_begun) {
      if (end - from < kHeader) return row;
      for (uint8_t expected : kSignature) {
        if (*from++ != expected) return row;
      }
      // Nothing that changes the rows, and no extension.
      if (read32(from) != 0 || read32(from + 4) != 0) return row;
      from += 8;
    }
    if (end - from < 2) return row;
    const int16_t n_fields = static_cast<int16_t>(read16(from));
    from += 2;
    const bool is_last = n_fields == -1 && from == end;
    if (!is_last) {
      if (n_fields != n_columns) return row;
      if (!write_row(from, end, n_columns, columns, row, progress)) return row;
      if (progress->needed) {
        forget_row(n_columns, columns, row);
        progress->state = kFull;
        return row;
      }
      ++row;
    }
    progress->is_begun = 1;
    postgresql_rows_free(libpq, progress);
  }
  progress->state = kFull;
  return row;
}

}  // extern "C"
