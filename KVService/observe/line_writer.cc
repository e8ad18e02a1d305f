#include "KVService/observe/line_writer.h"

#include <condition_variable>
#include <cstdio>
#include <deque>
#include <mutex>
#include <string>
#include <utility>

namespace kvstore {

// Not absl's mutex: its timed waits follow the wall clock, which jumps.
struct LineWriter::State {
  struct Chunk {
    std::string bytes;
    uint64_t lines = 0;
  };

  Sink sink;
  mutable std::mutex mutex;
  std::condition_variable changed;
  // Below: guarded by the mutex. The last chunk is the one that is being filled.
  std::deque<Chunk> chunks;
  size_t bytes = 0;
  std::string spare;  // a chunk's memory, to be used again
  uint64_t dropped = 0;
  bool stopping = false;
  bool ended = false;

  bool HasFullChunk() const { return chunks.size() > 1; }
};

LineWriter::LineWriter(Sink sink) : state_(std::make_shared<State>()) {
  state_->sink = std::move(sink);
  thread_ = std::thread([state = state_] { Run(*state); });
}

LineWriter::~LineWriter() { Stop(kPatience); }

void LineWriter::Write(std::string_view line) {
  State& state = *state_;
  bool wake = false;
  {
    const std::lock_guard lock(state.mutex);
    if (state.chunks.empty() || state.chunks.back().bytes.size() + line.size() > kChunkBytes) {
      // The first starts the interval; the second says that a chunk is full.
      wake = state.chunks.size() < 2;
      State::Chunk& chunk = state.chunks.emplace_back();
      chunk.bytes = std::exchange(state.spare, {});
      chunk.bytes.clear();
      chunk.bytes.reserve(kChunkBytes);
    }
    state.chunks.back().bytes += line;
    ++state.chunks.back().lines;
    state.bytes += line.size();
    while (state.bytes > kMostBytes && state.HasFullChunk()) {
      state.dropped += state.chunks.front().lines;
      state.bytes -= state.chunks.front().bytes.size();
      state.spare = std::move(state.chunks.front().bytes);
      state.chunks.pop_front();
    }
  }
  if (wake) state.changed.notify_one();
}

uint64_t LineWriter::dropped() const {
  const std::lock_guard lock(state_->mutex);
  return state_->dropped;
}

void LineWriter::Run(State& state) {
  std::unique_lock lock(state.mutex);
  while (true) {
    state.changed.wait(lock, [&] { return state.stopping || !state.chunks.empty(); });
    state.changed.wait_for(lock, kInterval, [&] { return state.stopping || state.HasFullChunk(); });
    while (!state.chunks.empty()) {
      State::Chunk chunk = std::move(state.chunks.front());
      state.chunks.pop_front();
      state.bytes -= chunk.bytes.size();
      lock.unlock();
      const bool written = state.sink(chunk.bytes);
      lock.lock();
      if (!written) state.dropped += chunk.lines;
      state.spare = std::move(chunk.bytes);
      // What has just begun may fill up.
      if (!state.stopping && !state.HasFullChunk()) break;
    }
    if (state.stopping && state.chunks.empty()) break;
  }
  state.ended = true;
  // Under the lock: who waits for it may then be gone.
  state.changed.notify_all();
}

bool LineWriter::Stop(std::chrono::milliseconds patience) {
  if (!thread_.joinable()) return true;
  {
    std::unique_lock lock(state_->mutex);
    state_->stopping = true;
    state_->changed.notify_all();
    if (!state_->changed.wait_for(lock, patience, [this] { return state_->ended; })) {
      for (const State::Chunk& chunk : state_->chunks) state_->dropped += chunk.lines;
      state_->chunks.clear();
      state_->bytes = 0;
      lock.unlock();
      thread_.detach();
      return false;
    }
  }
  thread_.join();
  return true;
}

LineWriter::Sink StandardOutput() {
  return [](std::string_view lines) {
    const size_t written = std::fwrite(lines.data(), 1, lines.size(), stdout);
    const bool flushed = std::fflush(stdout) == 0;
    if (written == lines.size() && flushed) return true;
    std::clearerr(stdout);
    return false;
  };
}

}  // namespace kvstore
