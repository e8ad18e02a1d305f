// What kvctl can do: each command asks a server and says what came of it, as text for people or as
// JSON.
#ifndef KVCLIENT_KVCTL_COMMANDS_H_
#define KVCLIENT_KVCTL_COMMANDS_H_

#include <cstdint>
#include <optional>
#include <ostream>
#include <string>

#include "KVClient/kvctl/admin_client.h"
#include "absl/status/status.h"

namespace kvstore::kvctl {

struct Output {
  std::ostream& out;
  std::ostream& progress;  // for people, while it takes long
  bool json = false;
};

// "ACCOUNT/CONTAINER" or "ACCOUNT/CONTAINER/PARTITION"; the partition may have slashes.
// INVALID_ARGUMENT for less.
absl::StatusOr<admin::Partition> ParseTarget(const std::string& text, bool with_partition);

absl::Status ShowStats(AdminClient& client, const Output& output);

struct TopOptions {
  double interval_s = 2;
  int count = 0;      // of times; 0: until it is ended
  bool clear = true;  // the screen, each time
};
absl::Status Top(AdminClient& client, const Output& output, const TopOptions& options);

struct InspectOptions {
  std::string target;
  std::string location;     // or
  std::string tokens_file;  // a JSON array of numbers; "-": standard input
};
absl::Status Inspect(AdminClient& client, const Output& output, const InspectOptions& options);

struct GetOptions {
  std::string target;
  std::string location;
  std::string out_file;
  bool whole_chunk = false;  // the serialized PromptChunk, not its buffer
};
absl::Status Get(AdminClient& client, const Output& output, const GetOptions& options);

struct PutOptions {
  std::string target;
  std::string chunk_file;   // a serialized PromptChunk, or
  std::string buffer_file;  // the tensors of the last full block of
  std::string tokens_file;
  std::optional<uint64_t> hash;  // else what its prefix digest begins with
  std::optional<uint64_t> parent_hash;
};
absl::Status Put(AdminClient& client, const Output& output, const PutOptions& options);

absl::Status Delete(AdminClient& client, const Output& output, const std::string& target,
                    const std::string& location);
absl::Status Purge(AdminClient& client, const Output& output, const std::string& target,
                   bool dry_run);
absl::Status Export(AdminClient& client, const Output& output, const std::string& target,
                    const std::string& file);
absl::Status Import(AdminClient& client, const Output& output, const std::string& target,
                    const std::string& file);

struct SetOptions {
  std::optional<uint64_t> capacity_bytes;
  std::optional<uint64_t> memory_bytes;
  std::optional<std::string> log_level;
};
absl::Status Set(AdminClient& client, const Output& output, const SetOptions& options);

// With `wait_s`, until no call runs and all is shared, or DEADLINE_EXCEEDED.
absl::Status Drain(AdminClient& client, const Output& output, std::optional<double> wait_s);
absl::Status Resume(AdminClient& client, const Output& output);

// DATA_LOSS where anything was damaged.
absl::Status Verify(AdminClient& client, const Output& output, uint64_t bytes_per_second);

}  // namespace kvstore::kvctl

#endif  // KVCLIENT_KVCTL_COMMANDS_H_
