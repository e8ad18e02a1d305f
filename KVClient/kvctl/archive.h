// The file that `kvctl export` writes and `kvctl import` reads (docs/FORMATS.md):
//
//   "KVSTORE-ARCHIVE 1\n"
//   of each chunk: size 4 | CRC-32C 4 | the serialized PromptChunk
//   at the end: 0, 4 bytes | how many chunks, 8
#ifndef KVCLIENT_KVCTL_ARCHIVE_H_
#define KVCLIENT_KVCTL_ARCHIVE_H_

#include <cstdint>
#include <istream>
#include <optional>
#include <ostream>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace kvstore::kvctl {

class ArchiveWriter {
 public:
  // Writes the beginning. `out` outlives it, and tells of errors by its state.
  explicit ArchiveWriter(std::ostream* out);
  void Add(std::string_view chunk);
  // Writes the end: a file without one is not whole.
  void Finish();
  uint64_t chunks() const { return chunks_; }

 private:
  std::ostream& out_;
  uint64_t chunks_ = 0;
};

class ArchiveReader {
 public:
  // `in` outlives it. INVALID_ARGUMENT where that is no archive.
  static absl::StatusOr<ArchiveReader> Open(std::istream* in);

  // The next chunk; nullopt at the end. DATA_LOSS where the file is cut short or damaged, and for
  // every call after that.
  absl::StatusOr<std::optional<std::string>> Next();

 private:
  explicit ArchiveReader(std::istream* in) : in_(in) {}
  absl::Status Broken(std::string_view what);

  std::istream* in_;
  uint64_t chunks_ = 0;
  bool ended_ = false;
  absl::Status broken_;
};

}  // namespace kvstore::kvctl

#endif  // KVCLIENT_KVCTL_ARCHIVE_H_
