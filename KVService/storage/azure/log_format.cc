#include "KVService/storage/azure/log_format.h"

#include <spdlog/fmt/fmt.h>

#include <vector>

#include "KVCommon/digest.h"
#include "KVCommon/status_macros.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_split.h"

namespace kvstore::azure {

namespace {

constexpr std::string_view kMagic = "KVL1";
constexpr size_t kHeader = 12;
constexpr size_t kMaxName = 1024;
constexpr size_t kMaxAttributes = 64;

void PutInt(uint64_t value, int bytes, std::string* out) {
  for (int i = 0; i < bytes; ++i) out->push_back(static_cast<char>(value >> (8 * i)));
}

uint64_t IntAt(std::string_view bytes) {
  uint64_t value = 0;
  for (size_t i = bytes.size(); i > 0; --i) value = value << 8 | static_cast<uint8_t>(bytes[i - 1]);
  return value;
}

// Takes from the front of a payload; false at its end.
class Taker {
 public:
  explicit Taker(std::string_view bytes) : bytes_(bytes) {}

  bool Int(int bytes, uint64_t* value) {
    std::string_view taken;
    if (!Take(static_cast<size_t>(bytes), &taken)) return false;
    *value = IntAt(taken);
    return true;
  }
  bool Text(int size_bytes, size_t most, std::string* text) {
    uint64_t size;
    std::string_view taken;
    if (!Int(size_bytes, &size) || size > most || !Take(size, &taken)) return false;
    text->assign(taken);
    return true;
  }
  bool empty() const { return bytes_.empty(); }

 private:
  bool Take(size_t size, std::string_view* taken) {
    if (bytes_.size() < size) return false;
    *taken = bytes_.substr(0, size);
    bytes_.remove_prefix(size);
    return true;
  }

  std::string_view bytes_;
};

bool ParsePayload(std::string_view payload, std::vector<LogRecord>* records) {
  Taker taker(payload);
  while (!taker.empty()) {
    LogRecord record;
    uint64_t kind;
    if (!taker.Int(1, &kind) || kind < 1 || kind > 4) return false;
    record.kind = static_cast<LogRecord::Kind>(kind);
    const bool put = record.kind == LogRecord::Kind::kPut;
    if ((put || record.kind == LogRecord::Kind::kDelete) &&
        (!taker.Text(2, kMaxName, &record.name) || record.name.empty())) {
      return false;
    }
    if (put &&
        (!taker.Text(1, kMaxAttributes, &record.attributes) || !taker.Int(8, &record.size))) {
      return false;
    }
    records->push_back(std::move(record));
  }
  return true;
}

}  // namespace

std::string LogName(uint64_t generation) {
  return fmt::format("{}{:08}.log", kLogFolder, generation);
}

std::string SnapshotName(uint64_t generation, uint64_t length, std::string_view id) {
  return fmt::format("{}{:08}.{}.{}.snapshot", kLogFolder, generation, length, id);
}

std::optional<LogFile> ParseLogFileName(std::string_view name) {
  if (!name.starts_with(kLogFolder)) return std::nullopt;
  name.remove_prefix(kLogFolder.size());
  const std::vector<std::string> parts =
      absl::StrSplit(absl::string_view(name.data(), name.size()), '.');
  LogFile file;
  if (!absl::SimpleAtoi(parts[0], &file.generation)) return std::nullopt;
  if (parts.size() == 2 && parts[1] == "log") return file;
  file.snapshot = true;
  if (parts.size() != 4 || parts[3] != "snapshot" || !absl::SimpleAtoi(parts[1], &file.length)) {
    return std::nullopt;
  }
  return file;
}

void AppendLogRecord(const LogRecord& record, std::string* payload) {
  KV_CHECK(record.name.size() <= kMaxName && record.attributes.size() <= kMaxAttributes);
  PutInt(static_cast<uint64_t>(record.kind), 1, payload);
  const bool put = record.kind == LogRecord::Kind::kPut;
  if (put || record.kind == LogRecord::Kind::kDelete) {
    PutInt(record.name.size(), 2, payload);
    payload->append(record.name);
  }
  if (!put) return;
  PutInt(record.attributes.size(), 1, payload);
  payload->append(record.attributes);
  PutInt(record.size, 8, payload);
}

std::string LogBatch(std::string_view payload) {
  KV_CHECK(payload.size() <= kMaxLogPayload);
  std::string batch(kMagic);
  PutInt(payload.size(), 4, &batch);
  PutInt(Crc32c(AsBytes(payload)), 4, &batch);
  batch.append(payload);
  return batch;
}

ParsedLog ParseLog(ByteView bytes, const std::function<void(LogRecord)>& visit) {
  ParsedLog parsed;
  std::string_view rest = AsText(bytes);
  std::vector<LogRecord> records;
  while (rest.size() >= kHeader) {
    const uint64_t size = IntAt(rest.substr(4, 4));
    const bool plausible = rest.starts_with(kMagic) && size <= kMaxLogPayload;
    if (plausible && rest.size() - kHeader < size) break;
    size_t taken = kHeader + size;
    records.clear();
    if (plausible) {
      const std::string_view payload = rest.substr(kHeader, size);
      if (Crc32c(AsBytes(payload)) == IntAt(rest.substr(8, 4)) && ParsePayload(payload, &records)) {
        for (LogRecord& record : records) visit(std::move(record));
        parsed.consumed += taken;
        ++parsed.batches;
        rest.remove_prefix(taken);
        continue;
      }
    }
    // Where the next batch may begin. Less than a magic's bytes at the end may be one's begin.
    const size_t next = rest.find(kMagic, 1);
    taken = next == std::string_view::npos ? rest.size() - (kMagic.size() - 1) : next;
    parsed.damaged_crc = Crc32c(AsBytes(rest.substr(0, taken)), parsed.damaged_crc);
    parsed.damaged += taken;
    parsed.consumed += taken;
    rest.remove_prefix(taken);
  }
  return parsed;
}

}  // namespace kvstore::azure
