#ifndef KVSERVICE_PLATFORM_QUEUE_LOAD_H_
#define KVSERVICE_PLATFORM_QUEUE_LOAD_H_

#include <cstddef>

namespace kvstore {

// What there is to do: operations that wait for their turn, and those that are being done.
struct QueueLoad {
  size_t waiting = 0;
  size_t running = 0;
};

}  // namespace kvstore

#endif  // KVSERVICE_PLATFORM_QUEUE_LOAD_H_
