// maps/abi/layout.h: how a struct shared by the kernel and user space pins its own layout.
// Plain C.
//
// Everything in maps/abi is included by BPF programs and by C++ alike: no function bodies that
// only one of them could compile, no types wider than what the maps hold.
#ifndef PARTYWALL_MAPS_ABI_LAYOUT_H
#define PARTYWALL_MAPS_ABI_LAYOUT_H

#include <linux/types.h>

#ifdef __cplusplus
#define ABI_BEGIN namespace partywall::abi {
#define ABI_END }
#define ABI_ASSERT static_assert
#define ABI_INLINE inline constexpr
#else
#define ABI_BEGIN
#define ABI_END
#define ABI_ASSERT _Static_assert
#define ABI_INLINE static inline __attribute__((always_inline))
#endif

#define ABI_SIZE(type, bytes) ABI_ASSERT(sizeof(type) == (bytes), #type " changed its size")
#define ABI_AT(type, member, bytes) \
  ABI_ASSERT(__builtin_offsetof(type, member) == (bytes), #type "." #member " moved")

// Bumped whenever a pinned map changes shape or meaning. An agent that finds another number in
// the pins keeps the old programs running and refuses to start.
#define PARTYWALL_SCHEMA 2

// The two halves ("sides") of every policy map. Programs read the active side; the agent builds
// the other one and flips `control.side`, so a packet sees one generation or the next, never a
// mix.
#define PARTYWALL_SIDES 2

#endif
