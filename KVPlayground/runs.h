// What the options ask to be played: everything once, or at several concurrencies in turn.
#ifndef KVPLAYGROUND_RUNS_H_
#define KVPLAYGROUND_RUNS_H_

#include <chrono>
#include <cstdint>

#include "KVPlayground/player.h"
#include "KVPlayground/report.h"
#include "KVPlayground/tokens_file.h"
#include "KVPlayground/trace_file.h"

namespace kvstore::playground {

// Conversations or a trace, the other one empty.
struct Input {
  TokenizedPrompts prompts;
  Trace trace;

  size_t requests() const { return prompts.size() + trace.requests.size(); }
};

// Of each call.
std::chrono::milliseconds Timeout(const Options& options);

// Requests that Play will play, over all workers, iterations and steps.
uint64_t RequestsToPlay(const Options& options, const Input& input);

// Plays it, or until shared.stop, and fills in report.run and report.sweep; blocks.
//
// A sweep makes its steps comparable: before the first one, everything is stored and then read once
// by requests that are not measured in any step. So each step finds the store as a whole read of
// the same blocks leaves it, reads just these, in windows of one size, and writes nothing, unless
// the store has lost or given up blocks: then its hit ratio is below 1.
// REQUIRES: report.options and an input with requests.
void Play(Store* store, const Input& input, Shared& shared, Report& report);

}  // namespace kvstore::playground

#endif  // KVPLAYGROUND_RUNS_H_
