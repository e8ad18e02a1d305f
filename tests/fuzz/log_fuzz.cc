// The shared log, its snapshots, and its files' names.
#include "KVCommon/digest.h"
#include "KVCommon/status_macros.h"
#include "KVService/storage/azure/log_format.h"

namespace azure = kvstore::azure;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto check = [](azure::LogRecord record) {
    // Whatever is understood can be written, and is the same when it is read again.
    std::string payload;
    azure::AppendLogRecord(record, &payload);
    int seen = 0;
    azure::ParseLog(kvstore::AsBytes(azure::LogBatch(payload)), [&](const azure::LogRecord& again) {
      ++seen;
      KV_CHECK(again.kind == record.kind && again.name == record.name &&
               again.attributes == record.attributes && again.size == record.size);
    });
    KV_CHECK(seen == 1);
  };
  const azure::ParsedLog parsed = azure::ParseLog(kvstore::AsBytes(text), check);
  KV_CHECK(parsed.consumed <= size && parsed.damaged <= parsed.consumed);
  // Behind a header that fits, or the CRC would keep nearly every input from the records.
  if (size <= azure::kMaxLogPayload)
    azure::ParseLog(kvstore::AsBytes(azure::LogBatch(text)), check);
  azure::ParseLogFileName(text);
  return 0;
}
