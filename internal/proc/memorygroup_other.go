// The types of this file live in the process that starts workers.

//go:build !linux

package proc

// MemoryGroups finds nothing here: only Linux tells whether it has ended a process for lack of
// memory.
type MemoryGroups struct{}

// MemoryGroup is the whole machine here.
type MemoryGroup struct{ Name string }

// NewMemoryGroups returns groups that tell nothing.
func NewMemoryGroups() *MemoryGroups { return new(MemoryGroups) }

// MemoryGroupsIn is for tests on Linux.
func MemoryGroupsIn(string) *MemoryGroups { return new(MemoryGroups) }

// Of returns a group that tells nothing.
func (*MemoryGroups) Of(int) *MemoryGroup { return new(MemoryGroup) }

// Kills returns false: the system does not tell.
func (*MemoryGroup) Kills() (uint64, bool) { return 0, false }

// Limit returns 0.
func (*MemoryGroup) Limit() int64 { return 0 }

// Same reports true: there is only one group.
func (*MemoryGroup) Same(*MemoryGroup) bool { return true }
