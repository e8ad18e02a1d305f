// What RocksDB stands on here: files that a test can make fail, and our log. For metadata.cc alone.
#ifndef KVSERVICE_STORAGE_LOCAL_ROCKS_ENV_H_
#define KVSERVICE_STORAGE_LOCAL_ROCKS_ENV_H_

#include <rocksdb/env.h>

#include <atomic>
#include <memory>
#include <string>

namespace kvstore::local {

// RocksDB's own. While `write_fault` (nullptr: none) is an errno, every write and sync of its files
// fails with that; while it is a negative one, every sync does.
std::unique_ptr<rocksdb::Env> MakeRocksEnv(const std::atomic<int>* write_fault);

// RocksDB's warnings as lines of ours.
std::shared_ptr<rocksdb::Logger> MakeRocksLog();

// OK where the disk takes new files, with the room that opening a database may need.
rocksdb::Status ProbeDisk(rocksdb::Env* env, const std::string& directory);

}  // namespace kvstore::local

#endif  // KVSERVICE_STORAGE_LOCAL_ROCKS_ENV_H_
