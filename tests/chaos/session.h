// The calls of a chaos client, each entered in the history with what came of it.
#ifndef TESTS_CHAOS_SESSION_H_
#define TESTS_CHAOS_SESSION_H_

#include <chrono>
#include <cstddef>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "kvstore/client.h"
#include "nlohmann/json.hpp"
#include "tests/chaos/history.h"
#include "tests/chaos/prompts.h"

namespace kvstore::chaos {

// Thread-safe.
class Session {
 public:
  using Milliseconds = std::chrono::milliseconds;

  // `common` goes into the entry of every operation. `history` must outlive it.
  Session(std::shared_ptr<Client> client, History* history, nlohmann::json common)
      : client_(std::move(client)), history_(history), common_(std::move(common)) {}

  // Locations of the leading blocks that were found; none where it failed. `ok` tells which, if
  // it is given.
  std::vector<std::string> Lookup(const Prompt& prompt, Milliseconds timeout, bool* ok = nullptr);
  // Whether the block was there and right.
  bool Read(const Prompt& prompt, size_t block, const std::string& location, Milliseconds timeout);
  // Of the prompt's leading blocks. Whether all were there and right.
  bool Stream(const Prompt& prompt, const std::vector<std::string>& locations,
              Milliseconds timeout);
  // The blocks from `first` on, with prefix digests. Whether all were acknowledged.
  bool WritePrompt(const Prompt& prompt, size_t first, Milliseconds timeout);
  // One block, by the parent rule. Whether it was acknowledged.
  bool WriteSingle(const Prompt& prompt, size_t block, Milliseconds timeout);

 private:
  std::string Begin(std::string_view op, const Prompt& prompt, size_t first, size_t end,
                    Milliseconds timeout);

  const std::shared_ptr<Client> client_;
  History* const history_;
  const nlohmann::json common_;
};

}  // namespace kvstore::chaos

#endif  // TESTS_CHAOS_SESSION_H_
