// Plays conversations: each worker is an inference node that plays all prompts, in file order, as
// many times as there are iterations.
#ifndef KVPLAYGROUND_CONVERSATION_PLAYER_H_
#define KVPLAYGROUND_CONVERSATION_PLAYER_H_

#include <string>
#include <vector>

#include "KVPlayground/player.h"
#include "KVPlayground/tokens_file.h"

namespace kvstore::playground {

struct ConversationOptions {
  PlayerOptions player;  // the partition is worker 0's
  size_t iterations = 1;
  size_t concurrency = 1;
  bool shared_partition = false;
  // Everything is there already: workers begin at different prompts, so that they do not ask for
  // the same at the same time, and an endless cache would hit everything.
  bool stored = false;
};

struct ConversationResult {
  RunStats stats;
  // The hit ratio of an endless cache that is empty at first, with the workers one after another.
  // Workers that share a partition may stay below it, since they compute the same at once.
  double ideal_hit_ratio = 0;
};

// The partition of worker k: the given one for 0, <partition>-k behind it.
std::string PartitionOf(const ConversationOptions& options, size_t worker);

// Plays it all, or until shared->stop; blocks.
ConversationResult PlayConversations(Store* store, const TokenizedPrompts& prompts,
                                     const ConversationOptions& options, Shared* shared);

}  // namespace kvstore::playground

#endif  // KVPLAYGROUND_CONVERSATION_PLAYER_H_
