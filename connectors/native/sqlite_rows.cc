// Reads the rows of a SQLite statement into columns, and inserts rows of Arrow's columns, by
// SQLite's C interface, without any library.
//
// SQLite itself is given: its functions, by which the caller opened the database. What a value is
// stored as is told for each, for SQLite checks no type; what to make of it, the caller knows.

#include <stdint.h>

namespace {

constexpr int kRow = 100;  // SQLITE_ROW
constexpr int kDone = 101;  // SQLITE_DONE
constexpr int kNoMemory = 7;  // SQLITE_NOMEM
constexpr int kOk = 0;  // SQLITE_OK

// The storage classes, by SQLite's own numbers.
constexpr uint8_t kInteger = 1;
constexpr uint8_t kFloat = 2;
constexpr uint8_t kText = 3;
constexpr uint8_t kBlob = 4;

// The compiler makes a call of memcpy of it where there is a C library, and wide moves here.
void copy(uint8_t* to, const uint8_t* from, int64_t size) {
  for (int64_t at = 0; at < size; ++at) to[at] = from[at];
}

}  // namespace

extern "C" {

// Functions of the SQLite that has the statement.
struct Sqlite {
  int (*step)(void*);
  int (*column_type)(void*, int);
  int64_t (*column_int64)(void*, int);
  double (*column_double)(void*, int);
  const uint8_t* (*column_text)(void*, int);
  const uint8_t* (*column_blob)(void*, int);
  int (*column_bytes)(void*, int);
};

// A column of a block of N rows; the memory is the caller's.
struct Column {
  uint8_t* classes;  // (N,): the storage class of each value
  int64_t* values;   // (N,): an integer, or the bits of a float; else not set
  int32_t* offsets;  // (N + 1,): where each value's bytes begin, and where the last one's end
  uint8_t* bytes;    // texts in UTF-8, and blobs, one after the other
  int64_t room;      // bytes there are for them
  int64_t seen;      // a bit for each storage class that occurs: 1 << class
};

struct Progress {
  int32_t on_row;  // whether the statement stands on a row that is not read yet
  int32_t result;  // what the last step gave: SQLITE_ROW, SQLITE_DONE or an error
  int64_t needed;  // bytes that a column has no room for, where the block ended for that; else 0
};

// Reads up to `n_rows` rows: how many it has read. It stops before, for good, at the end or an
// error, and for another block where texts or blobs have no more room in this one.
int64_t sqlite_rows_read(const Sqlite* sqlite, void* statement, int32_t n_columns, Column* columns,
                         int64_t n_rows, Progress* progress) {
  progress->needed = 0;
  for (int32_t c = 0; c < n_columns; ++c) {
    columns[c].offsets[0] = 0;
    columns[c].seen = 0;
  }
  for (int64_t row = 0; row < n_rows; ++row) {
    if (!progress->on_row) {
      progress->result = sqlite->step(statement);
      if (progress->result != kRow) return row;
      progress->on_row = 1;
    }
    for (int32_t c = 0; c < n_columns; ++c) {
      Column& column = columns[c];
      const uint8_t type = static_cast<uint8_t>(sqlite->column_type(statement, c));
      const int32_t start = column.offsets[row];
      int32_t size = 0;
      if (type == kInteger) {
        column.values[row] = sqlite->column_int64(statement, c);
      } else if (type == kFloat) {
        const double value = sqlite->column_double(statement, c);
        __builtin_memcpy(&column.values[row], &value, sizeof value);
      } else if (type == kText || type == kBlob) {
        const uint8_t* from = type == kText ? sqlite->column_text(statement, c)
                                            : sqlite->column_blob(statement, c);
        size = sqlite->column_bytes(statement, c);
        if (from == nullptr && (size > 0 || type == kText)) {
          progress->result = kNoMemory;
          return row;
        }
        if (size > column.room - start) {
          progress->needed = size;
          return row;
        }
        copy(column.bytes + start, from, size);
      }
      column.classes[row] = type;
      column.seen |= int64_t{1} << type;
      column.offsets[row + 1] = start + size;
    }
    progress->on_row = 0;
  }
  return n_rows;
}

// Functions of the SQLite that has the statement.
struct Binder {
  int (*bind_null)(void*, int);
  int (*bind_int64)(void*, int, int64_t);
  int (*bind_double)(void*, int, double);
  int (*bind_text)(void*, int, const uint8_t*, int, void (*)(void*));
  int (*bind_blob)(void*, int, const uint8_t*, int, void (*)(void*));
  int (*step)(void*);
  int (*reset)(void*);
};

// N values in Arrow's format, from `offset` on.
struct Values {
  const uint8_t* valid;    // a bit for each value; null: there is no NULL among them
  const uint8_t* content;  // integers or floats of 64 bits, or texts in UTF-8, or blobs
  const int32_t* offsets;  // where each text or blob begins, and where the last one ends
  int64_t offset;
  int64_t storage;  // class
};

}  // extern "C"

namespace {

const uint8_t kNothing = 0;  // a null pointer would be a NULL

int bind(const Binder* sqlite, void* statement, int parameter, const Values& values, int64_t row) {
  const int64_t at = values.offset + row;
  if (values.valid != nullptr && (values.valid[at / 8] >> (at % 8) & 1) == 0) {
    return sqlite->bind_null(statement, parameter);
  }
  if (values.storage == kInteger) {
    int64_t value;
    __builtin_memcpy(&value, values.content + 8 * at, sizeof value);
    return sqlite->bind_int64(statement, parameter, value);
  }
  if (values.storage == kFloat) {
    double value;
    __builtin_memcpy(&value, values.content + 8 * at, sizeof value);
    return sqlite->bind_double(statement, parameter, value);
  }
  const int32_t start = values.offsets[at], size = values.offsets[at + 1] - start;
  const uint8_t* from = size == 0 ? &kNothing : values.content + start;
  return (values.storage == kText ? sqlite->bind_text : sqlite->bind_blob)(statement, parameter, from,
                                                                          size, nullptr);
}

}  // namespace

extern "C" {

// Runs an INSERT of `rows_a_run` rows, with a parameter for each of their values, until the rows from
// `start` on, before `stop`, are all in: a whole number of runs. Gives the result of the first run
// that fails, else SQLITE_OK. What is bound when it returns is the caller's memory.
int sqlite_rows_insert(const Binder* sqlite, void* statement, int32_t n_columns,
                       const Values* columns, int64_t start, int64_t stop, int32_t rows_a_run) {
  while (start < stop) {
    int parameter = 0;
    for (const int64_t end = start + rows_a_run; start < end; ++start) {
      for (int32_t c = 0; c < n_columns; ++c) {
        const int bound = bind(sqlite, statement, ++parameter, columns[c], start);
        if (bound != kOk) return bound;
      }
    }
    const int stepped = sqlite->step(statement);
    if (stepped != kDone) return stepped;
    const int reset = sqlite->reset(statement);
    if (reset != kOk) return reset;
  }
  return kOk;
}

}  // extern "C"
