// maps/ring_reader.cc: libbpf's ring buffer behind a RingReader. Writes to no map.
#include "maps/ring_reader.h"

#include <bpf/libbpf.h>

#include <cerrno>

namespace partywall {
namespace {

int on_sample(void* context, void* data, size_t size) {
  (*static_cast<RingReader::OnRecord*>(context))(
      std::span(static_cast<const std::byte*>(data), size));
  return 0;
}

}  // namespace

void RingReader::Free::operator()(ring_buffer* ring) const { ring_buffer__free(ring); }

Result<RingReader> RingReader::open(std::string_view pin_root, std::string_view map,
                                    OnRecord on_record) {
  // The consumer position is written by the reader: a ring is always opened for writing.
  auto fd = open_map(pin_root, map, Access::kReadWrite);

  if (!fd) return std::move(fd.error());

  RingReader reader;

  reader.map_ = std::move(*fd);
  reader.on_record_ = std::make_unique<OnRecord>(std::move(on_record));
  reader.ring_.reset(
      ring_buffer__new(reader.map_.get(), on_sample, reader.on_record_.get(), nullptr));
  if (!reader.ring_) return fail_errno(errno, "read ring {}", map);
  return reader;
}

Result<size_t> RingReader::consume() {
  int count = ring_buffer__consume(ring_.get());

  if (count < 0) return fail_errno(count, "read ring");
  return static_cast<size_t>(count);
}

int RingReader::poll_fd() const { return ring_buffer__epoll_fd(ring_.get()); }

}  // namespace partywall
