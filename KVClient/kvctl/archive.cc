#include "KVClient/kvctl/archive.h"

#include <algorithm>

#include "KVCommon/digest.h"
#include "KVCommon/limits.h"
#include "KVCommon/slice.h"

namespace kvstore::kvctl {
namespace {

constexpr std::string_view kMagic = "KVSTORE-ARCHIVE 1\n";
constexpr size_t kPiece = 1 << 20;

template <typename Number>
void Put(std::ostream& out, Number number) {
  char bytes[sizeof number];
  for (size_t i = 0; i < sizeof number; ++i) bytes[i] = static_cast<char>(number >> 8 * i);
  out.write(bytes, sizeof bytes);
}

template <typename Number>
std::optional<Number> Take(std::istream& in) {
  char bytes[sizeof(Number)];
  if (!in.read(bytes, sizeof bytes)) return std::nullopt;
  Number number = 0;
  for (size_t i = 0; i < sizeof number; ++i) {
    number |= static_cast<Number>(static_cast<uint8_t>(bytes[i])) << 8 * i;
  }
  return number;
}

// A size that lies costs no more memory than there are bytes.
std::optional<std::string> TakeBytes(std::istream& in, size_t size) {
  std::string bytes;
  while (bytes.size() < size) {
    const size_t piece = std::min(size - bytes.size(), kPiece), at = bytes.size();
    bytes.resize(at + piece);
    if (!in.read(bytes.data() + at, static_cast<std::streamsize>(piece))) return std::nullopt;
  }
  return bytes;
}

}  // namespace

ArchiveWriter::ArchiveWriter(std::ostream* out) : out_(*out) { out_ << kMagic; }

void ArchiveWriter::Add(std::string_view chunk) {
  Put(out_, static_cast<uint32_t>(chunk.size()));
  Put(out_, Crc32c(AsBytes(chunk)));
  out_.write(chunk.data(), static_cast<std::streamsize>(chunk.size()));
  ++chunks_;
}

void ArchiveWriter::Finish() {
  Put(out_, uint32_t{0});
  Put(out_, chunks_);
  out_.flush();
}

absl::StatusOr<ArchiveReader> ArchiveReader::Open(std::istream* in) {
  const std::optional<std::string> magic = TakeBytes(*in, kMagic.size());
  if (magic != kMagic) {
    return absl::InvalidArgumentError("that is no archive that kvctl export wrote");
  }
  return ArchiveReader(in);
}

absl::Status ArchiveReader::Broken(std::string_view what) {
  broken_ = absl::DataLossError("the archive is not whole: " + std::string(what) + ", behind " +
                                std::to_string(chunks_) + " chunks");
  return broken_;
}

absl::StatusOr<std::optional<std::string>> ArchiveReader::Next() {
  if (!broken_.ok()) return broken_;
  if (ended_) return std::nullopt;
  const std::optional<uint32_t> size = Take<uint32_t>(*in_);
  if (!size) return Broken("it ends too early");
  if (*size == 0) {
    if (Take<uint64_t>(*in_) != chunks_) return Broken("the number of chunks is another");
    ended_ = true;
    return std::nullopt;
  }
  if (*size > kMaxMessageBytes) return Broken("a size makes no sense");
  const std::optional<uint32_t> crc = Take<uint32_t>(*in_);
  std::optional<std::string> chunk = TakeBytes(*in_, *size);
  if (!crc || !chunk) return Broken("it ends too early");
  if (Crc32c(AsBytes(*chunk)) != *crc) return Broken("a chunk fails its checksum");
  ++chunks_;
  return chunk;
}

}  // namespace kvstore::kvctl
