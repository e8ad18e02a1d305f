// The file that kvctl imports.
#include <sstream>

#include "KVClient/kvctl/archive.h"
#include "KVCommon/status_macros.h"

namespace {

// What is written of the chunks is the archive that they came from.
void CheckWritten(const std::vector<std::string>& chunks, const std::string& archive) {
  std::ostringstream out;
  kvstore::kvctl::ArchiveWriter writer(&out);
  for (const std::string& chunk : chunks) writer.Add(chunk);
  writer.Finish();
  KV_CHECK(archive.starts_with(out.str()));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string archive(reinterpret_cast<const char*>(data), size);
  std::istringstream in(archive);
  auto reader = kvstore::kvctl::ArchiveReader::Open(&in);
  if (!reader.ok()) return 0;
  std::vector<std::string> chunks;
  size_t bytes = 0;
  while (true) {
    auto chunk = reader->Next();
    if (!chunk.ok()) {
      KV_CHECK(absl::IsDataLoss(chunk.status()));
      return 0;
    }
    if (!*chunk) break;
    bytes += (*chunk)->size();
    KV_CHECK(bytes <= size);
    chunks.push_back(**std::move(chunk));
  }
  CheckWritten(chunks, archive);
  return 0;
}
